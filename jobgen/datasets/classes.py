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
    are_numbers,
    is_image,
    rows_digest,
    rows_of_folder,
    rows_of_list,
    split_line,
)

# What people call a split, the best name of each first.
SPLIT_NAMES = {
    TRAIN: ("train", "training", "training_set", "train_set", "训练集", "训练"),
    EVAL: (
        *("val", "valid", "validation", "validation_set", "val_set", "验证集", "验证"),
        *("eval", "dev", "test", "test_set", "测试集", "测试"),
    ),
}
# Folders that are a part of every set, and no class.
NO_CLASSES = frozenset(
    (
        *("images", "imgs", "image", "jpegimages", "masks", "mask", "labels", "label"),
        *("annotations", "annotation", "labelme", "json", "xml"),
        *(name for names in SPLIT_NAMES.values() for name in names),
    )
)
LIST_FILE = re.compile(r"(\w+?)(?:[_-]?list)?\.txt", re.IGNORECASE)
LABEL_FILES = re.compile(r"(\w*_)?(labels?|label_list|classes|class_names)\.txt", re.IGNORECASE)
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
    lists, folders = _by_lists(files), _by_split_folders(files) or _by_folders(files)
    if lists is None or folders is None:
        return lists or folders
    # A list of a few images beside folders of many is there by chance.
    rows = [sum(len(split.rows) for split in found) for found in (lists, folders)]
    return lists if 2 * rows[0] >= rows[1] else folders


def class_set_of_job(files: Contents, dataset: Mapping[str, Any]) -> ClassSet:
    """The set as a job.yaml's `dataset` names it. Raises DatasetError where a split is missing."""
    root, classes = dataset["root"], dataset["classes"]
    top = f"{root}/" if root else ""
    splits = {}
    paths = [top + dataset[name]["list"] for name in (TRAIN, EVAL) if dataset[name]["list"]]
    numbered = are_numbers((decoded(files.read(p)) for p in paths if p in files.sizes), classes)
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
                text = decoded(files.read(path))
                rows, troubles = rows_of_list(text, classes, keys["list"], numbered)
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
    """CLASS/... in one folder, not divided yet; where most images have a file of their own beside
    them, these are annotations."""
    others = sum(name.lower().endswith((".json", ".xml")) for name in files.names)
    if 2 * others > sum(map(is_image, files.names)):
        return None
    holders: dict[str, set[str]] = defaultdict(set)
    for name in filter(is_image, files.names):
        folder = posixpath.dirname(name)
        holders[posixpath.dirname(folder)].add(folder)
    fitting = [top for top, folders in holders.items() if len(folders - {""}) > 1]
    if not fitting:
        return None
    counts = {top: sum(map(is_image, _below(files, top))) for top in fitting}
    root = max(counts, key=lambda top: (counts[top], top.count("/")))
    top = f"{root}/" if root else ""
    below = _below(files, root)
    classes = _classes_below(below, "")
    if NO_CLASSES & {name.lower() for name in classes}:
        return None
    rows, troubles = rows_of_folder(below, classes)
    return ClassSet(
        files, root, "folders", classes, {"all": ClassSplit("all", top, rows, troubles)}
    )


def _below(files: Contents, root: str) -> list[str]:
    """The names below a folder, without it."""
    top = f"{root}/" if root else ""
    return [name.removeprefix(top) for name in files.names if name.startswith(top)]


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
            return _list_set(files, _root_of_paths(files, root, found[root]), found[root])
    return None


def _root_of_paths(files: Contents, root: str, lists: dict[str, str]) -> str:
    """The folder that the paths of the lists begin in: that of the lists, or one above it."""
    text = decoded(files.read(lists[TRAIN]))
    images = [image for image, _ in map(split_line, text.split("\n")) if image][:SPREAD]
    above = root
    while True:
        top = f"{above}/" if above else ""
        rows = [Row(image.replace("\\", "/"), 0) for image in images]
        there = any(posixpath.normpath(top + row.path) in files.sizes for row in rows)
        if there or _images_folder(files, top, rows):
            return above
        if not above:
            return root
        above = posixpath.dirname(above)


def _split_called(word: str) -> str:
    return next((split for split, names in SPLIT_NAMES.items() if word.lower() in names), "")


def _rank(name: str, split: str) -> int:
    match = LIST_FILE.fullmatch(posixpath.basename(name))
    return SPLIT_NAMES[split].index(match.group(1).lower()) if match else 99


def _is_class_list(files: Contents, name: str) -> bool:
    """Whether the first lines name images of the set, each with a class behind it."""
    lines = [line for line in decoded(files.read(name)).splitlines() if line.strip()][:SPREAD]
    pairs = [split_line(line) for line in lines]
    good = [image for image, label in pairs if is_image(image) and not re.search(r"[/.,]", label)]
    return len(good) > len(lines) / 2


def _list_set(files: Contents, root: str, lists: dict[str, str]) -> ClassSet:
    top = f"{root}/" if root else ""
    classes = _listed_classes(files, top, lists)
    texts = {split: decoded(files.read(name)) for split, name in lists.items()}
    numbered = are_numbers(texts.values(), classes)
    splits = {}
    for split, name in sorted(lists.items(), key=lambda pair: pair[0] != TRAIN):
        short = name.removeprefix(top)
        rows, troubles = rows_of_list(texts[split], classes, short, numbered)
        below = _images_folder(files, top, rows)
        keys = {"list": short, **({"images": below} if below else {})}
        prefix = top + (f"{below}/" if below else "")
        splits[split] = ClassSplit(split, prefix, rows, troubles, keys)
    return ClassSet(files, root, "lists", classes, splits)


def _listed_classes(files: Contents, top: str, lists: dict[str, str]) -> list[str]:
    """The classes by their numbers: out of a file of labels, else the labels themselves."""
    folders = {top, *(posixpath.dirname(name) + "/" for name in lists.values() if "/" in name)}
    for name in files.names:
        folder, _, short = name.rpartition("/")
        if (f"{folder}/" if folder else "") in folders and LABEL_FILES.fullmatch(short):
            names = _names_in_order(decoded(files.read(name)))
            if names:
                return names
    labels = {
        label
        for name in lists.values()
        for image, label in map(split_line, decoded(files.read(name)).split("\n"))
        if image and is_image(image)
    }
    if labels and all(label.isdigit() for label in labels):
        numbers = [int(label) for label in labels]
        return [str(number) for number in range(min(1, *numbers), max(numbers) + 1)]
    return sorted(labels)


def _names_in_order(text: str) -> list[str]:
    """The names of a file of labels: a name a line, or with its number before or behind it. Empty
    where it has none, or one twice."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for pattern in (r"(?P<number>\d+)[\s:,]+(?P<name>.+)", r"(?P<name>.+?)[\s:,]+(?P<number>\d+)"):
        found = [re.fullmatch(pattern, line) for line in lines]
        rows = {int(match["number"]): match["name"].strip() for match in found if match}
        if len(rows) == len(lines) and sorted(rows) == list(range(len(lines))):
            lines = [rows[number] for number in range(len(lines))]
            break
    return lines if len(lines) > 1 and len(set(lines)) == len(lines) else []


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
