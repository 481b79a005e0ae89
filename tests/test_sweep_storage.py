"""Where a sweep's study is kept: a server that is killed, a disk that is full, what is remembered."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobgen.errors import RunError
from jobgen.sweep.ranking import best_groups
from jobgen.sweep.retry import mark_worker, revive, try_again
from jobgen.sweep.rows import read_rows
from jobgen.sweep.storage import keep_address
from jobgen.sweep.study import count, existing_study, open_study
from jobgen.sweep.trial import Outcome
from jobgen.sweep.worker import work
from tests.conftest import ROOT, Answer
from tests.postgresql import PostgreSQL, new_server
from tests.test_sweep import (
    a_sweep,
    begin,
    every_one_once,
    folder,
    killed_at_will,
    toys,
)
from tests.toy_worker import toy

__all__ = ["folder"]
Jobgen = Callable[..., Answer]


def noted(folder: Path) -> list[str]:
    """What the toy trials have noted so far."""
    log = folder / "toy.log"
    return log.read_text().splitlines() if log.is_file() else []


def quiet(_text: str) -> None:
    pass


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    yield from new_server()


@pytest.fixture
def locked() -> Iterator[PostgreSQL]:
    """One that asks for a password."""
    yield from new_server("a secret word")


@pytest.mark.waits
def test_two_workers_share_a_study_in_postgresql(
    folder: Path, postgresql: PostgreSQL, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_PAUSE", "0.05")
    sweep = a_sweep(folder)
    address = postgresql.address
    killed_at_will(folder, random.Random(1), address)
    every_one_once(folder, sweep, address)
    answer = jobgen("sweep", "status", folder / "sweep.yaml", "--storage", address, "--json")
    assert answer.json["counts"]["done"] == 6
    assert not (folder / "sweep" / "study.db").exists()


@pytest.mark.waits
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_a_server_that_is_killed_is_waited_for(
    folder: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """No worker ends, no trial is lost, doubled or failed for it."""
    monkeypatch.setenv("TOY_PAUSE", "0.3")
    dice = random.Random(seed)
    sweep = a_sweep(folder)
    pair = [begin(folder, number, postgresql.address) for number in (1, 2)]
    # A server that is not there from the beginning is no loss, and told at once.
    deadline = time.monotonic() + 60
    while len({line.split()[2] for line in noted(folder)}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):
        time.sleep(dice.uniform(0.0, 1.5))
        postgresql.end(signal.SIGKILL)
        time.sleep(dice.uniform(0.5, 3.0))
        postgresql.start()
    for process in pair:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
    every_one_once(folder, sweep, postgresql.address)


def test_a_storage_that_is_not_there_is_said(folder: Path, jobgen: Jobgen) -> None:
    a_sweep(folder)
    nowhere = "postgresql+psycopg://jobgen:secret@127.0.0.1:9/postgres"
    for command in ("status", "best", "show"):
        answer = jobgen("sweep", command, folder / "sweep.yaml", "--storage", nowhere)
        assert answer.code == 7
        assert "the storage can't be opened" in answer.err
        assert "secret" not in answer.err


def test_a_file_elsewhere_is_found_from_every_folder_and_never_made_by_a_question(
    folder: Path, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    sweep = a_sweep(folder)
    for command in ("status", "best", "show", "page"):
        answer = jobgen("sweep", command, "sweep.yaml", "--storage", "sqlite:///other.db")
        assert (answer.code, "no trial of sweep.yaml was begun" in answer.err) == (7, True)
    assert not (folder / "other.db").exists()
    work(sweep, open_study(sweep, "sqlite:///other.db"), toy, print)
    keep_address(sweep, "sqlite:///other.db")
    monkeypatch.chdir(folder.parent)
    assert "6 done" in jobgen("sweep", "status", folder / "sweep.yaml").out
    assert not (folder.parent / "other.db").exists()


@pytest.mark.waits
def test_later_calls_find_the_study_and_no_password_is_kept(
    folder: Path, locked: PostgreSQL, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = a_sweep(folder)
    full = locked.address.replace("jobgen@", "jobgen:a%20secret%20word@")
    archive = folder / "ships.zip"
    archive.write_bytes(b"no zip: every trial fails at once")
    words = ("--archive", archive, "--device", "cpu", "--python", "/bin/false")
    ran = jobgen("sweep", "run", folder / "sweep.yaml", "--storage", full, *words)
    assert ran.code == 7, ran.err
    assert "6 failed" in ran.out
    kept = [path.read_text() for path in (folder / "sweep").glob("*.txt")]
    assert kept == [f"{locked.address}\n"]
    asked = jobgen("sweep", "status", folder / "sweep.yaml")
    assert asked.code == 7
    assert "PGPASSWORD" in asked.err
    monkeypatch.setenv("PGPASSWORD", "a secret word")
    assert "6 failed" in jobgen("sweep", "status", folder / "sweep.yaml").out
    assert not (folder / "sweep" / "study.db").exists()
    assert count(existing_study(sweep, None).get_trials()).failed == 6


@pytest.mark.waits
def test_a_full_disk_ends_the_call_and_nothing_that_ended_is_lost(
    small_disk: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "job.yaml").write_text((folder / "job.yaml").read_text())
    sweep = a_sweep(small_disk)
    study = open_study(sweep, None)
    with pytest.raises(RunError, match="2 MB are free where"):
        work(sweep, study, toy, quiet)
    assert count(study.get_trials()).waiting == 6
    monkeypatch.setattr("jobgen.sweep.worker.LEAST_FREE", 0)
    filler = small_disk / "filler"

    def fills(of: Any, params: Any, seed: Any, ends_early: Any) -> Outcome:
        done = toy(of, params, seed, ends_early)
        with filler.open("ab", buffering=0) as stream:
            try:
                while True:
                    stream.write(b"x" * 4096)
            except OSError:
                pass
        return done

    with pytest.raises(RunError, match="can't be written: .*disk is full"):
        work(sweep, study, fills, quiet)
    filler.unlink()
    # As the next call finds it: the worker is gone.
    again = open_study(sweep, None)
    for trial in again.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            again.tell(trial.number, state=type(trial.state).FAIL)
            try_again(again, trial)
    work(sweep, again, toy, quiet)
    found = count(again.get_trials())
    assert (found.done, found.failed, found.running, found.waiting) == (6, 0, 0, 0)


def test_a_worker_that_slept_keeps_its_trial(folder: Path) -> None:
    """A laptop that was closed: no sign of life for an hour, and the process is there."""
    sweep = a_sweep(folder)
    study = open_study(sweep, None)
    trial = study.ask()
    mark_worker(trial)
    file = sqlite3.connect(folder / "sweep" / "study.db")
    file.execute("INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (?, ?)",
                 (trial._trial_id, "2020-01-01 00:00:00.000000"))  # fmt: skip
    file.commit()
    assert revive(study) == 0
    assert study.get_trials()[trial.number].state.name == "RUNNING"
    # Another machine's worker is known by its sign of life alone.
    attrs = {**study.get_trials()[trial.number].user_attrs["worker"], "host": "elsewhere"}
    trial.set_user_attr("worker", attrs)
    revive(study)
    assert study.get_trials()[trial.number].state.name == "FAIL"
    assert count(study.get_trials()).waiting == 6
    file.close()


def test_a_trial_that_nobody_owns_is_tried_again(folder: Path) -> None:
    """Its worker was killed after taking it, and before it had said who it is."""
    study = open_study(a_sweep(folder), None)
    taken = study.ask()
    assert revive(study) == 0
    with sqlite3.connect(folder / "sweep" / "study.db") as file:
        file.execute("UPDATE trials SET datetime_start = '2020-01-01 00:00:00.000000' "
                     "WHERE trial_id = ?", (taken._trial_id,))  # fmt: skip
    file.close()
    study = open_study(a_sweep(folder), None)
    assert revive(study) == 1
    assert count(study.get_trials()).waiting == 6


@pytest.mark.waits
def test_workers_that_are_asked_to_end_give_their_trials_back(folder: Path) -> None:
    """However often: only a kill is counted, as that may be the trial's own fault."""
    (folder / "toy.log").write_text("")
    sweep = a_sweep(folder, "search: {train.batch_size: [1, 2]}\nsampler: grid\n")
    study = open_study(sweep, None)

    def interrupted(*_given: Any) -> Outcome:
        raise KeyboardInterrupt

    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            work(sweep, study, interrupted, quiet)
    work(sweep, study, toy, quiet)
    assert count(study.get_trials()).done == 2


