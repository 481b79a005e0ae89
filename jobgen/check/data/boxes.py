"""Rules about boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jobgen.check.facts import DataFacts, boxes_hit, told
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, each_split, repair
from jobgen.datasets.geometry import (
    beyond_the_edge,
    duplicates,
    outside,
    swapped_corners,
    without_area,
)
from jobgen.datasets.record import Split
from jobgen.datasets.statistics import FINEST_STRIDE, MANY_TINY, SIZES, scaled_sides, tiny


@each_split(
    "DS040",
    WARNING,
    why="PaddleDetection drops it with a warning in the log.",
    remedy=repair("DS040"),
)
def no_area(facts: DataFacts, split: Split) -> Iterator[Hit]:
    assert facts.data is not None
    return boxes_hit(split, without_area(facts.data, split))


@each_split(
    "DS041",
    ERROR,
    why="Its width is negative; the data stage stops at it.",
    remedy="If the corners are only swapped: " + repair("DS041"),
)
def inverted_corners(facts: DataFacts, split: Split) -> Iterator[Hit]:
    assert facts.data is not None
    return boxes_hit(split, swapped_corners(facts.data, split))


@each_split(
    "DS042",
    WARNING,
    "box that reaches over a pixel outside its image",
    why="PaddleDetection does not cut it: the model learns edges that no image shows.",
    remedy=repair("DS042") + " cuts it at the edge",
)
def over_the_edge(facts: DataFacts, split: Split) -> Iterator[Hit]:
    by = beyond_the_edge(facts.true_sizes(split))
    if by.any() and not facts.corners(split):
        yield from boxes_hit(split, by > 0, f"by up to {by.max():.4g} px")


@each_split(
    "DS043",
    WARNING,
    "box that lies outside its image",
    why="There is nothing to see where it is; its label is noise.",
    remedy="It may belong to another image; " + repair("DS043") + " leaves it out",
)
def nowhere(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if not facts.corners(split):
        yield from boxes_hit(split, outside(facts.true_sizes(split)))


@each_split(
    "DS047",
    ERROR,
    "boxes that are written as two corners",
    why="COCO has x, y, width and height: every box would be far too large.",
    remedy=repair("DS047"),
)
def two_corners(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if facts.corners(split):
        detail = "as x1 y1 x2 y2 all lie in their images, as x y width height many do not"
        yield Hit(len(split), [split.box_place(0)], split.place, detail)


@each_split(
    "DS044",
    WARNING,
    "box of less than a pixel",
    why="On one GPU a batch of nothing else gives a loss of NaN.",
    remedy="Look at them (jobgen dataset preview): fractions that were taken for pixels?",
)
def sub_pixel(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    return boxes_hit(split, split.solid & (split.boxes[:, 2:].min(axis=1, initial=1e9) < 1))


@each_split(
    "DS045",
    ERROR,
    why="The loss becomes NaN, and all weights with it.",
    remedy="Correct the coordinate, or leave the box out: " + repair("DS045"),
)
def not_finite(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    yield from told(split, "DS045")
    yield from boxes_hit(split, ~np.isfinite(split.boxes).all(axis=1))


@each_split(
    "DS046",
    WARNING,
    "box that is there twice",
    why="At evaluation one of the two is always missed: the mAP is too low.",
    remedy=repair("DS046"),
)
def repeated(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    return boxes_hit(split, duplicates(split))


@each_split(
    "DS093",
    NOTE,
    "boxes too small for the input size",
    why="A box under one cell of the finest level (8 px after resizing) is hardly found.",
    remedy="Take a larger model.input_size, or cut large images into tiles: "
    "jobgen dataset tile SRC DST.zip",
)
def too_small(facts: DataFacts, split: Split) -> Iterator[Hit]:
    size = facts.plan.input_size if facts.plan else max(SIZES)
    sides = scaled_sides(split, size)
    small = int((sides < FINEST_STRIDE).sum())
    if small > MANY_TINY * len(sides):
        share = small / len(sides)
        tiles = tiny(split, size)
        detail = str(tiles) if tiles else f"{share:.0%} of them are under 8 px at {size} px"
        cut = f"jobgen dataset tile SRC DST.zip --size {size}" if tiles else ""
        yield Hit(1, (), split.place, detail, remedy=cut)
