"""One trial: its job is built and checked like any other, and run by `jobgen run` itself."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from jobgen.check.rules import chosen_rules
from jobgen.check.whole import check_whole
from jobgen.errors import JobgenError, RunError
from jobgen.files import write_atomically
from jobgen.job.build import render
from jobgen.job.bundle import Bundle, write_bundle
from jobgen.job.tasks import AnyPlan, plan_any
from jobgen.packs.render import Pack, load_job_pack
from jobgen.resultfile import read_result
from jobgen.run.progress import read_events
from jobgen.run.workspace import newest_run
from jobgen.spec import parse_any
from jobgen.sweep.spec import SEED, STREAMED, Sweep
from jobgen.trust import trust_bundle
from jobgen.yamlio import load

POLL = 0.5
# A run that is told to end writes its record, and its processes are ended: seconds until it is
# killed.
PATIENCE = 60.0
MEASURED = ("ok", "untrained")
# Linux: what a process gets when the one that started it is gone (prctl(2)).
PR_SET_PDEATHSIG = 1


class TrialError(RunError):
    """A trial that gave no value; the study goes on."""


@dataclass(frozen=True)
class Machine:
    """How trials are run here: what `jobgen run` is told, in what environment, with which data."""

    archives: Sequence[Path]
    device: str = "auto"
    options: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: its result, its run's folder, and the epoch from which it was ended
    early, 0 where it was not."""

    result: dict[str, Any]
    folder: Path
    pruned: int = 0


def render_trial(sweep: Sweep, params: dict[str, Any]) -> tuple[str, Bundle]:
    """The job.yaml and the bundle of a trial, in memory. Raises JobgenError where its values don't
    make a job."""
    text = sweep.text_of(params)
    plan, pack = _planned(sweep, params, text)
    return text, render(plan, pack)


def _planned(sweep: Sweep, params: dict[str, Any], text: str) -> tuple[AnyPlan, Pack]:
    spec, document = parse_any(load(text, f"{sweep.name_of(params)}/job.yaml"))
    pack = _pack(spec.template, sweep.job_path.parent)
    return plan_any(spec, document, pack), pack


# A pack's templates are compiled once for all trials of this process.
_pack = functools.lru_cache(load_job_pack)


def build_trial(sweep: Sweep, params: dict[str, Any], cache: Path) -> Path:
    """Write a trial's job and upload, as they are where they are there; gives the upload. Raises
    TrialError where a rule finds an error."""
    text, bundle = render_trial(sweep, params)
    folder = sweep.folder / "trials" / sweep.name_of(params)
    folder.mkdir(parents=True, exist_ok=True)
    # The same values with other seeds may be another worker's trial at this moment.
    with filelock.FileLock(folder / ".lock"):
        write_atomically(folder / "job.yaml", text.encode())
        write_bundle(bundle, folder / "upload")
        trust_bundle(bundle.digest, cache)
    return folder / "upload"


def refuse_errors(upload: Path) -> None:
    """Raise TrialError where a rule of jobs finds an error in a trial."""
    errors = check_whole(upload, chosen_rules(family="jobgen.check.job"), ()).findings.errors
    if errors:
        raise TrialError(f"{errors[0].code}: {errors[0].message}", errors[0].hint)


def check_corners(sweep: Sweep, cache: Path) -> list[str]:
    """What is wrong with the ends of each range and with each value, each tried alone; empty where
    all of them make a job that costs no more than is allowed."""
    faults = []
    own = _too_large(sweep, {})
    fitting = own is None
    for params in sweep.corners():
        (path, value), *_ = params.items()
        if path == SEED:
            continue
        try:
            refuse_errors(build_trial(sweep, params, cache))
            fault = _too_large(sweep, params)
            fitting = fitting or fault is None
            if fault not in (None, own):
                faults.append(f"{path}: {value}: {fault}")
        except JobgenError as error:
            faults.append(f"{path}: {value}: {error.message}")
    return faults if fitting or own is None else [*faults, f"{sweep.job_path}: {own}"]


def _too_large(sweep: Sweep, params: dict[str, Any]) -> str | None:
    """What is known before a training of a model that is larger than sweep.yaml allows."""
    most = sweep.spec.at_most.get("parameters")
    if most is None:
        return None
    plan, _ = _planned(sweep, params, sweep.text_of(params))
    has = plan.values["parameters"].value if "parameters" in plan.values else None
    if has is None or has <= most:
        return None
    return f"{has:g} million parameters, and at_most allows {most:g}"


