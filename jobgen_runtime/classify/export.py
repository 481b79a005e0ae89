"""The `export` stage of a classification: a model for deployment, and proof that it is the same."""

import json
import os
import shutil
from typing import Any, Dict, List

from jobgen_runtime.after.onnx import take_time, to_onnx
from jobgen_runtime.after.trained import spread, trained_weights
from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import (
    child_environment,
    exit_text,
    last_words,
    program_path,
    python_command,
    run_logged,
)
from jobgen_runtime.classify.after import Trained, eval_rows, order_of, scores_of
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import outcome, summary
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.train.configure import amend_run_config

PARITY_IMAGES = 200
# The measured differences are under 0.000001; a wrong export has other classes.
PARITY_SCORE = 1e-4
MODEL_FORMS = ("inference.pdmodel", "inference.json")


def export_classes(trained: Trained, place: Dict[str, Any], onnx: bool) -> None:
    """Write inference/, then let each form of the model classify images of the set.

    `metrics.parity` gets, for each form, images, images of another class, and the largest
    difference of a score. Raises StageError beyond the bound."""
    run = outcome()
    weights = trained_weights(trained.save_dir)
    folder = run.path("inference")
    shutil.rmtree(folder, ignore_errors=True)
    form = _export_model(trained, weights.path, folder)
    _describe(trained, folder)
    shutil.copyfile(program_path("classify"), os.path.join(folder, "classify.py"))
    paths = [row.path for row in spread(eval_rows(place), PARITY_IMAGES)]
    reference = scores_of(trained, weights.path, paths, "cpu", "export")
    forms = {"paddle": folder}
    if onnx:
        forms["onnx"] = to_onnx(folder, form, "inference.pdiparams")
    parity = run.data["metrics"]["parity"] = {}
    for name, model in forms.items():
        parity[name] = compare_scores(reference, _classified(model, paths))
        run.event("parity", form=name, **parity[name])
        _refuse_unlike(name, parity[name])
    if onnx:
        take_time(forms["onnx"])
    files = [name for name in os.listdir(folder) if name != "classify.py"]
    total = sum(os.path.getsize(os.path.join(folder, name)) for name in files)
    worst = max(each["largest_score"] for each in parity.values())
    summary(
        "%s, %.1f MB; %s: the same class for %d images, scores at most %.7f apart"
        % (form, total / 1e6, " and ".join(forms), len(paths), worst)
    )


def _export_model(trained: Trained, weights: str, folder: str) -> str:
    """Run tools/export_model.py; gives the model's file name."""
    log = outcome().log_path("export")
    made = outcome().path("scripts", "exported")
    shutil.rmtree(made, ignore_errors=True)
    stem = os.path.splitext(weights)[0]
    own = {"pretrained_model": stem, "save_inference_dir": made, "checkpoints": None}
    amend_run_config(trained.config, {"Global": own})
    argv = python_command(program_path("run_tool"))
    argv += [os.path.join(trained.clone, "tools", "export_model.py"), "-c", trained.config]
    finished = run_logged(
        argv,
        log,
        cwd=trained.clone,
        env=child_environment(JOBGEN_PARENT=str(os.getpid())),
        quiet=True,
    )
    names = os.listdir(made) if os.path.isdir(made) else []
    forms = [name for name in MODEL_FORMS if name in names]
    if finished.exit_status != 0 or not forms or "inference.pdiparams" not in names:
        raise StageError(
            "tools/export_model.py %s and wrote %s: %s"
            % (exit_text(finished), ", ".join(names) or "nothing", last_words(finished.tail)),
            "The weights are kept. See the log.",
            cause="export",
            log=log,
            exit_status=finished.exit_status,
            tail=finished.tail,
        )
    shutil.move(made, folder)
    return forms[0]


def _describe(trained: Trained, folder: str) -> None:
    """classes.json: the names, and what is done to an image before it goes into the model."""
    steps = {
        name: (values or {})
        for step in outcome().data["run_config"]["Infer"]["transforms"]
        for name, values in step.items()
    }
    normal = steps["NormalizeImage"]
    how = {
        "classes": trained.classes,
        "resize_short": steps["ResizeImage"]["resize_short"],
        "size": steps["CropImage"]["size"],
        "mean": normal["mean"],
        "std": normal["std"],
    }
    text = json.dumps(how, indent=1, ensure_ascii=False)
    write_text_atomically(os.path.join(folder, "classes.json"), text + "\n")


def _classified(model: str, images: List[str]) -> List[List[float]]:
    images_path, answer_path = exchange_files("classify", images)
    argv = python_command(program_path("run_tool"), program_path("classify"), model)
    argv += ["--images", images_path, "--answer", answer_path]
    ask_child(argv, "export", "the exported model", outcome().folder)
    found: List[List[float]] = read_answer(answer_path)
    return found


def compare_scores(ones: List[List[float]], others: List[List[float]]) -> Dict[str, Any]:
    """How far the scores of two forms are apart, and for how many images the class is another one
    though its score is clearly ahead: where two scores are as good as equal, either is right."""
    largest, unlike = 0.0, 0
    for first, second in zip(ones, others):
        largest = max([largest] + [abs(a - b) for a, b in zip(first, second)])
        one, other = order_of(first)[0], order_of(second)[0]
        unlike += one != other and first[one] - first[other] > 2 * PARITY_SCORE
    return {"images": len(ones), "unlike": unlike, "largest_score": round(largest, 8)}


def _refuse_unlike(name: str, measured: Dict[str, Any]) -> None:
    if measured["unlike"] or not measured["largest_score"] <= PARITY_SCORE:
        raise StageError(
            "the exported model (%s) does not say what the trained one says: another class for %d "
            "of %d images, scores up to %.6f apart"
            % (name, measured["unlike"], measured["images"], measured["largest_score"]),
            "The weights are kept; do not deploy inference/. Please report it with result.json.",
            cause="parity",
            log=outcome().log_path("export"),
        )
