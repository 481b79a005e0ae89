"""Whether two forms of a model find the same: every box, and what non-maximum suppression made of
boxes that only rounding tells apart."""

from typing import Any, Callable, Dict, List, NamedTuple

Row = List[float]  # class number, score, x1, y1, x2, y2
Rows = List[Row]

# Boxes over this score are compared one by one.
PARITY_SCORE = 0.3
# The measured differences are under 0.0001 px and 0.0005 mAP; a wrong export has other boxes.
PARITY_PIXELS = 0.01
PARITY_MAP = 0.001
# Where suppression kept other boxes for rounding, and the images are few.
TIED_MAP = 0.01
# Where an image is larger than this, so is the error in its pixels.
PARITY_SIDE = 640.0
# A box this near to another may be taken for its fellow.
FELLOW_PIXELS = 1.0
# How far rounding may move a score or an overlap past the other: ten times what was measured.
ROUNDING = 1e-3


class Compared(NamedTuple):
    """Boxes over PARITY_SCORE of the trained model; of both sides those that have no fellow; the
    largest distance of an edge in pixels and of a score of those that have one."""

    boxes: int
    trained_alone: Rows
    other_alone: Rows
    pixels: float
    score: float


def compare_rows(trained: Rows, other: Rows) -> Compared:
    """The boxes of one image: each with the nearest of its class on the other side."""
    alone: Dict[bool, Rows] = {True: [], False: []}
    pixels, score = 0.0, 0.0
    for ours, rows, fellows in ((True, trained, other), (False, other, trained)):
        for row in rows:
            if row[1] <= PARITY_SCORE:
                continue
            apart = [
                (distance(row, each), abs(row[1] - each[1]))
                for each in fellows
                if each[0] == row[0]
            ]
            nearest = min(apart) if apart else (float("inf"), 1.0)
            if nearest[0] > FELLOW_PIXELS:
                alone[ours].append(row)
                continue
            pixels, score = max(pixels, nearest[0]), max(score, nearest[1])
    count = sum(1 for row in trained if row[1] > PARITY_SCORE)
    return Compared(count, alone[True], alone[False], pixels, score)


def compare_boxes(
    trained: List[Rows],
    others: List[Rows],
    nms: Dict[str, Any],
    before_nms: Callable[[List[int]], List[Rows]],
) -> Dict[str, Any]:
    """How far the boxes of each image are from the trained model's: `largest_px`, `largest_score`,
    how many have no fellow (`alone`), and for how many of the others without one rounding decided
    what suppression keeps (`ties`).

    `before_nms(numbers)` gives all boxes that the trained model has over a low score in images of
    these numbers; it is asked only where a box has no fellow."""
    found = [compare_rows(*both) for both in zip(trained, others)]
    differing = [n for n, each in enumerate(found) if each.trained_alone or each.other_alone]
    ties = {}
    if differing and nms:
        for number, candidates in zip(differing, before_nms(differing)):
            ties[number] = _ties(found[number], others[number], candidates, nms)
    without = sum(len(each.trained_alone) + len(each.other_alone) for each in found)
    return {
        "boxes": sum(each.boxes for each in found),
        "alone": without - sum(ties.values()),
        "ties": sum(ties.values()),
        "largest_px": round(max((each.pixels for each in found), default=0.0), 6),
        "largest_score": round(max((each.score for each in found), default=0.0), 6),
    }


def _ties(compared: Compared, other: Rows, candidates: Rows, nms: Dict[str, Any]) -> int:
    """How many boxes of one image have no fellow only because suppression may keep either of two:
    the other form's is a box that the trained model has before suppression, and none that
    suppression would clearly take away; the trained model's is one that a box of the other form
    takes away."""
    full = len(other) >= nms["keep_top_k"] > 0
    least = min((row[1] for row in other), default=0.0)
    count = 0
    for row in compared.other_alone:
        known = any(_same(row, each) for each in candidates)
        clearly = any(_suppresses(each, row, nms["nms_threshold"], ROUNDING) for each in other)
        count += known and not clearly
    for row in compared.trained_alone:
        cut = full and row[1] <= least + ROUNDING
        taken = any(_suppresses(each, row, nms["nms_threshold"], -ROUNDING) for each in other)
        count += cut or taken
    return count


def _same(one: Row, other: Row) -> bool:
    near = one[0] == other[0] and distance(one, other) <= PARITY_PIXELS * 10
    return near and abs(one[1] - other[1]) <= ROUNDING


def _suppresses(first: Row, second: Row, threshold: float, margin: float) -> bool:
    """Whether suppression takes `second` away for `first`; with a margin below 0 also where it may,
    above 0 only where it must."""
    ahead = first[0] == second[0] and first[1] > second[1] + margin
    return ahead and overlap(first, second) > threshold + margin


def distance(one: Row, other: Row) -> float:
    """The largest distance of an edge, in pixels."""
    return max(abs(a - b) for a, b in zip(one[2:], other[2:]))


def overlap(one: Row, other: Row) -> float:
    """Intersection over union of two boxes."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = one[2:], other[2:]
    width = max(0.0, min(ax2, bx2) - max(ax1, bx1))
    height = max(0.0, min(ay2, by2) - max(ay1, by1))
    both = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both
    return both / union if union > 0 else 0.0


def fault_of(measured: Dict[str, Any], side: int, pixels: float = PARITY_PIXELS) -> str:
    """What is wrong with a form whose boxes were `measured` on images with this longest side, in
    pixels; empty where nothing is. They may lie `pixels` apart, in proportion on large images."""
    bound = pixels * max(1.0, side / PARITY_SIDE)
    if measured["alone"] or measured["largest_px"] > bound:
        count = measured["alone"]
        have = "1 box has" if count == 1 else "%d boxes have" % count
        return "%s no fellow, the others are up to %.4f px apart" % (have, measured["largest_px"])
    if measured["mAP"] > (TIED_MAP if measured["ties"] else PARITY_MAP):
        return "its mAP differs by %.4f" % measured["mAP"]
    return ""
