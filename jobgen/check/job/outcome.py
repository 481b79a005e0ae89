"""Rules about what a job leaves behind, beside what the platform allows."""

from __future__ import annotations

from collections.abc import Iterator

from jobgen.catalog import platform
from jobgen.check.rules import WARNING, Hit, job
from jobgen.check.upload import JobFacts
from jobgen.job.hours import AI_STUDIO, expect

# A checkpoint: weights, their averaged copy and the optimizer's state, of 4 bytes each.
BYTES_PER_PARAMETER = 4 * 3
FILES_PER_SNAPSHOT = 4


@job(
    "OU001",
    WARNING,
    "more checkpoints than a background task may leave behind",
    why="A task that leaves 10,000 files or 20 GB behind fails at its very end. The clone and what "
    "was unpacked are removed before; checkpoints are kept where training stopped early.",
    remedy="Keep fewer checkpoints: set overrides: {snapshot_epoch: N} with a larger N.",
)
def left_behind(facts: JobFacts) -> Iterator[Hit]:
    if facts.plan is None:
        return
    files, size = expected_output(facts)
    limits = platform()
    if files > limits.files_left or size > limits.bytes_left:
        detail = f"about {files:,} files and {size / 2**30:.1f} GB"
        yield Hit(1, (), facts.place, detail)


@job(
    "OU002",
    WARNING,
    "longer than a background task may run",
    why="A task is stopped after 72 hours of running; what it has by then is all there is.",
    remedy="Take fewer epochs or a smaller model; a later job resumes a stopped one (RESUME_FROM).",
)
def too_long(facts: JobFacts) -> Iterator[Hit]:
    hours = expected_hours(facts)
    if hours is not None and hours > platform().hours:
        told = "as stated figures have it: jobgen explain shows them"
        if facts.images_per_second:
            told = f"at {facts.images_per_second:.0f} images/s"
        detail = f"about {hours:.0f} hours, {told}"
        yield Hit(1, (), facts.place, detail)


def expected_hours(facts: JobFacts) -> float | None:
    """Hours of training at the speed of a measured run; where none was measured the least that
    stated figures give. None where the plan is not known."""
    if facts.plan is None:
        return None
    if not facts.images_per_second:
        return expect(facts.plan, AI_STUDIO).least / 3600
    values = {name: value.value for name, value in facts.plan.values.items()}
    step = values["batch_size"] * values["gpus"]
    images = values["epochs"] * values["steps_per_epoch"] * step
    return float(images / facts.images_per_second / 3600)


def expected_output(facts: JobFacts) -> tuple[int, int]:
    """Files and bytes of the checkpoints: what `clean_up` leaves after a failure."""
    assert facts.plan is not None
    values = facts.plan.values
    snapshots = max(1, values["epochs"].value // max(1, values["snapshot_epoch"].value)) + 2
    weights = int(facts.plan.model.parameters * 1e6 * BYTES_PER_PARAMETER)
    return snapshots * FILES_PER_SNAPSHOT, snapshots * weights
