"""VisDrone-DET: a txt an image, `left,top,width,height,score,category,truncation,occlusion`.

Categories and what score 0 means: the data set's own description
(https://github.com/VisDrone/VisDrone2018-DET-toolkit). Evaluation there ignores category 0
(ignored regions), 11 (others) and boxes with the score 0, so they are no boxes here.
"""

from __future__ import annotations

import re

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Gathered, Shapes, number
from jobgen.datasets.formats.places import by_folder, layouts_of, pages_like
from jobgen.datasets.formats.reading import read_per_image
from jobgen.datasets.record import DataSet, Layout

READS = "VisDrone (txt with eight values a line)"

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus",
    "motor",
)  # fmt: skip
IGNORED, OTHERS = 0, 11
# Its place in a line.
CATEGORY = 5
IGNORED_REGION = "ignored regions (category 0)"
OTHER = "boxes of category 11 (others)"
NO_SCORE = "boxes with score 0, which the evaluation ignores"
LINE = re.compile(r"\s*-?\d+(,-?\d+){4},(\d|1[01]),-?\d+,-?\d+,?\s*(\n|$)")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files whose texts begin with such a line; an empty one is an image
    without a box."""
    names = pages_like(files, "visdrone", lambda head: bool(LINE.match(head)))
    return layouts_of("visdrone", files, by_folder(files, names))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, with VisDrone's ten classes."""
    return read_per_image(files, layout, _take, Shapes(), CLASSES)


def _take(part: Gathered, row: int, name: str, text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip()]
    cells = text.replace(",", " ").split()
    try:
        table = np.array(list(map(float, cells))).reshape(len(lines), -1)
    except ValueError:
        table = np.zeros((0, 0))
    kinds = table[:, CATEGORY] if table.shape[1] > CATEGORY else np.full(1, -1)
    if not ((kinds >= 0) & (kinds <= OTHERS) & (kinds % 1 == 0)).all():
        _take_lines(part, row, name, text)
        return
    score, category = table[:, 4], kinds.astype(int)
    for reason, mask in (
        (IGNORED_REGION, category == IGNORED),
        (OTHER, category == OTHERS),
        (NO_SCORE, (score == 0) & (category != IGNORED) & (category != OTHERS)),
    ):
        if mask.any():
            part.shapes.left_out[reason] += int(mask.sum())
    taken = np.flatnonzero((score != 0) & (category != IGNORED) & (category != OTHERS))
    labels = [CLASSES[place - 1] for place in category[taken].tolist()]
    part.boxes(row, labels, table[taken, :4])


def _take_lines(part: Gathered, row: int, name: str, text: str) -> None:
    """A file with a line that is not as it should be, line by line."""
    for at, line in enumerate(text.splitlines(), 1):
        cells = line.strip().rstrip(",").split(",")
        if cells == [""]:
            continue
        values = [number(cell) for cell in cells]
        if len(values) < 6 or values[5] not in range(OTHERS + 1):
            part.tell("DS081", name, f"line {at}: {line.strip()[:60]}")
        elif values[5] == IGNORED:
            part.shapes.left_out[IGNORED_REGION] += 1
        elif values[5] == OTHERS:
            part.shapes.left_out[OTHER] += 1
        elif values[4] == 0:
            part.shapes.left_out[NO_SCORE] += 1
        else:
            box = values[0], values[1], values[2], values[3]
            part.box(row, CLASSES[int(values[5]) - 1], box, name)
