"""The study of a sweep: Optuna's, in SQLite or in PostgreSQL, with a trial for each place in it.

Every trial that will be is there from the beginning, waiting: workers take them, one each, so that
none is tried twice and there are just as many as were asked for. A trial whose worker is gone is
tried again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobgen.sweep.retry import COSTS_OF, PLACE, SEED_OF, is_at_work, last_of_places, try_again
from jobgen.sweep.spec import OBJECTIVES, SEED, Range, Sweep, need_same, told
from jobgen.sweep.storage import (
    address_of,
    cant_open,
    faults,
    need_begun,
    need_optuna,
    not_begun,
    opening,
    storage_of,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from jobgen.sweep.rows import Row


def open_study(sweep: Sweep, address: str | None, worker: int = 0) -> Study:
    """The study, made with all its trials where it is not there; without an address where it was
    begun. Raises RunError where it is of another sweep, or its storage can't be opened."""
    optuna = need_optuna()
    spec = sweep.spec
    directions = ["maximize" if OBJECTIVES[name] else "minimize" for name in spec.objectives]
    storage = storage_of(sweep, address, try_again, lambda trial: bool(is_at_work(trial)))
    with opening(sweep):
        try:
            study: Study = optuna.create_study(
                storage=storage,
                study_name=sweep.name,
                directions=directions,
                load_if_exists=True,
                sampler=_sampler(sweep, worker),
                pruner=_pruner(sweep),
            )
        except faults() as error:
            raise cant_open(error) from error
        need_same(sweep, study.user_attrs.get("identity"))
        # Also where sweep.yaml asks for more trials than when it was begun.
        fill(sweep, study)
        study.set_user_attr("identity", sweep.identity)
        study.set_user_attr("parameters", [list(pair) for pair in sweep.parameters])
    return study


def existing_study(sweep: Sweep, address: str | None) -> Study:
    """The study as it is. Raises RunError where none was begun."""
    optuna = need_optuna()
    need_begun(sweep, address_of(sweep, address))
    storage = storage_of(sweep, address, try_again, lambda trial: bool(is_at_work(trial)))
    try:
        study: Study = optuna.load_study(study_name=sweep.name, storage=storage)
        kept = study.user_attrs
    except KeyError:
        raise not_begun(sweep) from None
    except faults() as error:
        raise cant_open(error) from error
    need_same(told(sweep, kept.get("parameters")), kept.get("identity"))
    return study


def fill(sweep: Sweep, study: Study) -> None:
    """Put every trial that will be into the study, those that are there left alone: the job's own
    values first, where they are among those that are tried; then the grid, or places for what the
    sampler will choose."""
    grid = sweep.spec.sampler == "grid"
    combinations = itertools.islice(sweep.spec.grid(), sweep.spec.count)
    rows = list(combinations) if grid else [own_values(sweep)]
    there = {trial.user_attrs.get(PLACE) for trial in study.get_trials(deepcopy=False)}
    for place in range(sweep.spec.count):
        if place not in there:
            params = rows[place] if place < len(rows) else {}
            study.enqueue_trial(params, user_attrs={PLACE: place})


def value_at(job: dict[str, Any], path: str) -> Any:
    """What a job has at a path as `train.base_lr`; None where it has nothing there."""
    value: Any = job
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def own_values(sweep: Sweep) -> dict[str, Any]:
    """What the job itself has of what is tried, where that is among the values."""
    job = sweep.job.model_dump(mode="json")
    found = {}
    for path, choices in sweep.spec.search.items():
        value = value_at(job, path)
        if isinstance(choices, Range):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            fits = number and (not choices.whole or isinstance(value, int))
            if fits and choices.low <= value <= choices.high:
                found[path] = value
        elif value in choices:
            found[path] = value
    return found


def _sampler(sweep: Sweep, worker: int) -> Any:
    samplers = need_optuna().samplers
    # Workers with one seed would all choose the same.
    seed = sweep.spec.seed + worker
    if sweep.spec.sampler == "tpe":
        bounds = (lambda trial: _over(sweep, trial)) if sweep.spec.at_most else None
        return samplers.TPESampler(seed=seed, constant_liar=True, constraints_func=bounds)
    return samplers.RandomSampler(seed=seed)


def _over(sweep: Sweep, trial: FrozenTrial) -> list[float]:
    """By how much a trial is over each bound, as Optuna's sampler takes it: 0 or less is within."""
    costs = trial.user_attrs.get(COSTS_OF) or {}
    return [costs.get(name, most) - most for name, most in sweep.spec.at_most.items()]


def _pruner(sweep: Sweep) -> Any:
    pruners = need_optuna().pruners
    if sweep.spec.prune == "median":
        return pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
    if sweep.spec.prune == "hyperband":
        return pruners.HyperbandPruner()
    return pruners.NopPruner()


def chosen_params(sweep: Sweep, trial: Trial) -> tuple[dict[str, Any], int | None]:
    """What a trial tries, and the seed it is to have."""
    params: dict[str, Any] = {}
    for path, choices in sweep.spec.search.items():
        if isinstance(choices, list):
            params[path] = trial.suggest_categorical(path, choices)
        elif choices.whole:
            params[path] = trial.suggest_int(path, int(choices.low), int(choices.high),
                                             log=choices.log)  # fmt: skip
        else:
            value = trial.suggest_float(path, choices.low, choices.high, log=choices.log)
            params[path] = choices.rounded(value)
    seed = trial.user_attrs.get(SEED_OF, params.pop(SEED, None))
    return params, seed


@dataclass(frozen=True)
class Counts:
    """Trials by what became of them."""

    done: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def total(self) -> int:
        return self.done + self.pruned + self.failed + self.running + self.waiting


def count(trials: Iterable[FrozenTrial | Row]) -> Counts:
    """What became of the trials: of each place the last one counts."""
    names = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running",
             "WAITING": "waiting"}  # fmt: skip
    found = dict.fromkeys(names.values(), 0)
    for trial in last_of_places(trials):
        found[names[trial.state.name]] += 1
    return Counts(**found)
