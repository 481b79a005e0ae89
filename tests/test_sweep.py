"""Sweeps: what sweep.yaml may say, who takes which trial, what is best, and what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from jobgen.errors import RunError, SpecError
from jobgen.settings import load_settings
from jobgen.spec import load_any
from jobgen.sweep.aistudio import OnAIStudio
from jobgen.sweep.figures import costs_of
from jobgen.sweep.ranking import Group, best_groups, front, groups
from jobgen.sweep.report import sweep_page
from jobgen.sweep.retry import retry_failed
from jobgen.sweep.room import need_room
from jobgen.sweep.spec import Sweep, load_sweep
from jobgen.sweep.study import chosen_params, count, existing_study, open_study
from jobgen.sweep.trial import Outcome, check_corners, runs_of
from jobgen.sweep.worker import tried, work
from tests.aistudio import AiStudio
from tests.conftest import ROOT, Answer
from tests.remote_world import studio
from tests.sets import Coco, write_zip
from tests.toy_worker import toy, toy_value
from tests.whole import JOB, Whole, make_whole

__all__ = ["studio"]
GRID = """\
search:
  train.base_lr: [0.002, 0.02, 0.2]
  train.batch_size: [2, 4]
sampler: grid
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    return tmp_path


def a_sweep(folder: Path, text: str = GRID) -> Sweep:
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    return load_sweep(folder / "sweep.yaml")


