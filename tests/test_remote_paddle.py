"""A job that is submitted to the loopback AI Studio trains with real Paddle, and comes back whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.catalog import environments
from jobgen.machine.environment import managed_python
from jobgen.machine.mirror import find_mirror
from jobgen.remote.records import read_records
from jobgen.settings import load_settings
from tests.aistudio import AiStudio
from tests.conftest import Answer
from tests.remote_world import studio
from tests.test_remote import POINTS, killed_at

__all__ = ["studio"]
pytestmark = [pytest.mark.paddle, pytest.mark.timeout(1500)]
Jobgen = Callable[..., Answer]


@pytest.fixture
def words(studio: AiStudio, jobgen: Jobgen) -> list[object]:
    """The demo's job, which the studio can run: Paddle's Python, PaddleDetection, the data."""
    assert jobgen("demo", "--folder", "demo", "--prepare-only").code == 0
    environment, cache = environments()["paddle2.6_py3.10"], load_settings().cache
    python, _ = managed_python(environment, cache, print)
    mirror = find_mirror(environment, cache, None, print)
    studio.datasets[1] = Path("demo/ships.zip").absolute()
    studio.env = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    urls = json.dumps([mirror.address])
    return [
        *("submit", "demo", "--dataset", "1", "--yes", "-p", "PADDLEDETECTION_URLS", urls),
        *("-p", "DEVICE", "cpu", "-p", "SEED", "1"),
    ]


def test_a_smoke_run_goes_the_whole_way(
    studio: AiStudio, jobgen: Jobgen, words: list[object]
) -> None:
    # What follows training is tried by the demo.
    assert jobgen(*words, "--smoke", "-p", "STAGES", "[]").code == 0
    waited = jobgen("wait", "demo")
    assert waited.code == 0, waited.out
    assert waited.out.startswith("ok-smoke")
    fetched = jobgen("fetch", "demo", "-o", "out", "--json")
    (row,) = fetched.json["outputs"]
    # A smoke run says that nothing was learned; all its files are there and whole.
    learned, *stages = row["faults"]
    assert learned == "it is a smoke run: nothing was learned"
    assert all(fault.endswith("was not done") for fault in stages), stages
    assert Path(row["report"]).is_file()


@pytest.mark.slow
def test_the_demo_trains_and_survives_ten_kills(
    studio: AiStudio, jobgen: Jobgen, words: list[object]
) -> None:
    fetch: list[object] = ["fetch", "demo", "-o", "out"]
    for what, when in POINTS:
        if what in ("objects", "get-object"):
            continue
        killed_at(studio, what, when, words)
    assert jobgen(*words).code == 0
    assert jobgen("wait", "demo").code == 0
    for what, when in POINTS:
        if what in ("objects", "get-object"):
            killed_at(studio, what, when, fetch)
    fetched = jobgen(*fetch, "--json")
    assert fetched.code == 0, fetched.err
    (row,) = fetched.json["outputs"]
    assert (row["status"], row["faults"]) == ("ok", [])
    assert jobgen("collect", "out", "--run").code == 0
    assert [job.starts for job in studio.jobs.values() if job.starts] == [1]
    records = read_records(Path("demo/submitted"))
    assert [record.state for record in records].count("submitted") == 1
