"""Open Images: a CSV a split, a row a box, its corners as fractions and its class as a code.

The format: https://storage.googleapis.com/openimages/web/download_v7.html. The names of the codes
stand in class-descriptions-boxable.csv. The CSV lists every image of the whole set: those that
are not there are left out, and boxes around groups are no boxes.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Gathered, Shapes, number
from jobgen.datasets.formats.places import (
    by_name,
    head_of,
    images_of,
    layouts_of,
    texts_like,
)
from jobgen.datasets.formats.reading import read_each
from jobgen.datasets.record import DataSet, Layout
from jobgen.errors import DatasetError

READS = "Open Images (CSV with fractions)"

COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the splits in their names or folders."""
    names = texts_like(files, "openimages", (".csv",), is_open_images)
    return layouts_of("openimages", files, by_name(names))


def is_open_images(head: str) -> bool:
    """Whether a CSV begins with the columns of Open Images."""
    cells = [cell.strip().lstrip("\ufeff") for cell in head.partition("\n")[0].split(",")]
    return set(COLUMNS) <= set(cells)


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    words = _class_names(files)

    def take(part: Gathered, name: str) -> None:
        part.fractions = True
        _file(part, name, words)

    return read_each(files, layout, take, Shapes())


def _class_names(files: Contents) -> dict[str, str]:
    lists = [n for n in files.names if n.lower().endswith(".csv")]
    lists = [
        name for name in lists if head_of(files, name).startswith(("/m/", "LabelName,DisplayName"))
    ]
    return dict(pair for name in lists for pair in _pairs(files, name))


def _pairs(files: Contents, name: str) -> Iterator[tuple[str, str]]:
    try:
        rows = csv.reader(io.StringIO(decoded(files.read(name))))
        yield from ((row[0], row[1]) for row in rows if len(row) > 1)
    except (csv.Error, DatasetError):
        return


def _file(part: Gathered, name: str, words: dict[str, str]) -> None:
    reader = csv.reader(io.StringIO(decoded(part.files.read(name))))
    head = [cell.strip().lstrip("\ufeff") for cell in next(reader, [])]
    places = [head.index(column) for column in COLUMNS]
    group = head.index("IsGroupOf") if "IsGroupOf" in head else None
    found = images_of(part.files)
    paths: dict[str, str | None] = {}
    for row in reader:
        if len(row) <= max(places):
            if row:
                part.tell("DS081", name, f"line {reader.line_num}: {','.join(row)[:60]}")
            continue
        stem, code, *corners = (row[at] for at in places)
        if stem not in paths:
            paths[stem] = found.of_stem(stem, name)
        path = paths[stem]
        if path is None:
            continue
        image = part.image(path)
        if group is not None and len(row) > group and row[group] == "1":
            part.shapes.left_out["boxes around groups (IsGroupOf)"] += 1
            continue
        left, right, top, bottom = map(number, corners)
        box = left, top, right - left, bottom - top
        part.box(image, words.get(code, code), box, f"{name}:{reader.line_num}")
    gone = sum(path is None for path in paths.values())
    if gone:
        part.shapes.note(f"{gone:,} images that {posixpath.basename(name)} lists are not there")
