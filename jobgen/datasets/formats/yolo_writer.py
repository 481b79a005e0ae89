"""YOLO as it is written: data.yaml, a txt an image, or lists of images for a split."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from jobgen.datasets.found import WHOLE, job_word
from jobgen.datasets.record import TRAIN, DataSet, Split
from jobgen.errors import DatasetError
from jobgen.yamlio import dump_block


def write(data: DataSet) -> Iterator[tuple[str, str]]:
    """The text files of a data set as YOLO: data.yaml and a txt an image, below its root."""
    places = {job_word(split.name): f"images/{job_word(split.name)}" for split in data}
    if set(places) == {WHOLE}:
        places = {TRAIN: places[WHOLE]}
    yield "data.yaml", dump_block({**places, "nc": len(data.classes), "names": data.classes})
    for split in data:
        lines: list[list[str]] = [[] for _ in split.image_names]
        for row in range(len(split)):
            image, label = split.image_of[row], split.class_of[row]
            if image >= 0 and label >= 0:
                values = _fractions(split, row, int(image))
                lines[image].append(f"{label} {values}\n")
        for row, name in enumerate(split.image_names):
            yield (
                f"labels/{job_word(split.name)}/{posixpath.splitext(name)[0]}.txt",
                "".join(lines[row]),
            )


def laid_out(data: DataSet) -> tuple[DataSet, dict[str, str]]:
    copies = {
        f"images/{job_word(split.name)}/{name}": path
        for split in data
        for name, path in zip(split.image_names, split.paths, strict=True)
    }
    return data, copies


def divide(data: DataSet, _whole: Split, parts: Mapping[str, Split]) -> dict[str, bytes]:
    """data.yaml and lists of images, which stay where they are."""
    root = data.layout.root
    made: dict[str, bytes] = {}
    for name, half in parts.items():
        lines = (f"./{posixpath.relpath(path, root or '.')}\n" for path in half.paths)
        made[posixpath.join(root, f"{name}.txt")] = "".join(lines).encode()
    lists = {name: f"{name}.txt" for name in parts}
    text = dump_block({**lists, "nc": len(data.classes), "names": data.classes})
    return {**made, posixpath.join(root, "data.yaml"): text.encode()}


def _fractions(split: Split, row: int, image: int) -> str:
    x, y, width, height = (float(value) for value in split.boxes[row])
    across, down = int(split.widths[image]), int(split.heights[image])
    if not across or not down:
        name = split.image_names[image]
        raise DatasetError(
            f"{split.place}: {name} has no width and height, so its boxes can't be made fractions",
            "Add the sizes first: jobgen dataset convert SRC DST.zip --to coco --fix DS012",
        )
    parts = ((x + width / 2) / across, (y + height / 2) / down, width / across, height / down)
    return " ".join(f"{value:.8g}" for value in parts)
