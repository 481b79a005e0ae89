"""YOLO: one txt an image, `class cx cy width height` as fractions, with data.yaml, classes.txt
or neither.

The txt of `images/a.jpg` is `labels/a.txt` where there is a folder labels, else it lies beside
the image; an image without one is background. This is how Ultralytics finds them.
"""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass, field
from typing import Any

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.dota import dota_texts
from jobgen.datasets.formats.yolo_classes import LARGEST_CLASS, class_names_of
from jobgen.datasets.formats.yolo_writer import divide, laid_out, write
from jobgen.datasets.formats.yolo_yaml import YAML_SPLITS, number_of, read_yaml_file, yaml_files
from jobgen.datasets.found import below, group_splits, split_word, stem_of
from jobgen.datasets.headers import Header, is_image, read_headers
from jobgen.datasets.record import (
    EVAL,
    TRAIN,
    DataSet,
    Layout,
    Split,
    Trouble,
    box_columns,
    integers,
)
from jobgen.errors import DatasetError

__all__ = ["READS", "divide", "laid_out", "layouts", "read", "write"]

READS = "YOLO (txt)"

# A fraction may be off by a rounding; pixels are far beyond.
OVERSHOOT = 1.05


def layouts(files: Contents) -> list[Layout]:
    """The YOLO sets among the files: by data.yaml, else by images that have a txt of labels."""
    found: list[Layout] = []
    # Four corners and a name a line are DOTA's, whatever data.yaml says.
    others = [posixpath.dirname(name) for name in dota_texts(files)]
    for layout in (one for name in yaml_files(files) for one in _by_yaml(files, name)):
        if layout not in found and not any(o.startswith(layout.root) for o in others):
            found.append(layout)
    return found or _by_lists(files) or _by_folders(files)


def _by_yaml(files: Contents, name: str) -> list[Layout]:
    record = read_yaml_file(files, name)
    top = posixpath.dirname(name)
    splits: dict[str, dict[str, str]] = {}
    missing: dict[str, str] = {}
    for split, key in ((TRAIN, "train"), (EVAL, "val"), ("test", "test")):
        value = record.get(key)
        place = _existing(files, top, record.get("path"), value) if isinstance(value, str) else None
        if place is not None:
            splits[split] = _paths(files, top, place)
        elif isinstance(value, str):
            missing[split] = value
    if not splits:
        return []
    told = files.memo.setdefault(YAML_SPLITS, [])
    for split, value in missing.items():
        there = _image_folders(files, top, split)
        text = f"{split if split != EVAL else 'val'}: {value} is not there"
        if len(there) == 1 and split != "test":
            splits[split] = _paths(files, top, there[0])
            text += f"; {there[0]} is taken for it"
        elif split == EVAL and "test" in splits:
            text += "; the test split is taken for it"
        told.append(Trouble("DS084", posixpath.basename(name), text))
    if EVAL not in splits and "test" in splits:
        splits[EVAL] = splits.pop("test")
    return [Layout("yolo", top, splits)]


def _image_folders(files: Contents, top: str, split: str) -> list[str]:
    """The folders with images below `top` that are named as a split."""
    folders = {posixpath.dirname(name) for name in files.names if is_image(name)}
    inside = [folder for folder in folders if not top or folder.startswith(f"{top}/")]
    return sorted(folder for folder in inside if split_word(below(top, folder))[0] == split)


def _paths(files: Contents, top: str, place: str) -> dict[str, str]:
    if place in files.sizes:
        folder = posixpath.dirname(place)
        return {"images": below(top, folder), "annotations": ".", "list": below(top, place)}
    return {"images": below(top, place), "annotations": below(top, _labels_folder(place))}


def _existing(files: Contents, top: str, base: Any, value: str) -> str | None:
    """The folder or list that data.yaml means: its `path:` is often another machine's, and
    Roboflow's `../train/images` is meant from the yaml itself."""
    plain = value.replace("\\", "/").rstrip("/")
    bases = [top, posixpath.join(top, base) if isinstance(base, str) else top]
    tries = [posixpath.normpath(posixpath.join(b, plain)) for b in bases]
    while plain.startswith("../"):
        plain = plain[3:]
        tries.append(posixpath.normpath(posixpath.join(top, plain)))
    for place in tries:
        if place in files.sizes or any(n.startswith(f"{place}/") for n in files.names):
            return place
    return None


def _by_lists(files: Contents) -> list[Layout]:
    """Darknet's way: train.txt and valid.txt with a path of an image a line."""
    texts = {n for n in files.names if n.lower().endswith(".txt")}
    lists = [n for n in texts if split_word(stem_of(n))[0] and _lists_images(files, n, texts)]
    found = []
    for group in group_splits(lists):
        root = posixpath.commonpath([posixpath.dirname(name) for name in group.values()])
        splits = {split: _paths(files, root, name) for split, name in group.items()}
        found.append(Layout("yolo", root, splits))
    return found


