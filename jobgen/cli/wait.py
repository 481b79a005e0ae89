"""`jobgen wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.remote.watch import End

EXAMPLES = """\b
Examples:
  jobgen wait bundles/ssdd && jobgen fetch bundles/ssdd
"""


@click.command(epilog=EXAMPLES)
@shared.job
@options.json_output
@click.pass_obj
def command(console: Console, job: str, json_output: bool) -> None:
    """Wait until a job on AI Studio has ended, and give the verdict of its run.

    ID is a job's, as jobgen jobs shows it; JOB a job.yaml that was submitted. Exit code 0 for
    a good run, 7 for any other. Ctrl-C ends the waiting; the job goes on.
    """
    from jobgen.errors import RunError
    from jobgen.remote.watch import wait

    console.json_output = json_output
    job_id = shared.id_of(console, job)
    with shared.connected() as jobs:
        try:
            end = wait(jobs, job_id, console.say)
        except KeyboardInterrupt:
            console.say(
                f"The job {job_id} goes on. Wait again: jobgen wait {job_id}\n"
                f"To stop it: jobgen stop {job_id}"
            )
            raise
        page = jobs.page(job_id)
    console.result(id=job_id, stage=end.job.stage, status=end.status, result=end.result, page=page)
    console.data("\n".join(verdict_lines(end, page)))
    if not end.good:
        raise click.exceptions.Exit(RunError.exit_code)


def verdict_lines(end: End, page: str) -> list[str]:
    """The verdict as people read it."""
    from jobgen.remote.wire import table

    lines = [f"{end.status:<11} {end.job.name or end.job.id} ({end.job.stage})"]
    failure = end.result.get("failure")
    best = table(table(end.result.get("metrics")).get("best"))
    lines += [f"{'':<11} {name} {value:.3f}" for name, value in best.items()
              if name in ("mAP", "top1") and isinstance(value, float)]  # fmt: skip
    if isinstance(failure, dict):
        lines.append(f"{'':<11} {failure.get('stage')}: {failure.get('message')}")
        lines.append(f"{'':<11} {failure.get('remedy')}")
    elif not end.good:
        where = "left no result" if not end.result else "was ended before its last stage"
        lines.append(f"{'':<11} the run {where}; AI Studio's own log: {page}")
    if end.result:
        lines.append(f"Next: jobgen fetch {end.job.id}")
    return lines
