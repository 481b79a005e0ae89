"""The values of a detection's training, each with its origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobgen.catalog import Model, inside, platform
from jobgen.findings import Findings
from jobgen.job.model import JobModel
from jobgen.spec import JobSpec
from jobgen.yamlio import Document
from jobgen_runtime.train.schedule import fitting_batch_size, repeats, training_values

# The reader's processes, as many as AI Studio's machines have cores at most; the notebook takes
# fewer where there are fewer.
WORKERS = 8
WORKERS_RULE = "rule: 8, and in the notebook at most its cores and what its memory has room for"
OFTEN = "rule: fifty steps an epoch, as its start costs seconds, and ten epochs at least"
# Values of the plan that an override may replace.
OVERRIDES = "overrides"
REPLACEABLE = ("snapshot_epoch", "log_iter", "worker_num", "norm_type", "eval_batch_size")


@dataclass(frozen=True)
class Value:
    """One value of the plan, and in words where it comes from."""

    value: Any
    origin: str


def planned_values(
    findings: Findings, document: Document, spec: JobSpec, job_model: JobModel
) -> dict[str, Value]:
    assert spec.dataset.expect is not None
    images, train, model = spec.dataset.expect.train.images, spec.train, job_model.model
    place = f"{document.source}:{document.line(['train', 'gpus'])}"
    if images < train.gpus:
        findings.error("PL002", f"train.gpus: {train.gpus} cards for {images} images", place)
        return {}
    room = model.room(job_model.size, platform().card_bytes)
    batch, batch_origin = train.batch_size, "job.yaml"
    if batch == "auto":
        batch = fitting_batch_size(model.batch_size, images, train.gpus, room)
        batch_origin = (
            f"rule: the config's {model.batch_size}, at most a tenth of {images} images a card "
            f"and the {room} that a card of {platform().card_bytes >> 30} GB has room for"
        )
    repeat = train.repeat
    if repeat == "auto":
        repeat = repeats(images, train.epochs, batch, train.gpus)
    _check_steps(findings, document, spec, batch, repeat)
    base_lr = None if train.base_lr == "auto" else train.base_lr
    numbers = training_values(
        train_images=images,
        epochs=train.epochs // repeat,
        batch_size=batch,
        base_lr=base_lr,
        gpus=train.gpus,
        repeat=repeat,
        parameters=model.parameters,
        family=job_model.carried(),
    )
    origins = _origins(spec, model, batch, repeat)
    origins["batch_size"] = batch_origin
    origins.update((name, turn.words()) for name, turn in job_model.turns.items())
    found = {name: Value(numbers[name], why) for name, why in origins.items() if name in numbers}
    found["gpus"] = Value(train.gpus, "job.yaml" if "gpus" in train.model_fields_set else "default")
    found["parameters"] = Value(model.parameters, "catalogue: millions")
    found["train_images"] = Value(images, "dataset.expect")
    found["worker_num"] = Value(WORKERS, WORKERS_RULE)
    return {**found, **_overridden(spec, job_model)}


def _origins(spec: JobSpec, model: Model, batch: int, repeat: int) -> dict[str, str]:
    """In words, where the values of the training come from."""
    assert spec.dataset.expect is not None
    train, images = spec.train, spec.dataset.expect.train.images
    scale = f"rule: {model.base_lr_per_image} x {batch} x {train.gpus}; the config's "
    scale += f"{model.base_lr} is for {model.gpus} cards of {model.batch_size}"
    passes = f"job.yaml: {train.epochs} passes over the set, {repeat} in an epoch"
    unit, published = next(iter(model.family.warmup.items()))
    return {
        "epochs": passes if repeat > 1 else "job.yaml",
        "batch_size": "job.yaml",
        "base_lr": scale if train.base_lr == "auto" else "job.yaml",
        "repeat": OFTEN if train.repeat == "auto" else "job.yaml",
        "steps_per_epoch": f"{images} x {repeat} images in steps of {batch} x {train.gpus}",
        "warmup_steps": f"rule: {published} {unit}, at most a tenth of all",
        "snapshot_epoch": "rule: ten times in a run, at least every ten epochs and half an hour",
        "log_iter": "rule: five lines an epoch, at least every 20 steps",
        "eval_batch_size": "rule: the training's, from 8 to 32",
        "norm_type": "rule: sync_bn over several cards, bn on one, as a CPU has no sync_bn",
    }


def _check_steps(
    findings: Findings, document: Document, spec: JobSpec, batch: int, repeat: int
) -> None:
    """See that an epoch has a step, and that the epochs can be dealt out in passes."""
    assert spec.dataset.expect is not None
    images, train = spec.dataset.expect.train.images, spec.train
    if batch * train.gpus > images * repeat:
        findings.error(
            "PL003",
            f"train.batch_size: {batch} x {train.gpus} card(s) are more than the {images} "
            "training images; PaddleDetection would train nothing and end 0",
            f"{document.source}:{document.line(['train', 'batch_size'])}",
        )
    if train.epochs % repeat:
        findings.error(
            "PL004",
            f"train.repeat: {train.epochs} epochs can't be dealt out in passes of {repeat}",
            f"{document.source}:{document.line(['train', 'repeat'])}",
        )


def _overridden(spec: JobSpec, job_model: JobModel) -> dict[str, Value]:
    """The values of the plan that job.yaml's overrides set."""
    found = {}
    for name, path in job_model.paths.items():
        value = inside(spec.overrides, path)
        if value is not None and (name in REPLACEABLE or name in job_model.turns):
            found[name] = Value(value, OVERRIDES)
    return found
