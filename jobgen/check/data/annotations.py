"""Rules about annotation files: that they can be read, and that nothing in them is missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jobgen.check.facts import DataFacts, boxes_hit, from_reader, images_hit, told
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, each_split, repair, whole_set
from jobgen.datasets.record import TRAIN, UNKNOWN, Split

from_reader(
    "DS010",
    ERROR,
    why="Training stops at it, or never begins.",
    remedy="Export it again as UTF-8 from the tool that made it.",
    name="unreadable_file",
)


from_reader(
    "DS011",
    ERROR,
    why="Training stops with a TypeError; in val only at the first evaluation.",
    remedy=repair("DS011") + ", where it means a number",
    name="wrong_type",
)


@each_split(
    "DS012",
    ERROR,
    why="PaddleDetection stops with a KeyError when it reads the set, or leaves the box out.",
    remedy="Sizes can be had from the images, boxes from their polygons: " + repair("DS012"),
)
def missing_value(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    yield from told(split, "DS012")
    if not any(t.code in ("DS010", "DS012") for t in split.troubles) and split.sources is None:
        yield from images_hit(
            split,
            np.flatnonzero((split.widths <= 0) | (split.heights <= 0)),
            "width or height is 0",
        )


@each_split(
    "DS013",
    NOTE,
    "COCO file without info",
    why="pycocotools 2.0.9 and 2.0.10 stop at it in the first evaluation.",
    remedy="A job of jobgen's replaces these versions; elsewhere: " + repair("DS013"),
)
def no_info(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    if not split.has_info and not split.troubles:
        yield Hit(1, (), split.place)


@each_split(
    "DS014",
    ERROR,
    why="In val it stops the job at the first evaluation, hours later.",
    remedy=repair("DS014"),
)
def missing_area(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    return boxes_hit(split, np.isnan(split.area) & np.isfinite(split.boxes).all(axis=1))


@each_split(
    "DS016",
    WARNING,
    "annotation whose stated area is not positive",
    why="PaddleDetection drops the box with a warning in the log, however large it is.",
    remedy=repair("DS016"),
)
def flat_area(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    return boxes_hit(split, split.solid & (split.area <= 0))


@each_split(
    "DS015",
    ERROR,
    why="PaddleDetection stops with KeyError: 'iscrowd'.",
    remedy=repair("DS015"),
)
def missing_crowd(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    return boxes_hit(split, split.crowd == UNKNOWN)


@each_split(
    "DS020",
    ERROR,
    why="pycocotools keeps the last of them: boxes or images vanish.",
    remedy="Number them anew; for annotations: " + repair("DS020"),
)
def id_used_twice(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    for kind, ids in (
        ("image", split.image_ids),
        ("annotation", split.box_ids),
        ("category", split.class_ids),
    ):
        ordered = np.sort(ids)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if len(twice):
            yield Hit(len(twice), [f"{kind} {number}" for number in twice[:5]], split.place)


from_reader(
    "DS021",
    ERROR,
    why="PaddleDetection stops with KeyError: 'id'.",
    remedy="Number the items from 1, each kind for itself.",
    name="missing_id",
)


from_reader(
    "DS022",
    ERROR,
    "id over 63 bits",
    why="PaddleDetection and pycocotools keep ids in 64-bit integers; it does not fit.",
    remedy="Number the items from 1, each kind for itself.",
    name="huge_id",
)


@each_split(
    "DS024",
    WARNING,
    "annotation with the id 0",
    why="pycocotools takes it for no match: its box counts as missed in every evaluation.",
    remedy=repair("DS024"),
)
def zero_id(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if facts.data is not None and facts.data.layout.format == "coco" and split.name != TRAIN:
        yield from boxes_hit(split, split.box_ids == 0)


@each_split(
    "DS023",
    ERROR,
    why="The box belongs to nothing; the data stage stops at it.",
    remedy=repair("DS023") + " leaves it out",
)
def unlisted_image(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    ids = split.unknown_images
    if ids is not None and len(ids):
        yield Hit(len(ids), [f"image {number}" for number in ids[:5]], split.place)


from_reader(
    "DS070",
    NOTE,
    "XML whose <filename> is not its own image",
    why="jobgen goes by the XML's own name; tools that go by <filename> find nothing.",
    remedy=repair("DS070"),
    name="wrong_filename",
)


from_reader(
    "DS071",
    WARNING,
    "XML whose <filename> is another image of the set",
    why="One of the two is wrong: the boxes may belong to the other image.",
    remedy="Look at both (jobgen dataset preview); if the XML's name is right: " + repair("DS071"),
    name="other_filename",
)


from_reader(
    "DS074",
    ERROR,
    why="The image would count twice; the data stage stops at it.",
    remedy=repair("DS074"),
    name="listed_twice",
)


from_reader(
    "DS077",
    ERROR,
    why="PaddleDetection leaves it out with a warning in the log.",
    remedy="Add the XML, or take the name off the list: " + repair("DS077"),
    name="stranger",
)


from_reader(
    "DS080",
    ERROR,
    "coordinates in pixels where fractions are meant",
    why="They are taken as fractions: every box lies far outside its image.",
    remedy="Divide by the image's width and height, or export the labels again.",
    name="pixels_for_fractions",
)


from_reader(
    "DS081",
    ERROR,
    "line that is no annotation",
    why="Its box is lost: it is not what the set's format has in a line.",
    remedy="Correct the line, or export the labels again.",
    name="malformed_line",
)


@whole_set(
    "DS085",
    NOTE,
    "shapes that are no upright boxes",
    why="A detector learns upright boxes: what else a shape says is lost.",
    remedy="Nothing, where the boxes suit the task.",
)
def lost_shapes(facts: DataFacts) -> Iterator[Hit]:
    for line in facts.data.losses if facts.data else ():
        yield Hit(1, (), "", line)


@whole_set(
    "DS083",
    WARNING,
    "YOLO set without class names",
    why="The classes are called class0, class1, ... in the job and on its pictures.",
    remedy="Add a classes.txt with one name a line, in the order of their numbers.",
)
def nameless_classes(facts: DataFacts) -> Iterator[Hit]:
    for trouble in facts.data.troubles if facts.data else ():
        if trouble.code == "DS083":
            yield Hit(1, (trouble.detail,), trouble.place)


@whole_set(
    "DS084",
    WARNING,
    "split that data.yaml names and that is not there",
    why="Another folder is taken for it, or none: the set is not what its maker meant.",
    remedy="Correct the path in data.yaml, relative to its own folder.",
)
def named_split_missing(facts: DataFacts) -> Iterator[Hit]:
    for trouble in facts.data.troubles if facts.data else ():
        if trouble.code == "DS084":
            yield Hit(1, (), trouble.place, trouble.detail)
