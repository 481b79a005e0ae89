"""Waiting for a job: over losses of the network, to the verdict of its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jobgen.remote.jobs import Jobs, RemoteJob, Unknown
from jobgen.remote.output import JobOutput
from jobgen.remote.wire import Refused, Unreachable, Unsure

FIRST_WAIT, LONGEST_WAIT = 5.0, 60.0
# What a job leaves may be there a while after its stage says that it ended.
LATE = (0.0, 5.0, 15.0, 30.0)
# Every so many questions, what the job left is asked too: a stage that nobody knows may be an end.
OUTPUT_EVERY = 5
# So often in a row a job that was listed may be missing from the list.
MOST_MISSING = 5


@dataclass(frozen=True)
class End:
    """How a job ended: its stage, and its run's own result; empty where it left none."""

    job: RemoteJob
    folder: str
    result: dict[str, Any]

    @property
    def status(self) -> str:
        """The run's verdict, as `jobgen run` has it; `stopped` or `failed` where there is none."""
        said = str(self.result.get("status") or "")
        if said and said != "running":
            return said
        return "interrupted" if self.job.was_stopped else "failed"

    @property
    def good(self) -> bool:
        return self.status.startswith("ok")


def wait(
    jobs: Jobs, job: str, say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
) -> End:
    """Wait until a job has ended. A network that is lost is waited for; a refusal ends the wait
    with RemoteError."""
    last, silent, missing = "", False, 0
    for number, seconds in enumerate(_pauses()):
        try:
            found = jobs.one(job)
            ends = found.ended
            left = None
            if ends or number % OUTPUT_EVERY == OUTPUT_EVERY - 1:
                left = _left(jobs, found, LATE if ends else (0.0,), pause)
            if silent:
                say("AI Studio answers again")
            silent, missing = False, 0
        except (Unreachable, Unsure, Unknown) as error:
            # A list that leaves out a job that was there a moment ago is no end of it.
            missing += isinstance(error, Unknown)
            if isinstance(error, Unknown) and (not last or missing > MOST_MISSING):
                raise
            if not silent:
                say(f"{error.message}; the wait continues")
            silent = True
            pause(seconds)
            continue
        if found.stage != last:
            say(f"{found.id} {found.stage}")
            last = found.stage
        if ends or (left is not None and closed(left[1])):
            return End(found, *(left or ("", {})))
        pause(seconds)
    raise AssertionError("the pauses have no end")


def _pauses() -> Iterator[float]:
    seconds = FIRST_WAIT
    while True:
        yield seconds
        seconds = min(seconds * 1.5, LONGEST_WAIT)


def closed(result: dict[str, Any]) -> bool:
    """Whether a run has written its last word."""
    return bool(result.get("closed")) and result.get("status") != "running"


def _left(
    jobs: Jobs, job: RemoteJob, waits: tuple[float, ...], pause: Callable[[float], None]
) -> tuple[str, dict[str, Any]] | None:
    """What a job left: the folder and its result.json; asked again where that is not closed yet.
    Raises Refused where a job that has ended does not show its output: then nobody knows."""
    found, refusal = None, None
    for seconds in waits:
        if seconds:
            pause(seconds)
        output = JobOutput(jobs, job.id)
        try:
            found, refusal = output.result(), None
        except Refused as error:
            refusal = error
        finally:
            output.close()
        if found is not None and closed(found[1]):
            return found
    if refusal is not None and job.ended:
        raise Refused(
            f"the job has ended ({job.stage}), and what it left can't be read: {refusal.message}",
            f"Ask again: jobgen wait {job.id}; its own page: {jobs.page(job.id)}",
            code=refusal.code,
        )
    return found
