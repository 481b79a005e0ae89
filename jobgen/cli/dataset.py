"""`jobgen dataset`: look at data sets, and make new ones of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import new_sets, options
from jobgen.cli.boundary import Sentences
from jobgen.cli.classes import class_set, draw_class_sheet, inspect_classes
from jobgen.cli.console import Console
from jobgen.language import label, translated

if TYPE_CHECKING:
    from jobgen.datasets.record import DataSet
    from jobgen.datasets.statistics import Statistics

EXAMPLES = """\b
Examples:
  jobgen dataset inspect ships.zip
  jobgen dataset preview ships.zip -o ships.png
  jobgen dataset split all.zip ships.zip
  jobgen dataset convert labels.zip ships.zip
  jobgen dataset classes ships.zip new.zip --merge boat,vessel=ship
"""


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """Look at data sets and make new ones; the given set itself is never changed."""


for _command in new_sets.COMMANDS:
    command.add_command(_command)


@command.command(
    epilog="\b\nExamples:\n  jobgen dataset inspect ships.zip\n"
    "  jobgen dataset inspect ships.zip --html ships.html\n"
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), help="Also write a page with plots.")
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def inspect(
    console: Console, path: Path, html: Path | None, pick: int | None,
    columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Show what PATH (an archive or a folder) holds, and what it means for training."""
    from jobgen.cli.table import table
    from jobgen.datasets.look import look
    from jobgen.datasets.sources import check_output
    from jobgen.datasets.statistics import SIZES, statistics, suggest_model, tiny

    console.json_output = json_output
    if html is not None:
        check_output(html, path, (".html", ".htm"))
    classes, files = class_set(path, console, pick, columns)
    if classes is not None and html is None:
        inspect_classes(console, classes, path)
        return
    data = look(path, pick, console.progress(), files)
    figures = {split.name: statistics(split) for split in data}
    model, why = suggest_model(data)
    rows = figure_rows(data, figures)
    if html is not None:
        from jobgen.check.page import data_page
        from jobgen.files import write_atomically

        write_atomically(html, data_page(data, rows, console.progress()).encode())
        console.say(f"page: {html}")
    console.result(
        format=data.layout.format,
        root=data.layout.root,
        classes=data.classes,
        splits={name: asdict(found) for name, found in figures.items()},
        troubles=len(data.all_troubles),
        suggestion={"model": model, "why": why},
    )
    console.verbatim(table(rows))
    for line in data.losses:
        console.data(line)
    small = tiny(data.train or next(iter(data)), SIZES[-1])
    if small is not None:
        console.data(
            f"Small objects: {small}: jobgen dataset tile {data.contents.given} DST.zip "
            f"--size {small.size}"
        )
    console.data(f"Suggested model: {model}: {why}.")
    console.say(f"Next: jobgen check {data.contents.given}")
    if is_archive(path):
        console.say(f"then: jobgen init NAME --archive {data.contents.given}")


@command.command(
    epilog="\b\nExamples:\n  jobgen dataset preview ships.zip -o ships.png\n"
    "  jobgen dataset preview ships.zip -o ships.png --count 60\n"
    "  jobgen dataset preview ships.zip --class ship --split eval --no-labels\n"
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("preview.png"),
    show_default=True, help="The PNG to write.",
)  # fmt: skip
@click.option("--count", type=click.IntRange(1, 400), default=24, show_default=True,
              help="How many images.")  # fmt: skip
@click.option("--class", "classes", multiple=True, metavar="NAME",
              help="Only images with a box of this class.")  # fmt: skip
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only images of this split.")
@click.option("--finding", "findings", multiple=True, metavar="CODE",
              help="Only images with this finding of jobgen check (DS04).")  # fmt: skip
@click.option("--no-labels", is_flag=True, help="Draw the boxes without their classes.")
@click.option("--font", type=click.Path(path_type=Path), help="A font file for the labels.")
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def preview(
    console: Console, path: Path, output: Path, count: int, classes: tuple[str, ...],
    splits: tuple[str, ...], findings: tuple[str, ...], no_labels: bool, font: Path | None,
    pick: int | None, columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Draw PATH's images with their boxes and labels on one sheet, the faulty ones first.

    Of a classification set, a row of images for each class.
    """
    from jobgen.check.dataset import faulty_images
    from jobgen.datasets.look import look
    from jobgen.datasets.preview import Wanted
    from jobgen.datasets.preview import preview as draw
    from jobgen.datasets.sources import check_output

    console.json_output = json_output
    check_output(output, path, (".png",))
    class_folders, files = class_set(path, console, pick, columns)
    if class_folders is not None:
        draw_class_sheet(console, class_folders, output, count, font)
        return
    codes = [code.upper() for code in findings]
    wanted = Wanted(count, splits, classes, codes, labels=not no_labels)
    progress = console.progress()
    data = look(path, pick, progress, files)
    sheet = draw(data, output, faulty_images(data, progress), wanted, font, progress)
    console.result(output=str(output), **asdict(sheet))
    first = f", {sheet.faulty} with faults first" if sheet.faulty else ""
    console.data(f"{output}: {sheet.images} images{first}")
    for number, name in sheet.numbered.items():
        console.data(f"  {number} = {name}")
    if sheet.numbered:
        console.say("No font here can write these names, so the sheet has numbers: --font FILE")


def is_archive(path: Path) -> bool:
    """Whether init takes it: an archive or a folder, not a lone annotation file."""
    return path.is_dir() or path.suffix.lower() != ".json"


def figure_rows(data: DataSet, splits: Mapping[str, Statistics]) -> list[tuple[str, list[str]]]:
    """The figures of a set as rows of a table, the first one its head."""
    from jobgen.datasets.statistics import PERCENTILES

    spread = "/".join(map(str, PERCENTILES)) + " %"
    all_of = list(splits.values())
    plain = {
        "images": [s.images for s in all_of],
        "boxes": [s.boxes for s in all_of],
        "images without boxes": [s.empty_images for s in all_of],
        "boxes without area": [s.without_area for s in all_of],
        "crowd boxes": [s.crowd for s in all_of],
        **{
            translated(f"class {name}"): [s.classes.get(name, 0) for s in all_of]
            for name in data.classes
        },
    }
    spreads = {
        "image width": [s.image_width for s in all_of],
        "image height": [s.image_height for s in all_of],
        "boxes per image": [s.boxes_per_image for s in all_of],
        "box side in px": [s.box_side for s in all_of],
        "width / height": [s.aspect for s in all_of],
    }
    sizes = [f"{s.small:.0%} / {s.medium:.0%} / {s.large:.0%}" for s in all_of]
    return [
        (translated(f"{data.layout.format}, root {data.layout.root or '(top)'}"), list(splits)),
        *((label(name), [str(count) for count in counts]) for name, counts in plain.items()),
        *(
            (f"{label(name)}, {spread}", list(map(_spread, found)))
            for name, found in spreads.items()
        ),
        (label("small / medium / large"), sizes),
    ]


def _spread(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values) or "-"
