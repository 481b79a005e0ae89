"""Figures of one split, and what they mean for training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jobgen.catalog import PURPOSES, suggested
from jobgen.datasets.record import DataSet, Floats, Split

PERCENTILES = (0, 10, 50, 90, 100)
# COCO's own limits of small and medium, in square pixels (pycocotools' areaRng).
SMALL, MEDIUM = 32**2, 96**2
# The finest level has a cell every 8 px: a box under two cells is hard to place.
FINEST_STRIDE = 8
SIZES = (320, 416, 640)
# From this share of boxes on that are too small, it is said.
MANY_TINY = 0.1


@dataclass(frozen=True)
class Statistics:
    """One split. Sides are in pixels of the original image: `box_side` is the root of a box's
    area, `aspect` its width over its height; each holds the values at PERCENTILES."""

    images: int
    boxes: int
    empty_images: int
    boxes_per_image: list[float]
    classes: dict[str, int]
    image_width: list[float]
    image_height: list[float]
    box_side: list[float]
    aspect: list[float]
    small: float
    medium: float
    large: float
    crowd: int
    without_area: int


def percentiles(values: npt.ArrayLike) -> list[float]:
    """The values at PERCENTILES, by the nearest rank; empty for no values."""
    ordered = np.sort(np.asarray(values, np.float64))
    last = len(ordered) - 1
    return [round(float(ordered[round(last * p / 100)]), 2) for p in PERCENTILES if last >= 0]


def statistics(split: Split) -> Statistics:
    """Count a split. Boxes without area are counted apart."""
    areas = box_areas(split)
    small, large = int((areas < SMALL).sum()), int((areas >= MEDIUM).sum())
    share = 1 / max(1, len(areas))
    known = (split.widths > 0) & (split.heights > 0)
    return Statistics(
        images=split.images,
        boxes=len(split),
        empty_images=int((split.boxes_per_image == 0).sum()),
        boxes_per_image=percentiles(split.boxes_per_image),
        classes=dict(zip(split.class_names, split.boxes_per_class.tolist(), strict=True)),
        image_width=percentiles(split.widths[known]),
        image_height=percentiles(split.heights[known]),
        box_side=percentiles(np.sqrt(areas)),
        aspect=percentiles(aspects(split)),
        small=round(small * share, 4),
        medium=round((len(areas) - small - large) * share, 4),
        large=round(large * share, 4),
        crowd=int((split.crowd > 0).sum()),
        without_area=len(split) - len(areas),
    )


def box_areas(split: Split) -> Floats:
    """Areas of the boxes that have one, in square pixels."""
    found: Floats = split.boxes[split.solid, 2] * split.boxes[split.solid, 3]
    return found


def aspects(split: Split) -> Floats:
    """Width over height of the boxes that have an area."""
    found: Floats = split.boxes[split.solid, 2] / split.boxes[split.solid, 3]
    return found


def scaled_sides(split: Split, size: int) -> Floats:
    """Box sides after an image is resized to `size` x `size`, as most models do it, in pixels."""
    pixels = (split.widths * split.heights).astype(np.float64)
    usable = split.solid & (split.image_of >= 0)
    rows = split.image_of[usable]
    usable[usable] = pixels[rows] > 0
    rows = split.image_of[usable]
    areas = split.boxes[usable, 2] * split.boxes[usable, 3]
    found: Floats = np.sqrt(areas / pixels[rows]) * size
    return found


def sides_in_tiles(split: Split, size: int) -> Floats:
    """Box sides where images are read in tiles of `size` px, in pixels: those of larger images
    keep theirs, the others are resized whole."""
    large = np.maximum(split.widths, split.heights) > size
    scaled = replace(
        split,
        widths=np.where(large, size, split.widths),
        heights=np.where(large, size, split.heights),
    )
    return scaled_sides(scaled, size)


@dataclass(frozen=True)
class Tiny:
    """The shares of boxes under a cell of the finest level: in whole images of a size, and in
    tiles of it."""

    size: int
    whole: float
    tiled: float

    def __str__(self) -> str:
        return (
            f"at {self.size} px {self.whole:.0%} of boxes are under {FINEST_STRIDE} px; "
            f"in tiles of {self.size} px, {self.tiled:.0%}"
        )


def tiny(split: Split, size: int) -> Tiny | None:
    """How many boxes are too small at an input size, and whether tiles help; None where few are,
    or tiles leave as many."""
    whole, tiled = scaled_sides(split, size), sides_in_tiles(split, size)
    if not len(whole):
        return None
    shares = [float((sides < FINEST_STRIDE).mean()) for sides in (whole, tiled)]
    found = Tiny(size, *shares)
    return found if found.whole > MANY_TINY and found.tiled < found.whole / 2 else None


def tenth(split: Split, size: int) -> float:
    """The side in pixels that nine boxes of ten reach at this input size; 0 without boxes."""
    sides = percentiles(scaled_sides(split, size))
    return sides[PERCENTILES.index(10)] if sides else 0.0


def suggest_model(data: DataSet, purpose: str = PURPOSES[0]) -> tuple[str, str]:
    """A model of the catalogue and why: for that purpose, with the smallest input at which nine
    boxes of ten of the training split are at least two cells of the finest level wide; else the
    largest."""
    split = data.train or next(iter(data))
    wanted = 2 * FINEST_STRIDE
    size = next((s for s in SIZES if tenth(split, s) >= wanted), max(SIZES))
    side = tenth(split, size)
    if not len(split):
        return suggested(size, purpose), "there are no boxes to go by"
    why = f"at {size} px nine boxes of ten are {side:.{int(round(side) == wanted)}f} px or more"
    if side < wanted:
        why += f"; {wanted} px would be better, so expect to miss the smallest"
    return suggested(size, purpose), why
