"""Figures of one split, from its COCO record, and what they mean for training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PERCENTILES = (0, 10, 50, 90, 100)
# COCO's own limits of small and medium, in square pixels (pycocotools' areaRng).
SMALL, MEDIUM = 32**2, 96**2
# PicoDet's finest level has a cell every 8 px: a box under two cells is hard to place.
FINEST_STRIDE = 8
SIZES = {
    320: "picodet_s_320_coco_lcnet",
    416: "picodet_s_416_coco_lcnet",
    640: "picodet_l_640_coco_lcnet",
}


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


def percentiles(values: Sequence[float]) -> list[float]:
    """The values at PERCENTILES, by the nearest rank; empty for no values."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return [round(ordered[round(last * p / 100)], 2) for p in PERCENTILES] if ordered else []


def statistics(record: dict[str, Any]) -> Statistics:
    """Count a COCO record that `check_coco` has passed. Boxes without area are counted apart."""
    names = {category["id"]: category["name"] for category in record["categories"]}
    boxes = record["annotations"]
    solid = [box["bbox"] for box in boxes if box["bbox"][2] > 0 and box["bbox"][3] > 0]
    areas = [width * height for _, _, width, height in solid]
    per_image = Counter(box["image_id"] for box in boxes)
    per_class = Counter(box["category_id"] for box in boxes)
    small = sum(area < SMALL for area in areas)
    large = sum(area >= MEDIUM for area in areas)
    share = 1 / max(1, len(areas))
    return Statistics(
        images=len(record["images"]),
        boxes=len(boxes),
        empty_images=sum(image["id"] not in per_image for image in record["images"]),
        boxes_per_image=percentiles([per_image[image["id"]] for image in record["images"]]),
        classes={name: per_class[number] for number, name in names.items()},
        image_width=percentiles([image["width"] for image in record["images"]]),
        image_height=percentiles([image["height"] for image in record["images"]]),
        box_side=percentiles([math.sqrt(area) for area in areas]),
        aspect=percentiles([width / height for _, _, width, height in solid]),
        small=round(small * share, 4),
        medium=round((len(areas) - small - large) * share, 4),
        large=round(large * share, 4),
        crowd=sum(bool(box["iscrowd"]) for box in boxes),
        without_area=len(boxes) - len(solid),
    )


def scaled_sides(record: dict[str, Any], size: int) -> list[float]:
    """Box sides after an image is resized to `size` x `size`, as PicoDet does it, in pixels."""
    scale = {i["id"]: size / math.sqrt(i["width"] * i["height"]) for i in record["images"]}
    return [
        math.sqrt(box["bbox"][2] * box["bbox"][3]) * scale[box["image_id"]]
        for box in record["annotations"]
        if box["bbox"][2] > 0 and box["bbox"][3] > 0
    ]


def suggest_model(record: dict[str, Any]) -> tuple[str, str]:
    """A model of the catalogue and why: the smallest input at which nine boxes of ten are at
    least two cells of the finest level wide; else the largest."""
    wanted = 2 * FINEST_STRIDE
    side, size = 0.0, 0
    for size in SIZES:
        sides = percentiles(scaled_sides(record, size))
        side = sides[PERCENTILES.index(10)] if sides else 0.0
        if side >= wanted:
            break
    why = f"at {size} px nine boxes of ten are {side:.0f} px or more"
    if side < wanted:
        why += f"; {wanted} px would be better, so expect to miss the smallest"
    return SIZES[size], why
