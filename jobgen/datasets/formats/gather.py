"""What the readers of labelling tools share: boxes are gathered, image by image, and every shape
that is no upright box is counted with what it loses by becoming one."""

from __future__ import annotations

import math
import posixpath
import statistics
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.found import common_folder
from jobgen.datasets.headers import Header, known_headers
from jobgen.datasets.record import (
    UNKNOWN,
    DataSet,
    Floats,
    Ints,
    Layout,
    Split,
    Trouble,
    integers,
)
from jobgen_runtime.data.voc import LARGEST_SIDE

Points = Sequence[Sequence[float]]
# x, y, width and height in pixels.
Box = tuple[float, float, float, float]


class Shapes:
    """How many shapes became boxes or were left out, and how much larger the boxes are."""

    def __init__(self) -> None:
        self._larger: dict[str, array[float]] = {}
        self.left_out: Counter[str] = Counter()
        self._notes: dict[str, None] = {}

    def note(self, line: str) -> None:
        """Something else to say of the whole set, once."""
        self._notes.setdefault(line)

    def became_box(self, kind: str, times: float = math.nan) -> None:
        """A shape of a kind, such as `polygons`, whose box has so many times its area."""
        self._larger.setdefault(kind, array("d")).append(times)

    def became_boxes(self, kind: str, times: Floats) -> None:
        """The same for several shapes of a kind, (N,)."""
        if len(times):
            self._larger.setdefault(kind, array("d")).extend(times.tolist())

    def lines(self) -> list[str]:
        """What is to be said of it, a line a kind."""
        said = []
        for kind, all_times in self._larger.items():
            known = [times for times in all_times if math.isfinite(times)]
            size = f", {statistics.median(known):.2g} times as large (median)" if known else ""
            if kind.startswith("boxes"):
                said.append(f"{kind}: {len(all_times):,}, in a straight line")
                continue
            upright = "an upright box" if kind.startswith("rotated") else "the box around it"
            said.append(f"{kind}: {len(all_times):,}, each becomes {upright}{size}")
        said += [f"{what}: {count:,} left out" for what, count in self.left_out.items()]
        return [*said, *self._notes]


class Gathered:
    """A split in the making: its images and boxes as columns that grow."""

    def __init__(self, files: Contents, name: str, place: str, shapes: Shapes) -> None:
        self.files, self.name, self.place, self.shapes = files, name, place, shapes
        # Whether the boxes are fractions of their image.
        self.fractions = False
        self.troubles: list[Trouble] = []
        self.labels: dict[str, int] = {}
        # The same, by the labels as they are written.
        self._number_of: dict[str, int] = {}
        self._row_of: dict[str, int] = {}
        self._sizes = array("q")
        self._sources: list[str] = []
        self._image_of, self._label_of = array("q"), array("q")
        self._boxes = array("d")

    def tell(self, code: str, place: str, detail: str, lost: bool = True) -> None:
        self.troubles.append(Trouble(code, posixpath.basename(place), detail[:200], lost))

    def image(self, path: str, width: Any = 0, height: Any = 0, source: str = "") -> int:
        """The row of an image, which is new where its path is; its size in pixels as stated."""
        row = self._row_of.setdefault(path, len(self._row_of))
        if row == len(self._sources):
            sides = _side(width), _side(height)
            self._sizes.extend(sides if all(sides) else (0, 0))
            self._sources.append(source)
            if (width or height) and not all(sides):
                self.tell("DS012", path, f"its size is said to be {width} x {height}", lost=False)
        return row

    @property
    def largest(self) -> float:
        """The largest number in a box, 0 without one."""
        values = np.array(self._boxes, np.float64)
        return float(np.nanmax(values, initial=0.0)) if len(values) else 0.0

    def has(self, path: str) -> bool:
        return path in self._row_of

    def box(self, row: int, label: Any, box: Box, where: str) -> None:
        """Take a box; one without a class is told at once, at `where` in the set, and one that is
        not finite with all others of that kind."""
        place = self._number_of.get(label) if label.__class__ is str else None
        if place is None:
            name = "" if label is None else one_line_of(str(label))
            if not name:
                self.tell("DS012", where, f"the box at {box[0]:g} {box[1]:g} has no class")
                return
            place = self.labels.setdefault(name, len(self.labels))
            if isinstance(label, str):
                self._number_of[label] = place
        self._image_of.append(row)
        self._label_of.append(place)
        self._boxes.extend(box)

    def boxes(self, row: int, labels: Sequence[str], boxes: Floats) -> None:
        """Take the boxes of an image at once, (M, 4), where every label is one."""
        known = self._number_of
        for label in labels:
            if label not in known:
                name = one_line_of(label)
                known[label] = self.labels.setdefault(name, len(self.labels))
        self._image_of.extend([row] * len(labels))
        self._label_of.extend([known[label] for label in labels])
        self._boxes.frombytes(np.ascontiguousarray(boxes, np.float64).tobytes())

    def around(self, row: int, label: Any, kind: str, points: Points, where: str) -> None:
        """Take the box around a shape, its corners as (x, y) in pixels."""
        self.box(row, label, box_around(points), where)
        self.shapes.became_box(kind, times_larger(points))

    def split(self, classes: Sequence[str], layout: Layout) -> Split:
        """The split; a label that is no class of these is UNKNOWN."""
        paths = list(self._row_of)
        sizes = np.array(self._sizes, np.int64).reshape(len(paths), 2)
        self._take_missing_sizes(paths, sizes)
        folder = common_folder(paths)
        images, label_of, boxes = self._finite(paths)
        if self.fractions:
            # The fractions have a few digits: what lies below a thousandth of a pixel is rounding.
            boxes = np.round(boxes * np.tile(sizes, 2)[images], 3)
        rows = {label: row for row, label in enumerate(classes)}
        of_label = integers([rows.get(label, UNKNOWN) for label in self.labels] + [UNKNOWN])
        start = len(folder) + 1 if folder else 0
        return Split(
            name=self.name,
            place=self.place,
            files=layout.splits[self.name],
            folder=folder,
            image_names=[path[start:] for path in paths],
            image_ids=integers(range(1, len(paths) + 1)),
            widths=sizes[:, 0],
            heights=sizes[:, 1],
            class_names=list(classes),
            class_ids=integers(range(1, len(classes) + 1)),
            troubles=self.troubles,
            sources=self._sources,
            box_ids=np.arange(1, len(boxes) + 1, dtype=np.int64),
            image_of=images,
            class_of=of_label[label_of],
            boxes=boxes,
            area=boxes[:, 2] * boxes[:, 3],
            crowd=np.zeros(len(boxes), np.int8),
        )

    def _finite(self, paths: list[str]) -> tuple[Ints, Ints, Floats]:
        """Image, label and sides of the boxes that are finite; the others are told."""
        images, labels = np.array(self._image_of, np.int64), np.array(self._label_of, np.int64)
        boxes = np.array(self._boxes, np.float64).reshape(-1, 4)
        finite = np.isfinite(boxes).all(axis=1)
        for row in np.flatnonzero(~finite).tolist():
            image = int(images[row])
            where = self._sources[image] or paths[image]
            self.tell("DS045", where, " ".join(f"{value:g}" for value in boxes[row]))
        return images[finite], labels[finite], boxes[finite]

    def _take_missing_sizes(self, paths: list[str], sizes: Ints) -> None:
        missing = np.flatnonzero(sizes.min(axis=1, initial=LARGEST_SIDE) <= 0).tolist()
        there = [row for row in missing if paths[row] in self.files.sizes]
        headers = known_headers(self.files, [paths[row] for row in there], self.files.progress)
        for row in there:
            header = headers[paths[row]]
            if isinstance(header, Header):
                sizes[row] = header.shown


