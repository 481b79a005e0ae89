"""CreateML: one JSON a split, a list of images with `annotations` whose `coordinates` are the
middle, width and height of a box in pixels.

The format: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from __future__ import annotations

from typing import Any

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Gathered, Shapes, number
from jobgen.datasets.formats.jsonfiles import json_files, json_marks, read_json
from jobgen.datasets.formats.places import by_name, images_of, layouts_of
from jobgen.datasets.formats.reading import read_each
from jobgen.datasets.record import DataSet, Layout

READS = "CreateML (JSON with coordinates)"

IMAGE_KEYS = ("image", "imagefilename", "imageFilename", "filename")
LIST_KEYS = ("annotations", "annotation")
SIDES = ("x", "y", "width", "height")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the splits in their names or folders."""
    names = [name for name in json_files(files) if _fits(json_marks(files, name))]
    return layouts_of("createml", files, by_name(names))


def _fits(marks: frozenset[str]) -> bool:
    named = marks & set(IMAGE_KEYS) and marks & set(LIST_KEYS)
    return bool(named and "coordinates" in marks and "images" not in marks)


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_each(files, layout, _file, Shapes())


def _file(part: Gathered, name: str) -> None:
    items = read_json(part.files, name)
    if not isinstance(items, list):
        part.tell("DS012", name, "it is no list of images")
        return
    found = images_of(part.files)
    for at, item in enumerate(items, 1):
        part.files.progress(f"reading {part.place}", at, len(items))
        image, boxes = _value(item, IMAGE_KEYS), _value(item, LIST_KEYS)
        if not isinstance(image, str) or not isinstance(boxes, list):
            part.tell("DS012", name, f"item {at} has no image or no annotations")
            continue
        row = part.image(found.named(image, name))
        for box in boxes:
            _box(part, row, box, f"{name}: {image}")


def _value(item: Any, keys: tuple[str, ...]) -> Any:
    """What stands under the first of these keys that an object has."""
    there = [key for key in keys if key in item] if isinstance(item, dict) else []
    return item[there[0]] if there else None


def _box(part: Gathered, row: int, item: Any, where: str) -> None:
    place = item.get("coordinates") if isinstance(item, dict) else None
    if not isinstance(place, dict):
        part.tell("DS012", where, "an annotation has no coordinates")
        return
    x, y, width, height = (number(place.get(key)) for key in SIDES)
    part.box(row, item.get("label"), (x - width / 2, y - height / 2, width, height), where)
