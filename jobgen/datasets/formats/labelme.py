"""LabelMe: a JSON an image, with `shapes`; also what X-AnyLabeling and its like write.

The format: https://github.com/wkentaro/labelme. Rectangles have two corners; polygons, circles
(middle and a point on the rim), lines and masks become the boxes around them. Where an image is
not there and its JSON holds it (`imageData`), it is taken from there.
"""

from __future__ import annotations

import base64
import binascii
import math
import posixpath
from dataclasses import replace
from typing import Any

import msgspec

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.coco import PAGE_MARKS
from jobgen.datasets.formats.gather import Gathered, Points, Shapes, box_around, pairs
from jobgen.datasets.formats.jsonfiles import json_files, json_marks, plain_utf8, read_json
from jobgen.datasets.formats.places import by_folder, images_of, layouts_of
from jobgen.datasets.formats.reading import image_of, read_each
from jobgen.datasets.found import stem_of
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import DataSet, Layout

READS = "LabelMe (JSON with shapes)"

# Kinds of shapes and what they are called where they become boxes.
KINDS = {
    "polygon": "polygons",
    "line": "lines",
    "linestrip": "lines",
    "rotation": "rotated boxes",
    "quadrilateral": "polygons",
}


FLAGS = "flags of images"
# What LabelMe's own converters take for no class.
NO_CLASSES = ("__ignore__", "_background_")


class _Page(msgspec.Struct, gc=False):
    shapes: Any = None
    imagePath: Any = None
    imageWidth: Any = 0
    imageHeight: Any = 0
    flags: Any = None
    imageData: msgspec.Raw = msgspec.Raw(b"null")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files: JSON with shapes, by the folders that are named as splits."""
    names = [name for name in json_files(files) if _fits(files, name)]
    # What lies among them for an image and holds nothing that is known is a page that was damaged.
    folders = {posixpath.dirname(name) for name in names}
    known = set(names)
    damaged = [
        name
        for name in json_files(files)
        if posixpath.dirname(name) in folders and name not in known and not json_marks(files, name)
        and images_of(files).of_stem(stem_of(name), name)
    ]  # fmt: skip
    return layouts_of("labelme", files, by_folder(files, [*names, *damaged]))


def _fits(files: Contents, name: str) -> bool:
    marks = json_marks(files, name)
    return bool(marks & PAGE_MARKS) and not marks & {"images", "categories"}


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    shapes = Shapes()
    data = read_each(files, layout, _page, shapes)
    if shapes.left_out[FLAGS] and not any(map(len, data)):
        flags = (
            "flags and no shapes are for classification: lay the images out in a folder for each "
            "class (docs/classification.md)"
        )
        return replace(data, losses=[*data.losses, flags])
    return data


def _page(part: Gathered, name: str) -> None:
    page = read_json(part.files, name, _Page)
    path = _image(part.files, name, page)
    if part.has(path):
        own = posixpath.basename(path)
        part.tell("DS052", name, f"{own} has another JSON too", lost=False)
    row = part.image(path, page.imageWidth, page.imageHeight, name)
    if not isinstance(page.shapes, list):
        part.tell("DS012", name, "shapes is no list")
        return
    if isinstance(page.flags, dict) and any(value is True for value in page.flags.values()):
        part.shapes.left_out[FLAGS] += 1
    for shape in page.shapes:
        _shape(part, row, shape, name)


def _image(files: Contents, name: str, page: _Page) -> str:
    """The image that a page names; else that of its own stem; else the one that it holds."""
    stated = page.imagePath if isinstance(page.imagePath, str) else ""
    # An old page may name itself.
    stated = stated if is_image(stated) else ""
    path = images_of(files).named(stated, name) if stated else ""
    if path in files.sizes:
        return path
    same_stem = image_of(files, name)
    if same_stem in files.sizes:
        return same_stem
    if bytes(page.imageData) not in (b"null", b'""'):
        return _held_image(files, name, stated)
    return path or same_stem


def _held_image(files: Contents, name: str, stated: str) -> str:
    """The path of the image in a page's imageData, which can be read from then on."""
    own = posixpath.basename(stated.replace("\\", "/")) or f"{stem_of(name)}.jpg"
    path = posixpath.join(posixpath.dirname(name), own)
    if path not in files.sizes:
        files.hold(path, files.sizes[name] * 3 // 4, name, _decoded_image)
    return path


def _decoded_image(data: bytes) -> bytes:
    """The image in a page. Raises ValueError where there is none."""
    held = msgspec.json.decode(plain_utf8(data)).get("imageData")
    text = held if isinstance(held, str) else ""
    try:
        return base64.b64decode(text.rpartition("base64,")[2] or text)
    except binascii.Error as error:
        raise ValueError(f"imageData is no base64: {error}") from error


def _shape(part: Gathered, row: int, shape: Any, name: str) -> None:
    if not isinstance(shape, dict):
        part.tell("DS011", name, f"a shape is {str(shape)[:40]}")
        return
    kind, label = shape.get("shape_type") or "polygon", shape.get("label")
    points = pairs(shape.get("points"))
    if kind == "rectangle" and len(points) == 2 and label.__class__ is str and label[:1] != "_":
        (x, y), (right, bottom) = points
        box = (min(x, right), min(y, bottom), abs(right - x), abs(bottom - y))
        part.box(row, label, box, name)
        return
    kind = str(kind)
    if isinstance(label, (dict, list)):
        part.tell("DS011", name, f"a label is {str(label)[:40]}")
    elif str(label).startswith(NO_CLASSES):
        part.shapes.left_out[f"shapes of the class {label}"] += 1
    elif not points:
        part.tell("DS011", name, f"the points of a {kind} are {str(shape.get('points'))[:60]}")
    elif len(points) == 1:
        part.shapes.left_out["points, which have no extent"] += 1
    elif kind in ("rectangle", "mask"):
        part.box(row, label, box_around(points), name)
        if kind == "mask":
            part.shapes.became_box("masks")
    elif kind == "circle":
        part.box(row, label, _around_circle(points), name)
        part.shapes.became_box("circles", 4 / math.pi)
    else:
        part.around(row, label, KINDS.get(kind, f"shapes of the kind {kind[:20]}"), points, name)


def _around_circle(points: Points) -> tuple[float, float, float, float]:
    (x, y), (rim_x, rim_y) = points[0], points[1]
    radius = math.hypot(rim_x - x, rim_y - y)
    return x - radius, y - radius, 2 * radius, 2 * radius
