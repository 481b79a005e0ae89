"""How fast a training goes, from its log and a clock."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.train.configure import most_workers, prefetched_bytes, workers_in_memory
from jobgen_runtime.train.cures import spare_shared_memory
from jobgen_runtime.train.hours import evaluations, train_seconds, waiting_share
from jobgen_runtime.train.pace import Pace
from jobgen_runtime.train.reading import (
    Reads,
    expect_training,
    remedy,
    speed_text,
    tell_waiting,
)
from tests.runtime.standin import FAMILY, Bench


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def line(epoch: int, step: int, cost: float = 2.0, data: float = 0.5) -> Dict[str, Any]:
    found = {"epoch": epoch, "step": step, "steps": 10, "batch_cost": cost, "data_cost": data}
    return dict(found, ips=8 / cost)


def test_what_a_training_does_between_its_steps() -> None:
    """Start 30 s, steps of 2 s of which every fifth is logged, epochs that begin in 7 s, and an
    evaluation of 12 s after the first."""
    clock = Clock()
    pace = Pace(clock)
    clock.now += 30 + 2
    pace.step(line(0, 0))
    clock.now += 10
    pace.step(line(0, 5))
    clock.now += 4 * 2 + 12
    pace.evaluated()
    clock.now += 7 + 2
    pace.step(line(1, 0))
    clock.now += 10
    pace.step(line(1, 5))
    clock.now += 4 * 2 + 7 + 2
    pace.step(line(2, 0))
    assert pace.facts() == {
        "images_per_second": 4.0,
        "start": 30.0,
        "epoch_start": 7.0,
        "evaluation": 12.0,
    }


def test_nothing_seen_says_nothing() -> None:
    assert Pace().facts() == {}
    assert Pace().waiting() is None


@pytest.mark.parametrize(("lines", "waiting"), [(9, None), (10, 0.25), (30, 0.25)])
def test_waiting_is_a_share_of_the_last_steps(lines: int, waiting: Optional[float]) -> None:
    pace = Pace(Clock())
    for number in range(lines):
        pace.step(line(0, 1 + number))
    assert pace.waiting() == waiting


@pytest.mark.waits
def test_a_training_that_waits_says_so_once(bench: Bench, run: Outcome) -> None:
    bench.options["slow_reading"] = "do this"
    bench.train(epochs=12, scores=[0.1] * 12, data_cost=1.0)
    said = [row["text"] for row in run.data["notes"] if "waits for pictures" in row["text"]]
    assert said == ["training waits for pictures 50 % of its time: do this"]
    assert run.data["metrics"]["pace"]["images_per_second"] == pytest.approx(3.9)


def found(reading: float, training: float) -> Dict[str, Any]:
    return {"images_per_second": training, "reading": {"rates": {"4": reading}}}


def test_the_smoke_step_says_which_of_the_two_waits(run: Outcome) -> None:
    text = speed_text(found(38.0, 92.0), "gpu")
    assert text == (
        "reading 38 images/s with 4 processes, training 92: the card waits 59 % of the time"
    )
    assert speed_text(found(380.0, 4.5), "cpu") == (
        "reading 380 images/s with 4 processes, training 4.5"
    )
    tell_waiting(found(38.0, 92.0), "gpu", "do this")
    tell_waiting(found(300.0, 92.0), "gpu", "do this")
    tell_waiting(found(3.0, 92.0), "cpu", "do this")
    assert [row["text"] for row in run.data["notes"]] == [
        "the card will wait for pictures 59 % of the time: do this"
    ]


def values(epochs: int) -> Dict[str, Any]:
    found = {"epochs": epochs, "steps_per_epoch": 10, "batch_size": 8, "gpus": 1}
    return dict(found, snapshot_epoch=10)


def test_a_time_limit_that_will_end_the_training_is_said_beforehand(run: Outcome) -> None:
    run.time_limit = 2000.0
    seconds = expect_training(found(20.0, 92.0), values(1000), 40, "gpu", done=200)
    # 800 x 80 images at the reader's 20 a second, two seconds more an epoch, 80 evaluations.
    assert seconds == pytest.approx(800 * (80 / 20 + 2) + 80 * (3 + 40 / 20))
    (note,) = run.data["notes"]
    assert "TIME_LIMIT_HOURS leaves " in note["text"]
    assert "in about epoch 476 of 1000" in note["text"]
    assert run.data["expected"]["train_seconds"] == seconds


def test_evaluation_reads_the_pictures_themselves_and_a_cpu_does_both(run: Outcome) -> None:
    small, large = (
        expect_training(found(20.0, 92.0), values(10), 40, "gpu", larger=larger)
        for larger in (1.0, 9.0)
    )
    assert large - small == pytest.approx(40 / (20.0 / 9) - 40 / 20.0)
    alone = train_seconds(values(10), 1 / (1 / 20 + 1 / 5), 2.0)
    assert expect_training(found(20.0, 5.0), values(10), 40, "cpu") > alone


def test_each_card_has_its_own_reader_and_images(run: Outcome) -> None:
    one, four = (
        expect_training(found(20.0, 92.0), dict(values(10), gpus=gpus), 40, "gpu")
        for gpus in (1, 4)
    )
    # Four times the images in a step, four times the speed.
    assert one == four


def test_a_reader_that_fails_is_not_measured(run: Outcome) -> None:
    said = {"images_per_second": 4.0, "reading": {"fault": "RuntimeError: torn"}}
    assert speed_text(said, "gpu") == "reading could not be measured (RuntimeError: torn)"


@pytest.mark.parametrize(
    ("how", "begins"),
    [
        (Reads("auto", 2, 8, 480, True), "WORKERS = 8 lets"),
        (Reads("off", 8, 8, 480, True), "dataset.shrink: auto in job.yaml has"),
        (Reads("auto", 8, 8, 480, True), "dataset.shrink: 480 in job.yaml has"),
        (Reads("auto", 8, 8, 3000, True), "a machine with more cores reads faster"),
    ],
)
def test_what_to_do_fits_the_cause(how: Reads, begins: str, tmp_path: Path) -> None:
    record = {"images": [{"width": 4000, "height": 3000}], "annotations": [], "categories": []}
    (tmp_path / "train.json").write_text(json.dumps(record), encoding="utf-8")
    place = {"dataset_dir": str(tmp_path), "train": {"anno_path": "train.json"}}
    assert remedy(place, how).startswith(begins)
    assert ("distort: none" in remedy(place, how)) is (how.largest_side == 3000)
    assert "distort" not in remedy(place, how._replace(largest_side=3000, colours=False))


def test_hours_are_sums() -> None:
    assert train_seconds(values(5), 40.0, 2.0) == 5 * (80 / 40 + 2)
    assert [evaluations(epochs, 10) for epochs in (5, 10, 11, 100)] == [1, 1, 2, 10]
    assert waiting_share(38, 92) == pytest.approx(0.587, abs=0.001)
    assert waiting_share(100, 92) == 0


def test_processes_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobgen_runtime.train import configure

    for free, wanted in ((100 << 30, 64), (4 << 30, 3), (1 << 20, 1)):
        monkeypatch.setattr(configure, "memory_facts", lambda free=free: {"available": free})
        assert workers_in_memory(32, 704) == wanted
    monkeypatch.setattr(configure, "core_count", lambda: 8)
    monkeypatch.setattr(configure, "memory_facts", dict)
    assert [most_workers(32, 704, gpus) for gpus in (1, 2, 16)] == [8, 4, 1]


@pytest.mark.parametrize(("free", "changed"), [(None, False), (10**12, False), (10**6, True)])
def test_shared_memory_that_is_too_small_is_not_used(
    free: Optional[int], changed: bool, bench: Bench, run: Outcome
) -> None:
    bench.folder.joinpath("model.yml").write_text("TrainReader:\n  use_shared_memory: true\n")
    bench.path.write_text("", encoding="utf-8")
    wanted: List[Any] = [["use_shared_memory", True, False]] if changed else []
    plan = {"batch_size": 8, "worker_num": 4, "gpus": 1, "family": dict(FAMILY, largest_side=384)}
    assert 4 * prefetched_bytes(8, 384) > 10**6
    spare_shared_memory(str(bench.path), plan, free)
    rows = [[row["what"], row["planned"], row["used"]] for row in run.data["adjustments"]]
    assert rows == wanted
    assert ("use_shared_memory: false" in bench.text()) is changed
