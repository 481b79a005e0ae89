"""The layouts that people's exports have, each found for what it is."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.check.dataset import check_dataset
from jobgen.check.rules import chosen_rules
from jobgen.datasets.found import group_splits
from jobgen.datasets.look import look
from jobgen.spec import load_spec
from jobgen_runtime.data.dataset import prepare_data
from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.outcome import begin
from tests.conftest import Answer
from tests.sets import Coco, coco_split, picture, voc, voc_page, write_folder, write_zip, yolo

Files = dict[str, bytes]
PAGE_BOXES = (("ship", 4, 5, 20, 25), ("boat", 24, 5, 40, 30))


def official() -> Files:
    """COCO as it is published: annotations/instances_*2017.json, a folder of images a split."""
    files = {}
    for split, first, count in (("train", 1, 4), ("val", 5, 2)):
        record = coco_split(first, count)
        files[f"annotations/instances_{split}2017.json"] = json.dumps(record).encode()
        captions = {**record, "annotations": [{"id": 1, "image_id": first, "caption": "x"}]}
        del captions["categories"]
        for image in record["images"]:
            files[f"{split}2017/{image['file_name']}"] = picture(image["id"])
    return files


def roboflow_coco() -> Files:
    files = {"README.roboflow.txt": b"exported"}
    for split, first, count in (("train", 1, 4), ("valid", 5, 2), ("test", 7, 2)):
        record = coco_split(first, count)
        files[f"{split}/_annotations.coco.json"] = json.dumps(record).encode()
        for image in record["images"]:
            files[f"{split}/{image['file_name']}"] = picture(image["id"])
    return files


def roboflow_voc() -> Files:
    files = {}
    for split, numbers in (("train", (1, 2, 3)), ("valid", (4,))):
        for n in numbers:
            files[f"{split}/{n}.jpg"] = picture(n)
            files[f"{split}/{n}.xml"] = voc_page(f"{n}.jpg", *PAGE_BOXES)
    return files


def labelimg() -> Files:
    """Images and XML in one folder, no lists."""
    files = {}
    for n in range(1, 5):
        files[f"船 舶/{n}.JPG"] = picture(n)
        files[f"船 舶/{n}.xml"] = voc_page(f"{n}.JPG", *PAGE_BOXES)
    return files


def voc_without_lists() -> Files:
    return {n: d for n, d in voc().all_files().items() if "ImageSets" not in n}


def ultralytics() -> Files:
    files = yolo().all_files()
    files["cells/data.yaml"] = (
        b"path: /home/somebody/datasets/cells  # another machine's\n"
        b"train: images/train\nval: images/val\ntest:\nnames:\n  0: ship\n  1: boat\n"
    )
    return files


def roboflow_yolo() -> Files:
    files = {"data.yaml": b"train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['a b']\n"}
    for split, numbers in (("train", (1, 2)), ("valid", (3,))):
        for n in numbers:
            files[f"{split}/images/{n}.jpg"] = picture(n)
            files[f"{split}/labels/{n}.txt"] = b"0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
    return files


def darknet() -> Files:
    files = {"obj.names": b"ship\nboat\n", "obj.data": b"classes = 2\n", "train.txt": b""}
    for n in range(1, 4):
        files[f"obj_train_data/{n}.jpg"] = picture(n)
        files[f"obj_train_data/{n}.txt"] = b"1 0.5 0.5 0.25 0.5\n"
        files["train.txt"] += b"data/obj_train_data/%d.jpg\n" % n
    return files


def paddle_voc() -> Files:
    """PaddleDetection's own lists of pairs beside the folders, as in its roadsign_voc."""
    files = {"label_list.txt": b"ship\nboat\n", "train.txt": b"", "valid.txt": b""}
    for n in range(1, 5):
        files[f"images/{n}.png"] = picture(n, kind="PNG")
        files[f"annotations/{n}.xml"] = voc_page(f"{n}.png", *PAGE_BOXES)
        name = "train.txt" if n < 4 else "valid.txt"
        files[name] += b"./images/%d.png ./annotations/%d.xml\n" % (n, n)
    return files


