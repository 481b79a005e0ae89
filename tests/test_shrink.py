"""Smaller copies of large pictures: made once, with the program and the OpenCV of a run."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from jobgen.run.progress import event_line
from jobgen_runtime.data import shrink as shrinking
from jobgen_runtime.data.coco import annotation_path, read_coco
from jobgen_runtime.data.shrink import Limits, shrink, shrink_limits
from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.outcome import Outcome, begin

LIMITS = Limits(over=150, to=120)
ROTATED = 6  # EXIF: shown turned clockwise by a quarter


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Outcome]:
    record = begin(str(tmp_path / "output"), name="ships")
    record.start("configure")
    yield record
    outcome_module._current[:] = []


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    return encoded(image, "JPEG", quality=95, exif=exif)


PICTURES: dict[str, tuple[int, int, bytes]] = {
    "a/large.jpg": (400, 300, encoded(noise(400, 300), "JPEG", quality=95)),
    "large.png": (300, 600, encoded(noise(300, 600, 1), "PNG")),
    "small.jpg": (200, 150, encoded(noise(200, 150, 2), "JPEG")),
    "turned.jpg": (300, 400, turned(noise(400, 300, 3))),
    "lies.jpg": (900, 900, encoded(noise(100, 100, 4), "JPEG")),
    "torn.jpg": (900, 900, b"\xff\xd8 no picture"),
}


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """A set as the data stage leaves it: one box in each picture, its right lower quarter."""
    root = tmp_path / "home" / "datasets" / "ships"
    images, boxes = [], []
    for number, (name, (width, height, data)) in enumerate(PICTURES.items(), 1):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        box = [width / 2, height / 2, width / 2, height / 2]
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0,
                      "area": box[2] * box[3], "segmentation": [[1, 1, 2, 2, 3, 1]]})  # fmt: skip
    record = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ship"}]}
    for split in ("train", "eval"):
        (root / f"{split}.json").write_text(json.dumps(record), encoding="utf-8")
    return {
        "dataset_dir": str(root),
        "train": {"image_dir": "images", "anno_path": "train.json"},
        "eval": {"image_dir": "images", "anno_path": "eval.json"},
    }


def shrunk(tmp_path: Path, place: dict[str, Any], limits: Limits = LIMITS) -> dict[str, Any]:
    return shrink(str(tmp_path / "home"), "ships", place, limits)


def copies(small: dict[str, Any]) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Image and box of each picture in the file that training reads."""
    record = read_coco(annotation_path(small, "train"))
    boxes = {box["image_id"]: box for box in record["annotations"]}
    return {image["id"]: (image, boxes[image["id"]]) for image in record["images"]}


def test_large_pictures_are_read_from_copies_and_their_boxes_with_them(
    run: Outcome, place: dict[str, Any], tmp_path: Path
) -> None:
    found = copies(shrunk(tmp_path, place))
    sizes = {1: (160, 120), 2: (120, 240), 4: (120, 160)}
    for number, (width, height) in sizes.items():
        image, box = found[number]
        assert (image["width"], image["height"]) == (width, height)
        pixels = read(image["file_name"])
        assert pixels.shape[:2] == (height, width)
        assert box["bbox"] == pytest.approx([width / 2, height / 2, width / 2, height / 2])
        assert box["area"] == pytest.approx(width * height / 4)
        assert "segmentation" not in box
    endings = [Path(found[n][0]["file_name"]).suffix for n in sizes]
    assert endings == [".jpg", ".png", ".jpg"]
    # What is small, torn, or smaller than its annotation says stays as it is.
    assert [found[n][0]["file_name"] for n in (3, 5, 6)] == ["small.jpg", "lies.jpg", "torn.jpg"]
    assert "2 of 5 large pictures stayed" in run.data["notes"][0]["text"]
    assert run.data["adjustments"][0]["what"] == "the short side of 3 training pictures"


def test_a_copy_has_the_pictures_own_pixels(
    run: Outcome, place: dict[str, Any], tmp_path: Path
) -> None:
    """One in 2.5 each way, the nearest to the middle: nothing is averaged, and of a PNG nothing
    lost."""
    image, _ = copies(shrunk(tmp_path, place))[2]
    original = read(Path(place["dataset_dir"]) / "images" / "large.png")
    columns = [int((n + 0.5) * 2.5) for n in range(120)]
    rows = [int((n + 0.5) * 2.5) for n in range(240)]
    assert np.array_equal(read(image["file_name"]), original[np.ix_(rows, columns)])


