"""The `smoke` stage: steps of the job's own model on real data, in each of its ways of training."""

import math
import os
from typing import Any, Dict, List

from jobgen_runtime.children.guard import job_guard
from jobgen_runtime.children.processes import (
    child_environment,
    json_from_child,
    program_path,
    python_command,
)
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary

CPU_IMAGES = 2
TRAINING_PICTURES = "training_pictures"
# One step computes without a pause; a reader that has failed leaves it waiting for ever.
HANG_SECONDS = 60.0


def smoke(
    clone_dir: str,
    run_config: str,
    device: str,
    timeout: float,
    epochs: List[int],
    processes: int,
    seconds: float,
) -> Dict[str, Any]:
    """Run a step in each of these epochs, in a child process, and measure how fast it trains and,
    for so many seconds, how fast so many processes read; a few pictures as the model gets them
    are kept in training_pictures/. Raises StageError unless every loss is
    finite."""
    limit = CPU_IMAGES if device == "cpu" else 0
    found: Dict[str, Any] = json_from_child(
        python_command(
            program_path("run_tool"),
            program_path("smoke_step"),
            run_config,
            str(limit),
            ",".join(map(str, epochs)),
            str(seconds),
            str(max(1, processes)),
            outcome().path(TRAINING_PICTURES),
        ),
        "smoke",
        "the smoke step",
        cwd=clone_dir,
        env=child_environment(JOBGEN_PARENT=str(os.getpid())),
        timeout=timeout,
        quiet=True,
        guard=job_guard(HANG_SECONDS),
    )
    if not all(math.isfinite(loss) for loss in found["losses"]):
        raise StageError(
            "the loss of the smoke step is %s" % found["losses"],
            "Most likely the boxes are at fault: look for boxes of no or tiny size in the data.",
            cause="nan",
            log=outcome().log_path("smoke"),
        )
    if limit:
        note(
            "the smoke step used %d images: a CPU shows that it works, not that the batch fits "
            "a card" % found["batch_size"]
        )
    outcome().data["smoke_step"] = found
    several = "a step in each of its %d ways of training" % len(epochs)
    steps = "one step" if len(epochs) == 1 else several
    summary("%s, loss %s" % (steps, ", ".join("%.2f" % loss for loss in found["losses"])))
    return found