def voc_trainval() -> Files:
    files = voc().all_files()
    files["cells/ImageSets/Main/trainval.txt"] = files.pop("cells/ImageSets/Main/train.txt")
    files["cells/ImageSets/Main/test.txt"] = files.pop("cells/ImageSets/Main/val.txt")
    return files


def voc_with_spaces() -> Files:
    """Names that a list can't tell from two cells, and one that looks like an image's."""
    names = {"0001": "img 1", "0002": "img 2 -1", "0003": "c.jpg"}
    files = {}
    for name, data in voc().all_files().items():
        for old, new in names.items():
            name, data = name.replace(old, new), data.replace(old.encode(), new.encode())
        files[name] = data
    return files


def upper_case() -> Files:
    return {
        name.replace(".jpg", ".JPG").replace("0001.xml", "0001.XML"): data
        for name, data in voc().all_files().items()
    }


def jupyter() -> Files:
    files = Coco().all_files()
    files["ships/.ipynb_checkpoints/train-checkpoint.json"] = files["ships/train.json"]
    files["ships/images/.ipynb_checkpoints/0001-checkpoint.jpg"] = files["ships/images/0001.jpg"]
    files["ships/vis/0001.jpg"] = picture(77)
    return files


def dotted() -> Files:
    made = Coco()
    for record in (made.train, made.val):
        for image in record["images"]:
            image["file_name"] = "./" + image["file_name"]
            image["id"] = float(image["id"])
    return made.all_files()


FOUND = {
    "paddle voc": (paddle_voc, "voc", "", {"train": (3, 6), "eval": (1, 2)}),
    "trainval": (voc_trainval, "voc", "cells", {"train": (4, 8), "eval": (2, 4)}),
    "spaces": (voc_with_spaces, "voc", "cells", {"train": (4, 8), "eval": (2, 4)}),
    "upper case": (upper_case, "voc", "cells", {"train": (4, 8), "eval": (2, 4)}),
    "jupyter": (jupyter, "coco", "ships", {"train": (4, 8), "eval": (2, 4)}),
    "dotted": (dotted, "coco", "ships", {"train": (4, 8), "eval": (2, 4)}),
    "official": (official, "coco", "", {"train": (4, 8), "eval": (2, 4)}),
    "roboflow coco": (roboflow_coco, "coco", "", {"train": (4, 8), "eval": (2, 4), "test": (2, 4)}),
    "roboflow voc": (roboflow_voc, "voc", "", {"train": (3, 6), "eval": (1, 2)}),
    "labelimg": (labelimg, "voc", "船 舶", {"all": (4, 8)}),
    "no lists": (voc_without_lists, "voc", "cells", {"all": (6, 12)}),
    "ultralytics": (ultralytics, "yolo", "cells", {"train": (4, 8), "eval": (2, 4)}),
    "roboflow yolo": (roboflow_yolo, "yolo", "", {"train": (2, 2), "eval": (1, 1)}),
    "darknet": (darknet, "yolo", "", {"train": (3, 3)}),
}


@pytest.mark.parametrize("kind", FOUND)
def test_a_layout_is_found(kind: str, tmp_path: Path) -> None:
    make, form, root, counts = FOUND[kind]
    found = look(write_zip(tmp_path / "set.zip", make()))
    assert found.layout.format == form
    assert found.layout.root == root
    assert {split.name: (split.images, len(split)) for split in found} == counts
    assert found.all_troubles == []
    for split in found:
        assert all(path in found.contents.sizes for path in split.paths)
    errors = check_dataset([tmp_path / "set.zip"], chosen_rules()).errors
    assert [f.code for f in errors] in ([], ["DS096"])


