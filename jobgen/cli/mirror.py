"""`jobgen mirror`: fetch beforehand what a job needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console
from jobgen.target import job_of

EXAMPLES = """\b
Examples:
  jobgen mirror add bundles/ssdd/job.yaml
  jobgen mirror add bundles/ssdd/job.yaml --from /media/stick
  jobgen mirror list
"""


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Fetch beforehand what a run of a job needs, for a machine that has no network later."""


@command.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--gpu", is_flag=True, help="The environment with CUDA (about 6 GB).")
@options.paddle_index
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with wheels, weights and PaddleDetection.git (or PaddleClas.git) instead of the "
    "network.",
)
@options.json_output
@click.pass_obj
def add(
    console: Console,
    job: Path,
    gpu: bool,
    paddle_index: str | None,
    given: Path | None,
    json_output: bool,
) -> None:
    """Fetch the Python environment, the suite and the weights that JOB needs, and show that
    Paddle imports. Afterwards: jobgen run --offline."""
    from jobgen.machine.cache import fetch
    from jobgen.settings import load_settings

    console.json_output = json_output
    settings = load_settings(paddle_index=paddle_index)
    rows = fetch(needs_of(job, gpu, settings.paddle_index), settings.cache, given, console.say)
    console.result(fetched=rows)
    console.data("\n".join(rows))


def needs_of(job: Path, gpu: bool, paddle_index: str = "") -> Any:
    from jobgen.job.tasks import plan_any
    from jobgen.machine.cache import Needs
    from jobgen.packs.render import load_job_pack
    from jobgen.spec import load_any

    job = job_of(job)
    spec, document = load_any(job)
    plan = plan_any(spec, document, load_job_pack(spec.template, job.parent))
    weights = plan.pretrained if plan.pretrained.startswith(("http://", "https://")) else ""
    return Needs(plan.environment, weights, gpu, paddle_index)


@command.command("list", epilog="\b\nExample:\n  jobgen mirror list\n")
@options.json_output
@click.pass_obj
def list_(console: Console, json_output: bool) -> None:
    """List the copies of PaddleDetection and PaddleClas, and where each came from."""
    from jobgen.machine.cache import entries
    from jobgen.machine.locks import MARK
    from jobgen.settings import load_settings

    console.json_output = json_output
    found = [e for e in entries(load_settings().cache) if e.kind == "mirrors" and e.whole]
    rows = [
        {"name": e.name, "bytes": e.bytes, "origin": (e.path / MARK).read_text(encoding="utf-8")}
        for e in found
    ]
    console.result(mirrors=rows)
    console.data("\n".join(f"{r['name']}  {r['origin']}" for r in rows) or "none yet")


@command.command(epilog="\b\nExample:\n  jobgen mirror remove paddledetection-v2.6.0\n")
@click.argument("name")
@options.json_output
@click.pass_obj
def remove(console: Console, name: str, json_output: bool) -> None:
    """Remove the copy NAME; the next run makes it anew."""
    from jobgen.errors import RunError
    from jobgen.machine.cache import entries
    from jobgen.machine.cache import remove as take_out
    from jobgen.settings import load_settings

    console.json_output = json_output
    found = [e for e in entries(load_settings().cache) if e.kind == "mirrors"]
    chosen = [e for e in found if e.name == name]
    if not chosen:
        known = ", ".join(e.name for e in found) or "none"
        raise RunError(f"there is no mirror {name}", f"There are: {known}")
    take_out(chosen[0])
    console.result(removed=name)
    console.data(f"removed {name}")
