"""`jobgen evaluate`: measure weights that were downloaded."""

from __future__ import annotations

from typing import Any

import click

from jobgen.cli.after import in_tiles, run_stage, shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen evaluate output.zip --archive ssdd.zip
  jobgen evaluate output.zip --archive ssdd.zip --split test
  jobgen evaluate output.zip --archive scenes.zip --tiles 640
  jobgen evaluate best_model.pdparams --model MODEL --archive ssdd.zip
"""


@click.command(epilog=EXAMPLES)
@shared
@in_tiles
@click.option(
    "--split",
    type=click.Choice(["test", "eval"]),
    help="The split to measure: job.yaml's dataset.test, or the archive's.  [default: eval]",
)
@click.pass_obj
def command(console: Console, /, **given: Any) -> None:
    """Measure the weights in OUTPUT on the evaluation's images: mAP, each class, which score.

    OUTPUT is a run, an output folder, the zip that AI Studio gives, or a .pdparams file; weights
    that were trained without jobgen do too. It is the notebook's own stage, on this machine.
    """
    run_stage(console, "evaluate", given)
