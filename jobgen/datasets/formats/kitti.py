"""KITTI: a txt an image with 15 values a line, its class first and its box from the fifth on.

The format: the readme of KITTI's object development kit
(https://www.cvlibs.net/datasets/kitti/eval_object.php). `DontCare` marks regions that nobody
annotated; they are no boxes.
"""

from __future__ import annotations

import math

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Gathered, Shapes, number
from jobgen.datasets.formats.places import by_folder, layouts_of, pages_like
from jobgen.datasets.formats.reading import read_per_image
from jobgen.datasets.record import DataSet, Layout

READS = "KITTI (txt with 15 values a line)"

# A line of a result has a score after them.
VALUES = (15, 16)
NO_CLASS = "DontCare"
NO_REGION = "regions that nobody annotated (DontCare)"


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files whose texts have such lines; an empty one is an image without a
    box."""
    names = pages_like(files, "kitti", _fits)
    return layouts_of("kitti", files, by_folder(files, names))


def _fits(head: str) -> bool:
    cells = head.lstrip().partition("\n")[0].split()
    numbers = [number(cell) for cell in cells[1:]]
    return (
        len(cells) in VALUES and math.isnan(number(cells[0])) and not any(map(math.isnan, numbers))
    )


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_per_image(files, layout, _take, Shapes())


def _take(part: Gathered, row: int, name: str, text: str) -> None:
    cells = text.split()
    lines = [line for line in text.splitlines() if line.strip()]
    width = len(lines[0].split()) if lines else 0
    try:
        whole = width in VALUES and len(cells) == width * len(lines)
        sides = [list(map(float, cells[at::width])) for at in range(4, 8)] if whole else []
    except ValueError:
        sides = []
    if not sides:
        _take_lines(part, row, name, text)
        return
    labels = cells[0::width]
    left, top, right, bottom = np.array(sides)
    boxes = np.array([left, top, right - left, bottom - top]).T
    known = [at for at, label in enumerate(labels) if label != NO_CLASS]
    if len(known) < len(labels):
        part.shapes.left_out[NO_REGION] += len(labels) - len(known)
    part.boxes(row, [labels[at] for at in known], boxes[known])


def _take_lines(part: Gathered, row: int, name: str, text: str) -> None:
    """A file with a line that is not as it should be, line by line."""
    for at, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        left, top, right, bottom = (number(cell) for cell in [*cells, *[""] * 8][4:8])
        if len(cells) not in VALUES or math.isnan(left + top + right + bottom):
            part.tell("DS081", name, f"line {at}: {line.strip()[:60]}")
        elif cells[0] == NO_CLASS:
            part.shapes.left_out[NO_REGION] += 1
        else:
            part.box(row, cells[0], (left, top, right - left, bottom - top), name)
