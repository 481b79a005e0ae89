"""The `export` stage: a model for deployment, and proof that it finds what was trained."""

import json
import os
import shutil
from typing import Any, Callable, Dict, List

from jobgen_runtime.after.onnx import take_time, to_onnx
from jobgen_runtime.after.parity import PARITY_SCORE, Rows, compare_boxes, fault_of
from jobgen_runtime.after.trained import (
    Sample,
    as_coco,
    category_ids,
    eval_sample,
    find_boxes,
    judge,
    trained_weights,
)
from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import (
    child_environment,
    exit_text,
    last_words,
    program_path,
    python_command,
    run_logged,
)
from jobgen_runtime.data.coco import annotation_path
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.train.configure import amend_run_config

PARITY_IMAGES = 48
MODEL_FORMS = ("model.pdmodel", "model.json")


def handed_out() -> Dict[str, str]:
    """The programs that go with a model, and where they lie here."""
    return {"detect.py": program_path("detect"), "tiles.py": program_path("tiles")}


def export(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    place: Dict[str, Any],
    classes: List[str],
    wanted: Dict[str, Any],
    nms: Dict[str, Any],
) -> None:
    """Write inference/, then let each form of the model find its boxes in images of the set.

    `wanted` is job.yaml's `export`: nms, onnx, format (auto, pdmodel or json); `nms` what
    training used. `metrics.parity` gets, for each form, the largest distance of a box from the
    trained model's in pixels, and the difference of mAP. Raises StageError beyond the bounds.
    """
    run = outcome()
    weights = trained_weights(save_dir)
    how = {"post_process": True, "nms": wanted["nms"], "benchmark": False}
    amend_run_config(run_config, {"weights": weights.path, "export": how})
    folder = run.path("inference")
    shutil.rmtree(folder, ignore_errors=True)
    form = _export_model(clone_dir, run_config, folder, wanted["format"])
    _check_labels(folder, classes)
    for name, path in handed_out().items():
        shutil.copyfile(path, os.path.join(folder, name))
    few = 4 if run.data.get("smoke") else PARITY_IMAGES
    sample = eval_sample(place, few)

    def trained_boxes(paths: List[str], suppressed: bool = True) -> List[Rows]:
        ask = (clone_dir, run_config, weights.path, paths, "cpu", "export")
        return find_boxes(*ask, suppressed=suppressed)

    forms = {"paddle": folder}
    if wanted["onnx"]:
        forms["onnx"] = to_onnx(folder, form)
    _prove(forms, sample, trained_boxes, place, nms)
    if wanted["onnx"]:
        take_time(forms["onnx"])
    parity = run.data["metrics"]["parity"]
    files = [name for name in os.listdir(folder) if name not in handed_out()]
    total = sum(os.path.getsize(os.path.join(folder, name)) for name in files)
    worst = max(measured["largest_px"] for measured in parity.values())
    if not parity["paddle"]["boxes"]:
        note("no box has a score over %.1f: the forms agree, but on nothing" % PARITY_SCORE)
    summary(
        "%s, %.1f MB; %s: %d boxes, at most %.5f px from the trained model's"
        % (form, total / 1e6, " and ".join(forms), parity["paddle"]["boxes"], worst)
    )


def _prove(
    forms: Dict[str, str],
    sample: Any,
    trained_boxes: Callable[..., List[Rows]],
    place: Dict[str, Any],
    nms: Dict[str, Any],
) -> None:
    """Compare the boxes of each form (name: path) with the trained model's. Raises StageError
    beyond the bounds."""
    run = outcome()
    reference = trained_boxes(sample.paths)
    truth = annotation_path(place, "eval")
    categories = category_ids(place)
    trained = _mean_ap(truth, sample, reference, categories, "trained")
    parity = run.data["metrics"]["parity"] = {}
    for name, model in forms.items():
        boxes = _detect(model, sample.paths, nms)

        def before_nms(numbers: List[int]) -> List[Rows]:
            return trained_boxes([sample.paths[number] for number in numbers], suppressed=False)

        measured = compare_boxes(reference, boxes, nms, before_nms)
        measured["images"] = len(sample.ids)
        found = _mean_ap(truth, sample, boxes, categories, name)
        measured["mAP"] = round(abs(found["mAP"] - trained["mAP"]), 6)
        measured["mAP50"] = round(abs(found["mAP50"] - trained["mAP50"]), 6)
        parity[name] = measured
        run.event("parity", form=name, **measured)
        fault = fault_of(measured, sample.side)
        if fault:
            raise _unlike(name, fault)
        if measured["ties"]:
            note(
                "%s: rounding alone decided which of two boxes suppression kept, for %d boxes"
                % (name, measured["ties"])
            )


