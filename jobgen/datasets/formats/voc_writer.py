"""Pascal VOC as it is written: an XML an image, a list a split, images in JPEGImages."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from jobgen.datasets.found import job_word, stem_of
from jobgen.datasets.record import DataSet, Split
from jobgen.errors import DatasetError
from jobgen_runtime.data.voc import IMAGE_ENDINGS

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write(data: DataSet) -> Iterator[tuple[str, str]]:
    """The text files of a data set as VOC: an XML an image and a list a split, below its root."""
    for split in data:
        yield (
            f"ImageSets/Main/{split.name}.txt",
            "".join(f"{stem_of(name)}\n" for name in split.image_names),
        )
        yield from _pages(split)


def _pages(split: Split) -> Iterator[tuple[str, str]]:
    order = split.image_of.argsort(kind="stable")
    boxes: list[list[int]] = [[] for _ in split.image_names]
    for row in order[split.image_of[order] >= 0].tolist():
        boxes[split.image_of[row]].append(row)
    for row, name in enumerate(split.image_names):
        yield f"Annotations/{stem_of(name)}.xml", page(split, row, boxes[row])


def page(split: Split, row: int, boxes: Sequence[int], path: str = "") -> str:
    """The XML of an image: its boxes by their rows; with `path`, where a tool finds it."""
    from xml.sax.saxutils import escape

    objects = []
    for box in boxes:
        x, y, width, height = split.boxes[box]
        corners = zip(CORNERS, (x, y, x + width, y + height), strict=True)
        inner = "".join(f"<{key}>{plain(value)}</{key}>" for key, value in corners)
        objects.append(
            f"  <object>\n    <name>{escape(split.label(box))}</name>\n"
            f"    <bndbox>{inner}</bndbox>\n  </object>\n"
        )
    size = f"<width>{split.widths[row]}</width><height>{split.heights[row]}</height>"
    where = f"  <path>{escape(path)}</path>\n" if path else ""
    own = escape(posixpath.basename(split.image_names[row]))
    return (
        f"<annotation>\n  <filename>{own}</filename>\n"
        f"{where}  <size>{size}<depth>3</depth></size>\n{''.join(objects)}</annotation>\n"
    )


def laid_out(data: DataSet) -> tuple[DataSet, dict[str, str]]:
    """Every image in JPEGImages, under a stem of its own without spaces."""
    taken: dict[str, str] = {}
    copies, splits = {}, {}
    for split in data:
        names = []
        for name, path in zip(split.image_names, split.paths, strict=True):
            if not name.lower().endswith(IMAGE_ENDINGS):
                raise DatasetError(
                    f"{name}: VOC sets hold {', '.join(IMAGE_ENDINGS)} only",
                    "Convert to COCO instead: --to coco",
                )
            own = _free_name(name, split.name, path, taken)
            copies[f"JPEGImages/{own}"] = path
            names.append(own)
        splits[split.name] = replace(split, image_names=names)
    return replace(data, splits=splits), copies


def _free_name(name: str, split: str, path: str, taken: dict[str, str]) -> str:
    """A name whose stem only this image has: as it is, else with its folders, its split, or a
    number."""
    whole = "_".join(name.split()).replace("/", "_")
    tries = ["_".join(posixpath.basename(name).split()), whole, f"{job_word(split)}_{whole}"]
    number = 1
    while True:
        for candidate in tries:
            if taken.setdefault(stem_of(candidate), path) == path:
                return candidate
        number += 1
        tries = [f"{number}_{whole}"]


def divide(data: DataSet, _whole: Split, parts: Mapping[str, Split]) -> dict[str, bytes]:
    """The lists alone: images and XML stay where they are."""
    top = posixpath.join(data.layout.root, "ImageSets/Main")
    return {
        f"{top}/{name}.txt": "".join(f"{stem_of(n)}\n" for n in part.image_names).encode()
        for name, part in parts.items()
    }


def plain(value: float) -> str:
    """A coordinate without needless digits, exact when it is read again."""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)
