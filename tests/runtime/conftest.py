"""Tests of the notebook's own code: they also run under Python 3.7 with pytest alone."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.outcome import Outcome, begin
from tests.runtime.standin import Bench


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of this machine, and no record of another test."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    yield
    outcome_module._current[:] = []


@pytest.fixture
def run(tmp_path: Path) -> Outcome:
    """A run that is in its stage `test`."""
    record = begin(str(tmp_path / "output"), name="test")
    record.start("test")
    return record


@pytest.fixture
def bench(tmp_path: Path, run: Outcome) -> Bench:
    """Training with the stand-in for PaddleDetection."""
    return Bench(tmp_path)


def read_json(path: Any) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    return found


def events(record: Outcome, kind: str) -> List[Dict[str, Any]]:
    lines = Path(record.path("events.jsonl")).read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def git_repository(folder: Path, files: Dict[str, str], tag: str = "v1") -> str:
    """A real repository with one tagged commit; gives the commit."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for argv in (
        ["init", "-q"],
        ["add", "-A"],
        [*who, "commit", "-q", "-m", "one"],
        ["tag", tag],
        ["config", "uploadpack.allowAnySHA1InWant", "true"],
    ):
        subprocess.run(["git", *argv], cwd=str(folder), check=True)
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=str(folder), check=True, stdout=subprocess.PIPE
    )
    return answer.stdout.decode().strip()
