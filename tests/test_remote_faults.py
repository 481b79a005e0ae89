"""Whatever fails, in any order: no job lost, none doubled, no wrong verdict, no torn file taken for
whole, no token shown. Each seed is a sequence of faults over submit, wait and fetch."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.remote.records import read_records
from tests.aistudio import AFTER, BEFORE, TOKEN, AiStudio
from tests.conftest import Answer
from tests.remote_world import made, mounted, studio, whole
from tests.whole import Whole

__all__ = ["made", "studio", "whole"]
pytestmark = pytest.mark.waits
Jobgen = Callable[..., Answer]
# The others are run by make test-all.
QUICK, SEEDS = 10, 200
TRIES = 12


def seeds() -> list[object]:
    return [
        pytest.param(seed, marks=[] if seed < QUICK else [pytest.mark.slow])
        for seed in range(SEEDS)
    ]


def works(chance: random.Random) -> tuple[Callable[[Path], str | None], str, dict[str, bytes]]:
    """In place of a job's command: what a run leaves, its verdict, and the files."""
    status = chance.choice(["ok", "ok", "failed", "untrained"])
    files = {f"ships/f{n}.bin": chance.randbytes(chance.choice([0, 10, 5000, 1_200_000]))
             for n in range(chance.randint(1, 4))}  # fmt: skip
    result = {"started": "2026-01-01T00:00:00Z", "status": status, "closed": True, "name": "ships",
              "failure": {"stage": "train", "message": "m", "remedy": "r"}, "stages": []}  # fmt: skip
    if status == "ok":
        del result["failure"]
    files["ships/result.json"] = json.dumps(result).encode()

    def work(home: Path) -> str | None:
        for name, data in files.items():
            path = home / "output" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return chance.choice([None, "failed", "odd-word-2027"])

    return work, status, files


@pytest.mark.parametrize("seed", seeds())
def test_faults_in_any_order(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    work, status, files = works(chance)
    studio.work = work
    dice, lock = random.Random(seed + 1000), threading.Lock()
    share = dice.choice([0.1, 0.3, 0.6])
    calm = False

    def fault(_what: str, _number: int) -> str | None:
        with lock:
            return None if calm or dice.random() > share else dice.choice([*BEFORE, *AFTER])

    studio.fault = fault
    said = ""

    def until(good: Callable[[Answer], bool], *words: object) -> Answer:
        """Call again, as a person does; the last time without faults."""
        nonlocal said, calm
        told = ""
        for number in range(TRIES):
            calm = number == TRIES - 1
            answer = jobgen(*words)
            told = answer.err
            said += answer.out + answer.err
            # What a person is told is what was done.
            assert answer.code in (0, 1, 7, 8), answer.err
            if good(answer):
                calm = False
                return answer
        raise AssertionError(told)

    sent = until(lambda a: a.code == 0, "submit", whole.folder, *mounted(studio, whole), "--json")
    number = sent.json["id"]
    waited = until(lambda a: a.code in (0, 7), "wait", whole.folder)
    assert waited.code == (0 if status == "ok" else 7), waited.out
    assert waited.out.startswith(status)
    until(lambda a: a.code != 8, "fetch", number, "-o", "out")
    for name, data in files.items():
        assert (tmp_path / "out" / name).read_bytes() == data or name.endswith("result.json")
    assert json.loads((tmp_path / "out/ships/result.json").read_bytes())["status"] == status
    assert [job.starts for job in studio.jobs.values() if job.starts] == [1]
    assert [j.id for j in studio.jobs.values() if j.stage in ("created", "queuing")] == []
    states = [record.state for record in read_records(whole.folder / "submitted")]
    assert states.count("submitted") == 1
    assert set(states) <= {"submitted", "dropped"}
    assert TOKEN not in said
