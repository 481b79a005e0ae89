"""Options that several commands have."""

from __future__ import annotations

import click

json_output = click.option(
    "--json", "json_output", is_flag=True, help="Answer in JSON, for programs."
)
language = click.option(
    "--language",
    type=click.Choice(["zh", "en"]),
    default="zh",
    show_default=True,
    help="Language of the notebook's text.",
)
