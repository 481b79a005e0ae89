"""COCO: one JSON a split."""

from __future__ import annotations

import itertools
import json
import math
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.formats.jsonfiles import json_marks
from jobgen.datasets.formats.loose import Loose, link, loose_columns
from jobgen.datasets.found import below, filled, group_splits, job_word, split_word
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import (
    UNKNOWN,
    DataSet,
    Layout,
    Mask,
    Split,
    Trouble,
)
from jobgen.errors import DatasetError
from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.data.voc import coco_box, coco_image, empty_record

READS = "COCO (JSON with images and annotations)"
TRAINED = True
LEFT_OUT = "segmentation and the like are left out; boxes stay"

# Keys of LabelMe's JSON, which may hold a whole image.
PAGE_MARKS = frozenset(("shapes", "imageData", "lineColor"))
FEWEST_PAGES = 4
USUAL_FOLDERS = ("images", "jpegimages", "image", "imgs", "img")
UNSET = msgspec.UNSET


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float = math.nan
    iscrowd: int = UNKNOWN
    ignore: bool | int | None = 0


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str


class _File(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    info: msgspec.Raw | msgspec.UnsetType = UNSET


def layouts(files: Contents) -> list[Layout]:
    """The COCO sets among the files. Raises DatasetError where images can't be placed."""
    found = []
    pages = set(one_image_files(files))
    names = [name for name in annotation_files(files) if name not in pages]
    # Captions have no categories: where others have, they are no candidates.
    boxed = [name for name in names if _may_have_boxes(read_file(files, name))]
    empty = [name for name in boxed if not read_file(files, name).values["image_names"]
             and not read_file(files, name).troubles]  # fmt: skip
    for group in group_splits(filled(files, boxed, empty) if boxed else names):
        folders = {
            split: _image_folder(files, split, name, read_file(files, name).values["image_names"])
            for split, name in group.items()
        }
        tops = [posixpath.dirname(name) for name in group.values()] + list(folders.values())
        root = posixpath.commonpath(tops) if all(tops) else ""
        splits = {
            split: {"images": below(root, folders[split]), "annotations": below(root, name)}
            for split, name in group.items()
        }
        found.append(Layout("coco", root, splits))
    return found


def one_image_files(files: Contents) -> list[str]:
    """The files of a set that has one for each image: of a folder with several all that have one
    image at most, where no file has more."""
    if " one image" not in files.memo:
        folders: dict[str, list[str]] = {}
        for name in annotation_files(files):
            folders.setdefault(posixpath.dirname(name), []).append(name)
        # A few may be the splits of a tiny set.
        many = [names for names in folders.values() if len(names) >= FEWEST_PAGES]
        files.memo[" one image"] = [
            name
            for names in many
            if all(len(read_file(files, n).values["image_names"]) <= 1 for n in names)
            for name in names
        ]
    found: list[str] = files.memo[" one image"]
    return found


def _may_have_boxes(columns: Columns) -> bool:
    unread = any(trouble.code == "DS010" for trouble in columns.troubles)
    return unread or bool(columns.values["class_names"])


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout. What is not as it should be is among its troubles."""
    splits = {}
    for name, paths in layout.splits.items():
        place = posixpath.normpath(posixpath.join(layout.root, paths["annotations"]))
        folder = posixpath.normpath(posixpath.join(layout.root, paths["images"]))
        folder = "" if folder == "." else folder
        splits[name] = read_file(files, place).split(name, place, paths, folder)
    first = next(iter(splits.values()))
    return DataSet(files, layout, list(first.class_names), splits)


def write(data: DataSet) -> Iterator[tuple[str, str]]:
    """The text files of a data set as COCO: a JSON a split, below its root."""
    for split in data:
        yield f"{job_word(split.name)}.json", coco_text(record_of(split, data.classes))


def record_of(split: Split, classes: Sequence[str], keep: Mask | None = None) -> dict[str, Any]:
    """A split as a COCO record, ids from 1 in the given order, the classes in theirs.

    `keep` is the boxes to take, bool (M,); boxes without image or class are never taken.
    The same record as the data stage makes of the same VOC files.
    """
    record = empty_record(list(classes))
    ids = {name: number for number, name in enumerate(classes, 1)}
    category = [ids[name] for name in split.class_names]
    for row, name in enumerate(split.image_names):
        size = int(split.widths[row]), int(split.heights[row])
        record["images"].append(coco_image(row + 1, name, *size))
    taken = (split.image_of >= 0) & (split.class_of >= 0)
    rows = np.flatnonzero(taken if keep is None else taken & keep)
    order = rows[np.argsort(split.image_of[rows], kind="stable")]
    images, labels = split.image_of[order].tolist(), split.class_of[order].tolist()
    corners = split.boxes[order].tolist()
    record["annotations"] = [
        coco_box(number, image + 1, category[label], corner)
        for number, (image, label, corner) in enumerate(
            zip(images, labels, corners, strict=True), 1
        )
    ]
    return record


def rewrite(files: Contents, split: Split) -> dict[str, Any]:
    """The COCO file of a split again, with what its columns have now; whatever else its items
    hold, such as segmentation, stays."""
    raw = json.loads(files.read(split.source).decode("utf-8-sig"))
    images, boxes = raw["images"], raw["annotations"]
    record = {**raw, "info": raw.get("info", {})}
    known = {c["name"]: c for c in raw["categories"] if isinstance(c, dict) and "name" in c}
    record["categories"] = [
        {**known.get(name, {}), "id": int(number), "name": name}
        for number, name in zip(split.class_ids, split.class_names, strict=True)
    ]
    record["images"] = [
        {**images[item], **coco_image(int(split.image_ids[row]), name, *split.size(row))}
        for row, (item, name) in enumerate(zip(split.image_items, split.image_names, strict=True))
    ]
    record["annotations"] = [
        {**boxes[item], **_box_values(split, row, boxes[item])}
        for row, item in enumerate(split.box_items)
    ]
    return record


def _box_values(split: Split, row: int, item: dict[str, Any]) -> dict[str, Any]:
    box = split.boxes[row].tolist()
    found: dict[str, Any] = {"id": int(split.box_ids[row])}
    if split.image_of[row] != UNKNOWN:
        found["image_id"] = int(split.image_ids[split.image_of[row]])
    if split.class_of[row] != UNKNOWN:
        found["category_id"] = int(split.class_ids[split.class_of[row]])
    if item.get("bbox") != box:
        found["bbox"] = box
    area = float(split.area[row])
    if item.get("area") != area and not math.isnan(area):
        found["area"] = area
    if split.crowd[row] != UNKNOWN:
        found["iscrowd"] = int(split.crowd[row])
    return found


def annotation_files(files: Contents) -> list[str]:
    """The COCO files, and those whose names say that they were meant as such."""
    if " coco files" not in files.memo:
        names = [name for name in files.names if _is_annotation_file(files, name)]
        files.memo[" coco files"] = names
    found: list[str] = files.memo[" coco files"]
    return found


def _is_annotation_file(files: Contents, name: str) -> bool:
    """A COCO file, or one whose name says that it was meant as one."""
    if not name.lower().endswith(".json"):
        return False
    if name in files.memo:
        return True
    marks = json_marks(files, name)
    if marks & PAGE_MARKS and not marks & {"images", "annotations"}:
        return False
    own = posixpath.basename(name)
    meant = bool(split_word(own)[0])
    try:
        data = files.read(name)
    except DatasetError as error:
        files.memo[name] = _no_columns(own, error.message)
        return meant
    keys = [key for key in (b'"images"', b'"annotations"') if key in data]
    if len(keys) < 2 and not (meant and keys and b'"file_name"' in data):
        return meant and not _is_json(data)
    files.memo[name] = read_columns(own, data, files.progress)
    return True


def _no_columns(place: str, message: str) -> Columns:
    values, _ = Loose(place).columns({})
    return Columns(place, values, [Trouble("DS010", place, message, lost=True)])


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True)
class Columns:
    """One file: Split's columns by name, and what was wrong with the file."""

    place: str
    values: dict[str, Any]
    troubles: list[Trouble]

    def split(self, name: str, source: str, files: dict[str, str], folder: str) -> Split:
        return Split(
            name=name,
            source=source,
            place=self.place,
            files=files,
            folder=folder,
            troubles=list(self.troubles),
            **self.values,
        )


def read_file(files: Contents, name: str) -> Columns:
    """One annotation file, read once however often it is asked for."""
    if name not in files.memo:
        if name not in files.sizes:
            raise DatasetError(
                f"{files.name} holds no {name}",
                "Is this the job's archive? Else correct the paths under dataset: in job.yaml.",
            )
        own = posixpath.basename(name)
        try:
            files.memo[name] = read_columns(own, files.read(name), files.progress)
        except DatasetError as error:
            files.memo[name] = _no_columns(own, error.message)
    found: Columns = files.memo[name]
    return found


def read_columns(place: str, data: bytes, progress: Progress = silent) -> Columns:
    """The columns of an annotation file: quickly where all types are right, else item by item."""
    plain = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
    try:
        return Columns(place, _typed_columns(msgspec.json.decode(plain, type=_File)), [])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
        return Columns(place, *loose_columns(place, plain, progress))


def _typed_columns(record: _File) -> dict[str, Any]:
    images, boxes = record.images, record.annotations
    corners = itertools.chain.from_iterable(map(attrgetter("bbox"), boxes))
    crowd = _column(boxes, "iscrowd", np.int64)
    values = {
        "image_names": [i.file_name for i in images],
        "image_ids": _column(images, "id", np.int64),
        "widths": _column(images, "width", np.int64),
        "heights": _column(images, "height", np.int64),
        "class_ids": _column(record.categories, "id", np.int64),
        "class_names": [c.name for c in record.categories],
        "box_ids": _column(boxes, "id", np.int64),
        "boxes": np.fromiter(corners, np.float64, 4 * len(boxes)).reshape(len(boxes), 4),
        "area": _column(boxes, "area", np.float64),
        "crowd": np.minimum(crowd, 1).astype(np.int8),
        "ignored": np.fromiter((bool(box.ignore) for box in boxes), bool, len(boxes)),
        "has_info": record.info is not UNSET,
    }
    link(values, _column(boxes, "image_id", np.int64), _column(boxes, "category_id", np.int64))
    return values


def _column(items: Sequence[Any], key: str, kind: Any) -> Any:
    return np.fromiter(map(attrgetter(key), items), kind, len(items))


def _image_folder(files: Contents, split: str, source: str, wanted: Sequence[str]) -> str:
    """The folder that holds most images of the split; of equals, one named as the split, or the
    one nearest to the annotation file."""
    there: dict[str, set[str]] = files.memo.setdefault(" images", {})
    if not there:
        for name in filter(is_image, files.names):
            there.setdefault(posixpath.basename(name), set()).add(name)
        if not there:
            return ""
    votes: Counter[str] = Counter()
    for name in wanted:
        plain = posixpath.normpath(name.replace("\\", "/")) if name else name
        for path in there.get(posixpath.basename(plain), ()):
            if f"/{path}".endswith(f"/{plain}"):
                votes[path[: -len(plain)].rstrip("/")] += 1
    if not votes:
        return _usual_folder(files)
    most = max(votes.values())
    best = sorted(folder for folder, count in votes.items() if count == most)
    named = [folder for folder in best if split_word(folder)[0] == split]
    usual = [folder for folder in best if posixpath.basename(folder).lower() in USUAL_FOLDERS]
    shared = {folder: _shared_folders(folder, posixpath.dirname(source)) for folder in best}
    near = [folder for folder in best if shared[folder] == max(shared.values())]
    for found in (best, named, near, usual):
        if len(found) == 1:
            return found[0]
    raise DatasetError(f"the images of {split} lie in {', '.join(best)}", "Keep just one of them.")


def _shared_folders(one: str, other: str) -> int:
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _usual_folder(files: Contents) -> str:
    """Where images would be looked for when none of the named ones is there."""
    counts = Counter(posixpath.dirname(name) for name in files.names if is_image(name))
    return counts.most_common(1)[0][0] if counts else ""


def laid_out(data: DataSet) -> tuple[DataSet, dict[str, str]]:
    """COCO keeps its file names; a folder each where splits have folders of their own."""
    copies = {}
    folders = {split.folder for split in data}
    for split in data:
        part = "images" if len(folders) == 1 else f"images/{job_word(split.name)}"
        for name, path in zip(split.image_names, split.paths, strict=True):
            copies[f"{part}/{name}"] = path
    return data, copies


def divide(data: DataSet, whole: Split, parts: Mapping[str, Split]) -> dict[str, bytes]:
    top = posixpath.dirname(whole.source)
    return {
        posixpath.join(top, f"{name}.json"): coco_text(rewrite(data.contents, part)).encode()
        for name, part in parts.items()
    }
