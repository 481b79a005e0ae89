"""Rows of the bench about how fast training reads its pictures: PaddleDetection's own reader on what
a run of jobgen's gives it, beside the same on what the tutorial gives it."""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from jobgen_runtime.children.processes import program_path
from tests.sets import write_zip

Row = tuple[str, str, str, float, float]
JOBGEN = [sys.executable, "-m", "jobgen"]
SECONDS = 8.0
# So many that what a program takes to start is no large part.
PICTURES = 96
SIZES = {"12 MP": (4000, 3000), "full HD": (1920, 1080)}
# docs/decisions/shrinking.md: of the time for a picture that the tutorial's reader takes.
BUDGETS = {"12 MP": 0.1, "full HD": 0.55}
# Upstream's own reader for 416 px, which the tutorial trains with.
TUTORIAL: dict[str, Any] = {
    "sample_transforms": [
        {"Decode": {}}, {"RandomCrop": {}}, {"RandomFlip": {"prob": 0.5}}, {"RandomDistort": {}},
    ],
    "batch_transforms": [
        {"BatchRandomResize": {"target_size": [352, 384, 416, 448, 480], "random_size": True,
                               "random_interp": True, "keep_ratio": False}},
        {"NormalizeImage": {"is_scale": True, "mean": [0.485, 0.456, 0.406],
                            "std": [0.229, 0.224, 0.225]}},
        {"Permute": {}},
        {"PadGT": {}},
    ],
}  # fmt: skip


