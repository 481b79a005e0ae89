"""Trials as pipeline jobs on AI Studio: submitted, waited for, fetched, each a call that may break
off anywhere and is taken up again by the next."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from jobgen.errors import RemoteError
from jobgen.files import write_atomically
from jobgen.job.bundle import read_bundle
from jobgen.remote.records import SUBMITTED, read_records, records_folder
from jobgen.resultfile import read_result
from jobgen.sweep.spec import Sweep
from jobgen.sweep.trial import (
    MEASURED,
    TIED,
    Outcome,
    TrialError,
    build_trial,
    refuse_errors,
    runs_of,
)

MARK = "submitted.json"
# Each call of jobgen waits out a short loss of the network itself; this is for a long one: seconds.
PAUSES = (10.0, 60.0, 300.0)


@dataclass(frozen=True)
class OnAIStudio:
    """Trials are submitted; `options` are what `jobgen submit` is told beside the bundle."""

    cache: Path
    options: Sequence[str] = field(default_factory=list)

    def __call__(
        self, sweep: Sweep, params: dict[str, Any], seed: int | None,
        _ends_early: Callable[[float, int], bool],
    ) -> Outcome:  # fmt: skip
        upload = build_trial(sweep, params, self.cache)
        refuse_errors(upload)
        place = runs_of(sweep, params, seed)
        place.mkdir(parents=True, exist_ok=True)
        job = self._submitted(upload, place, seed)
        waited = asked("wait", job)
        fetched = place / job
        if waited.get("result"):
            # What came is looked at here: a result of a run that failed is one too.
            with contextlib.suppress(TrialError):
                asked("fetch", job, "-o", str(fetched))
        results = sorted(fetched.rglob("result.json"))
        result = read_result(results[-1]) if results else {}
        if result.get("status") not in MEASURED:
            # The trial may be tried again, by another job.
            _keep(place, None, [*_kept(place)[1], job])
            failure = result.get("failure") or {}
            why = failure.get("message") or f"the job {job} ended as {waited.get('status')}"
            raise TrialError(str(why), f"Its page: {waited.get('page')}")
        return Outcome(result, fetched)

    def _submitted(self, upload: Path, place: Path, seed: int | None) -> str:
        """The id of the trial's job: of the one that was submitted before, or of a new one."""
        job, ended = _kept(place)
        if job is not None:
            return job
        seeded = [] if seed is None else ["-p", "SEED", str(seed)]
        # The same values with other seeds are the same bundle, and may be submitted just now.
        with filelock.FileLock(upload.parent / ".submit.lock"):
            job = started_before(upload, seed, ended)
            if job is None:
                answer = asked("submit", str(upload), "--yes", "--no-check", *seeded, *self.options)
                job = str(answer["id"])
        _keep(place, job, ended)
        return job


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


def _kept(place: Path) -> tuple[str | None, list[str]]:
    """The id of a trial's job, and the ids of those before it that gave nothing."""
    try:
        found = json.loads((place / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, []
    return found["id"], list(found.get("ended", []))


def _keep(place: Path, job: str | None, ended: Sequence[str]) -> None:
    write_atomically(place / MARK, json.dumps({"id": job, "ended": list(ended)}).encode())


def asked(command: str, *words: str) -> dict[str, Any]:
    """What a command of jobgen answers, a run that is not good among it. A network that is lost is
    waited for. Raises RemoteError where AI Studio refuses, or can't be reached for long, and
    TrialError where the command itself fails."""
    for pause in PAUSES:
        with contextlib.suppress(RemoteError):
            return _asked(command, words)
        time.sleep(pause)
    return _asked(command, words)


def _asked(command: str, words: Sequence[str]) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-m", "jobgen", command, *words, "--json"],
        capture_output=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
        **TIED,
    )  # fmt: skip
    try:
        found: dict[str, Any] = json.loads(process.stdout)
    except ValueError:
        said = [line for line in process.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("error", "错误"))]
        why = (errors or said or [str(process.returncode)])[0]
        # What AI Studio refused, or did not answer, may go well later; nothing else would.
        kind = RemoteError if process.returncode == RemoteError.exit_code else TrialError
        raise kind(f"jobgen {command} failed: {why}") from None
    return found
