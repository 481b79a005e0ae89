"""A data set that was looked at, as job.yaml."""

from __future__ import annotations

from typing import Any

from jobgen.datasets.found import FoundSet, FoundSplit
from jobgen.yamlio import dump_block, dump_scalar


def job_text(
    name: str,
    environment: str,
    source: dict[str, Any],
    found: FoundSet,
    model: dict[str, Any],
    train: dict[str, Any],
    language: str,
) -> str:
    """The text of a job.yaml, one line a split, every text in it quoted."""

    def counts(split: FoundSplit) -> str:
        return dump_scalar({"images": split.images, "boxes": split.boxes, "sha256": split.sha256})

    return (
        dump_block({"name": name, "environment": environment})
        + f"dataset:\n  sources:\n    - {dump_scalar(source)}\n"
        + dump_block({"root": found.root, "format": found.format}, 2)
        + f"  train: {dump_scalar(found.train.files)}\n"
        + f"  eval: {dump_scalar(found.eval.files)}\n"
        + f"  classes: {dump_scalar(found.classes)}\n"
        + f"  expect:\n    train: {counts(found.train)}\n    eval: {counts(found.eval)}\n"
        + dump_block({"model": model, "train": train, "language": language})
    )
