"""Trained weights and what they find: shared by all that follows training."""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import (
    program_path,
    python_command,
)
from jobgen_runtime.data.coco import annotation_path, image_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import read_json_object
from jobgen_runtime.train.checkpoints import best_weights, find_weights, mark_best
from jobgen_runtime.train.weights import local_weights, take_weights


class Trained(NamedTuple):
    """Weights that training left: their path, and the evaluation that training made of them."""

    path: str
    metrics: Dict[str, Any]


def given_weights(path: str, home: str, save_dir: str) -> None:
    """Take weights from elsewhere for those that a training would have left. Raises StageError
    where they are torn or would run code."""
    found = local_weights(home, path)
    os.makedirs(save_dir, exist_ok=True)
    goal = os.path.join(save_dir, "best_model.pdparams")
    take_weights(found, goal)
    # What a record beside them says of them is a claim: nothing here has measured it.
    mark_best(save_dir, {})
    claim = claimed_map50(found)
    outcome().claimed = True
    outcome().data["weights"] = found
    if claim is not None:
        outcome().data["metrics"]["claimed_mAP50"] = claim
    claims = "" if claim is None else ", whose record claims mAP@0.5 %.3f" % claim
    summary("nothing is trained: weights from %s%s" % (found, claims))


def claimed_map50(weights: str) -> Optional[float]:
    """What the result that came with `weights/best_model.pdparams` says of them, if anything."""
    folder = os.path.dirname(os.path.dirname(weights))
    metrics = read_json_object(os.path.join(folder, "result.json")).get("metrics")
    best = metrics.get("best") if isinstance(metrics, dict) else None
    value = best.get("mAP50") if isinstance(best, dict) else None
    if os.path.basename(weights) != "best_model.pdparams" or not isinstance(value, float):
        return None
    return value if 0.0 <= value <= 1.0 else None


def trained_weights(save_dir: str) -> Trained:
    """The best weights, else the last. Raises StageError where there are none."""
    best = best_weights(save_dir)
    if best is not None:
        return Trained(best.path, best.metrics)
    last = find_weights(save_dir, "model_final")
    if last is None:
        raise StageError(
            "there are no trained weights in %s" % save_dir,
            "The stage train makes them: run the notebook from its first cell.",
            cause="weights",
        )
    note("no evaluation found anything, so there is no best_model: this is model_final")
    return Trained(last, {})


def spread(items: List[Any], count: int) -> List[Any]:
    """At most `count` of them, evenly from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


class Sample(NamedTuple):
    """Images of a split: their ids, their paths in the same order, and the longest side in
    pixels."""

    ids: List[int]
    paths: List[str]
    side: int


def eval_sample(place: Dict[str, Any], count: int) -> Sample:
    """At most `count` images of the evaluation's, evenly spread."""
    record = read_coco(annotation_path(place, "eval"))
    images = spread(record["images"], count)
    paths = [image_path(place, "eval", image["file_name"]) for image in images]
    side = max(max(image["width"], image["height"]) for image in images)
    return Sample([image["id"] for image in images], paths, side)


def category_ids(place: Dict[str, Any]) -> List[int]:
    """The category id of each class number: their order in the evaluation's file."""
    return [int(c["id"]) for c in read_coco(annotation_path(place, "eval"))["categories"]]


def find_boxes(
    clone_dir: str,
    run_config: str,
    weights: str,
    images: List[str],
    device: str,
    log: str,
    suppressed: bool = True,
    tiles: Optional[Dict[str, Any]] = None,
) -> List[List[List[float]]]:
    """What the trained model finds in each image: rows of class number, score, x1, y1, x2, y2.

    With no images it is only seen whether the weights fit; not `suppressed`, all boxes come that
    suppression would choose from, but for those with a low score; with `tiles` (size, overlap, iou)
    larger images are read tile by tile. Raises StageError where they are
    another model's: PaddleDetection would go on with random numbers in their place.
    """
    request: Dict[str, Any] = {"weights": weights, "images": images, "device": device}
    request.update(suppressed=suppressed, tiles=tiles)
    request_path, answer_path = exchange_files("trained", request)
    script = program_path("trained_model")
    argv = python_command(program_path("run_tool"), script, run_config, request_path)
    try:
        ask_child(argv + [answer_path], log, "the trained model", clone_dir)
    except StageError as error:
        if "are another model's" in error.message:
            error.cause = "weights"
            error.message = error.message[error.message.index("the weights are") :]
            error.remedy = "Give the weights and the model YAML of one training."
        raise
    return list(read_answer(answer_path))


def as_coco(boxes: List[List[List[float]]], ids: List[int], categories: List[int]) -> List[Any]:
    """Rows of class number, score and corners as COCO's results."""
    found = []
    for image, rows in zip(ids, boxes):
        for number, score, x1, y1, x2, y2 in rows:
            box = [x1, y1, x2 - x1, y2 - y1]
            category = categories[int(number)]
            found.append({"image_id": image, "category_id": category, "bbox": box, "score": score})
    return found


def judge(
    annotations: str, boxes: str, images: Optional[List[int]], log: str, name: str = "judge"
) -> Dict[str, Any]:
    """COCO's figures for a results file, as children/judge_boxes.py describes them."""
    request = {"annotations": annotations, "boxes": boxes, "images": images, "iou": 0.5}
    request_path, answer_path = exchange_files(name, request)
    argv = python_command(program_path("judge_boxes"), request_path, answer_path)
    ask_child(argv, log, "judging the boxes", outcome().folder)
    answer: Dict[str, Any] = read_answer(answer_path)
    return answer
