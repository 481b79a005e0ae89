"""The demo with five seeds, as README has its range. Twenty minutes on two cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.paddle_world import call

pytestmark = [pytest.mark.paddle, pytest.mark.slow]


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_demo_finds_its_ships(seed: int, tmp_path: Path) -> None:
    code, answer, _ = call("demo", "--folder", tmp_path, "--seed", seed, cwd=tmp_path)
    assert code == 0
    assert answer["result"]["metrics"]["best"]["mAP50"] >= 0.50
