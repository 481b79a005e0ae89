"""What saves a training that is paid for: tried once each, recorded, never hidden."""

import os
import re
from typing import Any, Dict, Optional

from jobgen_runtime.record.outcome import adjust
from jobgen_runtime.train.configure import amend_run_config, changed_keys, prefetched_bytes
from jobgen_runtime.train.schedule import halved

FEW_WORKERS = 2
READERS = ("TrainReader", "EvalReader")


def halve_batch(run_config: str, values: Dict[str, Any], why: str) -> Dict[str, Any]:
    """Half the batch, and what hangs on it; only before the first checkpoint, since the
    learning rate of a checkpoint counts the steps of its own batch."""
    less = halved(values)
    changed = changed_keys(values, less, {"batch_size": why}, "it follows the batch")
    amend_run_config(run_config, changed)
    return less


def spare_shared_memory(run_config: str, values: Dict[str, Any], free: Optional[int]) -> None:
    """Have the readers pass their batches otherwise where /dev/shm, with `free` bytes, is too small
    for all that they keep ready: the first full one ends the training with a bus error."""
    each = prefetched_bytes(values["batch_size"], values["family"]["largest_side"])
    wanted = values["worker_num"] * values["gpus"] * each
    if free is None or free >= wanted or not shares_memory(run_config):
        return
    why = "/dev/shm has %.1f GB, and %.1f GB are wanted" % (free / 2.0**30, wanted / 2.0**30)
    adjust("use_shared_memory", planned=True, used=False, why=why)
    amend_run_config(run_config, {name: {"use_shared_memory": False} for name in READERS})


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
    for path in (run_config, run_config.replace(".run.yml", ".yml")):
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as stream:
                if re.search(r"use_shared_memory\"?: *true", stream.read(), re.IGNORECASE):
                    return True
    return False
