"""`jobgen init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from jobgen.cli import options
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen init ships --archive ships.zip --dataset-id 264241
  jobgen init cells --archive bccd.zip --model picodet_s_416_coco_lcnet
"""


@click.command(epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--archive",
    required=True,
    type=click.Path(path_type=Path),
    help="The data set: a zip or tar file as it lies on AI Studio, or an unpacked folder.",
)
@click.option(
    "--dataset-id", type=click.IntRange(1), help="Its number on AI Studio (data/data<ID>/)."
)
@click.option("--model", help="[default: the one that `dataset inspect` suggests]")
@click.option("--environment", default="paddle2.6_py3.10", show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@options.language
@click.option("--folder", type=click.Path(path_type=Path), help="[default: bundles/NAME]")
@options.json_output
@click.pass_obj
def command(
    console: Console, name: str, archive: Path, dataset_id: int | None, model: str | None,
    environment: str, epochs: int, language: str, folder: Path | None, json_output: bool,
) -> None:  # fmt: skip
    """Look at a data set and write NAME's job.yaml: splits, classes, counts, hashes."""
    from jobgen.datasets.job import job_text
    from jobgen.datasets.look import look
    from jobgen.datasets.statistics import suggest_model
    from jobgen.errors import SpecError
    from jobgen.files import write_atomically
    from jobgen.plan import make_plan
    from jobgen.spec import parse_spec
    from jobgen.yamlio import load

    console.json_output = json_output
    path = (folder or Path("bundles") / name) / "job.yaml"
    if path.exists():
        raise SpecError(f"{path} is there already", "Give another NAME, or remove it first.")
    found = look(archive)
    kind = "folder" if archive.is_dir() else "archive"
    source: dict[str, object] = {"id": dataset_id} if dataset_id else {}
    source[kind] = Path(os.path.abspath(archive)).name  # noqa: PTH100
    suggested, why = suggest_model(found.train.record)
    choice = {"config": model or suggested, "pretrained": "coco"}
    text = job_text(name, environment, source, found, choice, {"epochs": epochs}, language)
    make_plan(*parse_spec(load(text, str(path))))
    write_atomically(path, text.encode())
    console.result(job=str(path), format=found.format, root=found.root, classes=found.classes)
    console.data(
        f"{archive.name}: {found.format}, {len(found.classes)} class(es), "
        f"{found.train.images} + {found.eval.images} images, "
        f"{found.train.boxes} + {found.eval.boxes} boxes\n{path}"
    )
    if model is None:
        console.say(f"model {suggested}: {why} (another one: --model)")
    console.say(f"Next: jobgen build {path}")