def test_evaluation_goes_by_the_pictures_themselves(
    run: Outcome, place: dict[str, Any], tmp_path: Path
) -> None:
    small = shrunk(tmp_path, place)
    assert small["eval"] == place["eval"]
    assert small["shrink"] == [150, 120]
    before = {name: data for name, (_, _, data) in PICTURES.items()}
    folder = Path(place["dataset_dir"]) / "images"
    assert {name: (folder / name).read_bytes() for name in before} == before


def read(path: str | Path) -> npt.NDArray[np.uint8]:
    found = cv2.imread(str(path))
    assert found is not None
    return found.astype(np.uint8)


def written(small: dict[str, Any]) -> dict[str, int]:
    folder = Path(annotation_path(small, "train")).parent
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.suffix != ".json"}


def test_a_second_run_makes_none_again(run: Outcome, place: dict[str, Any], tmp_path: Path) -> None:
    first = shrunk(tmp_path, place)
    made = written(first)
    folder = Path(annotation_path(first, "train")).parent
    left, young = folder / "half.jpg.1-2.tmp", folder / "half.jpg.3-4.tmp"
    for path in (left, young):
        path.write_bytes(b"half a picture")
    # A kill left one of them yesterday; the other belongs to a run that goes on beside this one.
    os.utime(left, (time.time() - 86400,) * 2)
    lost = sorted(made)[0]
    (folder / lost).unlink()
    small = shrunk(tmp_path, place)
    assert (left.exists(), young.exists()) == (False, True)
    young.unlink()
    again = written(small)
    assert set(again) == set(made)
    assert {name for name in made if again[name] != made[name]} == {lost}


def test_another_size_and_a_changed_picture_are_made_anew(
    run: Outcome, place: dict[str, Any], tmp_path: Path
) -> None:
    made = written(shrunk(tmp_path, place))
    smaller = copies(shrunk(tmp_path, place, Limits(100, 100)))
    assert smaller[1][0]["height"] == 100
    changed = Path(place["dataset_dir"]) / "images" / "large.png"
    changed.write_bytes(encoded(noise(300, 600, 9), "PNG"))
    other = written(shrunk(tmp_path, place))
    assert len(set(other) - set(made)) == 1


def test_a_set_of_small_pictures_stays(run: Outcome, place: dict[str, Any], tmp_path: Path) -> None:
    assert shrunk(tmp_path, place, Limits(1000, 900)) is place
    assert not run.data["adjustments"]


def test_a_disk_without_room_is_said_and_training_reads_the_pictures(
    run: Outcome, place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrinking, "DISK_LEFT", 1 << 60)
    # The same training for one that resumes it where there is room.
    assert shrunk(tmp_path, place) == {**place, "shrink": [150, 120]}
    assert "5 large pictures are not made smaller" in run.data["notes"][0]["text"]


def test_grain_is_not_frozen(run: Outcome, place: dict[str, Any], tmp_path: Path) -> None:
    """Noise alone is all grain; a picture of soft shapes has none."""
    small = shrink(str(tmp_path / "home"), "ships", place, LIMITS, 0.5)
    assert small is place
    assert "at full size they are mostly grain" in run.data["notes"][0]["text"]
    for name in PICTURES:
        soft = noise(6, 5).resize((600, 500), Image.Resampling.BICUBIC)
        (Path(place["dataset_dir"]) / "images" / name).write_bytes(encoded(soft, "PNG"))
    assert shrink(str(tmp_path / "home"), "ships", place, LIMITS, 0.5) is not place


@pytest.mark.parametrize(
    ("wanted", "side", "limits"),
    [("auto", 480, (1200, 960)), ("off", 480, None), (700, 480, (700, 700))],
)
def test_what_is_large_follows_from_the_model(wanted: Any, side: int, limits: Any) -> None:
    assert shrink_limits(wanted, side) == limits


def test_a_person_sees_how_far_it_is() -> None:
    event = {"event": "shrinking", "stage": "configure", "done": 12, "total": 300}
    assert event_line(event) == ("configure copies of large pictures: 12 of 300", True)
