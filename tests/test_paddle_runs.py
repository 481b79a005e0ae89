"""Real Paddle, real PaddleDetection: what else trains than the demo as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobgen.catalog import environments
from jobgen.machine.environment import managed_python
from jobgen.settings import load_settings
from jobgen_runtime.train.trainwatch import read_metrics
from tests.conftest import ROOT, real_data
from tests.paddle_world import call, events

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(1500)]
# What follows it is shown by the demo.
TRAINING_ALONE = ("-p", "STAGES", "[]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's job and its data, nothing run."""
    found = tmp_path_factory.mktemp("demo 准备")
    code, _, said = call("demo", "--folder", found, "--language", "en", "--prepare-only", cwd=found)
    assert code == 0, said
    return found


def test_two_processes_train_as_two_cards_would(folder: Path, tmp_path: Path) -> None:
    """paddle.distributed.launch, here on the CPU: learning rate and steps follow the plan."""
    code, answer, said = call(
        "run", folder / "upload", "--archive", folder / "ships.zip", "--device", "cpu",
        "--runs", tmp_path, "-p", "GPUS", 2, "-p", "EPOCHS", 1, *TRAINING_ALONE, cwd=tmp_path,
    )  # fmt: skip
    result = answer["result"]
    # An epoch of ten steps teaches little; the training itself came to its end.
    assert code in (0, 7), said
    stages = {stage["name"]: stage["status"] for stage in result["stages"]}
    assert stages["train"] == "ok"
    assert result["run_config"]["LearningRate"]["base_lr"] == 0.04
    output = Path(answer["run"]) / "home" / "output" / "ships"
    steps = {(event["epoch"], event["step"], event["steps"]) for event in events(output, "step")}
    assert steps == {(0, step, 10) for step in range(0, 10, 2)}
    assert (output / "logs" / "ranks" / "workerlog.0").is_file()
    assert (output / "logs" / "ranks" / "workerlog.1").is_file()


def test_a_python_of_ones_own_trains_and_stays_as_it_was(folder: Path, tmp_path: Path) -> None:
    python, _ = managed_python(environments()["paddle2.6_py3.10"], load_settings().cache, print)
    code, answer, said = call(
        "run", folder / "upload", "--archive", folder / "ships.zip", "--device", "cpu", "--smoke",
        "--runs", tmp_path, "--python", python, *TRAINING_ALONE, cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, said
    assert answer["status"] == "ok-smoke"
    assert f"{python} is as it was" in said


def test_another_run_makes_and_fetches_nothing_again(folder: Path) -> None:
    code, answer, _ = call(
        "run", folder / "upload", "--archive", folder / "ships.zip", "--device", "cpu", "--smoke",
        cwd=folder,
    )  # fmt: skip
    assert code == 0
    assert answer["status"] == "ok-smoke"
    output = Path(answer["run"]) / "home" / "output" / "ships-smoke"
    assert [e["made"] for e in events(output, "environment")] == [False]
    assert [e["made"] for e in events(output, "mirror")] == [False]
    assert events(output, "install")[0]["installed"] == []
    assert events(output, "weights") == []
    notebook = Path(answer["run"]) / "main.executed.ipynb"
    assert notebook.stat().st_size < 1_000_000


@pytest.mark.slow
def test_two_environments_train_alike_with_one_seed(folder: Path, tmp_path: Path) -> None:
    """The managed environment, and another by --python: one plan, the same first losses."""
    other, _ = managed_python(environments()["paddle2.6_py3.10"], tmp_path / "cache", print)
    found = []
    for name, more in (("managed", ()), ("own", ("--python", other))):
        code, answer, said = call(
            "run", folder / "upload", "--archive", folder / "ships.zip", "--device", "cpu",
            "--runs", tmp_path / name, "-p", "SEED", 7, "-p", "EPOCHS", 1, *more, cwd=tmp_path,
        )  # fmt: skip
        assert code in (0, 7), said
        result = answer["result"]
        assert result["seed"] == 7
        output = Path(answer["run"]) / "home" / "output" / "ships"
        rows = read_metrics(str(output / "metrics.csv"))
        losses = [row["loss"] for row in rows if "loss" in row]
        found.append((result["plan"], result["smoke_step"]["losses"], losses))
        assert ("is as it was" in said) == (name == "own")
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-3)
    assert len(found[0][2]) >= 5
    assert found[0][2] == pytest.approx(found[1][2], rel=0.02)


@pytest.mark.parametrize(
    "augment",
    [
        "{mosaic: true, mixup: true, expand: true}",
        pytest.param("{preset: none, mixup: true}", marks=pytest.mark.slow),
    ],
)
def test_augmentation_is_taken_by_paddledetection(
    folder: Path, tmp_path: Path, augment: str
) -> None:
    """Its reader makes batches of what the lists say; the first epoch of each has them on."""
    text = (folder / "job.yaml").read_text(encoding="utf-8")
    text = re.sub(r"stages: .*\n|augment:\n(?:  .*\n)+", "", text) + f"augment: {augment}\n"
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    assert call("build", tmp_path / "job.yaml", cwd=tmp_path)[0] == 0
    smoke = ("--archive", folder / "ships.zip", "--device", "cpu", "--smoke")
    code, answer, said = call("run", tmp_path / "upload", *smoke, cwd=tmp_path)
    assert code == 0, said
    assert all(loss > 0 for loss in answer["result"]["smoke_step"]["losses"])


