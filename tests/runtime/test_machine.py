import os
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jobgen.runtime.install import missing_requirements
from jobgen.runtime.machine import choose_device, find_home, gpu_facts, prepare
from jobgen.runtime.outcome import Outcome, StageError

CARD = {"name": "Tesla V100", "memory_mib": 16160, "used_mib": 3}


def facts(gpus: int = 1, cuda: object = "11.8") -> dict:
    return {"gpus": [CARD] * gpus, "paddle": {"version": "2.6.2", "cuda": cuda}}


@pytest.mark.parametrize(
    ("machine", "device", "smoke", "expected"),
    [
        (facts(), "auto", False, "gpu"),
        (facts(), "cpu", False, "cpu"),
        (facts(0), "auto", True, "cpu"),
        (facts(0), "cpu", False, "cpu"),
        (facts(2), "gpu", False, "gpu"),
    ],
)
def test_the_device(run: Outcome, machine: dict, device: str, smoke: bool, expected: str) -> None:
    assert choose_device(machine, device, 1, smoke) == expected


@pytest.mark.parametrize(
    ("machine", "device", "gpus", "message"),
    [
        (facts(0), "auto", 1, "no GPU was found (nvidia-smi names none)"),
        (facts(0), "gpu", 1, "no GPU was found (nvidia-smi names none)"),
        (facts(1, None), "gpu", 1, "this Paddle 2.6.2 is a CPU build"),
        (facts(1), "auto", 4, "the job wants 4 GPUs, here are 1"),
        (facts(), "tpu", 1, "DEVICE is 'tpu'; it can be 'auto', 'gpu' or 'cpu'"),
    ],
)
def test_a_missing_gpu_stops_the_job(
    run: Outcome, machine: dict, device: str, gpus: int, message: str
) -> None:
    with pytest.raises(StageError) as caught:
        choose_device(machine, device, gpus, False)
    assert caught.value.message == message


def nvidia_smi(folder: Path, answer: str, status: int = 0) -> None:
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\ncat <<'E'\n%sE\nexit %d\n" % (answer, status))
    tool.chmod(0o755)


def test_cards_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(
        tmp_path / "bin", "Tesla V100, 16160, 3, 7.0, 470.1\nA100, 40000, [N/A], 8.0, 470.1\n"
    )
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cards = gpu_facts()
    assert [card["name"] for card in cards] == ["Tesla V100", "A100"]
    assert cards[0]["compute_capability"] == "7.0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [card["name"] for card in gpu_facts()] == ["A100"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_facts() == []


def test_a_broken_driver_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path / "bin", "NVIDIA-SMI has failed\n", 9)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
    assert gpu_facts() == []


def test_without_paddle_the_job_stops(tmp_path: Path, run: Outcome) -> None:
    with pytest.raises(StageError, match="Paddle is not installed in this Python"):
        prepare(str(tmp_path), "cpu", 1, False, "2.6")
    assert run.data["machine"]["cores"] >= 1


def paddle(folder: Path, version: str) -> None:
    (folder / "paddle" / "version").mkdir(parents=True)
    (folder / "paddle" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "paddle" / "version" / "__init__.py").write_text(
        "full_version  = '%s'\ncuda_version    = 'False'\n" % version
    )


def test_another_paddle_than_the_bundles_stops_the_job(
    tmp_path: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    paddle(tmp_path / "site", "3.0.0")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(StageError) as caught:
        prepare(str(tmp_path / "home"), "cpu", 1, False, "2.6")
    assert caught.value.message == (
        "Paddle is 3.0.0, but this bundle's PaddleDetection was chosen for Paddle 2.6"
    )
    assert prepare(str(tmp_path / "home"), "cpu", 1, False, "3") == "cpu"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home(tmp_path: Path, run: Outcome) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(StageError, match="can't be written to"):
        prepare(str(home), "cpu", 1, False, "2.6")


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert find_home("/given", ["a.yml"]) == "/given"
    assert find_home(None, ["a.yml"]) == "/home/aistudio"
    (tmp_path / "a.yml").write_text("")
    assert find_home(None, ["a.yml"]) == str(tmp_path)


def test_requirements() -> None:
    needs: List[Dict[str, Any]] = [
        {"module": "json", "pip": "json"},
        {"module": "no_such_module", "pip": "no-such>=1"},
        {"module": "json", "pip": "pycocotools", "not": ["2.0.9", "2.0.10"]},
    ]
    assert missing_requirements(needs, {"pycocotools": "2.0.9"}) == [
        "no-such>=1",
        "pycocotools!=2.0.9,!=2.0.10",
    ]
    assert missing_requirements(needs, {"pycocotools": "2.0.11"}) == ["no-such>=1"]
