"""What follows a classifier's training: measured, drawn, exported, and shown to be the same."""

import json
import os
import shutil
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from jobgen_runtime.after.trained import spread, trained_weights
from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.classify.lists import Row
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

TOP = 5
# Beside what training measured of the same weights: another batch may move an image at a tie.
MEASURED = 0.001
# A file system takes 255 bytes, and a Chinese letter has three.
LONGEST_STEM = 60


class Trained(NamedTuple):
    """A trained classifier on this machine: PaddleClas, the config, where its weights lie, and the
    names of its classes."""

    clone: str
    config: str
    save_dir: str
    classes: List[str]


def eval_rows(place: Dict[str, Any]) -> List[Row]:
    """The evaluation's images with absolute paths, and their classes."""
    with open(place["eval"]["list"], encoding="utf-8") as stream:
        lines = [line.rstrip("\n").split("\t") for line in stream]
    folder = place["eval"]["folder"]
    return [Row(os.path.join(folder, *path.split("/")), int(number)) for path, number in lines]


def scores_of(trained: Trained, weights: str, paths: List[str], device: str, log: str) -> Any:
    """The trained model's score of every class for each image; with no images it is only seen
    whether the weights fit. Raises StageError where they are another model's."""
    request = {"weights": weights, "images": paths, "device": device}
    request_path, answer_path = exchange_files("trained", request)
    argv = python_command(program_path("run_tool"), program_path("trained_classes"))
    argv += [trained.config, request_path, answer_path]
    try:
        ask_child(argv, log, "the trained model", trained.clone)
    except StageError as error:
        if "are another model's" in error.message:
            error.cause = "weights"
            error.message = error.message[error.message.index("the weights are") :]
            error.remedy = "Give the weights and the config of one training."
        raise
    return read_answer(answer_path)


def order_of(scores: List[float]) -> List[int]:
    """The classes by their scores, the highest first."""
    return sorted(range(len(scores)), key=lambda number: (-scores[number], number))


def figures_of(truth: List[int], scores: List[List[float]], classes: List[str]) -> Dict[str, Any]:
    """top1 and, of more than five classes, top5 (shares from 0 to 1); the confusion, rows what
    there is; precision, recall and F1 of each class (-1 where nothing says it)."""
    orders = [order_of(row) for row in scores]
    table = [[0] * len(classes) for _ in classes]
    for number, order in zip(truth, orders):
        table[number][order[0]] += 1
    count = float(len(truth))
    found: Dict[str, Any] = {"images": len(truth), "confusion": table}
    found["top1"] = sum(o[0] == n for n, o in zip(truth, orders)) / count
    if len(classes) > TOP:
        found["top5"] = sum(n in o[:TOP] for n, o in zip(truth, orders)) / count
    found["per_class"] = [_of_class(table, number, name) for number, name in enumerate(classes)]
    return found


def _of_class(table: List[List[int]], number: int, name: str) -> Dict[str, Any]:
    right = table[number][number]
    there, seen = sum(table[number]), sum(row[number] for row in table)
    recall = right / float(there) if there else -1.0
    precision = right / float(seen) if seen else -1.0
    both = 2.0 * right / (there + seen) if there + seen else -1.0
    values = {"precision": precision, "recall": recall, "F1": both}
    row = {key: round(value, 6) for key, value in values.items()}
    return dict(row, images=there, **{"class": name})


def evaluate_classes(trained: Trained, place: Dict[str, Any], device: str) -> None:
    """Measure the best weights on the evaluation's images, each by its own scores.

    `metrics` gets `evaluation` (top1, top5, images), `per_class` and `confusion`; evaluation/ gets
    predictions.json. Raises StageError where the weights are another model's."""
    run = outcome()
    weights = trained_weights(trained.save_dir)
    rows = eval_rows(place)
    scores = scores_of(trained, weights.path, [row.path for row in rows], device, "evaluate")
    found = figures_of([row.number for row in rows], scores, trained.classes)
    metrics = run.data["metrics"]
    named: Dict[str, Any] = {k: round(found[k], 6) for k in ("top1", "top5") if k in found}
    metrics["evaluation"] = dict(
        named, images=found["images"], weights=os.path.basename(weights.path)
    )
    metrics["per_class"] = found["per_class"]
    metrics["confusion"] = {"rows": found["confusion"]}
    measured = weights.metrics.get("top1")
    if measured is not None and abs(measured - found["top1"]) > MEASURED:
        note(
            "top-1 is %.4f here; training's record says %.4f of the same weights"
            % (found["top1"], measured)
        )
    folder = run.path("evaluation")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    _write_predictions(folder, trained, place, rows, scores)
    worst = min((row for row in found["per_class"] if row["images"]), key=lambda row: row["F1"])
    summary(
        "%s on %d images; lowest F1 %.3f (%s)"
        % (
            ", ".join("%s %.3f" % (key.replace("top", "top-"), named[key]) for key in named),
            found["images"],
            worst["F1"],
            worst["class"],
        )
    )