def _lists_images(files: Contents, name: str, texts: set[str]) -> bool:
    """Whether the first line of a txt is an image of the set that has labels."""
    first = decoded(files.head(name, 1024)).lstrip("\ufeff").partition("\n")[0].strip()
    own = posixpath.basename(first.replace("\\", "/"))
    return is_image(own) and any(posixpath.basename(t) == stem_of(own) + ".txt" for t in texts)


def _by_folders(files: Contents) -> list[Layout]:
    texts = {n for n in files.names if n.lower().endswith(".txt")}
    folders: dict[str, int] = {}
    for name in files.names:
        if is_image(name):
            folder = posixpath.dirname(name)
            folders[folder] = folders.get(folder, 0) + (label_path(name, texts) in texts)
    labelled = [folder for folder, count in folders.items() if count]
    # A folder within another one is read with it.
    labelled = [
        folder
        for folder in labelled
        if split_word(folder)[0]
        or not any(other != folder and folder.startswith(f"{other}/") for other in labelled)
    ]
    found = []
    for group in group_splits(labelled):
        tops = [top for folder in group.values() for top in (folder, _labels_folder(folder))]
        root = posixpath.commonpath(tops) if all(tops) else ""
        if root and posixpath.basename(root) in ("images", "labels"):
            root = posixpath.dirname(root)
        if all(_looks_like_labels(files, folder, texts) for folder in group.values()):
            splits = {split: _paths(files, root, folder) for split, folder in group.items()}
            found.append(Layout("yolo", root, splits))
    return found


def _looks_like_labels(files: Contents, folder: str, texts: set[str]) -> bool:
    """Whether the first filled txt of a folder begins with numbers, as labels do."""
    for name in files.names:
        if posixpath.dirname(name) == folder and is_image(name):
            place = label_path(name, texts)
            text = files.head(place, 200).lstrip() if place in texts else b""
            words = text.splitlines()[0].decode("ascii", "replace").split() if text else []
            if words:
                # DOTA's eighth number is followed by a name.
                return len(words) >= 5 and all(number_of(word) is not None for word in words[:9])
    return True


def _labels_folder(images: str) -> str:
    """`images/train` -> `labels/train`: the last part named images."""
    parts = images.split("/")
    for place in reversed(range(len(parts))):
        if parts[place] == "images":
            return "/".join([*parts[:place], "labels", *parts[place + 1 :]])
    return images


