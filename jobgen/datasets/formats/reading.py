"""Reading the annotation files of a set one by one, and those that are of one image each."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Sequence

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Gathered, Shapes, data_set
from jobgen.datasets.formats.places import files_of, images_of
from jobgen.datasets.found import stem_of
from jobgen.datasets.record import DataSet, Layout
from jobgen.errors import DatasetError

# Takes one annotation file: the split, and the file's name.
Take = Callable[[Gathered, str], None]
# Takes one annotation file of an image: the split, the row of the image, the file's name, its text.
TakeText = Callable[[Gathered, int, str, str], None]


def read_each(
    files: Contents,
    layout: Layout,
    take: Take,
    shapes: Shapes,
    classes: Sequence[str] = (),
    *,
    only_used: bool = False,
) -> DataSet:
    """The set whose annotation files are `take`n one by one, each into its split; one that can't be
    read is told. `classes` as data_set() has them, once all are read."""
    parts = {}
    for split, names in files_of(files, layout).items():
        part = parts[split] = Gathered(files, split, place_of(files, layout, split), shapes)
        for number, name in enumerate(names, 1):
            files.progress(f"reading {part.place}", number, len(names))
            try:
                take(part, name)
            except (DatasetError, csv.Error) as error:
                part.tell("DS010", name, str(getattr(error, "message", error)))
    return data_set(files, layout, parts, shapes, classes, only_used)


def read_per_image(
    files: Contents, layout: Layout, take: TakeText, shapes: Shapes, classes: Sequence[str] = ()
) -> DataSet:
    """The set whose annotation files are texts with the stems of their images."""

    def take_file(part: Gathered, name: str) -> None:
        text = decoded(files.read(name))
        take(part, part.image(image_of(files, name), source=name), name, text)

    return read_each(files, layout, take_file, shapes, classes)


def place_of(files: Contents, layout: Layout, split: str) -> str:
    """What people call a split: its annotation file or folder, else the source itself."""
    return posixpath.basename(layout.splits[split]["annotations"]).strip(".") or files.name


def image_of(files: Contents, source: str) -> str:
    """The image with the stem of an annotation file; where there is none, the path it would have
    beside it."""
    stem = stem_of(source)
    beside = posixpath.join(posixpath.dirname(source), f"{stem}.jpg")
    return images_of(files).of_stem(stem, source) or beside
