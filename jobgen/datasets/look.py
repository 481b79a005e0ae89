"""What a data set in an archive or folder is: its candidates, or the one that a job names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobgen.datasets.classes import find_class_set
from jobgen.datasets.contents import Contents, Progress, open_contents, silent
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Layout, Trouble
from jobgen.datasets.seen import all_formats, seen, way_out
from jobgen.errors import DatasetError
from jobgen_runtime.data.faults import FAULTS

LAYOUTS = " layouts"
SHOWN = 20


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
    listed = "\n".join(_listed(files, found)) if len(found) > 1 else ""
    classes = None if found else find_class_set(files)
    if classes is not None:
        raise DatasetError(
            f"{files.name} has no boxes: it is a set for classification, of "
            f"{len(classes.classes)} classes",
            f"For it there are dataset inspect, preview and split, and: jobgen init NAME --archive "
            f"{files.given}",
        )
    if not found:
        raise DatasetError(
            f"{files.name} holds no data set that jobgen knows; there is {seen(files)}",
            f"{way_out(files)}. jobgen reads {all_formats()}; for classification train/CLASS/image "
            "and val/CLASS/image (docs/classification.md).",
        )
    if pick is not None:
        if not 1 <= pick <= len(found):
            many = f"data sets 1 to {len(found)}:\n{listed}" if listed else "one data set"
            raise DatasetError(
                f"--pick {pick}: {files.name} holds {many}",
                "Give one of these numbers." if listed else "Leave --pick out.",
            )
        # Every command that is printed from here on names the same one.
        if len(found) > 1 and "--pick" not in files.given:
            files.given += f" --pick {pick}"
        return found[pick - 1]
    if len(found) > 1:
        raise DatasetError(
            f"{files.name} holds {len(found)} data sets:\n{listed}",
            "Choose one by its number: --pick 1; init and dataset merge can join them: --merge",
        )
    return found[0]


def all_sets(
    path: Path, columns: Mapping[str, str] | None = None, progress: Progress = silent
) -> list[DataSet]:
    """Every data set that `path` holds. Raises DatasetError where there is none."""
    files = open_contents(path, columns)
    files.progress = progress
    found = candidates(files)
    return [read_layout(files, layout) for layout in found] or [read_layout(files, choose(files))]


def _listed(files: Contents, found: list[Layout]) -> Iterator[str]:
    """A line for each candidate, with its counts; of very many the first ones."""
    for number, layout in enumerate(found[:SHOWN], 1):
        try:
            splits = FORMATS[layout.format].read(files, layout).splits.values()
            counts = "; ".join(f"{s.images:,} images, {len(s):,} boxes" for s in splits)
        except DatasetError as error:
            counts = error.message
        yield f"  {number}  {layout.title}: {counts}"
    if len(found) > SHOWN:
        yield f"  ... and {len(found) - SHOWN:,} more, such as {found[-1].title}"


def read_layout(files: Contents, layout: Layout) -> DataSet:
    """The data set at a layout, its faults told and not raised."""
    data: DataSet = FORMATS[layout.format].read(files, layout)
    return _without_useless_test(data)


def _without_useless_test(data: DataSet) -> DataSet:
    """A test split of which nothing can be used stands in nobody's way."""
    test = data.splits.get("test")
    if test is None or data.train is None or data.eval is None:
        return data
    there = sum(path in data.contents.sizes for path in test.paths)
    if test.images and not there:
        why = f"none of its {test.images:,} images is there"
    elif not len(test):
        why = f"none of its {test.images or 'listed'} images has a box"
    else:
        return data
    splits = {name: split for name, split in data.splits.items() if name != "test"}
    return replace(data, splits=splits, set_aside=[f"{test.place}: {why}"])


def look(
    path: Path, pick: int | None = None, progress: Progress = silent, files: Contents | None = None
) -> DataSet:
    """Find out what `path` holds, whose `files` may be open already. Raises DatasetError where that
    is not clear."""
    files = files or open_contents(path)
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
