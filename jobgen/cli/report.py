"""`jobgen report`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.target import JOB, NOTEBOOK_ENDING, job_of, upload_of

if TYPE_CHECKING:
    from jobgen_runtime.record.measured import RunRecord

EXAMPLES = """\b
Examples:
  jobgen report runs/ssdd-1104-093000
  jobgen report bundles/ssdd/job.yaml
  jobgen report output.zip --png curves.png
  jobgen report runs/* -o comparison.html
"""


@click.command(epilog=EXAMPLES)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write the page; by default report.html beside the result, or here for several.",
)
@click.option(
    "--png", type=click.Path(path_type=Path), help="Also write the curves alone as a picture."
)
@click.option(
    "--runs",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder for runs, where a job's newest run is looked for.",
)
@click.option("--language", type=click.Choice(["zh", "en"]), help="By default the job's own.")
@options.json_output
@click.pass_obj
def command(
    console: Console,
    runs: tuple[Path, ...],
    output: Path | None,
    png: Path | None,
    folder: Path,
    language: str | None,
    json_output: bool,
) -> None:
    """Make one page of what RUNS left: a run's folder, an output folder, or a job's zip.

    A job.yaml, its folder or its upload stands for the newest run of that job.
    Several results become a comparison with their curves over one another. A run that still
    says it is running, and is not, is told as interrupted.
    """
    from jobgen.errors import RunError
    from jobgen.files import write_atomically
    from jobgen.report.comparison import with_own_titles
    from jobgen.report.png import curves_png
    from jobgen.report.read import read_records

    console.json_output = json_output
    runs = tuple(_run_of(path, folder) for path in runs)
    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        records = []
        for number, path in enumerate(runs):
            try:
                records += read_records(path, Path(spare) / str(number))
            except RunError as error:
                # Of several, as in runs/*, one may have ended before it began.
                if len(runs) == 1 or (number == len(runs) - 1 and not records):
                    raise
                console.say(f"left out: {error.message}")
        records = with_own_titles(records)
        language = language or str(records[-1].result.get("language", "en"))
        goal = output or _beside(runs, records[0].folder, len(records))
        write_atomically(goal, page_of(records, language).encode())
        if png is not None:
            write_atomically(png, curves_png(records))
    rows = [_row(record) for record in records]
    console.result(report=str(goal), png=None if png is None else str(png), runs=rows)
    for row in rows:
        figure = f"  {row['figure']}" if row["figure"] else ""
        said = f"  {row['message']}" if row["message"] else ""
        console.data(f"{row['name']}  {row['status']}{figure}{said}")
        if row["remedy"]:
            console.data(f"  {row['remedy']}")
    console.data(f"report: {goal}")
    if png is not None:
        console.data(f"curves: {png}")


def page_of(records: list[RunRecord], language: str) -> str:
    """The page of one run, or of several side by side."""
    from jobgen.report.comparison import comparison_page
    from jobgen.run.page import report_page

    alone = len(records) == 1
    return report_page(records[0], language) if alone else comparison_page(records, language)


def _row(record: RunRecord) -> dict[str, Any]:
    """What the answer says of one run."""
    from jobgen_runtime.record.figures import figure_text

    best = (record.result.get("metrics") or {}).get("best") or {}
    failure = record.result.get("failure") or {}
    return {
        "name": record.title,
        "status": record.result.get("status"),
        "mAP50": best.get("mAP50"),
        "top1": best.get("top1"),
        "figure": figure_text(best),
        "message": failure.get("message"),
        "remedy": failure.get("remedy"),
    }


def _run_of(path: Path, folder: Path) -> Path:
    """A run as it is; for a job the newest of its runs in `folder`. Raises JobgenError."""
    from jobgen.job.bundle import NOTEBOOK, read_bundle
    from jobgen.resultfile import RESULT
    from jobgen.run.workspace import newest_run
    from jobgen.spec import load_any

    job = job_of(path)
    if job.name == JOB and job.is_file():
        return newest_run(folder, load_any(job)[0].name)
    upload = upload_of(path) if path.suffix == NOTEBOOK_ENDING else path
    if upload.is_dir() and (upload / NOTEBOOK).is_file() and not any(upload.rglob(RESULT)):
        return newest_run(folder, read_bundle(upload).name)
    return upload


def _beside(runs: tuple[Path, ...], folder: str, count: int) -> Path:
    """Beside the one result; for several, or a zip, in the current folder."""
    if count > 1:
        return Path("report.html")
    return Path(folder) / "report.html" if runs[0].is_dir() else runs[0].with_suffix(".html")
