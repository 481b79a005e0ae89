"""The `compress` stage: the exported model in 8 bits, kept where it finds what was trained."""

import json
import os
import shutil
from typing import Any, Dict, List

from jobgen_runtime.after.forms import furnish
from jobgen_runtime.after.likeness import (
    NOTHING_SHOWN,
    fault_of_rounding,
    likeness,
    nothing_shown,
)
from jobgen_runtime.after.trained import Sample, as_coco, category_ids, eval_sample, judge, spread
from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.data.coco import annotation_path, image_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

FORM = "onnx-int8"
# COCO's figures of fewer move by more than a form may lose; 200 take some seconds.
JUDGED_IMAGES = 200
# Where activations lie, one batch shows nearly as well as a hundred.
CALIBRATION_IMAGES = 64


def compress(place: Dict[str, Any], nms: Dict[str, Any], model: str, classes: List[str]) -> None:
    """Write inference/forms/onnx-int8/ from inference/model.onnx. `metrics.forms` gets what was
    measured beside the trained model. Raises StageError where it finds something else."""
    run = outcome()
    exported = run.path("inference")
    if not os.path.isfile(os.path.join(exported, "model.onnx")):
        raise StageError(
            "inference/model.onnx, which is to be compressed, is not there",
            "The stage export makes it, before this one.",
            cause="export",
        )
    few = bool(run.data.get("smoke"))
    sample = eval_sample(place, 4 if few else JUDGED_IMAGES)
    made, goal = run.path("scripts", "compressed"), os.path.join(exported, "forms", FORM)
    for folder in (made, goal):
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(made)
    pictures = _training_pictures(place, 4 if few else CALIBRATION_IMAGES)
    _ask(exported, made, {"calibration": pictures, "parts": None, "nms": nms}, form=True)
    measured, fault = _measured(place, sample, exported, made, nms)
    run.data["metrics"]["forms"] = {FORM: dict(measured, fault=fault)}
    run.event("form", form=FORM, fault=fault, **measured)
    if fault == NOTHING_SHOWN:
        shutil.rmtree(made)
        note("%s is not kept: %s" % (FORM, fault))
        summary("nothing is kept")
        return
    if fault:
        shutil.rmtree(made)
        raise StageError(
            "%s is not kept: %s" % (FORM, fault),
            "The weights and inference/ are kept; take compress out of stages in job.yaml.",
            cause="form",
            log=run.log_path("compress"),
        )
    furnish(made, exported, FORM, model, classes, measured)
    os.makedirs(os.path.dirname(goal), exist_ok=True)
    shutil.move(made, goal)
    told = (FORM, measured["bytes"] / 1e6, measured["model_bytes"] / 1e6, measured["mAP"])
    summary("%s, %.1f MB (ONNX %.1f MB), mAP %.3f (%.3f)" % (told + (measured["model_mAP"],)))


def _training_pictures(place: Dict[str, Any], count: int) -> List[str]:
    images = read_coco(annotation_path(place, "train"))["images"]
    return [image_path(place, "train", image["file_name"]) for image in spread(images, count)]


def _measured(
    place: Dict[str, Any], sample: Sample, exported: str, made: str, nms: Dict[str, Any]
) -> Any:
    """What was measured of the form beside ONNX as it was exported, and what is wrong with it."""
    ask = {"images": sample.paths, "nms": nms}
    model, form = (_ask(exported, made, ask, form=which) for which in (False, True))
    if "not_finite" in form:
        return {}, "an output is no number (NaN or infinite) for %s" % form["not_finite"]
    figures = [_figures(place, sample, each["boxes"]) for each in (model, form)]
    alike = likeness(model["boxes"], form["boxes"])
    measured = alike.as_dict()
    measured["images"] = len(sample.ids)
    for prefix, found, was in (("model_", figures[0], model), ("", figures[1], form)):
        measured.update({prefix + "mAP": found["mAP"], prefix + "mAP50": found["mAP50"]})
        measured[prefix + "milliseconds"] = was["milliseconds"]
    measured["bytes"] = os.path.getsize(os.path.join(made, "model.onnx"))
    measured["model_bytes"] = os.path.getsize(os.path.join(exported, "model.onnx"))
    if nothing_shown(model["boxes"], figures[0]["mAP"]):
        return measured, NOTHING_SHOWN
    return measured, fault_of_rounding(alike, figures[1]["mAP"], figures[0]["mAP"])


def _ask(exported: str, made: str, what: Dict[str, Any], form: bool) -> Dict[str, Any]:
    program = program_path("onnx_int8") if form else None
    request = {"detect": program_path("detect"), "form": program, "source": exported}
    request.update(folder=made, **what)
    paths = exchange_files("compress", request)
    argv = python_command(program_path("run_tool"), program_path("try_form"))
    ask_child(argv + paths, "compress", "the model in 8 bits", outcome().folder)
    answer: Dict[str, Any] = read_answer(paths[1])
    return answer


def _figures(place: Dict[str, Any], sample: Sample, boxes: List[Any]) -> Dict[str, float]:
    path = outcome().path("scripts", "compressed.json")
    write_text_atomically(path, json.dumps(as_coco(boxes, sample.ids, category_ids(place))))
    truth = annotation_path(place, "eval")
    figures: Dict[str, float] = judge(truth, path, sample.ids, "compress")["figures"]
    return figures
