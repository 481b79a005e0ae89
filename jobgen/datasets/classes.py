"""A classification set: folders of classes, or lists of images with their classes."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.record import EVAL, TRAIN
from jobgen.errors import DatasetError
from jobgen_runtime.classify.lists import (
    Row,
    Trouble,
    is_image,
    rows_digest,
    rows_of_folder,
    rows_of_list,
    split_line,
)

# What people call a split, the best name of each first.
SPLIT_NAMES = {
    TRAIN: ("train", "training"),
    EVAL: ("val", "valid", "validation", "eval", "dev", "test"),
}
LIST_FILE = re.compile(r"(\w+?)(?:[_-]?list)?\.txt", re.IGNORECASE)
LABEL_FILES = ("labels.txt", "label_list.txt", "label.txt", "classes.txt")
SPREAD = 40


@dataclass(frozen=True)
class ClassSplit:
    """One split: its rows, with paths below `prefix` (empty or ending in `/`), what of it can't be
    taken, and the keys that say it in job.yaml."""

    name: str
    prefix: str
    rows: list[Row]
    troubles: list[Trouble]
    keys: dict[str, str] = field(default_factory=dict)

    def path(self, row: Row) -> str:
        """Where an image lies in the set's files."""
        return posixpath.normpath(self.prefix + row.path)


@dataclass(frozen=True)
class ClassSet:
    """A set that was found: `root` is below datasets/, `form` is folders or lists. One split named
    `all` are folders that are not divided yet."""

    files: Contents
    root: str
    form: str
    classes: list[str]
    splits: dict[str, ClassSplit]

    def __iter__(self) -> Iterator[ClassSplit]:
        return iter(self.splits.values())


def expected_classes(split: ClassSplit) -> dict[str, Any]:
    """What the data stage will find in a split."""
    return {"images": len(split.rows), "sha256": rows_digest(split.rows)}


def find_class_set(files: Contents) -> ClassSet | None:
    """The classification set in some files; None where there is none."""
    return _by_lists(files) or _by_split_folders(files) or _by_folders(files)


def class_set_of_job(files: Contents, dataset: Mapping[str, Any]) -> ClassSet:
    """The set as a job.yaml's `dataset` names it. Raises DatasetError where a split is missing."""
    root, classes = dataset["root"], dataset["classes"]
    top = f"{root}/" if root else ""
    splits = {}
    for name in (TRAIN, EVAL):
        keys = dataset[name]
        if keys["folder"] is not None:
            prefix = f"{top}{keys['folder']}/" if keys["folder"] else top
            below = [n.removeprefix(prefix) for n in files.names if n.startswith(prefix)]
            rows, troubles = rows_of_folder(below, classes)
            found = bool(below)
        else:
            path, prefix = top + keys["list"], top + (keys["images"] and keys["images"] + "/")
            found = path in files.sizes
            rows, troubles = [], []
            if found:
                rows, troubles = rows_of_list(decoded(files.read(path)), classes, keys["list"])
        if not found:
            what = keys["folder"] if keys["folder"] is not None else keys["list"]
            raise DatasetError(
                f"{files.name} has no {top}{what}, which the job names as its {name} split",
                "Correct dataset in job.yaml, or let jobgen init write it anew.",
            )
        splits[name] = ClassSplit(name, prefix, rows, troubles)
    form = "folders" if dataset[TRAIN]["folder"] is not None else "lists"
    return ClassSet(files, root, form, list(classes), splits)


def _by_split_folders(files: Contents) -> ClassSet | None:
    """train/CLASS/... and val/CLASS/..., wherever in the files they lie."""
    tops: dict[str, set[str]] = defaultdict(set)
    for name in filter(is_image, files.names):
        parts = name.split("/")
        for depth in range(len(parts) - 2):
            if parts[depth].lower() in SPLIT_NAMES[TRAIN]:
                tops["/".join(parts[:depth])].add(parts[depth])
                break
    for root in sorted(tops, key=lambda path: (path.count("/"), path)):
        top = f"{root}/" if root else ""
        inside = [name.removeprefix(top) for name in files.names if name.startswith(top)]
        folders = {name.partition("/")[0] for name in inside if "/" in name}
        chosen = {
            split: next((f for n in names for f in sorted(folders) if f.lower() == n), "")
            for split, names in SPLIT_NAMES.items()
        }
        if not chosen[TRAIN]:
            continue
        trains = _classes_below(inside, f"{chosen[TRAIN]}/")
        if len(trains) < 2:
            continue
        splits = {}
        for split, folder in chosen.items():
            if folder:
                below = [n.removeprefix(f"{folder}/") for n in inside if n.startswith(f"{folder}/")]
                rows, troubles = rows_of_folder(below, trains)
                keys = {"folder": folder}
                splits[split] = ClassSplit(split, f"{top}{folder}/", rows, troubles, keys)
        return ClassSet(files, root, "folders", trains, splits)
    return None


