"""Is what was downloaded what the job promised? Every artefact, and whether it can be used."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobgen.errors import MALFORMED, RunError
from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.figures import main_figure
from jobgen_runtime.train.trainwatch import read_metrics
from jobgen_runtime.train.weightsfile import TORN, weights_fault

WEIGHTS = "weights/best_model.pdparams"
LAST = "weights/model_final.pdparams"
MODEL_FILES = ("inference/model.pdmodel", "inference/model.json")
# What training logged has three decimals.
CLOSE = 0.0006


def broken_promises(folder: Path, result: dict[str, Any]) -> list[str]:
    """All that is missing, torn or otherwise in an output folder, in words; none where it is
    what its own result says. Raises RunError where the result is not as jobgen writes it."""
    try:
        return _broken(folder, result)
    except MALFORMED as error:
        raise RunError(
            f"{folder / 'result.json'} is not as jobgen writes it: {type(error).__name__}: {error}",
            "docs/result.schema.json says what may stand there.",
        ) from error


def _broken(folder: Path, result: dict[str, Any]) -> list[str]:
    found = list(_status(result))
    if result.get("node"):
        return found  # machine 0 has weights and metrics
    found += _artefacts(folder, result)
    found += _weights(folder)
    found += _metrics(folder, result)
    found += _stages(folder, result)
    return found


def _status(result: dict[str, Any]) -> Iterator[str]:
    status = str(result.get("status"))
    if not status.startswith("ok"):
        failure = result.get("failure") or {}
        yield f"the run is {status}: {failure.get('message', 'it did not come to its end')}"
    elif status == "ok-smoke":
        yield "it is a smoke run: nothing was learned"


def _artefacts(folder: Path, result: dict[str, Any]) -> Iterator[str]:
    """Every file that the result lists, by size and SHA-256."""
    listed = result.get("artefacts") or []
    if not listed:
        yield "its result lists no files"
    for row in listed:
        if row["path"] == "report.html":
            continue  # drawn anew whenever it is asked for
        path = folder.joinpath(*str(row["path"]).split("/"))
        if not path.resolve().is_relative_to(folder.resolve()):
            yield f"{row['path']} leads out of the folder"
        elif not path.is_file():
            yield f"{row['path']} is missing"
        elif path.stat().st_size != row["bytes"]:
            yield f"{row['path']} has {path.stat().st_size:,} bytes instead of {row['bytes']:,}"
        elif file_sha256(str(path)) != row["sha256"]:
            yield f"{row['path']} has other content (SHA-256)"


def _weights(folder: Path) -> Iterator[str]:
    there = [folder / name for name in (WEIGHTS, LAST) if (folder / name).is_file()]
    if not there:
        yield f"no weights: neither {WEIGHTS} nor {LAST}"
    for path in there:
        fault = weights_fault(str(path))
        if fault == TORN:
            yield f"weights/{path.name} is torn, or no weights file at all"
        elif fault:
            yield f"weights/{path.name} can't be opened safely: {fault}"


def _metrics(folder: Path, result: dict[str, Any]) -> Iterator[str]:
    """The curve on disk and the result tell one story."""
    if "weights" in result:
        return  # nothing was trained
    path = folder / "metrics.csv"
    rows = read_metrics(str(path))
    if not rows:
        yield "metrics.csv has no rows" if path.is_file() else "metrics.csv is missing"
        return
    best = (result.get("metrics") or {}).get("best") or {}
    column = "top1" if "top1" in best else "mAP50"
    seen = [row[column] for row in rows if math.isfinite(row.get(column, math.nan))]
    if best and not any(abs(value - best[column]) < CLOSE for value in seen):
        title, value = main_figure(best) or (column, best[column])
        yield f"{title} {value:.3f} of the best weights is not in metrics.csv"


def _stages(folder: Path, result: dict[str, Any]) -> Iterator[str]:
    """What each stage after training has to leave."""
    job, metrics = result.get("job") or {}, result.get("metrics") or {}
    done = {row["name"] for row in result.get("stages") or [] if row["status"] == "ok"}
    for stage in job.get("stages") or []:
        if stage not in done:
            yield f"the job's stage {stage} was not done"
    if "evaluate" in done and not metrics.get("evaluation"):
        yield "evaluate left no figures"
    if "infer" in done:
        yield from _pictures(folder)
    if "export" in done:
        onnx = bool((job.get("export") or {}).get("onnx"))
        yield from _exported(folder, str(job.get("task", "detection")), onnx=onnx)


def _pictures(folder: Path) -> Iterator[str]:
    try:
        text = (folder / "predictions" / "predictions.json").read_text(encoding="utf-8")
        pictures = [row["picture"] for row in json.loads(text)["images"] if row["picture"]]
    except (OSError, ValueError, LookupError, TypeError):
        yield "predictions/predictions.json can't be read"
        return
    for name in pictures:
        if not folder.joinpath("predictions", *str(name).split("/")).is_file():
            yield f"predictions/{name} is missing"


# What export leaves, by task: what is always there, and one of these programs.
EXPORTED = {
    "detection": (("model.pdiparams", "infer_cfg.yml"), MODEL_FILES),
    "classification": (
        ("inference.pdiparams", "classes.json", "classify.py"),
        ("inference/inference.pdmodel", "inference/inference.json"),
    ),
}


def _exported(folder: Path, task: str, *, onnx: bool) -> Iterator[str]:
    always, programs = EXPORTED.get(task, EXPORTED["detection"])
    for name in [*always, *(["model.onnx"] if onnx else [])]:
        path = folder / "inference" / name
        if not path.is_file() or not path.stat().st_size:
            yield f"inference/{name} is missing or empty"
    if not any((folder / name).is_file() for name in programs):
        yield f"no exported model: {' or '.join(programs)}"