def _export_model(clone_dir: str, run_config: str, folder: str, form: str) -> str:
    """Run tools/export_model.py; gives the model's file name. Paddle 3 writes model.json unless
    its new program format is turned off."""
    log = outcome().log_path("export")
    made = outcome().path("scripts", "exported")
    shutil.rmtree(made, ignore_errors=True)
    argv = python_command(program_path("run_tool"))
    argv += [os.path.join(clone_dir, "tools", "export_model.py"), "-c", run_config]
    argv += ["--output_dir", made]
    flags = {"json": "1", "pdmodel": "0"}
    extra = {"FLAGS_enable_pir_api": flags[form]} if form in flags else {}
    finished = run_logged(
        argv,
        log,
        cwd=clone_dir,
        env=child_environment(JOBGEN_PARENT=str(os.getpid()), **extra),
        quiet=True,
    )
    # One folder, named after the config in a way of its own.
    there = os.path.join(made, *(os.listdir(made)[:1] if os.path.isdir(made) else []))
    names = os.listdir(there) if os.path.isdir(there) else []
    forms = [name for name in MODEL_FORMS if name in names]
    whole = finished.exit_status == 0 and forms and "model.pdiparams" in names
    if not whole or "infer_cfg.yml" not in names:
        raise StageError(
            "tools/export_model.py %s and wrote %s: %s"
            % (exit_text(finished), ", ".join(names) or "nothing", last_words(finished.tail)),
            "The weights are kept. Which Paddle exports which PaddleDetection: docs/after.md.",
            cause="export",
            log=log,
            exit_status=finished.exit_status,
            tail=finished.tail,
        )
    shutil.move(there, folder)
    if form in flags and forms[0] != {"json": "model.json", "pdmodel": "model.pdmodel"}[form]:
        raise StageError(
            "export.format is %s, but this Paddle wrote %s" % (form, forms[0]),
            "Set export.format: auto in job.yaml, and build again.",
            cause="export",
        )
    return forms[0]


def _check_labels(folder: str, classes: List[str]) -> None:
    """The exported model names its own classes; with a wrong file they would be COCO's 80."""
    code = (
        "import json, sys, yaml; print(json.dumps(dict(labels=yaml.safe_load("
        "open(sys.argv[1], encoding='utf-8'))['label_list'])))"
    )
    argv = python_command("-c", code, os.path.join(folder, "infer_cfg.yml"))
    found = ask_child(argv, "export", "reading infer_cfg.yml", folder)
    if found["labels"] != classes:
        raise StageError(
            "infer_cfg.yml names the classes %s, the job %s" % (found["labels"][:5], classes[:5]),
            "Please report it with result.json.",
            cause="export",
        )


def _detect(model: str, images: List[str], nms: Dict[str, Any]) -> List[List[List[float]]]:
    images_path, answer_path = exchange_files("detect", images)
    argv = python_command(program_path("run_tool"), program_path("detect"), model)
    argv += ["--images", images_path, "--answer", answer_path, "--nms", json.dumps(nms)]
    ask_child(argv, "export", "the exported model", outcome().folder)
    return list(read_answer(answer_path))


def _mean_ap(
    truth: str,
    sample: Sample,
    boxes: List[List[List[float]]],
    categories: List[int],
    name: str,
) -> Dict[str, float]:
    path = outcome().path("scripts", "parity-%s.json" % name)
    found = as_coco(boxes, sample.ids, categories)
    write_text_atomically(path, json.dumps(found))
    figures: Dict[str, float] = judge(truth, path, sample.ids, "export")["figures"]
    return figures


def _unlike(name: str, text: str) -> StageError:
    return StageError(
        "the exported model (%s) does not find what the trained one finds: %s" % (name, text),
        "The weights are kept; do not deploy inference/. Please report it with result.json.",
        cause="parity",
        log=outcome().log_path("export"),
    )
