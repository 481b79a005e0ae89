"""The `install` stage, with a pip of the test's own where the real one would go to an index."""

import os
from pathlib import Path
from typing import Any

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.setup.install import install_missing

pytestmark = pytest.mark.waits

# Installs what it is asked for as a package of that name, and does what the test wants besides.
PIP = """
import os, sys
site = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
def put(name, version):
    folder = os.path.join(site, "%s-%s.dist-info" % (name.replace("-", "_"), version))
    os.makedirs(folder)
    with open(os.path.join(folder, "METADATA"), "w") as stream:
        stream.write("Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n" % (name, version))
put("needed-one", "1.0")
moved = os.environ.get("FLAGS_moved")
if moved:
    name, old, new = moved.split()
    os.rename(os.path.join(site, "%s-%s.dist-info" % (name.replace("-", "_"), old)),
              os.path.join(site, "gone-%s" % name))
    put(name, new)
"""
NEED = [{"module": "needed_one", "pip": "needed-one"}]


@pytest.fixture
def site(tmp_path: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before site-packages with a pip and a Paddle."""
    folder = tmp_path / "site"
    (folder / "pip").mkdir(parents=True)
    (folder / "pip" / "__init__.py").write_text("")
    (folder / "pip" / "__main__.py").write_text(PIP)
    for name, version in (("paddlepaddle", "2.6.2"), ("paddlepaddle-gpu", "2.6.1")):
        info = folder / ("%s-%s.dist-info" % (name.replace("-", "_"), version))
        info.mkdir()
        text = "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)
        (info / "METADATA").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_what_is_missing_is_installed(site: Path, run: Outcome) -> None:
    assert install_missing(NEED, pause=0) == ["needed-one"]
    constraints = Path(run.path("logs", "constraints.txt")).read_text().splitlines()
    assert {"paddlepaddle==2.6.2", "paddlepaddle-gpu==2.6.1"} <= set(constraints)


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ("paddlepaddle 2.6.2 2.5.2", "installing changed paddlepaddle from 2.6.2 to 2.5.2"),
        ("paddlepaddle-gpu 2.6.1 3.0.0", "paddlepaddle-gpu from 2.6.1 to 3.0.0"),
    ],
)
def test_another_paddle_afterwards_stops_the_job(
    site: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch, moved: str, said: str
) -> None:
    monkeypatch.setenv("FLAGS_moved", moved)
    with pytest.raises(StageError, match=said) as caught:
        install_missing(NEED, pause=0)
    assert caught.value.cause == "install"


def test_another_numpy_afterwards_stops_the_job(
    site: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the user's own packages do, it stands before that of the environment."""
    (site / "numpy-1.26.4.dist-info").mkdir()
    text = "Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n"
    (site / "numpy-1.26.4.dist-info" / "METADATA").write_text(text)
    monkeypatch.setenv("FLAGS_moved", "numpy 1.26.4 2.0.0")
    with pytest.raises(StageError, match=r"numpy from 1\.26\.4 to 2\.0\.0"):
        install_missing(NEED, pause=0)


def test_a_pip_that_lies_at_home_is_not_run(
    tmp_path: Path, site: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home: Any = tmp_path / "home"
    home.mkdir()
    (home / "pip.py").write_text("open(%r, 'w')\n" % str(tmp_path / "ran"))
    monkeypatch.chdir(home)
    install_missing(NEED, pause=0)
    assert not os.path.exists(str(tmp_path / "ran"))