def photograph(width: int, height: int, seed: int) -> Image.Image:
    """Clouds of every size and a little noise, as a photograph has them."""
    rng = np.random.default_rng(seed)
    field = np.zeros((height, width, 3), np.float32)
    side = 4
    while side < width:
        grid = rng.normal(0, 20, (max(2, side * height // width), side, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(grid[:, :, channel]).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            field[:, :, channel] += np.asarray(layer)
        side *= 4
    field += 128 + rng.normal(0, 3, field.shape)
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def picture_set(path: Path, size: tuple[int, int], images: int = 8, quality: int = 90) -> Path:
    """A set of photographs with three boxes each."""
    width, height = size
    record: dict[str, Any] = {"info": {}, "images": [], "annotations": [],
                              "categories": [{"id": 1, "name": "ship"}]}  # fmt: skip
    files: dict[str, bytes] = {}
    for number in range(1, images + 1):
        stream = io.BytesIO()
        photograph(width, height, number).save(stream, "JPEG", quality=quality)
        files[f"s/images/{number}.jpg"] = stream.getvalue()
        record["images"].append(
            {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}
        )
        for part in (0.1, 0.4, 0.7):
            box = [part * width, part * height, 0.2 * width, 0.2 * height]
            record["annotations"].append(
                {"id": len(record["annotations"]) + 1, "image_id": number, "category_id": 1,
                 "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
    for split in ("train", "val"):
        files[f"s/{split}.json"] = json.dumps(record).encode()
    return write_zip(path, files)


class Reader:
    """A run's config on this machine, whose reader can be measured again and again."""

    def __init__(self, folder: Path, archive: Path, tutorial: bool) -> None:
        job = self._job(folder, archive, tutorial)
        subprocess.run([*JOBGEN, "build", job, "-o", folder / "upload"], check=True,
                       capture_output=True)  # fmt: skip
        argv: list[str | Path] = [*JOBGEN, "run", folder / "upload", "--archive", archive, "--device", "cpu", "--smoke",
                "--yes", "--new", "--json", "--runs", folder / "runs", "-p", "MEASURE_READER", "1"]  # fmt: skip
        answer = subprocess.run(argv, check=True, capture_output=True, text=True)
        run = json.loads(answer.stdout)
        self.clone = Path(run["run"]) / "home" / "PaddleDetection"
        (self.config,) = (self.clone / "configs" / "picodet").glob("*.run.yml")
        rows = (
            (Path(run["run"]) / "home/output/s-smoke/events.jsonl").read_text("utf-8").splitlines()
        )
        found = (json.loads(row) for row in rows)
        self.python = next(row["python"] for row in found if row["event"] == "environment")

    @staticmethod
    def _job(folder: Path, archive: Path, tutorial: bool) -> Path:
        folder.mkdir()
        subprocess.run([*JOBGEN, "init", "s", "--archive", archive, "--model", "picodet_s_416"],
                       cwd=folder, check=True, capture_output=True)  # fmt: skip
        path = folder / "bundles" / "s" / "job.yaml"
        job = yaml.safe_load(path.read_text(encoding="utf-8"))
        job.update(stages=[], model={"config": "picodet_s_416_coco_lcnet", "pretrained": "none"})
        job["dataset"]["shrink"] = 8000 if tutorial else "auto"
        if tutorial:
            job["overrides"] = {"TrainReader": TUTORIAL}
        path.write_text(yaml.safe_dump(job, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    def milliseconds(self) -> float:
        """Of a picture, with one process."""
        argv = [self.python, program_path("run_tool"), program_path("reader_speed"), self.config,
                str(SECONDS), "1"]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(self.clone), "JOBGEN_PARENT": str(os.getpid())}
        env["JOBGEN_SEED"] = "1"
        answer = subprocess.run(argv, cwd=self.clone, env=env, check=True, capture_output=True,
                                text=True)  # fmt: skip
        return 1000 / float(json.loads(answer.stdout.splitlines()[-1])["rates"]["1"])


def reader_speed_rows(folder: Path) -> list[Row]:
    rows = []
    for name, size in SIZES.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        archive = picture_set(place / "s.zip", size)
        ours, peer = (
            Reader(place / way, archive, way == "tutorial") for way in ("ours", "tutorial")
        )
        rows.append(_row(f"a picture of {name} read / tutorial", ours, peer, BUDGETS[name]))
        if name == "12 MP":
            small = Reader(place / "small", picture_set(place / "small.zip", (1280, 960)), False)
            rows.append(_row("a copy read / a small picture", ours, small, 1.3))
    return [*rows, shrink_row(folder)]


def _row(what: str, ours: Reader, peer: Reader, budget: float) -> Row:
    pairs = [(ours.milliseconds(), peer.milliseconds()) for _ in range(3)]
    a, b = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return what, f"{a:.1f} ms", f"{b:.1f} ms", statistics.median(x / y for x, y in pairs), budget


def shrink_row(folder: Path) -> Row:
    """Copies of pictures of 12 megapixels made by all cores, beside one process that decodes and
    resizes them: the time of one core for a picture."""
    place = folder / "shrinking"
    place.mkdir()
    names = []
    for number in range(PICTURES):
        path = place / f"{number}.jpg"
        if number < 3:
            photograph(4000, 3000, number).save(path, "JPEG", quality=90)
        # Each is a picture of its own.
        path.write_bytes((place / f"{number % 3}.jpg").read_bytes() + bytes([number]))
        names.append(str(path))
    cores = os.cpu_count() or 1
    pairs = []
    for turn in range(3):
        pairs.append((_timed(lambda: _shrink(place / f"small{turn}", names, cores)),  # noqa: B023
                      _timed(lambda: _decode_and_resize(names))))  # fmt: skip
    a, b = (statistics.median(pair[side] for pair in pairs) / len(names) for side in (0, 1))
    ratio = statistics.median(one * cores / other for one, other in pairs)
    what = f"shrinking, {cores} cores / decode and resize, one"
    return what, f"{a * cores * 1e3:.0f} ms", f"{b * 1e3:.0f} ms", ratio, 1 / 0.8


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _shrink(folder: Path, names: list[str], threads: int) -> None:
    folder.mkdir()
    request = {
        "images": names,
        "folder": str(folder),
        "over": 1200,
        "to": 960,
        "threads": threads,
        "most_grain": None,
    }
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    argv: list[str | Path] = [sys.executable, program_path("shrink_images"), folder / "request.json",
            folder / "answer.json"]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True)


def _decode_and_resize(names: list[str]) -> None:
    code = ("import cv2, sys; cv2.setNumThreads(1)\n"
            "for n in sys.argv[1:]: cv2.resize(cv2.imread(n), (1280, 960), interpolation=2)")  # fmt: skip
    subprocess.run([sys.executable, "-c", code, *names], check=True, capture_output=True)