def toys(sweep: Sweep) -> Any:
    """The study of a sweep whose trials have all been taken by one toy worker."""
    study = open_study(sweep, None)
    work(sweep, study, toy, lambda _text: None)
    return study


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trials: 3\n", "sweep.yaml:1: search: this key is missing"),
        ("search: {}\ntrials: 3\n", "there is nothing to try"),
        ("search: {train.epochs: [3]}\ntrials: 3\n", "fewer than two values"),
        ("search: {train.base_lr: {from: 0.1, to: 0.01}}\ntrials: 3\n", "from has to be below to"),
        ("search: {train.base_lr: {from: 0.0, to: 1.0, log: true}}\ntrials: 1\n", "above 0"),
        ("search: {train.epochs: [3, 4]}\n", "trials: say how many"),
        ("search: {train.base_lr: {from: 0.1, to: 0.2}}\nsampler: grid\n", "a grid needs values"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nobjective: map\n", "objective"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nprunes: median\n", "unknown key prunes"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nobjective: parameters\nprune: median\n",
         "training measures mAP50, mAP, top1 only"),
        ("search: {name: [aa, bb]}\ntrials: 2\n", "search.name: makes no other training"),
        ("search: {seed: [1, 1.5]}\ntrials: 2\n", "seed: whole numbers from 0"),
        ("search: {train.epochs: [3, 3]}\ntrials: 2\n", "train.epochs: has a value twice"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nseed: -1\n", "sweep.yaml:3: seed:"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nobjective: [mAP, parameters]\nconfirm: 2\n",
         "sweep.yaml:4: confirm: nothing is the best to run again"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nobjective: top1\n",
         "sweep.yaml:3: objective: a detection is not measured by top1"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nat_most: {parameters: 0}\n",
         "sweep.yaml:3: at_most.parameters:"),
        ("search: {train.epochs: [3, 4]}\ntrials: 2\nat_most: {speed: 3}\n", "at_most"),
        ("search: {a: [1,2,3,4,5,6,7,8,9], b: [1,2,3,4,5,6,7,8,9], c: [1,2,3,4,5,6,7,8,9],"
         " d: [1,2,3,4,5,6,7,8,9]}\nsampler: grid\n", "6,561 trials; at most 5,000"),
    ],
)  # fmt: skip
def test_what_a_sweep_cant_mean_is_said_with_its_line(folder: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        a_sweep(folder, text)
    assert words in str(caught.value)


def test_every_value_is_built_and_checked_before_the_first_trial(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    sweep = a_sweep(folder, GRID.replace("[2, 4]", "[2, 4, 0]") + "  # a comment\n")
    faults = check_corners(sweep, load_settings().cache)
    assert [fault.split(":")[0] for fault in faults] == ["train.batch_size"]
    answer = jobgen("sweep", "run", folder / "sweep.yaml")
    assert (answer.code, "train.batch_size: 0:" in answer.err) == (3, True)
    assert not (folder / "sweep" / "study.db").exists()
    a_sweep(folder, "search: {model.confg: [picodet_xs_320, picodet_s_320]}\ntrials: 2\n")
    assert "unknown key confg" in jobgen("sweep", "run", folder / "sweep.yaml").err
    a_sweep(folder)
    dry = jobgen("sweep", "run", folder / "sweep.yaml", "--dry-run", "--device", "cpu")
    assert (dry.code, "5 values checked" in dry.err, "6 trials" in dry.err) == (0, True, True)


def test_a_trial_is_the_job_with_its_values_and_nothing_else(folder: Path) -> None:
    sweep = a_sweep(folder)
    (folder / "one.yaml").write_text(sweep.text_of({"train.batch_size": 4}), encoding="utf-8")
    made = load_any(folder / "one.yaml")[0].model_dump()
    own = load_any(folder / "job.yaml")[0].model_dump()
    assert made.pop("name") == sweep.name_of({"train.batch_size": 4, "seed": 9})
    assert made["train"].pop("batch_size") == 4
    own.pop("name"), own["train"].pop("batch_size")
    assert made == own


def test_a_grid_is_gone_through_once_and_the_best_is_said(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    sweep = a_sweep(folder)
    study = toys(sweep)
    assert count(study.get_trials()).done == 6
    lines = (folder / "toy.log").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 12
    best = best_groups(sweep, study.get_trials())[0]
    assert best.params == {"train.base_lr": 0.02, "train.batch_size": 4}
    assert best.mean == toy_value(best.params, None)
    # A second call has nothing to do.
    toys(sweep)
    assert len((folder / "toy.log").read_text().splitlines()) == 12
    answer = jobgen("sweep", "status", folder / "sweep.yaml", "--json")
    assert answer.json["counts"]["done"] == 6
    assert answer.json["ranking"][0]["params"] == best.params
    goal = folder / "best" / "job.yaml"
    written = jobgen("sweep", "best", folder / "sweep.yaml", "--write", goal)
    assert written.code == 0, written.err
    assert jobgen("build", goal).code == 0
    spec = load_any(goal)[0]
    assert (spec.name, spec.train.base_lr, spec.train.batch_size) == ("ships", 0.02, 4)
    assert goal.read_text(encoding="utf-8").startswith("# The best of 6 combinations of sweep.yaml")
    assert jobgen("sweep", "best", folder / "sweep.yaml", "--write", goal).code == 3


def test_the_jobs_own_values_come_first_and_there_are_as_many_as_asked(folder: Path) -> None:
    text = """\
search:
  train.base_lr: {from: 0.001, to: 0.1, log: true}
  train.batch_size: [1, 2, 4]
  train.epochs: {from: 2, to: 5}
trials: 12
seed: 5
"""
    sweep = a_sweep(folder, text)
    study = toys(sweep)
    trials = study.get_trials()
    assert count(trials).done == len(trials) == 12
    first = trials[0].params
    assert (first["train.batch_size"], first["train.epochs"]) == (2, 3)
    assert {type(trial.params["train.epochs"]) for trial in trials} == {int}
    assert len({trial.params["train.base_lr"] for trial in trials}) > 5


def test_the_best_is_confirmed_by_other_seeds_and_ranked_by_their_mean(folder: Path) -> None:
    sweep = a_sweep(folder, GRID + "confirm: 3\n")
    study = toys(sweep)
    best = best_groups(sweep, study.get_trials())[:2]
    assert [sorted(map(str, group.seeds)) for group in best] == [["1", "2", "None"]] * 2
    expected = [toy_value(best[0].params, seed) for seed in (None, 1, 2)]
    assert best[0].mean == pytest.approx(sum(expected) / 3)
    assert best[0].spread == pytest.approx(max(expected) - min(expected))
    # One lucky run of another does not come before them.
    assert len(best_groups(sweep, study.get_trials())[2].values) == 1


def test_a_hopeless_trial_is_ended_early_and_one_that_fails_says_why(folder: Path) -> None:
    text = "search: {train.base_lr: [0.02, 0.021, 0.022, 0.0000002], train.batch_size: [4, 666]}\n"
    sweep = a_sweep(folder, text + "sampler: grid\nprune: median\n")
    study = toys(sweep)
    trials = study.get_trials()
    found = count(trials)
    assert (found.failed, found.done + found.pruned) == (4, 4)
    assert retry_failed(study) == 4
    assert count(study.get_trials()).waiting == 4
    assert found.pruned >= 1
    assert {t.user_attrs["why"] for t in trials if "why" in t.user_attrs} == {
        "the card is too small"
    }
    hopeless = [t for t in trials if t.params["train.base_lr"] == 2e-7]
    assert {t.state.name for t in hopeless} == {"PRUNED", "FAIL"}


def test_two_objectives_have_a_front_and_a_page(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    sweep = a_sweep(folder, GRID + "objective: [mAP50, parameters]\n")
    study = toys(sweep)
    # More mAP has more parameters here: none is better in both.
    assert len(front(sweep, groups(sweep, study.get_trials()))) == 6
    answer = jobgen("sweep", "page", folder / "sweep.yaml")
    assert answer.code == 0, answer.err
    text = (folder / "sweep" / "page.html").read_text(encoding="utf-8")
    assert "Two objectives" in text
    assert "Values and what they gave" in text
    assert text.count("<tr>") >= 7
    assert "<script" not in text
    assert jobgen("sweep", "status", folder / "sweep.yaml").out.count("  yes ") == 6
    said = jobgen("sweep", "best", folder / "sweep.yaml")
    assert (said.code, "no other beats in both" in said.err) == (0, True)


def test_the_front_is_what_no_other_beats_in_both(folder: Path) -> None:
    sweep = a_sweep(folder, GRID + "objective: [mAP50, parameters]\n")
    chance = random.Random(3)
    for _ in range(50):
        found = [Group({"n": n}, values=[chance.randint(0, 9)], others=[chance.randint(0, 9)])
                 for n in range(chance.randint(1, 15))]  # fmt: skip
        beaten = [
            any(r.values[0] >= g.values[0] and r.others[0] <= g.others[0]
                and (r.values, r.others) != (g.values, g.others) for r in found)
            for g in found
        ]  # fmt: skip
        expected = [group.params["n"] for group, is_so in zip(found, beaten, strict=True)
                    if not is_so]  # fmt: skip
        assert sorted(group.params["n"] for group in front(sweep, found)) == expected


def test_what_costs_more_than_is_allowed_is_never_the_best(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    """The toy has the more parameters the more mAP: the best within a bound is not the best."""
    sweep = a_sweep(folder, GRID + "at_most: {parameters: 1.7}\nconfirm: 2\n")
    study = toys(sweep)
    found = best_groups(sweep, study.get_trials())
    assert [bool(group.over) for group in found] == [False, False, False, False, True, True]
    assert [len(group.values) for group in found] == [2, 2, 1, 1, 1, 1]
    assert found[0].mean == max(group.mean for group in found[:4]) < found[4].mean
    status = jobgen("sweep", "status", folder / "sweep.yaml")
    assert "2 cost more than at_most allows" in status.err
    assert status.out.splitlines()[1].split()[:4] == ["mAP50", "spread", "runs", "parameters"]
    rows = jobgen("sweep", "status", folder / "sweep.yaml", "--json").json["ranking"]
    assert [row["over"] for row in rows[3:]] == [[], ["parameters"], ["parameters"]]
    assert rows[4]["costs"] == {"parameters": pytest.approx(1.8)}
    best = jobgen("sweep", "best", folder / "sweep.yaml", "--json").json
    assert best["mean"] == found[0].mean
    # A bound only ranks: with another the study is the same.
    a_sweep(folder, GRID + "at_most: {parameters: 1.1}\nconfirm: 2\n")
    none = jobgen("sweep", "best", folder / "sweep.yaml")
    assert (none.code, "all of 6 combinations cost more" in none.err) == (7, True)
    assert jobgen("sweep", "page", folder / "sweep.yaml").code == 0


def test_the_sampler_keeps_to_what_is_allowed(folder: Path) -> None:
    text = """\
search:
  train.base_lr: {from: 0.001, to: 0.1, log: true}
  train.batch_size: [1, 2, 4]
trials: 30
at_most: {parameters: 1.7}
"""
    sweep = a_sweep(folder, text)
    found = best_groups(sweep, toys(sweep).get_trials())
    within = [group for group in found if not group.over]
    assert 0.68 < within[0].mean <= 0.7
    assert len(within) > len(found) / 2


def test_a_model_that_is_too_large_is_said_before_the_first_trial(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    search = "search: {model.config: [picodet_xs_320_coco_lcnet, picodet_l_320_coco_lcnet]}\n"
    a_sweep(folder, search + "trials: 2\nat_most: {parameters: 1.2}\n")
    answer = jobgen("sweep", "run", folder / "sweep.yaml", "--dry-run")
    assert answer.code == 3
    assert "picodet_l_320_coco_lcnet: 5.8 million parameters, and at_most allows 1.2" in answer.err
    assert "picodet_xs" not in answer.err
    a_sweep(folder, GRID + "at_most: {parameters: 0.5}\n")
    answer = jobgen("sweep", "run", folder / "sweep.yaml", "--dry-run")
    assert (answer.code, "job.yaml: 0.7 million parameters" in answer.err) == (3, True)


def test_a_latency_is_asked_of_jobs_that_export_onnx_alone(folder: Path) -> None:
    for text in ("objective: [mAP50, latency_ms]\n", "at_most: {latency_ms: 20}\n"):
        with pytest.raises(SpecError, match=r"sweep.yaml:5: \w+: latency_ms is measured of the"):
            a_sweep(folder, GRID + text)
    (folder / "job.yaml").write_text(f"{JOB}stages: [export]\nexport: {{onnx: true}}\n")
    sweep = a_sweep(folder, GRID + "at_most: {latency_ms: 20}\n")
    assert sweep.spec.costs == ["latency_ms"]
    metrics = {"latency": {"milliseconds": 11.5}, "train_seconds": 60.5}
    assert costs_of({"metrics": metrics, "plan": {"parameters": 0.7}}) == {
        "latency_ms": 11.5, "train_seconds": 60.5, "parameters": 0.7,
    }  # fmt: skip
    assert costs_of({"metrics": {"latency": None, "train_seconds": True}}) == {}


def test_every_trial_is_shown_as_it_stands(folder: Path, jobgen: Callable[..., Answer]) -> None:
    """Those that ended, that failed, that were ended early, that run and how far, that wait."""
    text = "search: {train.batch_size: [4, 666, 40, 8, 1, 2]}\nsampler: grid\nprune: median\n"
    sweep = a_sweep(folder, text)
    study = open_study(sweep, None)
    for _ in range(3):
        study.optimize(lambda trial: tried(sweep, study, trial, toy, print), 1, catch=(Exception,))
    running = study.ask()
    params, seed = chosen_params(sweep, running)
    run = runs_of(sweep, params, seed) / f"{sweep.name_of(params)}-0101-000000"
    events = run / "home" / "output" / sweep.name_of(params) / "events.jsonl"
    events.parent.mkdir(parents=True)
    step = {"event": "step", "epoch": 2, "epochs": 50, "step": 3, "steps": 9, "left": 754.0}
    events.write_text(json.dumps(step) + "\n{half a li")
    shown = jobgen("sweep", "show", folder / "sweep.yaml")
    lines = [line.split("  ") for line in shown.out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["trial", "state", "mAP50", "epoch", "left", "seed", "train.batch_size"]
    assert cells[1][:4] == ["0", "done", "0.8", "4"]
    assert cells[2][:2] == ["1", "failed"]
    assert cells[4] == ["3", "running", "3/50", "12 min 34 s", "8"]
    assert cells[5] == ["2 waiting"]
    rows = jobgen("sweep", "show", folder / "sweep.yaml", "--json").json["trials"]
    assert [row["state"] for row in rows][3:] == ["running", "waiting", "waiting"]
    assert rows[1]["why"] == "the card is too small"
    study.tell(running, state=optuna.trial.TrialState.FAIL)
    work(sweep, study, toy, print)
    followed = jobgen("sweep", "show", folder / "sweep.yaml", "--follow")
    assert "waiting" not in followed.out


def test_what_matters_is_said_of_enough_trials_alone(folder: Path) -> None:
    grid = "search: {train.base_lr: [0.002, 0.02, 0.2], train.batch_size: [%s]}\nsampler: grid\n"
    few = a_sweep(folder, grid % "2, 4")
    assert "PED-ANOVA" not in sweep_page(few, toys(few))
    (folder / "many.yaml").write_text(grid % "2, 4, 6, 8", encoding="utf-8")
    many = load_sweep(folder / "many.yaml")
    page = sweep_page(many, toys(many))
    assert "PED-ANOVA" in page
    # The toy's value depends on the rate far more than on the batch size.
    assert page.index("PED-ANOVA") < page.rindex("train.base_lr") < page.rindex("train.batch_size")


def test_other_parameters_make_other_trials(folder: Path, jobgen: Callable[..., Answer]) -> None:
    a_sweep(folder)
    path = folder / "sweep.yaml"
    toys(load_sweep(path, [("EPOCHS", "1")]))
    with pytest.raises(RunError, match=r"another sweep.yaml, job.yaml or -p"):
        open_study(load_sweep(path), None)
    # Whoever reads need not name them, and is told of them.
    best = jobgen("sweep", "best", path, "--write", folder / "best.yaml")
    assert (best.code, "Its trials had -p EPOCHS 1" in best.err) == (0, True)
    assert "# Its trials had -p EPOCHS 1" in (folder / "best.yaml").read_text()
    for name, words in (("SEED", "-p SEED is each trial's own"), ("EPOCH", "no parameter EPOCH")):
        answer = jobgen("sweep", "run", path, "-p", name, "1")
        assert (answer.code, words in answer.err) == (3, True)


def test_a_sweep_that_was_changed_shows_nothing_of_the_old_one(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    toys(a_sweep(folder))
    path = folder / "sweep.yaml"
    before = path.read_text()
    job = (folder / "job.yaml").read_text()
    for text, of_job in (
        (before + "objective: mAP\n", job),
        (before + "objective: [mAP50, parameters]\n", job),
        (before.replace("  train.batch_size: [2, 4]\n", ""), job),
        (before, job.replace("epochs: 3", "epochs: 50")),
    ):
        path.write_text(text)
        (folder / "job.yaml").write_text(of_job)
        for command in ("status", "show", "best", "page"):
            answer = jobgen("sweep", command, path)
            assert (answer.code, "was begun with another" in answer.err) == (7, True), answer.err
    path.write_text(before)
    (folder / "job.yaml").write_text(job)
    assert jobgen("sweep", "status", path).code == 0


def test_a_classification_is_judged_by_its_accuracy(folder: Path) -> None:
    job = (ROOT / "bundles" / "digits" / "job.yaml").read_text(encoding="utf-8")
    (folder / "job.yaml").write_text(job, encoding="utf-8")
    text = "search: {train.base_lr: [0.01, 0.02]}\nsampler: grid\n"
    assert a_sweep(folder, text).spec.objectives == ["top1"]
    with pytest.raises(SpecError, match="a classification is not measured by mAP"):
        a_sweep(folder, text + "objective: mAP\n")


def test_what_was_measured_of_lucky_seeds_alone_is_never_the_best(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    """Two of three seeds were ended early, the third is the best single run of all."""
    sweep = a_sweep(folder, "search: {train.base_lr: [0.01, 0.02], seed: [1, 2, 3]}\n"
                    "sampler: grid\nprune: median\n")  # fmt: skip

    def runs(of: Any, params: Any, seed: Any, ends_early: Any) -> Outcome:
        value = 0.7 if params["train.base_lr"] == 0.01 else {1: 0.3, 2: 0.3, 3: 0.75}[seed]
        for epoch in (1, 2, 3):
            if ends_early(value, epoch):
                return Outcome({}, folder, epoch)
        return Outcome({"metrics": {"best": {"mAP50": value}}}, folder)

    study = open_study(sweep, None)
    work(sweep, study, runs, lambda _text: None)
    assert count(study.get_trials()).pruned == 2
    first, second = best_groups(sweep, study.get_trials())
    assert (first.params["train.base_lr"], first.runs) == (0.01, "3")
    assert (second.mean, second.runs) == (0.75, "1 of 3")
    assert "1 of 3" in jobgen("sweep", "status", folder / "sweep.yaml").out


@pytest.mark.waits
def test_equal_trials_of_two_workers_are_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that draws the same twice: the second waits for the first, and takes its value."""
    monkeypatch.setenv("TOY_PAUSE", "0.3")
    sweep = a_sweep(folder, "search: {train.batch_size: [2, 4]}\nsampler: random\ntrials: 6\n")
    pair = [begin(folder, number) for number in (1, 2)]
    for process in pair:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
    found = count(existing_study(sweep, None).get_trials())
    assert (found.done, found.failed) == (6, 0)
    begun = [line.split()[1] for line in (folder / "toy.log").read_text().splitlines()
             if line.startswith("begins")]  # fmt: skip
    assert sorted(begun) == sorted(set(begun))


@pytest.mark.parametrize("content", [b"", b"no database at all, and longer than a header" * 9])
def test_a_study_that_is_none_is_said(
    folder: Path, jobgen: Callable[..., Answer], content: bytes
) -> None:
    a_sweep(folder)
    (folder / "sweep").mkdir()
    (folder / "sweep" / "study.db").write_bytes(content)
    answer = jobgen("sweep", "status", folder / "sweep.yaml")
    assert answer.code == 7
    assert ("no trial of" if not content else "can't be opened") in answer.err
    with contextlib.closing(sqlite3.connect(folder / "sweep" / "other.db")) as other:
        other.execute("CREATE TABLE trials (a)")
        other.commit()
    (folder / "sweep" / "other.db").replace(folder / "sweep" / "study.db")
    for command in ("status", "best"):
        answer = jobgen("sweep", command, folder / "sweep.yaml")
        assert (answer.code, "not a study of jobgen's" in answer.err) == (7, True), answer.err


def test_without_a_card_nothing_is_begun_unasked(
    folder: Path, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    a_sweep(folder)
    for words in ((), ("--device", "gpu")):
        answer = jobgen("sweep", "run", folder / "sweep.yaml", *words)
        assert (answer.code, "--device cpu" in answer.err) == (7, True), answer.err
    assert not (folder / "sweep" / "study.db").exists()


def test_a_changed_sweep_is_another_one(folder: Path, jobgen: Callable[..., Answer]) -> None:
    toys(a_sweep(folder))
    a_sweep(folder, GRID.replace("[2, 4]", "[1, 4]"))
    answer = jobgen("sweep", "run", folder / "sweep.yaml", "--device", "cpu")
    assert (answer.code, "begun with another sweep.yaml" in answer.err) == (7, True)
    none = folder / "other.yaml"
    none.write_text(GRID, encoding="utf-8")
    answer = jobgen("sweep", "status", none)
    assert (answer.code, "no trial of" in answer.err) == (7, True)


def test_more_workers_than_there_is_room_for_are_refused(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    a_sweep(folder)
    answer = jobgen("sweep", "run", folder / "sweep.yaml", "--workers", 64, "--device", "cpu")
    assert (answer.code, "64 workers, and this machine has" in answer.err) == (7, True)
    with pytest.raises(RunError, match="no GPU was found"):
        need_room(99, "gpu")


# What a kill leaves.


def begin(folder: Path, worker: int, storage: str = "") -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "tests.toy_worker", str(folder / "sweep.yaml"), str(worker)]
    return subprocess.Popen([*argv, *([storage] if storage else [])], cwd=ROOT,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip


def killed_at_will(folder: Path, dice: random.Random, storage: str = "") -> None:
    """Two workers, each killed now and then, until a pair comes to its end."""
    for _ in range(dice.randint(1, 3)):
        pair = [begin(folder, number, storage) for number in (1, 2)]
        time.sleep(dice.uniform(0.8, 2.5))
        for process in dice.sample(pair, dice.randint(1, 2)):
            process.send_signal(dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        for process in pair:
            if dice.random() < 0.5:
                process.kill()
        for process in pair:
            process.communicate()
    pair = [begin(folder, number, storage) for number in (1, 2)]
    for process in pair:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]


def every_one_once(folder: Path, sweep: Sweep, storage: str | None = None) -> None:
    """Every combination has ended exactly once, and the ranking is a clean run's."""
    trials = existing_study(sweep, storage).get_trials()
    found = count(trials)
    assert (found.done, found.failed, found.running, found.waiting) == (6, 0, 0, 0)
    log = Counter(line.split()[1] for line in (folder / "toy.log").read_text().splitlines()
                  if line.startswith("ends"))  # fmt: skip
    assert len(log) == 6
    ranked = [(g.params["train.base_lr"], g.params["train.batch_size"], g.mean)
              for g in best_groups(sweep, trials)]  # fmt: skip
    clean = sorted(
        ((rate, batch, toy_value({"train.base_lr": rate, "train.batch_size": batch}, None))
         for rate in (0.002, 0.02, 0.2) for batch in (2, 4)),
        key=lambda row: -row[2],
    )  # fmt: skip
    assert [row[2] for row in ranked] == [row[2] for row in clean]
    assert ranked[0][:2] == (0.02, 4)


@pytest.mark.waits
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment_lose_and_double_nothing(
    folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_PAUSE", "0.05")
    sweep = a_sweep(folder)
    killed_at_will(folder, random.Random(seed))
    every_one_once(folder, sweep)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_kills(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PAUSE", "0.05")
    sweep = a_sweep(folder)
    killed_at_will(folder, random.Random(seed))
    every_one_once(folder, sweep)


# With a stand-in for Paddle: each trial is `jobgen run` itself.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("sweep 船")
    archive = write_zip(folder / "ships.zip", Coco().all_files())
    return make_whole(folder, archive.read_bytes())


def words_of(whole: Whole, *more: object) -> list[str]:
    return [
        *(sys.executable, "-m", "jobgen", "sweep", "run", str(whole.folder / "sweep.yaml")),
        *("--archive", str(whole.folder / "ships.zip"), "--device", "cpu"),
        *("--python", str(whole.folder / "python" / "bin" / "python")),
        *("--mirror", (whole.folder / "PaddleDetection").as_uri(), "-p", "ALLOW_UNPINNED", "true"),
        *map(str, more),
    ]


def left_of(folder: Path) -> Iterator[psutil.Process]:
    """Processes that still have to do with a folder."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            yield process


def both_ended(call: subprocess.CompletedProcess[str], path: Path) -> None:
    """Two trials ended well, each once, and the better rate is the best."""
    assert call.returncode == 0, call.stderr
    sweep = load_sweep(path)
    trials = existing_study(sweep, None).get_trials()
    found = count(trials)
    assert (found.done, found.failed) == (2, 0), call.stderr
    assert best_groups(sweep, trials)[0].params == {"train.base_lr": 0.02}


@pytest.mark.kernel
@pytest.mark.waits
def test_a_killed_sweep_leaves_nothing_running_and_is_resumed(
    whole: Whole, jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; all are killed with -9 in the middle, then called again: each trial is there
    once, one resumed from its checkpoint."""
    monkeypatch.setenv("FLAGS_standin", json.dumps({"by_rate": True, "pause": 0.3}))
    text = "search: {train.base_lr: [0.005, 0.02]}\nsampler: grid\n"
    (whole.folder / "sweep.yaml").write_text(text, encoding="utf-8")
    first = subprocess.Popen(words_of(whole, "--workers", 2), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 120
    events = "sweep/runs/*/own/*/home/output/ships-*/checkpoints/**/0.pdparams"
    while not list(whole.folder.glob(events)) and time.monotonic() < deadline:
        time.sleep(0.2)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 60
    while list(left_of(whole.folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert list(left_of(whole.folder)) == []
    again = subprocess.run(words_of(whole, "--workers", 2), capture_output=True, text=True,
                           check=False, timeout=300)  # fmt: skip
    both_ended(again, whole.folder / "sweep.yaml")
    shown = jobgen("sweep", "show", whole.folder / "sweep.yaml", "--json")
    assert [row["state"] for row in shown.json["trials"]] == ["done", "done"]
    results = [json.loads(path.read_text(encoding="utf-8"))
               for path in whole.folder.glob("sweep/runs/*/own/*/home/output/*/result.json")]  # fmt: skip
    assert [result["status"] for result in results] == ["ok", "ok"]
    assert any(result["attempts"] for result in results)


@pytest.mark.kernel
@pytest.mark.waits
def test_a_run_that_ended_before_its_value_was_kept_is_not_run_again(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was killed between the two."""
    monkeypatch.setenv("FLAGS_standin", json.dumps({"by_rate": True}))
    text = "search: {train.base_lr: [0.005, 0.02]}\nsampler: grid\n"
    (whole.folder / "once.yaml").write_text(text, encoding="utf-8")
    argv = [word.replace("sweep.yaml", "once.yaml") for word in words_of(whole)]
    assert subprocess.run(argv, capture_output=True, check=False, timeout=200).returncode == 0
    folders = list(whole.folder.glob("once/runs/*/own/*/run.json"))
    assert len(folders) == 2
    (whole.folder / "once" / "study.db").unlink()
    again = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)
    both_ended(again, whole.folder / "once.yaml")
    assert sorted(whole.folder.glob("once/runs/*/own/*/run.json")) == sorted(folders)
    logs = [path.read_text() for path in whole.folder.glob("once/trials/*/run.log")]
    assert all("nothing was run: just this ended well" in log for log in logs)


# On AI Studio.


@pytest.mark.kernel
@pytest.mark.waits
def test_a_job_that_failed_is_tried_again_by_another(
    studio: AiStudio, whole: Whole, jobgen: Callable[..., Answer]
) -> None:
    """Seeds of the same values, two at once; the first job that starts fails."""
    failed: list[Path] = []

    def works(home: Path) -> str:
        output = home / "output" / "ships"
        output.mkdir(parents=True)
        good = bool(failed)
        failed.append(home)
        best = {"mAP50": 0.5} if good else {}
        result = {"schema": 1, "stages": [], "started": "2026-01-01T00:00:00Z", "status": "ok" if good else "failed",
                  "closed": True, "metrics": {"best": best},
                  "failure": None if good else {"message": "no card was free"}}  # fmt: skip
        (output / "result.json").write_text(json.dumps(result))
        return "succeeded" if good else "failed"

    studio.work = works
    studio.datasets[264241] = whole.folder / "ships.zip"
    text = "search: {seed: [1, 2, 3, 4]}\nsampler: grid\n"
    (whole.folder / "seeds.yaml").write_text(text, encoding="utf-8")
    argv = [sys.executable, "-m", "jobgen", "sweep", "run", str(whole.folder / "seeds.yaml"),
            "--on", "aistudio", "--dataset", "264241", "--workers", "2"]  # fmt: skip
    first = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)
    assert "3 done, 0 ended early, 1 failed" in first.stdout, first.stderr
    assert "no card was free" in first.stderr
    assert len(studio.jobs) == 4
    # A record of what was submitted is enough, where the call was killed before it kept the id.
    for mark in whole.folder.glob("seeds/runs/*/*/submitted.json"):
        facts = json.loads(mark.read_text())
        if facts["id"] is not None:
            mark.unlink()
    again = subprocess.run([*argv, "--again"], capture_output=True, text=True, check=False,
                           timeout=200)  # fmt: skip
    assert "4 done, 0 ended early, 0 failed" in again.stdout, again.stderr
    assert sorted(job.starts for job in studio.jobs.values()) == [1, 1, 1, 1, 1]
    seeds = [word for job in studio.jobs.values() for word in job.body["cmd"].split()
             if word.startswith("SEED=")]  # fmt: skip
    assert sorted(set(seeds)) == ["SEED=1", "SEED=2", "SEED=3", "SEED=4"]


def a_training(studio: AiStudio, home: Path, value: float) -> str:
    """A job's command that evaluates three times, and then ends well where it is not stopped."""
    output = home / "output" / "ships"
    output.mkdir(parents=True)
    (job,) = (each for each in studio.jobs.values() if each.home == home)
    with (output / "events.jsonl").open("a") as stream:
        for epoch in range(3):
            event = {"event": "evaluated", "epoch": epoch, "mAP50": value * (epoch + 1) / 3}
            stream.write(json.dumps(event) + "\n")
            stream.flush()
    # Whoever is behind trains on until it is told.
    deadline = time.monotonic() + (60 if value < 0.1 else 0)
    while job.stage == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    result = {"schema": 1, "stages": [], "started": "2026-01-01T00:00:00Z", "status": "ok",
              "closed": True, "metrics": {"best": {"mAP50": value}}, "failure": None}  # fmt: skip
    (output / "result.json").write_text(json.dumps(result))
    return "succeeded"


def on_loopback(
    studio: AiStudio, whole: Whole, text: str, values: Iterator[float]
) -> tuple[Sweep, OnAIStudio]:
    """A sweep of its own name whose jobs measure these values, and what submits them."""
    studio.work = lambda home: a_training(studio, home, next(values))
    studio.datasets[264241] = whole.folder / "ships.zip"
    path = whole.folder / f"loopback-{len(list(whole.folder.glob('loopback-*.yaml')))}.yaml"
    path.write_text(text, encoding="utf-8")
    return load_sweep(path), OnAIStudio(load_settings().cache, ["--dataset", "264241"])


@pytest.mark.kernel
@pytest.mark.waits
def test_a_job_on_ai_studio_that_is_behind_is_stopped(
    studio: AiStudio, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgen.sweep.aistudio.EVERY", 0.3)
    text = "search: {train.base_lr: [0.02, 0.01, 0.5]}\nsampler: grid\nprune: median\n"
    sweep, runner = on_loopback(studio, whole, text, iter([0.5, 0.6, 0.01, 0.4]))
    study = open_study(sweep, None)
    work(sweep, study, runner, print)
    found = study.get_trials()
    assert [trial.state.name for trial in found] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in found[:2]] == [3, 3]
    jobs = list(studio.jobs.values())
    assert [job.stage for job in jobs] == ["succeeded", "succeeded", "stopped"]
    params = {"train.base_lr": 0.5}
    # Killed before the study knew: nothing is submitted, and the job is stopped once more.
    assert runner(sweep, params, None, lambda _value, _epoch: True).pruned == 1
    assert len(studio.jobs) == 3
    # To confirm it, another job runs to its end.
    studio.live = False
    outcome = runner(sweep, params, None, lambda _value, _epoch: False)
    assert (outcome.pruned, outcome.result["metrics"]["best"]["mAP50"]) == (0, 0.4)
    assert len(studio.jobs) == 4


@pytest.mark.kernel
@pytest.mark.waits
def test_trials_run_on_the_loopback_ai_studio(
    studio: AiStudio, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial is one job there; a call that is killed and made again submits none twice."""
    monkeypatch.setenv("FLAGS_standin", json.dumps({"by_rate": True}))
    studio.datasets[264241] = whole.folder / "ships.zip"
    studio.env = {"PATH": f"{whole.folder / 'python' / 'bin'}:/usr/bin:/bin",
                  "FLAGS_standin": json.dumps({"by_rate": True})}  # fmt: skip
    text = "search: {train.base_lr: [0.004, 0.02]}\nsampler: grid\n"
    (whole.folder / "remote.yaml").write_text(text, encoding="utf-8")
    urls = json.dumps([(whole.folder / "PaddleDetection").as_uri()])
    argv = [
        *(sys.executable, "-m", "jobgen", "sweep", "run", str(whole.folder / "remote.yaml")),
        *("--on", "aistudio", "--dataset", "264241", "-p", "DEVICE", "cpu"),
        *("-p", "ALLOW_UNPINNED", "true", "-p", "PADDLEDETECTION_URLS", urls),
    ]
    first = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not studio.jobs and time.monotonic() < deadline:
        time.sleep(0.1)
    first.kill()
    first.wait()
    again = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    both_ended(again, whole.folder / "remote.yaml")
    assert sorted(job.starts for job in studio.jobs.values()) == [1, 1]


@pytest.mark.kernel
@pytest.mark.waits
def test_several_bundles_are_run_in_turn(
    whole: Whole, tmp_path: Path, jobgen: Callable[..., Answer]
) -> None:
    """One of them fails; the others are run all the same, and each has its own word."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "job.yaml").write_text(JOB.replace("name: ships", "name: boats"), encoding="utf-8")
    assert jobgen("build", other / "job.yaml", "--no-check").code == 0
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    argv = [word for word in whole.argv() if word != str(whole.folder / "upload")]
    at = argv.index("run") + 1
    argv[at:at] = [str(whole.folder / "upload"), str(wrong), str(other / "upload")]
    argv[argv.index(str(whole.folder / "runs"))] = str(tmp_path / "runs")
    answer = subprocess.run([*argv, "--workers", "2"], capture_output=True, text=True, check=False,
                            timeout=240)  # fmt: skip
    assert answer.returncode == 7, answer.stderr
    assert f"{other / 'upload'}: ok" in answer.stdout
    assert f"{whole.folder / 'upload'}: ok" in answer.stdout
    assert f"{wrong}: not good, exit code 6" in answer.stdout
    hint = answer.stderr.partition("side by side: jobgen ")[2].splitlines()[0]
    report = subprocess.run(["bash", "-c", f"exec '{sys.executable}' -m jobgen {hint}"],
                            cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert report.returncode == 0, report.stderr


def test_more_trials_are_added_to_a_sweep_that_has_ended(folder: Path) -> None:
    text = (
        "search: {train.batch_size: [1, 2, 4], train.epochs: [2, 3]}\nsampler: random\nconfirm: 2\n"
    )
    toys(a_sweep(folder, text + "trials: 2\n"))
    study = toys(a_sweep(folder, text + "trials: 5\n"))
    places = {trial.user_attrs["place"] for trial in study.get_trials()}
    assert {0, 1, 2, 3, 4} <= places
    assert count(study.get_trials()).waiting == 0


def test_what_confirms_is_never_ended_early(folder: Path) -> None:
    """Else only its lucky seeds would count."""
    sweep = a_sweep(
        folder, "search: {train.batch_size: [1, 2, 4]}\nsampler: grid\nprune: median\nconfirm: 3\n"
    )

    def lucky(of: Any, params: Any, seed: int | None, ends_early: Any) -> Outcome:
        value = 0.8 if seed is None else 0.1
        for epoch in (1, 2, 3):
            if ends_early(value, epoch):
                return Outcome({}, folder, epoch)
        return Outcome({"metrics": {"best": {"mAP50": value}}}, folder)

    study = open_study(sweep, None)
    work(sweep, study, lucky, lambda _text: None)
    best = best_groups(sweep, study.get_trials())[0]
    assert len(best.values) == 3
    assert best.mean == pytest.approx(1.0 / 3)


def test_data_that_is_not_there_uses_up_no_trial(
    folder: Path, jobgen: Callable[..., Answer]
) -> None:
    a_sweep(folder)
    answer = jobgen("sweep", "run", folder / "sweep.yaml", "--archive", "no.zip")
    assert (answer.code, "no.zip is not there" in answer.err) == (7, True)
    assert not (folder / "sweep" / "study.db").exists()


def test_whatever_goes_wrong_in_a_trial_it_says_why(folder: Path) -> None:
    sweep = a_sweep(folder, "search: {train.batch_size: [1, 2]}\nsampler: grid\n")

    def odd(of: Any, params: dict[str, Any], seed: int | None, ends_early: Any) -> Outcome:
        if params["train.batch_size"] == 1:
            raise TypeError("a slip")
        return Outcome({"metrics": {"best": {"mAP50": float("nan")}}}, folder)

    study = open_study(sweep, None)
    work(sweep, study, odd, lambda _text: None)
    why = [trial.user_attrs["why"] for trial in study.get_trials()]
    assert why == ["TypeError: a slip", "the run did not measure mAP50"]
    assert count(study.get_trials()).failed == 2