def data_set(
    files: Contents,
    layout: Layout,
    gathered: Mapping[str, Gathered],
    shapes: Shapes,
    classes: Sequence[str] = (),
    only_used: bool = False,
) -> DataSet:
    """The set of what was gathered. Its classes are in the order of `classes`, all of them or those
    that have a box, then by name."""
    found = {label for part in gathered.values() for label in part.labels}
    known = [name for name in dict.fromkeys(classes) if name in found or not only_used]
    names = [*known, *sorted(found - set(known))]
    splits = {name: part.split(names, layout) for name, part in gathered.items()}
    return DataSet(files, layout, names, splits, losses=shapes.lines())


def one_line_of(label: str) -> str:
    """A class's name as job.yaml can have it: without line breaks and control characters, and with
    single blanks."""
    return " ".join("".join(c if c.isprintable() else " " for c in label).split())


def box_around(points: Points) -> Box:
    """The upright box around points (x, y)."""
    across, down = [point[0] for point in points], [point[1] for point in points]
    left, top = min(across), min(down)
    return left, top, max(across) - left, max(down) - top


def times_larger(points: Points) -> float:
    """The area of the box around a polygon, in areas of the polygon; NaN where that has none."""
    _, _, width, height = box_around(points)
    twice = 0.0
    before = points[-1]
    for point in points:
        twice += before[0] * point[1] - point[0] * before[1]
        before = point
    return 2 * width * height / abs(twice) if twice else math.nan


def around(box: Box, radians: float) -> Box:
    """The upright box around a box that is turned around its middle."""
    x, y, width, height = box
    sine, cosine = abs(math.sin(radians)), abs(math.cos(radians))
    wide, high = width * cosine + height * sine, width * sine + height * cosine
    return x + (width - wide) / 2, y + (height - high) / 2, wide, high


def larger_turned(width: float, height: float, radians: float) -> float:
    """The area of the upright box around a turned one, in areas of that; NaN where it has none."""
    _, _, wide, high = around((0, 0, width, height), radians)
    return abs(wide * high / (width * height)) if width * height else math.nan


def number(value: Any) -> float:
    """A number from a file of somebody's, NaN for what is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def pairs(values: Any) -> list[tuple[float, float]]:
    """Points as they stand in JSON, [[x, y], ...]; none where something in them is no number."""
    if not isinstance(values, list) or not values:
        return []
    try:
        plain = [(float(x), float(y)) for x, y in values]
    except (TypeError, ValueError, OverflowError):
        plain = []
    if plain and math.isfinite(sum(map(sum, plain))):
        return plain
    points = [(number(p[0]), number(p[1])) for p in values if isinstance(p, list) and len(p) >= 2]
    whole = len(points) == len(values) and all(math.isfinite(x + y) for x, y in points)
    return points if whole else []


def _side(value: Any) -> int:
    length = number(value)
    return int(length) if 1 <= length <= LARGEST_SIDE else 0
