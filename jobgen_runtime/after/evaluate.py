"""The `evaluate` stage: tools/eval.py on the best weights, and what its boxes say."""

import json
import os
import shutil
from typing import Any, Dict, List, Optional, Tuple

from jobgen_runtime.after.telling import write_rows
from jobgen_runtime.after.trained import as_coco, category_ids, find_boxes, judge, trained_weights
from jobgen_runtime.children.guard import job_guard
from jobgen_runtime.children.processes import (
    child_environment,
    exit_text,
    last_words,
    program_path,
    python_command,
    run_logged,
)
from jobgen_runtime.data.coco import annotation_path, image_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.train.configure import amend_run_config
from jobgen_runtime.train.trainlog import parse_train_line

# What tools/eval.py prints has three decimals.
PRINTED = 0.0006
# Beside what training measured of the same weights: another device or batch may move a digit.
MEASURED = 0.001


class EvalWatch:
    """Reads the log of tools/eval.py: COCO's figures, and the line that would make them lies."""

    def __init__(self) -> None:
        self.figures: Dict[str, float] = {}
        self.unfit = ""
        # Said when all images have been gone through, whatever was found in them.
        self.ended = False

    def line(self, line: str) -> None:
        self.ended = self.ended or "Total sample number:" in line
        said = parse_train_line(line)
        if said is None:
            return
        if said["kind"] == "metric":
            self.figures[said["name"]] = said["value"]
        elif said["kind"] == "mismatch":
            self.unfit = line.strip()


def evaluate(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    place: Dict[str, Any],
    classes: List[str],
    device: str,
    patience: float = 1800.0,
    tiles: Optional[Dict[str, Any]] = None,
) -> None:
    """Measure the best weights on the evaluation's images; with `tiles` (size, overlap, iou) in
    tiles too, and it is those figures that are kept, beside what the whole images gave.

    `metrics` gets COCO's twelve figures (`evaluation`), AP of each class (`per_class`),
    `precision_recall`, `f1` (rows of score, precision, recall, F1), the threshold of the best F1,
    the `confusion` at it, and `found_by_size` (boxes and misses by side). Raises StageError
    where the weights are another model's, or tools/eval.py says otherwise than its own boxes.
    """
    run = outcome()
    weights = trained_weights(save_dir)
    find_boxes(clone_dir, run_config, weights.path, [], device, "evaluate")
    amend_run_config(run_config, {"weights": weights.path})
    folder = run.path("evaluation")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    watch = EvalWatch()
    _run_tool(clone_dir, run_config, folder, watch, patience)
    boxes = _boxes_file(folder, watch)
    found = judge(annotation_path(place, "eval"), boxes, None, "evaluate")
    trained = dict(weights.metrics)
    if "claimed_mAP50" in run.data["metrics"]:
        trained["mAP50"] = run.data["metrics"]["claimed_mAP50"]
    compare_figures(watch.figures, found["figures"], trained)
    how: Dict[str, Any] = {}
    if tiles:
        whole = found["figures"]
        how = {"tiles": tiles, "whole": {name: whole[name] for name in ("mAP", "mAP50")}}
        ask = (clone_dir, run_config, weights.path)
        found = _in_tiles(ask, folder, place, device, tiles)
    write_rows(folder, found["by_image"])
    _keep_figures(found, classes, os.path.basename(weights.path), how)
    _tell(found, place, how)


def _tell(found: Dict[str, Any], place: Dict[str, Any], how: Dict[str, Any]) -> None:
    """Say what was found, and what about it should be known."""
    if any(box["id"] == 0 for box in read_coco(annotation_path(place, "eval"))["annotations"]):
        note(
            "an annotation has the id 0: COCO's own evaluation, in training too, counts its box as "
            "missed; ids from 1 cure it"
        )
    if not found["boxes"]:
        note("the model finds nothing at all in %d images" % found["images"])
    tiled = ""
    if how:
        values = (how["tiles"]["size"], how["whole"]["mAP50"])
        tiled = " in tiles of %d px (whole images: %.3f)" % values
    summary(
        "mAP@0.5 %.3f%s, mAP %.3f on %d images; best F1 %.3f at a score of %.2f"
        % (
            found["figures"]["mAP50"],
            tiled,
            found["figures"]["mAP"],
            found["images"],
            found["best_f1"]["f1"],
            found["best_f1"]["threshold"],
        )
    )