def run_trial(
    sweep: Sweep,
    params: dict[str, Any],
    seed: int | None,
    machine: Machine,
    cache: Path,
    ends_early: Callable[[float, int], bool],
) -> Outcome:
    """Run a trial to its end, or until `ends_early` (value, epochs) says so. One that broke off is
    resumed; one that ended before its value was kept is not run again. Raises TrialError where it
    gives no value."""
    upload = build_trial(sweep, params, cache)
    refuse_errors(upload)
    name = sweep.name_of(params)
    runs = runs_of(sweep, params, seed)
    argv = [sys.executable, "-m", "jobgen", "run", str(upload), "--runs", str(runs), "--device",
            machine.device, "--yes", "--no-check", "--once", *machine.options]  # fmt: skip
    argv += [word for path in machine.archives for word in ("--archive", str(path))]
    argv += ["-p", "SEED", str(seed)] if seed is not None else []
    began = time.time()
    log = upload.parent / ("run.log" if seed is None else f"run-{seed}.log")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            argv,
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **machine.environment},
            start_new_session=True,
            **TIED,
        )
        try:
            pruned = _watched(process, runs, name, began, sweep.spec.objectives[0], ends_early)
        finally:
            end(process)
    return _outcome(runs, name, log, pruned)


def runs_of(sweep: Sweep, params: dict[str, Any], seed: int | None) -> Path:
    """Where the runs of a trial lie: those of another seed lie elsewhere."""
    return (
        sweep.folder / "runs" / sweep.name_of(params) / ("own" if seed is None else f"seed-{seed}")
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


# For subprocess: on Linux a child is told to end when the one that started it is gone, however it
# went.
TIED: dict[str, Any] = {"preexec_fn": _end_with_parent} if sys.platform == "linux" else {}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a run that is still at work: it is asked first, so that it writes its record."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # A run has a group of its own, a worker has that of whoever started it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()


def _watched(
    process: subprocess.Popen[bytes],
    runs: Path,
    name: str,
    began: float,
    objective: str,
    ends_early: Callable[[float, int], bool],
) -> int:
    """Follow a run's evaluations until it ends or is to be ended; the epoch of that, else 0."""
    told: set[int] = set()
    while process.poll() is None:
        for epoch, value in evaluations(runs, name, began, objective):
            if epoch not in told:
                told.add(epoch)
                if ends_early(value, epoch):
                    return epoch
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
    for epoch, value in evaluations(runs, name, began, objective):
        if epoch not in told:
            ends_early(value, epoch)
    return 0


def evaluations(runs: Path, name: str, began: float, objective: str) -> Iterator[tuple[int, float]]:
    """(epochs, value) of the evaluations that the newest run of a name has made."""
    if objective not in STREAMED:
        return
    try:
        folder = newest_run(runs, name)
    except RunError:
        return
    for events in folder.glob("home/output/*/events.jsonl"):
        if events.stat().st_mtime < began:
            continue
        yield from evaluated(read_events(events, 0)[0], objective)


def evaluated(events: Iterable[dict[str, Any]], objective: str) -> Iterator[tuple[int, float]]:
    """(epochs, value) of the evaluations among events."""
    for event in events:
        if event.get("event") == "evaluated" and objective in event:
            yield int(event["epoch"]) + 1, float(event[objective])


def _outcome(runs: Path, name: str, log: Path, pruned: int) -> Outcome:
    try:
        folder = newest_run(runs, name)
    except RunError:
        raise TrialError(last_line(log), f"All of it: {log}") from None
    results = sorted(folder.glob("home/output/*/result.json"))
    result = read_result(results[-1]) if results else {}
    if pruned:
        return Outcome(result, folder, pruned)
    if result.get("status") not in MEASURED:
        failure = result.get("failure") or {}
        raise TrialError(str(failure.get("message") or last_line(log)), f"All of it: {log}")
    return Outcome(result, folder)


def last_line(log: Path) -> str:
    """The last thing that a run said; it may have ended before there was a record."""
    lines = [
        line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line
    ]
    errors = [line for line in lines if line.startswith(("error", "错误"))]
    return (errors or lines or ["it said nothing"])[-1].strip()
