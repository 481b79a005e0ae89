"""The `collect` stage: the weights beside the result, and the verdict over the run."""

import math
import os
import shutil
from typing import Any, Dict, List, Optional

from jobgen_runtime.data.dataset import file_sha256, remove_unpacked
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.figures import figure_text, is_useful, why_untrained
from jobgen_runtime.record.outcome import note, outcome, summary, weak_text
from jobgen_runtime.setup.source import cloned_here
from jobgen_runtime.train.checkpoints import best_weights, find_weights
from jobgen_runtime.train.trainwatch import read_metrics
from jobgen_runtime.train.weightsfile import TORN, weights_fault

# What a background task may leave behind (AI Studio's help pages, 2024; catalogue: platform.yml).
FILES_LEFT = 10000
# The folder that each stage after training leaves.
STAGE_FOLDERS = {"evaluate": "evaluation", "infer": "predictions", "export": "inference"}
BYTES_LEFT = 20 * 2**30


def gather_weights(save_dir: str, goal: str) -> Dict[str, str]:
    """Copy the best weights of all attempts and model_final into `goal`; give what was there.

    `metrics.best` is the evaluation of just these weights. Raises StageError where no
    whole weights are found.
    """
    best = best_weights(save_dir)
    outcome().data["metrics"]["best"] = best.metrics if best else {}
    places = {
        "best_model": best.path if best else None,
        "model_final": find_weights(save_dir, "model_final"),
    }
    os.makedirs(goal, exist_ok=True)
    kept = {}
    for name, place in places.items():
        target = os.path.join(goal, name + ".pdparams")
        if place is None:
            # What an earlier job left here is not this run's.
            if os.path.isfile(target):
                os.remove(target)
            continue
        if weights_fault(place) == TORN:
            raise StageError(
                "the weights %s are torn" % place, "Run the same job again.", cause="weights"
            )
        kept[name] = target
        try:
            shutil.copyfile(place, target + ".tmp")
            os.replace(target + ".tmp", target)
        finally:
            if os.path.exists(target + ".tmp"):
                os.remove(target + ".tmp")
    if not kept:
        raise StageError(
            "the training left no weights in %s" % save_dir, "See logs/train.log.", cause="weights"
        )
    if "best_model" not in kept:
        note("no evaluation found anything, so there is no best_model; model_final is the result")
    return kept


def put_older_aside(folder: str) -> None:
    """What stages of an earlier run left, where this run did not do the stage: it is of other
    weights, and no result of this run."""
    done = {row["name"] for row in outcome().data["stages"]}
    for stage, name in STAGE_FOLDERS.items():
        path = os.path.join(folder, name)
        if stage not in done and os.path.isdir(path):
            note("%s of an earlier run is now in %s" % (name, aside(path)))


def aside(path: str) -> str:
    """Rename a folder to `<name>-old-<number>`; gives that name."""
    number = 1
    while os.path.exists("%s-old-%d" % (path, number)):
        number += 1
    goal = "%s-old-%d" % (path, number)
    os.rename(path, goal)
    return os.path.basename(goal)


def list_artefacts(folder: str) -> List[Dict[str, Any]]:
    """Path below `folder`, size in bytes and SHA-256 of every file worth keeping."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if not n.startswith(("scripts", "checkpoints")) and "-old-" not in n
        )
        for name in sorted(names):
            path = os.path.join(place, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            # The page is drawn anew whenever it is asked for.
            written_later = relative in ("result.json", "events.jsonl", "report.html")
            if written_later or name == ".lock" or name.endswith(".tmp"):
                continue
            found.append(
                {"path": relative, "bytes": os.path.getsize(path), "sha256": file_sha256(path)}
            )
    return found


def loss_trend(rows: List[Dict[str, Any]]) -> Optional[Dict[str, float]]:
    """Mean logged loss of the first and of the last fifth of the steps; None under two steps, or
    where the first epochs are not there, as when only checkpoints of an earlier job were."""
    if rows and rows[0].get("epoch", 0) > 0:
        return None
    losses = [row["loss"] for row in rows if math.isfinite(row.get("loss", math.nan))]
    if len(losses) < 2:
        return None
    part = max(1, len(losses) // 5)
    return {"first": sum(losses[:part]) / part, "last": sum(losses[-part:]) / part}


def verdict(
    metrics: Dict[str, Any], smoke: bool, given: bool = False, most_common: float = 0.0
) -> str:
    """`ok`, `ok-smoke`, or why the model has learned nothing. With `given` weights nothing was
    trained: what was asked of them is done. `most_common` is the commonest class's share."""
    if smoke:
        return "ok-smoke"
    if given:
        return "ok"
    trend, best = metrics.get("loss"), metrics.get("best") or {}
    useful = is_useful(best, most_common)
    if trend is not None and not trend["last"] < trend["first"] and not useful:
        return "the loss did not fall (%.3f at first, %.3f at last)" % (
            trend["first"],
            trend["last"],
        )
    return why_untrained(best, most_common) or "ok"


def copy_configs_back(output: str, files: List[str]) -> None:
    """The YAML files of the run beside its weights: they belong together."""
    goal = os.path.join(output, "configs")
    os.makedirs(goal, exist_ok=True)
    for path in files:
        if os.path.isfile(path):
            shutil.copyfile(path, os.path.join(goal, os.path.basename(path)))


