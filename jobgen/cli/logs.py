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
    job_id = shared.id_of(console, job)
    with shared.connected() as jobs:
        text = followed(console, jobs, job_id, follow)
    console.result(id=job_id, log=text)


def followed(console: Console, jobs: Jobs, job_id: str, follow: bool) -> str:
    """Print the log as it grows; all of it. A network that is lost is waited for only by
    --follow. Raises RemoteError."""
    from jobgen.remote.logs import Log
    from jobgen.remote.watch import LATE
    from jobgen.remote.wire import Unreachable, Unsure

    log, late, told = Log(jobs, job_id), list(LATE[1:]), ""
    try:
        while True:
            wait = EVERY
            try:
                found = jobs.one(job_id)
                lines = log.more(ended=found.ended)
                said = "" if log.there else f"no log is there yet ({found.stage})"
                done = not follow or (found.ended and (log.there or not late))
                if found.ended and not done:
                    wait = late.pop(0)  # what it left may come a while after its end
            except (Unreachable, Unsure) as error:
                if not follow:
                    raise
                lines, said, done = [], error.message, False
            if lines:
                console.data("\n".join(lines))
            if said and said != told:
                console.say(f"{said}; AI Studio's own: {jobs.page(job_id)}")
            told = said
            if done:
                return log.text
            time.sleep(wait)
    finally:
        log.close()
