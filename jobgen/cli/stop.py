"""`jobgen stop`."""

from __future__ import annotations

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen stop bundles/ssdd
"""


@click.command(epilog=EXAMPLES)
@shared.job
@shared.yes
@options.json_output
@click.pass_obj
def command(console: Console, job: str, yes: bool, json_output: bool) -> None:
    """Stop a job on AI Studio; what it has left can still be fetched."""
    from jobgen.errors import RemoteError

    console.json_output = json_output
    with shared.connected() as jobs:
        found = jobs.one(shared.id_of(console, job))
        if not found.ended:
            if not console.confirmed(f"Stop {found.name} ({found.id}, {found.stage})?", yes):
                raise RemoteError("it was not stopped", "To agree without being asked: --yes")
            jobs.stop(found.id)
            found = jobs.one(found.id)
    console.result(id=found.id, stage=found.stage, ended=found.ended)
    console.data(f"{found.id}  {found.stage}")
