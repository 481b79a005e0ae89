"""The classes of a set renamed, joined or left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from jobgen.datasets.record import UNKNOWN, DataSet, Split
from jobgen.errors import DatasetError


def plain_name(name: str) -> str:
    """A class's name without what people write now so, now so: case, blanks, `-` and `_`."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def relabelled(
    data: DataSet, names: Mapping[str, str], dropped: Collection[str] = ()
) -> tuple[DataSet, list[str]]:
    """The set with classes under new names, and without the boxes of those that are dropped; what
    was done, a line each. Classes that get one name become one.

    Raises DatasetError for a class that the set does not have, and where none would be left.
    """
    known = list(dict.fromkeys(name for split in data for name in split.class_names))
    strangers = [name for name in [*names, *dropped] if name not in known]
    if strangers:
        raise DatasetError(
            f"{data.contents.name} has no class {', '.join(strangers)}",
            f"It has {', '.join(known[:30])}{', ...' if len(known) > 30 else ''}.",
        )
    left = list(dict.fromkeys(names.get(name, name) for name in known if name not in dropped))
    if not left:
        raise DatasetError("no class would be left", "Drop fewer of them.")
    splits = {name: _split(split, names, dropped) for name, split in data.splits.items()}
    lines = [f"{old} -> {new}: {_boxes(data, old):,} boxes" for old, new in names.items()]
    lines += [f"{name}: {_boxes(data, name):,} boxes left out" for name in dropped]
    return replace(data, splits=splits, classes=left), lines


def _split(split: Split, names: Mapping[str, str], dropped: Collection[str]) -> Split:
    wanted = [names.get(n, n) if n not in dropped else None for n in split.class_names]
    kept = list(dict.fromkeys(name for name in wanted if name is not None))
    rows = [kept.index(name) if name is not None else UNKNOWN for name in wanted]
    # The first class of a name gives it its id.
    ids = [int(split.class_ids[wanted.index(name)]) for name in kept]
    gone = np.array([name is None for name in wanted] + [False], bool)[split.class_of]
    # A box of no known class stays one.
    of_class = np.array([*rows, UNKNOWN], np.int64)[split.class_of]
    changed = replace(split, class_names=kept, class_ids=np.array(ids, np.int64), class_of=of_class)
    return changed.take_boxes(~gone)


def _boxes(data: DataSet, name: str) -> int:
    return sum(
        int(split.boxes_per_class[row])
        for split in data
        for row, own in enumerate(split.class_names)
        if own == name
    )
