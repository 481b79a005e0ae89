"""The wheel: its exact files, and that it builds a bundle outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobgen.machine.index import uv_environment
from tests.conftest import JOB, ROOT
from tests.sets import Coco, write_zip

pytestmark = pytest.mark.waits

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
        ["git", "ls-files", "jobgen", "jobgen_runtime", "templates"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {path for path in tracked if path.startswith(("jobgen/", "jobgen_runtime/"))}
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


def test_in_ai_studios_terminal(wheel: Path, tmp_path: Path) -> None:
    """The documented line sets jobgen up beside the image's Python, where PIP_USER=1 is set;
    init sees the mounts, and the three files lie where versions are picked from."""
    home, image = tmp_path / "aistudio", tmp_path / "image"
    mount = home / "data" / "data264241"
    mount.mkdir(parents=True)
    write_zip(mount / "ships.zip", Coco().all_files())
    subprocess.run([sys.executable, "-m", "venv", str(image)], check=True)
    env = {**os.environ, "HOME": str(home), "PIP_USER": "1", "LANG": "C.UTF-8"}
    env["PATH"] = os.pathsep.join([str(image / "bin"), os.environ["PATH"]])
    env.pop("JOBGEN_CACHE", None)
    text = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
    line = next(row.strip() for row in text.splitlines() if "-m venv ~/jobgen" in row)
    # The wheel stands for the clone. What `run` needs is left out.
    line = line.replace('".[run]"', f'"{wheel}"')

    def packages() -> str:
        argv = [str(image / "bin" / "python"), "-m", "pip", "list", "--format", "freeze"]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        argv = ["bash", "-c", command]
        return subprocess.run(argv, cwd=home, env=env, capture_output=True, text=True, check=False)

    before = packages()
    set_up = shell(f"{line} && jobgen --version && jobgen init ships --language zh")
    assert set_up.returncode == 0, set_up.stderr
    assert packages() == before
    job = (home / "bundles" / "ships" / "job.yaml").read_text(encoding="utf-8")
    assert "264241" in job
    mine = {path.name for path in home.iterdir()}
    built = shell("~/jobgen/bin/jobgen build bundles/ships/job.yaml -o ~")
    assert built.returncode == 0, built.stderr
    added = {path.name for path in home.iterdir()} - mine
    assert {name for name in added if not name.startswith(".")} == {
        *("main.ipynb", "coco_detection_ships.yml", "picodet_s_320_ships_lcnet.yml")
    }
    assert not (home / ".local").exists()
