"""The `smoke` stage of a classification: one step of the job's own model on real images."""

import math
import os
from typing import Any, Dict, List

from jobgen_runtime.children.exchange import exchange_files
from jobgen_runtime.children.guard import job_guard
from jobgen_runtime.children.processes import (
    child_environment,
    json_from_child,
    program_path,
    python_command,
)
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.train.smoke import CPU_IMAGES, HANG_SECONDS

# Of the arrays of a model, its class head aside, at least so many have to come from the weights.
BEGUN_SHARE = 0.9
# Some minutes for photographs of 12 megapixels on two cores.
MOST_DECODED = 50000
SHOWN = 5


def refuse_unread(place: Dict[str, Any], clone_dir: str) -> None:
    """Decode every image once: PaddleClas takes another at random in place of one that it can't
    read, and of several cards only the first says so. Raises StageError with their names."""
    paths: List[str] = []
    for split in ("train", "eval"):
        with open(place[split]["list"], encoding="utf-8") as stream:
            names = [line.rpartition("\t")[0] for line in stream]
        paths += [os.path.join(place[split]["folder"], name) for name in names]
    if len(paths) > MOST_DECODED:
        note("%d images are too many to decode beforehand" % len(paths))
        return
    request, _ = exchange_files("decode", paths)
    argv = python_command(program_path("decode_images"), request)
    found = json_from_child(
        argv, "smoke", "decoding the images", cwd=clone_dir, timeout=3600, quiet=True
    )
    if found["unread"]:
        names = [os.path.basename(path) for path in found["unread"]]
        raise StageError(
            "OpenCV can't decode %d image(s): %s%s"
            % (len(names), ", ".join(names[:SHOWN]), ", ..." if len(names) > SHOWN else ""),
            "Take them out of the set, or save them again as JPEG.",
            cause="data",
        )


def one_step(clone_dir: str, run_config: str, device: str, timeout: float) -> None:
    """Run a step in a child process. Raises StageError unless the loss is finite, or where the
    pretrained weights are another model's: PaddleClas would begin with random numbers."""
    limit = CPU_IMAGES if device == "cpu" else 0
    found: Dict[str, Any] = json_from_child(
        python_command(
            program_path("run_tool"), program_path("class_step"), run_config, str(limit)
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
            "Look for damaged images: jobgen check --deep on the data.",
            cause="nan",
            log=outcome().log_path("smoke"),
        )
    begun = outcome().data["run_config"]["Global"]["pretrained_model"]
    if begun and found["begun"] < BEGUN_SHARE * found["arrays"]:
        raise StageError(
            "the pretrained weights are another model's: %d of its %d arrays fit"
            % (found["begun"], found["arrays"]),
            "Correct model.pretrained in job.yaml, and build again.",
            cause="weights",
        )
    if limit:
        note(
            "the smoke step used %d images: a CPU shows that it works, not that the batch fits "
            "a card" % found["batch_size"]
        )
    outcome().data["smoke_step"] = found
    told = ", %d of %d arrays from the weights" % (found["begun"], found["arrays"])
    summary("one step, loss %.2f%s" % (found["losses"][0], told if begun else ""))
