"""What ends a child that will not end well by itself, with real children."""

import sys
import time
from pathlib import Path

import pytest

from jobgen_runtime.children import guard as guard_module
from jobgen_runtime.children.guard import (
    Activity,
    Guard,
    job_guard,
    session_activity,
    session_processes,
)
from jobgen_runtime.children.processes import run_logged
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome, begin

pytestmark = pytest.mark.waits

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def python(code: str) -> list:
    return [sys.executable, "-c", code]


def ended(tmp_path: Path, code: str, guard: Guard) -> StageError:
    with pytest.raises(StageError) as caught:
        run_logged(python(code), str(tmp_path / "log"), guard=guard, quiet=True)
    return caught.value


@LINUX
def test_a_child_that_only_waits_is_taken_for_hung(tmp_path: Path) -> None:
    code = "import time; print('step 1', flush=True); time.sleep(60)"
    started = time.monotonic()
    error = ended(tmp_path, code, Guard(patience=2.0))
    assert time.monotonic() - started < 15
    assert error.cause == "stall"
    assert "neither processor nor disk were used" in error.message
    assert error.tail == ["step 1"]


@LINUX
def test_a_child_that_computes_without_a_word_is_left_alone(tmp_path: Path) -> None:
    code = "import time; end = time.time() + 5\nwhile time.time() < end: pass"
    finished = run_logged(python(code), str(tmp_path / "log"), guard=Guard(patience=1.0))
    assert finished.exit_status == 0


@LINUX
def test_a_grandchild_that_computes_counts(tmp_path: Path) -> None:
    loop = "import time; end = time.time() + 5\nwhile time.time() < end: pass"
    code = "import subprocess, sys; subprocess.call([sys.executable, '-c', %r])" % loop
    assert run_logged(python(code), str(tmp_path / "l"), guard=Guard(1.0)).exit_status == 0


@LINUX
def test_five_times_the_longest_pause_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import time\nfor pause in (1.6, 5):\n"
        "    print('a', flush=True); time.sleep(pause)\nprint('b')"
    )
    assert run_logged(python(code), str(tmp_path / "l"), guard=Guard(2.0)).exit_status == 0


@LINUX
def test_a_child_in_trouble_gets_less_time(tmp_path: Path) -> None:
    guard = Guard(patience=600.0)
    code = "import time; print('Exception in thread', flush=True); time.sleep(60)"
    with pytest.raises(StageError, match="it hangs"):
        run_logged(
            python(code), str(tmp_path / "l"), guard=guard, on_line=lambda line: guard.hurry(2.0)
        )


def test_the_jobs_time_is_up(tmp_path: Path) -> None:
    begin(str(tmp_path / "out"), time_limit=3.0, name="t")
    started = time.monotonic()
    error = ended(tmp_path, "import time; time.sleep(60)", job_guard())
    assert 1.5 < time.monotonic() - started < 10
    assert error.cause == "time"
    assert "RESUME_FROM" in error.remedy


def test_without_a_limit_there_is_no_deadline(run: Outcome) -> None:
    assert run.deadline is None
    assert job_guard().deadline is None


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "LOOK_EVERY", 0.5)
    monkeypatch.setattr(guard_module, "DISK_FLOOR", 1 << 60)
    error = ended(tmp_path, "import time; time.sleep(60)", Guard(folder=str(tmp_path)))
    assert error.cause == "disk"
    assert "MB are left on the disk" in error.message


SETSID = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", %r], preexec_fn=os.setsid)
print(child.pid, flush=True)
child.wait()
"""
BUSY = "import time; end = time.time() + %d\nwhile time.time() < end: pass"


def gone(pid: str) -> bool:
    """Whether a process has ended; a signal takes a moment."""
    deadline = time.monotonic() + 5
    while Path("/proc/%s/cwd" % pid).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path("/proc/%s/cwd" % pid).exists()


@LINUX
def test_a_process_with_a_session_of_its_own_counts_and_ends(tmp_path: Path) -> None:
    """As Paddle's launcher starts its processes."""
    guard, said = Guard(patience=1.0), []  # type: ignore[var-annotated]
    finished = run_logged(
        python(SETSID % (BUSY % 5)), str(tmp_path / "l"), guard=guard, on_line=said.append
    )
    assert finished.exit_status == 0
    assert gone(said[0])


@LINUX
def test_it_is_ended_with_a_launcher_that_is_stopped(tmp_path: Path) -> None:
    said = []  # type: ignore[var-annotated]
    run_logged(python(SETSID % (BUSY % 60)), str(tmp_path / "l"), timeout=3, on_line=said.append)
    assert gone(said[0])


@LINUX
def test_a_session_is_known_by_its_leader(tmp_path: Path) -> None:
    import subprocess

    code = "import subprocess, sys; subprocess.call([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen(python(code), stdin=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 10
    while len(session_processes(child.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.pid in session_processes(child.pid)
    assert len(session_processes(child.pid)) == 2
    found = session_activity(child.pid)
    assert found is not None
    assert found.seconds >= 0
    child.communicate(b"\n")
    assert session_processes(child.pid) == []


@LINUX
def test_a_child_that_only_writes_to_disk_is_left_alone(tmp_path: Path) -> None:
    """No word, hardly any processor: but what it does is seen in its bytes."""
    code = (
        "import os, time\nend = time.time() + 6\n"
        "with open(%r, 'wb') as s:\n"
        "    while time.time() < end:\n"
        "        s.write(b'x' * 300000); s.flush(); os.fsync(s.fileno()); time.sleep(0.3)\n"
    ) % str(tmp_path / "big")
    assert run_logged(python(code), str(tmp_path / "l"), guard=Guard(1.5)).exit_status == 0


def test_a_process_that_has_ended_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took its count with it: less than before is not nothing."""
    counts = iter([(50.0, 0), (9.0, 0), (9.0, 0), (9.0, 0)])
    monkeypatch.setattr(guard_module, "session_activity", lambda _: Activity(*next(counts)))
    guard = Guard(patience=100.0)
    guard._heard = 0.0
    guard._look_at_session(1, 100.0)
    guard._looked = 100.0
    guard._look_at_session(1, 190.0)
    guard._looked = 190.0
    guard._look_at_session(1, 280.0)
    guard._looked = 280.0
    with pytest.raises(StageError, match="it hangs"):
        guard._look_at_session(1, 291.0)


def test_the_job_ends_before_its_time_is_up(tmp_path: Path) -> None:
    """What follows training, and the record, need a while."""
    for limit, margin in ((36000.0, 900.0), (1000.0, 100.0)):
        record = Outcome(str(tmp_path / str(limit)), {}, limit)
        assert record.deadline is not None
        assert record.deadline - record._clock == pytest.approx(limit - margin)
