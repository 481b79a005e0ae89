import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jobgen_runtime.data.archives import unpack
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.setup.install import missing_requirements
from jobgen_runtime.setup.machine import (
    check_values,
    choose_device,
    find_home,
    gpu_facts,
    prepare,
)

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


@pytest.mark.parametrize(
    ("numbers", "workers", "base_lr", "message"),
    [
        ([0, 1, 1], 1, None, "GPUS is 0, not a whole number from 1"),
        ([1, "3", 1], 1, None, "EPOCHS is '3', not a whole number from 1"),
        ([1, 1, True], 1, None, "BATCH_SIZE is True, not a whole number from 1"),
        ([1, 1, 1], "4", None, "WORKERS is '4', not a whole number from 0"),
        ([1, 1, 1], 1, "abc", "BASE_LR is 'abc', not a number over 0, or None for the plan's"),
        ([1, 1, 1], 1, -1, "BASE_LR is -1, not a number over 0, or None for the plan's"),
    ],
)
def test_parameters_that_no_training_can_use(
    numbers: list, workers: Any, base_lr: Any, message: str
) -> None:
    check_values([1, 1, 1], 0, 0.1, 72, 30)
    with pytest.raises(StageError) as caught:
        check_values(numbers, workers, base_lr, 0, 0.5)
    assert caught.value.message == message


ROWS = "Tesla V100, 16160, 3, GPU-aaaa-1, 470.1%s\nA100, 40000, [N/A], GPU-bbbb-2, 470.1%s\n"


def nvidia_smi(folder: Path, answer: str, status: int = 0, refuses: str = "nothing") -> None:
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\ncase \"$*\" in *%s*) exit 6;; esac\ncat <<'E'\n%sE\nexit %d\n"
        % (refuses, answer, status)
    )
    tool.chmod(0o755)


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["Tesla V100", "A100"]),
        ("1", ["A100"]),
        ("1,0", ["A100", "Tesla V100"]),
        ("", []),
        ("GPU-bbbb", ["A100"]),
        ("0,-1", ["Tesla V100"]),
    ],
)
def test_cards_are_read_from_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: Any, names: list
) -> None:
    nvidia_smi(tmp_path / "bin", ROWS % (", 7.0", ", 8.0"))
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    cards = gpu_facts()
    assert [card["name"] for card in cards] == names
    assert {c["compute_capability"] for c in cards} <= {"7.0", "8.0"}


def test_an_old_driver_that_knows_no_compute_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path / "bin", ROWS % ("", ""), refuses="compute_cap")
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [card["compute_capability"] for card in gpu_facts()] == ["", ""]


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB, where this machine lets a test mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.call(argv, stderr=subprocess.DEVNULL) != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.check_call(["umount", str(folder)])


def test_a_home_without_space(
    small_disk: Path, tmp_path: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    paddle(tmp_path / "site", "2.6.2")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(StageError) as caught:
        prepare(str(small_disk / "home"), "cpu", 1, False, "2.6")
    assert caught.value.cause == "disk"
    assert caught.value.message == (
        "only 0.0 GB are free in %s; PaddleDetection, data and checkpoints need about 2 GB"
        % (small_disk / "home")
    )


def test_a_disk_that_fills_up_while_unpacking(small_disk: Path, run: Outcome) -> None:
    """The full disk is told as such, and the archive does not count as unpacked."""
    archive = small_disk.parent / "a.zip"
    with zipfile.ZipFile(str(archive), "w") as out:
        out.writestr("big.bin", os.urandom(20 * 2**20))
    mark = small_disk / ".jobgen" / "mark.json"
    with pytest.raises(StageError) as caught:
        unpack(str(archive), str(small_disk / "data"), str(mark))
    assert caught.value.cause == "disk"
    assert "but only 0.0 GB are free" in caught.value.message
    assert not mark.exists()


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


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.5.2", "2.6", False), ("2.6.2", "2.6", True), ("2.6.0", "2.6", True),
        ("2.61.0", "2.6", False), ("3.0.0", "3", True), ("3.3.1", "3", True), ("30.0", "3", False),
    ],
)  # fmt: skip
def test_which_paddle_is_the_bundles(
    tmp_path: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch,
    version: str, wanted: str, fits: bool,
) -> None:  # fmt: skip
    paddle(tmp_path / "site", version)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    if fits:
        assert prepare(str(tmp_path / "home"), "cpu", 1, False, wanted) == "cpu"
        return
    with pytest.raises(StageError, match="was chosen for Paddle"):
        prepare(str(tmp_path / "home"), "cpu", 1, False, wanted)
