"""CVAT: one XML for a task's images, or for the frames of a video with its tracks.

The format: https://docs.cvat.ai/docs/manual/advanced/xml_format. Boxes may be turned; polygons,
ellipses, cuboids, masks and skeletons become the boxes around them. A track has an element for
each frame in which its object is seen.
"""

from __future__ import annotations

import math
import posixpath
import re
from xml.parsers import expat

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import (
    Box,
    Gathered,
    Shapes,
    around,
    larger_turned,
    number,
)
from jobgen.datasets.formats.places import (
    by_name,
    head_of,
    images_of,
    layouts_of,
    texts_like,
)
from jobgen.datasets.formats.reading import read_each
from jobgen.datasets.found import split_word, stem_of
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import DataSet, Layout
from jobgen.errors import DatasetError

READS = "CVAT (XML of a task)"

ROOT = re.compile(r"<annotations[\s>]")
# Frames between two key frames of a track, and how many there may be.
BETWEEN = "boxes between two key frames of a track"
LONGEST_GAP = 10_000
SUBSET = re.compile(rb'<image [^>]*\bsubset="([^"]*)"')
FRAME = re.compile(r"(\d+)$")
CUBOID_X = re.compile(r"x[tb][lr][12]")
POLYGONS = {"polygon": "polygons", "polyline": "lines", "points": "groups of points"}


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files: each XML of a task, or those that are named as splits."""
    names = texts_like(files, "cvat", (".xml",), lambda head: bool(ROOT.search(head)))
    projects = [name for name in names if "<project>" in head_of(files, name)]
    subsets = {name: split_subsets(files, name) for name in projects}
    of_subsets = [{s: [name] for s in found} for name, found in subsets.items() if found]
    tasks = [name for name in names if not subsets.get(name)]
    return layouts_of("cvat", files, [*of_subsets, *by_name(tasks)])


def split_subsets(files: Contents, name: str) -> dict[str, str]:
    """Of a project that has its splits: the subset of each."""
    try:
        data = files.read(name)
    except DatasetError:
        return {}
    words = [text.decode("utf-8", "replace") for text in dict.fromkeys(SUBSET.findall(data))]
    found = {split: word for word in words if (split := split_word(word)[0])}
    return found if len(found) > 1 else {}


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes in the order of the task's labels."""
    classes: list[str] = []

    def take(part: Gathered, name: str) -> None:
        project = "<project>" in head_of(files, name)
        subset = split_subsets(files, name).get(part.name, "") if project else ""
        task = _Task(part, name, subset)
        task.read()
        classes.extend(task.classes)

    # Labels without a box are other tasks' of the project.
    return read_each(files, layout, take, Shapes(), classes, only_used=True)


