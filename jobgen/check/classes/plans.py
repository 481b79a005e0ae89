"""Rules of classification jobs."""

from __future__ import annotations

from collections.abc import Iterator

from jobgen.check.rules import NOTE, WARNING, Hit, plan
from jobgen.job.classification import ClassificationPlan

SHORT_FROM_SCRATCH = 100


@plan(
    "CL040",
    NOTE,
    "training from scratch: no weights to begin with",
    why="Without pretrained weights a classifier needs many more images and epochs.",
    remedy="Set model.pretrained: imagenet, unless that is what you want.",
)
def classifier_from_scratch(found: ClassificationPlan) -> Iterator[Hit]:
    if not found.pretrained:
        yield Hit(1, (), "model.pretrained")


@plan(
    "CL041",
    WARNING,
    "learning rate that is not scaled to the batch",
    why="The published rates are for steps of 256 to 2048 images: with small steps the loss jumps.",
    remedy="Leave train.base_lr: auto.",
)
def unscaled_class_rate(found: ClassificationPlan) -> Iterator[Hit]:
    values = {name: value.value for name, value in found.values.items()}
    fitting = found.model.base_lr_per_image * values["batch_size"] * values["gpus"]
    if values["base_lr"] > 8 * fitting or values["base_lr"] < fitting / 64:
        detail = f"{values['base_lr']:g}; the linear rule gives {fitting:g}"
        yield Hit(1, (), "train.base_lr", detail)


@plan(
    "CL042",
    WARNING,
    "few steps from scratch",
    why="Weights that begin as random numbers take thousands of steps to see anything.",
    remedy="Set model.pretrained: imagenet, or more train.epochs.",
)
def few_steps(found: ClassificationPlan) -> Iterator[Hit]:
    steps = found.values["steps_per_epoch"].value * found.values["epochs"].value
    if not found.pretrained and steps < SHORT_FROM_SCRATCH:
        yield Hit(1, (), "train.epochs", f"{steps} steps in all")
