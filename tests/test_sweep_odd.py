"""Sweeps as nobody here had meant them: odd values, odd places, a second Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from jobgen.errors import RemoteError, SpecError
from jobgen.language import chinese
from jobgen.settings import load_settings
from jobgen.spec import load_any
from jobgen.sweep.retry import retry_broken_off
from jobgen.sweep.spec import load_sweep
from jobgen.sweep.study import count, existing_study, open_study
from jobgen.sweep.trial import check_corners
from jobgen.sweep.worker import work
from tests.aistudio import AiStudio
from tests.conftest import Answer
from tests.remote_world import studio
from tests.test_sweep import GRID, a_sweep, folder, left_of, on_loopback, toys, whole, words_of
from tests.toy_worker import toy
from tests.whole import Whole, heed_interrupt

__all__ = ["folder", "studio", "whole"]
Jobgen = Callable[..., Answer]
TWO = "sampler: grid\nsearch: "


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("{augment: [{flip: 0.5}, {flip: 0.0}], augment.mosaic: [true, false]}",
         "search.augment.mosaic: lies inside augment, which is tried too"),
        ("{train.epochs: [1, 1.0]}", "search.train.epochs: has a value twice"),
        ("{overrides.x: [1, true]}", "search.overrides.x: has a value twice"),
        ("{train.base_lr: [0.01, !Foo {a: 1}]}", "neither number, text, list nor keys"),
        ("{train.epochs: 5}", "search.train.epochs: input should be a valid list, got 5; write [5]"),
        ("{train.epochs: {from: 5}}", "search.train.epochs.to: this key is missing"),
    ],
)  # fmt: skip
def test_values_that_can_not_be_tried(folder: Path, search: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        a_sweep(folder, TWO + search)
    assert words in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).startswith(f"{folder / 'sweep.yaml'}:2: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GRID + "objective: map\n", "须为 'mAP50'"),
        (GRID + "at_most: {parameters: 0}\n", "须大于 0，现为 0"),
        ("search: {train.epochs: [1, 2]}\n", "trials: 请写明个数"),
        ("trials: 1\n", "search: 缺少这个键"),
        ("search: {train.base_lr: {from: 0.1, to: 0.01}}\ntrials: 2\n", "from 须小于 to"),
    ],
)
def test_a_finding_in_chinese_keeps_its_place(folder: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        a_sweep(folder, text)
    said = chinese(caught.value.message)
    assert said.startswith(f"{folder / 'sweep.yaml'}:")
    assert words in said


def test_values_with_keys_of_their_own_stay_as_they_are(folder: Path) -> None:
    sweep = a_sweep(
        folder, TWO + "{augment: [{flip: 0.5}, {flip: 0.0}], train.patience: [null, 5]}"
    )
    params = {"augment": {"flip": 0.5}, "train.patience": None}
    before = sweep.name_of(params)
    sweep.text_of(params)
    assert sweep.name_of(params) == before
    toys(sweep)
    goal = folder / "new" / "job.yaml"
    goal.parent.mkdir()
    goal.write_text(sweep.text_of(params))
    assert load_any(goal)[0].train.patience is None


def test_values_are_shown_as_yaml_has_them(folder: Path, jobgen: Jobgen) -> None:
    toys(a_sweep(folder, TWO + "{train.patience: [null, 5], train.amp: [true, false]}"))
    best = jobgen("sweep", "best", folder / "sweep.yaml").out
    assert "train.patience: null" in best
    assert "train.amp: true" in best
    assert "None" not in jobgen("sweep", "status", folder / "sweep.yaml").out


def test_a_range_whose_numbers_have_to_be_multiples(folder: Path) -> None:
    sweep = a_sweep(folder, "search: {model.input_size: {from: 320, to: 416}}\ntrials: 4\n")
    (fault,) = check_corners(sweep, load_settings().cache)
    assert fault.startswith("model.input_size: 321:")


def test_a_parameter_that_every_trial_would_have(folder: Path, jobgen: Jobgen) -> None:
    path = folder / "sweep.yaml"
    path.write_text(TWO + "{train.epochs: [1, 3]}\n")
    for name in ("EPOCHS", "SEED", "SMOKE"):
        answer = jobgen("sweep", "run", path, "-p", name, "2", "--dry-run", "--device", "cpu")
        assert (answer.code, f"-p {name}" in answer.err) == (3, True)


def test_many_on_the_front_are_all_shown(folder: Path, jobgen: Jobgen) -> None:
    """The toy's front is all of its trials."""
    rates = ", ".join(str(round(0.02 + n / 1000, 3)) for n in range(20))
    text = f"sampler: grid\nsearch: {{train.base_lr: [{rates}]}}\n"
    toys(a_sweep(folder, text + "objective: [mAP50, parameters]\n"))
    shown = jobgen("sweep", "status", folder / "sweep.yaml")
    assert shown.out.count("  yes ") == 20
    rows = jobgen("sweep", "status", folder / "sweep.yaml", "--json").json["ranking"]
    assert [row["front"] for row in rows] == [True] * 20
    (folder / "one.yaml").write_text(text)
    toys(load_sweep(folder / "one.yaml"))
    one = jobgen("sweep", "status", folder / "one.yaml")
    assert "8 more combinations" in one.err


