"""What a data set in an archive or folder is: format, root, splits, classes, counts.

Reads the same records as the notebook's `data` stage, from the archive itself.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.errors import DatasetError
from jobgen.files import sha256
from jobgen.runtime.archives import is_litter, open_archive, open_member
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
        return self._read(name)


def look(path: Path) -> FoundSet:
    """Find out what `path` holds. Raises DatasetError where that is not clear."""
    files = Files(path)
    try:
        return _voc(files) or _coco(files)
    except (StageError, ValueError) as error:
        raise DatasetError(f"{path.name}: {error}") from error


def _voc(files: Files) -> FoundSet | None:
    lists = [n for n in files.names if "/ImageSets/Main/" in f"/{n}" and n.endswith(".txt")]
    roots = {f"/{name}".split("/ImageSets/Main/")[0].lstrip("/") for name in lists}
    if len(roots) != 1:
        return None
    (root,) = roots
    by_stem = {posixpath.splitext(posixpath.basename(name))[0]: name for name in lists}
    chosen = {split: _pick(split, by_stem) for split in SPLIT_WORDS}
    images = {
        posixpath.splitext(posixpath.basename(name))[0]: name
        for name in files.names
        if name.endswith(IMAGE_ENDINGS) and name.startswith(root)
    }
    parsed: dict[str, list[tuple[str, VocImage]]] = {}
    for split, list_file in chosen.items():
        stems = read_split_list(files.read(list_file).decode("utf-8-sig"))
        parsed[split] = [
            (posixpath.basename(images[stem]), _annotation(files, root, stem)) for stem in stems
        ]
    classes = sorted({b.label for pairs in parsed.values() for _, i in pairs for b in i.boxes})
    found = {}
    for split, pairs in parsed.items():
        record, _ = coco_record(pairs, classes)
        folder = posixpath.relpath(posixpath.dirname(next(iter(images.values()))), root or ".")
        paths = {
            "images": folder,
            "annotations": "Annotations",
            "list": posixpath.relpath(chosen[split], root or "."),
        }
        counts = len(record["images"]), len(record["annotations"])
        found[split] = FoundSplit(paths, *counts, sha256(coco_text(record).encode()))
    return FoundSet("voc", root, classes, found["train"], found["eval"])


def _annotation(files: Files, root: str, stem: str) -> VocImage:
    name = posixpath.join(root, "Annotations", f"{stem}.xml")
    try:
        return parse_voc_image(files.read(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    except KeyError as error:
        raise ValueError(f"{name} is not there") from error


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
    by_stem = {posixpath.splitext(posixpath.basename(name))[0]: name for name in records}
    chosen = {split: _pick(split, by_stem) for split in SPLIT_WORDS}
    folders = {split: _image_folder(files, records[name][0]) for split, name in chosen.items()}
    tops = [posixpath.dirname(n) for n in chosen.values()] + list(folders.values())
    root = posixpath.commonpath(tops) if all(tops) else ""
    classes = [str(c.get("name")) for c in records[chosen["train"]][0]["categories"]]
    found = {}
    for split, name in chosen.items():
        record, digest = records[name]
        counts = check_coco(name, record, classes)
        paths = {
            "images": posixpath.relpath(folders[split], root or "."),
            "annotations": posixpath.relpath(name, root or "."),
        }
        found[split] = FoundSplit(paths, counts["images"], counts["boxes"], digest)
    return FoundSet("coco", root, classes, found["train"], found["eval"])


def _pick(split: str, by_stem: dict[str, str]) -> str:
    """The one file whose name says it is this split. Raises DatasetError with what there is."""
    for word in SPLIT_WORDS[split]:
        exact = [name for stem, name in by_stem.items() if stem.lower() == word]
        inside = [name for stem, name in by_stem.items() if word in stem.lower()]
        for found in (exact, inside):
            if len(found) == 1:
                return found[0]
    there = ", ".join(sorted(by_stem.values())[:8])
    raise DatasetError(
        f"no file is clearly the {split} split; there are {there}",
        f"Name the files so that one has {' or '.join(SPLIT_WORDS[split])} in its name.",
    )


def _image_folder(files: Files, record: dict[str, Any]) -> str:
    first = str(record["images"][0]["file_name"]) if record["images"] else ""
    found = {name[: -len(first) - 1] for name in files.names if name.endswith(f"/{first}")}
    if len(found) != 1:
        places = ", ".join(sorted(found)) or "no folder"
        raise DatasetError(f"the image {first} lies in {places}", "It must lie in just one.")
    return found.pop()
