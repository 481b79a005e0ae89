"""One fault, one word: the notebook's data stage says of a set what the rules say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobgen_runtime.data.dataset import prepare_data
from jobgen_runtime.data.faults import FAULTS
from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import begin
from tests.sets import Plain, write_zip
from tests.test_check import ARCHIVES, CASES, JOBS

COCO = {
    "sources": [{"id": 7, "archive": "ships.zip", "folder": None, "into": ""}],
    "root": "ships",
    "format": "coco",
    "train": {"images": "images", "annotations": "train.json", "list": None},
    "eval": {"images": "images", "annotations": "val.json", "list": None},
    "classes": ["ship", "boat"],
    "expect": None,
}
SPLIT = {"images": "JPEGImages", "annotations": "Annotations"}
VOC = {
    **COCO,
    "root": "cells",
    "format": "voc",
    "train": {**SPLIT, "list": "ImageSets/Main/train.txt"},
    "eval": {**SPLIT, "list": "ImageSets/Main/val.txt"},
    "classes": ["boat", "ship"],
}


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    outcome_module._current[:] = []


def said(tmp_path: Path, job: dict[str, Any]) -> str:
    """What the data stage says of the mounted set: its error, or its notes."""
    record = begin(str(tmp_path / "output"), name="test")
    record.start("data")
    try:
        prepare_data(str(tmp_path), job, "ships")
    except StageError as error:
        return error.message
    return "\n".join(note["text"] for note in record.data["notes"])


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_the_stage_and_the_rules_agree(code: str, tmp_path: Path) -> None:
    mount = tmp_path / "data" / "data7"
    mount.mkdir(parents=True)
    job: dict[str, Any] = dict(COCO)
    if code in ARCHIVES:
        ARCHIVES[code](mount / "ships.zip")
    elif code in CASES:
        made = CASES[code]()
        write_zip(mount / "ships.zip", made.all_files())
        job = dict(VOC if isinstance(made, Plain) else COCO)
    else:
        assert code in JOBS
        write_zip(mount / "ships.zip", CASES["DS013"]().all_files())
        counts = {"images": 4, "boxes": 9}
        changes: dict[str, dict[str, Any]] = {
            "DS033": {"classes": ["boat", "ship"]},
            "DS098": {"expect": {"train": counts, "eval": counts}},
        }
        job.update(changes[code])
    text = said(tmp_path, job)
    assert re.findall(r"\((DS\d{3})\)", text)[:1] == [code], text
    assert FAULTS[code] in text
