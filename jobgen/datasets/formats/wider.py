"""WIDER FACE: one txt a split; a line with the image, one with the number of faces, one a face.

The format: the readme of wider_face_split (http://shuoyang1213.me/WIDERFACE/). Faces that it calls
invalid are no boxes; an image without a face has the number 0 and a line of zeros.
"""

from __future__ import annotations

import re

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Gathered, Shapes, number
from jobgen.datasets.formats.places import by_name, images_of, layouts_of, texts_like
from jobgen.datasets.formats.reading import read_each
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import DataSet, Layout

READS = "WIDER FACE (txt with an image and its boxes)"

CLASS = "face"
# left top width height blur expression illumination invalid occlusion pose
INVALID = 7
HEAD = re.compile(r"\ufeff?[^\n]+\n\s*\d+[ \t]*\n\s*-?\d+[ \t][^\n]*(\n|$)")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the splits in the names of the texts."""
    names = texts_like(files, "wider", (".txt",), _fits)
    return layouts_of("wider", files, by_name(names))


def _fits(head: str) -> bool:
    return bool(HEAD.match(head)) and is_image(head.partition("\n")[0].strip())


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, with the one class face."""
    return read_each(files, layout, _take, Shapes(), [CLASS])


def _take(part: Gathered, name: str) -> None:
    found = images_of(part.files)
    row = None
    for at, line in enumerate(decoded(part.files.read(name)).splitlines(), 1):
        cells = line.split()
        if is_image(line.strip()):
            path = found.named(line, name)
            if part.has(path):
                part.tell("DS074", name, line.strip(), lost=False)
            row = part.image(path)
        elif (len(cells) == 1 and cells[0].isdigit()) or not cells:
            continue
        elif row is None or len(cells) < 4:
            part.tell("DS081", name, f"line {at}: {line.strip()[:60]}")
        else:
            _face(part, row, [number(cell) for cell in cells], f"{name}:{at}")


def _face(part: Gathered, row: int, values: list[float], where: str) -> None:
    if len(values) > INVALID and values[INVALID] == 1:
        part.shapes.left_out["faces that are marked invalid"] += 1
    elif any(values):
        part.box(row, CLASS, (values[0], values[1], values[2], values[3]), where)
