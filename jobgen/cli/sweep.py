"""`jobgen sweep`: which values are best for this data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console
from jobgen.language import label

if TYPE_CHECKING:
    from jobgen.sweep.ranking import Group
    from jobgen.sweep.spec import Sweep
    from jobgen.sweep.worker import Runner

EXAMPLES = """\b
Examples:
  jobgen sweep run sweep.yaml --archive ships.zip --workers 2
  jobgen sweep status sweep.yaml
  jobgen sweep best sweep.yaml --write bundles/best/job.yaml
  jobgen sweep page sweep.yaml
"""
SHOWN = 12


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Try many values of a job, and say which are best for its data."""


def sweep_argument(command: Any) -> Any:
    return click.argument("path", metavar="SWEEP", type=click.Path(path_type=Path))(command)


def storage_option(command: Any) -> Any:
    return click.option(
        "--storage", metavar="URL",
        help="Where the study is kept, as postgresql+psycopg://host/name for several machines.  "
        "[default: a file beside sweep.yaml]",
    )(command)  # fmt: skip


@command.command(
    epilog="\b\nExamples:\n  jobgen sweep run sweep.yaml --archive ships.zip\n"
    "  jobgen sweep run sweep.yaml --archive ships.zip --workers 2 --device gpu\n"
    "  jobgen sweep run sweep.yaml --dry-run\n"
)
@sweep_argument
@options.archives
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="How many trials at once.")  # fmt: skip
@storage_option
@click.option("--device", type=click.Choice(["auto", "gpu", "cpu"]), default="auto",
              show_default=True, help="What computes.")  # fmt: skip
@click.option("--python", type=click.Path(path_type=Path),
              help="A Python that has Paddle, instead of the managed one.")  # fmt: skip
@click.option("--mirror", help="A git copy of the suite to clone from.")
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE",
              help="Set a parameter of every trial's notebook.")  # fmt: skip
@click.option("--on", "where", type=click.Choice(["here", "aistudio"]), default="here",
              show_default=True, help="What runs the trials.")  # fmt: skip
@click.option("--dataset", "datasets", multiple=True, type=click.IntRange(1), metavar="ID",
              help="On AI Studio: a mounted data set's number.")  # fmt: skip
@click.option("--again", is_flag=True, help="Try the trials that failed once more.")
@click.option("--dry-run", is_flag=True, help="Check every value, and run nothing.")
@click.option("--worker", type=int, hidden=True, default=0, help="Which of several this is.")
@click.pass_obj
def run(
    console: Console, path: Path, archives: tuple[Path, ...], workers: int, storage: str | None,
    device: str, python: Path | None, mirror: str | None, parameters: tuple[tuple[str, str], ...],
    where: str, datasets: tuple[int, ...], again: bool, dry_run: bool, worker: int,
) -> None:  # fmt: skip
    """Run the trials of SWEEP, each a bundle of its own, checked and executed like any.

    Call again to go on where it was stopped: what has ended is not run again.
    """
    from jobgen.settings import load_settings
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.study import count, open_study, retry_failed, storage_of
    from jobgen.sweep.worker import work

    sweep = load_sweep(path)
    cache = load_settings().cache
    own = [word for pair in parameters for word in ("-p", *pair)]
    own += ["--python", str(python.absolute())] if python else []
    own += ["--mirror", mirror] if mirror else []
    own += [word for number in datasets for word in ("--dataset", str(number))]
    if worker == 0:
        need_data(sweep, archives, where)
        refuse_faults(console, sweep, cache)
        tell(console, sweep, workers, device if where == "here" else "")
        if dry_run:
            console.say("Nothing was run.")
            return
    study = open_study(sweep, storage_of(sweep, storage), worker)
    if again and worker == 0:
        console.say(f"{retry_failed(study)} trials are tried again")
    if workers > 1 and worker == 0:
        given = ["--on", where, "--device", device, *own]
        given += [word for each in archives for word in ("--archive", str(each))]
        given += ["--storage", storage] if storage else []
        together(console, path, workers, device if where == "here" else "", given)
    else:
        hours = sweep.spec.hours
        runner = runner_of(where, cache, archives, device, own)
        work(sweep, study, runner, console.say, None if hours is None else hours * 3600)
    if worker == 0:
        trials = study.get_trials(deepcopy=False)
        show(console, sweep, trials)
        if not count(trials).done:
            raise click.exceptions.Exit(7)


