"""`jobgen publish`: a model into a repository of AI Studio."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli import remote as shared
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.remote.card import Model
    from jobgen.remote.repository import Repository

EXAMPLES = """\b
Examples:
  jobgen publish output.zip USER/ssdd-detector
  jobgen publish ssdd-model USER/ssdd-detector --public
"""


@click.command(epilog=EXAMPLES)
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("repository", metavar="USER/NAME")
@click.option("--public/--private", default=False, show_default="--private",
              help="Who sees a repository that is made now.")  # fmt: skip
@click.option("--no-check", is_flag=True, help="Publish even a smoke run's or a failed run's.")
@shared.yes
@options.json_output
@click.pass_obj
def command(
    console: Console,
    output: Path,
    repository: str,
    public: bool,
    no_check: bool,
    yes: bool,
    json_output: bool,
) -> None:
    """Put the model in OUTPUT, a run's output or a folder of jobgen export, into a model
    repository of yours, with its card as README.md.

    The repository is made where it is not there. Files that it has already are not sent again.
    """
    from jobgen.catalog import platform
    from jobgen.errors import RunError
    from jobgen.remote.card import find_model
    from jobgen.remote.repository import Repository, add_model, repository_name
    from jobgen.remote.token import find_token
    from jobgen.settings import load_settings

    console.json_output = json_output
    name = repository_name(repository)
    spare = tempfile.TemporaryDirectory(prefix="jobgen-", ignore_cleanup_errors=True)
    model = find_model(output, Path(click.get_current_context().with_resource(spare)))
    if not (model.good or no_check):
        raise RunError(
            f"the run in {output} is no good one: others would take its model for trained",
            "To publish it all the same: --no-check",
        )
    settings, token = load_settings(), find_token()
    place = Repository(
        settings.aistudio_git or platform().git_address, name, token, settings.cache / "uploads"
    )
    try:
        is_there = place.exists()
        ask(console, model, name, as_it_is=is_there, public=public, yes=yes)
        if not is_there:
            address = settings.aistudio or platform().address
            add_model(address, token, name, private=not public, card=model.summary)
            need_made(place, name)
        order, sent = send(console, place, model)
    finally:
        place.close()
    console.result(repository=name, files=order, uploaded=sent)
    console.data(f"{name}: {len(sent)} of {len(order)} files uploaded, the others were there")


def need_made(place: Repository, name: str) -> None:
    """Raise RemoteError where a new repository is not under the name that was given: AI Studio
    makes it under the token's own user."""
    from jobgen.errors import RemoteError

    if not place.exists():
        user, _, own = name.partition("/")
        raise RemoteError(
            f"a repository {own} was made, and not under the user {user}",
            "Give your own user name on AI Studio before the slash.",
        )


def ask(
    console: Console, model: Model, name: str, *, as_it_is: bool, public: bool, yes: bool
) -> None:
    """Show what would be published. Raises RemoteError where nobody agrees."""
    from jobgen.errors import RemoteError

    size = sum(path.stat().st_size for path in model.files.values())
    for path in sorted(model.files):
        console.say(f"  {path}")
    sees = "everybody sees it" if public else "only you see it"
    if as_it_is:
        sees = "it is as visible as before"
    question = f"Put these {len(model.files)} files ({size / 1e6:.1f} MB) into {name}; {sees}?"
    if not console.confirmed(question, yes):
        raise RemoteError("nothing was published", "To agree without being asked: --yes")


def send(console: Console, place: Repository, model: Model) -> tuple[list[str], list[str]]:
    """Upload the files, the page last: what it speaks of is there then. All, and those that were
    sent."""
    from jobgen.remote.repository import LocalFile

    told = console.progress()
    order = sorted(model.files, key=lambda path: (path == "README.md", path))
    sent = []
    for path in order:
        if place.put(LocalFile.read(model.files[path], told), path, f"Add {path}", told):
            sent.append(path)
    return order, sent
