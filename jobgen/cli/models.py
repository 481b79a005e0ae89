"""`jobgen models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.catalog import Model

EXAMPLES = "\b\nExamples:\n  jobgen models\n  jobgen models s_320 --json\n  jobgen models yolo\n"
HEAD = ("input", "parameters", "mAP", "mAP@0.5", "batch a card", "memory", "epochs")


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@options.json_output
@click.pass_obj
def command(console: Console, name: str | None, json_output: bool) -> None:
    """List the models, or those whose name has NAME in it."""
    from jobgen.catalog import models, not_offered, why_not_offered
    from jobgen.cli.table import table

    console.json_output = json_output
    chosen = [model for model in models().values() if (name or "") in model.name]
    if not chosen:
        raise click.UsageError(_no_model(name or "", list(models()), why_not_offered(name or "")))
    console.result(models=[_facts(model) for model in chosen], not_offered=not_offered())
    console.data(table([("model", list(HEAD)), *((model.name, _row(model)) for model in chosen)]))
    console.say(
        "mAP on COCO val2017, in percent; memory of a card in training with that batch, about."
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
        "mAP", "mAP50", "weights",
    )  # fmt: skip
    more = {"family": model.family.name, "revisions": list(model.family.revisions)}
    return {**{name: getattr(model, name) for name in names}, **more}