def saved_size(home: str) -> Dict[str, int]:
    """`files` and `bytes` below home that the platform would keep: all but the mounted data."""
    files, total = 0, 0
    for place, folders, names in os.walk(home):
        if place == home and "data" in folders:
            folders.remove("data")
        for name in names:
            path = os.path.join(place, name)
            files += 1
            total += os.lstat(path).st_size
    return {"files": files, "bytes": total}


def within_limits(size: Dict[str, int]) -> bool:
    return size["files"] < FILES_LEFT and size["bytes"] < BYTES_LEFT


def clean_up(
    home: str,
    name: str,
    sources: List[Dict[str, Any]],
    clone_dir: str,
    save_dir: str,
    wanted: Any,
) -> None:
    """Remove what this job made and can make again: what it unpacked and converted, the clone if
    a job cloned it, and, after a success, the checkpoints.

    `wanted` is True, False, or "auto": then one after the other, and only as far as the
    platform's limits ask for it, since a task that leaves more behind loses everything.
    """
    run = outcome()
    size = saved_size(home)
    if not wanted or (wanted == "auto" and within_limits(size)):
        return
    removed: List[str] = []
    inside = os.path.realpath(clone_dir).startswith(os.path.realpath(home) + os.sep)
    folders = [clone_dir] if inside and cloned_here(clone_dir) else []
    if run.data["status"].startswith("ok"):
        folders.append(save_dir)
    try:
        removed += remove_unpacked(home, name, sources)
        for folder in folders:
            size = saved_size(home)
            if wanted == "auto" and within_limits(size):
                break
            if os.path.isdir(folder):
                shutil.rmtree(folder)
                removed.append(os.path.relpath(folder, home))
    except OSError as error:
        note("CLEANUP stopped at %s: %s" % (error.filename, error.strerror))
    note("removed %s (CLEANUP)" % (", ".join(removed) or "nothing"))
    run.event("cleanup", removed=removed)
    size = saved_size(home)
    if not within_limits(size):
        note(
            "%d files and %.1f GB are still in %s: a background task may leave 10,000 files and "
            "20 GB; most of them lie in %s"
            % (size["files"], size["bytes"] / 2.0**30, home, _fullest_folder(home))
        )


def _fullest_folder(home: str) -> str:
    """The folder of home with the most files in it."""
    counts = {}
    for name in os.listdir(home):
        path = os.path.join(home, name)
        if name != "data" and os.path.isdir(path) and not os.path.islink(path):
            counts[name] = saved_size(path)["files"]
    return max(counts, key=lambda name: counts[name]) if counts else home


def keep_older_weights(folder: str) -> None:
    """Weights of an earlier run that ended well are not overwritten by one that did not."""
    if not os.path.isdir(folder):
        return
    note("the weights of an earlier run that ended well are now in %s" % aside(folder))


def keep_best_so_far(save_dir: str) -> None:
    """After a run that did not come to its end: the best weights so far, and what is there."""
    run = outcome()
    if run.data["status"].startswith("ok") or not run.claimed:
        return
    if any(str(attempt["status"]).startswith("ok") for attempt in run.data["attempts"]):
        keep_older_weights(run.path("weights"))
    if best_weights(save_dir) is not None or find_weights(save_dir, "model_final"):
        gather_weights(save_dir, run.path("weights"))
    put_older_aside(run.folder)
    run.data["artefacts"] = list_artefacts(run.folder)


def collect(save_dir: str, config_files: List[str], smoke: bool) -> str:
    """Gather, list, judge, and end the record. Gives the status; raises StageError if untrained."""
    run = outcome()
    gather_weights(save_dir, run.path("weights"))
    copy_configs_back(run.folder, config_files)
    put_older_aside(run.folder)
    rows = read_metrics(run.path("metrics.csv"))
    metrics = run.data["metrics"]
    metrics["loss"] = loss_trend(rows)
    run.data["artefacts"] = list_artefacts(run.folder)
    most_common = (run.data.get("dataset") or {}).get("most_common", 0.0)
    status = verdict(metrics, smoke, "weights" in run.data, most_common)
    trend = metrics["loss"]
    if status == "ok" and trend and not trend["last"] < trend["first"]:
        note("the loss did not fall: the weights that training began with were as good")
    if not status.startswith("ok"):
        raise StageError(
            "the training ended, but the model has learned nothing: %s" % status,
            "Look at the learning rate, the number of epochs and the data; the weights are kept.",
            cause="untrained",
        )
    if status == "ok" and weak_text(run.data):
        note(weak_text(run.data))
    total = sum(item["bytes"] for item in run.data["artefacts"])
    summary("%d files, %.1f MB, in %s" % (len(run.data["artefacts"]), total / 1e6, run.folder))
    return status


def collect_nothing(smoke: bool) -> str:
    """On every machine but number 0, which has weights and metrics. Gives the status."""
    outcome().data["node"] = "another"
    summary("weights and metrics are on machine 0")
    return "ok-smoke" if smoke else "ok"


def end_run(status: str) -> None:
    """Write the final verdict."""
    run = outcome()
    run.finish(status)
    run.event("finish", status=status)
    run.close()
    best = run.data["metrics"].get("best") or {}
    text = figure_text(best) or "no evaluation"
    print("%s: %s. %s" % (status, text, run.path("result.json")), flush=True)
