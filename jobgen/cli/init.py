"""`jobgen init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.datasets.contents import Contents
    from jobgen.datasets.record import DataSet

EXAMPLES = """\b
Examples:
  jobgen init ships --archive ships.zip --dataset-id 264241
  jobgen init cells --archive bccd.zip --epochs 50 --for accuracy
  jobgen init peaches --archive peaches.zip --task classification
  jobgen init ships                       (on AI Studio: what is mounted in data/)
"""


@click.command(epilog=EXAMPLES)
@click.argument("name")
@options.archives
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
@click.option("--environment", default="paddle2.6_py3.10", show_default=True,
              help="The environment of the AI Studio project.")  # fmt: skip
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="How often training sees every image.  [default: 100; 50 for classification]",
)
@options.language
@click.option("--folder", type=click.Path(path_type=Path),
              help="Where job.yaml is written.  [default: bundles/NAME]")  # fmt: skip
@options.pick
@options.json_output
@click.pass_obj
def command(
    console: Console, name: str, archives: tuple[Path, ...], dataset_ids: tuple[int, ...],
    task: str | None, model: str | None, purpose: str, environment: str, epochs: int | None,
    language: str, folder: Path | None, pick: int | None, json_output: bool,
) -> None:  # fmt: skip
    """Look at a data set and write NAME's job.yaml: splits, classes, counts, hashes."""
    from jobgen.datasets.sources import open_sources, refuse_mount, source_of, the_mounted_source
    from jobgen.errors import SpecError
    from jobgen.files import shown, write_atomically
    from jobgen.job.tasks import plan_any
    from jobgen.spec import parse_any
    from jobgen.yamlio import load

    console.json_output = json_output
    path = (folder or Path("bundles") / name) / "job.yaml"
    if path.exists():
        raise SpecError(f"{path} is there already", "Give another NAME, or remove it first.")
    refuse_mount(path)
    paths = list(archives) or [the_mounted_source(Path.cwd())]
    if len(dataset_ids) not in (0, len(paths)):
        raise click.UsageError("give --dataset-id for each --archive, in the same order")
    files = open_sources(paths)
    files.progress = console.progress()
    ids = dataset_ids or [None] * len(paths)
    sources = [source_of(p, n) for p, n in zip(paths, ids, strict=True)]
    wanted = Wanted(name, environment, sources, model, purpose, epochs, language)
    if (task or _task_of(files)) == "classification":
        found = _classification(files, wanted, paths[0])
    else:
        found = _detection(files, wanted, paths[0], pick)
    plan_any(*parse_any(load(found.text, str(path))))
    write_atomically(path, found.text.encode())
    console.result(job=str(path), **found.facts)
    console.data(f"{files.name}: {found.summary}\n{path}")
    if model is None:
        console.say(found.advice)
    given = " ".join(f"--archive {shown(p)}" for p in paths)
    console.say(f"Next: jobgen check {shown(path)} {given}\nthen: jobgen build {shown(path)}")


@dataclass(frozen=True)
class Wanted:
    """What the job shall be, of what the user has said."""

    name: str
    environment: str
    sources: list[dict[str, Any]]
    model: str | None
    purpose: str
    epochs: int | None
    language: str


@dataclass(frozen=True)
class Found:
    """A job.yaml, and what there is to say of the set and of the model that was suggested."""

    text: str
    facts: dict[str, Any]
    summary: str
    advice: str


def _task_of(files: Contents) -> str:
    """What a set is for: boxes, or where it has none, folders or lists of classes."""
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.look import candidates

    if candidates(files) or find_class_set(files) is None:
        return "detection"
    return "classification"


def _detection(files: Contents, wanted: Wanted, path: Path, pick: int | None) -> Found:
    from jobgen.catalog import best_weights, full_name
    from jobgen.datasets.job import job_text, need_trainable
    from jobgen.datasets.look import choose, read_layout
    from jobgen.datasets.statistics import suggest_model
    from jobgen.spec import STAGES_AFTER_TRAINING

    data = read_layout(files, choose(files, pick))
    need_trainable(data, path)
    suggested, why = suggest_model(data, wanted.purpose)
    chosen = full_name(wanted.model) if wanted.model else suggested
    choice = {"config": chosen, "pretrained": best_weights(chosen)}
    train, after = {"epochs": wanted.epochs or 100}, {"stages": list(STAGES_AFTER_TRAINING)}
    head = (wanted.name, wanted.environment, wanted.sources)
    text = job_text(*head, data, choice, train, wanted.language, after, optional=True)
    layout = data.layout
    facts = {"format": layout.format, "root": layout.root, "classes": data.classes}
    advice = f"model {suggested}, for {wanted.purpose}: {why} (others: jobgen models)"
    return Found(text, facts, _summary(data), advice)


def _classification(files: Contents, wanted: Wanted, path: Path) -> Found:
    from jobgen.catalog import classifier_named, classifiers, suggested_classifier
    from jobgen.datasets.class_job import class_job_text, need_trainable_classes
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.look import candidates
    from jobgen.errors import DatasetError
    from jobgen.spec import STAGES_AFTER_TRAINING

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
    need_trainable_classes(data, path)
    suggested = suggested_classifier(wanted.purpose)
    chosen = classifier_named(wanted.model) if wanted.model else suggested
    choice = {"config": chosen, "pretrained": "imagenet"}
    train, after = {"epochs": wanted.epochs or 50}, {"stages": list(STAGES_AFTER_TRAINING)}
    head = (wanted.name, wanted.environment, wanted.sources)
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
    return Found(text, facts, summary, advice)


def _summary(data: DataSet) -> str:
    from jobgen.datasets.job import expected

    counts = [expected(data, split) for split in (data.train, data.eval) if split]
    images = " + ".join(str(count["images"]) for count in counts)
    boxes = " + ".join(str(count["boxes"]) for count in counts)
    classes = len(data.classes)
    return f"{data.layout.format}, {classes} class(es), {images} images, {boxes} boxes"