def test_a_study_in_a_file_is_read_without_the_libraries_that_wrote_it(folder: Path) -> None:
    toys(a_sweep(folder))
    code = (
        "import sys; from pathlib import Path; from jobgen.sweep.spec import load_sweep; "
        "from jobgen.sweep.rows import read_rows; "
        f"rows = read_rows(load_sweep(Path({str(folder / 'sweep.yaml')!r})), None); "
        "print(len(rows), 'optuna' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["6", "False", "False"]


def test_the_rows_that_status_reads_are_optunas_own(folder: Path) -> None:
    text = "search: {train.base_lr: {from: 0.001, to: 0.1}, train.epochs: {from: 1, to: 9}, "
    text += "augment.flip: [0.0, 0.5]}\ntrials: 6\nconfirm: 2\nat_most: {parameters: 1.75}\n"
    sweep = a_sweep(folder, text)
    study = toys(sweep)
    own = study.get_trials()
    rows = read_rows(sweep, None)
    assert len(rows) == len(own) > 6
    for row, trial in zip(rows, own, strict=True):
        assert (row.number, row.state.name) == (trial.number, trial.state.name)
        assert (row.params, row.values) == (trial.params, trial.values)
        kept = {k: v for k, v in trial.user_attrs.items() if k not in ("worker", "folder")}
        assert row.user_attrs == kept
    assert count(rows) == count(own)
    assert best_groups(sweep, rows) == best_groups(sweep, own)
