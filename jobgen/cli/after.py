"""What `evaluate`, `infer` and `export` share: one stage, on weights that are there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.job.bundle import Bundle
    from jobgen.job.tasks import AnyPlan
    from jobgen.packs.render import Pack

Command = Callable[..., Any]


def shared(command: Command) -> Command:
    """The argument and the options of all three."""
    for option in reversed(
        (
            click.argument("output", type=click.Path(path_type=Path)),
            options.archives,
            click.option(
                "--model",
                help="The model of weights that jobgen did not train.  [default: by name]",
            ),
            click.option("--environment", help="The versions to do it with.  [default: the job's]"),
            click.option(
                "--device",
                type=click.Choice(["gpu", "cpu"]),
                default="cpu",
                show_default=True,
                help="What computes.",
            ),
            click.option(
                "--python",
                type=click.Path(path_type=Path),
                help="A Python that has Paddle, instead of the managed one.",
            ),
            click.option("--mirror", help="A git copy of the suite to clone from."),
            click.option(
                "--runs",
                type=click.Path(path_type=Path),
                default=Path("runs"),
                show_default=True,
                help="Folder for runs.",
            ),
            click.option(
                "-o",
                "--output",
                "goal",
                type=click.Path(path_type=Path),
                help="A new folder for what it makes.  [default: in the run]",
            ),
            options.json_output,
        )
    ):
        command = option(command)
    return command


def in_tiles(command: Command) -> Command:
    """The options of those that can read images tile by tile."""
    size = click.option(
        "--tiles",
        type=click.IntRange(64, 4096),
        metavar="SIZE",
        help="Read larger images in tiles of this side in pixels.  [default: the job's]",
    )
    overlap = click.option(
        "--overlap",
        type=click.FloatRange(0, 0.8),
        default=0.2,
        show_default=True,
        help="Share of a tile that the next one shows again.",
    )
    return size(overlap(command))


def known_best(result: dict[str, Any]) -> dict[str, float]:
    """The best F1 of a result and its threshold; empty where it has none that can be meant."""
    metrics = result.get("metrics")
    best = metrics.get("best_f1") if isinstance(metrics, dict) else None
    if not isinstance(best, dict) or not all(isinstance(v, float) for v in best.values()):
        return {}
    return best if 0 < best.get("threshold", 0) < 1 else {}


def run_stage(
    console: Console,
    stage: str,
    given: dict[str, Any],
    change: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda spec, _best: spec,
    more: Callable[..., dict[str, Any]] = lambda *_: {},
) -> Path:
    """Build the job that the weights are of with just this stage after training, and run it here
    without training; gives the folder of what it made. `change` gets the job and what is known of
    the weights' best F1, to set what the stage takes; `more` the plan, the weights' own result,
    and a good run's output folder and result."""
    from jobgen.catalog import SUITES
    from jobgen.cli.build import trust
    from jobgen.cli.run import show_run
    from jobgen.run.local import RunRequest
    from jobgen.run.output import job_of, open_output
    from jobgen.settings import load_settings
    from jobgen_runtime.record.collect import STAGE_FOLDERS

    console.json_output, goal = given["json_output"], given["goal"]
    archives = list(given["archives"])
    _check_paths(given)
    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        output = open_output(given["output"], Path(spare))
        spec, _ = job_of(output, archives, given["model"], given["environment"])
        values = {**spec.model_dump(mode="json"), "stages": [stage]}
        values, archives = _with_options(console, values, given, Path(spare))
        built_in = SUITES[spec.task]
        if spec.template != built_in:
            # Its pack may lie elsewhere, and nothing that it adds is wanted here.
            console.say(f"the stage is the built-in pack's, not that of {spec.template}")
            values.update(template=built_in, parameters={})
        values = change(values, known_best(output.result))
        plan, bundle, pack = _rendered(values, f"the options of jobgen {stage}")
        trust(console, bundle, pack)
        smoke = ", of a smoke run" if output.result.get("smoke") else ""
        console.say(f"{stage}: {output.weights}{smoke}, {plan.model.name}")
        request = RunRequest(
            bundle, archives, given["runs"], given["device"], python=given["python"], fresh=True,
            parameters={"TRAINED_WEIGHTS": str(output.weights.absolute())},
        )  # fmt: skip
        then = partial(more, plan, output.result)
        made = show_run(console, request, load_settings(mirror=given["mirror"]), then)
        made = made / STAGE_FOLDERS[stage]
        made = made if goal is None else copied(made, goal)
        console.say(f"{stage}: {made}")
        return made


def _check_paths(given: dict[str, Any]) -> None:
    from jobgen.errors import RunError

    goal = given["goal"]
    if goal is not None and goal.exists():
        raise RunError(f"{goal} is there already", "Give another folder, or remove it first.")
    if not given["archives"] and given.get("images") is None:
        raise click.UsageError("give the data set: --archive FILE")


def _with_options(
    console: Console, job: dict[str, Any], given: dict[str, Any], spare: Path
) -> tuple[dict[str, Any], list[Path]]:
    """A job as the options have it, and the sources of its data."""
    from jobgen.run.output import with_data
    from jobgen.run.unlabelled import with_images

    archives = list(given["archives"])
    if job["task"] != "detection":
        if given.get("tiles") or given.get("split") or given.get("images"):
            raise click.UsageError("--tiles, --split and --images are for detection")
        return job, archives
    if given.get("images") is not None:
        job, archives, _ = with_images(job, given["images"], spare, console.progress())
    else:
        job = with_data(job, archives, given.get("split") or "eval")
    if given.get("tiles"):
        job = {**job, "tiles": {"size": given["tiles"], "overlap": given["overlap"]}}
    return job, archives


def _rendered(job: dict[str, Any], source: str) -> tuple[AnyPlan, Bundle, Pack]:
    """The bundle of a job that is in no file; `source` is what its errors name."""
    from jobgen.job.build import render
    from jobgen.job.tasks import plan_any
    from jobgen.packs.disk import find_pack
    from jobgen.packs.render import load_pack
    from jobgen.spec import parse_any
    from jobgen.yamlio import load

    spec, document = parse_any(load(json.dumps(job, ensure_ascii=False), source))
    pack = load_pack(find_pack(spec.template))
    plan = plan_any(spec, document, pack)
    return plan, render(plan, pack), pack


def copied(made: Path, goal: Path) -> Path:
    """A whole copy under the name `goal`, or nothing there."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jobgen-", dir=goal.parent) as spare:
        shutil.copytree(made, Path(spare) / goal.name)
        (Path(spare) / goal.name).rename(goal)
    return goal
