"""A worker: it takes trials that wait, one after the other, until none is left."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jobgen.errors import JobgenError, RunError
from jobgen.sweep.figures import costs_of, value_of, value_text
from jobgen.sweep.ranking import best_groups, params_of
from jobgen.sweep.retry import (
    CONFIRMS,
    COSTS_OF,
    FOLDER,
    PLACE,
    SEED_OF,
    WHY,
    WORKER,
    give_back,
    mark_worker,
    revive,
    try_again,
)
from jobgen.sweep.spec import Sweep
from jobgen.sweep.storage import faults, need_optuna, patiently, said_of
from jobgen.sweep.study import Counts, chosen_params, count
from jobgen.sweep.trial import Machine, Outcome, run_trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

# So many of the best are repeated with other seeds: the best of all may be the luckiest.
CONFIRMED = 2
# Seconds between two looks at what other workers are at.
OTHERS = 0.4
# A run with its clone of the suite, its data and checkpoints: 0.3 GB of PicoDet-XS was seen.
LEAST_FREE = 2**29


class Runner(Protocol):
    """What runs a trial: this machine, or AI Studio."""

    def __call__(
        self, sweep: Sweep, params: dict[str, Any], seed: int | None,
        ends_early: Callable[[float, int], bool], /,
    ) -> Outcome: ...  # fmt: skip


@dataclass(frozen=True)
class Here:
    """Trials are run on this machine."""

    machine: Machine
    cache: Path

    def __call__(
        self, sweep: Sweep, params: dict[str, Any], seed: int | None,
        ends_early: Callable[[float, int], bool],
    ) -> Outcome:  # fmt: skip
        return run_trial(sweep, params, seed, self.machine, self.cache, ends_early)


def work(
    sweep: Sweep, study: Study, runner: Runner, say: Callable[[str], None],
    seconds: float | None = None,
) -> Counts:  # fmt: skip
    """Take trials until none is left, or the time is up; what other workers are at is waited for,
    as theirs may have to be tried again. Gives what became of all. Raises RunError where the
    storage is lost, or the disk is full."""
    ends = None if seconds is None else time.monotonic() + seconds
    going_on = True
    while going_on and (ends is None or time.monotonic() < ends):
        try:
            going_on = _step(sweep, study, runner, say)
        except Exception as error:
            said = said_of(error)
            if said is None:
                raise
            say(f"the storage broke off: {said}")
            give_back_or_end(sweep, study)
            time.sleep(OTHERS)
    return count(study.get_trials(deepcopy=False))


def _step(sweep: Sweep, study: Study, runner: Runner, say: Callable[[str], None]) -> bool:
    """Take a trial that waits, or wait for those of others, or have the best confirmed; False where
    nothing is left to do."""
    revive(study)
    counts = count(study.get_trials(deepcopy=False))
    if counts.waiting:
        need_space(sweep)
        try:
            study.optimize(
                lambda trial: tried(sweep, study, trial, runner, say),
                n_trials=1,
                catch=(Exception,),
            )
        except (need_optuna().exceptions.UpdateFinishedTrialError, ValueError):
            say("the trial was taken for lost meanwhile, and is another worker's")
    elif counts.running:
        time.sleep(OTHERS)
    else:
        return confirm(sweep, study)
    return True


def need_space(sweep: Sweep) -> None:
    """Raise RunError where the disk is too full to begin a trial: else all of them would fail, one
    after the other."""
    free = shutil.disk_usage(sweep.folder).free
    if free < LEAST_FREE:
        raise RunError(
            f"{free / 2**20:.0f} MB are free where {sweep.folder} lies, and a trial takes "
            f"{LEAST_FREE / 2**20:.0f} MB",
            "Free some, then call again: what has ended is not run again.",
        )


def give_back_or_end(sweep: Sweep, study: Study) -> None:
    """Have what this worker was at tried again. Raises RunError where the storage takes nothing."""
    try:
        give_back(study)
    except faults() as error:
        raise RunError(
            f"the storage of {sweep.path} can't be written: {said_of(error)}",
            "Call again once it can: what has ended is not run again.",
        ) from error


def tried(
    sweep: Sweep, study: Study, trial: Trial, runner: Runner, say: Callable[[str], None]
) -> list[float]:
    """The values of a trial, for Optuna. Raises TrialPruned, and JobgenError for one that gave
    none, which then says why."""
    optuna = need_optuna()
    if PLACE not in trial.user_attrs:
        raise JobgenError("there was no trial left")
    patiently(lambda: mark_worker(trial))
    params, seed = patiently(lambda: chosen_params(sweep, trial))
    try:
        same = _twin(sweep, study, trial, params, seed)
        if same is not None:
            say(f"trial {trial.number} is trial {same.number} once more")
            for name in (FOLDER, COSTS_OF):
                _note(trial, name, same.user_attrs.get(name))
            return list(same.values)
        say(f"trial {trial.number} begins: {words(params, seed)}")
        outcome = runner(sweep, params, seed, _pruner_of(sweep, trial))
        values = [] if outcome.pruned else _values(sweep, trial, outcome)
    except KeyboardInterrupt:
        try_again(study, study.get_trials(deepcopy=False)[trial.number], counted=False)
        raise
    except Exception as error:  # whatever it is, the study goes on and the trial says why
        said = str(getattr(error, "message", "") or f"{type(error).__name__}: {error}")
        say(f"trial {trial.number} failed: {said}")
        _note(trial, WHY, said)
        raise
    _note(trial, FOLDER, str(outcome.folder))
    if outcome.pruned:
        say(f"trial {trial.number} was ended early, after epoch {outcome.pruned}")
        raise optuna.TrialPruned
    figures = ", ".join(f"{name} {value:.4g}" for name, value in
                        zip(sweep.spec.objectives, values, strict=True))  # fmt: skip
    say(f"trial {trial.number} ended: {figures}")
    return values


def _values(sweep: Sweep, trial: Trial, outcome: Outcome) -> list[float]:
    """What a trial is judged by; what its model costs is kept beside it. Raises NotMeasuredError
    where the run lacks one of them."""
    found = [value_of(outcome.result, name) for name in sweep.spec.objectives]
    for name in sweep.spec.at_most:
        value_of(outcome.result, name)
    _note(trial, COSTS_OF, costs_of(outcome.result))
    return found


def _note(trial: Trial, name: str, value: Any) -> None:
    patiently(lambda: trial.set_user_attr(name, value))


def _pruner_of(sweep: Sweep, trial: Trial) -> Callable[[float, int], bool]:
    """Tells of an evaluation, as (value, epochs), whether the trial is to be ended early."""

    def ends_early(value: float, epoch: int) -> bool:
        # What is run to confirm is run to its end: else only the lucky ones would count.
        if len(sweep.spec.objectives) > 1 or CONFIRMS in trial.user_attrs:
            return False
        try:
            patiently(lambda: trial.report(value, epoch))
            return bool(patiently(trial.should_prune))
        except faults():  # a training goes on without its storage
            return False

    return ends_early


def words(params: dict[str, Any], seed: int | None) -> str:
    """What a trial tries, as `train.base_lr 0.02, seed 1`."""
    found = [f"{path} {value_text(value)}" for path, value in params.items()]
    return ", ".join(found + ([f"seed {seed}"] if seed is not None else []))


def _twin(
    sweep: Sweep, study: Study, trial: Trial, params: dict[str, Any], seed: int | None
) -> Any:
    """The trial that has ended with just these values and this seed, waited for where another
    worker is at it; None where there is none."""
    states = need_optuna().trial.TrialState
    while True:
        twins = [
            other
            for other in study.get_trials(deepcopy=False, states=(states.COMPLETE, states.RUNNING))
            if other.number != trial.number
            and WORKER in other.user_attrs
            and params_of(sweep, other) == (params, seed)
        ]
        ended = [other for other in twins if other.state == states.COMPLETE]
        # The one that was made first runs: two never wait for one another.
        if ended or not any(other.number < trial.number for other in twins):
            return ended[0] if ended else None
        time.sleep(OTHERS)
        revive(study)


def confirm(sweep: Sweep, study: Study) -> bool:
    """Put the best into the study once more, with other seeds, so that each is known by as many
    trials as `confirm` says. False where there is nothing to add."""
    import filelock

    if not sweep.spec.confirm or len(sweep.spec.objectives) > 1:
        return False
    # Of several workers one does it; the others find the trials waiting.
    with filelock.FileLock(sweep.folder / ".confirm.lock"):
        trials = study.get_trials(deepcopy=False)
        if count(trials).waiting:
            return True
        asked = [
            str(trial.user_attrs[CONFIRMS]) for trial in trials if CONFIRMS in trial.user_attrs
        ]
        added = False
        candidates = [group for group in best_groups(sweep, trials) if not group.over]
        for group in candidates[:CONFIRMED]:
            own = f"{sweep.name_of(group.params)}/"
            lost = sum(key.startswith(own) for key in asked) - len(group.values) + 1
            missing = sweep.spec.confirm - len(group.values) - max(0, lost)
            free = (seed for seed in itertools.count(1)
                    if seed not in group.seeds and f"{own}{seed}" not in asked)  # fmt: skip
            for seed in itertools.islice(free, max(0, missing)):
                attrs = {PLACE: f"confirms {own}{seed}", SEED_OF: seed, CONFIRMS: f"{own}{seed}"}
                study.enqueue_trial(dict(group.raw), user_attrs=attrs)
                added = True
        return added
