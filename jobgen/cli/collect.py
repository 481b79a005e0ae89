"""`jobgen collect`: is what was downloaded what was promised?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen collect output.zip
  jobgen collect output/ --run
"""


@click.command(epilog=EXAMPLES)
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--folder",
    type=click.Path(path_type=Path),
    help="Where a zip is unpacked.  [default: a folder of its name beside it]",
)
@click.option(
    "--run/--no-run",
    default=False,
    help="Also let the exported model look at a picture, where its operators only compute.  "
    "[default: --no-run]",
)
@options.json_output
@click.pass_obj
def command(
    console: Console, output: Path, folder: Path | None, run: bool, json_output: bool
) -> None:
    """See whether OUTPUT, a folder or the zip that AI Studio gives, is what its job promised.

    Every file by size and SHA-256, weights that load and run no code, the curve, each stage's
    results; with --run an exported model that runs. Writes report.html. Exit code 1 where
    something is missing or torn.
    """
    console.json_output = json_output
    judge(console, output, _unpacked(console, output, folder), run=run)


def judge(console: Console, output: Path, place: Path, *, run: bool) -> None:
    """Say of every run in `place`, the output as it was unpacked, what is missing or torn."""
    from jobgen.report.exported import exported
    from jobgen.report.promise import broken_promises
    from jobgen.report.read import record_of
    from jobgen.resultfile import RESULT
    from jobgen.run.output import no_result
    from jobgen.settings import load_settings

    found = [record_of(file.parent, writable=True) for file in sorted(place.rglob(RESULT))]
    results = {Path(record.folder): record.result for record in found if record is not None}
    if not results:
        raise no_result(output)
    rows = []
    for where, result in results.items():
        faults = broken_promises(where, result)
        told = "not exported"
        if exported(where):
            told = "not run (--run lets it look at a picture)"
            if run:
                told, fault = _try(where, result, load_settings().cache)
                faults += [fault] if fault else []
        _keep(where, result)
        rows.append({"folder": str(where), "status": result["status"], "export": told,
                     "faults": faults, "report": str(where / "report.html")})  # fmt: skip
        name = result.get("name") or where.name
        if faults:
            console.data(f"{name}: {len(faults)} fault(s)")
            console.data("\n".join(f"  {fault}" for fault in faults))
        else:
            files = len(result.get("artefacts") or [])
            console.data(f"{name}: all {files} files are there and as promised; export: {told}")
        console.data(f"report: {where / 'report.html'}")
    console.result(outputs=rows)
    if any(row["faults"] for row in rows):
        if any(not is_of_smoke(row) for row in rows if row["faults"]):
            console.say("Download it again; what is still missing then, the job did not make.")
        raise click.exceptions.Exit(1)


def _keep(where: Path, result: dict[str, Any]) -> None:
    """Draw the page, and remember what the run took: it tells how long the next one will take."""
    from jobgen.machine.speeds import remember
    from jobgen.run.verdict import draw_page
    from jobgen.settings import load_settings

    draw_page(where, result)
    remember(load_settings().cache, result)


def is_of_smoke(row: dict[str, Any]) -> bool:
    """Whether all that is wrong with an output is that it is a smoke run's."""
    return row["status"] == "ok-smoke" and len(row["faults"]) == 1


def _unpacked(console: Console, output: Path, folder: Path | None) -> Path:
    from jobgen.datasets.job import stem
    from jobgen.errors import RunError
    from jobgen.run.output import need_result, unpack_output

    if output.is_dir():
        return output
    if not output.is_file():
        raise RunError(f"{output} is not there", "Give an output folder, or its zip.")
    place = folder or output.with_name(stem(output))
    if place == output or (place.is_file()):
        place = output.with_name(output.name + "-unpacked")
    if place.is_dir() and any(place.iterdir()) and not (place / ".jobgen").is_dir():
        raise RunError(f"{place} is there already", "Give another folder: -o DIR")
    need_result(output)
    unpack_output(output, place)
    console.say(f"unpacked into {place}")
    return place


def _try(where: Path, result: dict[str, object], cache: Path) -> tuple[str, str | None]:
    """What became of the exported model, in a word or two, and its fault."""
    from jobgen.errors import RunError
    from jobgen.report.exported import run_exported

    try:
        fault = run_exported(where, result, cache)
    except RunError as error:
        return f"not run ({error.message})", None
    return ("runs", None) if fault is None else ("does not run", fault)
