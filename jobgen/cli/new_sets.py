"""The commands of `jobgen dataset` that write a new set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.classes import class_set, split_class_set
from jobgen.cli.console import Console
from jobgen.cli.tile import tile
from jobgen.files import shown

if TYPE_CHECKING:
    from jobgen.datasets.convert import Converted
    from jobgen.datasets.record import Split

# Those of datasets/formats/ that are written too; a test sees to it that the two agree.
WRITTEN = ["coco", "voc", "yolo"]


@click.command(
    epilog="\b\nExamples:\n  jobgen dataset split all.zip ships.zip --val 0.2\n"
    "  jobgen dataset split all.zip ships.zip --group '^(scene[0-9]+)_'\n"
)
@options.source
@options.target
@click.option(
    "--val",
    type=click.FloatRange(0.01, 0.9),
    default=0.2,
    show_default=True,
    help="Share of each class's boxes (or images) that goes to val.",
)
@click.option("--test", type=click.FloatRange(0, 0.9), default=0.0, metavar="SHARE",
              help="Share that goes to a test split, which no job trains on.")  # fmt: skip
@click.option("--keep-test", is_flag=True,
              help="Leave the set's test split alone, and deal out all else.")  # fmt: skip
@click.option("--anew", is_flag=True,
              help="Deal out a set that has its splits already, all of them together.")  # fmt: skip
@click.option("--folds", type=click.IntRange(2, 20), metavar="K",
              help="K folds in place of one val; init --pick N takes one.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True,
              help="Another number deals the images otherwise.")  # fmt: skip
@click.option(
    "--group",
    metavar="REGEX",
    help="Images for which it finds the same text in their "
    "file name stay in one split, such as those of one scene or patient.",
)
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def split(
    console: Console, source: Path, target: Path, val: float, test: float, keep_test: bool,
    anew: bool, folds: int | None, seed: int, group: str | None, pick: int | None,
    columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Write TARGET, a zip of the set SOURCE with its images dealt out into train and val.

    For a set without splits, or with one. Images of the same bytes stay
    together, so that nothing of val is trained on. A set in a format that
    PaddleDetection can't read is made COCO.
    """
    from jobgen.datasets.convert import convert as convert_set
    from jobgen.datasets.look import look
    from jobgen.datasets.split import Division, in_its_format
    from jobgen.datasets.split import split as split_set

    console.json_output = json_output
    if folds and (test or keep_test):
        raise click.UsageError(
            "--folds leaves a test split alone: leave out --test and --keep-test"
        )
    if test and keep_test:
        raise click.UsageError("--keep-test keeps the set's test split: leave out --test")
    if val + test >= 1:
        raise click.UsageError(f"--val {val:g} --test {test:g}: nothing is left for train")
    classes, files = class_set(source, console, pick, columns)
    if classes is not None:
        if test or keep_test or folds or anew:
            raise click.UsageError("a set of classes is always dealt into train and val, anew")
        split_class_set(console, classes, target, val, seed, group)
        return
    progress = console.progress()
    data = look(source, pick, progress, files)
    division = Division(val, test, folds or 0, seed, group, keep_test, anew)
    if in_its_format(data, division):
        dealt = split_set(data, target, division, progress)
        _tell_parts(console, target, dict(dealt.parts), dealt.held_together)
    else:
        done = convert_set(data, target, "coco", (), progress, division=division)
        _tell_parts(console, target, done.splits, done.held_together)
        for line in done.notes:
            console.say(line)
    pick_one = " --pick 1" if folds else ""
    console.say(f"Next: jobgen init NAME --archive {shown(target)}{pick_one}")


def _tell_parts(console: Console, target: Path, parts: dict[str, Split], together: int) -> None:
    from jobgen.datasets.found import job_word
    from jobgen.datasets.split import class_counts

    names = {name: f"fold {name}" if name.isdigit() else job_word(name) for name in parts}
    counts = {names[name]: class_counts(part) for name, part in parts.items()}
    images = ", ".join(f"{names[name]} {part.images} images" for name, part in parts.items())
    console.result(target=str(target), **counts, held_together=together)
    console.data(f"{images}; {together} of them in groups that stay together")
    for name in next(iter(counts.values())):
        console.data(
            f"class {name}: {' + '.join(str(c.get(name, 0)) for c in counts.values())} boxes"
        )


