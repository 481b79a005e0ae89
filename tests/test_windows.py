"""What works without Linux: the same bytes, a GBK console, and `run` refused with a way out.

Simulated: a process in which Linux's modules can't be imported and the system says win32.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sets import Coco, write_zip

pytestmark = pytest.mark.waits

# Modules that Windows lacks; os.fork, os.killpg and os.sched_getaffinity too.
SIMULATION = """
import os, platform, sys
# Their own Windows parts are theirs.
import filelock, psutil
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for name in ("fork", "killpg", "getuid", "geteuid", "sched_getaffinity", "setsid"):
    if hasattr(os, name):
        delattr(os, name)
# What others look up of the system as they are imported is theirs.
import asyncio, click, jinja2.sandbox, multiprocessing, msgspec, numpy, pathlib, PIL.Image, pydantic
import pydantic.main, rich.console, rich.progress, shutil, signal, socket, subprocess, tempfile, yaml
import zoneinfo
sys.platform = "win32"
platform.system = lambda: "Windows"
from jobgen.cli import main
main(prog_name="jobgen")
"""


def windows(
    *arguments: object, cwd: Path, encoding: str = "gbk"
) -> subprocess.CompletedProcess[bytes]:
    """Run jobgen as Windows would, its console in the given encoding."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    env.update(PYTHONIOENCODING=encoding, PYTHONUTF8="0", PYTHONPATH=str(ROOT))
    env["JOBGEN_CACHE"] = str(cwd / "cache")
    argv = [sys.executable, "-c", SIMULATION, *map(str, arguments)]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("name", ["ssdd", "bccd"])
def test_a_bundle_has_the_same_bytes(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "bundles" / name, tmp_path / name)
    shutil.rmtree(tmp_path / name / "upload")
    answer = windows("build", f"{name}/job.yaml", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr.decode("gbk")
    for path in (ROOT / "bundles" / name / "upload").iterdir():
        assert (tmp_path / name / "upload" / path.name).read_bytes() == path.read_bytes()


def test_a_job_with_windows_line_ends_is_the_same_job(tmp_path: Path) -> None:
    source = ROOT / "bundles" / "ssdd"
    shutil.copytree(source, tmp_path / "ssdd")
    job = tmp_path / "ssdd" / "job.yaml"
    job.write_bytes(job.read_bytes().replace(b"\n", b"\r\n"))
    assert windows("build", "ssdd/job.yaml", "--check", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("encoding", ["gbk", "cp437", "utf-8"])
def test_every_console_can_show_it(tmp_path: Path, encoding: str) -> None:
    """Names that the console's encoding lacks are shown some other way, not as a traceback."""
    made = Coco(root="船 é ☃")
    path = write_zip(tmp_path / "船 é ☃.zip", made.all_files())
    for arguments in (
        ("check", path.name),
        ("dataset", "inspect", path.name),
        ("init", "ships", "--archive", path.name, "--language", "zh"),
        ("models",),
        ("environments",),
        ("doctor",),
        ("cache", "list"),
        ("explain", "bundles/ships/job.yaml"),
    ):
        answer = windows(*arguments, cwd=tmp_path, encoding=encoding)
        said = answer.stderr.decode(encoding, "replace") + answer.stdout.decode(encoding, "replace")
        assert "Traceback" not in said, said
        assert answer.returncode in (0, 1), said
    assert (tmp_path / "bundles" / "ships" / "job.yaml").read_bytes().count(b"\r") == 0


def test_run_is_refused_with_its_reason_and_the_ways_out(tmp_path: Path) -> None:
    archive = tmp_path / "ssdd.zip"
    archive.write_bytes(b"")
    upload = ROOT / "bundles" / "ssdd" / "upload"
    answer = windows("run", upload, "--archive", archive, "--yes", "--no-check", cwd=tmp_path)
    assert answer.returncode == 7
    said = answer.stderr.decode("gbk")
    assert "local runs need Linux; this is win32" in said
    assert "WSL" in said
    assert "AI Studio" in said


def test_doctor_says_so_too(tmp_path: Path) -> None:
    answer = windows("doctor", cwd=tmp_path)
    assert answer.returncode == 1
    said = answer.stdout.decode("gbk")
    assert "MA001" in said
    assert "works" in said


def test_help_needs_none_of_it(tmp_path: Path) -> None:
    for name in ("run", "mirror", "cache", "report", "demo"):
        assert windows(name, "--help", cwd=tmp_path).returncode == 0
