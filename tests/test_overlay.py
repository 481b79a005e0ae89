"""A run over someone's own Python: real environments, real installs, and nothing changed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobgen.catalog import environments
from jobgen.errors import RunError
from jobgen.machine.overlay import (
    OwnPython,
    fingerprint,
    lacking_pins,
    lay_over,
    look_at,
    overlay_environment,
    prove_unchanged,
    wanted_modules,
)

ENVIRONMENT = environments()["paddle2.6_py3.10"]
MODULES = wanted_modules(ENVIRONMENT)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An environment with stand-ins for NumPy, Paddle and OpenCV and nothing else."""
    folder = tmp_path / "own 环境"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    for name in ("numpy", "paddle", "cv2"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("x = 1\n")
    for name, version in (("numpy", "1.23.5"), ("paddlepaddle_gpu", "2.6.2"), ("six", "1.0")):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin" / "python"


def test_what_a_python_has_is_told_by_itself(python: Path) -> None:
    own = look_at(python, MODULES)
    assert own.version == sys.version_info[:2]
    assert own.installed["numpy"] == "1.23.5"
    assert own.installed["paddlepaddle-gpu"] == "2.6.2"
    assert own.places["ipykernel"] is None
    assert str(own.places["cv2"]).endswith("cv2/__init__.py")


def test_what_it_has_is_never_laid_over_it(python: Path) -> None:
    names = {
        row.partition("==")[0].lower()
        for row in lacking_pins(look_at(python, MODULES), ENVIRONMENT)
    }
    assert {"ipykernel", "scipy", "pandas"} <= names
    # Not another NumPy or Paddle, not a second OpenCV, not what is there in another version.
    assert not names & {"numpy", "paddlepaddle", "opencv-python-headless", "six"}


def test_a_python_without_paddle_is_refused(python: Path, tmp_path: Path) -> None:
    own = look_at(python, MODULES)
    without = replace(own, places={**own.places, "paddle": None})
    with pytest.raises(RunError, match="has no Paddle") as caught:
        lay_over(without, ENVIRONMENT, tmp_path / "overlay", print)
    assert "leave --python out" in str(caught.value.hint)
    with pytest.raises(RunError, match="is no Python that runs"):
        look_at(tmp_path / "none", MODULES)


def installed(own: OwnPython, folder: Path) -> list[str]:
    """Lay just one small package over the Python."""
    small = replace(own, places={"numpy": "x", "paddle": "x", "six": None})
    kept = {name: "1" for name in all_names() if name != "decorator"}
    return lay_over(replace(small, installed=kept), ENVIRONMENT, folder, lambda text: None)


def all_names() -> list[str]:
    rows = lacking_pins(OwnPython(Path("p"), (3, 10), [], {}, {}), ENVIRONMENT)
    return [row.partition("==")[0].lower().replace("_", "-") for row in rows]


def test_the_overlay_is_seen_and_the_python_stays_as_it_was(python: Path, tmp_path: Path) -> None:
    own = look_at(python, MODULES)
    before = fingerprint(own)
    overlay = tmp_path / "run" / "overlay"
    rows = installed(own, overlay)
    assert len(rows) == 1
    assert rows[0].startswith("decorator==")
    assert installed(own, overlay) == rows  # a second time it is there already
    code = "import decorator, numpy, paddle; print(decorator.__file__); print(numpy.__file__)"
    env = {"PATH": "/usr/bin:/bin", **overlay_environment(overlay)}
    answer = subprocess.run(
        [python, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    seen, numpy = answer.stdout.splitlines()
    assert seen.startswith(str(overlay))
    assert not numpy.startswith(str(overlay))
    prove_unchanged(own, before)
    assert not list(python.parent.parent.rglob("__pycache__"))


def test_a_changed_python_is_told(python: Path) -> None:
    own = look_at(python, MODULES)
    before = fingerprint(own)
    (site,) = python.parent.parent.glob("lib/python3.*/site-packages")
    (site / "new.py").write_text("")
    with pytest.raises(RunError, match="have changed while the run was at work"):
        prove_unchanged(own, before)
    (site / "numpy-1.23.5.dist-info").rename(site / "numpy-2.0.dist-info")
    (site / "numpy-2.0.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 2.0\n")
    with pytest.raises(RunError, match="numpy was"):
        prove_unchanged(own, before)
