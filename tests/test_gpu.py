"""Which build of Paddle a run gets, and the one sentence where it gets none."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.catalog import environments, pins
from jobgen.errors import RunError, SpecError
from jobgen.machine.environment import cuda_libraries
from jobgen.machine.gpu import NO_CARD, choose_build
from jobgen.run.workspace import Workspace, kernel_environment
from tests.conftest import ROOT, Answer
from tests.test_check_machine import CARD

V100: dict[str, Any] = CARD
ADA = {**CARD, "name": "RTX 4090", "compute_capability": "8.9"}
OLD = {**CARD, "driver": "418.87"}
UNKNOWN = {**CARD, "compute_capability": ""}
HERE = environments()["paddle2.6_py3.10"]
NONE_BUILT = environments()["paddle3.0_py3.10"]
CODE = "RTX 4090 has compute capability 8.9; Paddle 2.6 from PyPI has code for 6.1, 7.0, 7.5, 8.0, 8.6 only"


@pytest.mark.parametrize(
    ("cards", "device", "smoke", "expected"),
    [
        ([V100], "auto", False, "gpu"),
        ([V100], "gpu", True, "gpu"),
        ([UNKNOWN], "auto", False, "gpu"),
        ([V100], "cpu", False, "cpu"),
        ([], "auto", True, "cpu"),
        ([ADA], "auto", True, "cpu"),
    ],
)
def test_the_build_that_is_chosen(
    cards: list[dict[str, Any]], device: str, smoke: bool, expected: str
) -> None:
    assert choose_build(cards, HERE, device, smoke).device == expected


@pytest.mark.parametrize(
    ("cards", "device", "smoke", "message"),
    [
        ([], "auto", False, NO_CARD),
        ([], "gpu", True, NO_CARD),
        ([ADA], "auto", False, CODE),
        ([V100, ADA], "gpu", False, CODE),
        ([OLD], "gpu", False, "the driver is 418.87; this CUDA needs 450.80.02 or later"),
    ],
)
def test_the_one_reason_for_none(
    cards: list[dict[str, Any]], device: str, smoke: bool, message: str
) -> None:
    with pytest.raises(RunError) as caught:
        choose_build(cards, HERE, device, smoke)
    assert caught.value.message == message
    assert "--device cpu --smoke" in str(caught.value.hint)


def test_a_paddle_that_pypi_has_without_cuda_only() -> None:
    with pytest.raises(RunError, match="PyPI has no Paddle 3 with CUDA"):
        choose_build([V100], NONE_BUILT, "gpu", False)
    with pytest.raises(SpecError, match="PyPI has no Paddle 3 with CUDA"):
        pins(NONE_BUILT, gpu=True)


def test_what_decided_is_said() -> None:
    assert choose_build([V100], HERE, "auto", False).why == "Tesla V100 (15.8 of 15.8 GB free)"
    assert choose_build([], HERE, "auto", True).why == NO_CARD
    assert choose_build([], HERE, "cpu", True).why == ""


def test_the_pins_differ_in_paddle_and_cuda_alone() -> None:
    plain, cuda = set(pins(HERE).splitlines()), set(pins(HERE, gpu=True).splitlines())
    assert plain - cuda == {"paddlepaddle==2.6.2"}
    assert "paddlepaddle-gpu==2.6.2" in cuda
    assert len([row for row in cuda - plain if row.startswith("nvidia-")]) == 9


def test_cudas_libraries_are_on_the_kernels_path_alone(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    for name in ("cudnn", "cublas"):
        (tmp_path / "env/lib/python3.10/site-packages/nvidia" / name / "lib").mkdir(parents=True)
    found = cuda_libraries(python)
    assert [Path(path).parent.name for path in found] == ["cublas", "cudnn"]
    env = kernel_environment(Workspace(tmp_path / "run", "s"), python)
    assert env["LD_LIBRARY_PATH"].split(os.pathsep)[:2] == found
    assert "nvidia" not in os.environ.get("LD_LIBRARY_PATH", "")
    plain = kernel_environment(Workspace(tmp_path, "s"), tmp_path / "other" / "bin" / "python")
    assert plain.get("LD_LIBRARY_PATH") == os.environ.get("LD_LIBRARY_PATH")


def test_a_run_says_it_before_anything_is_fetched(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for nvidia-smi, at the process boundary."""
    row = "NVIDIA GeForce RTX 4090, 24564, 10, GPU-1, 535.1, 8.9"
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{row}'\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    archive = tmp_path / "ssdd.zip"
    archive.write_bytes(b"")
    upload = ROOT / "bundles" / "ssdd" / "upload"
    answer = jobgen("run", upload, "--archive", archive, "--yes", "--no-check", "--device", "gpu")
    assert answer.code == 7
    assert "NVIDIA GeForce RTX 4090 has compute capability 8.9" in answer.err
    assert not (Path(os.environ["JOBGEN_CACHE"]) / "envs").exists()
