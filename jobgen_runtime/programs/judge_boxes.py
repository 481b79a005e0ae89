"""COCO's figures for boxes that were found: python judge_boxes.py REQUEST ANSWER

REQUEST is a JSON file: `annotations` (a COCO file), `boxes` (a COCO results file), `images` (ids,
null for all), `iou` for the confusion. ANSWER gets the twelve COCO figures, AP of each class,
precision over recall at IoU 0.5, precision, recall and F1 over the score, the threshold of the best
F1, and at it the confusion, how many boxes of each size were found, and what of each image was.
"""

import json
import math
import sys
from typing import Any, Dict, List

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = (
    *("mAP", "mAP50", "mAP75", "mAP_small", "mAP_medium", "mAP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
# Where no box was found at all there is nothing to choose a threshold from.
# Of sides of boxes, as the root of their area over that of their image.
UPTO = (1 / 80.0, 1 / 60.0, 1 / 40.0, 1 / 20.0, 1 / 10.0, 1 / 5.0, 1.0)
SCORES = [n / 50.0 for n in range(50)]
NOTHING = {"threshold": 0.5, "f1": 0.0, "precision": 0.0, "recall": 0.0}


def mean(values):
    """The mean of COCO's values; -1 where no ground truth is."""
    known = values[values > -1]
    return float(np.mean(known)) if known.size else -1.0


def by_class(judge, truth):
    found = []
    order = list(judge.params.catIds)  # which COCOeval has sorted
    for category in truth.getCatIds():
        number = order.index(category)
        precision = judge.eval["precision"][:, :, number, 0, -1]
        ids = truth.getAnnIds(imgIds=judge.params.imgIds, catIds=[category], iscrowd=False)
        found.append(
            {
                "AP": round(mean(precision), 6),
                "AP50": round(mean(precision[0]), 6),
                "boxes": len(ids),
                "curve": [round(float(value), 4) for value in precision[0]],
            }
        )
    return found


def over_scores(judge):
    """At IoU 0.5, over all classes: the score from which on precision and recall balance best, and
    rows of score, precision, recall and F1."""
    scores, hits, truths = [], [], 0
    for row in judge.evalImgs:
        # The first quarter is of boxes of any area; the others are parts of it.
        if row is None or row["aRng"] != judge.params.areaRng[0]:
            continue
        counted = ~row["dtIgnore"][0].astype(bool)
        scores += np.array(row["dtScores"])[counted].tolist()
        hits += (row["dtMatches"][0][counted] > 0).tolist()
        truths += int(np.sum(np.array(row["gtIgnore"]) == 0))
    if not scores or not truths:
        return NOTHING, []
    order = np.argsort(-np.array(scores), kind="stable")
    sorted_scores = np.array(scores)[order]
    right = np.cumsum(np.array(hits)[order])
    precision, recall = right / (np.arange(len(right)) + 1.0), right / float(truths)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    # Boxes of one score are taken or left together.
    last = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
    best = int(np.argmax(np.where(last, f1, -1)))
    # Never above the score of the box that it is the score of.
    threshold = min(math.floor(float(sorted_scores[best]) * 1e6) / 1e6, 0.999999)
    values = (threshold, f1[best], precision[best], recall[best])
    rows = []
    for score in SCORES:
        kept = int(np.sum(sorted_scores >= score))
        if kept:
            at = (score, precision[kept - 1], recall[kept - 1], f1[kept - 1])
            rows.append([round(float(value), 4) for value in at])
    return {name: round(float(value), 6) for name, value in zip(NOTHING, values)}, rows


def in_crowd(box, crowds, iou):
    """Whether a box lies in a crowd of its class, which COCO does not count."""
    same = [crowd["bbox"] for crowd in crowds if crowd["category_id"] == box["category_id"]]
    return bool(same) and mask.iou([box["bbox"]], same, [1] * len(same)).max() >= iou


def by_size(truth, images, missed):
    """Rows of `upto`, `boxes` and how many of them were `missed` (ids), small boxes first."""
    rows = [{"upto": round(upto, 5), "boxes": 0, "missed": 0} for upto in UPTO]
    for box in truth.loadAnns(truth.getAnnIds(imgIds=images, iscrowd=False)):
        image = truth.imgs[box["image_id"]]
        pixels = image.get("width", 0) * image.get("height", 0)
        if not pixels:
            continue
        side = math.sqrt(max(0.0, box["bbox"][2] * box["bbox"][3]) / pixels)
        row = rows[next((n for n, upto in enumerate(UPTO) if side < upto), len(UPTO) - 1)]
        row["boxes"] += 1
        row["missed"] += box["id"] in missed
    return rows


def confusion(truth, found, images, threshold, iou):
    """Rows are what there is, columns what was found; the last of each is nothing. Every box of
    the ground truth goes with the highest-scored box that overlaps it most. And the ids of those
    that go with none of their class, and a row of each image: its name, and how many boxes were
    right, missed and false."""
    classes = {category: number for number, category in enumerate(truth.getCatIds())}
    table = np.zeros((len(classes) + 1, len(classes) + 1), dtype=int)
    missed, rows = set(), []
    for image in images:
        before = table.copy()
        there = truth.loadAnns(truth.getAnnIds(imgIds=[image], iscrowd=False))
        boxes = [box for box in found.get(image, ()) if box["score"] >= threshold]
        boxes.sort(key=lambda box: -box["score"])
        crowds = truth.loadAnns(truth.getAnnIds(imgIds=[image], iscrowd=True))
        free = set(range(len(there)))
        shares = np.zeros((len(boxes), len(there)))
        if boxes and there:
            shares = mask.iou(
                [box["bbox"] for box in boxes], [box["bbox"] for box in there], [0] * len(there)
            )
        for number, box in enumerate(boxes):
            fitting = [other for other in free if shares[number][other] >= iou]
            if not fitting and in_crowd(box, crowds, iou):
                continue
            column = classes[box["category_id"]]
            if not fitting:
                table[-1][column] += 1
                continue
            nearest = max(fitting, key=lambda other: shares[number][other])
            free.discard(nearest)
            row = classes[there[nearest]["category_id"]]
            table[row][column] += 1
            if row != column:
                missed.add(there[nearest]["id"])
        for other in free:
            table[classes[there[other]["category_id"]]][-1] += 1
            missed.add(there[other]["id"])
        own = table - before
        if own.any():
            right = int(own[:-1, :-1].trace())
            wrong = int(own[:-1].sum()) - right, int(own[:, :-1].sum()) - right
            rows.append([truth.imgs[image]["file_name"], right, *wrong])
    return table.tolist(), missed, rows


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        request = json.load(stream)
    truth = COCO(request["annotations"])
    # pycocotools 2.0.9 and 2.0.10 stop at a file without it.
    truth.dataset.setdefault("info", {})
    images = sorted(truth.getImgIds()) if request["images"] is None else request["images"]
    with open(request["boxes"], encoding="utf-8") as stream:
        boxes = [box for box in json.load(stream) if box["image_id"] in set(images)]
    answer: Dict[str, Any] = {"figures": dict.fromkeys(NAMES, 0.0), "best_f1": NOTHING, "f1": []}
    answer["boxes"] = len(boxes)
    answer["classes"] = []
    for category in truth.getCatIds():
        count = len(truth.getAnnIds(imgIds=images, catIds=[category], iscrowd=False))
        none = 0.0 if count else -1.0
        answer["classes"].append({"AP": none, "AP50": none, "boxes": count, "curve": []})
    if boxes:
        judge = COCOeval(truth, truth.loadRes(boxes), "bbox")
        judge.params.imgIds = images
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        answer["figures"] = {n: round(float(v), 6) for n, v in zip(NAMES, judge.stats)}
        answer["classes"] = by_class(judge, truth)
        answer["best_f1"], answer["f1"] = over_scores(judge)
    found: Dict[int, List[Any]] = {}
    for box in boxes:
        found.setdefault(box["image_id"], []).append(box)
    threshold = answer["best_f1"]["threshold"]
    ask = (truth, found, images, threshold, request["iou"])
    answer["confusion"], missed, answer["by_image"] = confusion(*ask)
    answer["sizes"] = by_size(truth, images, missed)
    answer["images"] = len(images)
    with open(sys.argv[2], "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    print(json.dumps({"mAP50": answer["figures"]["mAP50"]}))


if __name__ == "__main__":
    main()
