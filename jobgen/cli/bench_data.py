"""`jobgen bench-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.target import job_of

EXAMPLES = """\b
Examples:
  jobgen bench-data bundles/ssdd/job.yaml --archive ssdd.zip
  jobgen bench-data bundles/ssdd/job.yaml --archive ssdd.zip --seconds 20 --json
"""
WAYS = {"as_trained": "as trained", "originals": "pictures themselves"}


@click.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@options.archives
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=600),
    default=5.0,
    show_default=True,
    help="How long each number of processes reads.",
)
@click.option("--mirror", help="A git copy of PaddleDetection to clone from.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder for runs.",
)
@options.json_output
@click.pass_obj
def command(
    console: Console,
    job: Path,
    archives: tuple[Path, ...],
    seconds: float,
    mirror: str | None,
    runs: Path,
    json_output: bool,
) -> None:
    """Measure how fast this machine reads the pictures of JOB (a job.yaml) for training.

    By transform, and with one process after the other; where training reads smaller copies, beside
    the pictures themselves. Says what a card takes, and which of the two waits.
    """
    from jobgen.cli.build import render_job, trust
    from jobgen.errors import RunError, SpecError
    from jobgen.job.plan import Plan
    from jobgen.run.local import RunRequest, run_bundle
    from jobgen.settings import load_settings

    console.json_output = json_output
    job = job_of(job)
    plan, bundle, pack = render_job(job)
    if not isinstance(plan, Plan):
        raise SpecError(
            f"{job}: the reader of a classification is not measured",
            "bench-data is for detection jobs.",
        )
    trust(console, bundle, pack)
    given = {"MEASURE_READER": seconds, "STAGES": []}
    request = RunRequest(bundle, list(archives), runs, "cpu", smoke=True, fresh=True,
                         parameters=given)  # fmt: skip
    settings = load_settings(mirror=mirror)
    workspace, verdict = run_bundle(request, settings, console.say, console.live())
    if not verdict.good or "reading" not in verdict.result:
        console.data("\n".join(verdict.lines(workspace)))
        raise click.exceptions.Exit(RunError.exit_code)
    _show(console, plan, verdict.result["reading"])


def _show(console: Console, plan: Any, reading: dict[str, Any]) -> None:
    from jobgen.cli.table import table
    from jobgen.job.hours import AI_STUDIO, card_speed
    from jobgen_runtime.train.hours import waiting_share

    card = card_speed(plan, AI_STUDIO)
    console.result(reading=reading, card=round(card, 1))
    for way, found in reading.items():
        total = sum(found["steps"].values())
        rows = [(f"  {name}", [f"{ms:.1f} ms", f"{100 * ms / total:.0f} %"])
                for name, ms in found["steps"].items() if ms >= total / 200]  # fmt: skip
        console.data(f"{WAYS[way]}: {total:.1f} ms a picture, one process")
        console.verbatim(table(rows))
        for processes, rate in found["rates"].items():
            share = waiting_share(rate, card)
            waits = f"it waits {100 * share:.0f} % of the time" if share else "it does not wait"
            console.data(f"  {processes} process(es)  {rate:.0f} images/s; of a V100 {waits}")
    console.say(
        f"A V100 takes about {card:.0f} images/s of {plan.model.name}: a stated figure, scaled by "
        "the models' cost."
    )
