"""What a job leaves behind, beside what the platform lets it leave."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.collect import clean_up, keep_best_so_far, saved_size
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome, at_end, begin, stage
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.setup.source import CLONE_MARK
from tests.runtime.conftest import read_json
from tests.runtime.standin import Bench


@pytest.fixture
def home(tmp_path: Path, run: Outcome, request: pytest.FixtureRequest) -> Path:
    """A home after a job: a clone of 120 files, or as many as the test is parametrized with, a
    mounted set, checkpoints."""
    folder = tmp_path / "home"
    for name in (
        "data/data1",
        "PaddleDetection/.git",
        "PaddleDetection/docs",
        "output/checkpoints",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "PaddleDetection" / ".git" / CLONE_MARK).write_text("")
    for number in range(getattr(request, "param", 120)):
        (folder / "PaddleDetection" / "docs" / ("%d.md" % number)).touch()
    (folder / "output" / "checkpoints" / "0.pdparams").write_bytes(b"w" * 100)
    (folder / "data" / "data1" / "set.zip").write_bytes(b"z" * 1000)
    run.data["status"] = "ok"
    return folder


def clean(home: Path, wanted: Any) -> None:
    clone = str(home / "PaddleDetection")
    clean_up(str(home), "ships", [], clone, str(home / "output" / "checkpoints"), wanted)


def notes(run: Outcome) -> list:
    return [note["text"] for note in run.data["notes"]]


def test_mounted_data_does_not_count(home: Path) -> None:
    assert saved_size(str(home)) == {"files": 122, "bytes": 100}


@pytest.mark.parametrize("home", [12000], indirect=True)
@pytest.mark.waits
def test_only_as_much_is_removed_as_the_limits_ask_for(home: Path, run: Outcome) -> None:
    clean(home, "auto")
    assert not (home / "PaddleDetection").exists()
    assert (home / "output" / "checkpoints" / "0.pdparams").is_file()
    assert (home / "data" / "data1" / "set.zip").is_file()
    assert notes(run) == ["removed PaddleDetection (CLEANUP)"]


@pytest.mark.parametrize("home", [9000], indirect=True)
@pytest.mark.waits
def test_nothing_is_removed_below_the_limits(home: Path, run: Outcome) -> None:
    clean(home, "auto")
    assert len(os.listdir(str(home / "PaddleDetection" / "docs"))) == 9000
    assert notes(run) == []


def test_asked_for_it_removes_all_that_can_be_made_again(home: Path, run: Outcome) -> None:
    clean(home, True)
    assert notes(run) == ["removed PaddleDetection, output/checkpoints (CLEANUP)"]


def test_not_asked_for_it_removes_nothing(home: Path, run: Outcome) -> None:
    clean(home, False)
    assert saved_size(str(home))["files"] == 122


def test_after_a_failure_the_checkpoints_stay(home: Path, run: Outcome) -> None:
    run.data["status"] = "failed"
    clean(home, True)
    assert (home / "output" / "checkpoints" / "0.pdparams").is_file()


@pytest.mark.parametrize("home", [12000], indirect=True)
@pytest.mark.waits
def test_a_clone_of_someone_elses_stays_and_is_told(home: Path, run: Outcome) -> None:
    (home / "PaddleDetection" / ".git" / CLONE_MARK).unlink()
    clean(home, "auto")
    assert (home / "PaddleDetection" / "docs" / "1.md").exists()
    assert "12000 files" in notes(run)[-1]
    assert notes(run)[-1].endswith("most of them lie in PaddleDetection")


def test_after_a_failure_the_best_weights_are_kept(bench: Bench, run: Outcome) -> None:
    with pytest.raises(StageError):
        bench.train(die_in=2)
    run.data["status"] = "failed"
    keep_best_so_far(str(bench.save_dir))
    assert not Path(run.path("weights")).exists()  # nothing says that they are this run's
    run.claimed = True
    keep_best_so_far(str(bench.save_dir))
    assert Path(run.path("weights", "best_model.pdparams")).is_file()
    paths = [item["path"] for item in run.data["artefacts"]]
    assert "weights/best_model.pdparams" in paths


def test_what_was_asked_for_is_done_after_a_failure_too(tmp_path: Path) -> None:
    done: list = []
    run = begin(str(tmp_path / "out"), name="t")

    def fails() -> None:
        raise ValueError("no")

    at_end(done.append, "one")
    at_end(fails)
    at_end(done.append, "two")
    with pytest.raises(StageError), stage("train"):
        raise StageError("x")
    assert done == ["one", "two"]
    assert run.data["status"] == "failed"
    assert run.data["failure"]["message"] == "x"
    assert [note["text"] for note in run.data["notes"]] == ["ValueError: no"]


def test_weights_of_an_earlier_success_are_not_overwritten(bench: Bench, run: Outcome) -> None:
    weights = Path(run.path("weights"))
    weights.mkdir()
    (weights / "best_model.pdparams").write_bytes(b"good")
    run.data["attempts"] = [{"status": "ok"}]
    with pytest.raises(StageError):
        bench.train(die_in=2)
    run.claimed, run.data["status"] = True, "failed"
    keep_best_so_far(str(bench.save_dir))
    old = Path(run.path("weights-old-1", "best_model.pdparams"))
    assert old.read_bytes() == b"good"
    assert (weights / "best_model.pdparams").read_bytes() != b"good"


def test_a_clone_outside_of_home_stays(home: Path, run: Outcome, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (home / "PaddleDetection").rename(elsewhere)
    clean_up(str(home), "ships", [], str(elsewhere), str(home / "output" / "checkpoints"), True)
    assert (elsewhere / "docs" / "1.md").exists()


def test_a_file_name_that_is_no_utf8_does_not_hide_the_cause(tmp_path: Path) -> None:
    run = begin(str(tmp_path / "out"), name="t")
    name = os.fsdecode("\u8239.zip".encode("gbk"))
    with pytest.raises(StageError), stage("data"):
        raise StageError("two archives: %s" % name, "Remove %s" % name, tail=[name])
    found = read_json(run.path("result.json"))
    assert found["status"] == "failed"
    assert found["closed"] is True
    assert "\\udcb4" in found["failure"]["remedy"]


def test_a_record_that_can_not_be_written_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done at the end may free the disk: then the verdict is written after all."""
    run = begin(str(tmp_path / "out"), name="t")
    write = write_text_atomically
    full = [True]

    def maybe(path: str, text: str) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, text)

    at_end(full.__setitem__, 0, False)
    run.start("train")
    monkeypatch.setattr(outcome_module, "write_text_atomically", maybe)
    run.fail(StageError("x", cause="disk"))
    found = read_json(run.path("result.json"))
    assert (found["status"], found["failure"]["message"]) == ("failed", "x")


def test_a_stop_between_two_stages_is_told_as_one(tmp_path: Path) -> None:
    run = begin(str(tmp_path / "out"), name="t")
    with pytest.raises(KeyboardInterrupt):
        outcome_module._stop(15, None)
    outcome_module._close_between_stages()
    assert run.data["status"] == "interrupted"


def test_a_clock_that_jumps_back_changes_no_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(str(tmp_path / "out"), name="t", time_limit=100.0)
    monkeypatch.setattr(time, "time", lambda: -1e9)
    with stage("train"):
        time.sleep(0.05)
    assert run.data["stages"][0]["seconds"] >= 0.05
    assert run.data["seconds"] > 0
    assert run.deadline is not None
    assert run.deadline > time.monotonic()


def test_a_disk_that_is_full_while_the_result_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record on disk stays the last whole one, and the fault is told as the disk's."""
    run = begin(str(tmp_path / "out"), name="t")
    before = Path(run.path("result.json")).read_text()

    def full(path: str, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(outcome_module, "write_text_atomically", full)
    with pytest.raises(OSError, match="No space left"), stage("train"):
        pass
    assert Path(run.path("result.json")).read_text() == before
