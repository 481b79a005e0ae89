"""`jobgen logs`: what a job on AI Studio says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.remote.jobs import Jobs

EXAMPLES = """\b
Examples:
  jobgen logs bundles/ssdd --follow
"""
EVERY = 15.0


@click.command(epilog=EXAMPLES)
@shared.job
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@options.json_output
@click.pass_obj
def command(console: Console, job: str, follow: bool, json_output: bool) -> None:
    """Show what a job on AI Studio has printed, from output/main.log of what it leaves.

    Whether AI Studio shows that file before a job has ended is its own matter; the log
    of a running job is always on its page, whose address is said.
    """
    console.json_output = json_output
    job_id = shared.id_of(job)
    with shared.connected() as jobs:
        text = followed(console, jobs, job_id, follow)
    console.result(id=job_id, log=text)


def followed(console: Console, jobs: Jobs, job_id: str, follow: bool) -> str:
    """Print the log as it grows; all of it."""
    from jobgen.remote.logs import Log
    from jobgen.remote.watch import need_job
    from jobgen.remote.wire import Unreachable

    log = Log(jobs, job_id)
    said = False
    while True:
        found = need_job(jobs, job_id)
        try:
            lines = log.more()
        except Unreachable as error:
            console.say(error.message)
            lines = []
        if lines:
            console.data("\n".join(lines))
        if not log.there and not said:
            console.say(
                f"no log is there yet ({found.stage}); AI Studio's own: {jobs.page(job_id)}"
            )
            said = True
        if not follow or found.ended:
            rest = log.rest()
            if rest:
                console.data(rest)
            return log.text
        time.sleep(EVERY)
