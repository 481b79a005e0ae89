"""The one record that every reader makes: a data set's splits as columns.

A column is a NumPy array with a row for each image, class or box, so that a rule
looks at a million boxes at once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jobgen.datasets.contents import Contents
from jobgen.errors import DatasetError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

UNKNOWN = -1
# How job.yaml calls the splits of a set.
TRAIN, EVAL = "train", "eval"


class Trouble(NamedTuple):
    """What a reader could not take as it stands: a rule's code, the place, what was found."""

    code: str
    place: str
    detail: str
    # Whether the item was left out: what could be meant was taken all the same otherwise.
    lost: bool = False


@dataclass(frozen=True)
class Layout:
    """Where a data set lies, as job.yaml has it: for each split the paths of `images`,
    `annotations` and `list`, below `root`."""

    format: str
    root: str
    splits: dict[str, dict[str, str]]

    @property
    def title(self) -> str:
        files = ", ".join(
            f"{name} ({paths.get('list') or paths['annotations']})"
            for name, paths in self.splits.items()
        )
        return f"{self.format} in {self.root or 'the top folder'}: {files}"


@dataclass(frozen=True, eq=False)
class Split:
    """One split. N images, C classes, M boxes.

    `image_ids`, `widths`, `heights`: int64 (N,), pixels as the annotations state them, 0 where
    they don't. `class_ids`: int64 (C,). `box_ids`, `image_of`, `class_of`: int64 (M,), the last
    two rows of images and classes, or UNKNOWN. `boxes`: float64 (M, 4), left, top, width and
    height in pixels. `area`: float64 (M,), NaN where missing. `crowd`: int8 (M,), -1 where missing.
    """

    name: str
    place: str
    files: dict[str, str]
    folder: str
    image_names: list[str]
    image_ids: Ints
    widths: Ints
    heights: Ints
    class_names: list[str]
    class_ids: Ints
    box_ids: Ints
    image_of: Ints
    class_of: Ints
    boxes: Floats
    area: Floats
    crowd: npt.NDArray[np.int8]
    troubles: list[Trouble] = field(default_factory=list)
    has_info: bool = True
    # COCO's `ignore`: PaddleDetection leaves such a box out without a word, bool (M,).
    ignored: Mask = field(default_factory=lambda: np.zeros(0, bool))
    unknown_classes: Ints | None = None
    unknown_images: Ints | None = None
    # The split's own file, from the top of the set: COCO's JSON, a list; "" for a folder.
    source: str = ""
    # The annotation file of each image, for formats that have one an image; "" for none.
    sources: list[str] | None = None
    # COCO: the place of each image and box in the file's own lists.
    image_items: Ints = field(default_factory=lambda: integers(()))
    box_items: Ints = field(default_factory=lambda: integers(()))

    def __post_init__(self) -> None:
        if len(self.ignored) != len(self.boxes):
            object.__setattr__(self, "ignored", np.zeros(len(self.boxes), bool))
        if len(self.image_items) != len(self.image_names):
            object.__setattr__(self, "image_items", np.arange(len(self.image_names)))
        if len(self.box_items) != len(self.boxes):
            object.__setattr__(self, "box_items", np.arange(len(self.boxes)))

    @property
    def images(self) -> int:
        return len(self.image_names)

    def __len__(self) -> int:
        return len(self.boxes)

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of an image in pixels, 0 where they are not stated."""
        return int(self.widths[row]), int(self.heights[row])

    def path(self, row: int) -> str:
        """Where the image of a row lies, from the top of the set."""
        path = f"{self.folder}/{self.image_names[row]}".lstrip("/")
        return posixpath.normpath(path) if "./" in path or "//" in path else path

    @cached_property
    def paths(self) -> list[str]:
        return [self.path(row) for row in range(self.images)]

    @cached_property
    def solid(self) -> Mask:
        """The boxes that have an area and are finite."""
        with np.errstate(invalid="ignore"):
            sides = (self.boxes[:, 2] > 0) & (self.boxes[:, 3] > 0)
            return np.asarray(sides & np.isfinite(self.boxes).all(axis=1))

    @cached_property
    def trained(self) -> Mask:
        """The boxes that PaddleDetection trains on, bool (M,)."""
        placed = (self.image_of >= 0) & (self.class_of >= 0)
        return np.asarray(self.solid & placed & (self.crowd <= 0) & ~self.ignored)

    @cached_property
    def boxes_per_image(self) -> Ints:
        known = self.image_of[self.image_of >= 0]
        return np.bincount(known, minlength=self.images).astype(np.int64)

    @cached_property
    def boxes_per_class(self) -> Ints:
        known = self.class_of[self.class_of >= 0]
        return np.bincount(known, minlength=len(self.class_names)).astype(np.int64)

    def take_images(self, keep: Mask) -> Split:
        """The split with these images only, bool (N,), and the boxes on them."""
        # A last row for the boxes whose image is UNKNOWN.
        rows = np.append(np.cumsum(keep) - 1, UNKNOWN)
        on_kept = np.append(keep, True)[self.image_of]
        image_of = rows[self.image_of]
        kept = np.flatnonzero(keep).tolist()
        return replace(
            self,
            image_names=[self.image_names[row] for row in kept],
            image_ids=self.image_ids[keep],
            widths=self.widths[keep],
            heights=self.heights[keep],
            sources=None if self.sources is None else [self.sources[row] for row in kept],
            image_items=self.image_items[keep],
            image_of=image_of.astype(np.int64),
        ).take_boxes(on_kept)

    def take_boxes(self, keep: Mask) -> Split:
        """The split with these boxes only, bool (M,)."""
        return replace(
            self,
            box_ids=self.box_ids[keep],
            image_of=self.image_of[keep],
            class_of=self.class_of[keep],
            boxes=self.boxes[keep],
            area=self.area[keep],
            crowd=self.crowd[keep],
            ignored=self.ignored[keep],
            box_items=self.box_items[keep],
        )

    def label(self, row: int) -> str:
        found = self.class_of[row]
        return self.class_names[found] if found >= 0 else "?"

    def box_place(self, row: int) -> str:
        """A box for people: its image, class, and corner and size in pixels."""
        image = self.image_of[row]
        where = self.image_names[image] if image >= 0 else f"annotation {self.box_ids[row]}"
        return f"{where}: {self.label(row)} [{' '.join(f'{v:g}' for v in self.boxes[row])}]"


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set that was read: where it lies, its classes in order, and its splits by name."""

    contents: Contents
    layout: Layout
    classes: list[str]
    splits: dict[str, Split]
    troubles: list[Trouble] = field(default_factory=list)
    # Test splits that can't be used, and why: no job needs one.
    set_aside: list[str] = field(default_factory=list)
    # What the set holds that a box can't say, and what became of it, a line a kind.
    losses: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Split]:
        return iter(self.splits.values())

    @property
    def train(self) -> Split | None:
        return self.splits.get(TRAIN)

    @property
    def eval(self) -> Split | None:
        return self.splits.get(EVAL)

    @property
    def all_troubles(self) -> list[Trouble]:
        return [*self.troubles, *(trouble for split in self for trouble in split.troubles)]


def rows_of(ids: Ints, wanted: Ints) -> Ints:
    """The row of each wanted id among `ids`, UNKNOWN where there is none; the first of equals."""
    if not len(ids):
        return np.full(len(wanted), UNKNOWN, np.int64)
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids, wanted, sorter=order)
    rows = order[np.minimum(place, len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, UNKNOWN)


def integers(values: Sequence[Any]) -> Ints:
    """Whole numbers, (N,). Raises DatasetError for one that no annotation can mean."""
    try:
        return np.array(values, np.int64).reshape(len(values))
    except OverflowError as error:
        raise DatasetError("a whole number beyond 63 bits can't be meant") from error


def box_columns(
    images: Sequence[int], classes: Sequence[int], boxes: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """The box columns of a format that has no ids, areas and crowds of its own."""
    corners = np.array(boxes, np.float64).reshape(len(boxes), 4)
    return {
        "box_ids": np.arange(1, len(boxes) + 1, dtype=np.int64),
        "image_of": integers(images),
        "class_of": integers(classes),
        "boxes": corners,
        "area": corners[:, 2] * corners[:, 3],
        "crowd": np.zeros(len(boxes), np.int8),
    }
