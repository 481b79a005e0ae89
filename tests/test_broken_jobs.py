"""What can be known beforehand is: ten kinds of broken jobs, each caught by `check`, and each a
run that fails, or is not ok, where nobody checks."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sets import Coco, coco_split, picture, write_zip
from tests.test_check_job import DATA, MODEL, change

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(600)]
JOBGEN = [sys.executable, "-m", "jobgen"]
JOB = """\
name: ships
environment: paddle2.6_py3.10
dataset:
  sources:
    - {archive: ships.zip}
  root: ships
  train: {images: images, annotations: train.json}
  eval: {images: images, annotations: val.json}
  classes: [ship, boat]
  expect:
    train: {images: 12, boxes: 24}
    eval: {images: 4, boxes: 8}
model: {config: picodet_xs_320_coco_lcnet, pretrained: none, input_size: 224}
train: {epochs: 2}
"""


def sound() -> Coco:
    made = Coco(train=coco_split(1, 12), val=coco_split(13, 4))
    made.files = {f"images/{n:04d}.jpg": picture(n) for n in range(1, 17)}
    return made


@dataclass
class Broken:
    """A job that can't succeed: how its set, its job.yaml, its archive or its built files differ
    from a sound one's, and the code that says so."""

    code: str
    data: Callable[[Coco], object] = lambda made: None
    job: tuple[str, str] = ("", "")
    archive: Callable[[Path], object] = lambda path: None
    upload: Callable[[Path], object] = lambda folder: None


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("ships/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, b"/etc/passwd")


SIZES = (
    "overrides: {TrainReader: {batch_transforms: [{BatchRandomResize: {target_size: [336], "
    "random_size: true, random_interp: true, keep_ratio: false}}, {NormalizeImage: {mean: "
    "[0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}, {Permute: {}}, {PadGT: {}}]}}\ntrain:"
)
BROKEN = {
    "an image is missing": Broken("DS050", lambda made: made.files.pop("images/0003.jpg")),
    "a name is written in capitals": Broken(
        "DS054", lambda made: made.train["images"][0].update(file_name="0001.JPG")
    ),
    "val has no areas": Broken("DS014", lambda made: made.val["annotations"][0].pop("area")),
    "val numbers its classes otherwise": Broken(
        "DS031", lambda made: made.val["categories"].reverse()
    ),
    "the classes are others": Broken("DS033", job=("[ship, boat]", "[boat, ship]")),
    "it is another data set": Broken("DS098", job=("images: 12,", "images: 13,")),
    "the archive has a link": Broken("DS002", archive=link),
    "the sizes do not fit the neck": Broken("CF027", job=("train: {epochs", SIZES + " {epochs")),
    "a base is missing": Broken("CF013", upload=change(MODEL, "../runtime.yml", "../runtimes.yml")),
    "a file is missing": Broken("BU005", upload=lambda folder: (folder / DATA).unlink()),
}


def call(*arguments: object, cwd: Path) -> tuple[int, dict[str, Any], str]:
    argv = [*JOBGEN, *map(str, arguments), "--json"]
    answer = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    print(answer.stderr)
    return answer.returncode, json.loads(answer.stdout or "{}"), answer.stderr


@pytest.mark.parametrize("kind", BROKEN)
def test_check_catches_what_would_fail(kind: str, tmp_path: Path) -> None:
    broken, made = BROKEN[kind], sound()
    broken.data(made)
    assert broken.job[0] in JOB
    text = JOB.replace(*broken.job, 1) if broken.job[0] else JOB
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    broken.archive(path)
    assert call("build", "job.yaml", "--no-check", cwd=tmp_path)[0] == 0
    broken.upload(tmp_path / "upload")
    code, answer, _ = call("check", "upload", "--archive", path, cwd=tmp_path)
    assert code == 1
    assert broken.code in {finding["code"] for finding in answer["findings"]}
    smoke = ("--archive", path, "--device", "cpu", "--smoke", "--yes")
    assert call("run", "upload", *smoke, cwd=tmp_path)[0] in (1, 6)
    code, answer, _ = call("run", "upload", *smoke, "--no-check", cwd=tmp_path)
    assert code in (6, 7)
    assert answer.get("status") not in ("ok", "ok-smoke")
