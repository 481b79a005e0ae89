"""`jobgen upload`: a data set into a repository of AI Studio."""

from __future__ import annotations

from pathlib import Path

import click

from jobgen.cli import options
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen upload ssdd.zip USER/ssdd
"""


@click.command(epilog=EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("repository", metavar="USER/NAME")
@click.option("--no-check", is_flag=True, help="Upload it even where jobgen check finds errors.")
@options.json_output
@click.pass_obj
def command(
    console: Console, data: Path, repository: str, no_check: bool, json_output: bool
) -> None:
    """Put DATA, a zip or tar, into a data set repository that you made on AI Studio.

    It is checked first as jobgen check does. Call again where it broke off: parts that are
    there are not sent again. What arrived is compared by its SHA-256.
    """
    from jobgen.catalog import platform
    from jobgen.errors import DatasetError
    from jobgen.remote.repository import LocalFile, Repository, repository_name
    from jobgen.remote.token import find_token
    from jobgen.settings import load_settings

    console.json_output = json_output
    name = repository_name(repository)
    if not data.is_file():
        raise DatasetError(f"{data} is no file", "Give the zip or tar with the data.")
    if not no_check:
        refuse_errors(console, data)
    settings = load_settings()
    token = find_token()
    file = LocalFile.read(data, console.progress())
    place = Repository(
        settings.aistudio_git or platform().git_address, name, token, settings.cache / "uploads"
    )
    try:
        was_new = place.put(file, data.name, f"Add {data.name}", console.progress())
    finally:
        place.close()
    console.result(repository=name, file=data.name, sha256=file.sha256, uploaded=was_new)
    state = "uploaded" if was_new else "there already"
    console.data(f"{name}/{data.name}  {file.size:,} bytes, {state}, SHA-256 {file.sha256}")
    console.say(
        f"In job.yaml it is `archive: {data.name}`. The data set's number is in the address of its "
        "page on AI Studio: jobgen submit takes it by --dataset, job.yaml as `id:`."
    )


def refuse_errors(console: Console, data: Path) -> None:
    """Say what the rules find in the data; exit code 1 at an error."""
    from jobgen.check.rules import chosen_rules
    from jobgen.check.whole import check_whole

    findings = check_whole(data, chosen_rules(), progress=console.progress()).findings
    if findings.errors:
        console.say(findings.text())
        console.say("Nothing was uploaded; to upload it all the same: --no-check")
        raise click.exceptions.Exit(1)