def label_path(image: str, texts: set[str]) -> str:
    """The txt of an image: in the folder labels, else beside it."""
    folder, own = posixpath.split(image)
    for place in (_labels_folder(folder), folder):
        name = posixpath.join(place, stem_of(own) + ".txt")
        if name in texts:
            return name
    return posixpath.join(_labels_folder(folder), stem_of(own) + ".txt")


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout. Sizes come from the images, since the labels are fractions of them."""
    names, troubles = class_names_of(files, layout)
    pose = any("kpt_shape" in read_yaml_file(files, name) for name in yaml_files(files))
    readers = {name: _Reader(files, layout, paths, pose) for name, paths in layout.splits.items()}
    for reader in readers.values():
        reader.read()
    highest = max((label for r in readers.values() for label in r.labels), default=-1)
    if not names:
        names = [f"class{number}" for number in range(highest + 1)]
    splits = {name: reader.split(name, names) for name, reader in readers.items()}
    troubles = [*troubles, *dict.fromkeys(files.memo.get(YAML_SPLITS, ()))]
    return DataSet(files, layout, names, splits, troubles)


@dataclass
class _Reader:
    """Reads one split, image by image."""

    files: Contents
    layout: Layout
    paths: dict[str, str]
    # A pose set: what follows the box are keypoints, not a polygon.
    keypoints: bool
    names: list[str] = field(default_factory=list)
    headers: dict[str, Header | str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def tell(self, code: str, place: str, detail: str, lost: bool = True) -> None:
        self.troubles.append(Trouble(code, place, detail, lost))

    @property
    def folder(self) -> str:
        found = posixpath.normpath(posixpath.join(self.layout.root, self.paths["images"]))
        return "" if found == "." else found

    @property
    def place(self) -> str:
        return posixpath.basename(self.paths.get("list") or self.folder) or self.files.name

    def read(self) -> None:
        texts = {n for n in self.files.names if n.lower().endswith(".txt")}
        for path in self.image_paths():
            self.names.append(path)
            place = label_path(path, texts)
            self.sources.append(place if place in texts else "")
        there = [name for name in self.names if name in self.files.sizes]
        self.headers = read_headers(self.files, there, self.files.progress)
        for row, place in enumerate(self.sources):
            self.files.progress(f"reading {self.place}", row, len(self.sources))
            if place:
                self.label_file(place, row)

    def image_paths(self) -> list[str]:
        if "list" not in self.paths:
            top = self.folder
            inside = [n for n in self.files.names if not top or n.startswith(f"{top}/")]
            return [n for n in inside if is_image(n)]
        name = posixpath.normpath(posixpath.join(self.layout.root, self.paths["list"]))
        lines = decoded(self.files.read(name)).splitlines()
        found = []
        for line in (line.strip().replace("\\", "/") for line in lines):
            if line:
                found.append(self.listed(line, posixpath.dirname(name)))
        twice = {path for path in found if found.count(path) > 1} if len(found) < 10**5 else set()
        for path in sorted(twice):
            self.tell("DS074", self.place, posixpath.basename(path), lost=False)
        return list(dict.fromkeys(found))

    def listed(self, line: str, top: str) -> str:
        """The image of a line: from the list's folder, the set's root, or the end of a path that
        another machine had."""
        for base in (top, self.layout.root):
            path = posixpath.normpath(posixpath.join(base, line))
            if path in self.files.sizes:
                return path
        parts = line.split("/")
        for start in range(1, len(parts)):
            path = posixpath.join(self.layout.root, *parts[start:])
            if path in self.files.sizes:
                return path
        return posixpath.normpath(posixpath.join(top, line.lstrip("/")))

    def size(self, row: int) -> tuple[int, int]:
        header = self.headers.get(self.names[row])
        return header.shown if isinstance(header, Header) else (0, 0)

    def label_file(self, place: str, row: int) -> None:
        own = posixpath.basename(place)
        try:
            text = self.files.read(place).decode("utf-8-sig", "replace")
        except DatasetError as error:
            self.tell("DS010", own, error.message)
            return
        width, height = self.size(row)
        for number, line in enumerate(text.splitlines(), 1):
            cells = line.split()
            if not cells:
                continue
            where = f"{own}:{number}"
            values = _label(cells, self.keypoints)
            if values is None:
                self.tell("DS081", where, line.strip()[:60])
            else:
                self.box(where, values, width, height, row)

    def box(self, where: str, values: list[float], width: int, height: int, row: int) -> None:
        label, rest = values[0], values[1:]
        if not all(map(math.isfinite, values)):
            self.tell("DS045", where, " ".join(f"{v:g}" for v in values[:5]))
            return
        if label % 1 or not 0 <= label <= LARGEST_CLASS:
            self.tell("DS081", where, f"the class is {label:g}")
            return
        if max(map(abs, rest)) > OVERSHOOT:
            self.tell("DS080", where, " ".join(f"{v:g}" for v in values[:5]))
            return
        if len(rest) >= 6:  # a polygon: the box around it
            xs, ys = rest[0::2], rest[1::2]
            left, top, w, h = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
        else:
            cx, cy, w, h = rest
            left, top = cx - w / 2, cy - h / 2
        self.images.append(row)
        self.labels.append(int(label))
        corner = (left * width, top * height, w * width, h * height)
        # The fractions have six digits: what lies below a thousandth of a pixel is rounding.
        self.boxes.append(tuple(round(value, 3) for value in corner))

    def split(self, name: str, classes: list[str]) -> Split:
        known = len(classes)
        rows = [label if label < known else -1 for label in self.labels]
        beyond = [label for label in self.labels if label >= known]
        sizes = [self.size(row) for row in range(len(self.names))]
        folder = self.folder
        return Split(
            name=name,
            place=self.place,
            files=self.paths,
            folder=folder,
            image_names=[below(folder, path) for path in self.names],
            image_ids=integers(range(1, len(self.names) + 1)),
            widths=integers([width for width, _ in sizes]),
            heights=integers([height for _, height in sizes]),
            class_names=classes,
            class_ids=integers(range(1, known + 1)),
            troubles=self.troubles,
            sources=self.sources,
            unknown_classes=integers(beyond),
            **box_columns(self.images, rows, self.boxes),
        )


def _label(cells: list[str], keypoints: bool) -> list[float] | None:
    """The numbers of a line: a class with a box, or with a polygon of three points or more; a
    confidence and keypoints after the box are left out. None for a line that is neither."""
    values = [value for cell in cells if (value := number_of(cell)) is not None]
    if len(values) != len(cells) or len(cells) < 5:
        return None
    if keypoints or len(cells) <= 6:
        return values[:5]
    return values if len(cells) % 2 else None
