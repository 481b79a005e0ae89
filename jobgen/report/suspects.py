"""Labels that look wrong: where a trained model and the labels disagree, most doubtful first.

A model that finds most of a class rarely sees one with confidence where there is none, and rarely
has no find at all where there is one. Both ask for a look at the label before one at the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobgen.report.mistakes import BACKGROUND, CLASS, ON_BACKGROUND, PLACE, Mistakes, iou_of

MOST = 50
NO_LABEL, OTHER_CLASS, OTHER_PLACE, NEVER_FOUND = (
    *("no label", "label of another class", "label at another place", "label that nothing finds"),
)
REASONS = {ON_BACKGROUND: NO_LABEL, CLASS: OTHER_CLASS, PLACE: OTHER_PLACE}


def suspects(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The labels to look at, at most 50, each with `doubt` (0 to 1), `reason`, `image`, `bbox` and,
    where there is one, `score` of the find. A label is named once, by its greatest doubt."""
    names = {image["id"]: image.get("file_name") for image in truth["images"]}
    found = [*_by_finds(mistakes, truth, finds), *_never_found(mistakes, truth, finds)]
    rows, told = [], set()
    for doubt, reason, image, bbox, score, box in sorted(found, key=lambda row: -row[0]):
        if box in told:
            continue
        told.update([box] if box >= 0 else [])
        row = {"doubt": round(doubt, 4), "reason": reason, "image": names.get(image), "bbox": bbox}
        rows.append({**row, "score": score} if score is not None else row)
    return rows[:MOST]


Row = tuple[float, str, int, list[float], float | None, int]


def _by_finds(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[Row]:
    """Finds that no label bears out: the surer the model, the greater the doubt. A label at about
    the place is less of one, the nearer it is."""
    rows: list[Row] = []
    for mistake in mistakes.found:
        if mistake.kind not in REASONS:
            continue
        find = finds[mistake.find]
        doubt = float(find["score"])
        if mistake.kind == PLACE:
            label = truth["annotations"][mistake.box]["bbox"]
            doubt *= 1 - iou_of(find["bbox"], label)
            if not mistake.fixes:
                continue  # another find has that label, or fits it better
        bbox = [float(value) for value in find["bbox"]]
        reason = REASONS[mistake.kind]
        score = round(float(find["score"]), 4)
        rows.append((doubt, reason, mistake.image, bbox, score, mistake.box))
    return rows


def _never_found(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[Row]:
    """Labels that no find bears out: the more of the class are found elsewhere, and the less sure
    are those that touch it, the greater the doubt."""
    missed = {mistake.box: mistake.image for mistake in mistakes.found if mistake.find < 0}
    boxes = truth["annotations"]
    there = Counter(box["category_id"] for box in boxes if not box.get("iscrowd"))
    lost = Counter(boxes[box]["category_id"] for box in missed)
    near: dict[int, list[dict[str, Any]]] = {}
    for find in finds:
        near.setdefault(find["image_id"], []).append(find)
    rows: list[Row] = []
    for box, image in missed.items():
        label = boxes[box]
        touching = (float(find["score"]) for find in near.get(image, [])
                    if iou_of(find["bbox"], label["bbox"]) >= BACKGROUND)  # fmt: skip
        number = label["category_id"]
        doubt = (1 - lost[number] / there[number]) * (1 - max(touching, default=0.0))
        bbox = [float(value) for value in label["bbox"]]
        rows.append((doubt, NEVER_FOUND, image, bbox, None, box))
    return rows
