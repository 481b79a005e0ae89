"""What each kind of mistake costs a detector: TIDE's definitions (Bolya et al., ECCV 2020).

A find is right where it overlaps a box of its class by half, and that box is not taken. Any other
is one of these, in this order: at the wrong place (IoU 0.1 to 0.5 with its class), of the wrong
class (0.5 with another), one too many (0.5 with a box that is taken), on background (under 0.1 with
all), or both wrong. A box that no find could have had is missed. The cost of a kind is how much
AP@0.5 would rise were all of it put right. Compared with tidecv 1.0.1 in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOUND, BACKGROUND = 0.5, 0.1
MOST = 100
# COCO's own limits of small and medium, in square pixels (pycocotools' areaRng).
AREAS = (32**2, 96**2)
CLASS, PLACE, BOTH, DUPLICATE, ON_BACKGROUND, MISSED = KINDS = (
    *("class", "place", "both", "duplicate", "background", "missed"),
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mistake:
    """One find that is wrong, or a box that was missed. `box` is the number of the annotation that
    it is about in the truth, -1 for none; `find` that of the find, -1 where it was missed. `fixes`
    is whether it would count, put right: of several finds of one box only the best would."""

    kind: str
    image: int
    find: int
    box: int
    fixes: bool


@dataclass(frozen=True)
class Mistakes:
    """Mean AP@0.5 over the classes (0 to 1), what each kind costs of it, the same of each class (by
    its number in the COCO file), and all mistakes."""

    ap: float
    costs: dict[str, float]
    by_class: dict[int, dict[str, float]]
    found: list[Mistake]

    def count(self, kind: str, finds: Sequence[dict[str, Any]], score: float) -> int:
        """How many of a kind there are among the finds from a score on."""
        of_kind = [mistake for mistake in self.found if mistake.kind == kind]
        return sum(each.find < 0 or finds[each.find]["score"] >= score for each in of_kind)


@dataclass
class _Image:
    """The finds of an image, the best first, and its boxes: rows of the lists that were given."""

    number: int
    finds: NDArray[np.int64]
    boxes: NDArray[np.int64]
    crowds: NDArray[np.int64]


def find_mistakes(truth: dict[str, Any], finds: Sequence[dict[str, Any]]) -> Mistakes:
    """Judge `finds` (COCO's results: image_id, category_id, bbox as x, y, width, height, score)
    by a COCO file. Raises KeyError, TypeError or ValueError for what is none."""
    judge = _Judge(truth["annotations"], finds)
    for image in _images(truth["images"], truth["annotations"], finds):
        judge.look_at(image)
    before, after = judge.aps(""), {kind: judge.aps(kind) for kind in KINDS}
    ap = _mean(before)
    # Below 0 is the rounding to 101 recalls.
    costs = {kind: max(_mean(aps) - ap, 0.0) for kind, aps in after.items()}
    by_class = {
        number: {kind: aps.get(number, 0.0) - own for kind, aps in after.items()}
        for number, own in before.items()
    }
    return Mistakes(ap, costs, by_class, [*judge.wrong.values(), *judge.missed])


def _mean(aps: dict[int, float]) -> float:
    return float(np.mean(list(aps.values()))) if aps else 0.0


def by_size(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]], score: float
) -> dict[str, list[int]]:
    """How many mistakes of each kind there are with small, medium and large boxes (COCO's areas:
    below 32 x 32 px, below 96 x 96 px, above), of finds from a score on and of missed boxes. The
    size is that of the label it is about, else of the find."""
    counts = {kind: [0, 0, 0] for kind in KINDS}
    for mistake in mistakes.found:
        if mistake.find >= 0 and finds[mistake.find]["score"] < score:
            continue
        box = finds[mistake.find] if mistake.box < 0 else truth["annotations"][mistake.box]
        area = box["bbox"][2] * box["bbox"][3]
        counts[mistake.kind][sum(area >= limit for limit in AREAS)] += 1
    return counts


def _images(
    images: Sequence[dict[str, Any]],
    boxes: Sequence[dict[str, Any]],
    finds: Sequence[dict[str, Any]],
) -> Iterator[_Image]:
    rows: dict[int, tuple[list[int], list[int], list[int]]] = {
        image["id"]: ([], [], []) for image in images
    }
    for row, find in enumerate(finds):
        if find["image_id"] in rows:
            rows[find["image_id"]][0].append(row)
    for row, box in enumerate(boxes):
        if box["image_id"] in rows:
            rows[box["image_id"]][2 if box.get("iscrowd") else 1].append(row)
    for number, (own, there, crowds) in rows.items():
        best = sorted(own, key=lambda row: -finds[row]["score"])[:MOST]
        yield _Image(number, *(np.array(each, np.int64) for each in (best, there, crowds)))


class _Judge:
    """Truth and finds as columns, and what was found of them: `order` are the finds as they were
    looked at, `wrong` those that are mistakes, `ignored` those in a crowd."""

    def __init__(self, boxes: Sequence[dict[str, Any]], finds: Sequence[dict[str, Any]]) -> None:
        self.box = np.array([box["bbox"] for box in boxes], np.float64).reshape(-1, 4)
        self.box_class = np.array([box["category_id"] for box in boxes], np.int64)
        self.crowd = np.array([bool(box.get("iscrowd")) for box in boxes], bool)
        self.find = np.array([find["bbox"] for find in finds], np.float64).reshape(-1, 4)
        self.find_class = np.array([find["category_id"] for find in finds], np.int64)
        self.score = np.array([find["score"] for find in finds], np.float64)
        self.order: list[int] = []
        self.wrong: dict[int, Mistake] = {}
        self.missed: list[Mistake] = []
        self.ignored: set[int] = set()

    def look_at(self, image: _Image) -> None:
        """Sort the finds of an image into right ones and mistakes, and name its missed boxes."""
        overlap = iou(self.find[image.finds], self.box[image.boxes])
        same = self.find_class[image.finds][:, None] == self.box_class[image.boxes][None, :]
        taken = _matched(overlap * same)
        used = np.zeros(len(image.boxes), bool)
        used[taken[taken >= 0]] = True
        self._ignore(image, taken)
        best: dict[int, int] = {}  # of the finds that would have a box, put right, the best
        for row, find in enumerate(map(int, image.finds)):
            self.order.append(find)
            if taken[row] >= 0:
                continue
            kind, box = _kind(overlap[row], same[row], used)
            fixes = kind in (PLACE, CLASS) and not used[box] and best.setdefault(box, row) == row
            about = int(image.boxes[box]) if box >= 0 else -1
            self.wrong[find] = Mistake(kind, image.number, find, about, fixes)
        for lone in np.flatnonzero(~used).tolist():
            if lone not in best:
                about = int(image.boxes[lone])
                self.missed.append(Mistake(MISSED, image.number, -1, about, fixes=True))

    def _ignore(self, image: _Image, taken: NDArray[np.int64]) -> None:
        """Finds in a crowd of their class count for nothing."""
        for crowd in image.crowds:
            inside = share_inside(self.find[image.finds], self.box[crowd])
            same = self.find_class[image.finds] == self.box_class[crowd]
            self.ignored.update(image.finds[(taken < 0) & same & (inside > FOUND)].tolist())

    def aps(self, kind: str) -> dict[int, float]:
        """AP@0.5 of each class that has boxes or finds, with all mistakes of a kind put right; ""
        for none."""
        wanted = dict.fromkeys(self.box_class[~self.crowd].tolist(), 0)
        for each in self.box_class[~self.crowd].tolist():
            wanted[each] += 1
        for mistake in self.missed if kind == MISSED else ():
            wanted[int(self.box_class[mistake.box])] -= 1
        points: dict[int, list[tuple[float, bool]]] = {}
        for number, score, right in self._points(kind):
            points.setdefault(number, []).append((score, right))
        classes = {*wanted, *points}
        return {
            number: average_precision(points.get(number, []), wanted.get(number, 0))
            for number in sorted(classes)
            if points.get(number) or wanted.get(number)
        }

    def _points(self, kind: str) -> Iterator[tuple[int, float, bool]]:
        """Class, score and whether it is right, of each find that counts. Where a kind is put
        right, the wrong ones come first, as in TIDE: that decides among equal scores."""
        order = sorted(self.order, key=lambda find: find not in self.wrong) if kind else self.order
        for find in order:
            mistake = self.wrong.get(find)
            number, right = int(self.find_class[find]), mistake is None
            if mistake is not None and mistake.kind == kind:
                if not mistake.fixes:
                    continue  # taken away
                number, right = int(self.box_class[mistake.box]), True
            elif find in self.ignored:
                continue
            yield number, float(self.score[find]), right


def _matched(overlap: Floats) -> NDArray[np.int64]:
    """For each find, the best first, the box that it takes; -1 for none. `overlap` is finds x boxes
    of one class."""
    free = overlap.copy()
    taken = np.full(len(free), -1, np.int64)
    if free.shape[1]:
        for row in range(len(free)):
            box = int(free[row].argmax())
            if free[row, box] >= FOUND:
                taken[row] = box
                free[:, box] = 0
    return taken


def _kind(overlap: Floats, same: NDArray[np.bool_], used: NDArray[np.bool_]) -> tuple[str, int]:
    """What is wrong with a find, by its overlap with each box, and the box that it is about."""
    if not len(overlap):
        return ON_BACKGROUND, -1
    own, other, gone = overlap * same, overlap * ~same, overlap * same * used
    if BACKGROUND <= own.max() <= FOUND:
        return PLACE, int(own.argmax())
    if other.max() >= FOUND:
        return CLASS, int(other.argmax())
    if gone.max() >= FOUND:
        return DUPLICATE, int(gone.argmax())
    if overlap.max() <= BACKGROUND:
        return ON_BACKGROUND, -1
    return BOTH, int(overlap.argmax())


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes (n x 4 and m x 4; x, y, width, height): n x m."""
    shared = _shared(first, second)
    areas = (first[:, 2] * first[:, 3])[:, None] + (second[:, 2] * second[:, 3])[None, :]
    union = areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def iou_of(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU of two boxes (x, y, width, height)."""
    return float(iou(np.array([first], np.float64), np.array([second], np.float64))[0, 0])


def share_inside(boxes: Floats, region: Floats) -> Floats:
    """Which share of each box (n x 4) lies in a region (4)."""
    area = boxes[:, 2] * boxes[:, 3]
    shared = _shared(boxes, region[None, :])[:, 0]
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def _shared(first: Floats, second: Floats) -> Floats:
    """The area that boxes share: n x m."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    sides = np.clip(high - low, 0, None)
    found: Floats = sides[..., 0] * sides[..., 1]
    return found


def average_precision(points: Sequence[tuple[float, bool]], boxes: int) -> float:
    """COCO's AP at one IoU: precision at 101 recalls, of finds as (score, right), for so many
    boxes. 0 without boxes."""
    if not boxes:
        return 0.0
    ordered = sorted(points, key=lambda point: -point[0])
    right = np.cumsum([float(point[1]) for point in ordered])
    precision = right / np.arange(1, len(ordered) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / boxes, np.arange(101) / 100, side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def truth_of(result: dict[str, Any]) -> Path | None:
    """The COCO file that an evaluation on this machine was measured by; None where it was none."""
    place = (result.get("run_config") or {}).get("EvalDataset") or {}
    path = Path(str(place.get("dataset_dir", ""))) / str(place.get("anno_path", ""))
    return path if path.suffix == ".json" and path.is_file() else None


def images_of(result: dict[str, Any]) -> Path:
    """The folder of the images that an evaluation on this machine went through."""
    place = (result.get("run_config") or {}).get("EvalDataset") or {}
    return Path(str(place.get("dataset_dir", ""))) / str(place.get("image_dir", ""))


def listed(
    mistakes: Mistakes, truth: dict[str, Any], finds: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """As a record: AP@0.5, the costs, and each mistake with its image, find and box, those with the
    highest scores first."""
    names = {image["id"]: image.get("file_name") for image in truth["images"]}
    rows = []
    for mistake in mistakes.found:
        row: dict[str, Any] = {"kind": mistake.kind, "image": names.get(mistake.image)}
        if mistake.find >= 0:
            find = finds[mistake.find]
            row.update(category_id=find["category_id"], bbox=find["bbox"], score=find["score"])
        if mistake.box >= 0:
            box = truth["annotations"][mistake.box]
            row["truth"] = {"category_id": box["category_id"], "bbox": box["bbox"]}
        rows.append(row)
    rows.sort(key=lambda row: -row.get("score", 0.0))
    return {"AP50": mistakes.ap, "costs": mistakes.costs, "mistakes": rows}
