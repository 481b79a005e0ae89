"""The `collect` stage: the weights beside the result, and the verdict over the run."""

import os
import shutil
from typing import Any, Dict, List, Optional

from jobgen.runtime.checkpoints import find_weights
from jobgen.runtime.dataset import file_sha256
from jobgen.runtime.outcome import StageError, note, outcome, summary
from jobgen.runtime.training import best_of, read_metrics
from jobgen.runtime.weights import pickle_fault

# Below it a detector has found nothing worth the name; see result statuses in docs/result.md.
UNTRAINED_MAP50 = 0.01


def gather_weights(save_dir: str, goal: str) -> Dict[str, str]:
    """Copy best_model and model_final into `goal`; name and path of each that was there.

    After a resume the best model may be the copy that was put aside (`best` epoch
    before the resume). Raises StageError where no whole weights are found.
    """
    run = outcome()
    places = {name: find_weights(save_dir, name) for name in ("best_model", "model_final")}
    aside = os.path.join(save_dir, "best_before_resume", "model.pdparams")
    best = run.data["metrics"].get("best") or {}
    resumed = run.data.get("resumed_from_epoch", 0)
    if os.path.isfile(aside) and best and best["epoch"] < resumed:
        places["best_model"] = aside
    os.makedirs(goal, exist_ok=True)
    kept = {}
    for name, place in places.items():
        if place is None:
            continue
        if pickle_fault(place) == "torn":
            raise StageError(
                "the weights %s are torn" % place, "Run the same job again.", cause="weights"
            )
        kept[name] = os.path.join(goal, name + ".pdparams")
        shutil.copyfile(place, kept[name] + ".tmp")
        os.replace(kept[name] + ".tmp", kept[name])
    if not kept:
        raise StageError(
            "the training left no weights in %s" % save_dir, "See logs/train.log.", cause="weights"
        )
    if "best_model" not in kept:
        note("no evaluation found anything, so there is no best_model; model_final is the result")
    return kept


def list_artefacts(folder: str) -> List[Dict[str, Any]]:
    """Path below `folder`, size in bytes and SHA-256 of every file worth keeping."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if n != "scripts" and not n.startswith("checkpoints")
        )
        for name in sorted(names):
            path = os.path.join(place, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if relative in ("result.json", "events.jsonl") or name.endswith(".tmp"):
                continue
            found.append(
                {"path": relative, "bytes": os.path.getsize(path), "sha256": file_sha256(path)}
            )
    return found


def loss_trend(rows: List[Dict[str, Any]]) -> Optional[Dict[str, float]]:
    """Mean logged loss of the first and of the last fifth of the steps; None under two steps."""
    losses = [row["loss"] for row in rows if "loss" in row]
    if len(losses) < 2:
        return None
    part = max(1, len(losses) // 5)
    return {"first": sum(losses[:part]) / part, "last": sum(losses[-part:]) / part}


def verdict(metrics: Dict[str, Any], smoke: bool) -> str:
    """`ok`, `ok-smoke`, or why the model has learned nothing."""
    if smoke:
        return "ok-smoke"
    trend, best = metrics.get("loss"), metrics.get("best") or {}
    if trend is not None and not trend["last"] < trend["first"]:
        return "the loss did not fall (%.3f at first, %.3f at last)" % (
            trend["first"],
            trend["last"],
        )
    if best.get("mAP50", 0.0) < UNTRAINED_MAP50:
        return "mAP@0.5 is %.3f" % best.get("mAP50", 0.0)
    return "ok"


def copy_configs_back(output: str, files: List[str]) -> None:
    """The YAML files of the run beside its weights: they belong together."""
    goal = os.path.join(output, "configs")
    os.makedirs(goal, exist_ok=True)
    for path in files:
        if os.path.isfile(path):
            shutil.copyfile(path, os.path.join(goal, os.path.basename(path)))


def clean_up(home: str, folders: List[str]) -> None:
    """Remove what this run made and what can be made again: only folders inside home."""
    inside = os.path.realpath(home) + os.sep
    removed = []
    for folder in folders:
        if os.path.isdir(folder) and os.path.realpath(folder).startswith(inside):
            shutil.rmtree(folder)
            removed.append(os.path.relpath(folder, home))
    if removed:
        note("removed %s (CLEANUP)" % ", ".join(removed))
        outcome().event("cleanup", removed=removed)


def collect(save_dir: str, config_files: List[str], smoke: bool) -> str:
    """Gather, list, judge, and end the record. Gives the status; raises StageError if untrained."""
    run = outcome()
    gather_weights(save_dir, run.path("weights"))
    copy_configs_back(run.folder, config_files)
    rows = read_metrics(run.path("metrics.csv"))
    metrics = run.data["metrics"]
    metrics["loss"] = loss_trend(rows)
    if not metrics.get("best"):
        metrics["best"] = best_of(run.path("metrics.csv"), 1 << 30)
    run.data["artefacts"] = list_artefacts(run.folder)
    status = verdict(metrics, smoke)
    if not status.startswith("ok"):
        raise StageError(
            "the training ended, but the model has learned nothing: %s" % status,
            "Look at the learning rate, the number of epochs and the boxes; the weights are kept.",
            cause="untrained",
        )
    total = sum(item["bytes"] for item in run.data["artefacts"])
    summary("%d files, %.1f MB, in %s" % (len(run.data["artefacts"]), total / 1e6, run.folder))
    return status


def end_run(status: str) -> None:
    """Write the final verdict."""
    run = outcome()
    run.finish(status)
    run.event("finish", status=status)
    best = run.data["metrics"].get("best") or {}
    text = "mAP@0.5 %.3f (epoch %d)" % (best["mAP50"], best["epoch"] + 1) if best else "no mAP"
    print("%s: %s. %s" % (status, text, run.path("result.json")), flush=True)