@click.command(
    epilog="\b\nExamples:\n  jobgen dataset convert voc.zip ships.zip --to coco\n"
    "  jobgen dataset convert ships.zip fixed.zip --fix DS031,DS040\n"
)
@options.source
@options.target
@click.option(
    "--to",
    type=click.Choice(WRITTEN),
    help="The format to write.  [default: its own where PaddleDetection reads it, else coco]",
)
@click.option(
    "--fix",
    "codes",
    multiple=True,
    metavar="CODE",
    help="Repair what this rule finds (jobgen check --rules); several with commas, or `all`: "
    "those that change no pixel.",
)
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def convert(
    console: Console, source: Path, target: Path, to: str | None, codes: tuple[str, ...],
    pick: int | None, columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Write TARGET, a zip of the set SOURCE in another format, or repaired in its own.

    Nothing is repaired unasked, and every repair is listed.
    """
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.convert import convert as convert_set
    from jobgen.datasets.fix import FIXES
    from jobgen.datasets.formats import FORMATS
    from jobgen.datasets.look import look
    from jobgen.datasets.stretch import STRETCHED

    console.json_output = json_output
    progress = console.progress()
    wanted = [code for value in codes for code in value.upper().split(",")]
    # Asked for all at once, a repair that would leave much out is not made.
    cautious = "ALL" in wanted
    wanted = list(FIXES) if cautious else wanted
    repaired = [*FIXES, *STRETCHED]
    unknown = [code for code in wanted if code not in repaired]
    if unknown:
        raise click.UsageError(
            f"--fix {','.join(unknown)}: no safe repair; repaired are {', '.join(repaired)}"
        )
    files = open_contents(source, columns)
    data = look(source, pick, progress, files)
    own = data.layout.format
    chosen = to or (own if hasattr(FORMATS[own], "TRAINED") else "coco")
    done = convert_set(data, target, chosen, wanted, progress, cautious)
    tell_converted(console, target, chosen, done)


def tell_converted(console: Console, target: Path, written: str, done: Converted) -> None:
    """What was written, before and after."""
    console.result(target=str(target), format=written, before=done.before, after=done.after,
                   repairs=done.repairs, notes=done.notes)  # fmt: skip
    for line in [*done.repairs, *done.notes]:
        console.data(line)
    for name in dict.fromkeys([*done.before, *done.after]):
        before, after = done.before.get(name), done.after.get(name)
        was = f"{before[0]} images, {before[1]} boxes" if before else "none"
        now = f"{after[0]}, {after[1]}" if after else "none"
        console.data(f"{name}: {was} -> {now}")
    console.data(f"{target}: {written}")
    console.say(f"Next: jobgen check {shown(target)}")


@click.command(
    epilog="\b\nExamples:\n  jobgen dataset classes ships.zip\n"
    "  jobgen dataset classes ships.zip new.zip --rename boat=ship\n"
    "  jobgen dataset classes ships.zip new.zip --merge car,van=vehicle --drop tree\n"
)
@options.source
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option(
    "--rename", "renamed", multiple=True, metavar="OLD=NEW", help="Call a class otherwise."
)
@click.option("--merge", "joined", multiple=True, metavar="A,B=NEW",
              help="Make one class of several.")  # fmt: skip
@click.option("--drop", "dropped", multiple=True, metavar="A,B",
              help="Leave the boxes of classes out; their images stay, as background.")  # fmt: skip
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def classes(
    console: Console, source: Path, target: Path | None, renamed: tuple[str, ...],
    joined: tuple[str, ...], dropped: tuple[str, ...], pick: int | None, columns: dict[str, str],
    json_output: bool,
) -> None:  # fmt: skip
    """Show the classes of the set SOURCE, or write TARGET with them renamed, joined or left out."""
    from dataclasses import replace

    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.convert import convert as convert_set
    from jobgen.datasets.formats import FORMATS
    from jobgen.datasets.look import look
    from jobgen.datasets.relabel import relabelled
    from jobgen.datasets.split import class_counts

    console.json_output = json_output
    progress = console.progress()
    data = look(source, pick, progress, open_contents(source, columns))
    names = {old: new for value in (*renamed, *joined) for old, new in _renaming(value)}
    left_out = [name.strip() for value in dropped for name in value.split(",") if name.strip()]
    if target is None:
        if names or left_out:
            raise click.UsageError("give TARGET too, the zip to write")
        counts = {split.name: class_counts(split) for split in data}
        console.result(classes=data.classes, splits=counts)
        for name in data.classes:
            boxes = " + ".join(f"{found.get(name, 0):,}" for found in counts.values())
            console.data(f"{name}: {boxes} boxes")
        return
    if not names and not left_out:
        raise click.UsageError("say what to do: --rename, --merge or --drop")
    changed, lines = relabelled(data, names, left_out)
    own = data.layout.format
    written = own if hasattr(FORMATS[own], "TRAINED") else "coco"
    done = convert_set(changed, target, written, (), progress)
    tell_converted(console, target, written, replace(done, repairs=[*lines, *done.repairs]))


def _renaming(value: str) -> list[tuple[str, str]]:
    """(old, new) of `a=b` or `a,b=c`."""
    olds, equals, new = value.rpartition("=")
    names = [name.strip() for name in olds.split(",") if name.strip()]
    if not equals or not new.strip() or not names:
        raise click.UsageError(f"{value!r}: give it as OLD=NEW, or A,B=NEW")
    return [(name, new.strip()) for name in names]


@click.command(epilog="\b\nExamples:\n  jobgen dataset merge harbour.zip coast.zip ships.zip\n")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.target
@click.option("--val", type=click.FloatRange(0.01, 0.9), default=0.2, show_default=True,
              help="Share of val, for a set without one.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True,
              help="Another number deals the images otherwise.")  # fmt: skip
@options.columns
@options.json_output
@click.pass_obj
def merge(
    console: Console, sources: tuple[Path, ...], target: Path, val: float, seed: int,
    columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Write TARGET, a zip of all the sets in SOURCES as one in COCO.

    Train is joined with train and val with val; a set without val is split first. Classes whose
    names differ in case, blanks or dashes only are one.
    """
    from dataclasses import replace

    from jobgen.datasets.convert import convert as convert_set
    from jobgen.datasets.look import all_sets
    from jobgen.datasets.merge import merged
    from jobgen.datasets.split import Division

    console.json_output = json_output
    progress = console.progress()
    sets = [data for path in sources for data in all_sets(path, columns, progress)]
    data, lines = merged(sets, Division(val, seed=seed))
    done = convert_set(data, target, "coco", (), progress)
    tell_converted(console, target, "coco", replace(done, notes=[*lines, *done.notes]))


COMMANDS = (split, convert, classes, merge, tile)