def _write_predictions(
    folder: str,
    trained: Trained,
    place: Dict[str, Any],
    rows: List[Row],
    scores: Any,
    pictures: Sequence[str] = (),
) -> None:
    """predictions.json: for each image its class, the classes found, and its picture if any."""
    found: List[Dict[str, Any]] = []
    for row, values in zip(rows, scores):
        best = order_of(values)[:TOP]
        found.append(
            {
                "image": os.path.relpath(row.path, place["eval"]["folder"]).replace(os.sep, "/"),
                "truth": trained.classes[row.number],
                "found": [[trained.classes[number], round(values[number], 6)] for number in best],
            }
        )
    for record, picture in zip(found, pictures):
        record["picture"] = picture
    text = json.dumps({"classes": trained.classes, "images": found}, indent=1, ensure_ascii=False)
    write_text_atomically(os.path.join(folder, "predictions.json"), text + "\n")


def draw_classes(trained: Trained, place: Dict[str, Any], device: str, wanted: int) -> None:
    """Draw images of the evaluation with what is there and what was found, those classified
    wrongly first, into predictions/."""
    run = outcome()
    weights = trained_weights(trained.save_dir)
    rows = eval_rows(place)
    scores = scores_of(trained, weights.path, [row.path for row in rows], device, "infer")
    chosen = choose_pictures(rows, scores, wanted)
    folder = run.path("predictions")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    pictures: List[Dict[str, Any]] = []
    wrong = 0
    for count, (row, values) in enumerate(chosen, 1):
        first = order_of(values)[0]
        wrong += first != row.number
        stem = os.path.splitext(os.path.basename(row.path))[0][:LONGEST_STEM]
        goal = os.path.join(folder, "%03d-%s.jpg" % (count, stem))
        pictures.append(
            {
                "image": row.path,
                "goal": goal,
                "truth": trained.classes[row.number],
                "found": trained.classes[first],
                "numbers": [row.number, first],
                "score": values[first],
            }
        )
    request_path, _ = exchange_files("draw", {"pictures": pictures})
    argv = python_command(program_path("draw_classes"), request_path, program_path("draw_boxes"))
    drawn = ask_child(argv, "infer", "drawing the pictures", trained.clone)
    if not drawn["legible"]:
        listed = ", ".join("%d %s" % pair for pair in enumerate(trained.classes))
        note("no font here shows all class names, so the pictures have numbers: %s" % listed)
    _write_predictions(
        folder,
        trained,
        place,
        [row for row, _ in chosen],
        [values for _, values in chosen],
        [os.path.basename(picture["goal"]) for picture in pictures],
    )
    run.data["metrics"]["inference"] = {"images": len(chosen), "wrong": wrong}
    summary("%d images, of which %d are classified wrongly" % (len(chosen), wrong))


def choose_pictures(
    rows: List[Row], scores: List[List[float]], wanted: int
) -> List[Tuple[Row, List[float]]]:
    """At most `wanted` images: of those classified wrongly the surest first, at most half of all;
    then others, evenly from the whole list."""
    pairs = list(zip(rows, scores))
    wrong = [pair for pair in pairs if order_of(pair[1])[0] != pair[0].number]
    wrong.sort(key=lambda pair: -max(pair[1]))
    right = [pair for pair in pairs if order_of(pair[1])[0] == pair[0].number]
    first = wrong[: max(wanted // 2, wanted - len(right))]
    return first + spread(right, wanted - len(first))
