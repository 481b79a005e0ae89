"""A submission: made once, finished by whoever calls next, never made twice.

    record -> create -> upload -> confirm -> asked back

Before each request the record says what is about to be done. Where an answer is lost, AI Studio is
asked what it has: the job's name, which nobody else uses, tells it apart.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.catalog import platform
from jobgen.errors import RemoteError, SpecError
from jobgen.files import sha256, shown
from jobgen.remote.jobs import CODE, Jobs, RemoteJob
from jobgen.remote.records import (
    ASKED,
    CONFIRMED,
    CONFIRMING,
    CREATED,
    DROPPED,
    MAY_RUN,
    SUBMITTED,
    UPLOADED,
    Record,
    read_records,
)
from jobgen.remote.wire import AGAIN, Refused, Unsure
from jobgen_runtime.record.text import utc_now

CODE_FILE = "code.zip"
# After a lost answer: how often, and after how many seconds, AI Studio is asked whether it has the
# job, before it is taken for not made.
ASK_AGAIN = (1.0, 4.0, 10.0)
LONGEST_NAME = 50


@dataclass(frozen=True)
class Order:
    """What is to be run, on what: the zip, and the body of the request without a name."""

    title: str
    bundle: str
    code: bytes
    command: str
    environment: str
    gpus: int
    payment: str
    datasets: list[int]

    @property
    def digest(self) -> str:
        return sha256(self.code)

    def body(self, name: str) -> dict[str, Any]:
        """The request that makes the job."""
        return {
            "name": name,
            "cmd": self.command,
            "env": self.environment,
            "device": platform().device,
            "gpus": self.gpus,
            "payment": self.payment,
            "dataset": [{"datasetId": number} for number in self.datasets],
        }

    def need_possible(self) -> None:
        """Raise SpecError for what AI Studio does not offer."""
        facts = platform()
        if self.gpus not in facts.cards:
            offered = ", ".join(map(str, facts.cards))
            raise SpecError(
                f"a job has {offered} cards, not {self.gpus}", f"--gpus {facts.cards[0]}"
            )
        if len(self.datasets) > facts.datasets:
            raise SpecError(
                f"a job has at most {facts.datasets} data sets, not {len(self.datasets)}",
                "Put several archives into one data set.",
            )


def new_record(folder: Path, order: Order, address: str) -> Record:
    """The record of a submission that begins, not yet on disk."""
    name = f"{order.title[:LONGEST_NAME]}-{secrets.token_hex(4)}"
    before = [record.number for record in read_records(folder)]
    return Record(
        path=folder / f"{name}.json",
        name=name,
        job="",
        state="",
        bundle=order.bundle,
        digest=order.digest,
        bytes=len(order.code),
        body=order.body(name),
        address=address,
        created=utc_now(),
        number=max(before, default=0) + 1,
    )


def same_order(record: Record, order: Order) -> bool:
    """Whether a record is of just this: the same files, command, cards and data sets."""
    return record.digest == order.digest and record.body == order.body(record.name)


def submit(jobs: Jobs, record: Record, code: bytes, say: Callable[[str], None]) -> Record:
    """Bring a submission to its end, from wherever it is. Raises RemoteError; then the record is
    as far as it came, and the next call goes on from there."""
    if record.state in ("", ASKED):
        record = _created(jobs, record, say)
    if record.state == CREATED:
        record = _uploaded(jobs, record, code)
    if record.state in (UPLOADED, CONFIRMING):
        record = _confirmed(jobs, record)
    found = need_listed(jobs, record)
    say(f"AI Studio has it: {found.id}, {found.stage}")
    return record.saved(SUBMITTED)


def _created(jobs: Jobs, record: Record, say: Callable[[str], None]) -> Record:
    if record.state == ASKED:
        found = listed(jobs, record)
        if found is not None:
            return record.saved(CREATED, job=found.id)
    else:
        record = record.saved(ASKED)
    try:
        job = jobs.create(record.body)
    except Unsure as error:
        say(f"{error.message}; AI Studio is asked whether it has the job")
        found = listed(jobs, record)
        if found is None:
            raise
        job = found.id
    except Refused:
        record.saved(DROPPED)  # nothing was made
        raise
    return record.saved(CREATED, job=job)


def listed(jobs: Jobs, record: Record) -> RemoteJob | None:
    """The job of a record, by its id or, where the answer that had it was lost, by its name; None
    where AI Studio has none, also a while later."""
    for seconds in (0.0, *ASK_AGAIN):
        if seconds:
            jobs.wire.pause(seconds)
        found = jobs.list(job=record.job) if record.job else jobs.list(name=record.name)
        if found:
            return found[0]
    return None


def need_listed(jobs: Jobs, record: Record) -> RemoteJob:
    """The job of a record. Raises Unsure where AI Studio does not list it."""
    found = listed(jobs, record)
    if found is None:
        raise Unsure(
            f"AI Studio took the job {record.job}, and does not list it yet",
            "Submit it again in a minute, which finishes it; all that it lists: jobgen jobs",
        )
    return found


def _uploaded(jobs: Jobs, record: Record, code: bytes) -> Record:
    if sha256(code) != record.digest:
        raise RemoteError(f"the files of {record.name} are not those that it was made for", AGAIN)
    storage = jobs.storage(record.job, CODE)
    try:
        storage.put(storage.grant.key, code, "application/zip")
    finally:
        storage.close()
    return record.saved(UPLOADED)


def _confirmed(jobs: Jobs, record: Record) -> Record:
    """Tell AI Studio that the code is there. Where that was done before, and its answer lost, the
    job's stage shows whether it arrived."""
    there = need_listed(jobs, record)
    is_first = record.state == UPLOADED
    if there.ended if is_first else there.was_stopped:
        record.saved(DROPPED)
        raise RemoteError(
            f"AI Studio ended the job {there.id} before it was started ({there.stage})",
            "Submit it again, which makes a new one.",
        )
    if is_first:
        record = record.saved(CONFIRMING, first_stage=there.stage)
    elif there.stage != record.first_stage:
        return record.saved(CONFIRMED)
    try:
        jobs.confirm(record.job, jobs.grant(record.job, CODE).file_key, CODE_FILE)
    except (Unsure, Refused) as error:
        # A second confirmation may be refused, where the first one arrived.
        if jobs.one(record.job).stage == record.first_stage:
            if is_first and isinstance(error, Refused):
                record.saved(UPLOADED)  # it was certainly not started
            raise
    return record.saved(CONFIRMED)


