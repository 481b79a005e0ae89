"""What `jobgen sweep run` does around its trials: it refuses what can't go well, says how long all
take, and starts workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobgen.cli.console import Console

if TYPE_CHECKING:
    from optuna import Study

    from jobgen.sweep.spec import Sweep
    from jobgen.sweep.worker import Runner


@dataclass(frozen=True)
class Order:
    """What a call of `sweep run` asks for: trials `here` or on `aistudio`, by which device (none
    there), and what each call of `jobgen run` or `jobgen submit` is told besides (`own`)."""

    where: str
    device: str
    archives: tuple[Path, ...]
    workers: int
    storage: str | None
    own: list[str]
    cache: Path


def words_of_trials(
    parameters: tuple[tuple[str, str], ...], python: Path | None, mirror: str | None,
    datasets: tuple[int, ...],
) -> list[str]:  # fmt: skip
    """What every call of `jobgen run`, or `jobgen submit`, is told beside its bundle."""
    own = [word for pair in parameters for word in ("-p", *pair)]
    own += ["--python", str(python.absolute())] if python else []
    own += ["--mirror", mirror] if mirror else []
    return own + [word for number in datasets for word in ("--dataset", str(number))]


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """Have a request to end taken as Ctrl-C is: runs are ended, their trials given back. A second
    one would break that off, and is heard no more."""
    import signal

    both = (signal.SIGTERM, signal.SIGINT)

    def stop(_number: int, _frame: Any) -> None:
        for each in both:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(each, stop) for each in both]
    try:
        yield
    finally:
        for each, handler in zip(both, before, strict=True):
            signal.signal(each, handler)


def before_first_trial(console: Console, sweep: Sweep, order: Order, dry_run: bool) -> None:
    """Refuse what can't go well, and say how long it takes. Raises JobgenError."""
    from jobgen.sweep.aistudio import need_submittable
    from jobgen.sweep.room import need_card

    left = count_left(sweep, order.storage)
    need_data(sweep, order.archives, order.where)
    refuse_faults(console, sweep, order.cache)
    if order.where == "aistudio":
        need_submittable(sweep, order.cache, order.own)
    elif not dry_run:
        need_card(order.device)
    tell(console, sweep, order, left)


def take_trials(console: Console, sweep: Sweep, study: Study, order: Order) -> None:
    """Take trials until none is left, or the hours are over."""
    from jobgen.sweep.aistudio import OnAIStudio
    from jobgen.sweep.trial import Machine
    from jobgen.sweep.worker import Here, work

    if order.where == "aistudio":
        runner: Runner = OnAIStudio(order.cache, order.own)
    else:
        archives = [each.absolute() for each in order.archives]
        runner = Here(Machine(archives, order.device, order.own), order.cache)
    hours = sweep.spec.hours
    work(sweep, study, runner, console.say, None if hours is None else hours * 3600)


def need_data(sweep: Sweep, archives: tuple[Path, ...], where: str) -> None:
    """Raise RunError before the first trial where all of them would lack their data."""
    from jobgen.errors import RunError
    from jobgen.files import shown

    if where != "here":
        if archives:
            raise RunError(
                f"{shown(archives[0])} is on this machine, and the trials are not",
                "On AI Studio the data is a mounted data set: --dataset ID in place of --archive",
            )
        return
    wanted = sweep.job.dataset.sources
    missing = [path for path in archives if not path.exists()]
    if missing:
        raise RunError(f"{missing[0]} is not there", "Give the data set: --archive FILE")
    if archives and len(archives) != len(wanted):
        raise RunError(f"the job has {len(wanted)} data source(s), {len(archives)} given",
                       "Give --archive once for each.")  # fmt: skip


def refuse_faults(console: Console, sweep: Sweep, cache: Path) -> None:
    """Build and check every end of a range and every value; exit code 3 where one makes no job."""
    from jobgen.cli.run import parameter_value
    from jobgen.errors import SpecError
    from jobgen.run.kernel import parameter_defaults
    from jobgen.run.workspace import check_parameters
    from jobgen.sweep.trial import check_corners, render_trial

    given = {name: parameter_value(text) for name, text in sweep.parameters}
    check_parameters(parameter_defaults(render_trial(sweep, {})[1].notebook), given)
    faults = check_corners(sweep, cache)
    if faults:
        raise SpecError("\n".join(faults), f"Correct these values in {sweep.path}.")
    console.say(f"{sum(1 for _ in sweep.corners())} values checked, each makes a job")


def count_left(sweep: Sweep, storage: str | None) -> int:
    """How many trials there will be yet. Raises RunError where the study is another sweep's, or
    can't be read."""
    from jobgen.sweep.rows import read_rows
    from jobgen.sweep.storage import NotBegunError
    from jobgen.sweep.study import count

    try:
        counts = count(read_rows(sweep, storage))
    except NotBegunError:
        return sweep.spec.count
    added = max(0, sweep.spec.count - counts.total)
    return counts.running + counts.waiting + added


def say_what_waits(console: Console, sweep: Sweep, waiting: int) -> None:
    """That trials are left, and why."""
    if waiting and sweep.spec.hours is not None:
        console.say(f"{waiting} trials wait, as the {sweep.spec.hours:g} hours of "
                    f"{sweep.path.name} are over. Call again for as many hours more.")  # fmt: skip


def tell(console: Console, sweep: Sweep, order: Order, left: int) -> None:
    """How many trials there will be, of which some are `left`, and how long these may take; refuse
    more workers than this machine has room for."""
    from jobgen.sweep.room import hours_text, need_room

    workers, device = order.workers, order.device
    if device:
        need_room(workers, device)
    confirmed = (
        f", the best of them again with {sweep.spec.confirm} seeds" if sweep.spec.confirm else ""
    )
    console.say(f"{sweep.spec.count} trials{confirmed}")
    if left < sweep.spec.count:
        console.say(f"{left} of them are left")
    text = hours_text(sweep, workers, device, left) if device and left else ""
    if text:
        console.say(text)


def together(console: Console, path: Path, order: Order) -> None:
    """Start the workers as processes of their own, and wait for them; they end with this one."""
    import subprocess
    import sys

    from jobgen.sweep.room import worker_environment
    from jobgen.sweep.storage import VARIABLE
    from jobgen.sweep.trial import TIED, end

    argv = [sys.executable, "-m", "jobgen", "sweep", "run", str(path), "--on", order.where]
    argv += ["--device", order.device] if order.device else []
    argv += [*order.own, *(word for each in order.archives for word in ("--archive", str(each)))]
    # An address may hold a password, and the words of a command are seen by all.
    kept = {VARIABLE: order.storage} if order.storage else {}
    processes = [
        subprocess.Popen(
            [*argv, "--worker", str(number)],
            **TIED,
            env={**worker_environment(number - 1, order.workers, order.device), **kept},
        )
        for number in range(1, order.workers + 1)
    ]
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            end(process)
    if any(process.returncode for process in processes):
        console.say("a worker ended before its time; what it left is tried again by the next call")
