"""`jobgen models`."""

from __future__ import annotations

from dataclasses import asdict

import click

from jobgen.cli import options
from jobgen.cli.console import Console

EXAMPLES = "\b\nExamples:\n  jobgen models\n  jobgen models s_320 --json\n"


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@options.json_output
@click.pass_obj
def command(console: Console, name: str | None, json_output: bool) -> None:
    """List the models, or those whose name has NAME in it."""
    from jobgen.catalog import models
    from jobgen.cli.table import table

    console.json_output = json_output
    chosen = [model for model in models().values() if (name or "") in model.name]
    if not chosen:
        raise click.UsageError(
            f"no model has {name!r} in its name; there are {', '.join(models())}"
        )
    console.result(models=[_facts(asdict(model)) for model in chosen])
    head = ("model", ["input", "parameters", "mAP", "mAP@0.5", "batch a card", "base_lr", "epochs"])
    rows = [
        (
            model.name,
            [
                f"{model.size} px",
                f"{model.parameters:g} M",
                f"{model.mAP:g}",
                f"{model.mAP50:g}",
                str(model.batch_size),
                f"{model.base_lr:g}",
                str(model.epochs),
            ],
        )
        for model in chosen
    ]
    console.data(table([head, *rows]))
    cards = chosen[0].gpus
    console.say(
        f"mAP on COCO val2017, in percent; batch and base_lr as published for {cards} cards."
    )
    if len(chosen) == 1:
        console.data(f"COCO weights      {chosen[0].coco_weights}")
        console.data(f"ImageNet weights  {chosen[0].imagenet_weights}")


def _facts(model: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in model.items() if key not in ("bases", "own")}
