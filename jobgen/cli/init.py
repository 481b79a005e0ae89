"""`jobgen init`."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.language import translated

if TYPE_CHECKING:
    from jobgen.check.ready import Needs
    from jobgen.datasets.contents import Contents
    from jobgen.datasets.record import DataSet
    from jobgen.datasets.split import Division

DEFAULT_ENVIRONMENT = "paddle2.6_py3.10"
EXAMPLES = """\b
Examples:
  jobgen init ships --archive ships.zip --dataset-id 264241
  jobgen init cells --archive bccd.zip --epochs 50 --for accuracy
  jobgen init parts --archive labelme-folder --yes
  jobgen init ships --archive harbour.zip --archive coast.zip --merge --yes
  jobgen init peaches --archive peaches.zip --task classification
  jobgen init ships2 --from output.zip
  jobgen init ships                       (on AI Studio: what is mounted in data/)
"""


@click.command(epilog=EXAMPLES)
@click.argument("name")
@options.archives
@click.option("--from", "output", type=click.Path(path_type=Path), metavar="OUTPUT",
              help="The job of a run's output, with what its figures advise.")  # fmt: skip
@click.option(
    "--dataset-id",
    "dataset_ids",
    multiple=True,
    type=click.IntRange(1),
    help="Its number on AI Studio (data/data<ID>/); once for each source.",
)
@click.option(
    "--task",
    type=click.Choice(["detection", "classification"]),
    help="What is learned.  [default: what the set has: boxes, or folders of classes]",
)
@click.option("--model", help="The model to train.  [default: what `dataset inspect` suggests]")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["phone", "server", "accuracy"]),
    default="phone",
    show_default=True,
    help="What the model that is suggested is for.",
)
@click.option("--environment", default=DEFAULT_ENVIRONMENT, show_default=True,
              help="The environment of the AI Studio project.")  # fmt: skip
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="How often training sees every image.  [default: 100; 50 for classification]",
)
@options.language
@click.option("--folder", type=click.Path(path_type=Path),
              help="Where job.yaml is written.  [default: bundles/NAME]")  # fmt: skip
@click.option("--yes", is_flag=True,
              help="Make what the set needs without asking: COCO, repairs, splits.")  # fmt: skip
@click.option("--merge", is_flag=True,
              help="Join the archives into one set, their classes by name.")  # fmt: skip
@click.option("--new-archive", type=click.Path(path_type=Path),
              help="Where a set that is made goes.  [default: NAME.zip beside it]")  # fmt: skip
@click.option("--val", type=click.FloatRange(0.01, 0.9), default=0.2, show_default=True,
              help="Share of val, where the set has none.")  # fmt: skip
@click.option("--group", metavar="REGEX",
              help="Images in whose names it finds the same text stay in one split.")  # fmt: skip
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def command(console: Console, /, name: str, archives: tuple[Path, ...], **given: Any) -> None:
    """Look at a data set and write NAME's job.yaml: splits, classes, counts, hashes.

    Where PaddleDetection can't train on the set as it is, what it needs is listed, and made with
    --yes: a new archive beside the old one, which stays as it is.
    """
    from jobgen.datasets.sources import refuse_mount, the_mounted_source
    from jobgen.errors import SpecError
    from jobgen.files import shown, write_atomically
    from jobgen.job.tasks import plan_any
    from jobgen.spec import parse_any
    from jobgen.spec_types import job_name
    from jobgen.yamlio import load

    console.json_output = given.pop("json_output")
    path = (given["folder"] or Path("bundles") / name) / "job.yaml"
    try:
        job_name(name)
    except ValueError as error:
        raise SpecError(f"the name {name}: {error}", "Give another NAME.") from error
    if path.exists():
        raise SpecError(f"{path} is there already", "Give another NAME, or remove it first.")
    refuse_mount(path)
    top = next(folder for folder in path.absolute().parents if folder.exists())
    if not (top.is_dir() and os.access(top, os.W_OK)):
        raise SpecError(f"{path} can't be written: {top} is no folder, or not yours to write in")
    output = given.pop("output")
    if output is not None:
        from jobgen.cli.init_from import next_job

        if archives:
            raise click.UsageError("--from takes the data set from the output: leave out --archive")
        next_job(console, name, path, output)
        return
    paths = list(archives) or [the_mounted_source(Path.cwd())]
    wanted = Wanted(name=name, paths=paths, **given)
    if len(wanted.dataset_ids) not in (0, 1 if wanted.merge else len(paths)):
        raise click.UsageError("give --dataset-id for each --archive, in the same order")
    found = _found(console, wanted)
    plan_any(*parse_any(load(found.text, str(path))))
    write_atomically(path, found.text.encode())
    console.result(job=str(path), **found.facts)
    console.data(f"{found.name}: {found.summary}\n{path}")
    if wanted.model is None:
        console.say(found.advice)
    archive = " ".join(f"--archive {shown(p)}" for p in found.paths)
    if found.paths != paths:
        console.say(f"Upload {shown(found.paths[0])} as the data set: the job is made for it.")
    console.say(f"Next: jobgen check {shown(path)} {archive}\nthen: jobgen build {shown(path)}")


def _found(console: Console, wanted: Wanted) -> Found:
    from jobgen.datasets.contents import name_columns
    from jobgen.datasets.sources import open_sources

    if wanted.merge:
        return _merged(console, wanted)
    files = open_sources(wanted.paths)
    name_columns(files, wanted.columns)
    files.progress = console.progress()
    if (wanted.task or _task_of(files)) == "classification":
        return _classification(files, wanted)
    return _detection(console, files, wanted)


@dataclass(frozen=True)
class Wanted:
    """What the job shall be, of what the user has said: the options of `init`."""

    name: str
    paths: list[Path]
    dataset_ids: tuple[int, ...]
    task: str | None
    model: str | None
    purpose: str
    environment: str
    epochs: int | None
    language: str
    yes: bool
    merge: bool
    new_archive: Path | None
    val: float
    group: str | None
    pick: int | None
    columns: dict[str, str]
    folder: Path | None

    def sources(self, paths: list[Path]) -> list[dict[str, Any]]:
        """The archives as job.yaml has them."""
        from jobgen.datasets.sources import source_of

        ids = self.dataset_ids or [None] * len(paths)
        return [source_of(path, number) for path, number in zip(paths, ids, strict=False)]

    @property
    def division(self) -> Division:
        from jobgen.datasets.split import Division

        return Division(self.val, group=self.group)

    @property
    def target(self) -> Path:
        """The archive to make: NAME.zip beside the set, or here where that is mounted."""
        if self.new_archive is not None:
            return self.new_archive
        from jobgen.datasets.sources import in_mount

        first = self.paths[0]
        # `.` and `..` have no parent in words.
        beside = first.parent if first.name.strip(".") else first.resolve().parent
        return (Path() if in_mount(beside.absolute()) else beside) / f"{self.name}.zip"

    def command(self) -> str:
        """The command that makes what the set needs."""
        from jobgen.files import shown

        words = ["jobgen init", shlex.quote(self.name)]
        words += [f"--archive {shown(path)}" for path in self.paths]
        words += [f"--dataset-id {number}" for number in self.dataset_ids]
        options: list[tuple[str, object, object]] = [
            ("model", self.model, None),
            ("epochs", self.epochs, None),
            ("pick", self.pick, None),
            ("group", self.group, None),
            ("new-archive", self.new_archive, None),
            ("for", self.purpose, "phone"),
            ("language", self.language, "zh"),
            ("val", self.val, 0.2),
            ("environment", self.environment, DEFAULT_ENVIRONMENT),
            ("folder", self.folder, None),
        ]
        for option, value, usual in options:
            words += [f"--{option} {shlex.quote(str(value))}"] if value != usual else []
        if self.columns:
            pairs = ",".join(f"{what}={name}" for what, name in self.columns.items())
            words.append(f"--columns {shlex.quote(pairs)}")
        return " ".join([*words, *(["--merge"] if self.merge else []), "--yes"])


@dataclass(frozen=True)
class Found:
    """A job.yaml, the archives that it is for, and what there is to say of the set and of the
    model that was suggested."""

    text: str
    facts: dict[str, Any]
    name: str
    summary: str
    advice: str
    paths: list[Path]


def _task_of(files: Contents) -> str:
    """What a set is for: boxes, or where it has none, folders or lists of classes."""
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.look import candidates

    if candidates(files) or find_class_set(files) is None:
        return "detection"
    return "classification"


def _detection(console: Console, files: Contents, wanted: Wanted) -> Found:
    from jobgen.check.ready import needs_of
    from jobgen.datasets.contents import LoneFile
    from jobgen.datasets.job import need_trainable
    from jobgen.datasets.look import choose, read_layout

    data = read_layout(files, choose(files, wanted.pick))
    if isinstance(files, LoneFile):
        need_trainable(data, wanted.paths[0])
    path = wanted.paths[0]
    needs = needs_of(data, path, wanted.division, wanted.pick, files.progress)
    if not needs:
        need_trainable(data, path)
        return _job(data, wanted, wanted.paths)
    return _made(console, data, needs, wanted)


def _merged(console: Console, wanted: Wanted) -> Found:
    from jobgen.check.ready import Needs
    from jobgen.datasets.look import all_sets
    from jobgen.datasets.merge import merged

    progress = console.progress()
    sets = [data for path in wanted.paths for data in all_sets(path, wanted.columns, progress)]
    data, lines = merged(sets, wanted.division)
    names = ", ".join(f"{part.contents.name} ({part.layout.format})" for part in sets)
    needs = Needs("coco", [], None, [f"join {names} as COCO", *(f"  {line}" for line in lines)])
    return _made(console, data, needs, wanted)


def _made(console: Console, data: DataSet, needs: Needs, wanted: Wanted) -> Found:
    """The job of the archive that is made of a set, once that is agreed to."""
    import sys

    from jobgen.check.ready import need_ready
    from jobgen.datasets.convert import convert
    from jobgen.datasets.job import need_trainable
    from jobgen.datasets.look import look
    from jobgen.errors import DatasetError
    from jobgen.files import shown

    target = wanted.target
    listed = "\n".join(
        f"  - {line}" if line[0] != " " else f"    {line[2:]}" for line in needs.lines
    )
    if not wanted.yes:
        asks = sys.stdin.isatty() and console.live()
        text = f"{data.contents.name} can't be trained on as it is. It needs:\n{listed}"
        if not asks:
            raise DatasetError(text, f"Do it, into {shown(target)}: {wanted.command()}")
        console.say(text)
        if not click.confirm(translated(f"Write {shown(target)}?"), default=True, err=True):
            raise click.Abort
    else:
        console.say(f"Writing {shown(target)}, made of {data.contents.name}:\n{listed}")
    done = convert(
        data, target, needs.to, needs.codes, data.contents.progress, cautious=True,
        division=needs.division,
    )  # fmt: skip
    for line in [*done.repairs, *done.notes]:
        console.say(f"  {line}")
    made = look(target, None, console.progress())
    need_ready(made, target, console.progress())
    need_trainable(made, target)
    return _job(made, wanted, [target])


def _job(data: DataSet, wanted: Wanted, paths: list[Path]) -> Found:
    from jobgen.catalog import best_weights, full_name
    from jobgen.datasets.job import job_text
    from jobgen.datasets.statistics import suggest_model
    from jobgen.spec import USUAL_STAGES

    suggested, why = suggest_model(data, wanted.purpose)
    chosen = full_name(wanted.model) if wanted.model else suggested
    choice = {"config": chosen, "pretrained": best_weights(chosen)}
    train, after = {"epochs": wanted.epochs or 100}, {"stages": list(USUAL_STAGES)}
    head = (wanted.name, wanted.environment, wanted.sources(paths))
    text = job_text(*head, data, choice, train, wanted.language, after, optional=True)
    layout = data.layout
    facts = {"format": layout.format, "root": layout.root, "classes": data.classes}
    advice = f"model {suggested}, for {wanted.purpose}: {why} (others: jobgen models)"
    return Found(text, facts, data.contents.name, _summary(data), advice, paths)


def _classification(files: Contents, wanted: Wanted) -> Found:
    from jobgen.catalog import classifier_named, classifiers, suggested_classifier
    from jobgen.datasets.class_job import class_job_text, need_trainable_classes
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.look import candidates
    from jobgen.errors import DatasetError
    from jobgen.spec import USUAL_STAGES

    data = find_class_set(files)
    if data is None and candidates(files):
        raise DatasetError(
            f"{files.name} has boxes, and no folders or lists of classes",
            "Leave out --task classification to train a detector on it.",
        )
    if data is None:
        raise DatasetError(
            f"{files.name} has no folders of classes, and no lists of images with their classes",
            "Lay it out as train/CLASS/image and val/CLASS/image, or as lists with `image class` "
            "in each line: docs/classification.md",
        )
    need_trainable_classes(data, wanted.paths[0])
    suggested = suggested_classifier(wanted.purpose)
    chosen = classifier_named(wanted.model) if wanted.model else suggested
    choice = {"config": chosen, "pretrained": "imagenet"}
    train, after = {"epochs": wanted.epochs or 50}, {"stages": list(USUAL_STAGES)}
    head = (wanted.name, wanted.environment, wanted.sources(wanted.paths))
    text = class_job_text(*head, data, choice, train, wanted.language, after)
    facts = {
        "task": "classification",
        "format": data.form,
        "root": data.root,
        "classes": data.classes,
    }
    images = " + ".join(str(len(split.rows)) for split in data)
    summary = f"{data.form} of {len(data.classes)} classes, {images} images"
    top1 = classifiers()[suggested].top1
    others = "others: jobgen models --task classification"
    advice = f"model {suggested}, for {wanted.purpose}: top-1 {top1:g} % on ImageNet ({others})"
    return Found(text, facts, files.name, summary, advice, wanted.paths)


def _summary(data: DataSet) -> str:
    from jobgen.datasets.job import expected

    counts = [expected(data, split) for split in (data.train, data.eval) if split]
    images = " + ".join(str(count["images"]) for count in counts)
    boxes = " + ".join(str(count["boxes"]) for count in counts)
    classes = len(data.classes)
    if classes == 1:
        return f"{data.layout.format}, one class, {images} images, {boxes} boxes"
    return f"{data.layout.format}, {classes} classes, {images} images, {boxes} boxes"
