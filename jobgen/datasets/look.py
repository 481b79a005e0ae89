"""What a data set in an archive or folder is: format, root, splits, classes, counts.

Reads the same records as the notebook's `data` stage, from the archive itself.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen.runtime.archives import DAMAGE, is_litter, open_archive, open_member
from jobgen.runtime.dataset import check_coco
from jobgen.runtime.outcome import StageError
from jobgen.runtime.voc import (
    IMAGE_ENDINGS,
    VocImage,
    coco_record,
    coco_text,
    parse_voc_image,
    read_split_list,
)

WHOLE_SPLITS = ("train", "val", "valid", "eval", "test")
SPLIT_WORDS = {"train": ("train",), "eval": ("val", "valid", "eval", "test")}


@dataclass(frozen=True)
class FoundSplit:
    """One split: paths below the root, counts, and the SHA-256 of its COCO file."""

    files: dict[str, str]
    images: int
    boxes: int
    sha256: str


@dataclass(frozen=True)
class FoundSet:
    """A data set as job.yaml describes it."""

    format: str
    root: str
    classes: list[str]
    train: FoundSplit
    eval: FoundSplit


class Files:
    """The files of an archive or a folder, by relative path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise DatasetError(f"{path} is not there")
        self._read: Callable[[str], bytes]
        if path.is_dir():
            # A folder source keeps its own name below datasets/.
            found = {
                f"{path.name}/{p.relative_to(path).as_posix()}": p
                for p in sorted(path.rglob("*"))
                if p.is_file() and not is_litter(p.name)
            }
            self.names = list(found)
            self._read = lambda name: found[name].read_bytes()
            return
        try:
            archive, members = open_archive(str(path))
        except StageError as error:
            raise DatasetError(error.message, error.remedy) from error
        known = {member.name: member for member in members}
        self.names = list(known)
        self._read = lambda name: open_member(archive, known[name]).read()

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises DatasetError where they are damaged."""
        try:
            return self._read(name)
        except (*DAMAGE, OSError) as error:
            raise DatasetError(f"{self.path.name}: {name} can't be read: {error}") from error


def look(path: Path) -> FoundSet:
    """Find out what `path` holds. Raises DatasetError where that is not clear."""
    path = path.resolve()
    files = Files(path)
    try:
        return _voc(files) or _coco(files)
    except StageError as error:
        raise DatasetError(f"{path.name}: {error.message}", error.remedy) from error
    except ValueError as error:
        raise DatasetError(f"{path.name}: {error}") from error


def _voc(files: Files) -> FoundSet | None:
    lists = [n for n in files.names if "/ImageSets/Main/" in f"/{n}" and n.endswith(".txt")]
    roots = {f"/{name}".split("/ImageSets/Main/")[0].lstrip("/") for name in lists}
    if len(roots) != 1:
        return None
    (root,) = roots
    chosen = _pick_splits([n for n in lists if _stem(n) in WHOLE_SPLITS])
    stems = {s: read_split_list(files.read(n).decode("utf-8-sig")) for s, n in chosen.items()}
    folder, images = _voc_images(files, root, [stem for part in stems.values() for stem in part])
    parsed = {
        split: [(images[stem], _annotation(files, root, stem)) for stem in part]
        for split, part in stems.items()
    }
    classes = sorted({b.label for pairs in parsed.values() for _, i in pairs for b in i.boxes})
    found = {}
    for split, pairs in parsed.items():
        record, _ = coco_record(pairs, classes)
        paths = {
            "images": _below(root, folder),
            "annotations": "Annotations",
            "list": _below(root, chosen[split]),
        }
        counts = len(record["images"]), len(record["annotations"])
        found[split] = FoundSplit(paths, *counts, sha256(coco_text(record).encode()))
    return FoundSet("voc", root, classes, found["train"], found["eval"])


def _below(root: str, path: str) -> str:
    return posixpath.relpath(path or ".", root or ".")


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _voc_images(files: Files, root: str, stems: list[str]) -> tuple[str, dict[str, str]]:
    """The one folder that has an image of every stem, and their file names. A segmentation
    mask of the same stem lies in another folder and does not count."""
    folders: dict[str, dict[str, str]] = {}
    for name in files.names:
        if name.endswith(IMAGE_ENDINGS) and name.startswith(root):
            names = folders.setdefault(posixpath.dirname(name), {})
            names[_stem(name)] = posixpath.basename(name)
    usual = posixpath.join(root, "JPEGImages")
    order = sorted(folders, key=lambda folder: (folder != usual, folder))
    for folder in order:
        if set(stems) <= set(folders[folder]):
            return folder, folders[folder]
    missing = [stem for stem in stems if stem not in folders.get(usual, {})]
    raise ValueError(f"no folder has an image of every listed stem; {missing[0]} is missing first")


def _annotation(files: Files, root: str, stem: str) -> VocImage:
    name = posixpath.join(root, "Annotations", f"{stem}.xml")
    if name not in files.names:
        raise ValueError(f"{name} is not there")
    try:
        return parse_voc_image(files.read(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _coco(files: Files) -> FoundSet:
    records = {}
    for name in files.names:
        if name.endswith(".json"):
            data = files.read(name)
            try:
                record = json.loads(data.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and {"images", "annotations", "categories"} <= set(record):
                records[name] = (record, sha256(data))
    if not records:
        raise DatasetError(
            f"{files.path.name} holds neither COCO files nor Pascal VOC with ImageSets/Main",
            "jobgen reads COCO (train and val JSON) and Pascal VOC (Annotations, ImageSets/Main).",
        )
    chosen = _pick_splits(list(records))
    classes = _class_names(records[chosen["train"]][0])
    counted = {s: check_coco(n, records[n][0], classes) for s, n in chosen.items()}
    folders = {s: _image_folder(files, s, records[n][0]) for s, n in chosen.items()}
    tops = [posixpath.dirname(n) for n in chosen.values()] + list(folders.values())
    root = posixpath.commonpath(tops) if all(tops) else ""
    found = {}
    for split, name in chosen.items():
        digest, counts = records[name][1], counted[split]
        paths = {
            "images": _below(root, folders[split]),
            "annotations": _below(root, name),
        }
        found[split] = FoundSplit(paths, counts["images"], counts["boxes"], digest)
    return FoundSet("coco", root, classes, found["train"], found["eval"])


def _class_names(record: dict[str, Any]) -> list[str]:
    return [str(c.get("name")) if isinstance(c, dict) else "" for c in record["categories"]]


def _pick_splits(names: list[str]) -> dict[str, str]:
    """The files whose names say they are the train and the eval split. Raises DatasetError.

    Words are whole: `trainval` is neither. `val` is preferred to `test`.
    """
    words = {name: set(re.findall("[a-z]+", _stem(name).lower())) for name in names}
    found = {}
    for split, known in SPLIT_WORDS.items():
        for word in known:
            matching = [name for name in names if word in words[name]]
            if len(matching) == 1:
                found[split] = matching[0]
                break
    if len(set(found.values())) == len(SPLIT_WORDS):
        return found
    there = ", ".join(sorted(names)[:8]) or "none"
    lacking = next((split for split in SPLIT_WORDS if split not in found), "eval")
    raise DatasetError(
        f"no file is clearly the {lacking} split; there are {there}",
        f"Name one file with {' or '.join(SPLIT_WORDS[lacking])} as a word of its own.",
    )


def _image_folder(files: Files, split: str, record: dict[str, Any]) -> str:
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
