"""`jobgen fetch`: a job's output, whole, and what it is worth."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.collect import judge
from jobgen.cli.console import Console

LONGEST_NAME = 100
EXAMPLES = """\b
Examples:
  jobgen fetch bundles/ssdd
  jobgen fetch 12345 -o output
"""


@click.command(epilog=EXAMPLES)
@shared.job
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the files.  [default: fetched/ and the job's name]")  # fmt: skip
@options.json_output
@click.pass_obj
def command(console: Console, job: str, folder: Path | None, json_output: bool) -> None:
    """Bring what a job on AI Studio has left here, and see whether it is what was promised.

    Each file is checked by size and MD5. Call again where it broke off: only what is missing
    comes. Of a job that runs, what is there so far. Then as jobgen collect: exit code 1 where
    something is missing or torn.
    """
    from jobgen.errors import RemoteError, RunError
    from jobgen.remote.fetching import Place, fetch
    from jobgen.remote.wire import Refused
    from jobgen.resultfile import RESULT

    console.json_output = json_output
    with shared.connected() as jobs:
        found = jobs.one(shared.id_of(console, job))
        place = folder or Path("fetched") / safe_name(found.name or found.id)
        page = jobs.page(found.id)
        with shared.output_of(jobs, found.id) as output:
            mark = Place(place, jobs.wire.address, found.id)
            try:
                files, left_out = fetch(output, mark, console.progress())
            except Refused as error:
                raise Refused(error.message, f"The job's own page: {page}", error.code) from error
    if not files and not left_out:
        if found.ended:
            raise RemoteError(f"{found.id} left nothing ({found.stage})", f"Its own log: {page}")
        raise RemoteError(
            f"{found.id} has left nothing yet ({found.stage})",
            f"Wait for it: jobgen wait {found.id}; its own log: {page}",
        )
    console.say(f"{len(files)} files in {place}")
    for name, why in left_out.items():
        console.say(f"left out: {name}: {why}")
    if left_out:
        console.say("Fetch again to try these once more, once the job has ended."
                    if not found.ended else f"Take these from the job's page: {page}")  # fmt: skip
    if not found.ended:
        console.say(f"The job has not ended ({found.stage}): this is what was there.")
    if not any(PurePosixPath(name).name == RESULT for name in files):
        raise RunError(
            f"the job left no {RESULT}: its run did not begin, or has not yet",
            f"AI Studio's own log says why: {page}",
        )
    judge(console, place, place, run=False)
    if left_out and found.ended:
        raise click.exceptions.Exit(1)


def safe_name(name: str) -> str:
    """A job's name as that of a folder."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return kept.strip(".")[:LONGEST_NAME] or "job"
