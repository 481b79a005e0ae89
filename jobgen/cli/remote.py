"""What the commands about AI Studio share: the token, the job that is meant, and its lines."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.text import one_line

if TYPE_CHECKING:
    from jobgen.cli.console import Console
    from jobgen.remote.jobs import Jobs, RemoteJob
    from jobgen.remote.output import JobOutput

job = click.argument("job", metavar="ID|JOB")
yes = click.option("--yes", is_flag=True, help="Do it without asking.")


@contextmanager
def connected() -> Iterator[Jobs]:
    """AI Studio's jobs, with the token of this user."""
    from jobgen.remote.jobs import open_jobs
    from jobgen.remote.token import find_token
    from jobgen.settings import load_settings

    jobs = open_jobs(load_settings(), find_token())
    try:
        yield jobs
    finally:
        jobs.close()


@contextmanager
def output_of(jobs: Jobs, job_id: str) -> Iterator[JobOutput]:
    from jobgen.remote.output import JobOutput

    output = JobOutput(jobs, job_id)
    try:
        yield output
    finally:
        output.close()


def id_of(console: Console, given: str) -> str:
    """The id that is meant: itself, or of a job.yaml, its folder or its upload the id of what was
    submitted last, which is said. Raises RemoteError."""
    from jobgen.catalog import platform
    from jobgen.errors import RemoteError
    from jobgen.remote.records import is_job, newest
    from jobgen.remote.wire import need_safe
    from jobgen.settings import load_settings

    given = given.strip()
    if not given:
        raise RemoteError("no job is named", "Yours are: jobgen jobs")
    if not is_job(Path(given)):
        return given
    address = need_safe(load_settings().aistudio or platform().address)
    record = newest(Path(given), address)
    console.say(f"{given}: {record.name}, {record.job}")
    return record.job


def as_row(found: RemoteJob) -> list[str]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return [one_line(found.name), one_line(found.stage), found.age(now)]
