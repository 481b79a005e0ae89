"""Several data sets as one: their classes reconciled, their splits joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from jobgen.datasets.contents import Contents
from jobgen.datasets.convert import refuse_broken
from jobgen.datasets.joined import Joined
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Layout
from jobgen.datasets.relabel import plain_name, relabelled
from jobgen.datasets.split import Division, divided, pooled
from jobgen.errors import DatasetError


def merged(parts: Sequence[DataSet], division: Division) -> tuple[DataSet, list[str]]:
    """The sets as one, each one's files below a folder of its own, and what was done, a line each.

    Class names that differ in case, blanks, `-` or `_` only are one class, under the name that the
    first set has. A set without val is split by `division` first. Raises DatasetError where fewer
    than two sets are given.
    """
    if len(parts) < 2:
        raise DatasetError("merging needs two data sets or more", "Name every one of them.")
    named = [(data.contents.given, data.layout.title) for data in parts]
    twice = [given for given, title in named if named.count((given, title)) > 1]
    if twice:
        raise DatasetError(f"{twice[0]} is given twice", "Name every set once.")
    for data in parts:
        refuse_broken(data)
    lines = []
    spelling: dict[str, str] = {}
    sets = []
    for data in parts:
        names = {name: spelling.setdefault(plain_name(name), name) for name in data.classes}
        other = {old: new for old, new in names.items() if old != new}
        if other:
            data, said = relabelled(data, other)
            lines += [f"{data.contents.name}: class {line}" for line in said]
        if data.train is None or data.eval is None:
            data, _ = divided(data, division)
            lines.append(f"{data.contents.name}: dealt out into train and val")
        sets.append(data)
    classes = list(dict.fromkeys(name for data in sets for name in data.classes))
    for data in sets:
        missing = [name for name in classes if name not in data.classes]
        if missing:
            lines.append(
                f"{data.contents.name} has no class {', '.join(missing)}: where its images show "
                "one, the model learns that there is none"
            )
    return _joined(sets, classes), lines


def _joined(sets: Sequence[DataSet], classes: Sequence[str]) -> DataSet:
    # Two sets may lie in one source.
    sources = list({id(data.contents): data.contents for data in sets}.values())
    names = _folders(sources)
    files = Joined(list(zip(sources, names, strict=True)))
    folders = [names[sources.index(data.contents)] for data in sets]
    splits = {}
    for name in (TRAIN, EVAL, "test"):
        found = [
            replace(
                data.splits[name],
                folder="",
                image_names=[f"{folder}/{path}" for path in data.splits[name].paths],
            )
            for data, folder in zip(sets, folders, strict=True)
            if name in data.splits
        ]
        if found:
            splits[name] = pooled(found, classes, name)
    losses = [line for data in sets for line in data.losses]
    return DataSet(files, Layout("merged", "", {}), list(classes), splits, losses=losses)


def _folders(sources: Sequence[Contents]) -> list[str]:
    """A folder for each source, named after it."""
    names: list[str] = []
    for number, files in enumerate(sources, 1):
        stem = re.sub(r"\.(zip|tgz|tar(\.\w+)?|json)$", "", files.name, flags=re.IGNORECASE)
        name = stem or f"set{number}"
        names.append(f"{name}-{number}" if name in names else name)
    return names
