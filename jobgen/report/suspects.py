"""Labels that look wrong: where a trained model and the labels disagree, most doubtful first.

The doubt is how often the model is right elsewhere: for a find without a label, the share of finds
about as sure that are right; for a label without a find, the share of labels of about its size
that are found, and of the others in its image. Where an image has both, of about one size, the
label was most likely put at the wrong place, and both doubts count.
"""

from __future__ import annotations

import bisect
import shutil
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jobgen.datasets.contents import Contents
from jobgen.datasets.prelabels import write_prelabels
from jobgen.report.mistakes import BACKGROUND, CLASS, ON_BACKGROUND, PLACE, Mistakes, iou_of

if TYPE_CHECKING:
    from jobgen.report.mistakes_page import Judged

MOST = 50
# So many wrong ones are assumed beside those that are counted.
ASSUMED = 2
# So many labels nearest in size are looked at for one.
ALIKE = 40
# Two boxes are about of one size where the larger has at most so many times the other's area.
ONE_SIZE = 2.0
NO_LABEL, OTHER_CLASS, OTHER_PLACE, NEVER_FOUND = (
    *("no label", "label of another class", "label at another place", "label that nothing finds"),
)
REASONS = {ON_BACKGROUND: NO_LABEL, CLASS: OTHER_CLASS, PLACE: OTHER_PLACE}


