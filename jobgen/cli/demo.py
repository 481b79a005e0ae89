"""`jobgen demo`."""

from __future__ import annotations

from pathlib import Path

import click

from jobgen.cli.console import Console

JOB = """\
# The demo's job: a small PicoDet on drawn ships, sized for a CPU.
name: ships
environment: paddle2.6_py3.10
dataset:
  sources:
    - {{archive: ships.zip}}
  root: ships
  format: coco
  train: {{images: JPEGImages, annotations: train.json}}
  eval: {{images: JPEGImages, annotations: val.json}}
  classes: [ship]
  expect:
    train: {{images: {train[images]}, boxes: {train[boxes]}, sha256: {train[sha256]}}}
    eval: {{images: {val[images]}, boxes: {val[boxes]}, sha256: {val[sha256]}}}
model:
  config: picodet_xs_320_coco_lcnet
  pretrained: none
  input_size: 224
train:
  epochs: {epochs}
language: {language}
"""
EPOCHS = 16


@click.command(epilog="\b\nExamples:\n  jobgen demo\n  jobgen demo --folder /tmp/try\n")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where to put the data, the job and the run.",
)
@click.option(
    "--language",
    type=click.Choice(["zh", "en"]),
    default="zh",
    show_default=True,
    help="Language of the notebook's text.",
)
@click.option("--json", "json_output", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def command(console: Console, folder: Path, language: str, json_output: bool) -> None:
    """Make a data set, write its job, build the bundle, train it on the CPU, show the result.

    Takes a few minutes on two cores; the first time also fetches Paddle.
    """
    from jobgen.build import render
    from jobgen.bundle import read_bundle, write_bundle
    from jobgen.cli.build import trust
    from jobgen.cli.run import show_run
    from jobgen.datasets.ships import make_ships
    from jobgen.files import write_atomically
    from jobgen.plan import make_plan
    from jobgen.run.local import RunRequest
    from jobgen.settings import load_settings
    from jobgen.spec import load_spec
    from jobgen.templates import find_pack, load_pack

    console.json_output = json_output
    archive, job = folder / "ships.zip", folder / "job.yaml"
    if not (archive.is_file() and job.is_file()):
        counts = make_ships(archive)
        text = JOB.format(epochs=EPOCHS, language=language, **counts)
        write_atomically(job, text.encode())
    console.say(f"data set  {archive}\njob       {job}")
    spec, document = load_spec(job)
    bundle = render(make_plan(spec, document), load_pack(find_pack(spec.template, folder)))
    write_bundle(bundle, folder / "upload")
    trust(bundle)
    console.say(f"bundle    {folder / 'upload'}: {', '.join(bundle.files)}")
    request = RunRequest(read_bundle(folder / "upload"), [archive], folder / "runs", device="cpu")
    show_run(console, request, load_settings())
