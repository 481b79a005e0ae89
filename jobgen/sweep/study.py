"""The study of a sweep: Optuna's, in SQLite or in PostgreSQL, with a trial for each place in it.

Every trial that will be is there from the beginning, waiting: workers take them, one each, so that
none is tried twice and there are just as many as were asked for. A trial whose worker is gone is
tried again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import filelock

from jobgen.errors import RunError
from jobgen.files import shown
from jobgen.sweep.spec import OBJECTIVES, SEED, Range, Sweep
from jobgen_runtime.record.identity import process_identity

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from jobgen.sweep.rows import Row

# A worker says every so often that it lives, and is taken for dead after so long: seconds.
HEARTBEAT, GRACE = 10, 45
RETRIES = 3
# What is kept with a trial, beside what Optuna keeps.
# Whoever finds no place makes a trial that has none, and leaves it.
PLACE, WORKER, WHY, FOLDER, SEED_OF, CONFIRMS, TRIES = (
    *("place", "worker", "why", "folder", "seed", "confirms", "tries"),
)


def need_optuna() -> Any:
    """Optuna. Raises RunError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise RunError(
            "a sweep needs Optuna, which is not installed",
            'Install it: pip install "optuna>=5,<6"',
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # The heartbeat is called experimental since 2021; its version is bounded in pyproject.toml.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", module="optuna")
    return optuna


def engine_of(sweep: Sweep, address: str | None) -> Any:
    """A connection to the storage that only reads, without Optuna. Raises RunError where there is
    none."""
    try:
        from sqlalchemy import create_engine, inspect
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool
    except ImportError:  # it comes with Optuna
        need_optuna()
        raise

    file = sweep.folder / "study.db"
    if address is None and not file.is_file():
        raise not_begun(sweep)
    try:
        engine = create_engine(address or f"sqlite:///{file.absolute()}", poolclass=NullPool)
        if not inspect(engine).has_table("trial_user_attributes"):
            raise not_begun(sweep)
    except SQLAlchemyError as error:
        raise RunError(f"the storage can't be opened: {one_line_of(error)}") from error
    return engine


def not_begun(sweep: Sweep) -> RunError:
    return RunError(
        f"no trial of {sweep.path} was begun",
        f"Begin: jobgen sweep run {shown(sweep.path)} --archive FILE",
    )


def storage_of(sweep: Sweep, address: str | None) -> Any:
    """The storage at an address, by default a SQLite file in the sweep's folder."""
    optuna = need_optuna()
    if address is None:
        sweep.folder.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{(sweep.folder / 'study.db').absolute()}"
    # Two workers may write at one moment: SQLite lets one of them wait.
    waits = {"connect_args": {"timeout": 60}} if address.startswith("sqlite") else {}
    from sqlalchemy.pool import NullPool

    try:
        with opening(sweep):
            return optuna.storages.RDBStorage(
                address,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=try_again,
                engine_kwargs={**waits, "poolclass": NullPool},
            )
    except ImportError as error:
        raise RunError(
            f"{address.split(':')[0]} needs a driver: {error}",
            'Install it: pip install "psycopg[binary]", and write postgresql+psycopg://...',
        ) from error
    except Exception as error:  # whatever a database's driver says
        raise RunError(f"the storage can't be opened: {one_line_of(error)}") from error


def one_line_of(error: Exception) -> str:
    """What a database says, without its own hints and addresses with passwords."""
    return str(error).strip().split("\n")[0][:300]


def try_again(study: Study, trial: FrozenTrial) -> None:
    """Put a trial whose worker is gone into the study once more, a few times at most: one that ends
    its worker each time would be tried for ever."""
    optuna = need_optuna()
    tries = int(trial.user_attrs.get(TRIES, 0)) + 1
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


def open_study(sweep: Sweep, storage: Any, worker: int = 0) -> Study:
    """The study, made with all its trials where it is not there. Raises RunError where it is of
    another sweep."""
    optuna = need_optuna()
    spec = sweep.spec
    directions = ["maximize" if OBJECTIVES[name] else "minimize" for name in spec.objectives]
    with opening(sweep):
        study: Study = optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            directions=directions,
            load_if_exists=True,
            sampler=_sampler(sweep, worker),
            pruner=_pruner(sweep),
        )
        known = study.user_attrs.get("identity")
        if known in (None, sweep.identity):
            # Also where sweep.yaml asks for more trials than when it was begun.
            fill(sweep, study)
            study.set_user_attr("identity", sweep.identity)
        else:
            raise RunError(
                f"the study {sweep.name} was begun with another sweep.yaml or job.yaml",
                "Its trials can't be compared with new ones: give the changed sweep.yaml another "
                f"name, or remove {sweep.folder}",
            )
    return study


@contextlib.contextmanager
def opening(sweep: Sweep) -> Iterator[None]:
    """One process at a time makes the tables and the trials of a study. On several machines the
    first one has to have begun before the others."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(sweep.folder / ".lock"):
        yield


def existing_study(sweep: Sweep, storage: Any) -> Study:
    """The study as it is. Raises RunError where none was begun."""
    optuna = need_optuna()
    try:
        study: Study = optuna.load_study(study_name=sweep.name, storage=storage)
    except KeyError:
        raise not_begun(sweep) from None
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


def own_values(sweep: Sweep) -> dict[str, Any]:
    """What the job itself has of what is tried, where that is among the values."""
    job = sweep.job.model_dump(mode="json")
    found = {}
    for path, choices in sweep.spec.search.items():
        value: Any = job
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(choices, Range):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and choices.low <= value <= choices.high:
                found[path] = value
        elif value in choices:
            found[path] = value
    return found


def _sampler(sweep: Sweep, worker: int) -> Any:
    samplers = need_optuna().samplers
    # Workers with one seed would all choose the same.
    seed = sweep.spec.seed + worker
    if sweep.spec.sampler == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)
    return samplers.RandomSampler(seed=seed)


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
    last = {trial.user_attrs[PLACE]: trial for trial in trials if PLACE in trial.user_attrs}
    found = dict.fromkeys(names.values(), 0)
    for trial in last.values():
        found[names[trial.state.name]] += 1
    return Counts(**found)


def retry_failed(study: Study) -> int:
    """Put the trials that failed into the study once more; gives how many."""
    trials = study.get_trials(deepcopy=False)
    last = {trial.user_attrs[PLACE]: trial for trial in trials if PLACE in trial.user_attrs}
    failed = [trial for trial in last.values() if trial.state.name == "FAIL"]
    for trial in failed:
        attrs = {name: value for name, value in trial.user_attrs.items()
                 if name not in (WORKER, WHY, TRIES)}  # fmt: skip
        study.enqueue_trial(trial.params, user_attrs=attrs)
    return len(failed)


def mark_worker(trial: Trial) -> None:
    """Say who is at work on a trial."""
    who = {"host": platform.node(), "process": process_identity(os.getpid())}
    trial.set_user_attr(WORKER, who)


def revive(study: Study) -> int:
    """Have trials tried again whose worker, on this machine, is gone; of others their heartbeat
    tells. Gives how many."""
    from jobgen.run.verdict import is_alive

    optuna = need_optuna()
    running = (optuna.trial.TrialState.RUNNING,)
    revived = 0
    for trial in study.get_trials(deepcopy=False, states=running):
        worker = trial.user_attrs.get(WORKER) or {}
        if worker.get("host") == platform.node() and is_alive(worker) is False:
            try:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            except ValueError:  # another worker was first
                continue
            try_again(study, trial)
            revived += 1
    optuna.storages.fail_stale_trials(study)
    return revived
