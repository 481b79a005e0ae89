"""Machines that nobody had in mind: odd folders, no home, a terminal that is closed."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.job.bundle import read_bundle
from jobgen.machine.longwork import run_with_progress
from jobgen.run.kernel import LONGEST_SOCKET_FOLDER, socket_folder
from jobgen.run.strays import strays
from jobgen.run.workspace import new_folder, open_workspace
from jobgen.settings import default_cache, is_home, load_settings
from tests.conftest import ROOT, Answer
from tests.sets import Coco, write_zip
from tests.whole import Whole, make_whole


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    archive = write_zip(tmp_path / "set.zip", Coco().all_files()).read_bytes()
    return make_whole(tmp_path / "w", archive)


@pytest.mark.kernel
def test_a_run_with_odd_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chinese letters, a percent sign and a quote in the way; TMPDIR long and relative."""
    archive = write_zip(tmp_path / "set.zip", Coco().all_files()).read_bytes()
    whole = make_whole(tmp_path / "缓存 100%25 a'b", archive)
    long = tmp_path / ("t" * 100)
    long.mkdir()
    monkeypatch.chdir(tmp_path)
    for place in (str(long), "t" * 100):
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setenv("JOBGEN_CACHE", str(whole.folder / "船%20"))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        code, said = whole.run("--new")
        assert code == 0, said
        assert "Traceback" not in said


def test_sockets_lie_where_their_path_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("t" * LONGEST_SOCKET_FOLDER)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert len(socket_folder()) <= LONGEST_SOCKET_FOLDER


def test_without_home_and_name(
    jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, job: Path
) -> None:
    """A container may run as a user whom nobody knows."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "JOBGEN_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert str(os.getuid()) in default_cache().name
    assert load_settings().mirror is None
    assert not is_home(job.parent)
    assert jobgen("build", job).code == 0
    assert jobgen("check", job).code == 0
    assert jobgen("templates", "list").code == 0


@pytest.mark.kernel
@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5])
def test_a_kernel_that_is_killed_before_its_first_cell(whole: Whole, delay: float) -> None:
    process = whole.start({})
    deadline = time.monotonic() + 60
    struck = False
    while not struck and process.poll() is None and time.monotonic() < deadline:
        for pid in [pid for folder in whole.folder.glob("runs/*") for pid in strays(folder)]:
            with contextlib.suppress(OSError):
                if b"ipykernel_launcher" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    time.sleep(delay)
                    os.kill(pid, signal.SIGKILL)
                    struck = True
        time.sleep(0.005)
    out, err = process.communicate(timeout=120)
    assert struck
    assert process.returncode == 7, out + err
    assert "Traceback" not in out + err
    assert "did not start" in err or "kernel died" in out + err


@pytest.mark.kernel
def test_a_closed_terminal_ends_a_run_in_truth(whole: Whole) -> None:
    process = whole.start({"pause": 30})
    events = None
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list(whole.folder.glob("runs/*/home/output/*/events.jsonl"))
        if found and '"event": "step"' in found[0].read_text("utf-8"):
            events = found[0]
            break
        time.sleep(0.1)
    assert events is not None
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert whole.result()["status"] == "interrupted"
    assert not [pid for folder in whole.folder.glob("runs/*") for pid in strays(folder)]


def test_many_runs_at_once_have_a_folder_each(tmp_path: Path) -> None:
    bundle = read_bundle(ROOT / "bundles" / "ssdd" / "upload")
    found: list[Path] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(open_workspace(bundle, tmp_path, {}, True)[0].folder)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8
    assert new_folder(tmp_path, found[0].name) not in found


def test_what_makes_an_environment_dies_with_jobgen(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from jobgen.machine.longwork import run_with_progress\n"
        "argv = [sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True);"
        " time.sleep(60)']\n"
        "run_with_progress(argv, dict(os.environ), open(sys.argv[2], 'w'), print)\n"
    )
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(log)])
    deadline = time.monotonic() + 30
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(log.read_text())
    parent.kill()
    parent.wait()
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        time.sleep(0.05)
    assert time.monotonic() < deadline
    assert callable(run_with_progress)
