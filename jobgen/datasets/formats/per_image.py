"""Reading formats that have a text file for each image."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Gathered, Shapes, data_set
from jobgen.datasets.formats.places import files_of, images_of
from jobgen.datasets.found import stem_of
from jobgen.datasets.record import DataSet, Layout
from jobgen.errors import DatasetError

# Takes one annotation file of an image: the split, the row of the image, the file's name, its text.
Take = Callable[[Gathered, int, str, str], None]


def read_per_image(
    files: Contents, layout: Layout, take: Take, shapes: Shapes, classes: Sequence[str] = ()
) -> DataSet:
    """The set whose annotation files have the stems of their images; their boxes are `take`n."""
    parts = {}
    for split, names in files_of(files, layout).items():
        place = posixpath.basename(layout.splits[split]["annotations"]) or files.name
        part = parts[split] = Gathered(files, split, files.name if place == "." else place, shapes)
        for name, text in texts(part, names):
            take(part, part.image(image_of(files, name), source=name), name, text)
    return data_set(files, layout, parts, shapes, classes)


def image_of(files: Contents, source: str) -> str:
    """The image with the stem of an annotation file; where there is none, the path it would have
    beside it."""
    stem = stem_of(source)
    beside = posixpath.join(posixpath.dirname(source), f"{stem}.jpg")
    return images_of(files).of_stem(stem, source) or beside


def texts(part: Gathered, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each file with its text; one that can't be read is told."""
    for number, name in enumerate(names, 1):
        part.files.progress(f"reading {part.place}", number, len(names))
        try:
            data = part.files.read(name)
        except DatasetError as error:
            part.tell("DS010", name, error.message)
            continue
        yield name, decoded(data)
