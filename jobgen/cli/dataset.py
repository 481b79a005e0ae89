"""`jobgen dataset`: look at data sets and split them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.datasets.found import FoundSet
    from jobgen.datasets.statistics import Statistics

EXAMPLES = """\b
Examples:
  jobgen dataset inspect ships.zip
  jobgen dataset inspect ships.zip --json
"""


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Look at data sets and split them; the given set itself is never changed."""


@command.command(epilog=EXAMPLES)
@click.argument("path", type=click.Path(path_type=Path))
@options.json_output
@click.pass_obj
def inspect(console: Console, path: Path, json_output: bool) -> None:
    """Show what PATH (an archive or a folder) holds, and what it means for training."""
    from jobgen.datasets.look import look
    from jobgen.datasets.statistics import statistics, suggest_model

    console.json_output = json_output
    found = look(path)
    splits = {name: statistics(getattr(found, name).record) for name in ("train", "eval")}
    model, why = suggest_model(found.train.record)
    console.result(
        format=found.format,
        root=found.root,
        classes=found.classes,
        splits={name: asdict(figures) for name, figures in splits.items()},
        suggestion={"model": model, "why": why},
    )
    console.data(_table(found, splits))
    console.data(f"Suggested model: {model}: {why}.")
    console.say(f"Next: jobgen init NAME --archive {path} --model {model}")


@command.command(
    epilog="\b\nExamples:\n  jobgen dataset split all.zip ships.zip --val 0.2\n"
    "  jobgen dataset split all.zip ships.zip --group '^(scene[0-9]+)_'\n"
)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--val",
    type=click.FloatRange(0.01, 0.9),
    default=0.2,
    show_default=True,
    help="Share of each class's boxes that goes to val.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--group",
    metavar="REGEX",
    help="Images for which it finds the same text in their "
    "file name stay in one split, such as those of one scene or patient.",
)
@options.json_output
@click.pass_obj
def split(
    console: Console, source: Path, target: Path, val: float, seed: int, group: str | None,
    json_output: bool,
) -> None:  # fmt: skip
    """Write TARGET, a zip of the COCO set SOURCE with its one annotation file split in two.

    Images of the same bytes stay together, so that nothing of val is trained on.
    """
    from jobgen.datasets.split import class_counts
    from jobgen.datasets.split import split as split_set
    from jobgen.errors import DatasetError

    console.json_output = json_output
    if target.exists():
        raise DatasetError(f"{target} is there already", "Give another TARGET.")
    plan = split_set(source, target, val, seed, group)
    train, other = class_counts(plan.train), class_counts(plan.val)
    console.result(target=str(target), train=train, val=other, held_together=plan.held_together)
    console.data(
        f"train {len(plan.train['images'])} images, val {len(plan.val['images'])}; "
        f"{plan.held_together} of them in groups that stay together"
    )
    for name, count in train.items():
        console.data(f"class {name}: {count} + {other[name]} boxes")
    console.say(f"Next: jobgen init NAME --archive {target}")


def _table(found: FoundSet, splits: dict[str, Statistics]) -> str:
    from jobgen.datasets.statistics import PERCENTILES

    spread = "/".join(map(str, PERCENTILES)) + " %"
    rows: list[tuple[str, list[str]]] = [
        ("images", [str(s.images) for s in splits.values()]),
        ("boxes", [str(s.boxes) for s in splits.values()]),
        ("images without boxes", [str(s.empty_images) for s in splits.values()]),
        ("boxes without area", [str(s.without_area) for s in splits.values()]),
        ("crowd boxes", [str(s.crowd) for s in splits.values()]),
    ]
    rows += [
        (f"class {name}", [str(s.classes[name]) for s in splits.values()]) for name in found.classes
    ]
    rows += [
        (f"image width, {spread}", [_spread(s.image_width) for s in splits.values()]),
        (f"image height, {spread}", [_spread(s.image_height) for s in splits.values()]),
        (f"boxes per image, {spread}", [_spread(s.boxes_per_image) for s in splits.values()]),
        (f"box side in px, {spread}", [_spread(s.box_side) for s in splits.values()]),
        (f"width / height, {spread}", [_spread(s.aspect) for s in splits.values()]),
        (
            "small / medium / large",
            [f"{s.small:.0%} / {s.medium:.0%} / {s.large:.0%}" for s in splits.values()],
        ),
    ]
    head = f"{found.format}, root {found.root or '(top)'}"
    rows.insert(0, (head, list(splits)))
    first = max(len(name) for name, _ in rows)
    second = max(len(cells[0]) for _, cells in rows)
    lines = [f"{name:<{first}}  {cells[0]:<{second}}  {cells[1]}" for name, cells in rows]
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values) or "-"
