"""Where boxes lie in their images, for all of a split at once."""

from __future__ import annotations

import numpy as np

from jobgen.datasets.record import DataSet, Floats, Mask, Split

# VOC counts pixels from 1, and rounding moves an edge by less than one: neither is a fault.
TOLERANCE = 1.0


def swapped_corners(data: DataSet, split: Split) -> Mask:
    """VOC boxes whose right is left of their left, or bottom above top, bool (M,)."""
    negative = (split.boxes[:, 2:] < 0).any(axis=1)
    return np.asarray(negative & (data.layout.format == "voc"))


def without_area(data: DataSet, split: Split) -> Mask:
    """Boxes of zero width or height, or of a negative one that means nothing, bool (M,)."""
    flat = (split.boxes[:, 2:] <= 0).any(axis=1)
    return np.asarray(flat & ~swapped_corners(data, split))


def edges(boxes: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Left, top, right and bottom, each (M,)."""
    return boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]


def image_sizes(split: Split) -> tuple[Floats, Floats, Mask]:
    """Width and height of each box's image, and whether they are known, each (M,)."""
    if not split.images:
        none = np.zeros(len(split))
        return none, none, none.astype(bool)
    width = split.widths[split.image_of].astype(np.float64)
    height = split.heights[split.image_of].astype(np.float64)
    return width, height, (split.image_of >= 0) & (width > 0) & (height > 0)


def beyond_the_edge(split: Split) -> Floats:
    """By how many pixels a box reaches outside its image, (M,); 0 within the tolerance, and for
    one that lies outside altogether."""
    width, height, known = image_sizes(split)
    left, top, right, bottom = edges(split.boxes)
    by = np.stack([-left, -top, right - width, bottom - height]).max(axis=0, initial=0)
    partly = known & split.solid & ~outside(split) & (by > TOLERANCE)
    return np.asarray(np.where(partly, by, 0.0))


def outside(split: Split) -> Mask:
    """The boxes that share nothing with their image, bool (M,)."""
    width, height, known = image_sizes(split)
    left, top, right, bottom = edges(split.boxes)
    off = (left >= width) | (top >= height) | (right <= 0) | (bottom <= 0)
    return np.asarray(known & split.solid & off)


def duplicates(split: Split) -> Mask:
    """The boxes that an earlier one equals in image, class, place and size, bool (M,)."""
    same = np.zeros(len(split), bool)
    keys = np.column_stack([split.image_of, split.class_of, split.boxes]) + 0.0
    # Few boxes share a hash: only those are compared.
    mixed = np.zeros(len(split), np.uint64)
    for column in keys.T:
        mixed = (mixed ^ np.ascontiguousarray(column).view(np.uint64)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed)
    equal = np.flatnonzero(mixed[order[1:]] == mixed[order[:-1]])
    rows = np.unique(np.concatenate([order[equal], order[equal + 1]]))
    rows = rows[np.lexsort(keys[rows].T[::-1])]
    same[rows[1:]] = (keys[rows[1:]] == keys[rows[:-1]]).all(axis=1)
    return np.asarray(same & (split.image_of >= 0))