def _classes_below(names: Sequence[str], prefix: str) -> list[str]:
    """The folders directly below a place that have images in them, sorted as PaddleClas's own
    tools number them."""
    found = set()
    for name in names:
        if name.startswith(prefix) and is_image(name):
            folder, slash, _ = name.removeprefix(prefix).partition("/")
            if slash:
                found.add(folder)
    return sorted(found)


def _by_folders(files: Contents) -> ClassSet | None:
    """CLASS/... in one folder, not divided yet; nothing but images counts."""
    others = (".json", ".xml", ".csv")
    if any(name.lower().endswith(others) for name in files.names):
        return None
    holders: dict[str, set[str]] = defaultdict(set)
    for name in filter(is_image, files.names):
        folder = posixpath.dirname(name)
        holders[posixpath.dirname(folder)].add(folder)
    fitting = [top for top, folders in holders.items() if len(folders) > 1 and "" not in folders]
    if len(fitting) != 1:
        return None
    root = fitting[0]
    top = f"{root}/" if root else ""
    below = [name.removeprefix(top) for name in files.names if name.startswith(top)]
    classes = _classes_below(below, "")
    rows, troubles = rows_of_folder(below, classes)
    return ClassSet(
        files, root, "folders", classes, {"all": ClassSplit("all", top, rows, troubles)}
    )


def _by_lists(files: Contents) -> ClassSet | None:
    """train.txt or train_list.txt and their like, with `image class` in each line."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name in files.names:
        match = LIST_FILE.fullmatch(posixpath.basename(name))
        split = match and _split_called(match.group(1))
        if split and _is_class_list(files, name):
            here = found[posixpath.dirname(name)]
            rank = SPLIT_NAMES[split].index(match.group(1).lower()) if match else 0
            held = here.get(split)
            if held is None or rank < _rank(held, split):
                here[split] = name
    for root in sorted(found, key=lambda path: (path.count("/"), path)):
        if TRAIN in found[root]:
            return _list_set(files, root, found[root])
    return None


def _split_called(word: str) -> str:
    return next((split for split, names in SPLIT_NAMES.items() if word.lower() in names), "")


def _rank(name: str, split: str) -> int:
    match = LIST_FILE.fullmatch(posixpath.basename(name))
    return SPLIT_NAMES[split].index(match.group(1).lower()) if match else 99


def _is_class_list(files: Contents, name: str) -> bool:
    """Whether the first lines name images of the set, each with a class behind it."""
    lines = [line for line in decoded(files.read(name)).splitlines() if line.strip()][:SPREAD]
    pairs = [split_line(line) for line in lines]
    good = [image for image, label in pairs if is_image(image) and not re.search(r"[/.]", label)]
    return len(good) > len(lines) / 2


def _list_set(files: Contents, root: str, lists: dict[str, str]) -> ClassSet:
    top = f"{root}/" if root else ""
    classes = _listed_classes(files, top, lists)
    splits = {}
    for split, name in sorted(lists.items(), key=lambda pair: pair[0] != TRAIN):
        short = name.removeprefix(top)
        rows, troubles = rows_of_list(decoded(files.read(name)), classes, short)
        below = _images_folder(files, top, rows)
        keys = {"list": short, **({"images": below} if below else {})}
        prefix = top + (f"{below}/" if below else "")
        splits[split] = ClassSplit(split, prefix, rows, troubles, keys)
    return ClassSet(files, root, "lists", classes, splits)


def _listed_classes(files: Contents, top: str, lists: dict[str, str]) -> list[str]:
    """The classes by their numbers: out of a file of labels, else the labels themselves."""
    for name in LABEL_FILES:
        if top + name in files.sizes:
            lines = [line.strip() for line in decoded(files.read(top + name)).splitlines()]
            rows = [re.sub(r"^\d+[\s:,]+", "", line) for line in lines if line]
            if len(rows) > 1 and len(set(rows)) == len(rows):
                return rows
    labels = {
        label
        for name in lists.values()
        for image, label in map(split_line, decoded(files.read(name)).splitlines())
        if image
    }
    if all(label.isdigit() for label in labels) and labels:
        return [str(number) for number in range(max(map(int, labels)) + 1)]
    return sorted(labels)


def _images_folder(files: Contents, top: str, rows: Sequence[Row]) -> str:
    """The folder below the root that the paths of a list begin in; most often the root itself."""
    some = rows[: SPREAD * SPREAD : SPREAD] or rows[:1]
    if any(posixpath.normpath(top + row.path) in files.sizes for row in some):
        return ""
    for folder in sorted({posixpath.dirname(name) for name in files.names}):
        if folder.startswith(top) or not top:
            below = folder.removeprefix(top)
            paths = (posixpath.normpath(f"{top}{below}/{row.path}") for row in some)
            if below and all(path in files.sizes for path in paths):
                return below
    return ""
