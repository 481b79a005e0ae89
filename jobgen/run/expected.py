"""How long a run on this machine will take, said before it, and beside what it took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobgen.check.upload import plan_in
from jobgen.datasets.contents import silent
from jobgen.errors import JobgenError
from jobgen.job.bundle import Bundle
from jobgen.job.hours import Expected, Pictures, Place, about, expect
from jobgen.job.plan import Plan
from jobgen.machine.speeds import here, seen_runs
from jobgen.settings import Settings
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.setup.machine import gpu_facts
from jobgen_runtime.train.configure import run_values


def expected_run(
    bundle: Bundle,
    parameters: dict[str, Any],
    settings: Settings,
    device: str,
    archives: Sequence[Path] = (),
) -> Expected | None:
    """From what earlier runs on this machine took; None where there was none, or where nothing
    like a training is run."""
    plan, _ = plan_in(bundle.facts)
    skipped = parameters.get("SMOKE") or parameters.get("TRAINED_WEIGHTS")
    if plan is None or skipped or plan.spec.dataset.expect is None:
        return None
    place, seen = _place(device), seen_runs(settings.cache)
    if not any(place.has(run) for run in seen):
        return None
    images = plan.spec.dataset.expect.train.images
    try:
        changed = _moved(plan.numbers(), parameters, images)
    except (StageError, TypeError, ArithmeticError):
        return None  # the notebook says what is wrong with them
    return expect(plan, place, seen, _pictures(plan, archives), changed)


def _pictures(plan: Plan, archives: Sequence[Path]) -> Pictures | None:
    """How large the pictures of the data are; None where it can't be read, which a run tells."""
    from jobgen.check.data.reading import usual_pictures
    from jobgen.check.dataset import data_facts

    if len(archives) != len(plan.spec.dataset.sources):
        return None
    try:
        return usual_pictures(data_facts(archives, plan, None, deep=False, progress=silent))
    except (JobgenError, OSError, ValueError):
        return None


def _moved(numbers: dict[str, Any], given: dict[str, Any], images: int) -> dict[str, Any]:
    """The values of the training as the parameters of this run move them."""
    return run_values(
        numbers,
        given.get("EPOCHS", numbers["epochs"]),
        given.get("BATCH_SIZE", numbers["batch_size"]),
        given.get("BASE_LR"),
        given.get("GPUS", numbers["gpus"]),
        given.get("WORKERS", numbers["worker_num"]),
        images,
    )


def took_text(expected: Expected, result: dict[str, Any]) -> str:
    """What was expected beside what it took."""
    took = float(result.get("seconds") or 0.0)
    return f"took {about(took)}; expected: {expected.text()}"


def _place(device: str) -> Place:
    cards = gpu_facts() if device != "cpu" else []
    if not cards:
        return here()
    name = str(cards[0]["name"])
    return Place(f"this machine's {name}", name)
