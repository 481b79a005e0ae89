"""`jobgen jobs`: what runs on AI Studio."""

from __future__ import annotations

from dataclasses import asdict

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen jobs
  jobgen jobs --json
"""


@click.command(epilog=EXAMPLES)
@options.json_output
@click.pass_obj
def command(console: Console, json_output: bool) -> None:
    """List your pipeline jobs on AI Studio: id, name, stage and age, the newest first."""
    from jobgen.cli.table import table

    console.json_output = json_output
    with shared.connected() as jobs:
        found = jobs.list()
    console.result(jobs=[{**asdict(job), "ended": job.ended} for job in found])
    if not found:
        console.data("no jobs")
        return
    rows = [("id", ["name", "stage", "age"]), *((job.id, shared.as_row(job)) for job in found)]
    console.verbatim(table(rows))