def settled(jobs: Jobs, record: Record) -> Record:
    """What became of a submission that broke off: one whose job was started is `submitted`, one
    whose job is gone or ended without a start is `dropped`, any other stays as it is. Raises
    RemoteError where a job may run that AI Studio does not list."""
    found = listed(jobs, record)
    if record.state in MAY_RUN:
        if found is None:
            raise RemoteError(
                f"AI Studio does not list the job {record.job}, which was started",
                f"Look at {jobs.page(record.job)}; once it is not there, move "
                f"{shown(record.path)} away.",
            )
        if record.state == CONFIRMED or (
            found.stage != record.first_stage and not found.was_stopped
        ):
            return record.saved(SUBMITTED)
        return record.saved(DROPPED) if found.ended else record
    if found is None:
        return record if record.state == ASKED else record.saved(DROPPED)
    if found.ended:
        return record.saved(DROPPED, job=found.id)
    return record.saved(record.state, job=found.id) if not record.job else record


def drop(jobs: Jobs, record: Record) -> tuple[Record, str]:
    """End a submission that never started: nothing of it waits for its code any longer. The
    record, and the stage that its job is left in; empty where there is none. Where AI Studio does
    not end it the record stays open, so that the next call tries again."""
    job = listed(jobs, record)
    if job is None:
        return record.saved(DROPPED), ""
    for end in (jobs.give_up, jobs.stop):
        if not job.ended:
            # Which of the two AI Studio takes for a job without code is not known.
            with contextlib.suppress(Refused):
                end(job.id)
            job = jobs.one(job.id)
    return record.saved(DROPPED if job.ended else record.state, job=job.id), job.stage


def unfinished(jobs: Jobs, folder: Path) -> list[Record]:
    """Submissions to this AI Studio that broke off, as they stand now: `submitted` ones among
    them were started after all."""
    found = [r for r in read_records(folder) if r.open and r.address == jobs.wire.address]
    return [settled(jobs, record) for record in found]


def running(jobs: Jobs, folder: Path, order: Order) -> RemoteJob | None:
    """A job of just this order that has not ended."""
    for record in reversed(read_records(folder)):
        here = record.address == jobs.wire.address
        if here and record.state == SUBMITTED and same_order(record, order):
            found = jobs.list(job=record.job, name=record.name)
            if found and not found[0].ended:
                return found[0]
    return None
