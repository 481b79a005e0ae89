"""Checkpoints that a training leaves: the newest whole one, and the best."""

import json
import os
import re
import shutil
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.text import read_json_object, write_text_atomically
from jobgen_runtime.train.weightsfile import TORN, weights_fault

# PaddleDetection counts from 0, PaddleClas from 1.
EPOCH_FILE = re.compile(r"(epoch_)?(\d+)\.pdparams")
ASIDE = "best_before_resume"
# Beside the checkpoints of a training whose batch had to be halved: they count its steps.
HALVED_FILE = "batch_halved"
PARTS = (".pdparams", ".pdopt", ".pdema")


class Checkpoint(NamedTuple):
    """`prefix` is the path without ending, `epochs` how many epochs it has behind it."""

    prefix: str
    epochs: int


def epochs_behind(name: str) -> Optional[int]:
    """How many epochs a checkpoint has behind it, by its weights' file name; None for others."""
    match = EPOCH_FILE.fullmatch(name)
    if match is None:
        return None
    return int(match.group(2)) + (0 if match.group(1) else 1)


def find_weights(folder: str, name: str) -> Optional[str]:
    """`<name>.pdparams` below `folder`, wherever this release of PaddleDetection puts it."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        if name + ".pdparams" in names:
            return os.path.join(place, name + ".pdparams")
    return None


def checkpoint_is_whole(prefix: str) -> bool:
    """Weights and optimizer are there and end where a file should; so does the EMA, if any."""
    needed = [".pdparams", ".pdopt"]
    if os.path.basename(prefix).startswith("epoch_"):
        needed.append(".pdstates")  # PaddleClas's own, which it opens unasked
    if not all(os.path.isfile(prefix + part) for part in needed):
        return False
    parts = [prefix + part for part in {*PARTS, *needed} if os.path.isfile(prefix + part)]
    return all(weights_fault(path) != TORN for path in parts)


def newest_checkpoint(folder: str) -> Optional[Checkpoint]:
    """The newest whole checkpoint; one that a kill tore while it was written is passed over."""
    found: List[Checkpoint] = []
    for place, _, names in os.walk(folder):
        for name in names:
            epochs = epochs_behind(name)
            if epochs is not None:
                prefix = os.path.join(place, os.path.splitext(name)[0])
                found.append(Checkpoint(prefix, epochs))
    for checkpoint in sorted(found, key=lambda item: item.epochs, reverse=True):
        if checkpoint_is_whole(checkpoint.prefix):
            return checkpoint
    return None


class BestWeights(NamedTuple):
    """The best weights so far: their `.pdparams` and the evaluation that measured them."""

    path: str
    metrics: Dict[str, Any]


def score(metrics: Dict[str, Any]) -> float:
    """What the suite picks the best model by: mAP, or mAP@0.5 where the metric is VOC; top-1."""
    for name in ("mAP", "mAP50", "top1"):
        if name in metrics:
            return float(metrics[name])
    return -1.0


def mark_best(folder: str, metrics: Dict[str, Any]) -> None:
    """Remember which evaluation `best_model`, as it is now, was saved for."""
    path = find_weights(folder, "best_model")
    if path is not None:
        _write_mark(os.path.join(folder, "best_model.json"), metrics, path)


def _write_mark(mark: str, metrics: Dict[str, Any], path: str) -> None:
    record = dict(metrics, sha256=file_sha256(path))
    write_text_atomically(mark, json.dumps(record, sort_keys=True) + "\n")


def best_weights(folder: str) -> Optional[BestWeights]:
    """The best whole weights of all attempts, whichever attempt made them."""
    aside = os.path.join(folder, ASIDE)
    found = []
    for path, mark in (
        (find_weights(folder, "best_model"), os.path.join(folder, "best_model.json")),
        (os.path.join(aside, "model.pdparams"), os.path.join(aside, "model.json")),
    ):
        metrics = read_json_object(mark)
        if path and os.path.isfile(path) and metrics.pop("sha256", "") == file_sha256(path):
            found.append(BestWeights(path, metrics))
    return max(found, key=lambda best: score(best.metrics)) if found else None


def keep_best_before_resume(folder: str) -> Optional[BestWeights]:
    """Put the best weights aside: PaddleDetection forgets their mAP at a resume and
    overwrites them. Gives what is the best so far."""
    best = best_weights(folder)
    if best is None:
        return None
    aside = os.path.join(folder, ASIDE)
    goal = os.path.join(aside, "model.pdparams")
    if best.path != goal:
        os.makedirs(aside, exist_ok=True)
        shutil.copyfile(best.path, goal + ".tmp")
        os.replace(goal + ".tmp", goal)
        _write_mark(os.path.join(aside, "model.json"), best.metrics, goal)
    return BestWeights(goal, best.metrics)


def put_aside_from(save_dir: str, epoch: int) -> None:
    """Checkpoints of `epoch` (from 0) and later hold weights that are no numbers any more."""
    for place, _, names in os.walk(save_dir):
        for name in names:
            stem, _, part = name.partition(".")
            behind = epochs_behind(stem + ".pdparams")
            if behind is not None and behind > epoch:
                goal = os.path.join(place, "not-finite-%s.%s" % (stem, part))
                os.replace(os.path.join(place, name), goal)
