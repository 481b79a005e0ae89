"""What every test shares: isolation from this machine, and the command driven in process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import settings

from jobgen.cli import main
from jobgen.errors import INTERNAL

# A noisy machine is no fault, and a test that passed passes again.
settings.register_profile("jobgen", deadline=None, derandomize=True)
settings.load_profile("jobgen")

ROOT = Path(__file__).parent.parent
# Real data that lies beside the checkout; a test that wants it is skipped where it is not.
DATA = Path(os.environ.get("JOBGEN_DATA", ROOT.parent / "shared" / "data"))

JOB = """\
name: ships
environment: paddle2.6_py3.10
dataset:
  sources:
    - {archive: ships.zip}
  root: ships
  format: coco
  train: {images: JPEGImages, annotations: train.json}
  eval: {images: JPEGImages, annotations: val.json}
  classes: [ship]
  expect:
    train: {images: 160, boxes: 300}
    eval: {images: 48, boxes: 90}
model:
  config: picodet_xs_320_coco_lcnet
train:
  epochs: 40
"""


@dataclass(frozen=True)
class Answer:
    """What a call of jobgen printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def isolation(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """HOME, caches and settings of its own for every test; `paddle` tests keep the real cache,
    where the managed environment is made once."""
    cache = os.environ.get("JOBGEN_CACHE") or str(Path.home() / ".cache" / "jobgen")
    home = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("JOBGEN_LANG", "en")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "JOBGEN_MIRROR", "AISTUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if request.node.get_closest_marker("paddle"):
        monkeypatch.setenv("JOBGEN_CACHE", cache)
    else:
        monkeypatch.setenv("JOBGEN_CACHE", str(home / "cache"))


@pytest.fixture
def jobgen() -> Callable[..., Answer]:
    """Call the command in process: jobgen("build", path) -> Answer."""

    def call(*arguments: object, given: str | None = None) -> Answer:
        result = CliRunner().invoke(
            main, [str(a) for a in arguments], input=given, prog_name="jobgen"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        # The last word for what nobody foresaw: here it is a fault.
        assert result.exit_code != INTERNAL, result.stderr
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job.yaml that builds."""
    path = tmp_path / "bundles" / "ships" / "job.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(JOB, encoding="utf-8")
    return path


def real_data(name: str) -> Path:
    """A file of the real data, or a skip that names it."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real data {name} is not here (JOBGEN_DATA)")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests first: minutes of training are no use where a second tells the fault."""
    items.sort(key=lambda item: item.get_closest_marker("paddle") is not None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB. Skips the test where none can be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)
