"""`jobgen cache`: what is kept for the next run."""

from __future__ import annotations

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen cache list
  jobgen cache clear weights
  jobgen cache clear --all
"""


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Show or clear what jobgen keeps: Python environments, PaddleDetection, weights."""


@command.command("list", epilog="\b\nExample:\n  jobgen cache list --json\n")
@options.json_output
@click.pass_obj
def list_(console: Console, json_output: bool) -> None:
    """List what is in the cache, and how large it is."""
    from jobgen.cli.table import table
    from jobgen.machine.cache import entries
    from jobgen.settings import load_settings

    console.json_output = json_output
    cache = load_settings().cache
    found = entries(cache)
    console.result(
        cache=str(cache),
        entries=[
            {"kind": e.kind, "name": e.name, "bytes": e.bytes, "whole": e.whole} for e in found
        ],
    )
    if found:
        rows = [
            (e.name, [e.kind, megabytes(e.bytes), "" if e.whole else "half made"]) for e in found
        ]
        console.verbatim(table([("what", ["kind", "size", ""]), *rows]))
    total = sum(entry.bytes for entry in found)
    console.data(f"{cache}: {megabytes(total)}")


@command.command(epilog="\b\nExamples:\n  jobgen cache clear envs\n  jobgen cache clear --all\n")
@click.argument("kind", required=False, type=click.Choice(["envs", "mirrors", "weights", "npm"]))
@click.option("--all", "everything", is_flag=True, help="All kinds.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.json_output
@click.pass_obj
def clear(
    console: Console, kind: str | None, everything: bool, dry_run: bool, json_output: bool
) -> None:
    """Remove one KIND of what is kept, or --all. What a run is using stays."""
    from jobgen.machine.cache import entries, remove
    from jobgen.settings import load_settings

    if (kind is None) == (not everything):
        raise click.UsageError("give one of envs, mirrors, weights, npm, or --all")
    console.json_output = json_output
    chosen = [e for e in entries(load_settings().cache) if everything or e.kind == kind]
    for entry in chosen:
        if not dry_run:
            remove(entry)
        console.data(f"{'would remove' if dry_run else 'removed'} {entry.kind}/{entry.name}")
    freed = sum(entry.bytes for entry in chosen)
    console.result(removed=[] if dry_run else [e.name for e in chosen], bytes=freed)
    console.data(f"{megabytes(freed)} {'would be ' if dry_run else ''}freed")


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
