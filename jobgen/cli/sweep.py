"""`jobgen sweep`: which values are best for this data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console
from jobgen.cli.sweep_tables import summary, trials_table

if TYPE_CHECKING:
    from jobgen.sweep.spec import Sweep
    from jobgen.sweep.worker import Runner

EXAMPLES = """\b
Examples:
  jobgen sweep run sweep.yaml --archive ships.zip --workers 2
  jobgen sweep status sweep.yaml
  jobgen sweep show sweep.yaml --follow
  jobgen sweep best sweep.yaml --write bundles/best/job.yaml
  jobgen sweep page sweep.yaml
"""
# Seconds between two looks at the trials.
EVERY = 2.0


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Try many values of a job, and say which are best for its data."""


def sweep_argument(command: Any) -> Any:
    return click.argument("path", metavar="SWEEP", type=click.Path(path_type=Path))(command)


def storage_option(command: Any) -> Any:
    return click.option(
        "--storage", metavar="URL", envvar="JOBGEN_STORAGE",
        help="Where the study is kept, as postgresql+psycopg://host/name for several machines; "
        "also JOBGEN_STORAGE.  [default: where it was begun, else a file beside sweep.yaml]",
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
    from jobgen.sweep.retry import retry_failed
    from jobgen.sweep.room import need_card
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.storage import keep_address
    from jobgen.sweep.study import count, open_study
    from jobgen.sweep.worker import work

    sweep = load_sweep(path, parameters)
    cache = load_settings().cache
    own = words_of_trials(parameters, python, mirror, datasets)
    if worker == 0:
        need_data(sweep, archives, where)
        refuse_faults(console, sweep, cache)
        if where == "here" and not dry_run:
            need_card(device)
        tell(console, sweep, workers, device if where == "here" else "")
        if dry_run:
            console.say("Nothing was run.")
            return
    study = open_study(sweep, storage, worker)
    if worker == 0:
        keep_address(sweep, storage)
        if again:
            console.say(f"{retry_failed(study)} trials are tried again")
    with ended_by_signal():
        if workers > 1 and worker == 0:
            given = ["--on", where, "--device", device, *own]
            given += [word for each in archives for word in ("--archive", str(each))]
            together(console, path, workers, device if where == "here" else "", given, storage)
        else:
            hours = sweep.spec.hours
            runner = runner_of(where, cache, archives, device, own)
            work(sweep, study, runner, console.say, None if hours is None else hours * 3600)
    if worker == 0:
        trials = study.get_trials(deepcopy=False)
        summary(console, sweep, trials)
        if not count(trials).done:
            raise click.exceptions.Exit(7)


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
    """Have a request to end taken as Ctrl-C is: runs are ended, their trials given back."""
    import signal

    def stop(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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


def together(
    console: Console, path: Path, workers: int, device: str, given: list[str], storage: str | None
) -> None:
    """Start the workers as processes of their own, and wait for them; they end with this one."""
    import subprocess
    import sys

    from jobgen.sweep.room import worker_environment
    from jobgen.sweep.storage import VARIABLE
    from jobgen.sweep.trial import TIED, end

    argv = [sys.executable, "-m", "jobgen", "sweep", "run", str(path), *given]
    # An address may hold a password, and the words of a command are seen by all.
    kept = {VARIABLE: storage} if storage else {}
    processes = [
        subprocess.Popen(
            [*argv, "--worker", str(number)],
            **TIED,
            env={**worker_environment(number - 1, workers, device), **kept},
        )
        for number in range(1, workers + 1)
    ]
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            end(process)
    if any(process.returncode for process in processes):
        console.say("a worker ended before its time; what it left is tried again by the next call")


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
    from jobgen.sweep.study import count

    console.json_output = json_output
    sweep = load_sweep(path)
    trials = read_rows(sweep, storage)
    found = best_groups(sweep, trials)
    rows = [
        {"params": group.params, "mean": group.mean, "spread": group.spread,
         "values": group.values, "seeds": group.seeds, "trials": group.numbers,
         "others": group.others, "costs": {name: group.cost(name) for name in group.costs},
         "over": group.over}
        for group in found
        if json_output
    ]  # fmt: skip
    console.result(counts=asdict(count(trials)), ranking=rows)
    summary(console, sweep, trials, found)


@command.command(
    epilog="\b\nExamples:\n  jobgen sweep show sweep.yaml\n"
    "  jobgen sweep show sweep.yaml --follow\n"
)
@sweep_argument
@click.option("--follow", is_flag=True, help="Go on until all trials have ended.")
@storage_option
@options.json_output
@click.pass_obj
def show(
    console: Console, path: Path, follow: bool, storage: str | None, json_output: bool
) -> None:
    """Show every trial: its values, how far it is, what it measured, what is left of it."""
    from dataclasses import asdict

    from jobgen.sweep.live import standings
    from jobgen.sweep.rows import read_rows
    from jobgen.sweep.spec import load_sweep

    if follow and json_output:
        raise click.UsageError("--follow shows a table: leave out --json")
    console.json_output = json_output
    sweep = load_sweep(path)
    before = ""
    while True:
        found = standings(sweep, read_rows(sweep, storage, steps=True))
        text = trials_table(sweep, found)
        if text != before:
            if follow and console.live():
                click.clear()
            console.verbatim(text)
            before = text
        if not follow or not any(each.state in ("running", "waiting") for each in found):
            break
        time.sleep(EVERY)
    console.result(trials=[asdict(each) for each in found])


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
    from jobgen.sweep.spec import load_sweep, told
    from jobgen.sweep.study import existing_study

    console.json_output = json_output
    sweep = load_sweep(path)
    study = existing_study(sweep, storage)
    found = best_groups(sweep, study.get_trials(deepcopy=False))
    if not found:
        raise RunError("no trial has ended with a value yet", f"jobgen sweep status {shown(path)}")
    if goal is not None and goal.exists():
        raise SpecError(f"{goal} is there already", "Give another file, or remove it first.")
    group = found[0]
    if group.over:
        raise RunError(
            f"all of {len(found)} combinations cost more than at_most of {path} allows",
            f"jobgen sweep status {shown(path)} shows by how much.",
        )
    console.result(params=group.params, mean=group.mean, spread=group.spread, seeds=group.seeds,
                   job=None if goal is None else str(goal))  # fmt: skip
    for place, value in group.params.items():
        console.verbatim(f"{place}: {value}")
    name = sweep.spec.objectives[0]
    console.data(f"{name} {group.mean:.4g} on average of {len(group.values)} run(s), "
                 f"{group.spread:.3g} from the lowest to the highest")  # fmt: skip
    if group.cut:
        console.say(f"{len(group.cut)} more were ended early: only its lucky seeds were measured. "
                    "confirm: 3 in sweep.yaml runs the best to their end.")  # fmt: skip
    if len(sweep.spec.objectives) > 1:
        console.say(f"It is the one with the best {name} of those that no other beats in both. "
                    f"All of these: jobgen sweep status {shown(path)}")  # fmt: skip
    sweep = told(sweep, study.user_attrs.get("parameters"))
    for parameter, value in sweep.parameters:
        console.say(f"Its trials had -p {parameter} {value}, which no job.yaml holds.")
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
    from jobgen.sweep.study import existing_study

    sweep = load_sweep(path)
    study = existing_study(sweep, storage)
    goal = output or sweep.folder / "page.html"
    write_atomically(goal, sweep_page(sweep, study).encode())
    console.data(f"page: {goal}")
