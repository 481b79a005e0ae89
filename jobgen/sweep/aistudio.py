"""Trials as pipeline jobs on AI Studio: submitted, waited for, fetched, each a call that may break
off anywhere and is taken up again by the next."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock

from jobgen.errors import RemoteError
from jobgen.files import write_atomically
from jobgen.job.bundle import read_bundle
from jobgen.remote.jobs import open_jobs
from jobgen.remote.logs import Log
from jobgen.remote.records import SUBMITTED, read_records, records_folder
from jobgen.remote.token import find_token
from jobgen.resultfile import read_result
from jobgen.run.progress import parsed_events, read_events
from jobgen.settings import load_settings
from jobgen.sweep.spec import STREAMED, Sweep
from jobgen.sweep.trial import (
    MEASURED,
    TIED,
    Outcome,
    TrialError,
    build_trial,
    evaluated,
    refuse_errors,
    runs_of,
)

MARK = "submitted.json"
EVENTS = "events.jsonl"
# Each call of jobgen waits out a short loss of the network itself; this is for a long one: seconds.
PAUSES = (10.0, 60.0, 300.0)
# Seconds between two looks at what a job that runs has measured: an evaluation takes longer.
EVERY = 30.0
EndsEarly = Callable[[float, int], bool]


@dataclass(frozen=True)
class Kept:
    """What is kept of a trial's jobs: the id of the one that counts, of those before it that gave
    nothing, and the epochs and the value by which it was ended early."""

    id: str | None = None
    ended: tuple[str, ...] = ()
    behind: tuple[int, float] | None = None

    def without_job(self) -> Kept:
        """The trial may be tried again, by another job."""
        return Kept(None, (*self.ended, self.id) if self.id else self.ended)


class EndedEarlyError(Exception):
    """A job that is behind at an evaluation: the epochs, and the value."""

    def __init__(self, epoch: int, value: float) -> None:
        super().__init__(epoch, value)
        self.behind = (epoch, value)


@dataclass(frozen=True)
class OnAIStudio:
    """Trials are submitted; `options` are what `jobgen submit` is told beside the bundle."""

    cache: Path
    options: Sequence[str] = field(default_factory=list)

    def __call__(
        self, sweep: Sweep, params: dict[str, Any], seed: int | None, ends_early: EndsEarly
    ) -> Outcome:
        upload = build_trial(sweep, params, self.cache)
        refuse_errors(upload)
        place = runs_of(sweep, params, seed)
        place.mkdir(parents=True, exist_ok=True)
        kept = _kept(place)
        if kept.behind is not None and ends_early(kept.behind[1], kept.behind[0]):
            return _stopped(place, kept)
        if kept.behind is not None:
            # What confirms is run to its end, also where it was behind before.
            _stopped(place, kept)
            kept = _keep(place, kept.without_job())
        kept = self._submitted(upload, place, seed, kept)
        told: set[int] = set()
        try:
            waited = _waited(str(kept.id), sweep.spec.objectives[0], told, ends_early)
        except EndedEarlyError as early:
            return _stopped(place, _keep(place, Kept(kept.id, kept.ended, early.behind)))
        return self._fetched(sweep, place, kept, waited, told, ends_early)

    def _fetched(
        self, sweep: Sweep, place: Path, kept: Kept, waited: dict[str, Any], told: set[int],
        ends_early: EndsEarly,
    ) -> Outcome:  # fmt: skip
        """What a job that has ended has left. Raises TrialError where that is no value."""
        fetched = place / str(kept.id)
        if waited.get("result"):
            # What came is looked at here: a result of a run that failed is one too.
            with contextlib.suppress(TrialError):
                asked("fetch", str(kept.id), "-o", str(fetched))
        results = sorted(fetched.rglob("result.json"))
        result = read_result(results[-1]) if results else {}
        if result.get("status") not in MEASURED:
            _keep(place, kept.without_job())
            failure = result.get("failure") or {}
            why = failure.get("message") or f"the job {kept.id} ended as {waited.get('status')}"
            raise TrialError(str(why), f"Its page: {waited.get('page')}")
        for events in fetched.rglob(EVENTS):
            for epoch, value in evaluated(read_events(events, 0)[0], sweep.spec.objectives[0]):
                if epoch not in told:
                    told.add(epoch)
                    ends_early(value, epoch)  # it has ended: this only draws its curve
        return Outcome(result, fetched)

    def _submitted(self, upload: Path, place: Path, seed: int | None, kept: Kept) -> Kept:
        """The trial's job: the one that was submitted before, or a new one."""
        if kept.id is not None:
            return kept
        seeded = [] if seed is None else ["-p", "SEED", str(seed)]
        # The same values with other seeds are the same bundle, and may be submitted just now.
        with filelock.FileLock(upload.parent / ".submit.lock"):
            job = started_before(upload, seed, kept.ended)
            if job is None:
                answer = asked("submit", str(upload), "--yes", "--no-check", *seeded, *self.options)
                job = str(answer["id"])
        return _keep(place, Kept(job, kept.ended))


