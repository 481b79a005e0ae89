"""The scripts that run beside Paddle: figures, pictures and an exported model's own steps."""

from __future__ import annotations

import contextlib
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobgen_runtime.programs import detect, draw_boxes, judge_boxes
from tests.conftest import ROOT
from tests.sets import coco_split, picture

pytestmark = pytest.mark.waits

CHILDREN = ROOT / "jobgen_runtime" / "programs"


def child(name: str, *arguments: object) -> dict[str, Any]:
    argv = [sys.executable, str(CHILDREN / name), *map(str, arguments)]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def judged(
    folder: Path,
    boxes: list[dict[str, Any]],
    images: list[int] | None = None,
    record: dict[str, Any] | None = None,
) -> Any:
    truth, found, request = folder / "val.json", folder / "bbox.json", folder / "request.json"
    truth.write_text(json.dumps(record or coco_split(1, 8)))
    found.write_text(json.dumps(boxes))
    paths = {"annotations": str(truth), "boxes": str(found)}
    request.write_text(json.dumps({**paths, "images": images, "iou": 0.5}))
    child("judge_boxes.py", request, folder / "answer.json")
    return json.loads((folder / "answer.json").read_text())


def noisy_boxes(seed: int) -> list[dict[str, Any]]:
    """Boxes near the ground truth, some wrong in class, some nowhere, some missing."""
    chance = random.Random(seed)
    found = []
    for box in coco_split(1, 8)["annotations"]:
        if chance.random() < 0.2:
            continue
        label = box["category_id"] if chance.random() < 0.8 else 3 - box["category_id"]
        corner = [value + chance.uniform(-3, 3) for value in box["bbox"][:2]]
        found.append(
            {
                "image_id": box["image_id"],
                "category_id": label,
                "bbox": [*corner, *box["bbox"][2:]],
                "score": round(chance.random(), 2),
            }
        )
    for image in range(1, 9):
        row = {"image_id": image, "category_id": 1, "bbox": [50, 2, 9, 9], "score": 0.3}
        found.append(row)
    return found


@pytest.mark.parametrize("images", [None, [1, 3, 4]])
@pytest.mark.parametrize("seed", range(3))
def test_the_figures_are_pycocotools_own(
    tmp_path: Path, seed: int, images: list[int] | None
) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    boxes = noisy_boxes(seed)
    found = judged(tmp_path, boxes, images)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "val.json"))
        chosen = [box for box in boxes if images is None or box["image_id"] in images]
        judge = COCOeval(truth, truth.loadRes(chosen), "bbox")
        judge.params.imgIds = images or truth.getImgIds()
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert list(found["figures"].values()) == pytest.approx(judge.stats, abs=1e-6)
    assert found["images"] == len(images or range(8))
    mean = sum(row["AP50"] for row in found["classes"]) / 2
    assert mean == pytest.approx(found["figures"]["mAP50"], abs=1e-5)
    assert [len(row["curve"]) for row in found["classes"]] == [101, 101]


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_better_f1(tmp_path: Path, seed: int) -> None:
    """Counted anew at every score, by greedy matching within each class."""
    boxes = noisy_boxes(seed)
    best = judged(tmp_path, boxes)["best_f1"]
    truths = coco_split(1, 8)["annotations"]

    def f1(threshold: float) -> float:
        left = list(truths)
        hits = 0
        taken = sorted((b for b in boxes if b["score"] >= threshold), key=lambda b: -b["score"])
        for box in taken:
            same = [t for t in left if (t["image_id"], t["category_id"])
                    == (box["image_id"], box["category_id"])]  # fmt: skip
            shares = [(overlap(box["bbox"], truth["bbox"]), n) for n, truth in enumerate(same)]
            if shares and max(shares)[0] >= 0.5:
                hits += 1
                left.remove(same[max(shares)[1]])
        return 2 * hits / (len(taken) + len(truths))

    scores = sorted({box["score"] for box in boxes})
    assert best["f1"] == pytest.approx(max(map(f1, scores)), abs=1e-6)
    assert f1(best["threshold"]) == pytest.approx(best["f1"], abs=1e-6)


