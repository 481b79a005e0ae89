"""Real PaddleDetection reading large pictures: from copies, and with the colours behind the resize."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobgen.machine.speeds import seen_of
from jobgen_runtime.children.processes import program_path
from tests.bench_reader import picture_set
from tests.paddle_world import call, events

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(1500)]
# One draw of colours, one of a size and an interpolation, in both orders.
BOTH_ORDERS = """
import json, sys
import cv2
import numpy as np
from ppdet.data.transform.batch_operators import BatchRandomResize
from ppdet.data.transform.operators import RandomDistort
image = cv2.imread(sys.argv[1])
far, off = [], []
for draw in range(40):
    distort = RandomDistort()
    resize = BatchRandomResize([160, 192, 224, 256, 288], False, random_interp=True)
    found = []
    for order in (0, 1):
        sample = {"image": image.copy(), "im_shape": np.array(image.shape[:2], "float32"),
                  "scale_factor": np.ones(2, "float32")}
        for step in ((distort, resize), (resize, distort))[order]:
            np.random.seed(draw + (1000 if step is resize else 0))
            sample = step([sample])[0]
        found.append(np.asarray(sample["image"], "float64"))
    apart = np.abs(found[0] - found[1])
    far.append(np.quantile(apart, 0.999))
    off.append(apart.mean())
print(json.dumps({"far": max(far), "mean": max(off)}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The output of two epochs on eight photographs of 2 megapixels."""
    folder = tmp_path_factory.mktemp("large")
    archive = picture_set(folder / "s.zip", (1600, 1200))
    assert call("init", "s", "--archive", archive, "--model", "picodet_xs_320", cwd=folder)[0] == 0
    path = folder / "bundles" / "s" / "job.yaml"
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    job["model"] = {"config": "picodet_xs_320", "pretrained": "none", "input_size": 224}
    job.update(train={"epochs": 2, "batch_size": 2, "repeat": 1}, stages=[], language="en")
    path.write_text(yaml.safe_dump(job, allow_unicode=True), encoding="utf-8")
    assert call("build", path, cwd=folder)[0] == 0
    upload = path.parent / "upload"
    code, answer, said = call("run", upload, "--archive", archive, "--device", "cpu", cwd=folder)
    # Two epochs teach little: the training itself came to its end.
    assert code in (0, 7), said
    return Path(answer["run"]) / "home", answer["result"]


def test_training_reads_copies_and_evaluation_the_pictures(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    home, result = trained
    changed = {row["what"]: row["used"] for row in result["adjustments"]}
    # 288 px is the largest input at 224 px.
    assert changed["the short side of 8 training pictures"] == "576 px"
    config = result["run_config"]
    record = json.loads(Path(config["TrainDataset"]["anno_path"]).read_text(encoding="utf-8"))
    assert {(i["width"], i["height"]) for i in record["images"]} == {(768, 576)}
    assert config["EvalDataset"]["anno_path"] == "val.json"
    # Loaded by PaddleDetection itself: all of them, and none missing.
    (loaded, *_) = events(home / "output" / "s", "loaded")
    assert (loaded["valid"], loaded["invalid"]) == (8, 0)


def test_what_is_measured_tells_the_next_run(trained: tuple[Path, dict[str, Any]]) -> None:
    _, result = trained
    pace = result["metrics"]["pace"]
    assert pace["images_per_second"] > 0.3
    assert 0 < pace["evaluation"] < 120
    reading = result["smoke_step"]["reading"]
    assert {"Decode", "RandomCrop", "RandomDistort", "BatchRandomResize"} <= set(reading["steps"])
    assert min(reading["rates"].values()) > 1
    assert result["expected"]["train_seconds"] > 1
    seen = seen_of({**result, "status": "ok"})
    assert seen is not None
    assert (seen.device, seen.size, seen.eval_images) == ("cpu", 224, 8)


def test_colours_are_the_same_behind_the_resize(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    home, result = trained
    reader = result["run_config"]["TrainReader"]
    names = [[next(iter(step)) for step in reader[key]] for key in
             ("sample_transforms", "batch_transforms")]  # fmt: skip
    assert names[0] == ["Decode", "RandomCrop", "RandomFlip"]
    assert names[1][:2] == ["BatchRandomResize", "RandomDistort"]
    (environment,) = events(home / "output" / "s", "environment")
    image = next((home / "datasets").rglob("*.jpg"))
    argv = [environment["python"], "-c", "import cv2\n" + BOTH_ORDERS, str(image)]
    env = {**os.environ, "PYTHONPATH": str(home / "PaddleDetection")}
    answer = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    apart = json.loads(answer.stdout.splitlines()[-1])
    # Grey levels of 0 to 255: rounding to 8 bits, multiplied by contrast and saturation.
    assert apart["mean"] < 0.75
    assert apart["far"] < 3


def test_a_torn_picture_is_no_fault_of_the_measurement(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    """Training has its own ways with it; what only measures may not hang, and not end a job."""
    home, result = trained
    (config,) = (home / "PaddleDetection" / "configs" / "picodet").glob("*.run.yml")
    record = json.loads(Path(result["run_config"]["TrainDataset"]["anno_path"]).read_bytes())
    (environment,) = events(home / "output" / "s", "environment")
    torn = [Path(image["file_name"]) for image in record["images"]]
    kept = [path.read_bytes() for path in torn]
    argv = [environment["python"], program_path("run_tool"), program_path("reader_speed"),
            str(config), "0.2", "2"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(home / "PaddleDetection")}
    try:
        for path in torn:
            path.write_bytes(b"torn")
        answer = subprocess.run(
            argv, env=env, cwd=home, capture_output=True, text=True, check=True, timeout=120
        )
    finally:
        for path, data in zip(torn, kept, strict=True):
            path.write_bytes(data)
    # What reads may say more of its picture after that, and on the same line.
    told = answer.stdout[answer.stdout.rindex('{"fault"') :]
    assert set(json.JSONDecoder().raw_decode(told)[0]) == {"fault"}
