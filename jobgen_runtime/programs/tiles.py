"""Large images tile by tile: where the tiles lie, and one list of boxes out of theirs.

Needs numpy only; it is handed out beside detect.py.
"""

from typing import Any, List, Sequence, Tuple

import numpy as np

Corners = Tuple[int, int, int, int]

# A box that ends at an inner edge of its tile is a part of an object that the next tile shows
# more of: where another box has so much of it, it goes.
COVERED = 0.6
EDGE = 2.0


def starts(length: int, size: int, overlap: float) -> List[int]:
    """The first pixels of tiles of `size` over a length, each sharing at least `overlap` of itself
    with the next; evenly apart, the last ends with the length."""
    if length <= size:
        return [0]
    count = int(np.ceil((length - size) / (size * (1.0 - overlap)))) + 1
    return [round(number * (length - size) / float(count - 1)) for number in range(count)]


def tiles_of(width: int, height: int, size: int, overlap: float) -> List[Corners]:
    """The corners (left, top, right, bottom) of an image's tiles, row by row."""
    return [
        (left, top, min(left + size, width), min(top + size, height))
        for top in starts(height, size, overlap)
        for left in starts(width, size, overlap)
    ]


def merged(
    found: Sequence[Tuple[Corners, Sequence[Sequence[float]]]], width: int, height: int, iou: float
) -> List[List[float]]:
    """One list of rows [class, score, x1, y1, x2, y2] from those of the tiles.

    `found` has for each tile its corners and its rows, in the tile's pixels; a part that is the
    whole image gives only the boxes that no tile can hold. Boxes of a class that overlap by more
    than `iou` are one: that of the highest score.
    """
    whole = (0, 0, width, height)
    parts = [part for part in found if tuple(part[0]) != whole]
    if not parts:
        return [list(row) for _, rows in found for row in rows]
    size = max(right - left for (left, _, right, _), _ in parts)
    shared = min(_shared([part[0] for part in parts]), size)
    rows: List[List[float]] = []
    at_edge: List[bool] = []
    tile_of: List[int] = []
    for number, (corners, boxes) in enumerate(found):
        left, top, right, bottom = corners
        for label, score, x1, y1, x2, y2 in boxes:
            if tuple(corners) == whole and max(x2 - x1, y2 - y1) < shared:
                continue
            cut = (
                (x1 <= EDGE and left > 0)
                or (y1 <= EDGE and top > 0)
                or (x2 >= right - left - EDGE and right < width)
                or (y2 >= bottom - top - EDGE and bottom < height)
            )
            rows.append([label, score, x1 + left, y1 + top, x2 + left, y2 + top])
            at_edge.append(cut)
            tile_of.append(number)
    if not rows:
        return []
    table = np.array(rows, dtype=np.float64)
    keep = _not_covered(table, np.array(at_edge), np.array(tile_of))
    table = table[keep]
    rows_left: List[List[float]] = table[_best(table, iou)].tolist()
    return rows_left


def _shared(corners: Sequence[Corners]) -> float:
    """The smallest overlap of two neighbours, in pixels."""
    found = [2.0**31]
    for axis in (0, 1):
        places = sorted({(part[axis], part[axis + 2]) for part in corners})
        found += [one[1] - two[0] for one, two in zip(places, places[1:])]
    return min(found)


def _not_covered(table: Any, at_edge: Any, tile_of: Any) -> Any:
    """Which boxes stay: all but the parts of objects that a box of another tile covers."""
    keep = np.ones(len(table), dtype=bool)
    areas = np.prod(table[:, 4:] - table[:, 2:4], axis=1)
    for row in np.flatnonzero(at_edge):
        others = (table[:, 0] == table[row, 0]) & (tile_of != tile_of[row]) & (areas > areas[row])
        if others.any():
            both = _common(table[row, 2:], table[others, 2:])
            keep[row] = both.max() < COVERED * max(areas[row], 1e-9)
    return keep


def _best(table: Any, iou: float) -> List[int]:
    """The rows that non-maximum suppression keeps, each class for itself, the highest score
    first."""
    found: List[int] = []
    areas = np.prod(table[:, 4:] - table[:, 2:4], axis=1)
    for label in np.unique(table[:, 0]):
        order = np.flatnonzero(table[:, 0] == label)
        order = order[np.argsort(-table[order, 1], kind="stable")]
        while len(order):
            first, order = order[0], order[1:]
            found.append(first)
            both = _common(table[first, 2:], table[order, 2:])
            order = order[both <= iou * (areas[first] + areas[order] - both)]
    return sorted(found, key=lambda row: -table[row, 1])


def _common(box: Any, others: Any) -> Any:
    """The area that one box has in common with each of the others."""
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[2:], others[:, 2:])
    return np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
