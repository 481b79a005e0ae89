"""How alike two forms of a model find: their boxes, picture by picture, and their mAP."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jobgen_runtime.after.parity import PARITY_SCORE, Row, Rows, distance, overlap

# Of a box and its fellow, as COCO counts a find at mAP@0.5.
FELLOW_IOU = 0.5


@dataclass(frozen=True)
class Likeness:
    """Over the boxes with a score over PARITY_SCORE: how many the model has, how many of them the
    form has lost, how many it has gained, and how far edges of the others lie apart, in pixels, and
    their scores."""

    boxes: int
    lost: int
    gained: int
    largest_px: float
    mean_px: float
    largest_score: float
    mean_score: float

    def as_dict(self) -> dict[str, Any]:
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def likeness(model: list[Rows], form: list[Rows]) -> Likeness:
    """Every box goes with the free one of its class that overlaps it most; a box whose fellow has
    a score under the bound is not lost, and none is gained by a score just over it."""
    lost = gained = boxes = 0
    apart: list[float] = []
    scores: list[float] = []
    for ours, theirs in zip(model, form, strict=True):
        sure = [row for row in ours if row[1] > PARITY_SCORE]
        boxes += len(sure)
        found = pairs(sure, theirs)
        apart += [distance(row, fellow) for row, fellow in found]
        scores += [abs(row[1] - fellow[1]) for row, fellow in found]
        lost += len(sure) - len(found)
        new = [row for row in theirs if row[1] > PARITY_SCORE]
        gained += len(new) - len(pairs(new, ours))
    return Likeness(
        boxes, lost, gained,
        max(apart, default=0.0), _mean(apart), max(scores, default=0.0), _mean(scores),
    )  # fmt: skip


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def pairs(rows: Rows, others: Rows) -> list[tuple[Row, Row]]:
    """The rows that have a fellow, with it; the highest score chooses first."""
    free = list(others)
    found = []
    for row in sorted(rows, key=lambda row: -row[1]):
        near = [each for each in free if each[0] == row[0] and overlap(row, each) >= FELLOW_IOU]
        if near:
            fellow = max(near, key=lambda each: overlap(row, each))
            free.remove(fellow)
            found.append((row, fellow))
    return found