def _in_tiles(
    ask: Tuple[str, str, str],
    folder: str,
    place: Dict[str, Any],
    device: str,
    tiles: Dict[str, Any],
) -> Dict[str, Any]:
    """COCO's figures of the boxes that are found tile by tile; `ask` is where the model is."""
    record = read_coco(annotation_path(place, "eval"))
    paths = [image_path(place, "eval", image["file_name"]) for image in record["images"]]
    boxes = find_boxes(*ask, paths, device, "evaluate", tiles=tiles)
    path = os.path.join(folder, "bbox_tiles.json")
    ids = [image["id"] for image in record["images"]]
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(as_coco(boxes, ids, category_ids(place)), stream)
    return judge(annotation_path(place, "eval"), path, None, "evaluate", "judge-tiles")


def _boxes_file(folder: str, watch: EvalWatch) -> str:
    """The boxes that tools/eval.py left; where it found none it leaves no file."""
    boxes = os.path.join(folder, "bbox.json")
    if not os.path.isfile(boxes):
        if not watch.ended:
            raise StageError(
                "tools/eval.py ended 0, but neither boxes nor its last line are there",
                "See the log, then run the same job again.",
                cause="evaluation",
                log=outcome().log_path("evaluate"),
            )
        with open(boxes, "w", encoding="utf-8") as stream:
            stream.write("[]")
    return boxes


def _keep_figures(
    found: Dict[str, Any], classes: List[str], weights: str, how: Dict[str, Any]
) -> None:
    """Write what judge() found into the record's metrics, and how it was found."""
    metrics = outcome().data["metrics"]
    metrics["evaluation"] = dict(
        found["figures"], images=found["images"], boxes=found["boxes"], weights=weights, **how
    )
    metrics["best_f1"] = found["best_f1"]
    rows = list(zip(classes, found["classes"]))
    metrics["per_class"] = [
        {"class": name, "AP": row["AP"], "AP50": row["AP50"], "boxes": row["boxes"]}
        for name, row in rows
    ]
    metrics["precision_recall"] = {name: row["curve"] for name, row in rows if row["curve"]}
    metrics["f1"] = found["f1"]
    metrics["found_by_size"] = found["sizes"]
    metrics["confusion"] = {"threshold": found["best_f1"]["threshold"], "rows": found["confusion"]}


def _run_tool(
    clone_dir: str, run_config: str, folder: str, watch: EvalWatch, patience: float
) -> None:
    log = outcome().log_path("evaluate")
    argv = python_command(program_path("run_tool"))
    argv += [os.path.join(clone_dir, "tools", "eval.py"), "-c", run_config, "--output_eval", folder]
    finished = run_logged(
        argv,
        log,
        cwd=clone_dir,
        env=child_environment(JOBGEN_PARENT=str(os.getpid())),
        on_line=watch.line,
        guard=job_guard(patience or None),
    )
    if finished.exit_status != 0:
        raise StageError(
            "tools/eval.py %s: %s" % (exit_text(finished), last_words(finished.tail)),
            "The weights are kept. See the log, then run the same job again.",
            cause="killed" if finished.exit_status < 0 else "evaluation",
            log=log,
            exit_status=finished.exit_status,
            tail=finished.tail,
        )
    if watch.unfit:
        raise StageError(
            "the weights are another model's: %s" % watch.unfit,
            "Give the weights and the model YAML of one training.",
            cause="weights",
            log=log,
        )


def compare_figures(
    printed: Dict[str, float], judged: Dict[str, float], trained: Dict[str, Any]
) -> None:
    """Three ways to one figure: what eval.py printed, what its boxes give, what training saw."""
    for name in ("mAP", "mAP50"):
        if name in printed and abs(printed[name] - judged[name]) > PRINTED:
            raise StageError(
                "tools/eval.py says %s %.3f, but its boxes give %.4f"
                % (name, printed[name], judged[name]),
                "Please report it with logs/evaluate.log and evaluation/bbox.json.",
                cause="evaluation",
            )
        if name in trained and abs(trained[name] - judged[name]) > MEASURED:
            note(
                "%s is %.3f here; training's record says %.3f of the same weights"
                % (name, judged[name], trained[name])
            )