def need_submittable(sweep: Sweep, cache: Path, options: Sequence[str]) -> None:
    """Raise JobgenError where not even the job itself could be submitted: for want of a token, or
    of a data set."""
    find_token()
    upload = build_trial(sweep, {}, cache)
    _asked("submit", [str(upload), "--dry-run", "--no-check", *options], None)


def _stopped(place: Path, kept: Kept) -> Outcome:
    """Stop a job that was behind; once more where a call before this one may have."""
    assert kept.behind is not None
    asked("stop", str(kept.id), "--yes")
    return Outcome({}, place, kept.behind[0])


def _waited(job: str, objective: str, told: set[int], ends_early: EndsEarly) -> dict[str, Any]:
    """What `jobgen wait` says at the end of a job. Raises EndedEarlyError where one of its
    evaluations, whose epochs are put into `told`, says that it is not worth its end."""
    if objective not in STREAMED:
        return asked("wait", job)
    with _events_of(job) as events:

        def look() -> None:
            for epoch, value in evaluated(events(), objective):
                if epoch not in told:
                    told.add(epoch)
                    if ends_early(value, epoch):
                        raise EndedEarlyError(epoch, value)

        return asked("wait", job, meanwhile=look)


@contextlib.contextmanager
def _events_of(job: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what a job's events are since they were asked for last: none where AI Studio can't be
    reached, or shows nothing of a job that runs."""
    jobs = open_jobs(load_settings(), find_token())
    log = Log(jobs, job, EVENTS)

    def events() -> list[dict[str, Any]]:
        try:
            return list(parsed_events("\n".join(log.more(ended=False)).encode()))
        except RemoteError:
            return []

    try:
        yield events
    finally:
        log.close()
        jobs.close()


def started_before(upload: Path, seed: int | None, ended: Sequence[str]) -> str | None:
    """The job of this upload and this seed that a call submitted before it broke off, but for those
    that have `ended`; None where there is none."""
    digest = read_bundle(upload).digest
    for record in reversed(read_records(records_folder(upload))):
        words = str(record.body.get("cmd", "")).split()
        seeds = [word.removeprefix("SEED=") for word in words if word.startswith("SEED=")]
        same = record.bundle == digest and seeds == ([] if seed is None else [str(seed)])
        if same and record.state == SUBMITTED and record.job not in ended:
            return record.job
    return None


def _kept(place: Path) -> Kept:
    try:
        found = json.loads((place / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Kept()
    behind = found.get("behind")
    return Kept(found["id"], tuple(found.get("ended", ())), tuple(behind) if behind else None)


def _keep(place: Path, kept: Kept) -> Kept:
    write_atomically(place / MARK, json.dumps(asdict(kept)).encode())
    return kept


def asked(command: str, *words: str, meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
    """What a command of jobgen answers, a run that is not good among it; `meanwhile` is called
    every so often until then. A network that is lost is waited for. Raises RemoteError where AI
    Studio refuses, or can't be reached for long, and TrialError where the command itself fails."""
    for pause in PAUSES:
        with contextlib.suppress(RemoteError):
            return _asked(command, words, meanwhile)
        time.sleep(pause)
    return _asked(command, words, meanwhile)


def _asked(
    command: str, words: Sequence[str], meanwhile: Callable[[], None] | None
) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobgen", command, *words, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        stdin=subprocess.DEVNULL, **TIED,
    )  # fmt: skip
    try:
        output, errors = _answer(process, meanwhile)
    finally:
        process.kill()
        process.communicate()
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        said = [line for line in errors.splitlines() if line.strip()]
        faults = [line for line in said if line.startswith(("error", "错误"))]
        why = (faults or said or [str(process.returncode)])[0]
        # What AI Studio refused, or did not answer, may go well later; nothing else would.
        kind = RemoteError if process.returncode == RemoteError.exit_code else TrialError
        raise kind(f"jobgen {command} failed: {why}") from None
    return found


def _answer(
    process: subprocess.Popen[str], meanwhile: Callable[[], None] | None
) -> tuple[str, str]:
    """What a process has printed at its end."""
    while True:
        if meanwhile is not None:
            meanwhile()
        try:
            return process.communicate(timeout=None if meanwhile is None else EVERY)
        except subprocess.TimeoutExpired:
            continue
