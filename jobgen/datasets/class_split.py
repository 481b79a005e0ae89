"""A classification set dealt into train and val."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from jobgen.datasets.classes import ClassSet, ClassSplit
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.split import deal
from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen_runtime.classify.lists import Row
from jobgen_runtime.data.faults import fault_text


def split_classes(
    data: ClassSet,
    target: Path,
    share: float,
    seed: int,
    group: str | None,
    progress: Progress = silent,
) -> tuple[dict[str, int], dict[str, int], int]:
    """Write `target`, a zip of the set with all its images dealt out into train and val, whatever
    splits it had: as train/CLASS/... and val/CLASS/..., or as two lists. Gives the images of each
    class in both, and how many were in groups that were kept together.

    Images of the same bytes stay together, and those for which `group` finds the same text in
    their name. Raises DatasetError where a class would miss in one.
    """
    check_target(target)
    for split in data:
        if split.troubles:
            code, place = split.troubles[0]
            raise DatasetError(fault_text(code, place), f"jobgen check {data.files.given}")
    dealt = {split.path(row): (split, row) for split in data for row in split.rows}
    gone = [path for path in dealt if path not in data.files.sizes]
    if gone:
        raise DatasetError(fault_text("CL026", gone[0]), f"jobgen check {data.files.given}")
    keys = _group_keys(data, list(dealt), group, progress)
    labels = [Counter({row.number: 1}) for _, row in dealt.values()]
    in_val = dict(zip(dealt, deal(labels, keys, share, seed).tolist(), strict=True))
    counts = {False: dict.fromkeys(data.classes, 0), True: dict.fromkeys(data.classes, 0)}
    for path, (_, row) in dealt.items():
        counts[in_val[path]][data.classes[row.number]] += 1
    for val, found in counts.items():
        none = [name for name, count in found.items() if not count]
        if none:
            raise DatasetError(
                f"{'val' if val else 'train'} would have no image of {', '.join(none[:3])}",
                "Give another --val, add images, or a --group pattern that joins fewer of them.",
            )
    laid_out = _as_folders if data.form == "folders" else _as_lists
    write_zip(target, data.files, laid_out(data, dealt, in_val), progress)
    held = sum(count for count in Counter(keys).values() if count > 1)
    return counts[False], counts[True], held


Dealt = dict[str, tuple[ClassSplit, Row]]


def _as_folders(data: ClassSet, dealt: Dealt, in_val: dict[str, bool]) -> dict[str, Entry]:
    """train/CLASS/... and val/CLASS/... below the set's root; other files stay where they are."""
    top = f"{data.root}/" if data.root else ""
    entries: dict[str, Entry] = {name: name for name in data.files.names if name not in dealt}
    for path, (_, row) in dealt.items():
        stem, dot, ending = f"{top}{'val' if in_val[path] else 'train'}/{row.path}".rpartition(".")
        goal, number = f"{stem}{dot}{ending}", 2
        while goal in entries:  # two splits may have had an image of one name
            goal, number = f"{stem}-{number}{dot}{ending}", number + 1
        entries[goal] = path
    return entries


def _as_lists(data: ClassSet, dealt: Dealt, in_val: dict[str, bool]) -> dict[str, Entry]:
    """All files as they lie, and train_list.txt, val_list.txt and labels.txt anew."""
    top = f"{data.root}/" if data.root else ""
    old = {top + split.keys["list"] for split in data}
    entries: dict[str, Entry] = {name: name for name in data.files.names if name not in old}
    for name, val in (("train_list.txt", False), ("val_list.txt", True)):
        lines = [f"{path.removeprefix(top)}\t{row.number}\n"
                 for path, (_, row) in dealt.items() if in_val[path] is val]  # fmt: skip
        entries[top + name] = "".join(lines).encode()
    entries[top + "labels.txt"] = "".join(f"{name}\n" for name in data.classes).encode()
    return entries


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
