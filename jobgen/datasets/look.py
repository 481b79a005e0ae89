"""What a data set in an archive or folder is: its candidates, or the one that a job names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from jobgen.datasets import coco, voc, yolo
from jobgen.datasets.contents import Contents, Progress, open_contents, silent
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Layout, Trouble
from jobgen.errors import DatasetError
from jobgen.runtime.faults import FAULTS

# A format is a file with layouts(files), read(files, layout) and write(data).
LAYOUTS = " layouts"
FORMATS: dict[str, ModuleType] = {"coco": coco, "voc": voc, "yolo": yolo}


def candidates(files: Contents) -> list[Layout]:
    """Every data set that the files may be, found once."""
    if LAYOUTS not in files.memo:
        found = [layout for module in FORMATS.values() for layout in module.layouts(files)]
        files.memo[LAYOUTS] = found
    known: list[Layout] = files.memo[LAYOUTS]
    return known


def choose(files: Contents, pick: int | None = None) -> Layout:
    """The one candidate, or the one that `pick` numbers from 1. Raises DatasetError."""
    found = candidates(files)
    listed = "\n".join(f"  {number}  {layout.title}" for number, layout in enumerate(found, 1))
    if not found:
        raise DatasetError(
            f"{files.name} holds no data set that jobgen knows",
            "It reads COCO (JSON with images and annotations), Pascal VOC (XML) and YOLO (txt).",
        )
    if pick is not None:
        if not 1 <= pick <= len(found):
            raise DatasetError(f"--pick {pick}: {files.name} holds {len(found)}:\n{listed}")
        return found[pick - 1]
    if len(found) > 1:
        raise DatasetError(
            f"{files.name} holds {len(found)} data sets:\n{listed}",
            "Choose one by its number: --pick 1",
        )
    return found[0]


def read_layout(files: Contents, layout: Layout) -> DataSet:
    """The data set at a layout, its faults told and not raised."""
    data: DataSet = FORMATS[layout.format].read(files, layout)
    return data


def look(path: Path, pick: int | None = None, progress: Progress = silent) -> DataSet:
    """Find out what `path` holds. Raises DatasetError where that is not clear."""
    files = open_contents(path)
    files.progress = progress
    return read_layout(files, choose(files, pick))


def layout_of_job(dataset: Mapping[str, Any]) -> Layout:
    """Where a job says its data set lies; `dataset` is that part of job.yaml as plain data."""
    splits = {
        name: {key: value for key, value in dataset[name].items() if value is not None}
        for name in (TRAIN, EVAL)
    }
    return Layout(dataset["format"], dataset["root"], splits)


def need_sound(data: DataSet) -> None:
    """Raise DatasetError where the set has faults that stop every use of it."""
    faults = [(data.contents.name, code, detail) for code, detail in data.contents.faults]
    faults += [(t.place, t.code, t.detail) for t in data.all_troubles if stops(t)]
    for split in data:
        gone = [path for path in split.paths if path not in data.contents.sizes]
        faults += [(split.place, "DS050", path) for path in gone]
    if faults:
        place, code, detail = faults[0]
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DatasetError(
            f"{place}: {FAULTS.get(code, 'a fault')} ({code}): {detail}{more}",
            f"All of it: jobgen check {data.contents.given}",
        )


def stops(trouble: Trouble) -> bool:
    """Whether a reader could not read past it: what it gave is not the whole set."""
    return trouble.lost or trouble.code in STOPPING


STOPPING = frozenset(("DS010", "DS011", "DS012", "DS021", "DS045", "DS077"))