def test_the_pack_for_sar_runs(tmp_path: Path) -> None:
    code, answer, said = call("templates", "test", "sar", "--smoke", cwd=tmp_path)
    assert code == 0, said
    assert answer["smoke"]["status"] == "ok-smoke"
    assert "histogram" in [stage["name"] for stage in answer["smoke"]["stages"]]


@pytest.mark.parametrize("name", [pytest.param("ssdd", marks=pytest.mark.slow), "bccd"])
def test_the_committed_bundles_run_on_the_real_data(name: str, tmp_path: Path) -> None:
    archive = real_data(f"{name}.zip")
    code, answer, _ = call(
        "run", ROOT / "bundles" / name / "upload", "--archive", archive, "--device", "cpu",
        "--smoke", "--yes", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0
    result = answer["result"]
    assert result["status"] == "ok-smoke"
    assert [s["status"] for s in result["stages"]] == ["ok"] * 11
    assert all(loss > 0 for loss in result["smoke_step"]["losses"])
    assert result["metrics"]["best"]["mAP50"] >= 0
    assert any(item["path"] == "weights/best_model.pdparams" for item in result["artefacts"])
    assert "one-card-nan" in [fix["id"] for fix in result["source"]["fixes"]]


@pytest.mark.slow
def test_bccd_runs_alike_as_voc_and_as_coco(tmp_path: Path) -> None:
    """By `init`, and after a conversion: to the end, with one count and one class order."""
    source, converted = real_data("bccd.zip"), tmp_path / "cells.zip"
    arguments = ("--to", "coco", "--fix", "DS040")
    assert call("dataset", "convert", source, converted, *arguments, cwd=tmp_path)[0] == 0
    found = []
    for path in (source, converted):
        job = tmp_path / path.stem
        job.mkdir()
        assert call("init", "cells", "--archive", path, cwd=job)[0] == 0
        assert call("build", "bundles/cells/job.yaml", cwd=job)[0] == 0
        smoke = ("--archive", path, "--device", "cpu", "--smoke")
        code, answer, _ = call("run", "bundles/cells/upload", *smoke, cwd=job)
        assert (code, answer["status"]) == (0, "ok-smoke")
        data = answer["result"]["dataset"]
        made = next(job.glob("runs/*/home/datasets/.jobgen/*/smoke/train.json"))
        record = json.loads(made.read_text(encoding="utf-8"))
        found.append((data["counts"], data["sha256"], [c["name"] for c in record["categories"]]))
    assert found[0] == found[1]
    assert found[0][0]["train"] == {"images": 205, "boxes": 2804}
    assert found[0][2] == ["Platelets", "RBC", "WBC"]


def test_plain_papermill_exits_non_zero_when_a_stage_fails(tmp_path: Path) -> None:
    environment = environments()["paddle2.6_py3.10"]
    python, _ = managed_python(environment, load_settings().cache, print)
    argv = [
        str(python),
        "-m",
        "ipykernel",
        "install",
        "--prefix",
        str(tmp_path),
        "--name",
        "managed",
    ]
    subprocess.run(argv, check=True, capture_output=True)
    home = tmp_path / "home"
    home.mkdir()
    for path in (ROOT / "bundles" / "ssdd" / "upload").iterdir():
        (home / path.name).write_bytes(path.read_bytes())
    argv = [
        *(sys.executable, "-m", "papermill", str(home / "main.ipynb"), str(tmp_path / "out.ipynb")),
        *("--cwd", str(home), "-k", "managed", "-p", "HOME_DIR", str(home), "-p", "DEVICE", "cpu"),
    ]
    env = {**os.environ, "JUPYTER_PATH": str(tmp_path / "share" / "jupyter")}
    answer = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "找不到 ssdd.zip" in answer.stderr  # the bundle is in Chinese
    result = json.loads((home / "output" / "ssdd" / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "failed"
    assert result["failure"]["stage"] == "data"
    assert [s["name"] for s in result["stages"]] == ["prepare", "data"]


ADAMW = "overrides: {OptimizerBuilder: {optimizer: {type: AdamW, weight_decay: 0.0001}}}\n"


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("ppyolo_tiny", ADAMW),
        *(
            pytest.param(model, "", marks=pytest.mark.slow)
            for model in ("ppyoloe_plus_crn_t_auxhead_320", "yolov3_mobilenet_v1", "yolox_nano")
        ),
    ],
)
def test_another_family_goes_the_whole_way(tmp_path: Path, model: str, more: str) -> None:
    """Trained in each of its ways, evaluated, exported, and the same boxes in every form."""
    job = tmp_path / "demo"
    arguments = ("--folder", job, "--model", model, "--prepare-only")
    assert call("demo", *arguments, cwd=tmp_path)[0] == 0
    path = job / "job.yaml"
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert call("build", path, cwd=tmp_path)[0] == 0
    smoke = ("--archive", job / "ships.zip", "--device", "cpu", "--smoke")
    code, answer, said = call("run", path, *smoke, cwd=tmp_path)
    assert code == 0, said
    result = answer["result"]
    assert all(loss > 0 for loss in result["smoke_step"]["losses"])
    forms = result["metrics"]["parity"]
    assert set(forms) == {"paddle", "onnx"}
    assert all(form["largest_px"] < 0.01 for form in forms.values())
    (table,) = tmp_path.glob("**/home/output/ships-smoke/metrics.csv")
    assert table.read_text(encoding="utf-8").splitlines()[0].count("loss_") >= 3
