"""What `jobgen dataset` does with a classification set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.datasets.classes import ClassSet
    from jobgen.datasets.contents import Contents


def class_set(
    path: Path, console: Console, pick: int | None, columns: dict[str, str] | None = None
) -> tuple[ClassSet | None, Contents]:
    """The classification set of a path, None where it has boxes, or none of both; and its files."""
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.look import candidates

    files = open_contents(path, columns)
    files.progress = console.progress()
    found = None if candidates(files) else find_class_set(files)
    if found is not None and pick is not None:
        raise click.UsageError("--pick is for sets with boxes; give the folder of the one you mean")
    return found, files


def inspect_classes(console: Console, data: ClassSet, path: Path) -> None:
    """Show the classes and their images."""
    from collections import Counter

    from jobgen.catalog import suggested_classifier
    from jobgen.cli.table import table
    from jobgen.files import shown

    counts = {split.name: Counter(row.number for row in split.rows) for split in data}
    model = suggested_classifier("phone")
    head = f"classification by {data.form}, root {data.root or '(top)'}"
    rows = [(head, list(counts))]
    rows.append(("images", [str(sum(found.values())) for found in counts.values()]))
    for number, name in enumerate(data.classes):
        rows.append((f"class {name}", [str(found[number]) for found in counts.values()]))
    console.result(
        task="classification",
        format=data.form,
        root=data.root,
        classes=data.classes,
        splits={
            split: {name: found[number] for number, name in enumerate(data.classes)}
            for split, found in counts.items()
        },
        troubles=sum(len(split.troubles) for split in data),
        suggestion={"model": model},
    )
    console.verbatim(table(rows))
    console.data(f"Suggested model: {model} (others: jobgen models --task classification).")
    console.say(f"Next: jobgen check {shown(path)}")
    if {"train", "eval"} <= set(data.splits):
        console.say(f"then: jobgen init NAME --archive {shown(path)}")
    else:
        new = path.with_name(f"{path.name.partition('.')[0]}-new.zip")
        console.say(f"then: jobgen dataset split {shown(path)} {shown(new)}")


def draw_class_sheet(
    console: Console, data: ClassSet, output: Path, count: int, font: Path | None
) -> None:
    """Write the contact sheet."""
    from jobgen.datasets.class_preview import preview_classes

    drawn, numbered = preview_classes(data, output, count, font, console.progress())
    console.result(output=str(output), images=drawn, numbered=numbered)
    console.data(f"{output}: {drawn} images of {len(data.classes)} classes")
    for number, name in numbered.items():
        console.data(f"  {number} = {name}")
    if numbered:
        console.say("No font here can write these names, so the sheet has numbers: --font FILE")


def split_class_set(
    console: Console, data: ClassSet, target: Path, val: float, seed: int, group: str | None
) -> None:
    """Deal the images out into train and val."""
    from jobgen.datasets.class_split import split_classes
    from jobgen.files import shown

    train, other, held = split_classes(data, target, val, seed, group, console.progress())
    console.result(target=str(target), train=train, val=other, held_together=held)
    console.data(
        f"train {sum(train.values())} images, val {sum(other.values())}; {held} of them in groups "
        "that stay together"
    )
    for name, count in train.items():
        console.data(f"class {name}: {count} + {other[name]} images")
    console.say(f"Next: jobgen init NAME --archive {shown(target)}")
