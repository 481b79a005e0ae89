"""A classification set that is not divided, dealt into train and val."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from jobgen.datasets.classes import ClassSet
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.split import deal
from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen_runtime.data.faults import fault_text


def split_classes(
    data: ClassSet,
    target: Path,
    share: float,
    seed: int,
    group: str | None,
    progress: Progress = silent,
) -> tuple[dict[str, int], dict[str, int], int]:
    """Write `target`, a zip with train/CLASS/... and val/CLASS/... below the set's root. Gives the
    images of each class in both, and how many were in groups that were kept together.

    Images of the same bytes stay together, and those for which `group` finds the same text in
    their name. Raises DatasetError where the set has its splits, or a class would miss in one.
    """
    check_target(target)
    if len(data.splits) != 1 or data.form != "folders":
        names = ", ".join(split.name for split in data)
        raise DatasetError(
            f"splitting needs one folder with a folder for each class; there are {names}",
            "A set that has its splits needs no splitting: jobgen init takes it as it is.",
        )
    (whole,) = data
    if whole.troubles:
        code, place = whole.troubles[0]
        raise DatasetError(fault_text(code, place), f"jobgen check {data.files.given}")
    paths = [whole.path(row) for row in whole.rows]
    keys = _group_keys(data, paths, group, progress)
    in_val = deal([Counter({row.number: 1}) for row in whole.rows], keys, share, seed)
    counts = {False: dict.fromkeys(data.classes, 0), True: dict.fromkeys(data.classes, 0)}
    moved = {}
    for row, path, val in zip(whole.rows, paths, in_val.tolist(), strict=True):
        counts[val][data.classes[row.number]] += 1
        moved[path] = f"{whole.prefix}{'val' if val else 'train'}/{row.path}"
    for val, found in counts.items():
        none = [name for name, count in found.items() if not count]
        if none:
            raise DatasetError(
                f"{'val' if val else 'train'} would have no image of {', '.join(none[:3])}",
                "Give another --val, add images, or a --group pattern that joins fewer of them.",
            )
    entries: dict[str, Entry] = {moved.get(name, name): name for name in data.files.names}
    write_zip(target, data.files, entries, progress)
    held = sum(count for count in Counter(keys).values() if count > 1)
    return counts[False], counts[True], held


def _group_keys(
    data: ClassSet, paths: list[str], group: str | None, progress: Progress
) -> list[str]:
    """The group of each image: what `group` finds in its name, else its bytes' hash."""
    try:
        pattern = re.compile(group) if group else None
    except re.error as error:
        raise DatasetError(f"--group {group}: {error}") from error
    keys = []
    for count, path in enumerate(paths, 1):
        found = pattern.search(path.rpartition("/")[2]) if pattern else None
        if found:
            keys.append(found.group(1) if found.groups() else found.group())
        else:
            keys.append(sha256(data.files.read(path)))
        progress("comparing images", count, len(paths))
    return keys