def overlap(one: list[float], other: list[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def test_the_confusion_says_what_is_taken_for_what(tmp_path: Path) -> None:
    boxes = [
        {"image_id": 1, "category_id": 1, "bbox": [24, 6, 16, 20], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [44, 6, 16, 20], "score": 0.8},
        {"image_id": 1, "category_id": 2, "bbox": [5, 30, 5, 5], "score": 0.7},
    ]
    found = judged(tmp_path, boxes, [1])
    # One ship found, one boat taken for a ship, and a boat where nothing is.
    assert found["best_f1"]["threshold"] == 0.9
    assert found["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    table = judge_boxes.confusion
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO

        truth = COCO(str(tmp_path / "val.json"))
    there = [box["id"] for box in coco_split(1, 2)["annotations"]]
    counts = [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    (name,) = [image["file_name"] for image in truth.loadImgs([1])]
    assert table(truth, {1: boxes}, [1], 0.0, 0.5) == (counts, {there[1]}, [[name, 1, 1, 2]])
    counts = [[0, 0, 2], [0, 0, 2], [0, 0, 0]]
    assert table(truth, {}, [1, 2], 0.0, 0.5)[:2] == (counts, set(there))


@pytest.mark.parametrize("seed", [3])
def test_f1_over_the_score_is_counted_at_each_score(tmp_path: Path, seed: int) -> None:
    boxes = noisy_boxes(seed)
    found = judged(tmp_path, boxes)
    rows = {row[0]: row[1:] for row in found["f1"]}
    assert list(rows) == sorted(rows)
    assert max(f1 for _, _, f1 in rows.values()) <= found["best_f1"]["f1"] + 1e-4
    for score, (precision, recall, f1) in list(rows.items())[::16]:
        kept = [box for box in boxes if box["score"] >= score]
        again = judged(tmp_path, kept)["f1"][0]
        assert again[1:] == pytest.approx([precision, recall, f1], abs=2e-4)


def test_boxes_are_counted_by_their_size(tmp_path: Path) -> None:
    record = coco_split(1, 2)
    sides = {1 / 100: 0, 1 / 50: 2, 1 / 7: 5, 0.9: 6}
    pairs = zip(record["annotations"], sides, strict=True)
    for box, side in pairs:
        image = next(i for i in record["images"] if i["id"] == box["image_id"])
        box["bbox"] = [0.0, 0.0, side * image["width"], side * image["height"]]
    first = record["annotations"][0]
    found = judged(tmp_path, [{**first, "score": 0.9}], None, record)
    counts = [(row["boxes"], row["missed"]) for row in found["sizes"]]
    assert counts == [(1, 0), (0, 0), (1, 1), (0, 0), (0, 0), (1, 1), (1, 1)]


def test_nothing_found_is_no_fault(tmp_path: Path) -> None:
    found = judged(tmp_path, [])
    assert set(found["figures"].values()) == {0.0}
    assert found["confusion"][0] == [0, 0, 8]
    assert found["best_f1"]["f1"] == 0
    assert [(row["AP50"], row["boxes"]) for row in found["classes"]] == [(0.0, 8), (0.0, 8)]


def test_classes_keep_their_order_and_a_class_without_truth_is_said(tmp_path: Path) -> None:
    """COCOeval sorts categories by id; the class order is the file's."""
    record = coco_split(1, 2)
    record["categories"].reverse()
    record["annotations"] = [b for b in record["annotations"] if b["category_id"] == 2]
    boxes = [
        {"image_id": b["image_id"], "category_id": 2, "bbox": b["bbox"], "score": 0.9}
        for b in record["annotations"]
    ]
    found = judged(tmp_path, boxes, None, record)
    assert [(row["AP50"], row["boxes"]) for row in found["classes"]] == [(1.0, 2), (-1.0, 0)]
    assert found["confusion"] == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_the_threshold_takes_the_box_that_sets_it(tmp_path: Path) -> None:
    box = coco_split(1, 1)["annotations"][0]
    for score in (0.7312345504760742, 0.99999999):
        row = {"image_id": 1, "category_id": 1, "bbox": box["bbox"], "score": score}
        found = judged(tmp_path, [row], [1])
        assert 0 < found["best_f1"]["threshold"] <= min(score, 0.999999)
        assert found["confusion"][0] == [1, 0, 0]


def test_a_box_in_a_crowd_counts_for_nothing(tmp_path: Path) -> None:
    record = coco_split(1, 1)
    record["annotations"][0]["iscrowd"] = 1
    crowd = record["annotations"][0]["bbox"]
    row = {"image_id": 1, "category_id": 1, "bbox": [*crowd[:2], 8, 8], "score": 0.9}
    other = {**row, "category_id": 2}
    assert judged(tmp_path, [row], None, record)["confusion"][2] == [0, 0, 0]
    assert judged(tmp_path, [other], None, record)["confusion"][2] == [0, 1, 0]


def test_pictures_have_the_truth_beside_the_prediction(tmp_path: Path) -> None:
    image = tmp_path / "in" / "1.jpg"
    image.parent.mkdir()
    image.write_bytes(picture(3, size=(1600, 400)))
    goal = tmp_path / "out" / "sub" / "1.png"
    row: dict[str, Any] = {"image": str(image), "goal": str(goal), "truth": [[0, 200, 100, 600, 300]],
           "boxes": [[1, 0.75, 1000, 100, 1400, 300]]}  # fmt: skip
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"classes": ["ship", "boat"], "pictures": [row]}))
    assert child("draw_boxes.py", request) == {"pictures": 1, "legible": True}
    with Image.open(goal) as found:
        assert found.size == (1606, 200)
        assert found.getpixel((200, 150)) == draw_boxes.COLOURS[0]
        assert found.getpixel((806 + 600, 150)) == draw_boxes.COLOURS[1]
    row["truth"] = None
    request.write_text(json.dumps({"classes": ["ship", "boat"], "pictures": [row]}))
    child("draw_boxes.py", request)
    with Image.open(goal) as found:
        assert found.size == (800, 200)


def test_names_that_no_font_shows_are_told(tmp_path: Path) -> None:
    font, legible = draw_boxes.choose_font(["\U0010fffc"], 13)
    assert not legible
    assert font.getmask("7").getbbox()


SIZE = {"type": "Resize", "target_size": [32, 64], "keep_ratio": False, "interp": 2}
MEAN = {"type": "NormalizeImage", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "is_scale": True}


def test_an_image_is_prepared_as_the_settings_say() -> None:
    image = np.full((16, 128, 3), 51, dtype=np.uint8)
    found, scale = detect.prepare(image, [SIZE, MEAN, {"type": "Permute"}])
    assert found.shape == (1, 3, 32, 64)
    assert found.dtype == np.float32
    assert scale.tolist() == [[2.0, 0.5]]
    assert found[0, :, 5, 5] == pytest.approx([-1.5, -1.0, -1.0], abs=1e-5)
    kept, scale = detect.prepare(image, [{**SIZE, "keep_ratio": True}, MEAN, {"type": "Permute"},
                                         {"type": "PadStride", "stride": 32}])  # fmt: skip
    assert scale.tolist() == [[0.5, 0.5]]
    assert kept.shape == (1, 3, 32, 64)
    with pytest.raises(SystemExit, match=r"infer_cfg\.yml wants LetterBox"):
        detect.prepare(image, [{"type": "LetterBox"}])


def test_boxes_are_suppressed_within_their_class() -> None:
    nms = {"score_threshold": 0.1, "nms_threshold": 0.5, "nms_top_k": 10, "keep_top_k": 3}
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [40, 0, 50, 10.0]])
    scores = np.array([[0.9, 0.8, 0.05, 0.3], [0.2, 0.7, 0.0, 0.4]])
    found = detect.suppress(boxes, scores, nms)
    assert [(row[0], row[1]) for row in found] == [(0, 0.9), (1, 0.7), (1, 0.4)]
    assert found[1][2:] == [1, 0, 11, 10]
    inside, counted = [np.array([[0, 0.9, 1, 2, 3, 4], [-1, 0, 0, 0, 0, 0]]), np.array([2])], []
    assert detect.boxes_of(inside, np.ones((1, 2)), nms) == [[0, 0.9, 1, 2, 3, 4]]
    outside = [boxes[None], scores[None]]
    counted = detect.boxes_of(outside, np.array([[2.0, 0.5]]), nms)
    assert counted[0][2:] == [0, 0, 20, 5]
