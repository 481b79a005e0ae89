"""`jobgen dataset tile`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.files import shown


@click.command(
    epilog="\b\nExamples:\n  jobgen dataset tile scenes.zip tiles.zip --size 640\n"
    "  jobgen dataset tile scenes.zip tiles.zip --size 512 --overlap 0.3 --empty 0.5\n"
)
@options.source
@options.target
@click.option("--size", type=click.IntRange(64, 4096), default=640, show_default=True,
              help="Side of a tile in pixels; best the model's input size.")  # fmt: skip
@click.option("--overlap", type=click.FloatRange(0, 0.8), default=0.2, show_default=True,
              help="Share of a tile that the next one shows again.")  # fmt: skip
@click.option("--keep", type=click.FloatRange(0.01, 1), default=0.4, show_default=True,
              help="Share of a box that a tile must show to have it.")  # fmt: skip
@click.option("--empty", type=click.FloatRange(0, 100), default=0.1, show_default=True,
              help="Tiles without a box, as a share of those with one.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True,
              help="Another number keeps other empty tiles.")  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(1, 256), help="How many work.  [default: all cores]"
)
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def tile(
    console: Console, /, source: Path, target: Path, processes: int | None, pick: int | None,
    columns: dict[str, str], json_output: bool, **given: Any,
) -> None:  # fmt: skip
    """Write TARGET, a zip of the set SOURCE with its pictures cut into tiles, in COCO.

    For small objects in large pictures, which vanish when a whole picture is made as small as the
    model's input. What a model finds in whole pictures is then measured tile by tile:
    jobgen evaluate --tiles. A command that was killed resumes where it was.
    """
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.found import job_word
    from jobgen.datasets.look import look
    from jobgen.datasets.tile import Tiling
    from jobgen.datasets.tile import tile as cut

    console.json_output = json_output
    progress = console.progress()
    data = look(source, pick, progress, open_contents(source, columns))
    made = cut(data, [source], target, Tiling(**given), processes or os.cpu_count() or 1, progress)
    splits = {job_word(name): asdict(found) for name, found in made.items()}
    console.result(target=str(target), splits=splits)
    for name, found in made.items():
        console.data(
            f"{job_word(name)}: {found.pictures:,} pictures, {found.boxes:,} boxes -> "
            f"{found.tiles:,} tiles, {found.tile_boxes:,} boxes ({found.cut:,} of them cut, "
            f"{found.lost:,} boxes in no tile)"
        )
    size, overlap = given["size"], given["overlap"]
    console.say(f"Next: jobgen init NAME --archive {shown(target)}")
    console.say(
        f"After training: jobgen evaluate OUTPUT --archive {shown(source)} --tiles {size} "
        f"--overlap {overlap:g}"
    )
