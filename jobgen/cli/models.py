"""`jobgen models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.catalog import Model

EXAMPLES = (
    "\b\nExamples:\n  jobgen models\n  jobgen models s_320 --json\n  jobgen models yolo\n"
    "  jobgen models --task classification\n"
)
HEAD = (
    *("input", "parameters", "mAP", "mAP@0.5", "ms an image", "batch a card", "memory"),
    "epochs",
)


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@click.option(
    "--task",
    type=click.Choice(["detection", "classification"]),
    default="detection",
    show_default=True,
    help="What the model shall do.",
)
@options.json_output
@click.pass_obj
def command(console: Console, name: str | None, task: str, json_output: bool) -> None:
    """List the models, or those whose name has NAME in it."""
    console.json_output = json_output
    if task == "classification":
        _classifiers(console, name or "")
        return
    _detectors(console, name)


def _classifiers(console: Console, name: str) -> None:
    from dataclasses import asdict

    from jobgen.catalog import classifiers
    from jobgen.cli.table import table

    chosen = [each for each in classifiers().values() if name.lower() in each.name.lower()]
    if not chosen:
        raise click.UsageError(_no_model(name, list(classifiers()), ""))
    console.result(models=[asdict(each) for each in chosen])
    head = ["input", "parameters", "top-1", "top-5", "epochs"]
    rows = [
        [f"{c.size} px", f"{c.parameters:g} M", f"{c.top1:g}", f"{c.top5:g}", str(c.epochs)]
        for c in chosen
    ]
    named = [each.name for each in chosen]
    console.verbatim(table([("model", head), *zip(named, rows, strict=True)]))
    console.say("Accuracy on ImageNet's validation set, in percent.")


def _detectors(console: Console, name: str | None) -> None:
    from jobgen.catalog import models, not_offered, why_not_offered
    from jobgen.cli.table import table

    chosen = [model for model in models().values() if (name or "") in model.name]
    if not chosen:
        raise click.UsageError(_no_model(name or "", list(models()), why_not_offered(name or "")))
    console.result(models=[_facts(model) for model in chosen], not_offered=not_offered())
    console.verbatim(
        table([("model", list(HEAD)), *((model.name, _row(model)) for model in chosen)])
    )
    console.say(
        "mAP on COCO val2017, in percent; milliseconds as upstream measured them, each on its "
        "device; memory of a card in training with that batch, about."
    )
    if len(chosen) == 1:
        _one(console, chosen[0])
    elif name is None:
        for family, why in not_offered().items():
            console.say(f"not offered: {family}: {why}")


def _no_model(name: str, known: list[str], why: str) -> str:
    if why:
        return f"{why}; `jobgen models` lists those that are"
    return f"no model has {name!r} in its name; there are {', '.join(known)}"


def _row(model: Model) -> list[str]:
    mib = model.training_mib(model.size, model.batch_size)
    return [
        f"{model.size} px",
        f"{model.parameters:g} M",
        f"{model.mAP:g}",
        "-" if model.mAP50 is None else f"{model.mAP50:g}",
        "-" if model.ms is None else f"{model.ms:g} ({model.timed_on})",
        str(model.batch_size),
        f"{mib / 1024:.0f} GB",
        str(model.epochs),
    ]


def _one(console: Console, model: Model) -> None:
    cards = f"{model.gpus} cards of {model.batch_size} images"
    console.data(f"learning rate  {model.base_lr:g}, published for {cards}")
    for trained_on, address in model.weights.items():
        console.data(f"{trained_on + ' weights':<20}{address}")
    if model.family.revisions:
        console.data(f"PaddleDetection     {' or '.join(model.family.revisions)} only")


def _facts(model: Model) -> dict[str, Any]:
    names = (
        "name", "size", "batch_size", "base_lr", "gpus", "epochs", "parameters", "image_mib",
        "mAP", "mAP50", "ms", "timed_on", "weights",
    )  # fmt: skip
    more = {"family": model.family.name, "revisions": list(model.family.revisions)}
    return {**{name: getattr(model, name) for name in names}, **more}
