"""`jobgen init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.datasets.record import DataSet

EXAMPLES = """\b
Examples:
  jobgen init ships --archive ships.zip --dataset-id 264241
  jobgen init cells --archive bccd.zip --epochs 50 --for accuracy
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
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True,
              help="How often training sees every image.")  # fmt: skip
@options.language
@click.option("--folder", type=click.Path(path_type=Path),
              help="Where job.yaml is written.  [default: bundles/NAME]")  # fmt: skip
@options.pick
@options.json_output
@click.pass_obj
def command(
    console: Console, name: str, archives: tuple[Path, ...], dataset_ids: tuple[int, ...],
    model: str | None, purpose: str, environment: str, epochs: int, language: str,
    folder: Path | None, pick: int | None, json_output: bool,
) -> None:  # fmt: skip
    """Look at a data set and write NAME's job.yaml: splits, classes, counts, hashes."""
    from jobgen.catalog import best_weights, full_name
    from jobgen.datasets.job import job_text, need_trainable
    from jobgen.datasets.look import choose, read_layout
    from jobgen.datasets.sources import open_sources, refuse_mount, source_of, the_mounted_source
    from jobgen.datasets.statistics import suggest_model
    from jobgen.errors import SpecError
    from jobgen.files import shown, write_atomically
    from jobgen.job.plan import make_plan
    from jobgen.spec import STAGES_AFTER_TRAINING, parse_spec
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
    data = read_layout(files, choose(files, pick))
    need_trainable(data, paths[0])
    ids = dataset_ids or [None] * len(paths)
    sources = [source_of(p, n) for p, n in zip(paths, ids, strict=True)]
    suggested, why = suggest_model(data, purpose)
    chosen = full_name(model) if model else suggested
    choice = {"config": chosen, "pretrained": best_weights(chosen)}
    train, after = {"epochs": epochs}, {"stages": list(STAGES_AFTER_TRAINING)}
    text = job_text(name, environment, sources, data, choice, train, language, after, optional=True)
    make_plan(*parse_spec(load(text, str(path))))
    write_atomically(path, text.encode())
    layout = data.layout
    console.result(job=str(path), format=layout.format, root=layout.root, classes=data.classes)
    console.data(f"{files.name}: {_summary(data)}\n{path}")
    if model is None:
        console.say(f"model {suggested}, for {purpose}: {why} (others: jobgen models)")
    given = " ".join(f"--archive {shown(p)}" for p in paths)
    console.say(f"Next: jobgen check {shown(path)} {given}\nthen: jobgen build {shown(path)}")


def _summary(data: DataSet) -> str:
    from jobgen.datasets.job import expected

    counts = [expected(data, split) for split in (data.train, data.eval) if split]
    images = " + ".join(str(count["images"]) for count in counts)
    boxes = " + ".join(str(count["boxes"]) for count in counts)
    classes = len(data.classes)
    return f"{data.layout.format}, {classes} class(es), {images} images, {boxes} boxes"
