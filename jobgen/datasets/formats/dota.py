"""DOTA: a txt an image, `x1 y1 x2 y2 x3 y3 x4 y4 class difficult`, after two lines of its source.

The format: https://captain-whu.github.io/DOTA/dataset.html. The four corners become the upright
box around them.
"""

from __future__ import annotations

import math

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Gathered, Shapes, box_around, number, times_larger
from jobgen.datasets.formats.places import by_folder, layouts_of, pages_like
from jobgen.datasets.formats.reading import read_per_image
from jobgen.datasets.record import DataSet, Layout

READS = "DOTA (txt with four corners a line)"

HEADERS = ("imagesource:", "gsd:")
UPRIGHT = 1.001


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files whose texts have such lines, or the two of the source alone."""
    return layouts_of("dota", files, by_folder(files, dota_texts(files)))


def dota_texts(files: Contents) -> list[str]:
    """The texts of DOTA: of YOLO's for rotated boxes a data.yaml may say that they are plain."""
    return pages_like(files, "dota", _fits)


def _fits(head: str) -> bool:
    lines = [line for line in head.split("\n") if line.strip()]
    boxes = [line.split() for line in lines if not line.startswith(HEADERS)]
    if not boxes:
        return bool(lines)
    cells = boxes[0]
    return len(cells) >= 9 and _corners(cells) is not None and math.isnan(number(cells[8]))


def _corners(cells: list[str]) -> list[tuple[float, float]] | None:
    values = [number(cell) for cell in cells[:8]]
    if len(values) < 8 or any(map(math.isnan, values)):
        return None
    return list(zip(values[0::2], values[1::2], strict=True))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_per_image(files, layout, _take, Shapes())


def _take(part: Gathered, row: int, name: str, text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(HEADERS)]
    if not lines:
        return
    cells = " ".join(lines).split()
    width = len(lines[0].split())
    if width not in (9, 10) or len(cells) != width * len(lines):
        _take_lines(part, row, name, text)
        return
    try:
        corners = np.array([list(map(float, cells[at::width])) for at in range(8)])
    except ValueError:
        _take_lines(part, row, name, text)
        return
    xs, ys = corners[0::2], corners[1::2]
    low = np.array([xs.min(axis=0), ys.min(axis=0)])
    sides = np.array([xs.max(axis=0), ys.max(axis=0)]) - low
    part.boxes(row, cells[8::width], np.concatenate([low, sides]).T)
    with np.errstate(all="ignore"):
        twice = np.abs((xs * np.roll(ys, -1, 0) - np.roll(xs, -1, 0) * ys).sum(axis=0))
        times = 2 * sides[0] * sides[1] / twice
        part.shapes.became_boxes("rotated boxes", times[~(times <= UPRIGHT)])


def _take_lines(part: Gathered, row: int, name: str, text: str) -> None:
    """A file with a line that is not as it should be, line by line."""
    for at, line in enumerate(text.splitlines(), 1):
        if line.startswith(HEADERS) or not line.strip():
            continue
        cells = line.split()
        corners = _corners(cells)
        if corners is None or len(cells) < 9:
            part.tell("DS081", name, f"line {at}: {line.strip()[:60]}")
            continue
        # The last is the difficulty, and a class may have blanks.
        words = cells[8:-1] if len(cells) > 9 and not math.isnan(number(cells[-1])) else cells[8:]
        part.box(row, " ".join(words), box_around(corners), name)
        times = times_larger(corners)
        if not times <= UPRIGHT:
            part.shapes.became_box("rotated boxes", times)
