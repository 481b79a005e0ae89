"""`jobgen environments`."""

from __future__ import annotations

import click

from jobgen.cli import options
from jobgen.cli.console import Console

EXAMPLES = "\b\nExamples:\n  jobgen environments\n  jobgen environments paddle2.6 --json\n"


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@options.json_output
@click.pass_obj
def command(console: Console, name: str | None, json_output: bool) -> None:
    """List AI Studio's environments, or those with NAME in their name, and what each gets."""
    from jobgen.catalog import environments
    from jobgen.cli.table import table

    console.json_output = json_output
    chosen = [found for found in environments().values() if (name or "") in found.name]
    if not chosen:
        known = ", ".join(environments())
        raise click.UsageError(f"no environment has {name!r} in its name; there are {known}")
    console.result(
        environments=[
            {
                "name": found.name,
                "paddle": found.paddle,
                "python": found.python,
                "revision": found.revision.name,
                "ref": found.revision.ref,
                "commit": found.revision.commit,
                "addresses": found.urls,
                "packages": found.revision.needs,
                "defects": [
                    {"id": fix["id"], "file": fix["file"], "why": fix["why"]}
                    for fix in found.revision.fixes
                ],
                "local": found.local,
            }
            for found in chosen
        ]
    )
    head = ("environment", ["Paddle", "Python", "PaddleDetection", "runs here", "defects it fixes"])
    rows = [
        (
            found.name,
            [
                found.paddle,
                found.python,
                found.revision.name,
                "yes" if found.local else "no",
                ", ".join(fix["id"] for fix in found.revision.fixes) or "-",
            ],
        )
        for found in chosen
    ]
    console.verbatim(table([head, *rows]))
    if len(chosen) == 1:
        for fix in chosen[0].revision.fixes:
            console.data(f"{fix['id']}  {fix['file']}: {fix['why']}")
