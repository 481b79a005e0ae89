"""A set without splits, or with one, dealt into train and val: seeded, stratified by class.

Images that belong together stay together: those of the same bytes, and those for
which a pattern finds the same text in the file name.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.look import need_sound
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.record import EVAL, TRAIN, UNKNOWN, DataSet, Mask, Split
from jobgen.errors import DatasetError


@dataclass(frozen=True)
class Halves:
    """Both halves of a split, and how many images were in groups that were kept together."""

    train: Split
    val: Split
    groups: int
    held_together: int


def deal(labels: Sequence[Counter[int]], keys: Sequence[str], share: float, seed: int) -> Mask:
    """Which images go to val, bool (N,), so that each class has about `share` of its boxes there.

    `labels` counts the boxes of each image by class, `keys` names its group. The groups with
    the rarest classes are dealt first, each to the half that lacks its boxes most.
    """
    grouped: dict[str, Counter[int]] = {key: Counter() for key in keys}
    for key, found in zip(keys, labels, strict=True):
        grouped[key] += found
    sizes = Counter(keys)
    total: Counter[int] = sum(grouped.values(), Counter())
    order = sorted(grouped)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda key: min((total[c] for c in grouped[key]), default=len(keys)))
    shares = {TRAIN: 1 - share, EVAL: share}
    want = {half: {c: total[c] * part for c in total} for half, part in shares.items()}
    room = {half: len(keys) * part for half, part in shares.items()}
    halves: dict[str, str] = {}
    for key in order:
        rare = min(grouped[key], key=lambda c: (total[c], c), default=None)
        need = {h: (want[h][rare] if rare is not None else 0.0, room[h]) for h in want}
        half = max((TRAIN, EVAL), key=lambda h: (need[h], h == TRAIN))
        halves[key] = half
        room[half] -= sizes[key]
        for label, count in grouped[key].items():
            want[half][label] -= count
    return np.array([halves[key] == EVAL for key in keys], bool)


def halve(whole: Split, keys: Sequence[str], share: float, seed: int) -> Halves:
    """Deal the images of a split out; `keys` names the group of each."""
    labels: list[Counter[int]] = [Counter() for _ in range(whole.images)]
    for image, label in zip(whole.image_of.tolist(), whole.class_of.tolist(), strict=True):
        if image >= 0 and label >= 0:
            labels[image][label] += 1
    # Images without a box are dealt out like a class of their own.
    for image, counted in enumerate(labels):
        if not counted:
            labels[image] = Counter({UNKNOWN: 1})
    in_val = deal(labels, keys, share, seed)
    sizes = Counter(keys)
    held = sum(count for count in sizes.values() if count > 1)
    return Halves(whole.take_images(~in_val), whole.take_images(in_val), len(sizes), held)


def split(
    data: DataSet,
    target: Path,
    share: float,
    seed: int,
    group: str | None,
    progress: Progress = silent,
) -> Halves:
    """Write `target`, a zip of all files of the set, with its one split dealt into two.

    Raises DatasetError where the set has its splits, or a half would have no boxes.
    """
    check_target(target)
    _need_written(data)
    need_sound(data)
    whole = _only_split(data)
    halves = halve(whole, group_keys(data.contents, whole, group, progress), share, seed)
    for name, half in (("train", halves.train), ("val", halves.val)):
        if not len(half):
            raise DatasetError(
                f"{name} would have no boxes: {halves.groups} group(s) can't be split at {share:g}",
                "Give another --val, or a --group pattern that joins fewer images.",
            )
    entries: dict[str, Entry] = {name: name for name in data.contents.names}
    entries.pop(whole.source, None)
    entries.update(FORMATS[data.layout.format].divide(data, whole, halves.train, halves.val))
    write_zip(target, data.contents, entries, progress)
    return halves


def _need_written(data: DataSet) -> None:
    module = FORMATS[data.layout.format]
    if not hasattr(module, "divide"):
        given = data.contents.given
        raise DatasetError(
            f"{data.contents.name} is a {module.READS.partition(' (')[0]} set, which is only read",
            f"Make COCO of it, then split that: jobgen dataset convert {given} DST.zip",
        )


def _only_split(data: DataSet) -> Split:
    if len(data.splits) != 1:
        names = ", ".join(split.place for split in data)
        raise DatasetError(
            f"splitting needs a set with one split or none; there are {names}",
            "A set that has its splits needs no splitting: jobgen init takes it as it is.",
        )
    return next(iter(data))


def group_keys(
    files: Contents, whole: Split, group: str | None, progress: Progress = silent
) -> list[str]:
    """The group of each image: what `group` finds in its name, else its bytes' hash.

    Raises DatasetError for a pattern that is none, and for an image that is not there.
    """
    try:
        pattern = re.compile(group) if group else None
    except re.error as error:
        raise DatasetError(f"--group {group}: {error}") from error
    keys = []
    for row, (name, path) in enumerate(zip(whole.image_names, whole.paths, strict=True), 1):
        found = pattern.search(name) if pattern else None
        if found:
            keys.append(found.group(1) if found.groups() else found.group())
        elif path in files.sizes:
            keys.append(hashlib.sha256(files.read(path)).hexdigest())
        else:
            raise DatasetError(
                f"{whole.place}: {name} is not in {whole.folder or 'the top folder'}",
                f"To leave it out: jobgen dataset convert {files.given} NEW.zip --fix DS050",
            )
        progress("comparing images", row, whole.images)
    return keys


def class_counts(part: Split) -> dict[str, int]:
    """Boxes of each class, by name."""
    return dict(zip(part.class_names, part.boxes_per_class.tolist(), strict=True))
