"""COCO: one JSON a split."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from jobgen.datasets.contents import Contents
from jobgen.datasets.found import SPLIT_WORDS, FoundSet, FoundSplit, below, pick_splits
from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen.runtime.coco import check_coco


def annotation_files(files: Contents) -> dict[str, tuple[dict[str, Any], str]]:
    """Every COCO file: its name, its record and its SHA-256."""
    records: dict[str, tuple[dict[str, Any], str]] = {}
    for name in files.names:
        if name.endswith(".json"):
            data = files.read(name)
            try:
                record = json.loads(data.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and {"images", "annotations", "categories"} <= set(record):
                records[name] = (record, sha256(data))
    return records


def find(files: Contents) -> FoundSet | None:
    """The set, or None where this is no COCO. Raises StageError and DatasetError."""
    records = annotation_files(files)
    if not records:
        return None
    chosen = pick_splits(list(records))
    classes = _class_names(records[chosen["train"]][0])
    for name in chosen.values():
        check_coco(name, records[name][0], classes)
    folders = {s: image_folder(files, s, records[n][0]) for s, n in chosen.items()}
    tops = [posixpath.dirname(n) for n in chosen.values()] + list(folders.values())
    root = posixpath.commonpath(tops) if all(tops) else ""
    found = {}
    for split, name in chosen.items():
        record, digest = records[name]
        paths = {
            "images": below(root, folders[split]),
            "annotations": below(root, name),
        }
        found[split] = FoundSplit(paths, digest, record)
    return FoundSet("coco", root, classes, found["train"], found["eval"])


def _class_names(record: dict[str, Any]) -> list[str]:
    return [str(c.get("name")) if isinstance(c, dict) else "" for c in record["categories"]]


def image_folder(files: Contents, split: str, record: dict[str, Any]) -> str:
    """The one folder that holds every image of the split; a folder named as the split wins."""
    wanted = {str(image["file_name"]) for image in record["images"]}
    first = min(wanted, default="")
    there = set(files.names)
    folders = [n[: -len(first)].rstrip("/") for n in files.names if f"/{n}".endswith(f"/{first}")]
    whole = [f for f in folders if all(posixpath.join(f, name) in there for name in wanted)]
    named = [f for f in whole if SPLIT_WORDS[split][0] in f.lower()]
    for found in (whole, named):
        if len(found) == 1:
            return found[0]
    if whole:
        places = ", ".join(sorted(whole))
        raise DatasetError(f"the images of {split} lie in {places}", "Keep just one of them.")
    lacking = sum(
        1 for name in wanted if not any(posixpath.join(f, name) in there for f in folders)
    )
    raise DatasetError(
        f"no folder holds all {len(wanted)} images of {split}; {max(lacking, 1)} are nowhere",
        "Add the images, or correct their file_name in the annotation file.",
    )
