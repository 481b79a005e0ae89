"""Labels that look wrong: where a trained model and the labels disagree, most doubtful first.

A model that finds most of a class rarely sees one with confidence where there is none, and rarely
has no find at all where there is one. Both ask for a look at the label before one at the model.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jobgen.datasets.contents import Contents
from jobgen.datasets.prelabels import write_prelabels
from jobgen.report.mistakes import BACKGROUND, CLASS, ON_BACKGROUND, PLACE, Mistakes, iou_of

if TYPE_CHECKING:
    from jobgen.report.mistakes_page import Judged

MOST = 50
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
    found = [*_by_finds(mistakes, truth, finds), *_never_found(mistakes, truth, finds)]
    rows, told = [], set()
    for each in sorted(found, key=lambda row: -row.doubt):
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
        number = find["category_id"]
        rows.append(Row(doubt, reason, mistake.image, number, bbox, score, mistake.box))
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
        rows.append(Row(doubt, NEVER_FOUND, image, number, bbox, None, box))
    return rows


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
