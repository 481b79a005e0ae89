"""Splits and folders by their names: what every reader needs to find its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from jobgen.datasets.contents import Contents
from jobgen.datasets.record import EVAL, TRAIN

# A split's name in job.yaml, and the words that files and folders have for it.
SPLIT_WORDS = {
    TRAIN: ("train", "training"),
    EVAL: ("val", "valid", "validation", "validate", "eval", "dev"),
    "test": ("test", "testing"),
}
WHOLE = "all"


def job_word(split: str) -> str:
    """A split's name in files: job.yaml says eval, everybody's files say val."""
    return "val" if split == EVAL else split


def below(root: str, path: str) -> str:
    """`path` as seen from `root`; both may be empty for the top."""
    return posixpath.relpath(path or ".", root or ".")


def common_folder(paths: Iterable[str]) -> str:
    """The folder that all files lie in, itself or below; empty for the top."""
    folders = {posixpath.dirname(path) for path in paths}
    return posixpath.commonpath(folders) if folders and all(folders) else ""


def stem_of(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def split_word(text: str) -> tuple[str | None, str]:
    """The split that a name speaks of, and the name without that word.

    Words are whole: `trainval` speaks of none. `instances_train2017` is train. The last
    word counts, that of the file before that of its folder.
    """
    words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
    for place in reversed(range(len(words))):
        for split, known in SPLIT_WORDS.items():
            if words[place].lower() in known:
                return split, "".join([*words[:place], "*", *words[place + 1 :]])
    return None, text


def group_splits(
    names: Iterable[str], words: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Files as data sets: names that differ in the word for the split only belong together.

    Each group is {split: name}; a name without such a word is a group {WHOLE: name} of
    its own. `test` stands in for a missing eval split. `words` says of stems what they are.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        split, pattern = split_word(name)
        stem = stem_of(name).lower()
        if words and stem in words:
            split, pattern = (
                words[stem],
                name[: len(name) - len(posixpath.basename(name))] + "*.txt",
            )
        group = groups.setdefault(pattern if split else f"\0{name}", {})
        if (split or WHOLE) in group:  # such as val.json beside valid.json
            group = groups.setdefault(f"\0{name}", {})
        group[split or WHOLE] = name
    return [_with_eval(group) for group in groups.values()]


# In the memo of a source: the files of splits that have nothing in them.
EMPTY = " empty splits"


def filled(files: Contents, names: list[str], empty: list[str]) -> list[str]:
    """Of the files of splits those with something in them; the others are remembered, to be told.
    Some of them must be: a set of nothing else stays as it is."""
    left = [name for name in names if name not in empty]
    if not left:
        return names
    known = files.memo.setdefault(EMPTY, [])
    known += [name for name in empty if name not in known]
    return left


def _with_eval(group: dict[str, str]) -> dict[str, str]:
    if EVAL not in group and "test" in group:
        group = {**group, EVAL: group["test"]}
        del group["test"]
    order = [TRAIN, EVAL, "test", WHOLE]
    return {split: group[split] for split in order if split in group}
