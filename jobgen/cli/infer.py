"""`jobgen infer`: draw what downloaded weights find."""

from __future__ import annotations

from typing import Any

import click

from jobgen.cli.after import run_stage, shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen infer output.zip --archive ssdd.zip --image 000031.jpg
  jobgen infer runs/ssdd-1104-093000 --archive ssdd.zip --threshold 0.3
"""


@click.command(epilog=EXAMPLES)
@shared
@click.option("--image", "images", multiple=True,
              help="An image of the data set, by its name.  [default: twelve]")  # fmt: skip
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Draw boxes from this score on.  [default: of the best F1 in OUTPUT, else 0.5]",
)
@click.pass_obj
def command(
    console: Console, /, images: tuple[str, ...], threshold: float | None, **given: Any
) -> None:
    """Draw what the weights in OUTPUT find beside what is there: pictures and a JSON file."""

    def change(spec: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        if spec["task"] == "classification":
            if images or threshold:
                raise click.UsageError("--image and --threshold are for detection")
            return spec
        score = threshold or (best.get("threshold") if best.get("f1") else None)
        infer = dict(spec["infer"])
        if images:
            infer["images"] = list(images)
        if score:
            infer["threshold"] = score
        return {**spec, "infer": infer}

    run_stage(console, "infer", given, change)