@pytest.mark.parametrize("kind", [k for k, v in FOUND.items() if v[1] != "yolo"])
def test_the_data_stage_takes_what_init_took(
    kind: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """What the tool reads, the notebook reads: the same counts and hashes, from the real stage."""
    mount = tmp_path / "data" / "data5"
    mount.mkdir(parents=True)
    path = write_zip(mount / "set.zip", FOUND[kind][0]())
    answer = jobgen("init", "cells", "--archive", path, "--folder", tmp_path / "job")
    if answer.code == 4:  # no splits, or folders for them: made anew, and mounted in its place
        assert "It needs:" in answer.err
        new = tmp_path / "set.zip"
        options = ("--folder", tmp_path / "job", "--new-archive", new, "--dataset-id", 5, "--yes")
        answer = jobgen("init", "cells", "--archive", path, *options)
        new.replace(path)
    assert answer.code == 0, answer.err
    job = load_spec(tmp_path / "job" / "job.yaml")[0].dataset.model_dump()
    begin(str(tmp_path / "output"), name="test").start("data")
    try:
        prepare_data(str(tmp_path), job, "cells")
    finally:
        outcome_module._current[:] = []


def test_names_of_yolo_classes(tmp_path: Path) -> None:
    assert look(write_zip(tmp_path / "a.zip", roboflow_yolo())).classes == ["a b"]
    assert look(write_zip(tmp_path / "b.zip", darknet())).classes == ["ship", "boat"]
    assert look(write_zip(tmp_path / "c.zip", ultralytics())).classes == ["ship", "boat"]
    gbk = {**darknet(), "obj.names": "船\n货轮\n".encode("gbk")}
    assert look(write_zip(tmp_path / "d.zip", gbk)).classes == ["船", "货轮"]
    from_one = yolo()
    from_one.files["data.yaml"] = b"train: images/train\nval: images/val\nnames: {1: a, 3: b}\n"
    found = look(write_zip(tmp_path / "e.zip", from_one.all_files()))
    assert found.classes == ["class0", "a", "class2", "b"]
    assert found.splits["train"].label(1) == "a"


def test_keypoints_are_no_polygon(tmp_path: Path) -> None:
    pose = yolo()
    pose.files["data.yaml"] += b"kpt_shape: [2, 2]\n"
    pose.files["labels/train/0001.txt"] = b"0 0.5 0.5 0.25 0.5 0.45 0.45 0.55 0.55\n"
    found = look(write_zip(tmp_path / "a.zip", pose.all_files()))
    assert found.splits["train"].boxes[0].tolist() == [24, 12, 16, 24]


def test_links_within_a_folder_are_followed(tmp_path: Path) -> None:
    """Those that lead out of it are told: see test_doors.py."""
    write_folder(tmp_path, Coco().all_files())
    elsewhere = tmp_path / "ships" / "elsewhere"
    (tmp_path / "ships" / "images").rename(elsewhere)
    (tmp_path / "ships" / "images").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(tmp_path / "ships")
    assert [f.code for f in check_dataset([tmp_path / "ships"], chosen_rules())] == []


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    found = look(write_zip(tmp_path / "a.zip", roboflow_yolo()))
    x, y, width, height = found.splits["train"].boxes[0]
    assert (x, y) == pytest.approx((6.4, 4.8))
    assert (width, height) == pytest.approx((25.6, 19.2))


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_a_tar_is_read_like_a_zip(tmp_path: Path, compression: str) -> None:
    files = {**Coco().all_files(), "ships/.DS_Store": b"x"}
    path = tmp_path / "ships.tar"
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    findings = check_dataset([path], chosen_rules(), deep=True)
    assert [f.code for f in findings] == ["DS008"]
    folder = write_folder(tmp_path / "f", Coco().all_files()) / "ships"
    assert [f.code for f in check_dataset([folder], chosen_rules(), deep=True)] == []


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["a/train.json", "a/val.json"], [{"train": "a/train.json", "eval": "a/val.json"}]),
        (["train.txt", "test.txt"], [{"train": "train.txt", "eval": "test.txt"}]),
        (["trainval.json"], [{"all": "trainval.json"}]),
        (["training/val.json"], [{"eval": "training/val.json"}]),
        (["i_train2017.json", "k_train2017.json"], [{"train": "i_train2017.json"}, {"train": "k_train2017.json"}]),
        (["val.json", "valid.json"], [{"eval": "val.json"}, {"eval": "valid.json"}]),
    ],
)  # fmt: skip
def test_files_are_grouped_by_the_words_for_splits(
    names: list[str], groups: list[dict[str, str]]
) -> None:
    assert sorted(map(sorted, (g.items() for g in group_splits(names)))) == sorted(
        map(sorted, (g.items() for g in groups))
    )