def suspects(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The labels to look at, at most 50, each with `doubt` (0 to 1), `reason`, `image`, `class`,
    `bbox`, `label` (the row of the annotation it is about, -1 for none) and, where there is one,
    `score` of the find. A label is named once, by its greatest doubt."""
    names = {image["id"]: image.get("file_name") for image in truth["images"]}
    classes = {category["id"]: category["name"] for category in truth.get("categories", [])}
    found = _with_moved(_by_finds(mistakes, truth, finds) + _never_found(mistakes, truth, finds))
    rows, told = [], set()
    for each in sorted(found, key=lambda row: (-row.doubt, -(row.score or 0.0))):
        if each.label in told:
            continue
        told.update([each.label] if each.label >= 0 else [])
        row = {"doubt": round(each.doubt, 4), "reason": each.reason,
               "image": names.get(each.image), "class": classes.get(each.number),
               "bbox": each.bbox, "label": each.label}  # fmt: skip
        rows.append({**row, "score": each.score} if each.score is not None else row)
    return rows[:MOST]


class Row(NamedTuple):
    """A suspect; `number` is that of its class in the COCO file."""

    doubt: float
    reason: str
    image: int
    number: int
    bbox: list[float]
    score: float | None
    label: int


def _by_finds(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[Row]:
    """Finds that no label bears out. A label at about the place is less of one, the nearer it
    is."""
    rows: list[Row] = []
    wrong = {mistake.find for mistake in mistakes.found}
    certain = _Certainty(finds, wrong)
    for mistake in mistakes.found:
        if mistake.kind not in REASONS:
            continue
        find = finds[mistake.find]
        doubt = certain.at(float(find["score"]))
        if mistake.kind == PLACE:
            label = truth["annotations"][mistake.box]["bbox"]
            doubt *= 1 - iou_of(find["bbox"], label)
            if not mistake.fixes:
                continue  # another find has that label, or fits it better
        bbox = [float(value) for value in find["bbox"]]
        reason = REASONS[mistake.kind]
        score = round(float(find["score"]), 4)
        number = find["category_id"]
        rows.append(Row(doubt, reason, mistake.image, number, bbox, score, mistake.box))
    return rows


class _Certainty:
    """How often finds of a score are right, as a share that only rises with the score (isotonic
    regression by pooling neighbours: Barlow et al., 1972); a few more wrong ones are assumed, so
    that a handful of finds is no certainty."""

    def __init__(self, finds: Sequence[dict[str, Any]], wrong: set[int]) -> None:
        order = sorted(range(len(finds)), key=lambda row: float(finds[row]["score"]))
        pools: list[list[int]] = []  # right ones, all
        for row in order:
            pools.append([row not in wrong, 1])
            while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
                right, count = pools.pop()
                pools[-1] = [pools[-1][0] + right, pools[-1][1] + count]
        self.ends = np.cumsum([count for _, count in pools])
        self.shares = [right / (count + ASSUMED) for right, count in pools]
        self.scores = [float(finds[row]["score"]) for row in order]

    def at(self, score: float) -> float:
        place = bisect.bisect_left(self.scores, score)
        return float(self.shares[int(np.searchsorted(self.ends, place, side="right"))])


def _never_found(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> list[Row]:
    """Labels that no find bears out; the less sure those are that touch it, the greater the
    doubt."""
    missed = {mistake.box: mistake.image for mistake in mistakes.found if mistake.find < 0}
    boxes = truth["annotations"]
    usual = _usually_found(boxes, missed)
    own: dict[int, list[int]] = {}
    for row, box in enumerate(boxes):
        own.setdefault(box["image_id"], []).append(row)
    near: dict[int, list[dict[str, Any]]] = {}
    for find in finds:
        near.setdefault(find["image_id"], []).append(find)
    rows: list[Row] = []
    for box, image in missed.items():
        label = boxes[box]
        touching = (float(find["score"]) for find in near.get(image, [])
                    if iou_of(find["bbox"], label["bbox"]) >= BACKGROUND)  # fmt: skip
        others = [row for row in own[image] if row != box]
        seen = sum(row not in missed for row in others)
        # With no other label in the image it is as ever.
        share = (seen + usual[box]) / (len(others) + 1)
        doubt = usual[box] * share * (1 - max(touching, default=0.0))
        bbox = [float(value) for value in label["bbox"]]
        rows.append(Row(doubt, NEVER_FOUND, image, label["category_id"], bbox, None, box))
    return rows


def _usually_found(boxes: Sequence[dict[str, Any]], missed: Container[int]) -> dict[int, float]:
    """Of each label, the share that is found of the labels of its class nearest in size."""
    by_class: dict[int, list[int]] = {}
    for row, box in enumerate(boxes):
        if not box.get("iscrowd"):
            by_class.setdefault(box["category_id"], []).append(row)
    found = {}
    for rows in by_class.values():
        rows.sort(key=lambda row: _area(boxes[row]["bbox"]))
        hits = np.concatenate([[0], np.cumsum([row not in missed for row in rows])])
        for place, row in enumerate(rows):
            first = max(0, min(place - ALIKE // 2, len(rows) - ALIKE))
            last = min(len(rows), first + ALIKE)
            found[row] = float(hits[last] - hits[first]) / (last - first + ASSUMED)
    return found


def _area(bbox: Sequence[float]) -> float:
    return float(bbox[2] * bbox[3])


def _with_moved(rows: list[Row]) -> list[Row]:
    """The rows, those raised that tell of one label that was moved: in an image a find without a
    label and a label without a find, of one class and about one size."""
    lone = [row for row in rows if row.reason in (NO_LABEL, NEVER_FOUND)]
    by_image: dict[int, list[Row]] = {}
    for row in lone:
        by_image.setdefault(row.image, []).append(row)
    raised: dict[int, float] = {}
    for own in by_image.values():
        for find in (row for row in own if row.reason == NO_LABEL):
            for label in (row for row in own if row.reason == NEVER_FOUND):
                sizes = sorted((_area(find.bbox), _area(label.bbox)))
                if find.number == label.number and sizes[1] <= ONE_SIZE * sizes[0]:
                    both = 1 - (1 - find.doubt) * (1 - label.doubt)
                    for row in (find, label):
                        raised[id(row)] = max(both, raised.get(id(row), 0.0))
    return [row._replace(doubt=raised.get(id(row), row.doubt)) for row in rows]


def write_suspects(judged: Judged, goal: Path) -> bool:
    """Write the images of the suspects with all their labels into the folder `goal`, as LabelMe
    opens them; what is doubted has a question mark behind its class. False where there are none."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in judged.suspects:
        rows.setdefault(row["image"], []).append(row)
    names = {each["id"]: each["name"] for each in judged.truth["categories"]}
    ids = {each["file_name"]: each["id"] for each in judged.truth["images"]}
    found: list[dict[str, Any]] = []
    for image, own in rows.items():
        doubted = {row["label"] for row in own}
        boxes = [{"class": names[box["category_id"]] + (" ?" if number in doubted else ""),
                  "box": _corners(box["bbox"])}
                 for number, box in enumerate(judged.truth["annotations"])
                 if box["image_id"] == ids[image]]  # fmt: skip
        boxes += [{"class": f"{row['class']} ?", "box": _corners(row["bbox"])}
                  for row in own if row["label"] < 0]  # fmt: skip
        found.append({"image": image, "boxes": boxes})
    shutil.rmtree(goal, ignore_errors=True)
    if found:
        classes = list(dict.fromkeys(box["class"] for item in found for box in item["boxes"]))
        write_prelabels(_Images(judged.images, list(rows)), found, classes, "labelme", goal)
    return bool(found)


class _Images(Contents):
    """Some images of a folder, by their names in it."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(folder.name)
        self.folder, self.names = folder, list(names)
        self.sizes = {name: self._place(name).stat().st_size for name in names}

    def _place(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("/"))

    def _read(self, name: str) -> bytes:
        return self._place(name).read_bytes()

    def _head(self, name: str, size: int) -> bytes:
        with self._place(name).open("rb") as stream:
            return stream.read(size)


def _corners(bbox: Sequence[float]) -> list[float]:
    return [bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]]
