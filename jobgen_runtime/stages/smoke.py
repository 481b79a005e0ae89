"""The `smoke` stage."""

import os
from typing import Any, Dict

from jobgen_runtime.record.outcome import outcome, summary
from jobgen_runtime.record.text import duration_text, write_text_atomically
from jobgen_runtime.setup.machine import core_count
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.configure import yaml_block
from jobgen_runtime.train.reading import (
    expect_training,
    measure_reader,
    remedy,
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
    how fast this machine reads and trains, and say how long the training will take."""
    through = run.plan["family"]["through"]
    epochs = [0] + [run.values[name] for name in through]
    seconds = TRIED_SECONDS if run.smoke else READ_SECONDS
    how = (run.device, run.settings["SMOKE_TIMEOUT"], epochs, run.values["worker_num"], seconds)
    found = smoke(run.clone, run.config, *how)
    record = outcome().data
    said = [record["stages"][-1]["text"], speed_text(found, run.cards, run.device)]
    if run.settings["MEASURE_READER"]:
        record["reading"] = _every_way(run)
    if not run.smoke:
        tell_waiting(found, run.cards, run.device, slow_reading(run))
        images = record["dataset"]["counts"]["eval"]["images"]
        seconds = expect_training(found, run.values, images, run.cards)
        said.append("training should take %s" % duration_text(seconds))
    summary("; ".join(said))


def slow_reading(run: Run) -> str:
    """What to do where training waits for its pictures."""
    workers, side = run.values["worker_num"], run.plan["family"]["largest_side"]
    return remedy(run.small, run.dataset.get("shrink", "auto"), workers, side)


def _every_way(run: Run) -> Dict[str, Any]:
    """How fast the reader is with every number of processes: `as_trained`, and where training
    reads smaller copies, also of the `originals`."""
    processes = list(range(1, max(core_count(), run.values["worker_num"]) + 1))
    seconds = run.settings["MEASURE_READER"]
    found = {"as_trained": measure_reader(run.clone, run.config, seconds, processes)}
    if run.small is not run.place:
        path = run.config.replace(".run.yml", ".originals.yml")
        pictures = dict(run.place["train"], dataset_dir=run.place["dataset_dir"])
        over = {"_BASE_": [os.path.basename(run.config)], "TrainDataset": pictures}
        write_text_atomically(path, yaml_block(over))
        found["originals"] = measure_reader(run.clone, path, seconds, processes)
    return found