def test_what_nobody_measured_is_not_within_its_bound(folder: Path, jobgen: Jobgen) -> None:
    toys(a_sweep(folder))
    a_sweep(folder, GRID + "at_most: {train_seconds: 5}\n")
    best = jobgen("sweep", "best", folder / "sweep.yaml")
    assert (best.code, "all of 6 combinations" in best.err) == (7, True)
    status = jobgen("sweep", "status", folder / "sweep.yaml")
    assert ("sweep best" in status.err, "  ?  " in status.out) == (False, True)
    assert jobgen("sweep", "page", folder / "sweep.yaml").code == 0
    page = (folder / "sweep" / "page.html").read_text(encoding="utf-8")
    assert "What the best has otherwise" not in page


@pytest.mark.parametrize("name", ["我的 '搜索' #1.db", "a?timeout=30"])
def test_a_study_in_a_file_with_an_odd_name(
    folder: Path, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    archive = folder / "ships.zip"
    archive.write_bytes(b"no zip: every trial fails at once")
    a_sweep(folder)
    words = ("--archive", archive, "--device", "cpu", "--python", "/bin/false")
    ran = jobgen("sweep", "run", "sweep.yaml", "--storage", f"sqlite:///{name}", *words)
    assert "6 failed" in ran.out, ran.err
    assert "6 failed" in jobgen("sweep", "status", "sweep.yaml").out
    assert count(existing_study(load_sweep(Path("sweep.yaml")), None).get_trials()).failed == 6


def test_a_sweep_with_an_odd_name(folder: Path, jobgen: Jobgen) -> None:
    path = folder / "q?x#1 {a}.yaml"
    path.write_text(GRID)
    toys(load_sweep(path))
    assert (folder / "q?x#1 {a}" / "study.db").is_file()
    assert "6 done" in jobgen("sweep", "status", path).out


def test_an_empty_storage_is_none(
    folder: Path, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_sweep(folder)
    monkeypatch.setenv("JOBGEN_STORAGE", "")
    words = ("--storage", "", "--dry-run", "--device", "cpu")
    assert jobgen("sweep", "run", folder / "sweep.yaml", *words).code == 0


def test_a_job_that_can_not_be_written_is_no_answer(folder: Path, jobgen: Jobgen) -> None:
    toys(a_sweep(folder))
    goal = folder / "job.yaml" / "job.yaml"
    answer = jobgen("sweep", "best", folder / "sweep.yaml", "--json", "--write", goal)
    assert (answer.code == 0, answer.out) == (False, "")


def test_a_dry_run_sees_what_the_run_would_refuse(folder: Path, jobgen: Jobgen) -> None:
    sweep = a_sweep(folder)
    study = open_study(sweep, None)
    dry = ("--dry-run", "--device", "cpu")
    work(sweep, study, toy, print)
    assert "0 of them are left" in jobgen("sweep", "run", folder / "sweep.yaml", *dry).err
    a_sweep(folder, GRID.replace("0.002", "0.003"))
    answer = jobgen("sweep", "run", folder / "sweep.yaml", *dry)
    assert (answer.code, "was begun with another sweep.yaml" in answer.err) == (7, True)


def test_hours_that_are_over_are_said(
    folder: Path, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder / "ships.zip"
    archive.write_bytes(b"no zip")
    a_sweep(folder, GRID + "hours: 0.0000001\n")
    words = ("--archive", archive, "--device", "cpu", "--python", "/bin/false")
    answer = jobgen("sweep", "run", folder / "sweep.yaml", *words)
    assert "trials wait, as the 1e-07 hours of sweep.yaml are over" in answer.err
    monkeypatch.setattr("jobgen.cli.sweep.EVERY", 0.01)
    followed = jobgen("sweep", "show", folder / "sweep.yaml", "--follow")
    assert "Nobody is at work on the" in followed.err


# Ended in the middle.


def test_a_trial_whose_worker_was_killed_before_it_gave_it_back(folder: Path) -> None:
    study = open_study(a_sweep(folder), None)
    trial = study.ask()
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert count(study.get_trials()).failed == 1
    assert retry_broken_off(study) == 1
    assert (count(study.get_trials()).failed, count(study.get_trials()).waiting) == (0, 6)
    assert retry_broken_off(study) == 0


@pytest.mark.kernel
@pytest.mark.waits
def test_ctrl_c_with_two_workers_gives_both_trials_back(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hears of it twice: from the terminal, and from the one that started it."""
    monkeypatch.setenv("FLAGS_standin", json.dumps({"by_rate": True}))
    (whole.folder / "both.yaml").write_text(TWO + "{train.base_lr: [0.005, 0.01, 0.02]}\n")
    argv = [word.replace("sweep.yaml", "both.yaml") for word in words_of(whole, "--workers", 2)]
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=heed_interrupt,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(whole.folder.glob("both/runs/*/own/*/run.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert list(left_of(whole.folder)) == []
    found = count(existing_study(load_sweep(whole.folder / "both.yaml"), None).get_trials())
    assert (found.failed, found.done + found.waiting) == (0, 3)


# On AI Studio.


def test_what_could_not_be_submitted_is_said_before_the_first_trial(
    studio: AiStudio, folder: Path, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_sweep(folder)
    run = ("sweep", "run", folder / "sweep.yaml", "--on", "aistudio")
    local = jobgen(*run, "--archive", folder / "ships.zip")
    assert (local.code, "is on this machine" in local.err) == (7, True)
    none = jobgen(*run)
    assert (none.code == 0, "no data set is named that holds ships.zip" in none.err) == (
        False,
        True,
    )
    monkeypatch.delenv("AISTUDIO_ACCESS_TOKEN")
    begun = time.monotonic()
    assert jobgen(*run, "--dataset", "264241").code == RemoteError.exit_code
    assert time.monotonic() - begun < 20
    assert not (folder / "sweep" / "study.db").exists()
    assert not studio.jobs


@pytest.mark.kernel
@pytest.mark.waits
def test_a_job_whose_stop_was_refused_is_stopped_before_another_begins(
    studio: AiStudio, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgen.sweep.aistudio.EVERY", 0.3)
    monkeypatch.setattr("jobgen.sweep.aistudio.PAUSES", ())
    text = TWO + "{train.base_lr: [0.02, 0.01]}\n"
    sweep, runner = on_loopback(studio, whole, text, iter([0.01, 0.5]))
    params: dict[str, Any] = {"train.base_lr": 0.02}
    studio.fault = lambda what, _number: "refuse" if what == "stop" else None
    with pytest.raises(RemoteError):
        runner(sweep, params, None, lambda _value, _epoch: True)
    studio.fault = lambda _what, _number: None
    outcome = runner(sweep, params, None, lambda _value, _epoch: False)
    assert outcome.result["metrics"]["best"]["mAP50"] == 0.5
    assert [job.stage for job in studio.jobs.values()] == ["stopped", "succeeded"]