def runner_of(
    where: str, cache: Path, archives: tuple[Path, ...], device: str, own: list[str]
) -> Runner:
    """What runs the trials of a worker."""
    from jobgen.sweep.aistudio import OnAIStudio
    from jobgen.sweep.trial import Machine
    from jobgen.sweep.worker import Here

    if where == "aistudio":
        return OnAIStudio(cache, own)
    return Here(Machine([each.absolute() for each in archives], device, own), cache)


def need_data(sweep: Sweep, archives: tuple[Path, ...], where: str) -> None:
    """Raise RunError before the first trial where all of them would lack their data."""
    from jobgen.errors import RunError

    if where != "here":
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
    from jobgen.errors import SpecError
    from jobgen.sweep.trial import check_corners

    faults = check_corners(sweep, cache)
    if faults:
        raise SpecError("\n".join(faults), f"Correct these values in {sweep.path}.")
    console.say(f"{sum(1 for _ in sweep.corners())} values checked, each makes a job")


def tell(console: Console, sweep: Sweep, workers: int, device: str) -> None:
    """How many trials there will be, and how long they may take; refuse more workers than this
    machine has room for. `device` is empty where the trials are run elsewhere."""
    from jobgen.sweep.room import hours_text, need_room

    if device:
        need_room(workers, device)
    confirmed = (
        f", the best of them again with {sweep.spec.confirm} seeds" if sweep.spec.confirm else ""
    )
    console.say(f"{sweep.spec.count} trials{confirmed}")
    text = hours_text(sweep, workers, device) if device else ""
    if text:
        console.say(text)


