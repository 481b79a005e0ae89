"""`jobgen build`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.bundle import Bundle

EXAMPLES = """\b
Examples:
  jobgen build bundles/ssdd/job.yaml
  jobgen build bundles/ssdd/job.yaml --check
"""


@click.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the three files [default: upload/ beside the job].",
)
@click.option("--check", is_flag=True, help="Compare only; exit 1 if the files are not current.")
@options.json_output
@click.pass_obj
def command(
    console: Console, job: Path, output: Path | None, check: bool, json_output: bool
) -> None:
    """Render JOB (a job.yaml) into the three files of a background job."""
    from jobgen.bundle import compare_bundle, write_bundle

    console.json_output = json_output
    bundle = build_bundle(job)
    folder = output or job.parent / "upload"
    if check:
        differences = compare_bundle(bundle, folder)
        console.result(current=not differences, folder=str(folder), differences=differences)
        console.data("\n".join(differences) or f"{folder} is current ({bundle.digest[:12]})")
        if differences:
            raise click.exceptions.Exit(1)
        return
    changed = write_bundle(bundle, folder)
    trust(bundle)
    console.result(
        folder=str(folder), files=sorted(bundle.files), changed=changed, digest=bundle.digest
    )
    for name, data in bundle.files.items():
        state = "written" if name in changed else "unchanged"
        console.data(f"{folder / name}  {len(data):,} bytes, {state}")
    console.say(_next_steps(folder, bundle))


def build_bundle(job: Path) -> Bundle:
    """The bundle of a job.yaml, in memory."""
    from jobgen.build import render
    from jobgen.plan import make_plan
    from jobgen.spec import load_spec
    from jobgen.templates import find_pack, load_pack

    spec, document = load_spec(job)
    return render(make_plan(spec, document), load_pack(find_pack(spec.template, job.parent)))


def trust(bundle: Bundle) -> None:
    """Remember that this machine built the bundle: `run` need not ask then."""
    from jobgen.files import write_atomically
    from jobgen.settings import load_settings

    mark = load_settings().cache / "trusted" / bundle.digest
    # A bundle that could not be remembered is only asked about.
    with contextlib.suppress(OSError):
        write_atomically(mark, b"")


def _next_steps(folder: Path, bundle: Bundle) -> str:
    sources = bundle.facts["spec"]["dataset"]["sources"]
    archives = " ".join(f"--archive {s['archive'] or s['folder']}" for s in sources)
    return (
        "Next: try it here with\n"
        f"  jobgen run {folder} {archives} --device cpu --smoke\n"
        "then upload the three files to the project's top folder on AI Studio, save a version, "
        "and start\na background task of that version with main.ipynb."
    )
