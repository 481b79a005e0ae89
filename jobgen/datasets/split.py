"""A COCO set with one annotation file, split into train and val: seeded, stratified by class.

Images that belong together stay together: those of the same bytes, and those for
which a pattern finds the same text in the file name.
"""

from __future__ import annotations

import json
import os
import random
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.datasets.coco import annotation_files, image_folder
from jobgen.datasets.contents import Contents
from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen.runtime.coco import check_coco
from jobgen.runtime.outcome import StageError

Record = dict[str, Any]
# The epoch of zip files: the same bytes for the same input, on any day.
STAMP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class SplitPlan:
    """Both halves as COCO records, and how many groups of images were kept together."""

    train: Record
    val: Record
    groups: int
    held_together: int


def split_records(record: Record, keys: dict[int, str], share: float, seed: int) -> SplitPlan:
    """Deal the groups out so that each class has about `share` of its boxes in val.

    `keys` gives each image id the name of its group. The groups with the rarest
    classes are dealt first, each to the half that lacks its boxes most.
    """
    labels: dict[str, Counter[int]] = {key: Counter() for key in keys.values()}
    for box in record["annotations"]:
        labels[keys[box["image_id"]]][box["category_id"]] += 1
    sizes = Counter(keys.values())
    total: Counter[int] = sum(labels.values(), Counter())
    order = sorted(labels)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda key: min((total[c] for c in labels[key]), default=len(keys)))
    lacking = {"train": 1 - share, "val": share}
    want = {half: {c: total[c] * part for c in total} for half, part in lacking.items()}
    room = {half: len(keys) * part for half, part in lacking.items()}
    halves: dict[str, str] = {}
    for key in order:
        rare = min(labels[key], key=lambda c: (total[c], c), default=None)
        need = {h: (want[h][rare] if rare is not None else 0.0, room[h]) for h in want}
        half = max(("train", "val"), key=lambda h: (need[h], h == "train"))
        halves[key] = half
        room[half] -= sizes[key]
        for label, count in labels[key].items():
            want[half][label] -= count
    return SplitPlan(
        train=_part(record, keys, halves, "train"),
        val=_part(record, keys, halves, "val"),
        groups=len(labels),
        held_together=sum(count for count in sizes.values() if count > 1),
    )


def _part(record: Record, keys: dict[int, str], halves: dict[str, str], half: str) -> Record:
    images = [image for image in record["images"] if halves[keys[image["id"]]] == half]
    ids = {image["id"] for image in images}
    boxes = [box for box in record["annotations"] if box["image_id"] in ids]
    return {**record, "info": record.get("info", {}), "images": images, "annotations": boxes}


def split(source: Path, target: Path, share: float, seed: int, group: str | None) -> SplitPlan:
    """Write `target`, a zip with train.json, val.json and all other files of `source`.

    Raises DatasetError where `source` has not just one COCO file, or a half would
    have no boxes.
    """
    files = Contents(source)
    name, record = _only_record(files)
    folder = image_folder(files, "train", record)
    keys = dict(_group_keys(files, folder, record, group))
    plan = split_records(record, keys, share, seed)
    for half, part in (("train", plan.train), ("val", plan.val)):
        if not part["annotations"]:
            raise DatasetError(
                f"{half} would have no boxes: {plan.groups} group(s) can't be split at {share:g}",
                "Give another --val, or a --group pattern that joins fewer images.",
            )
    _write(files, name, plan, target)
    return plan


def _only_record(files: Contents) -> tuple[str, Record]:
    found = annotation_files(files)
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise DatasetError(
            f"splitting needs just one COCO annotation file; there are {names}",
            "A set that has its splits needs no splitting: jobgen init takes it as it is.",
        )
    ((name, (record, _)),) = found.items()
    classes = [str(c.get("name")) for c in record["categories"] if isinstance(c, dict)]
    try:
        check_coco(name, record, classes)
    except StageError as error:
        raise DatasetError(error.message, error.remedy) from error
    return name, record


def _group_keys(
    files: Contents, folder: str, record: Record, group: str | None
) -> Iterator[tuple[int, str]]:
    """The group of each image: what `group` finds in its name, else its bytes' hash."""
    try:
        pattern = re.compile(group) if group else None
    except re.error as error:
        raise DatasetError(f"--group {group}: {error}") from error
    for image in record["images"]:
        found = pattern.search(image["file_name"]) if pattern else None
        if found:
            yield image["id"], found.group(1) if found.groups() else found.group()
        else:
            path = f"{folder}/{image['file_name']}".lstrip("/")
            yield image["id"], sha256(files.read(path))


def _write(files: Contents, annotations: str, plan: SplitPlan, target: Path) -> None:
    top = annotations.rpartition("/")[0]
    made = {
        f"{top}/{half}.json".lstrip("/"): json.dumps(part, ensure_ascii=False).encode()
        for half, part in (("train", plan.train), ("val", plan.val))
    }
    kept = [name for name in files.names if name != annotations and name not in made]
    target.parent.mkdir(parents=True, exist_ok=True)
    half_done = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(half_done, "w") as archive:
            for name in sorted([*made, *kept]):
                data = made[name] if name in made else files.read(name)
                archive.writestr(zipfile.ZipInfo(name, STAMP), data)
        half_done.replace(target)
    finally:
        half_done.unlink(missing_ok=True)


def class_counts(record: Record) -> dict[str, int]:
    """Boxes of each class, by name."""
    counts = Counter(box["category_id"] for box in record["annotations"])
    return {category["name"]: counts[category["id"]] for category in record["categories"]}