def together(console: Console, path: Path, workers: int, device: str, given: list[str]) -> None:
    """Start the workers as processes of their own, and wait for them; they end with this one."""
    import signal
    import subprocess
    import sys

    from jobgen.sweep.room import worker_environment
    from jobgen.sweep.trial import TIED, end

    argv = [sys.executable, "-m", "jobgen", "sweep", "run", str(path), *given]
    processes = [
        subprocess.Popen(
            [*argv, "--worker", str(number)],
            **TIED,
            env=worker_environment(number - 1, workers, device),
        )
        for number in range(1, workers + 1)
    ]

    def stop(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        for process in processes:
            process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in processes:
            end(process)
    if any(process.returncode for process in processes):
        console.say("a worker ended before its time; what it left is tried again by the next call")


def show(
    console: Console, sweep: Sweep, trials: Sequence[Any], ranked: Sequence[Group] | None = None
) -> None:
    """What became of the trials, and the best of them."""
    from jobgen.cli.table import table
    from jobgen.files import shown
    from jobgen.sweep.ranking import best_groups
    from jobgen.sweep.study import WHY, count

    counts = count(trials)
    console.data(f"{counts.done} done, {counts.pruned} ended early, {counts.failed} failed, "
                 f"{counts.running} running, {counts.waiting} waiting")  # fmt: skip
    found = best_groups(sweep, trials) if ranked is None else ranked
    if found:
        console.verbatim(table([head(sweep), *(row(sweep, group) for group in found[:SHOWN])]))
    for trial in trials:
        if WHY in trial.user_attrs:
            console.say(f"trial {trial.number} failed: {trial.user_attrs[WHY]}")
    if found and not (counts.running or counts.waiting):
        console.say(f"Next: jobgen sweep best {shown(sweep.path)} --write NEW/job.yaml")


def head(sweep: Sweep) -> tuple[str, list[str]]:
    names = sweep.spec.objectives
    return (names[0], [label("spread"), label("runs"), *names[1:], *sweep.spec.search])


def row(sweep: Sweep, group: Group) -> tuple[str, list[str]]:
    import statistics

    others = [f"{statistics.fmean(group.others):.4g}"] if group.others else []
    values = [str(group.params.get(path, ",".join(map(str, group.seeds))))
              for path in sweep.spec.search]  # fmt: skip
    return (f"{group.mean:.4g}", [f"{group.spread:.3g}", str(len(group.values)), *others, *values])


@command.command(epilog="\b\nExamples:\n  jobgen sweep status sweep.yaml\n")
@sweep_argument
@storage_option
@options.json_output
@click.pass_obj
def status(console: Console, path: Path, storage: str | None, json_output: bool) -> None:
    """Show what became of the trials so far, and the best of them."""
    from dataclasses import asdict

    from jobgen.sweep.ranking import best_groups
    from jobgen.sweep.rows import read_rows
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.study import count, engine_of

    console.json_output = json_output
    sweep = load_sweep(path)
    trials = read_rows(sweep, engine_of(sweep, storage))
    found = best_groups(sweep, trials)
    rows = [
        {"params": group.params, "mean": group.mean, "spread": group.spread,
         "values": group.values, "seeds": group.seeds, "trials": group.numbers}
        for group in found
        if json_output
    ]  # fmt: skip
    console.result(counts=asdict(count(trials)), ranking=rows)
    show(console, sweep, trials, found)


@command.command(
    epilog="\b\nExamples:\n  jobgen sweep best sweep.yaml\n"
    "  jobgen sweep best sweep.yaml --write bundles/best/job.yaml\n"
)
@sweep_argument
@click.option("--write", "goal", type=click.Path(path_type=Path), metavar="JOB.YAML",
              help="Write the best as a job.")  # fmt: skip
@storage_option
@options.json_output
@click.pass_obj
def best(
    console: Console, path: Path, goal: Path | None, storage: str | None, json_output: bool
) -> None:
    """Say which values are best, by the mean over their seeds, and write them as a job."""
    from jobgen.errors import RunError, SpecError
    from jobgen.files import shown, write_atomically
    from jobgen.sweep.ranking import best_groups
    from jobgen.sweep.report import best_job
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.study import existing_study, storage_of

    console.json_output = json_output
    sweep = load_sweep(path)
    study = existing_study(sweep, storage_of(sweep, storage))
    found = best_groups(sweep, study.get_trials(deepcopy=False))
    if not found:
        raise RunError("no trial has ended with a value yet", f"jobgen sweep status {shown(path)}")
    if goal is not None and goal.exists():
        raise SpecError(f"{goal} is there already", "Give another file, or remove it first.")
    group = found[0]
    console.result(params=group.params, mean=group.mean, spread=group.spread, seeds=group.seeds,
                   job=None if goal is None else str(goal))  # fmt: skip
    for place, value in group.params.items():
        console.verbatim(f"{place}: {value}")
    name = sweep.spec.objectives[0]
    console.data(f"{name} {group.mean:.4g} on average of {len(group.values)} run(s), "
                 f"{group.spread:.3g} from the lowest to the highest")  # fmt: skip
    if goal is not None:
        write_atomically(goal, best_job(sweep, found, goal).encode())
        console.say(f"Next: jobgen build {shown(goal)}")


@command.command(epilog="\b\nExamples:\n  jobgen sweep page sweep.yaml\n")
@sweep_argument
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="The page to write.  [default: page.html in the sweep's folder]")  # fmt: skip
@storage_option
@click.pass_obj
def page(console: Console, path: Path, output: Path | None, storage: str | None) -> None:
    """Draw the trials: their curves, what matters, and the best of them."""
    from jobgen.files import write_atomically
    from jobgen.sweep.report import sweep_page
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.study import existing_study, storage_of

    sweep = load_sweep(path)
    study = existing_study(sweep, storage_of(sweep, storage))
    goal = output or sweep.folder / "page.html"
    write_atomically(goal, sweep_page(sweep, study).encode())
    console.data(f"page: {goal}")
