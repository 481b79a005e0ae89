"""EasyDL and EasyData of Baidu: a JSON an image with `labels`, each a `name` and two corners.

The format: https://ai.baidu.com/ai-doc/EASYDL (images and JSON of the same name).
"""

from __future__ import annotations

import math
import posixpath
from typing import Any

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Gathered, Shapes, number, pairs
from jobgen.datasets.formats.jsonfiles import json_files, json_marks, read_json
from jobgen.datasets.formats.places import by_folder, layouts_of
from jobgen.datasets.formats.reading import image_of, read_each
from jobgen.datasets.record import DataSet, Layout

READS = "EasyDL (JSON with labels)"

CORNERS = ("x1", "y1", "x2", "y2")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the folders that are named as splits; a JSON without a label
    is an image without a box."""
    marks = {name: json_marks(files, name) for name in json_files(files)}
    sure = [name for name, keys in marks.items() if {"labels", *CORNERS} <= keys]
    folders = {posixpath.dirname(name) for name in sure}
    names = [
        name for name, keys in marks.items()
        if "labels" in keys and posixpath.dirname(name) in folders
    ]  # fmt: skip
    return layouts_of("easydl", files, by_folder(files, names))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_each(files, layout, _page, Shapes())


def _page(part: Gathered, name: str) -> None:
    page = read_json(part.files, name)
    row = part.image(image_of(part.files, name), source=name)
    labels = page.get("labels") if isinstance(page, dict) else None
    if not isinstance(labels, list):
        part.tell("DS012", name, "labels is no list")
        return
    for label in labels:
        _box(part, row, label, name)


def _box(part: Gathered, row: int, label: Any, name: str) -> None:
    if not isinstance(label, dict):
        part.tell("DS011", name, f"a label is {str(label)[:40]}")
        return
    left, top, right, bottom = (number(label.get(key)) for key in CORNERS)
    points = pairs(label.get("points"))
    if math.isnan(left) and points:
        part.around(row, label.get("name"), "polygons", points, name)
    else:
        corner = (min(left, right), min(top, bottom))
        sides = (abs(right - left), abs(bottom - top))
        part.box(row, label.get("name"), (*corner, *sides), name)
