"""A data set that was looked at, as job.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobgen.datasets.contents import LoneFile
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.formats.coco import record_of
from jobgen.datasets.found import EMPTY
from jobgen.datasets.look import need_sound
from jobgen.datasets.optional_keys import commented
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Split
from jobgen.datasets.sources import ARCHIVES
from jobgen.errors import DatasetError
from jobgen.files import sha256, shown
from jobgen.yamlio import dump_block, dump_scalar
from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.data.faults import fault_text


def expected(data: DataSet, split: Split) -> dict[str, Any]:
    """What the data stage will find in a split: `images`, `boxes` and the `sha256` of its COCO
    file, which for VOC is the one that the stage makes, without the boxes that have no area."""
    if data.layout.format == "coco":
        digest = sha256(data.contents.read(split.source))
        return {"images": split.images, "boxes": len(split), "sha256": digest}
    record = record_of(split, data.classes, split.solid)
    digest = sha256(coco_text(record).encode())
    return {"images": split.images, "boxes": len(record["annotations"]), "sha256": digest}


def need_trainable(data: DataSet, path: Path) -> None:
    """Raise DatasetError, with the way out, where no job can be made of the set as it is."""
    new = Path(f"{stem(path)}-new.zip")
    if isinstance(data.contents, LoneFile):
        raise DatasetError(
            f"{data.contents.name} is an annotation file without its images",
            "Give the archive, or the folder, that holds both.",
        )
    module = FORMATS[data.layout.format]
    if not hasattr(module, "TRAINED"):
        kind = module.READS.partition(" (")[0]
        raise DatasetError(
            f"{data.contents.name} is a {kind} set, which PaddleDetection can't read",
            f"Make COCO of it first: jobgen dataset convert {shown(path)} {shown(new)} --to coco",
        )
    if data.train is None or data.eval is None:
        there = ", ".join(split.place for split in data)
        empty = ", ".join(name.rpartition("/")[2] for name in data.contents.memo.get(EMPTY, ()))
        also = f", and {empty} has nothing in it" if empty else ""
        raise DatasetError(
            f"{data.contents.name} has no train and val split; there is {there}{also}",
            f"Split it first: jobgen dataset split {shown(path)} {shown(new)}",
        )
    if any("list" not in split.files for split in data) and data.layout.format == "voc":
        raise DatasetError(
            f"{data.contents.name} has a folder for each split and no ImageSets/Main",
            f"Make COCO of it first: jobgen dataset convert {shown(path)} {shown(new)} --to coco",
        )
    need_sound(data)
    for split in (data.train, data.eval):
        swapped = np.flatnonzero(split.boxes[:, 2:].min(axis=1, initial=0) < 0)
        if data.layout.format == "voc" and len(swapped):
            place = split.box_place(int(swapped[0]))
            raise DatasetError(
                f"{split.place}: {fault_text('DS041', place)}", f"jobgen check {path}"
            )


def stem(path: Path) -> str:
    """A file's name without `.zip`, `.tar.gz` and their like."""
    name = path.name
    ending = next((e for e in ARCHIVES if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def job_text(
    name: str,
    environment: str,
    sources: Sequence[Mapping[str, Any]],
    data: DataSet,
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    language: str,
    more: Mapping[str, Any] | None = None,
    *,
    optional: bool = False,
) -> str:
    """The text of a job.yaml, one line a split, every text in it quoted; `more` further keys.
    With `optional` it shows the keys that may be added, as comments."""

    def hints(under: str) -> str:
        return commented(under, language) if optional else ""

    splits = {key: data.splits[key] for key in (TRAIN, EVAL)}
    named = {**splits, **{key: data.splits[key] for key in ("test",) if key in data.splits}}
    files = "".join(f"  {key}: {dump_scalar(split.files)}\n" for key, split in named.items())
    expect = "".join(
        f"    {key}: {dump_scalar(expected(data, split))}\n" for key, split in splits.items()
    )
    return (
        dump_block({"name": name, "environment": environment})
        + "dataset:\n  sources:\n"
        + "".join(f"    - {dump_scalar(dict(source))}\n" for source in sources)
        + dump_block({"root": data.layout.root, "format": data.layout.format}, 2)
        + files
        + f"  classes: {dump_scalar(data.classes)}\n"
        + f"  expect:\n{expect}"
        + hints("dataset")
        + dump_block({"model": dict(model)})
        + hints("model")
        + dump_block({"train": dict(train)})
        + hints("train")
        + dump_block({**(more or {}), "language": language})
        + hints("")
    )
