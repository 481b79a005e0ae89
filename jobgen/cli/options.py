"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

COLUMNS = ("image", "label", "x1", "y1", "x2", "y2", "x", "y", "cx", "cy", "w", "h", "bbox",
           "width", "height", "split")  # fmt: skip


def _columns(value: str | None) -> dict[str, str]:
    found = {}
    for pair in (value or "").split(",") if value else ():
        what, equals, name = pair.partition("=")
        if not equals or not name.strip() or what.strip() not in COLUMNS:
            raise click.BadParameter(f"{pair!r}: give {' '.join(COLUMNS)}, each as WHAT=NAME")
        found[what.strip()] = name.strip()
    return found


json_output = click.option(
    "--json", "json_output", is_flag=True, help="Answer in JSON, for programs."
)
source = click.argument("source", type=click.Path(path_type=Path))
target = click.argument("target", type=click.Path(path_type=Path))
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
columns = click.option(
    "--columns",
    metavar="WHAT=NAME,...",
    callback=lambda _ctx, _param, value: _columns(value),
    help="Which column of a CSV is what: image, label, and x1,y1,x2,y2 or x,y,w,h or cx,cy,w,h or "
    "bbox; width, height and split where it has them.",
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
