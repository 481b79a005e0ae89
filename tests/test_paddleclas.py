"""Real PaddleClas on the CPU, where JOBGEN_PADDLECLAS names a git copy of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import ROOT
from tests.paddle_world import JOBGEN, call

WHERE = os.environ.get("JOBGEN_PADDLECLAS", "")
pytestmark = [
    pytest.mark.paddle,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not WHERE, reason="JOBGEN_PADDLECLAS names no git copy"),
]
SCHEMA = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))


def mirror() -> list[str]:
    """The options that make a run clone the copy, whose commit may be another than the pinned."""
    argv = ["git", "-C", WHERE, "rev-parse", "HEAD"]
    head = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    return ["--mirror", WHERE, "-p", "PADDLECLAS_REVISION", head]


def test_the_shapes_are_learned(tmp_path: Path) -> None:
    """Trained to top-1 over 0.9, measured again as the same, and exported as the same model."""
    folder = tmp_path / "demo 演示"
    options = ("--task", "classification", "--folder", folder, *mirror())
    code, answer, said = call("demo", *options, cwd=tmp_path)
    assert code == 0, said
    result = answer["result"]
    metrics = result["metrics"]
    assert result["status"] == "ok"
    jsonschema.validate(result, SCHEMA)
    assert metrics["best"]["top1"] > 0.9
    assert metrics["evaluation"]["top1"] == pytest.approx(metrics["best"]["top1"], abs=0.001)
    for form in ("paddle", "onnx"):
        assert metrics["parity"][form]["unlike"] == 0
        assert metrics["parity"][form]["largest_score"] < 1e-4
    assert 0.1 < metrics["latency"]["milliseconds"] < 1000
    (output,) = folder.glob("runs/*/home/output/shapes")
    argv = [*JOBGEN, "collect", str(output)]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
    assert "top-1" in (output / "report.html").read_text(encoding="utf-8")
    assert len(list((output / "predictions").glob("*.jpg"))) == 24


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ResNet18", "MobileNetV3_small_x0_35"])
def test_another_classifier_goes_the_whole_way(model: str, tmp_path: Path) -> None:
    options = ("--task", "classification", "--folder", "demo", "--model", model, "--prepare-only")
    assert call("demo", *options, cwd=tmp_path)[0] == 0
    smoke = ("--archive", "demo/shapes.zip", "--device", "cpu", "--smoke", *mirror())
    code, answer, said = call("run", "demo/upload", *smoke, cwd=tmp_path)
    assert code == 0, said
    assert set(answer["result"]["metrics"]["parity"]) == {"paddle", "onnx"}
