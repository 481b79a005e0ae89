"""Images of more than 8 bits to 8: what OpenCV reads of them afterwards, and by which stretch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from jobgen.datasets.stretch import GDAL_NODATA
from tests.conftest import Answer
from tests.sets import HEIGHT, WIDTH, Coco, write_zip


def deep(pixels: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def with_images(ending: str, images: dict[int, bytes]) -> Coco:
    made = Coco()
    for number, data in images.items():
        del made.files[f"images/{number:04d}.jpg"]
        made.files[f"images/{number:04d}.{ending}"] = data
        made.train["images"][number - 1]["file_name"] = f"{number:04d}.{ending}"
    return made


def decoded(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        (found,) = [n for n in archive.namelist() if n.endswith(name)]
        data = np.frombuffer(archive.read(found), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(("code", "kind", "dtype"), [
    ("DS061", "PNG", np.uint16), ("DS061", "TIFF", np.uint16),
    ("DS063", "TIFF", np.float32), ("DS063", "TIFF", np.int32),
])  # fmt: skip
def test_one_stretch_for_the_whole_set(
    jobgen: Callable[..., Answer], tmp_path: Path, code: str, kind: str, dtype: type
) -> None:
    """Two images of one scene: what is equally bright in both stays so, and OpenCV reads it."""
    ramp: Any = np.linspace(100, 4000, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(dtype)
    dim: Any = (ramp * 0.5).astype(dtype)
    made = with_images(kind.lower(), {1: deep(ramp, kind), 2: deep(dim, kind)})
    path, target = write_zip(tmp_path / "s.zip", made.all_files()), tmp_path / "d.zip"
    assert jobgen("dataset", "convert", path, target, "--fix", "all").code == 0
    assert code in jobgen("check", target, "--deep").out  # changes pixels: only by its own code
    target.unlink()
    answer = jobgen("dataset", "convert", path, target, "--fix", code)
    assert f"{code}  2 images to 8 bits: 5" in answer.out
    assert "become 0 to 255, what 0.1 to 99.9 % of their pixels have" in answer.out
    assert jobgen("check", target, "--deep").out.startswith("nothing found")
    bright, dark = (decoded(target, f"000{n}.{kind.lower()}") for n in (1, 2))
    assert bright.dtype == dark.dtype == np.uint8
    assert bright.shape == (HEIGHT, WIDTH)
    assert (bright.min(), bright.max(), dark.max()) == (3, 255, pytest.approx(127, abs=2))
    assert (np.diff(bright.ravel().astype(int)) >= 0).all()
    assert len(np.unique(bright)) > 240


def test_what_is_no_number_becomes_black(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """No-data pixels of a scene's edge decide nothing: NaN, infinite, the least of all numbers, or
    the value that GDAL's tag names."""
    pixels: Any = np.linspace(-30, 5, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.float32)
    pixels[0, :], pixels[1, ::2], pixels[1, 1::2] = np.nan, -np.inf, np.finfo(np.float32).min
    pixels[2, :] = -9999
    data = deep(pixels, "TIFF", tiffinfo={GDAL_NODATA: "-9999 "})
    path = write_zip(tmp_path / "s.zip", with_images("tif", {1: data}).all_files())
    target = tmp_path / "d.zip"
    answer = jobgen("dataset", "convert", path, target, "--fix", "DS063")
    assert "1 images to 8 bits: -27" in answer.out
    found = decoded(target, "0001.tif")
    assert (found[:3] == 0).all()
    assert found[-1, -1] == 255


def test_deep_colour_is_left_and_said(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    colour = np.full((HEIGHT, WIDTH, 3), 40000, np.uint16)
    data = cv2.imencode(".png", colour)[1].tobytes()
    path = write_zip(tmp_path / "s.zip", with_images("png", {1: data}).all_files())
    target = tmp_path / "d.zip"
    (finding,) = jobgen("check", path, "--json").json["findings"]
    assert (finding["code"], "--fix" in finding["hint"]) == ("DS061", False)
    answer = jobgen("dataset", "convert", path, target, "--fix", "DS061")
    assert "1 images left as they are: of deep colour" in answer.out
    assert decoded(target, "0001.png").dtype == np.uint16


def test_the_same_bytes_every_time(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    pixels = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 7
    path = write_zip(tmp_path / "s.zip", with_images("png", {1: deep(pixels, "PNG")}).all_files())
    written = []
    for name in ("a", "b"):
        target = tmp_path / name / "s-new.zip"
        jobgen("dataset", "convert", path, target, "--fix", "DS061")
        written.append(target.read_bytes())
    assert written[0] == written[1]
