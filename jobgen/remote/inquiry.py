"""What AI Studio really answers: questions that change nothing, for `doctor --remote`.

Its wire has no description; this finds out on the spot where it differs from what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobgen.catalog import platform
from jobgen.errors import RemoteError
from jobgen.remote.jobs import Jobs, RemoteJob, moment, open_jobs
from jobgen.remote.output import JobOutput
from jobgen.remote.token import find_token
from jobgen.remote.wire import Wire
from jobgen.settings import Settings


@dataclass(frozen=True)
class Inquiry:
    """One question: what was asked, what came, whether it is as it should be, what to do."""

    what: str
    text: str
    good: bool = True
    hint: str = ""


def inquire(settings: Settings) -> list[Inquiry]:
    """Every answer; the first that is no good and that the others need is the last."""
    return list(_answers(settings))


def _answers(settings: Settings) -> Iterator[Inquiry]:
    try:
        token = find_token()
        yield Inquiry("token", f"found in {token.origin}")
        jobs = open_jobs(settings, token)
        try:
            there = jobs.list()
            yield Inquiry("jobs", f"{jobs.wire.address} lists {len(there)} of yours")
            yield from _about_jobs(there)
            yield _output(jobs, there)
        finally:
            jobs.close()
        git = Wire(settings.aistudio_git or platform().git_address, None)
        try:
            answer = git.answer("GET", "/api/v1/version", repeat=True)
            version = answer.get("version", "?") if isinstance(answer, dict) else "?"
            yield Inquiry("repositories", f"{git.address} answers, gitea {version}")
        finally:
            git.close()
    except RemoteError as error:
        yield Inquiry("fault", error.message, good=False, hint=error.hint or "")


def _about_jobs(there: list[RemoteJob]) -> Iterator[Inquiry]:
    if not there:
        return
    stages = sorted({job.stage for job in there})
    unknown = sorted({job.stage for job in there if not job.ended})
    yield Inquiry("stages", f"{', '.join(stages)}; taken for running: {', '.join(unknown) or '-'}")
    if any(moment(job.created) is None for job in there):
        yield Inquiry("times", f"{there[0].created!r} is no time that jobgen knows")


def _output(jobs: Jobs, there: list[RemoteJob]) -> Inquiry:
    """Whether the output of the newest job can be listed."""
    if not there:
        return Inquiry("output", "no job to ask about")
    job = there[0]
    output = JobOutput(jobs, job.id)
    try:
        files = output.files()
    except RemoteError as error:  # the other questions do not need it
        return Inquiry("output", f"of {job.name} ({job.stage}): {error.message}", good=False)
    finally:
        output.close()
    state = "ended" if job.ended else f"{job.stage}, so a running job's files are shown"
    return Inquiry("output", f"{len(files)} files of {job.name} ({state})" if files else
                   f"nothing of {job.name} ({job.stage})")  # fmt: skip
