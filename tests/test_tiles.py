"""Pictures in tiles: cut for training, and their boxes merged again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobgen.datasets import cutting
from jobgen.datasets.look import look
from jobgen.datasets.record import DataSet
from jobgen.datasets.statistics import tiny
from jobgen.datasets.tile import Tiling, plan, tile
from jobgen_runtime.programs.tiles import merged, starts, tiles_of
from tests.conftest import ROOT, Answer
from tests.sets import Coco, picture, write_folder, write_zip

WIDTH, HEIGHT = 300, 200


@given(
    st.integers(1, 5000), st.integers(64, 1024), st.floats(0, 0.8)
)  # fmt: skip
def test_tiles_cover_every_pixel_and_share_enough(length: int, size: int, overlap: float) -> None:
    found = starts(length, size, overlap)
    assert found[0] == 0
    assert found[-1] == max(0, length - size)
    for one, two in pairwise(found):
        assert one < two
        # A pixel of rounding.
        assert one + size - two >= overlap * size - 1


def scenes(kind: str = "JPEG", ending: str = "jpg", **options: Any) -> dict[str, bytes]:
    """Three pictures of 300 x 200 px: boxes at corners, in the middle, none."""
    made = Coco(root="scenes")
    rows = [[(10, 10, 20, 20), (140, 90, 24, 20)], [(280, 180, 18, 18)], []]
    for record, first in ((made.train, 1), (made.val, 5)):
        record["images"] = []
        record["annotations"] = []
        for place, boxes in enumerate(rows):
            number = first + place
            name = f"{number:04d}.{ending}"
            record["images"].append(
                {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            )
            made.files[f"images/{name}"] = picture(
                number, size=(WIDTH, HEIGHT), kind=kind, **options
            )
            for box in boxes:
                record["annotations"].append(
                    {"id": len(record["annotations"]) + 1, "image_id": number, "category_id": 1,
                     "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
                )  # fmt: skip
        record["annotations"].append(
            {**record["annotations"][0], "id": 99, "category_id": 2, "bbox": [60, 40, 9, 9]}
        )
    return made.all_files()


def tiled(path: Path, target: Path, processes: int = 1, **options: Any) -> DataSet:
    tile(look(path), [path], target, Tiling(**{"size": 128, **options}), processes)
    return look(target)


def test_a_box_is_where_it_was(tmp_path: Path) -> None:
    """The pixels of every uncut box in a tile are those of the picture."""
    path = write_zip(tmp_path / "a.zip", scenes("PNG", "png"))
    data = tiled(path, tmp_path / "b.zip", overlap=0.25)
    wholes = {(10, 10, 20, 20), (140, 90, 24, 20), (280, 180, 18, 18), (60, 40, 9, 9)}
    seen = set()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "b.zip") as after:
        for split in data:
            for row in range(len(split)):
                image = split.image_of[row]
                stem, left, top = Path(split.image_names[image]).stem.split("_")
                x, y, w, h = (int(v) for v in split.boxes[row])
                whole = (x + int(left), y + int(top), w, h)
                part = Image.open(io.BytesIO(after.read(split.paths[image])))
                picture_ = Image.open(io.BytesIO(before.read(f"scenes/images/{stem}.png")))
                corners = (whole[0], whole[1], whole[0] + w, whole[1] + h)
                assert part.size == split.size(int(image)) == (128, 128)
                assert part.crop((x, y, x + w, y + h)).tobytes() == picture_.crop(corners).tobytes()
                seen.add(whole)
    assert wholes <= seen


def test_a_cut_box_is_kept_where_enough_of_it_shows(tmp_path: Path) -> None:
    data = look(write_zip(tmp_path / "a.zip", scenes()))
    for keep, cut in ((0.1, True), (1.0, False)):
        made = plan(data.splits["train"], Tiling(size=100, overlap=0, keep=keep))
        assert (made.figures.cut > 0) == cut
        sides = made.split.boxes[:, 2:]
        assert (sides > 0).all()
        assert (made.split.boxes[:, :2] >= 0).all()
        assert (made.split.boxes[:, :2] + sides <= 100).all()


def test_empty_tiles_are_kept_in_the_stated_share(tmp_path: Path) -> None:
    split = look(write_zip(tmp_path / "a.zip", scenes())).splits["train"]
    with_box = len(plan(split, Tiling(size=64, empty=0)).split.image_names)
    for share in (0.5, 1.0):
        made = plan(split, Tiling(size=64, empty=share)).split
        empty = int((made.boxes_per_image == 0).sum())
        assert empty == round(share * with_box)
    names = [plan(split, Tiling(size=64, empty=1, seed=s)).split.image_names for s in (1, 1, 2)]
    assert names[0] == names[1] != names[2]


def test_the_same_bytes_with_one_process_and_with_two(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", scenes())
    tiled(path, tmp_path / "b.zip", 1)
    tiled(path, tmp_path / "c" / "b.zip", 2)
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "c" / "b.zip").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip", "c"]


def test_small_pictures_stay_as_they_are(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", scenes())
    data = tiled(path, tmp_path / "b.zip", size=320, empty=100)
    assert sorted(data.splits["train"].image_names) == ["0001.jpg", "0002.jpg", "0003.jpg"]
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "b.zip") as after:
        same = after.read("scenes/images/train/0001.jpg")
        assert same == before.read("scenes/images/0001.jpg")


def test_a_picture_that_exif_turns_is_cut_as_opencv_shows_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = scenes(exif=exif)
    for name in ("train", "val"):
        record = json.loads(files[f"scenes/{name}.json"])
        for image in record["images"]:
            image["width"], image["height"] = HEIGHT, WIDTH
        files[f"scenes/{name}.json"] = json.dumps(record).encode()
    path = write_zip(tmp_path / "a.zip", files)
    tiled(path, tmp_path / "b.zip", size=200, overlap=0, keep=0.1)
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "b.zip") as after:
        stored = Image.open(io.BytesIO(before.read("scenes/images/0001.jpg")))
        part = Image.open(io.BytesIO(after.read("scenes/images/train/0001_0_0.jpg")))
        assert part.getexif().get(0x0112, 1) == 1
        ways = [Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_90]
        turned = [np.asarray(stored.transpose(way).crop((0, 0, 200, 200)), int) for way in ways]
        right, wrong = (np.abs(np.asarray(part, int) - other).mean() for other in turned)
        assert right < wrong / 4


def test_what_was_cut_before_a_kill_is_not_cut_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(tmp_path / "a.zip", scenes())
    real = cutting._cut
    cut: list[str] = []

    def stops(files: Any, job: Any, place: Path) -> str:
        if len(cut) == 2:
            raise KeyboardInterrupt
        cut.append(job.path)
        return real(files, job, place)

    monkeypatch.setattr(cutting, "_cut", stops)
    with pytest.raises(KeyboardInterrupt):
        tiled(path, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()

    def goes_on(files: Any, job: Any, place: Path) -> str:
        cut.append(job.path)
        return real(files, job, place)

    monkeypatch.setattr(cutting, "_cut", goes_on)
    tiled(path, tmp_path / "b.zip")
    assert len(cut) == len(set(cut))
    tiled(path, tmp_path / "c.zip")
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_picture_that_cannot_be_read_is_named(
    processes: int, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    files = scenes()
    files["scenes/images/0001.jpg"] = files["scenes/images/0001.jpg"][:700]
    path = write_zip(tmp_path / "a.zip", files)
    answer = jobgen("dataset", "tile", path, tmp_path / "b.zip", "--size", 128, "--processes",
                    processes)  # fmt: skip
    assert answer.code == 4
    assert "0001.jpg can't be read" in answer.err
    assert not (tmp_path / "b.zip").exists()


def test_the_command_says_what_became_of_the_boxes(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", scenes())
    answer = jobgen("dataset", "tile", path, tmp_path / "b.zip", "--size", 128, "--json")
    assert answer.json["splits"]["train"]["pictures"] == 3
    assert answer.json["splits"]["train"]["lost"] == 0
    assert jobgen("check", tmp_path / "b.zip", "--deep").code == 0


def test_it_is_suggested_with_figures(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco()
    for record in (made.train, made.val):
        for image in record["images"]:
            image["width"], image["height"] = 4000, 3000
    split = look(write_zip(tmp_path / "a.zip", made.all_files())).splits["train"]
    assert str(tiny(split, 640)) == (
        "at 640 px 100% of boxes are under 8 px; in tiles of 640 px, 0%"
    )
    assert "dataset tile" in jobgen("check", tmp_path / "a.zip").out
    assert "Small objects: at 640 px" in jobgen("dataset", "inspect", tmp_path / "a.zip").out


def found_in(truth: Sequence[tuple[float, ...]], size: int, overlap: float) -> list[Any]:
    """What a perfect detector finds in each tile and in the whole, boxes cut at the edges."""
    places = [*tiles_of(WIDTH * 4, HEIGHT * 4, size, overlap), (0, 0, WIDTH * 4, HEIGHT * 4)]
    found = []
    for left, top, right, bottom in places:
        rows = []
        for label, x1, y1, x2, y2 in truth:
            a, b, c, d = max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)
            if c - a > 2 and d - b > 2:
                rows.append([label, 0.9, a - left, b - top, c - left, d - top])
        found.append(((left, top, right, bottom), rows))
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 1100), st.integers(0, 700), st.integers(6, 500),
            st.integers(6, 500),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_one_box_comes_back_for_each_object(boxes: list[tuple[int, int, int, int, int]]) -> None:
    """Small or larger than a tile, at an edge or not: each once, whole, and nothing else."""
    truth: list[tuple[int, ...]] = []
    for label, x, y, w, h in boxes:
        box = (label, x, y, min(x + w, WIDTH * 4), min(y + h, HEIGHT * 4))
        apart = all(
            box[3] < o[1] - 4 or o[3] < box[1] - 4 or box[4] < o[2] - 4 or o[4] < box[2] - 4
            for o in truth
        )
        if apart and box[3] - box[1] > 5 and box[4] - box[2] > 5:
            truth.append(box)
    found = merged(found_in(truth, 256, 0.25), WIDTH * 4, HEIGHT * 4, 0.6)
    assert sorted([row[0], *row[2:]] for row in found) == sorted(map(list, truth))


def test_an_image_of_one_tile_is_left_as_it_is() -> None:
    rows = [[0, 0.5, 1, 2, 3, 4], [0, 0.4, 1, 2, 3, 4]]
    assert merged([((0, 0, 100, 80), rows)], 100, 80, 0.5) == rows


def test_detect_reads_tiles_with_nothing_of_jobgen(tmp_path: Path) -> None:
    """The two files that are handed out, and no package, in a Python of its own."""
    for name in ("detect.py", "tiles.py"):
        text = (ROOT / "jobgen_runtime" / "programs" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = (
        "import numpy as np, detect\n"
        "class Model:\n"
        "    def run(self, inputs):\n"
        "        image = inputs['image'][0, 0]\n"
        "        ys, xs = np.nonzero(image > 100)\n"
        "        if not len(xs): return [np.zeros((0, 6)), np.array([0])]\n"
        "        row = [0, 0.9, xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]\n"
        "        return [np.array([row], float), np.array([1])]\n"
        "image = np.zeros((400, 600, 3), np.uint8)\n"
        "image[150:170, 290:330] = 200\n"
        "steps = {'Preprocess': [{'type': 'Permute'}]}\n"
        "nms = {'nms_threshold': 0.6}\n"
        "print(detect.find_in_tiles(Model(), image, steps, nms, 256, 0.2))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout.strip() == "[[0.0, 0.9, 290.0, 150.0, 330.0, 170.0]]", done.stderr


def test_two_do_not_write_one_archive(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", scenes())
    lock = FileLock(tmp_path / ".b.zip.lock")
    command = ("dataset", "tile", path, tmp_path / "b.zip", "--size", 128, "--processes", 1)
    with lock:
        answer = jobgen(*command)
        assert (answer.code, "another jobgen is writing" in answer.err) == (4, True)
    assert jobgen(*command).code == 0
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_is_no_fault_of_a_picture(processes: str, tmp_path: Path) -> None:
    """A limit on the size of files stands in for it: what is written beyond fails."""
    path = write_zip(tmp_path / "a.zip", scenes())
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
    code = f"{limit}from jobgen.cli import entry\nsys.argv[0] = 'jobgen'\nentry()"
    argv = [sys.executable, "-c", code, "dataset", "tile", str(path), str(tmp_path / "b.zip")]
    argv += ["--size", "128", "--processes", processes]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "tiles can't be written into" in done.stderr
    assert "Make room first" in done.stderr
    assert not (tmp_path / "b.zip").exists()


def test_a_picture_that_was_changed_is_cut_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stopped run left is of the picture as it was, whatever its size is now."""
    place = write_folder(tmp_path / "in", scenes("BMP", "bmp")) / "scenes"
    real = cutting._cut
    cut: list[str] = []

    def stops(files: Any, job: Any, part: Path) -> str:
        if cut:
            raise KeyboardInterrupt
        cut.append(job.path)
        return real(files, job, part)

    monkeypatch.setattr(cutting, "_cut", stops)
    with pytest.raises(KeyboardInterrupt):
        tiled(place, tmp_path / "b.zip")
    monkeypatch.undo()
    changed = tmp_path / "in" / cut[0]
    size = changed.stat().st_size
    changed.write_bytes(picture(77, size=(WIDTH, HEIGHT), kind="BMP"))
    assert changed.stat().st_size == size
    tiled(place, tmp_path / "b.zip")
    tiled(place, tmp_path / "c.zip")
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
