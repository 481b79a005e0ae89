"""Trials as pipeline jobs on AI Studio: submitted, waited for, fetched, each a call that may break
off anywhere and is taken up again by the next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobgen.errors import RemoteError
from jobgen.files import write_atomically
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
        fetched = place / "output"
        if waited.get("result"):
            asked("fetch", job, "-o", str(fetched))
        results = sorted(fetched.rglob("result.json"))
        result = read_result(results[-1]) if results else {}
        if result.get("status") not in MEASURED:
            failure = result.get("failure") or {}
            why = failure.get("message") or f"the job {job} ended as {waited.get('status')}"
            raise TrialError(str(why), f"Its page: {waited.get('page')}")
        return Outcome(result, fetched)

    def _submitted(self, upload: Path, place: Path, seed: int | None) -> str:
        """The id of the trial's job: of the one that was submitted before, or of a new one."""
        mark = place / MARK
        if mark.is_file():
            return str(json.loads(mark.read_text(encoding="utf-8"))["id"])
        seeded = [] if seed is None else ["-p", "SEED", str(seed)]
        answer = asked("submit", str(upload), "--yes", "--no-check", *seeded, *self.options)
        write_atomically(mark, json.dumps({"id": answer["id"]}).encode())
        return str(answer["id"])


def asked(command: str, *words: str) -> dict[str, Any]:
    """What a command of jobgen answers. Raises RemoteError where AI Studio can't be reached or
    refuses; a run that is not good is an answer."""
    process = subprocess.run(
        [sys.executable, "-m", "jobgen", command, *words, "--json"],
        capture_output=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
        **TIED,
    )  # fmt: skip
    try:
        found: dict[str, Any] = json.loads(process.stdout)
    except ValueError:
        said = [line for line in process.stderr.splitlines() if line.strip()]
        raise RemoteError(
            f"jobgen {command} failed: {said[0] if said else process.returncode}"
        ) from None
    return found
