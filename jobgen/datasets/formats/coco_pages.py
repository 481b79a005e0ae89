"""COCO with a JSON for each image, as some tools and collections have it."""

from __future__ import annotations

import posixpath

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.coco import annotation_files, one_image_files, read_file
from jobgen.datasets.formats.gather import Gathered, Shapes
from jobgen.datasets.formats.places import by_folder, images_of, layouts_of
from jobgen.datasets.formats.reading import read_each
from jobgen.datasets.record import UNKNOWN, DataSet, Layout, Trouble

READS = "COCO a JSON an image"


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the folders that are named as splits."""
    pages = one_image_files(files)
    # Where there are others too, one for all images says the same.
    others = set(annotation_files(files)) - set(pages)
    return [] if others else layouts_of("coco_pages", files, by_folder(files, pages))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name: their ids may differ from file to file."""
    return read_each(files, layout, _page, Shapes())


def _page(part: Gathered, name: str) -> None:
    columns = read_file(part.files, name)
    place = posixpath.basename(name)
    part.troubles += [Trouble(t.code, place, t.detail, t.lost) for t in columns.troubles]
    page = columns.split(part.name, name, {}, posixpath.dirname(name))
    for row, stated in enumerate(page.image_names):
        image = images_of(part.files).named(stated, name)
        if part.has(image):
            part.tell("DS074", name, stated, lost=False)
        number = part.image(image, *page.size(row), name)
        own = np.flatnonzero((page.image_of == row) & (page.class_of != UNKNOWN))
        labels = [page.class_names[label] for label in page.class_of[own].tolist()]
        part.boxes(number, labels, page.boxes[own])
