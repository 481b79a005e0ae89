"""`jobgen demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console

# A small model on drawn ships, sized for a CPU: about four minutes on two cores. Small batches
# give it steps enough, and without crops every ship is whole: mAP@0.5 is 0.94 to 0.99 with the
# seeds 1 to 5. The learning rate is four times the published one, which goes on from other weights.
MODEL = {"pretrained": "none", "input_size": 224}
TRAIN = {"epochs": 12, "batch_size": 4}
LEARNING_RATE_FACTOR = 4
MORE = {
    "stages": ["evaluate", "infer", "export"],
    "export": {"onnx": True},
    "augment": {"preset": "none", "flip": 0.5},
}
# Five shapes, from scratch: top-1 over 0.95 after some minutes on two cores. Small batches give it
# steps enough; the learning rate is 16 times the published one, which is for many more steps.
CLASSIFIER = {"config": "PPLCNet_x0_25", "pretrained": "none", "input_size": 128}
CLASS_TRAIN = {"epochs": 30, "batch_size": 8, "base_lr": 0.05}
CLASS_MORE = {
    "stages": ["evaluate", "infer", "export"],
    "export": {"onnx": True},
    "augment": {"crop": False},
}
ENVIRONMENT = "paddle2.6_py3.10"
EXAMPLES = """\b
Examples:
  jobgen demo
  jobgen demo --folder /tmp/try
  jobgen demo --model ppyolo_tiny --folder demo-yolo
  jobgen demo --task classification --folder demo-classes --mirror PaddleClas.git
"""


def demo_model(name: str | None = None) -> dict[str, Any]:
    """job.yaml's `model`: that one, or the smallest that there is, from scratch."""
    from jobgen.catalog import full_name, smallest

    return {"config": full_name(name) if name else smallest(), **MODEL}


def demo_training(model: dict[str, Any]) -> dict[str, Any]:
    """job.yaml's `train`. Raises UsageError for a model that is not known."""
    from jobgen.catalog import environments, models

    found = models().get(model["config"])
    if found is None:
        raise click.UsageError(f"--model: {model['config']} is not known; see jobgen models")
    own = environments()[ENVIRONMENT].revision.name
    if found.family.revisions and own not in found.family.revisions:
        raise click.UsageError(
            f"--model: PaddleDetection {own} of the demo does not have {found.name}"
        )
    rate = LEARNING_RATE_FACTOR * found.base_lr_per_image * TRAIN["batch_size"]
    return {**TRAIN, "base_lr": round(rate, 8)}


@click.command(epilog=EXAMPLES)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where to put the data, the job and the run.",
)
@click.option(
    "--task",
    type=click.Choice(["detection", "classification"]),
    default="detection",
    show_default=True,
    help="What is learned: boxes around ships, or which of five shapes an image shows.",
)
@click.option("--model", help="Another model than the smallest.")
@click.option("--mirror", help="A git copy of the suite to clone from.")
@click.option("-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE",
              help="A parameter of the notebook, as for jobgen run.")  # fmt: skip
@options.language
@click.option("--seed", default=1, show_default=True, help="Makes the training repeatable.")
@click.option("--prepare-only", is_flag=True, help="Data, job and bundle only; train nothing.")
@options.json_output
@click.pass_obj
def command(
    console: Console,
    folder: Path,
    task: str,
    model: str | None,
    mirror: str | None,
    parameters: tuple[tuple[str, str], ...],
    language: str,
    seed: int,
    prepare_only: bool,
    json_output: bool,
) -> None:
    """Make a data set, write its job, build the bundle, train it on the CPU, show the result.

    Takes a few minutes on two cores; the first time also fetches Paddle.
    """
    from jobgen.cli.build import render_job, trust
    from jobgen.cli.run import parameter_value, show_run
    from jobgen.errors import SpecError
    from jobgen.job.bundle import write_bundle
    from jobgen.run.local import RunRequest
    from jobgen.settings import load_settings

    console.json_output = json_output
    name = "ships" if task == "detection" else "shapes"
    archive, job, upload = folder / f"{name}.zip", folder / "job.yaml", folder / "upload"
    if not (archive.is_file() and job.is_file()):
        prepare = _ships if task == "detection" else _shapes
        prepare(archive, job, model, language)
    elif model is not None:
        raise SpecError(f"{job} is there already", "Give another folder: --folder NAME")
    console.say(f"data set  {archive}\njob       {job}")
    _, bundle, pack = render_job(job)
    write_bundle(bundle, upload)
    trust(console, bundle, pack)
    console.say(f"bundle    {upload}: {', '.join(bundle.files)}")
    if not prepare_only:
        given = {"SEED": seed, **{name: parameter_value(text) for name, text in parameters}}
        request = RunRequest(bundle, [archive], folder / "runs", device="cpu", parameters=given)
        show_run(console, request, load_settings(mirror=mirror))


def _ships(archive: Path, job: Path, model: str | None, language: str) -> None:
    """Draw the ships and write their job."""
    from jobgen.datasets.job import job_text
    from jobgen.datasets.look import look
    from jobgen.datasets.ships import make_ships
    from jobgen.files import write_atomically

    make_ships(archive)
    sources = [{"archive": archive.name}]
    chosen = demo_model(model)
    train = demo_training(chosen)
    text = job_text("ships", ENVIRONMENT, sources, look(archive), chosen, train, language, MORE)
    write_atomically(job, text.encode())


def _shapes(archive: Path, job: Path, model: str | None, language: str) -> None:
    """Draw the shapes and write their job."""
    from jobgen.catalog import classifier_named
    from jobgen.datasets.class_job import class_job_text
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.shapes import make_shapes
    from jobgen.files import write_atomically

    make_shapes(archive)
    data = find_class_set(open_contents(archive))
    assert data is not None
    chosen = dict(CLASSIFIER)
    if model is not None:
        chosen["config"] = classifier_named(model)
    head = ("shapes", ENVIRONMENT, [{"archive": archive.name}])
    text = class_job_text(*head, data, chosen, CLASS_TRAIN, language, CLASS_MORE)
    write_atomically(job, text.encode())
