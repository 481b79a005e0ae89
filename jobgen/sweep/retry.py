"""Trials that are tried once more: whose worker is gone, who lost the storage, who failed."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from jobgen.sweep.storage import GRACE, need_optuna
from jobgen_runtime.record.identity import process_identity

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from jobgen.sweep.rows import Row

# So often a trial is tried again whose worker was killed: one that ends its worker each time would
# be tried for ever.
RETRIES = 3
# What is kept with a trial, beside what Optuna keeps.
# Whoever finds no place makes a trial that has none, and leaves it.
PLACE, WORKER, WHY, FOLDER, SEED_OF, CONFIRMS, TRIES, COSTS_OF = (
    *("place", "worker", "why", "folder", "seed", "confirms", "tries", "costs"),
)
Trialish = TypeVar("Trialish", bound="FrozenTrial | Row")


def last_of_places(trials: Iterable[Trialish]) -> list[Trialish]:
    """The trial that counts of each place: the last one, however often it was tried."""
    last = {trial.user_attrs[PLACE]: trial for trial in trials if PLACE in trial.user_attrs}
    return list(last.values())


def why_failed(trial: FrozenTrial | Row) -> str | None:
    """Why a trial gave no value; None where it did, or may still."""
    if trial.state.name != "FAIL":
        return None
    killed = f"its worker was killed while it ran, {int(trial.user_attrs.get(TRIES, 0)) + 1} times"
    return str(trial.user_attrs.get(WHY, killed))


def mark_worker(trial: Trial) -> None:
    """Say who is at work on a trial."""
    trial.set_user_attr(WORKER, _own_worker())


def _own_worker() -> dict[str, object]:
    return {"host": platform.node(), "process": process_identity(os.getpid())}


def try_again(study: Study, trial: FrozenTrial, counted: bool = True) -> None:
    """Put a trial into the study once more. `counted`: its worker was killed, which is forgiven
    RETRIES times; a user who ends the sweep is no such case."""
    optuna = need_optuna()
    tries = int(trial.user_attrs.get(TRIES, 0)) + counted
    if tries > RETRIES:
        return
    # Whoever takes it says who it is; until then nobody is at work on it.
    attrs = {name: value for name, value in trial.user_attrs.items() if name != WORKER}
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attrs, TRIES: tries},
            system_attrs=trial.system_attrs,
        )
    )


def retry_failed(study: Study) -> int:
    """Put the trials that failed into the study once more; gives how many."""
    failed = [trial for trial in last_of_places(study.get_trials(deepcopy=False))
              if trial.state.name == "FAIL"]  # fmt: skip
    for trial in failed:
        attrs = {name: value for name, value in trial.user_attrs.items()
                 if name not in (WORKER, WHY, TRIES)}  # fmt: skip
        study.enqueue_trial(trial.params, user_attrs=attrs)
    return len(failed)


def retry_broken_off(study: Study) -> int:
    """Put the trials into the study once more that were ended and not put there, as their worker
    was killed in between; gives how many. Where no worker is at work yet."""
    lost = [trial for trial in last_of_places(study.get_trials(deepcopy=False))
            if trial.state.name == "FAIL" and WHY not in trial.user_attrs
            and int(trial.user_attrs.get(TRIES, 0)) < RETRIES]  # fmt: skip
    for trial in lost:
        try_again(study, trial, counted=False)
    return len(lost)


def is_at_work(trial: FrozenTrial) -> bool | None:
    """Whether a trial's worker runs on this machine; None where it is another machine's."""
    from jobgen.run.verdict import is_alive

    worker = trial.user_attrs.get(WORKER) or {}
    return is_alive(worker) if worker.get("host") == platform.node() else None


def revive(study: Study) -> int:
    """Have trials tried again whose worker, on this machine, is gone; of others their heartbeat
    tells. Gives how many."""
    lost = [trial for trial in _running(study)
            if is_at_work(trial) is False or _is_nobodys(trial)]  # fmt: skip
    revived = sum(_given_back(study, trial) for trial in lost)
    need_optuna().storages.fail_stale_trials(study)
    return revived


def _is_nobodys(trial: FrozenTrial) -> bool:
    """Whether a trial was taken a while ago by somebody who never said who: killed in between, or
    the storage was, before its answer had come."""
    then = trial.datetime_start
    if WORKER in trial.user_attrs or then is None:
        return False
    return (datetime.datetime.now() - then).total_seconds() > GRACE


def give_back(study: Study) -> int:
    """Have the trials of this very process tried again, whose end the storage did not take; gives
    how many."""
    own = _own_worker()
    mine = [trial for trial in _running(study) if trial.user_attrs.get(WORKER) == own]
    return sum(_given_back(study, trial, counted=False) for trial in mine)


def _running(study: Study) -> list[FrozenTrial]:
    states = (need_optuna().trial.TrialState.RUNNING,)
    return study.get_trials(deepcopy=False, states=states)


def _given_back(study: Study, trial: FrozenTrial, counted: bool = True) -> bool:
    """End a trial that nobody is at work on any longer, and put it into the study once more."""
    try:
        study.tell(trial.number, state=need_optuna().trial.TrialState.FAIL)
    except ValueError:  # another worker was first
        return False
    try_again(study, trial, counted)
    return True
