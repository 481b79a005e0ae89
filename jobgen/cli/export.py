"""`jobgen export`: a model for deployment from downloaded weights."""

from __future__ import annotations

from typing import Any

import click

from jobgen.cli.after import run_stage, shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen export output.zip --archive ssdd.zip --onnx
  jobgen export output.zip --archive ssdd.zip --no-nms
"""


@click.command(epilog=EXAMPLES)
@shared
@click.option("--onnx/--no-onnx", default=None, help="Write ONNX too.  [default: the job's]")
@click.option("--nms/--no-nms", default=None, help="Leave NMS in the model.  [default: the job's]")
@click.option("--format", "form", type=click.Choice(["auto", "pdmodel", "json"]),
              help="Paddle's file form.  [default: the job's]")  # fmt: skip
@click.pass_obj
def command(
    console: Console, /, onnx: bool | None, nms: bool | None, form: str | None, **given: Any
) -> None:
    """Export the weights in OUTPUT, and prove that the exported model finds the same boxes."""

    def change(spec: dict[str, Any], _best: dict[str, Any]) -> dict[str, Any]:
        asked = {"onnx": onnx, "nms": nms, "format": form}
        if spec["task"] == "classification" and (nms is not None or form is not None):
            raise click.UsageError("--nms and --format are for detection")
        chosen = {name: value for name, value in asked.items() if value is not None}
        return {**spec, "export": {**spec["export"], **chosen}}

    run_stage(console, "export", given, change)
