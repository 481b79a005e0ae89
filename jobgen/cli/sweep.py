"""`jobgen sweep`: which values are best for this data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console
from jobgen.cli.sweep_run import (
    Order,
    before_first_trial,
    ended_by_signal,
    say_what_waits,
    take_trials,
    together,
    words_of_trials,
)
from jobgen.cli.sweep_tables import summary, trials_table

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
# So many looks in a row at trials that wait while none runs, until nobody is taken to be at work.
IDLE = 15


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Try many values of a job, and say which are best for its data."""


def sweep_argument(command: Any) -> Any:
    return click.argument("path", metavar="SWEEP", type=click.Path(path_type=Path))(command)


def storage_option(command: Any) -> Any:
    return click.option(
        "--storage", metavar="URL", envvar="JOBGEN_STORAGE",
        callback=lambda _context, _option, value: value or None,
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
    from jobgen.sweep.retry import retry_broken_off, retry_failed
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.storage import keep_address
    from jobgen.sweep.study import count, open_study

    sweep = load_sweep(path, parameters)
    here = where == "here"
    own = words_of_trials(parameters, python if here else None, mirror if here else None, datasets)
    order = Order(where, device if here else "", archives, workers, storage, own,
                  load_settings().cache)  # fmt: skip
    if worker == 0:
        before_first_trial(console, sweep, order, dry_run)
        if dry_run:
            console.say("Nothing was run.")
            return
    study = open_study(sweep, storage, worker)
    if worker:
        with ended_by_signal():
            take_trials(console, sweep, study, order)
        return
    keep_address(sweep, storage)
    retry_broken_off(study)
    if again:
        console.say(f"{retry_failed(study)} trials are tried again")
    with ended_by_signal():
        if workers > 1:
            together(console, path, order)
        else:
            take_trials(console, sweep, study, order)
    trials = study.get_trials(deepcopy=False)
    summary(console, sweep, trials)
    say_what_waits(console, sweep, count(trials).waiting)
    if not count(trials).done:
        raise click.exceptions.Exit(7)


@command.command(epilog="\b\nExamples:\n  jobgen sweep status sweep.yaml\n")
@sweep_argument
@storage_option
@options.json_output
@click.pass_obj
def status(console: Console, path: Path, storage: str | None, json_output: bool) -> None:
    """Show what became of the trials so far, and the best of them."""
    from dataclasses import asdict

    from jobgen.sweep.ranking import best_groups, front
    from jobgen.sweep.rows import read_rows
    from jobgen.sweep.spec import load_sweep
    from jobgen.sweep.study import count

    console.json_output = json_output
    sweep = load_sweep(path)
    trials = read_rows(sweep, storage)
    found = best_groups(sweep, trials)
    first = {id(group) for group in front(sweep, found)}
    rows = [
        {"params": group.params, "mean": group.mean, "spread": group.spread,
         "values": group.values, "seeds": group.seeds, "trials": group.numbers,
         "others": group.others, "costs": {name: group.cost(name) for name in group.costs},
         "over": group.over, "front": id(group) in first}
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
    before, idle = "", 0
    while True:
        found = standings(sweep, read_rows(sweep, storage, steps=True))
        text = trials_table(sweep, found)
        if text != before:
            if follow and console.live():
                click.clear()
            console.verbatim(text)
            before = text
        states = [each.state for each in found]
        idle = 0 if "running" in states else idle + 1
        if not follow or not ({"running", "waiting"} & set(states)):
            break
        if idle > IDLE:
            console.say(f"Nobody is at work on the {states.count('waiting')} trials that wait.")
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
    from jobgen.sweep.figures import value_text
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
    sweep = told(sweep, study.user_attrs.get("parameters"))
    if goal is not None:
        write_atomically(goal, best_job(sweep, found, goal).encode())
    console.result(params=group.params, mean=group.mean, spread=group.spread, seeds=group.seeds,
                   job=None if goal is None else str(goal))  # fmt: skip
    for place, value in group.params.items():
        console.verbatim(f"{place}: {value_text(value)}")
    name = sweep.spec.objectives[0]
    console.data(f"{name} {group.mean:.4g} on average of {len(group.values)} run(s), "
                 f"{group.spread:.3g} from the lowest to the highest")  # fmt: skip
    if group.cut:
        console.say(f"{len(group.cut)} more were ended early: only its lucky seeds were measured. "
                    "confirm: 3 in sweep.yaml runs the best to their end.")  # fmt: skip
    if len(sweep.spec.objectives) > 1:
        console.say(f"It is the one with the best {name} of those that no other beats in both. "
                    f"All of these: jobgen sweep status {shown(path)}")  # fmt: skip
    for parameter, value in sweep.parameters:
        console.say(f"Its trials had -p {parameter} {value}, which no job.yaml holds.")
    if goal is not None:
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
