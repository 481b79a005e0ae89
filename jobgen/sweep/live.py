"""What each trial is at: how far it has come, what it measured last, what is left of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.errors import RunError
from jobgen.run.progress import read_events
from jobgen.run.workspace import newest_run
from jobgen.sweep.ranking import params_of
from jobgen.sweep.retry import last_of_places, why_failed
from jobgen.sweep.rows import Row
from jobgen.sweep.spec import SEED, Sweep
from jobgen.sweep.trial import runs_of

STATES = {
    "COMPLETE": "done", "PRUNED": "ended early", "FAIL": "failed", "RUNNING": "running",
    "WAITING": "waiting",
}  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """A trial as it stands: its number, state, values and seed; the epoch of the first objective's
    last `value`, and of how many epochs it is; the seconds `left`, and `why` it failed. None where
    that is not known."""

    number: int
    state: str
    params: dict[str, Any]
    seed: int | None
    epoch: int | None = None
    epochs: int | None = None
    value: float | None = None
    left: float | None = None
    why: str | None = None


def standings(sweep: Sweep, rows: Iterable[Row]) -> list[Standing]:
    """The trials in their order; of a place that was tried again the last. Those that wait are told
    by their number alone where the sampler will choose."""
    last = sorted(last_of_places(rows), key=lambda row: row.number)
    return [_standing(sweep, row) for row in last]


def _standing(sweep: Sweep, row: Row) -> Standing:
    params, seed = params_of(sweep, row)
    epoch = max(row.steps, default=None)
    value = row.values[0] if row.values else row.steps.get(epoch) if epoch else None
    step = _last_step(sweep, params, seed) if row.state.name == "RUNNING" else {}
    return Standing(
        number=row.number,
        state=STATES[row.state.name],
        params=params,
        seed=seed,
        epoch=step["epoch"] + 1 if step else epoch,
        epochs=step.get("epochs"),
        value=value,
        left=step.get("left"),
        why=why_failed(row),
    )


def _last_step(sweep: Sweep, params: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """The last step of training that a trial's run on this machine has told of; empty for none."""
    if any(path not in params for path in sweep.spec.search if path != SEED):
        return {}  # it is just being begun
    try:
        folder = newest_run(runs_of(sweep, params, seed), sweep.name_of(params))
    except RunError:
        return {}
    steps = [event for path in folder.glob("home/output/*/events.jsonl")
             for event in _events(path) if event.get("event") == "step"]  # fmt: skip
    return steps[-1] if steps else {}


def _events(path: Path) -> Sequence[dict[str, Any]]:
    return read_events(path, 0)[0]
