"""The names of a YOLO set's classes, wherever they stand."""

from __future__ import annotations

import posixpath
from typing import Any

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.yolo_yaml import YAML_FAULTS, number_of, read_yaml_file, yaml_files
from jobgen.datasets.record import (
    Layout,
    Trouble,
)

NAME_FILES = ("classes.txt", "obj.names", "names.txt", "predefined_classes.txt")


LARGEST_CLASS = 9999


def class_names_of(files: Contents, layout: Layout) -> tuple[list[str], list[Trouble]]:
    """The names of the classes: from data.yaml, else classes.txt and its like, else none."""
    for name in yaml_files(files):
        found = listed_names(read_yaml_file(files, name).get("names"))
        if found:
            return found, []
    for name in files.names:
        if posixpath.basename(name) in NAME_FILES:
            text = decoded(files.read(name))
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines, []
    place = layout.root or files.name
    faults = files.memo.get(YAML_FAULTS) or ["neither data.yaml nor classes.txt"]
    return [], [Trouble("DS083", place, faults[0])]


def listed_names(names: Any) -> list[str]:
    """The names of a list, or of a mapping by their numbers; a number that is left out keeps
    its place."""
    if isinstance(names, list):
        return [str(name) for name in names]
    if not isinstance(names, dict):
        return []
    numbers = {class_number(key): str(name) for key, name in names.items()}
    known = {number: name for number, name in numbers.items() if number is not None}
    return [known.get(n, f"class{n}") for n in range(max(known, default=-1) + 1)]


def class_number(key: Any) -> int | None:
    number = number_of(str(key))
    return int(number) if number is not None and 0 <= number <= LARGEST_CLASS else None
