"""A data set that was found: what job.yaml says of it, and its splits as COCO records."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from jobgen.errors import DatasetError

SPLIT_WORDS = {"train": ("train",), "eval": ("val", "valid", "eval", "test")}


@dataclass(frozen=True)
class FoundSplit:
    """One split: paths below the root, the SHA-256 of its COCO file, and the record itself."""

    files: dict[str, str]
    sha256: str
    record: dict[str, Any] = field(repr=False)

    @property
    def images(self) -> int:
        return len(self.record["images"])

    @property
    def boxes(self) -> int:
        return len(self.record["annotations"])


@dataclass(frozen=True)
class FoundSet:
    """A data set as job.yaml describes it."""

    format: str
    root: str
    classes: list[str]
    train: FoundSplit
    eval: FoundSplit


def below(root: str, path: str) -> str:
    """`path` as seen from `root`; both may be empty for the top."""
    return posixpath.relpath(path or ".", root or ".")


def stem_of(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def pick_splits(names: list[str]) -> dict[str, str]:
    """The files whose names say they are the train and the eval split. Raises DatasetError.

    Words are whole: `trainval` is neither. `val` is preferred to `test`.
    """
    words = {name: set(re.findall("[a-z]+", stem_of(name).lower())) for name in names}
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
        f"Name one file with {' or '.join(SPLIT_WORDS[lacking])} as a word of its own; a set with "
        "one COCO file can be split: jobgen dataset split SOURCE TARGET.zip",
    )
