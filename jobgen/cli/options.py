"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

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
pick = click.option(
    "--pick",
    type=click.IntRange(1),
    metavar="N",
    help="Which data set, where PATH holds several.",
)
paddle_index = click.option(
    "--paddle-index",
    metavar="URL",
    help="A package index with builds of Paddle with CUDA; empty: PyPI.",
)
archives = click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The data: a zip or tar file as it lies on AI Studio, or an unpacked folder; "
    "once for each source.",
)