class _Task:
    """Reads one XML as it streams by."""

    def __init__(self, part: Gathered, name: str, subset: str = "") -> None:
        self.part, self.name, self.subset = part, name, subset
        self._skipped = False
        self.classes: list[str] = []
        self._path: list[str] = []
        self._text = ""
        self._row = -1
        self._label = ""
        self._outside = False
        self._size = {"width": "0", "height": "0"}
        # Of a video: the images by the number of their frame, and the last box of the track.
        self._frames: dict[int, str] | None = None
        self._before: tuple[int, Box] | None = None
        self._skeleton: list[tuple[float, float]] | None = None

    def read(self) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(self.part.files.read(self.name), True)  # noqa: FBT003 - positional there
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise DatasetError(str(error)) from error

    def _refuse(self, *_: object) -> None:
        raise ValueError("it declares a document type or an entity, which is not allowed")

    def _characters(self, text: str) -> None:
        self._text += text

    def _start(self, tag: str, values: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if tag == "image":
            self._skipped = bool(self.subset) and values.get("subset") != self.subset
            if not self._skipped:
                self._image(values)
        elif self._skipped:
            return
        elif tag == "track":
            self._label = values.get("label", "")
        elif tag == "tag":
            self.part.shapes.left_out["tags of whole images"] += 1
        elif self._path[-2:-1] in (["image"], ["track"], ["skeleton"]):
            self._shape(tag, values)

    def _image(self, values: dict[str, str]) -> None:
        own, subset = values.get("name", ""), values.get("subset", "")
        # A project keeps each subset's images in a folder of its own.
        stated = f"{subset}/{own}" if subset else own
        path = images_of(self.part.files).named(stated, self.name)
        if self.part.has(path):
            self.part.tell("DS074", self.name, own, lost=False)
        self._row = self.part.image(path, values.get("width", 0), values.get("height", 0))

    def _shape(self, tag: str, values: dict[str, str]) -> None:
        if tag == "skeleton":
            self._skeleton = []
        if self._path[-2] == "track" or "frame" in values:
            self._outside = values.get("outside") == "1"
            if self._outside:
                self._before = None
            self._row = self._frame(values.get("frame", ""))
        label = values.get("label") or self._label
        if self._path[-2] == "skeleton":
            if self._skeleton is not None and values.get("outside") != "1":
                self._skeleton += _points(values)
            return
        if tag == "skeleton":
            self._label = label
        elif not self._outside and tag in (*POLYGONS, "box", "ellipse", "cuboid", "mask"):
            self._take(tag, label, values)

    def _take(self, tag: str, label: str, values: dict[str, str]) -> None:
        part, row = self.part, self._row
        if tag == "box" and "rotation" not in values:
            try:
                left, top = float(values["xtl"]), float(values["ytl"])
                sides = (float(values["xbr"]) - left, float(values["ybr"]) - top)
            except (KeyError, ValueError):
                sides = (math.nan, math.nan)
                left = top = math.nan
            box = (left, top, *sides)
            part.box(row, label, box, self.name)
            if "frame" in values:
                self._between(label, values["frame"], box)
            return
        x, y, right, bottom = (number(values.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
        stated = number(values.get("rotation", "0"))
        angle = math.radians(stated) if math.isfinite(stated) else math.nan
        if tag == "box" and not angle:
            part.box(row, label, (x, y, right - x, bottom - y), self.name)
        elif tag == "box":
            sides = (right - x, bottom - y)
            part.box(row, label, around((x, y, *sides), angle), self.name)
            part.shapes.became_box("rotated boxes", larger_turned(*sides, angle))
        elif tag == "ellipse":
            a, b = number(values.get("rx")), number(values.get("ry"))
            wide = math.hypot(a * math.cos(angle), b * math.sin(angle))
            high = math.hypot(a * math.sin(angle), b * math.cos(angle))
            middle = number(values.get("cx")), number(values.get("cy"))
            box = (middle[0] - wide, middle[1] - high, 2 * wide, 2 * high)
            part.box(row, label, box, self.name)
            times = 4 * wide * high / (math.pi * a * b) if a and b else math.nan
            part.shapes.became_box("ellipses", times)
        elif tag == "mask":
            keys = ("left", "top", "width", "height")
            left, top, width, height = (number(values.get(key)) for key in keys)
            part.box(row, label, (left, top, width, height), self.name)
            part.shapes.became_box("masks")
        elif tag == "cuboid":
            ends = [key[1:] for key in values if CUBOID_X.fullmatch(key)]
            corners = [(number(values[f"x{end}"]), number(values.get(f"y{end}"))) for end in ends]
            self._turned(label, "cuboids", corners)
        else:
            points = _points(values)
            if len(points) == 1:
                part.shapes.left_out["points, which have no extent"] += 1
            else:
                self._turned(label, POLYGONS[tag], points)

    def _between(self, label: str, text: str, box: Box) -> None:
        """Take the boxes of a track in frames between two that it states, in a straight line, as
        CVAT itself shows them."""
        frame = int(text) if text.isdigit() else -1
        before, self._before = self._before, (frame, box)
        if before is None or self._frames is None:
            return
        first, start = before
        for between in range(first + 1, frame) if frame - first < LONGEST_GAP else ():
            if between in self._frames:
                share = (between - first) / (frame - first)
                x, y, width, height = (a + share * (b - a) for a, b in zip(start, box, strict=True))
                row = self._frame(str(between))
                self.part.box(row, label, (x, y, width, height), self.name)
                self.part.shapes.became_box(BETWEEN)

    def _turned(self, label: str, kind: str, points: list[tuple[float, float]]) -> None:
        """Take the box around some points."""
        if points and all(math.isfinite(x + y) for x, y in points):
            self.part.around(self._row, label, kind, points, self.name)
        else:
            self.part.tell("DS045", self.name, f"the points of one of the {kind}")

    def _end(self, tag: str) -> None:
        if tag == "name" and self._path[-2:-1] == ["label"]:
            self.classes.append(self._text.strip())
        elif tag in self._size and self._path[-2:-1] == ["original_size"]:
            self._size[tag] = self._text.strip()
        elif tag == "original_size":
            self._all_frames()
        elif tag == "skeleton" and self._skeleton is not None:
            if len(self._skeleton) > 1 and not self._outside:
                self._turned(self._label, "skeletons", self._skeleton)
            self._skeleton = None
        elif tag in ("image", "track"):
            self._skipped = False
            self._label, self._outside, self._before = "", False, None
        self._path.pop()
        self._text = ""

    def _frame(self, text: str) -> int:
        """The row of a video's frame."""
        frame = int(text) if text.isdigit() else -1
        if self._frames is None:
            self._all_frames()
        path = (self._frames or {}).get(frame)
        if path is None:
            top = posixpath.dirname(self.name)
            path = posixpath.join(top, "images", f"frame_{max(frame, 0):06d}.png")
        return self.part.image(path, self._size["width"], self._size["height"])

    def _all_frames(self) -> None:
        """Take every image of the video: one without an object is an example too."""
        top = posixpath.dirname(self.name)
        self._frames = {}
        for path in self.part.files.names:
            found = FRAME.search(stem_of(path))
            if is_image(path) and (not top or path.startswith(f"{top}/")) and found:
                self._frames[int(found[1])] = path
        for path in self._frames.values():
            self.part.image(path, self._size["width"], self._size["height"])


def _points(values: dict[str, str]) -> list[tuple[float, float]]:
    """`x,y;x,y`."""
    found = []
    for pair in filter(None, values.get("points", "").split(";")):
        x, _, y = pair.partition(",")
        found.append((number(x), number(y)))
    return found
