"""A set without splits, or with one, dealt into train and val: seeded, stratified by class.

Images that belong together stay together: those of the same bytes, and those for
which a pattern finds the same text in the file name.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.found import below, common_folder, job_word, split_word
from jobgen.datasets.look import need_sound
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.record import EVAL, TRAIN, UNKNOWN, DataSet, Mask, Split
from jobgen.errors import DatasetError


@dataclass(frozen=True)
class Division:
    """How a set is dealt out: the shares of val and test, or the number of folds; images in whose
    names the pattern `group` finds the same text stay together; `keep_test` leaves the test split
    of the set as it is, and deals out all others; `anew` deals out all of them."""

    val: float = 0.2
    test: float = 0.0
    folds: int = 0
    seed: int = 1
    group: str | None = None
    keep_test: bool = False
    anew: bool = False

    @property
    def shares(self) -> dict[str, float]:
        if self.folds:
            return {str(fold): 1 / self.folds for fold in range(1, self.folds + 1)}
        shares = {TRAIN: 1 - self.val - self.test, EVAL: self.val}
        return {**shares, "test": self.test} if self.test else shares


@dataclass(frozen=True)
class Dealt:
    """The parts of a split by name, and how many images were in groups that were kept together."""

    parts: dict[str, Split]
    groups: int
    held_together: int

    @property
    def train(self) -> Split:
        return self.parts[TRAIN]

    @property
    def val(self) -> Split:
        return self.parts[EVAL]


def deal_into(
    labels: Sequence[Counter[int]], keys: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    """The part of each image, so that each part has about its share of the boxes of each class.

    `labels` counts the boxes of each image by class, `keys` names its group. The groups with
    the rarest classes are dealt first, each to the part that lacks its boxes most.
    """
    grouped: dict[str, Counter[int]] = {key: Counter() for key in keys}
    for key, found in zip(keys, labels, strict=True):
        grouped[key] += found
    sizes = Counter(keys)
    total: Counter[int] = sum(grouped.values(), Counter())
    order = sorted(grouped)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda key: min((total[c] for c in grouped[key]), default=len(keys)))
    want = {part: {c: total[c] * share for c in total} for part, share in shares.items()}
    room = {part: len(keys) * share for part, share in shares.items()}
    parts: dict[str, str] = {}
    for key in order:
        rare = min(grouped[key], key=lambda c: (total[c], c), default=None)
        need = {p: (want[p][rare] if rare is not None else 0.0, room[p]) for p in want}
        part = max(shares, key=lambda p: need[p])
        parts[key] = part
        room[part] -= sizes[key]
        for label, count in grouped[key].items():
            want[part][label] -= count
    _fill(parts, grouped, list(shares))
    return [parts[key] for key in keys]


def _fill(parts: dict[str, str], grouped: Mapping[str, Counter[int]], names: Sequence[str]) -> None:
    """Give a part of a small set that got no box a group of the part that has most."""
    for name in names:
        full = {n: [k for k, part in parts.items() if part == n and _boxes(grouped[k])]
                for n in names}  # fmt: skip
        most = max(names, key=lambda n: len(full[n]))
        if not full[name] and len(full[most]) > 1:
            parts[full[most][-1]] = name


def _boxes(found: Counter[int]) -> int:
    return sum(count for label, count in found.items() if label != UNKNOWN)


def deal(labels: Sequence[Counter[int]], keys: Sequence[str], share: float, seed: int) -> Mask:
    """Which images go to val, bool (N,), so that each class has about `share` of its boxes there;
    as deal_into()."""
    parts = deal_into(labels, keys, {TRAIN: 1 - share, EVAL: share}, seed)
    return np.array([part == EVAL for part in parts], bool)


def part_split(whole: Split, keys: Sequence[str], shares: Mapping[str, float], seed: int) -> Dealt:
    """Deal the images of a split out; `keys` names the group of each."""
    labels: list[Counter[int]] = [Counter() for _ in range(whole.images)]
    for image, label in zip(whole.image_of.tolist(), whole.class_of.tolist(), strict=True):
        if image >= 0 and label >= 0:
            labels[image][label] += 1
    # Images without a box are dealt out like a class of their own.
    for image, counted in enumerate(labels):
        if not counted:
            labels[image] = Counter({UNKNOWN: 1})
    dealt = np.array(deal_into(labels, keys, shares, seed))
    parts = {p: replace(whole.take_images(dealt == p), name=p) for p in shares}
    sizes = Counter(keys)
    return Dealt(parts, len(sizes), sum(count for count in sizes.values() if count > 1))


def divided(
    data: DataSet, division: Division, progress: Progress = silent
) -> tuple[DataSet, Dealt]:
    """The set with its images dealt out. With folds its splits are the folds.

    Raises DatasetError where it has its splits already, or a part would have no boxes.
    """
    kept: dict[str, Split] = {}
    if len(data.splits) > 1 and (division.keep_test or division.folds or division.anew):
        test = "" if division.anew else "test"
        test = test_split_of(data) if division.keep_test else test
        rest = [split for name, split in data.splits.items() if name != test]
        kept = {"test": replace(data.splits[test], name="test")} if test in data.splits else {}
        whole = pooled(rest, data.classes)
    elif division.keep_test:
        test_split_of(data)
        whole = _only_split(data)
    else:
        whole = _only_split(data)
    keys = group_keys(data.contents, whole, division.group, progress)
    dealt = part_split(whole, keys, division.shares, division.seed)
    for name, part in dealt.parts.items():
        if not len(part):
            what = f"fold {name}" if division.folds else job_word(name)
            joined = ", or a --group pattern that joins fewer images" if division.group else ""
            raise DatasetError(
                f"{what} of {data.contents.name} would have no boxes: there are {dealt.groups} "
                f"group(s) of images for {len(dealt.parts)} parts",
                f"Label more images{joined}.",
            )
    return replace(data, splits={**dealt.parts, **kept}), dealt


def test_split_of(data: DataSet) -> str:
    """The split that is the set's test, be it called eval because there is no val. Raises
    DatasetError for a set without one."""
    if "test" in data.splits and len(data.splits) > 1:
        return "test"
    last = data.eval
    named = last is not None and split_word(last.source or last.folder)[0] == "test"
    if named and data.train is not None:
        return EVAL
    raise DatasetError(
        f"{data.contents.name} has no test split to keep",
        "To deal out all splits: --anew; a test split too: --test 0.1",
    )


def pooled(splits: Iterable[Split], classes: Sequence[str], name: str = "all") -> Split:
    """Several splits as one, their classes in the order of `classes`, every image by its path."""
    parts = list(splits)
    starts = np.cumsum([0, *(part.images for part in parts)])
    rows = {label: row for row, label in enumerate(classes)}
    images, labels = [], []
    for part, start in zip(parts, starts, strict=False):
        of_class = np.array([rows.get(n, UNKNOWN) for n in part.class_names] + [UNKNOWN], np.int64)
        images.append(np.where(part.image_of >= 0, part.image_of + start, UNKNOWN))
        labels.append(of_class[part.class_of])
    boxes = np.concatenate([part.boxes for part in parts])
    paths = [path for part in parts for path in part.paths]
    folder = common_folder(paths)
    return replace(
        parts[0],
        name=name,
        folder=folder,
        source="",
        image_names=[below(folder, path) for path in paths],
        image_ids=np.arange(1, starts[-1] + 1),
        widths=np.concatenate([part.widths for part in parts]),
        heights=np.concatenate([part.heights for part in parts]),
        class_names=list(classes),
        class_ids=np.arange(1, len(classes) + 1),
        box_ids=np.arange(1, len(boxes) + 1),
        image_of=np.concatenate(images),
        class_of=np.concatenate(labels),
        boxes=boxes,
        area=np.concatenate([part.area for part in parts]),
        crowd=np.concatenate([part.crowd for part in parts]),
        ignored=np.concatenate([part.ignored for part in parts]),
        troubles=[trouble for part in parts for trouble in part.troubles],
        sources=[s for part in parts for s in part.sources or [""] * part.images],
        image_items=np.arange(starts[-1]),
        box_items=np.arange(len(boxes)),
    )


def split(data: DataSet, target: Path, division: Division, progress: Progress = silent) -> Dealt:
    """Write `target`, a zip of all files of the set, with its one split dealt into several.

    Raises DatasetError as divided() does, and where the set's format has no way to say it.
    """
    check_target(target)
    need_sound(data)
    whole = _only_split(data)
    _, dealt = divided(data, division, progress)
    entries: dict[str, Entry] = {name: name for name in data.contents.names}
    entries.pop(whole.source, None)
    parts = {job_word(name): part for name, part in dealt.parts.items()}
    entries.update(FORMATS[data.layout.format].divide(data, whole, parts))
    write_zip(target, data.contents, entries, progress)
    return dealt


def in_its_format(data: DataSet, division: Division) -> bool:
    """Whether the set's own format can say the division, all its other files as they are."""
    module = FORMATS[data.layout.format]
    others = division.folds or division.keep_test or division.anew
    return hasattr(module, "divide") and not others


def _only_split(data: DataSet) -> Split:
    if len(data.splits) != 1:
        names = ", ".join(job_word(name) for name in data.splits)
        raise DatasetError(
            f"splitting needs a set with one split or none; there are {names}",
            "jobgen init takes a set with train and val as it is. To deal it out again: --anew, or "
            "--keep-test, which leaves test alone.",
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
