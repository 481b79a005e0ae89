import os
import sys
import time
from pathlib import Path

import pytest

from jobgen_runtime.children.processes import (
    LineSplitter,
    child_environment,
    exit_text,
    json_from_child,
    last_words,
    run_logged,
)
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome

pytestmark = pytest.mark.waits


def python(code: str) -> list:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    """Whether a process stays at work (a zombie is not), a kill needing its moment."""
    for _ in range(50):
        try:
            state = Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


def test_output_is_logged_and_passed_on(tmp_path: Path) -> None:
    lines: list = []
    log = tmp_path / "x.log"
    code = "import sys; print('one'); print('zwei: ü', file=sys.stderr); sys.exit(3)"
    finished = run_logged(python(code), str(log), on_line=lines.append)
    assert finished.exit_status == 3
    assert sorted(lines) == ["one", "zwei: ü"]
    assert "one\n" in log.read_text(encoding="utf-8")
    assert exit_text(finished) == "ended with exit status 3"


def test_progress_bars_are_folded() -> None:
    splitter = LineSplitter()
    found = splitter.feed(b"10%\r20%\r") + splitter.feed(b"100%\ndone\r\nlast \xe8\x88")
    assert found == ["100%", "done"]
    assert splitter.feed(b"\xb9") == []
    assert splitter.feed(b"", final=True) == ["last 船"]
    splitter = LineSplitter()
    lines = []
    for percent in range(1000):
        lines += splitter.feed(b"%d %%\r" % percent)
        assert len(splitter._rest) < 20
    assert lines + splitter.feed(b"\n") == ["999 %"]


def test_a_kill_is_told_from_an_exit(tmp_path: Path) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    finished = run_logged(python(code), str(tmp_path / "x.log"), on_line=lambda line: None)
    assert finished.exit_status == -9
    assert exit_text(finished) == "was killed (SIGKILL)"
    full = finished._replace(memory=0.95)
    assert "most likely out of memory" in exit_text(full)


def test_a_timeout_ends_the_child_and_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    lines: list = []
    started = time.monotonic()
    finished = run_logged(python(code), str(tmp_path / "x.log"), timeout=2, on_line=lines.append)
    assert finished.timed_out
    assert time.monotonic() - started < 20
    assert "did not end within" in exit_text(finished)
    assert not alive(int(lines[0]))


def test_an_exception_while_reading_ends_the_child(tmp_path: Path) -> None:
    pids = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise StageError("enough")

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(StageError, match="enough"):
        run_logged(python(code), str(tmp_path / "x.log"), on_line=stop)
    assert not alive(pids[0])


def test_a_grandchild_that_holds_the_pipe_does_not_hang_the_run(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(120)']); print('parent done')"
    )
    started = time.monotonic()
    finished = run_logged(python(code), str(tmp_path / "x.log"), on_line=lambda line: None)
    assert finished.exit_status == 0
    assert time.monotonic() - started < 30


def test_much_output_is_kept_in_the_log_and_not_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "x.log"
    run_logged(python("for i in range(200000): print('x' * 100)"), str(log))
    assert log.stat().st_size > 20000000
    assert len(capsys.readouterr().out) < 10000


def test_secrets_do_not_reach_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISTUDIO_ACCESS_TOKEN", "s3cret")
    monkeypatch.setenv("MY_PASSWORD", "s3cret")
    monkeypatch.setenv("HARMLESS", "yes")
    env = child_environment(EXTRA="1")
    assert "s3cret" not in env.values()
    assert env["HARMLESS"] == "yes"
    assert env["EXTRA"] == "1"
    assert env["PYTHONUTF8"] == "1"


def test_json_from_a_child_and_from_one_that_fails(run: Outcome) -> None:
    found = json_from_child(python("print('noise'); print('{\"a\": 1}')"), "log", "the step")
    assert found == {"a": 1}
    torn = "print('[11/28] reader {\"a\": {\"b\": 2}}[11/28] WARNING: {x'); print('{ no more'); print(7)"
    assert json_from_child(python(torn), "log", "the step") == {"a": {"b": 2}}
    with pytest.raises(StageError) as caught:
        json_from_child(python("raise ValueError('too bad')"), "log", "the step")
    assert caught.value.message == "the step ended with exit status 1: ValueError: too bad"
    assert caught.value.exit_status == 1
    assert os.path.isfile(str(caught.value.log))


def test_last_words_prefer_the_error() -> None:
    assert last_words(["Traceback", "KeyError: 2", "bye"]) == "KeyError: 2"
    assert last_words(["fatal: not found", ""]) == "fatal: not found"
    assert last_words(["  ", ""]) == "it said nothing"
