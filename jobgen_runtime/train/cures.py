"""What saves a training that is paid for: tried once each, recorded, never hidden."""

import glob
import os
import re
from typing import Any, Dict

from jobgen_runtime.record.outcome import adjust
from jobgen_runtime.train.configure import amend_run_config
from jobgen_runtime.train.schedule import halved, schedulers

FEW_WORKERS = 2
READERS = ("TrainReader", "EvalReader")


def halve_batch(run_config: str, values: Dict[str, Any], why: str) -> Dict[str, Any]:
    """Half the batch, and what hangs on it; only before the first checkpoint, since the
    learning rate of a checkpoint counts the steps of its own batch."""
    less = halved(values)
    adjust("TrainReader.batch_size", values["batch_size"], less["batch_size"], why)
    adjust("LearningRate.base_lr", values["base_lr"], less["base_lr"], "it follows the batch")
    schedule = schedulers(less["family"], less["epochs"], less["warmup_steps"])
    changed = {
        "TrainReader": {"batch_size": less["batch_size"]},
        "EvalReader": {"batch_size": less["eval_batch_size"]},
        "LearningRate": {"base_lr": less["base_lr"], "schedulers": schedule},
    }
    amend_run_config(run_config, changed)
    return less


class ReaderCures:
    """What is tried, once each, when the processes that read the data die."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.shared_memory_tried = False

    def next(self, run_config: str, why: str) -> bool:
        """Change the run's config by the next cure; False where there is none left."""
        if not self.shared_memory_tried:
            self.shared_memory_tried = True
            if shares_memory(run_config):
                changed = {name: {"use_shared_memory": False} for name in READERS}
                adjust("use_shared_memory", planned=True, used=False, why=why)
                amend_run_config(run_config, changed)
                return True
        if self.workers == 0:
            return False
        fewer = FEW_WORKERS if self.workers > FEW_WORKERS else 0
        adjust("worker_num", self.workers, fewer, why)
        amend_run_config(run_config, {"worker_num": fewer})
        self.workers = fewer
        return True


def shares_memory(run_config: str) -> bool:
    """Whether a reader of the run's config, or of the model YAML below it, uses shared memory."""
    folder = os.path.dirname(run_config)
    paths = [run_config] + glob.glob(os.path.join(glob.escape(folder), "*.yml"))
    stem = os.path.basename(run_config).replace(".run.yml", ".yml")
    for path in paths:
        if os.path.basename(path) in (stem, os.path.basename(run_config)):
            with open(path, encoding="utf-8") as stream:
                if re.search(r"use_shared_memory\"?: *true", stream.read(), re.IGNORECASE):
                    return True
    return False
