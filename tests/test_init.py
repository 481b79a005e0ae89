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


def test_a_folder_is_read_like_its_archive(ships: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(ships) as archive:
        archive.extractall(tmp_path)
    assert look(tmp_path / "ships") == look(ships)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "x"}, "holds neither COCO files nor Pascal VOC"),
        ({"a.json": '{"images": [], "annotations": [], "categories": []}'}, "no file is clearly the train split"),
        ({"ImageSets/Main/train.txt": "a", "ImageSets/Main/val.txt": "a", "JPEGImages/a.jpg": ""},
         "Annotations/a.xml is not there"),
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
