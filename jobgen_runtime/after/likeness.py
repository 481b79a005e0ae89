"""How alike two forms of a model find: their boxes, picture by picture, and what that must be."""

from typing import Any, Dict, List, NamedTuple, Tuple

from jobgen_runtime.after.parity import PARITY_SCORE, Row, Rows, distance, overlap

# Of a box and its fellow, as COCO counts a find at mAP@0.5.
FELLOW_IOU = 0.5
# Of mAP, for a form that rounds: what 8 bits cost on sets where they work is under 0.015.
MOST_LOST = 0.02
# The same as a share, for models that find little.
MOST_LOST_SHARE = 0.1
# Of scores, on average: 8 bits move them by 0.01 to 0.03. A form whose scores are others has other
# boxes over any threshold, and yet the same mAP.
MOST_SCORE_APART = 0.1
NOTHING_SHOWN = (
    "the trained model has no box with a score over %s in the evaluation's pictures, "
    "or none that is right, so nothing shows that a form finds the same; train it longer first"
    % PARITY_SCORE
)


class Likeness(NamedTuple):
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

    def as_dict(self) -> Dict[str, Any]:
        found = self._asdict()
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in found.items()}


def likeness(model: List[Rows], form: List[Rows]) -> Likeness:
    """Every box goes with the free one of its class that overlaps it most; a box whose fellow has
    a score under the bound is not lost, and none is gained by a score just over it. Raises
    ValueError where one of them has looked at more pictures."""
    if len(model) != len(form):
        raise ValueError("%d pictures beside %d" % (len(form), len(model)))
    lost = gained = boxes = 0
    apart: List[float] = []
    scores: List[float] = []
    for ours, theirs in zip(model, form):
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


def nothing_shown(boxes: List[Rows], mean_ap: float) -> bool:
    """Whether the trained model itself finds so little that no form can be judged by it."""
    sure = any(row[1] > PARITY_SCORE for rows in boxes for row in rows)
    return not sure or mean_ap <= 0


def fault_of_rounding(alike: Likeness, mean_ap: float, before: float) -> str:
    """What is wrong with a form that rounds; empty where nothing is. `before` is the trained
    model's mAP."""
    if alike.mean_score > MOST_SCORE_APART:
        return "its scores are others, by %.3f" % alike.mean_score
    if before - mean_ap > min(MOST_LOST, MOST_LOST_SHARE * before):
        return "its mAP is %.3f, the trained model's %.3f" % (mean_ap, before)
    return ""


def _mean(values: List[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def pairs(rows: Rows, others: Rows) -> List[Tuple[Row, Row]]:
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
