"""COCO with a JSON for each image, as some tools and collections have it."""

from __future__ import annotations

import posixpath

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.coco import annotation_files, one_image_files, read_file
from jobgen.datasets.formats.gather import Gathered, Shapes, data_set
from jobgen.datasets.formats.places import by_folder, files_of, images_of, layouts_of
from jobgen.datasets.record import UNKNOWN, DataSet, Layout, Trouble

READS = "COCO a JSON an image"


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the folders that are named as splits."""
    pages = one_image_files(files)
    # Where there are others too, one for all images says the same.
    others = set(annotation_files(files)) - set(pages)
    return [] if others else layouts_of("coco_pages", files, by_folder(pages))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name: their ids may differ from file to file."""
    parts: dict[str, Gathered] = {}
    shapes = Shapes()
    for split, names in files_of(files, layout).items():
        place = posixpath.basename(layout.splits[split]["annotations"]).strip(".") or files.name
        part = parts[split] = Gathered(files, split, place, shapes)
        for name in names:
            _page(part, name)
    return data_set(files, layout, parts, shapes)


def _page(part: Gathered, name: str) -> None:
    columns = read_file(part.files, name)
    own = posixpath.basename(name)
    part.troubles += [Trouble(t.code, own, t.detail, t.lost) for t in columns.troubles]
    page = columns.split(part.name, name, {}, posixpath.dirname(name))
    for row, stated in enumerate(page.image_names):
        image = images_of(part.files).named(stated, name)
        if part.has(image):
            part.tell("DS074", name, stated, lost=False)
        part.image(image, *page.size(row), name)
        for box in range(len(page)):
            if page.image_of[box] == row and page.class_of[box] != UNKNOWN:
                x, y, width, height = page.boxes[box].tolist()
                part.box(part.image(image), page.label(box), (x, y, width, height), name)
