"""What a model found in images, as the files of labelling tools: a start for labelling on."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobgen.datasets.contents import Contents, Folder
from jobgen.datasets.formats.coco import record_of
from jobgen.datasets.formats.gather import Gathered, Shapes, data_set
from jobgen.datasets.formats.voc_writer import page
from jobgen.datasets.found import WHOLE
from jobgen.datasets.record import DataSet, Layout, Split
from jobgen_runtime.data.coco import coco_text

TOOLS = ("labelme", "voc", "coco")


def write_prelabels(
    files: Contents, found: Sequence[Mapping[str, Any]], classes: Sequence[str], tool: str,
    goal: Path,
) -> int:  # fmt: skip
    """Write the boxes that were `found` (an item an image: `image` and `boxes`, each `class` and
    `box` with two corners) into the new folder `goal`, as a tool reads them; gives their number.

    LabelMe and VOC: a file an image, which names its image where that lies; images out of an
    archive are written beside. COCO: one file.
    """
    data = _as_set(files, found, classes)
    split = data.splits[WHOLE]
    goal.mkdir(parents=True)
    if tool == "coco":
        text = coco_text(record_of(split, classes))
        (goal / "annotations.json").write_text(text, encoding="utf-8")
        return len(split)
    write = _labelme if tool == "labelme" else _voc
    for row, boxes in enumerate(_rows(split)):
        path = split.paths[row]
        place = goal.joinpath(*posixpath.splitext(path)[0].split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(files, Folder):
            image = os.path.relpath(files.path_of(path).absolute(), place.parent.absolute())
        else:
            image = posixpath.basename(path)
            (place.parent / image).write_bytes(files.read(path))
        ending, text = write(split, row, boxes, Path(image).as_posix())
        place.with_name(f"{place.name}{ending}").write_text(text, encoding="utf-8")
    return len(split)


def _as_set(files: Contents, found: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> DataSet:
    part = Gathered(files, WHOLE, files.name, Shapes())
    for item in found:
        row = part.image(item["image"])
        for box in item["boxes"]:
            left, top, right, bottom = box["box"]
            part.box(row, box["class"], (left, top, right - left, bottom - top), item["image"])
    layout = Layout("coco", "", {WHOLE: {"images": ".", "annotations": ""}})
    return data_set(files, layout, {WHOLE: part}, Shapes(), classes)


def _rows(split: Split) -> Iterator[list[int]]:
    rows: list[list[int]] = [[] for _ in split.image_names]
    for row, image in enumerate(split.image_of.tolist()):
        rows[image].append(row)
    return iter(rows)


def _labelme(split: Split, row: int, boxes: list[int], image: str) -> tuple[str, str]:
    shapes: list[dict[str, Any]] = []
    for box in boxes:
        x, y, width, height = (round(value, 2) for value in split.boxes[box].tolist())
        corners = [[x, y], [round(x + width, 2), round(y + height, 2)]]
        shapes.append(
            {
                "label": split.label(box),
                "points": corners,
                "group_id": None,
                "description": "",
                "shape_type": "rectangle",
                "flags": {},
            }
        )
    width, height = split.size(row)
    record: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return ".json", json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _voc(split: Split, row: int, boxes: list[int], image: str) -> tuple[str, str]:
    return ".xml", page(split, row, boxes, image)
