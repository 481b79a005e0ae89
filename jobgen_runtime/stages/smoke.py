"""The `smoke` stage."""

import os
from typing import Any, Dict

from jobgen_runtime.record.outcome import outcome, summary
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.configure import most_workers, yaml_block
from jobgen_runtime.train.reading import (
    Reads,
    expect_training,
    measure_reader,
    measured,
    remedy,
    short_side,
    speed_text,
    tell_waiting,
)
from jobgen_runtime.train.smoke import smoke

# Of reading, by one process and by all: several pictures of 12 megapixels each before a training,
# and a glance in a smoke run.
READ_SECONDS = 2.0
TRIED_SECONDS = 0.5


def try_one_step(run: Run) -> None:
    """Take one step on real images, and one behind each epoch at which the model changes; measure
    how fast this machine reads and trains."""
    through = run.plan["family"]["through"]
    epochs = [0] + [run.values[name] for name in through]
    seconds = TRIED_SECONDS if run.smoke else READ_SECONDS
    how = (run.device, run.settings["SMOKE_TIMEOUT"], epochs, run.values["worker_num"], seconds)
    found = smoke(run.clone, run.config, *how)
    record = outcome().data
    if run.measured_seconds:
        record["reading"] = _every_way(run)
    summary("; ".join([record["stages"][-1]["text"], speed_text(found, run.device)]))
    if measured(found) and not run.smoke:
        tell_waiting(found, run.device, slow_reading(run))


def slow_reading(run: Run) -> str:
    """What to do where training waits for its pictures."""
    side, cards = run.plan["family"]["largest_side"], run.values["gpus"]
    most = most_workers(run.values["batch_size"], side, cards)
    colours = (run.job.get("augment") or {}).get("distort") != "none"
    shrink = run.dataset.get("shrink", "auto")
    return remedy(run.small, Reads(shrink, run.values["worker_num"], most, side, colours))


def say_how_long(run: Run, done: int) -> None:
    """How long the training will take at the speed that the smoke step has measured, with `done`
    epochs behind it."""
    found = outcome().data.get("smoke_step") or {}
    if run.smoke or not found or not measured(found) or done >= run.values["epochs"]:
        return
    images = outcome().data["dataset"]["counts"]["eval"]["images"]
    larger = 1.0
    if run.small["train"] is not run.place["train"]:
        larger = (short_side(run.place) / float(max(1, short_side(run.small)))) ** 2
    expect_training(found, run.values, images, run.device, done, max(1.0, larger))


def _every_way(run: Run) -> Dict[str, Any]:
    """How fast the reader is with every number of processes: `as_trained`, and where training
    reads smaller copies, also of the `originals`."""
    processes = list(range(1, max(core_count(), run.values["worker_num"]) + 1))
    seconds = run.measured_seconds
    found = {"as_trained": measure_reader(run.clone, run.config, seconds, processes)}
    if run.small["train"] is not run.place["train"]:
        path = run.config.replace(".run.yml", ".originals.yml")
        pictures = dict(run.place["train"], dataset_dir=run.place["dataset_dir"])
        over = {"_BASE_": [os.path.basename(run.config)], "TrainDataset": pictures}
        write_text_atomically(path, yaml_block(over))
        found["originals"] = measure_reader(run.clone, path, seconds, processes)
    return found
