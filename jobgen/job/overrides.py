"""Overrides of job.yaml against the config that they change."""

from __future__ import annotations

from typing import Any

from jobgen.catalog import (
    class_parameters,
    trainer_keys,
    turn_paths,
)
from jobgen.findings import Findings
from jobgen.spec import nearest
from jobgen.yamlio import Document, Tagged

# Keys that follow from job.yaml: two places for one value would contradict each other.
OWNED = {
    "architecture": "set model.config",
    "epoch": "set train.epochs",
    "TrainReader.batch_size": "set train.batch_size",
    "LearningRate.base_lr": "set train.base_lr",
    "pretrain_weights": "set model.pretrained",
    "num_classes": "it is the number of dataset.classes",
    "metric": "it is COCO, as the data is made to be",
    "save_dir": "the notebook sets it",
    "weights": "the notebook sets it",
    "use_gpu": "set the parameter DEVICE of the notebook",
    "TrainDataset": "set dataset.train and train.repeat",
    "EvalDataset": "set dataset.eval",
    "TestDataset": "set dataset.eval",
}


# Their keys depend on the type that they name: AdamW takes weight_decay, Momentum momentum;
# `regularizer: null` turns it off.
OPEN = frozenset(("OptimizerBuilder.optimizer", "OptimizerBuilder.regularizer"))


# A snapshot_epoch of 0 divides by zero after the first epoch; the others fail as late.
LEAST = {
    "snapshot_epoch": 1,
    "log_iter": 1,
    "worker_num": 0,
    "EvalReader.batch_size": 1,
    "TestReader.batch_size": 1,
}


def check_overrides(
    findings: Findings, document: Document, values: Any, config: Any, path: tuple[str, ...]
) -> None:
    """Every override names a key of the resolved config and has its type."""
    for key, value in values.items():
        here = (*path, key)
        inside = ".".join(here[1:])
        if inside in OPEN:
            continue
        known = config.get(key)
        owned = inside in OWNED
        if not owned and isinstance(value, dict) and isinstance(known, dict):
            check_overrides(findings, document, value, known, here)
            continue
        code, message = _fault(here, value, config)
        if code:
            place = f"{document.source}:{document.line(here)}"
            findings.error(code, f"{'.'.join(here)}{message}", place)


def _fault(path: tuple[str, ...], value: Any, config: Any) -> tuple[str, str]:
    """The code of what is wrong with an override, and how the sentence about it goes on; both
    empty for nothing. `config` is the dict in which it would stand."""
    dotted, key = ".".join(path), path[-1]
    owner = OWNED.get(dotted.partition(".")[2])
    if owner is not None:
        return "CF003", f" is not for overrides: {owner}"
    if key not in config:
        own = {name for name in config if isinstance(name, str)}
        turns = {turn[-1] for turn in turn_paths() if turn[:-1] == path[1:-1]}
        names = sorted(own | turns.union(parameters(path, config)))
        if key not in names:
            return "CF001", f" is no key of PaddleDetection's config{nearest(key, names)}"
    if has_tag(value):
        return "CF002", ": write `name: X` instead of the tag `!X`"
    if value_below(dotted, value):
        return "CF004", f" is {value!r}; it must be at least {least_of(dotted)}"
    if key in config and not same_kind(value, config[key]):
        return "CF002", f" is {value!r}, but the config has {config[key]!r} there"
    return "", ""


def parameters(path: tuple[str, ...], config: Any) -> list[str]:
    """What the class around a key takes beside what its config names; at the top, the trainer.

    `path` is that of the key, from `overrides`; `config` the dict in which it would stand.
    """
    if len(path) == 2:
        return sorted(trainer_keys())
    name = config.get("name", path[-2])
    return class_parameters().get(name, []) if isinstance(name, str) else []


def value_below(dotted: str, value: Any) -> bool:
    """Whether a number is under the least with which PaddleDetection works."""
    least = least_of(dotted)
    return least is not None and isinstance(value, int) and value < least


def least_of(dotted: str) -> int | None:
    """The least that a key of overrides may be; None where there is no such bound."""
    key = dotted.removeprefix("overrides.")
    # -1 is never for what mixes images, and from the start for an assigner.
    return -1 if key in map(".".join, turn_paths()) else LEAST.get(key)


def has_tag(value: Any) -> bool:
    """Whether a YAML tag stands anywhere in a value."""
    if isinstance(value, dict):
        return any(map(has_tag, value.values()))
    if isinstance(value, list):
        return any(map(has_tag, value))
    return isinstance(value, Tagged)


def same_kind(value: Any, known: Any) -> bool:
    if isinstance(known, Tagged) or known is None:
        return True
    if value is None:
        return isinstance(known, str)
    if isinstance(known, bool) or isinstance(value, bool):
        return isinstance(known, bool) and isinstance(value, bool)
    if isinstance(known, float):
        return isinstance(value, (int, float))
    return isinstance(value, type(known))
