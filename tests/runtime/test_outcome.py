import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome, adjust, begin, note, outcome, stage, summary
from jobgen_runtime.record.text import duration_text
from tests.runtime.conftest import events, read_json


def result_of(record: Outcome) -> dict:
    return read_json(record.path("result.json"))


def test_a_stage_that_passes_is_recorded(tmp_path: Path) -> None:
    record = begin(str(tmp_path / "out"), name="ships")
    with stage("data"):
        summary("three images")
        note("a remark")
        assert adjust("workers", 4, 2, "two cores") == 2
        assert adjust("batch", 4, 4, "no change is no adjustment") == 4
    found = result_of(record)
    assert found["status"] == "running"
    (recorded,) = found["stages"]
    assert (recorded["name"], recorded["status"], recorded["text"]) == (
        "data",
        "ok",
        "three images",
    )
    assert found["notes"] == [{"stage": "data", "text": "a remark"}]
    assert [a["what"] for a in found["adjustments"]] == ["workers"]
    assert [e["status"] for e in events(record, "end")] == ["ok"]


def test_a_failed_stage_ends_the_run_with_cause_and_remedy(tmp_path: Path) -> None:
    record = begin(str(tmp_path / "out"), name="ships")
    with pytest.raises(StageError), stage("source"):
        raise StageError("no address answers", "try later", cause="network", exit_status=128)
    found = result_of(record)
    assert found["status"] == "failed"
    assert found["stages"][-1]["status"] == "failed"
    assert found["stages"][-1]["exit_status"] == 128
    assert found["failure"]["stage"] == "source"
    assert found["failure"]["cause"] == "network"
    assert found["failure"]["message"] == "no address answers"
    assert found["failure"]["remedy"] == "try later"
    assert found["ended"] is not None


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (OSError(28, "No space left on device", "/x"), "failed", "disk"),
        (PermissionError(13, "Permission denied", "/x"), "failed", "disk"),
        (ZeroDivisionError("oops"), "failed", "internal"),
        (StageError("nothing learned", cause="untrained"), "untrained", "untrained"),
    ],
)
def test_every_kind_of_end_is_told_apart(
    tmp_path: Path, error: BaseException, status: str, cause: str
) -> None:
    record = begin(str(tmp_path / "out"), name="ships")
    with pytest.raises(type(error)), stage("train"):
        raise error
    found = result_of(record)
    assert (found["status"], found["failure"]["cause"]) == (status, cause)


def test_after_a_failure_no_other_stage_starts(tmp_path: Path) -> None:
    record = begin(str(tmp_path / "out"), name="ships")
    with pytest.raises(StageError), stage("data"):
        raise StageError("first fault", cause="data")
    ran = []
    with pytest.raises(StageError, match="the run has ended already"), stage("train"):
        ran.append(1)
    assert ran == []
    assert result_of(record)["failure"]["message"] == "first fault"


def test_an_earlier_attempt_is_kept(tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    begin(folder, name="ships")
    with pytest.raises(StageError), stage("data"):
        raise StageError("wrong archive", cause="data")
    killed = begin(folder, name="ships")
    killed.start("train")
    again = begin(folder, name="ships")
    attempts = result_of(again)["attempts"]
    assert [(a["status"], a["stage"]) for a in attempts] == [
        ("failed", "data"),
        ("interrupted", None),
    ]


def test_result_is_whole_at_any_time(tmp_path: Path) -> None:
    record = begin(str(tmp_path / "out"), name="船 <x>")
    with stage("data"):
        json.loads(Path(record.path("result.json")).read_text(encoding="utf-8"))
    assert [p.name for p in (tmp_path / "out").glob("*.tmp")] == []
    assert result_of(record)["name"] == "船 <x>"


def test_without_a_run_a_stage_says_so() -> None:
    with pytest.raises(StageError, match="no run was begun"):
        outcome()


def test_durations() -> None:
    assert [duration_text(s) for s in (0.44, 59, 723, 11100)] == [
        "0.4 s",
        "59.0 s",
        "12 min 3 s",
        "3 h 5 min",
    ]


HOLDER = """
import sys, time
sys.path.insert(0, %r)
from jobgen_runtime.record.outcome import begin
begin(sys.argv[1], name="first")
print("begun", flush=True)
time.sleep(60)
"""


def test_two_runs_in_one_folder_refuse_one_another(tmp_path: Path) -> None:
    """Two kernels of one home would train into the same checkpoints."""
    folder = str(tmp_path / "out")
    root = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", HOLDER % root, folder]
    first = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"begun\n"
        before = read_json(tmp_path / "out" / "result.json")
        with pytest.raises(StageError, match=r"another run .* is at work .*process %d" % first.pid):
            begin(folder, name="second")
        # The first one's record is its own.
        assert read_json(tmp_path / "out" / "result.json") == before
    finally:
        first.kill()
        first.communicate()
    assert begin(folder, name="third").data["attempts"][0]["status"] == "interrupted"
    # A kernel that is run from its first cell again holds the folder already.
    begin(folder, name="again")


def test_a_closed_terminal_is_told_as_a_stop(tmp_path: Path) -> None:
    code = (HOLDER % str(Path(__file__).parents[2])).replace("begin(sys", "run = begin(sys")
    code = code.replace(
        "print(", "run.start('train')\nfrom jobgen_runtime.record import outcome\nprint("
    )
    code = code.replace("time.sleep(60)", "with outcome.stage('train'): time.sleep(60)")
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # also under nohup
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    first.send_signal(signal.SIGHUP)
    first.communicate(timeout=30)
    assert read_json(tmp_path / "out" / "result.json")["status"] == "interrupted"
