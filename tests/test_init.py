from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jobgen.datasets.look import look
from jobgen.datasets.ships import make_ships
from jobgen.errors import DatasetError
from tests.conftest import Answer, real_data


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "ships.zip"
    make_ships(path, 12, 4)
    return path


def test_the_drawn_set_is_the_same_every_time(ships: Path, tmp_path: Path) -> None:
    first = make_ships(tmp_path / "a.zip", 12, 4)
    assert first == make_ships(tmp_path / "b.zip", 12, 4)
    assert (tmp_path / "a.zip").read_bytes() == ships.read_bytes()
    with zipfile.ZipFile(ships) as archive:
        assert "ships/JPEGImages/船_0001.jpg" in archive.namelist()
        record = json.loads(archive.read("ships/train.json"))
    sizes = {(i["width"], i["height"]) for i in record["images"]}
    ((width, height),) = sizes
    for box in record["annotations"]:
        x, y, w, h = box["bbox"]
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


def test_a_job_made_by_init_builds_as_it_is(
    jobgen: Callable[..., Answer], ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = jobgen("init", "ships", "--archive", ships, "--dataset-id", 7, "--epochs", 3)
    assert answer.code == 0, answer.err
    job = yaml.safe_load(Path("bundles/ships/job.yaml").read_text(encoding="utf-8"))
    assert job["dataset"]["sources"] == [{"id": 7, "archive": "ships.zip"}]
    assert (job["dataset"]["root"], job["dataset"]["format"]) == ("ships", "coco")
    assert job["dataset"]["expect"]["train"]["images"] == 12
    assert job["train"]["epochs"] == 3
    assert jobgen("build", "bundles/ships/job.yaml").code == 0
    again = jobgen("init", "ships", "--archive", ships)
    assert again.code == 3
    assert "is there already" in again.err


def test_a_wrong_model_writes_nothing(
    jobgen: Callable[..., Answer], ships: Path, tmp_path: Path
) -> None:
    answer = jobgen(
        "init", "x", "--archive", ships, "--model", "picodet", "--folder", tmp_path / "x"
    )
    assert answer.code == 3
    assert "model.config: 'picodet' is not known" in answer.err
    assert not (tmp_path / "x").exists()


def voc(folder: Path) -> Path:
    path = folder / "cells.zip"
    box = "<object><name>%s</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    page = "<annotation><size><width>20</width><height>20</height></size>%s</annotation>"
    with zipfile.ZipFile(path, "w") as archive:
        for stem, label in (("a", "red"), ("b", "white"), ("c", "red")):
            archive.writestr(f"S/JPEGImages/{stem}.jpg", b"")
            archive.writestr(f"S/Annotations/{stem}.xml", page % (box % label))
        archive.writestr("S/ImageSets/Main/train.txt", "a\nb\n")
        archive.writestr("S/ImageSets/Main/val.txt", "c\n")
        archive.writestr("S/ImageSets/Main/trainval.txt", "a\nb\nc\n")
    return path


def test_voc(tmp_path: Path) -> None:
    found = look(voc(tmp_path))
    assert (found.format, found.root, found.classes) == ("voc", "S", ["red", "white"])
    assert (found.train.images, found.eval.images, found.train.boxes) == (2, 1, 2)
    assert found.train.files == {
        "images": "JPEGImages", "annotations": "Annotations", "list": "ImageSets/Main/train.txt",
    }  # fmt: skip


def test_a_mask_of_the_same_name_is_no_image(tmp_path: Path) -> None:
    plain = look(voc(tmp_path))
    with zipfile.ZipFile(tmp_path / "cells.zip", "a") as archive:
        for stem in "abc":
            archive.writestr(f"S/ASegmentation/{stem}.png", b"")
    assert look(tmp_path / "cells.zip") == plain


@pytest.mark.parametrize("folder", ["", "images/"])
def test_images_may_lie_at_the_top_or_beside_others(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.json", coco("1.jpg", "2.jpg"))
        archive.writestr("val.json", coco("3.jpg"))
        for number in "123":
            archive.writestr(f"{folder}{number}.jpg", b"")
    found = look(path)
    assert found.root == ""
    assert found.train.files["images"] == (folder.rstrip("/") or ".")


def test_two_folders_with_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "val"):
            archive.writestr(f"s/{split}.json", coco("0000.jpg"))
            archive.writestr(f"s/{split}/0000.jpg", b"")
    found = look(path)
    assert (found.root, found.train.files["images"], found.eval.files["images"]) == (
        "s",
        "train",
        "val",
    )


def test_a_damaged_entry_has_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.json", coco("1.jpg"))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"images", b"imagez", 1))
    with pytest.raises(DatasetError, match=r"train\.json can't be read"):
        look(path)


def test_a_folder_is_read_like_its_archive(ships: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(ships) as archive:
        archive.extractall(tmp_path)
    assert look(tmp_path / "ships") == look(ships)


def coco(*names: str) -> str:
    images = [{"id": i, "file_name": n, "width": 9, "height": 9} for i, n in enumerate(names)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0}
        for i in range(len(names))
    ]
    categories = [{"id": 1, "name": "x"}]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories})


PAGE = "<annotation><size><width>9</width><height>9</height></size></annotation>"
BAD_COCO = '{"images": [1], "annotations": [], "categories": ["s"]}'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "x"}, "holds neither COCO files nor Pascal VOC"),
        ({"a.json": coco("1.jpg")}, "no file is clearly the train split; there are a.json"),
        ({"train.json": coco("1.jpg"), "1.jpg": ""}, "no file is clearly the eval split"),
        ({"trainval.json": coco("1.jpg"), "test.json": coco("1.jpg")}, "clearly the train split"),
        ({"train.json": BAD_COCO, "val.json": BAD_COCO}, "an item of images has no whole number as id: 1"),
        ({"train.json": coco("1.jpg", "2.jpg"), "val.json": coco("1.jpg"), "i/1.jpg": ""},
         "no folder holds all 2 images of train; 1 are nowhere"),
        ({"ImageSets/Main/train.txt": "a", "ImageSets/Main/val.txt": "a", "JPEGImages/a.jpg": ""},
         "Annotations/a.xml is not there"),
        ({"ImageSets/Main/train.txt": "a", "ImageSets/Main/val.txt": "a", "Annotations/a.xml": PAGE},
         "no folder has an image of every listed stem; a is missing first"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_asked(tmp_path: Path, files: dict[str, str], message: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    with pytest.raises(DatasetError, match=message):
        look(path)


def test_the_real_sets() -> None:
    ssdd = look(real_data("ssdd.zip"))
    assert (ssdd.train.images, ssdd.train.boxes, ssdd.eval.images, ssdd.eval.boxes) == (
        928,
        2041,
        232,
        546,
    )
    bccd = look(real_data("bccd.zip"))
    assert (bccd.train.images, bccd.eval.images, bccd.classes) == (
        205,
        87,
        ["Platelets", "RBC", "WBC"],
    )
