"""The wheel: its exact files, and that it builds a bundle outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobgen.machine.index import uv_environment
from tests.conftest import JOB, ROOT

GENERATED = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "-o", str(target)]
    # uv reads neither pip.conf nor pip's variables: a mirror or certificate named there only.
    subprocess.run([*argv, str(ROOT)], env=uv_environment(), check=True, capture_output=True)
    (path,) = target.glob("*.whl")
    return path


def test_the_wheel_holds_just_the_package_and_the_templates(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "jobgen", "templates"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {path for path in tracked if path.startswith("jobgen/")}
    expected |= {f"jobgen/_data/{path}" for path in tracked if path.startswith("templates/")}
    info = f"{wheel.name.split('-py3')[0]}.dist-info"
    expected |= {f"{info}/{name}" for name in GENERATED}
    assert len(expected) > 60
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == expected


def test_an_installed_wheel_builds_a_bundle(wheel: Path, tmp_path: Path) -> None:
    from jobgen.machine.environment import uv_program

    uv, env = uv_program(), uv_environment()
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [uv, "venv", "-q", "-p", sys.executable, str(tmp_path / "env")], env=env, check=True
    )
    subprocess.run([uv, "pip", "install", "-q", "-p", str(python), str(wheel)], env=env, check=True)
    job = tmp_path / "work" / "job.yaml"
    job.parent.mkdir()
    job.write_text(JOB, encoding="utf-8")
    for command in (["-m", "jobgen"], ["-I", "-c", "from jobgen.cli import entry; entry()"]):
        argv = [str(python), *command, "build", str(job)]
        answer = subprocess.run(argv, cwd=job.parent, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
    here = subprocess.run(
        [sys.executable, "-m", "jobgen", "build", str(job), "--check"], check=False
    )
    assert here.returncode == 0
    broken = subprocess.run(
        [str(python), "-m", "jobgen", "run", "upload", "--yes"], cwd=job.parent,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # A plain install builds; what running needs besides is said before anything is tried.
    assert broken.returncode == 1
    assert 'Fix: pip install "jobgen[run]"' in broken.stderr
