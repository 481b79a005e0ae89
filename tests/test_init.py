from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jobgen.datasets.formats.coco import record_of
from jobgen.datasets.job import expected
from jobgen.datasets.look import look
from jobgen.datasets.record import DataSet
from jobgen.datasets.ships import make_ships
from jobgen.spec import load_any
from jobgen_runtime.data.coco import coco_text
from tests.conftest import Answer, real_data
from tests.sets import Coco, picture, write_folder, write_zip, yolo
from tests.sets import voc as cells


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


def counts(data: DataSet) -> dict[str, tuple[int, int]]:
    return {split.name: (split.images, len(split)) for split in data}


def same(one: DataSet, other: DataSet) -> bool:
    texts = [[coco_text(record_of(split, data.classes)) for split in data] for data in (one, other)]
    return one.layout == other.layout and texts[0] == texts[1]


def test_voc(tmp_path: Path) -> None:
    found = look(voc(tmp_path))
    assert (found.layout.format, found.layout.root, found.classes) == ("voc", "S", ["red", "white"])
    assert counts(found) == {"train": (2, 2), "eval": (1, 1)}
    assert found.splits["train"].files == {
        "images": "JPEGImages", "annotations": "Annotations", "list": "ImageSets/Main/train.txt",
    }  # fmt: skip


def test_a_mask_of_the_same_name_is_no_image(tmp_path: Path) -> None:
    plain = look(voc(tmp_path))
    with zipfile.ZipFile(tmp_path / "cells.zip", "a") as archive:
        for stem in "abc":
            archive.writestr(f"S/ASegmentation/{stem}.png", b"")
    assert same(look(tmp_path / "cells.zip"), plain)


@pytest.mark.parametrize("folder", ["", "images/"])
def test_images_may_lie_at_the_top_or_beside_others(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.json", coco("1.jpg", "2.jpg"))
        archive.writestr("val.json", coco("3.jpg"))
        for number in "123":
            archive.writestr(f"{folder}{number}.jpg", b"")
    found = look(path)
    assert found.layout.root == ""
    assert found.splits["train"].files["images"] == (folder.rstrip("/") or ".")


def test_two_folders_with_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "val"):
            archive.writestr(f"s/{split}.json", coco("0000.jpg"))
            archive.writestr(f"s/{split}/0000.jpg", b"")
    found = look(path)
    assert found.layout.root == "s"
    assert [split.files["images"] for split in found] == ["train", "val"]


def test_a_damaged_entry_has_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.json", coco("1.jpg"))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"images", b"imagez", 1))
    (trouble,) = look(path).all_troubles
    assert trouble.code == "DS010"
    assert "train.json can't be read: Bad CRC-32" in trouble.detail


def test_a_folder_is_read_like_its_archive(ships: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(ships) as archive:
        archive.extractall(tmp_path)
    assert same(look(tmp_path / "ships"), look(ships))


def coco(*names: str) -> str:
    images = [{"id": i, "file_name": n, "width": 9, "height": 9} for i, n in enumerate(names)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0}
        for i in range(len(names))
    ]
    categories = [{"id": 1, "name": "x"}]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories})


def made(path: Path, *files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            data = coco("1.jpg") if name.endswith(".json") else "x"
            archive.writestr(name, data)
    return path


def init(jobgen: Callable[..., Answer], path: Path) -> Answer:
    return jobgen("init", "x", "--archive", path, "--folder", path.parent / "job")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a.txt"], "x.zip holds no data set that jobgen knows"),
        (["a.json", "1.jpg"], "no job can train on x.zip: a.json: image that can't be read"),
        (["a/train.json", "b/train.json", "1.jpg"], "x.zip holds 2 data sets:"),
        (["train.json", "val.json", "a/1.jpg", "b/1.jpg"], "the images of train lie in a, b"),
    ],
)
def test_what_is_not_clear_is_asked(
    jobgen: Callable[..., Answer], tmp_path: Path, files: list[str], message: str
) -> None:
    answer = init(jobgen, made(tmp_path / "x.zip", *files))
    assert answer.code == 4
    assert message in answer.err
    assert not (tmp_path / "job").exists()


def test_the_way_out_is_named(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """What init prints, pasted as it stands, makes the set and the job."""
    path = write_zip(tmp_path / "y.zip", yolo().all_files())
    answer = init(jobgen, path)
    assert answer.code == 4
    assert "  - make COCO of YOLO" in answer.err
    assert not (tmp_path / "x.zip").exists()
    command = answer.err.partition("x.zip: jobgen ")[2].splitlines()[0]
    made = jobgen(*shlex.split(command))
    assert made.code == 0, made.err
    assert f"Upload {tmp_path / 'x.zip'} as the data set" in made.err
    job = tmp_path / "job" / "job.yaml"
    assert "archive: x.zip" in job.read_text(encoding="utf-8").replace('"', "")
    assert jobgen("check", job, "--archive", tmp_path / "x.zip").code == 0


def test_json_output_never_asks(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "y.zip", yolo().all_files())
    options = ("--archive", path, "--folder", tmp_path / "job", "--json")
    assert jobgen("init", "x", *options).code == 4
    assert jobgen("init", "x", *options, "--yes").json["format"] == "coco"


def test_several_sets_are_listed_and_one_is_picked(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    files = {**Coco().all_files(), **cells().all_files(), **Coco(root="b").all_files()}
    path = write_zip(tmp_path / "x.zip", files)
    answer = jobgen("dataset", "inspect", path)
    assert answer.code == 4
    assert "  1  coco in b: train (train.json), eval (val.json)" in answer.err
    assert "  2  coco in ships: train (train.json), eval (val.json)" in answer.err
    assert "  3  voc in cells: train (ImageSets/Main/train.txt), eval" in answer.err
    assert jobgen("dataset", "inspect", path, "--pick", 3, "--json").json["format"] == "voc"
    assert jobgen("dataset", "inspect", path, "--pick", 4).code == 4
    job = jobgen("init", "x", "--archive", path, "--folder", tmp_path / "j", "--pick", 2)
    assert job.code == 0
    assert 'root: "ships"' in (tmp_path / "j" / "job.yaml").read_text(encoding="utf-8")


def test_on_ai_studio_the_mount_tells_the_id(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "data" / "data264241"
    mount.mkdir(parents=True)
    write_zip(mount / "ships.zip", Coco().all_files())
    (mount / "LICENSE").write_text("")
    monkeypatch.chdir(tmp_path)
    answer = jobgen("init", "ships")
    assert answer.code == 0, answer.err
    job = yaml.safe_load(Path("bundles/ships/job.yaml").read_text(encoding="utf-8"))
    assert job["dataset"]["sources"] == [{"id": 264241, "archive": "ships.zip"}]
    write_folder(tmp_path / "data" / "data7", Coco(root="boats").all_files())
    several = jobgen("init", "two")
    assert several.code == 4
    assert "several data sets are mounted: " in several.err
    inside = jobgen("init", "x", "--archive", mount / "ships.zip", "--folder", mount / "x")
    assert inside.code == 4
    assert "is mounted: nothing is written there" in inside.err
    assert sorted(p.name for p in mount.iterdir()) == ["LICENSE", "ships.zip"]


def test_several_sources_and_a_folder(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Coco().all_files()
    mounts = [tmp_path / "data" / "data5", tmp_path / "data" / "data6"]
    write_folder(mounts[0], {n: d for n, d in files.items() if n.endswith(".jpg")})
    mounts[1].mkdir()
    labels = {n.replace("ships/", "labels/"): d for n, d in files.items() if n.endswith(".json")}
    write_zip(mounts[1] / "labels.zip", labels)
    monkeypatch.chdir(tmp_path)
    arguments = ["--archive", mounts[0] / "ships", "--archive", mounts[1] / "labels.zip"]
    answer = jobgen("init", "ships", *arguments)
    assert answer.code == 0, answer.err
    job = yaml.safe_load(Path("bundles/ships/job.yaml").read_text(encoding="utf-8"))
    assert job["dataset"]["sources"] == [
        {"id": 5, "folder": "ships"},
        {"id": 6, "archive": "labels.zip"},
    ]
    assert job["dataset"]["root"] == ""
    assert job["dataset"]["train"] == {
        "images": "ships/images",
        "annotations": "labels/train.json",
    }
    checked = jobgen("check", "bundles/ships/job.yaml", *arguments)
    assert checked.code == 0, checked.out
    assert jobgen("init", "y", *arguments, "--dataset-id", 1).code == 2


def test_the_real_sets() -> None:
    ssdd = look(real_data("ssdd.zip"))
    assert counts(ssdd) == {"train": (928, 2041), "eval": (232, 546)}
    bccd = look(real_data("bccd.zip"))
    assert counts(bccd) == {"train": (205, 2805), "eval": (87, 1138), "test": (72, 945)}
    assert bccd.classes == ["Platelets", "RBC", "WBC"]
    train = expected(bccd, bccd.splits["train"])
    assert (train["images"], train["boxes"]) == (205, 2804)


def test_a_model_by_its_short_name(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "ships.zip", Coco().all_files())
    assert (
        jobgen(
            "init", "s", "--archive", path, "--model", "picodet_s_320", "--folder", tmp_path
        ).code
        == 0
    )
    assert "picodet_s_320_coco_lcnet" in (tmp_path / "job.yaml").read_text("utf-8")


def rows(*lines: str) -> dict[str, bytes]:
    text = "image,label,x1,y1,x2,y2\n" + "".join(f"{line}\n" for line in lines)
    files = {f"s/{n}.jpg": picture(n) for n in range(1, 9)}
    return {**files, "s/b.csv": text.encode()}


def test_a_box_that_could_not_be_read_is_left_out_where_it_is_said(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    good = [f"{n}.jpg,ship,4,5,20,25" for n in range(1, 9)]
    path = write_zip(tmp_path / "s.zip", rows(*good, "8.jpg,,1,1,9,9", "8.jpg,ship,1,1,9,?"))
    answer = init(jobgen, path)
    assert "repair DS012  b.csv: 1 boxes that could not be read left out" in answer.err
    assert "repair DS011  b.csv: 1 boxes that could not be read left out" in answer.err
    options = ("--folder", tmp_path / "job", "--yes")
    assert jobgen("init", "x", "--archive", path, *options).code == 0
    assert jobgen("check", tmp_path / "job" / "job.yaml", "--archive", tmp_path / "x.zip").code == 0


def test_nothing_is_promised_that_leaves_too_much_out(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """And what is printed in its place works."""
    lost = [f"{n}.jpg,,4,5,20,25" for n in range(3, 9)]
    path = write_zip(tmp_path / "s.zip", rows("1.jpg,a,4,5,20,25", "2.jpg,a,4,5,20,25", *lost))
    answer = init(jobgen, path)
    assert answer.code == 4
    assert "it would leave out 6 boxes" in answer.err
    assert "--yes" not in answer.err
    command = answer.err.partition("all the same: jobgen ")[2].partition(", then")[0]
    words = [w if w != "REPAIRED.zip" else str(tmp_path / "r.zip") for w in shlex.split(command)]
    assert jobgen(*words).code == 0
    assert jobgen("init", "x", "--archive", tmp_path / "r.zip", "--folder", tmp_path / "job",
                  "--yes").code == 0  # fmt: skip


def test_what_stays_wrong_is_said_beforehand(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    page = {"shapes": [{"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}],
            "imageWidth": 32, "imageHeight": 24, "imageData": None}  # fmt: skip
    files = {f"s/{n}.json": json.dumps({**page, "imagePath": f"{n}.jpg"}).encode()
             for n in range(1, 5)}  # fmt: skip
    files |= {f"s/{n}.jpg": picture(n) for n in range(1, 5)}
    answer = init(jobgen, write_zip(tmp_path / "s.zip", files))
    assert "DS057 stays: s.zip: stated size that is not the image's: 4" in answer.err


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [("Bad.Name", "j", "the name Bad.Name"), ("x", "s.zip/j", "can't be written")],
)
def test_nothing_is_made_for_a_job_that_cannot_be(
    name: str, folder: str, message: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", yolo().all_files())
    answer = jobgen("init", name, "--archive", path, "--folder", tmp_path / folder, "--yes")
    assert (answer.code, message in answer.err) == (3, True)
    assert [p.name for p in tmp_path.iterdir()] == ["s.zip"]


def test_one_image_is_no_set(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    answer = init(jobgen, write_zip(tmp_path / "s.zip", rows("1.jpg,ship,4,5,20,25")))
    assert "has 1 image(s) with boxes; train and val need one each" in answer.err


@pytest.mark.waits
@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1)])
def test_on_a_terminal_it_asks(answer: bytes, code: int, tmp_path: Path) -> None:
    """In a real one: the question is read, and the answer is what is done."""
    write_zip(tmp_path / "s.zip", yolo().all_files())
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "jobgen", "init", "x", "--archive", "s.zip"],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer)
    said = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 4096):
            said += part
    assert child.wait(60) == code
    os.close(ours)
    assert b"Write x.zip? [Y/n]" in said
    assert (tmp_path / "x.zip").exists() == (code == 0)


def test_the_next_job_is_the_last_one_with_what_its_figures_advise(
    jobgen: Callable[..., Answer], job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else changes: the job that is written plans the very values."""
    monkeypatch.chdir(tmp_path)
    spec = load_any(job)[0].model_dump(mode="json")
    rows = "".join(f"{epoch},{0.1 + epoch / 50}\n" for epoch in range(10))
    result = {"schema": 1, "name": "ships", "status": "ok", "job": spec, "plan": {"epochs": 10}, "stages": [],
              "metrics": {"best": {"mAP50": 0.28, "epoch": 9}}}  # fmt: skip
    output = tmp_path / "out put"
    output.mkdir()
    (output / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (output / "metrics.csv").write_text("epoch,mAP50\n" + rows, encoding="utf-8")
    answer = jobgen("init", "next", "--from", output, "--json")
    assert answer.code == 0, answer.err
    epochs = round(1.5 * spec["train"]["epochs"])
    assert answer.json["changes"]["train.epochs"] in range(epochs - 5, epochs + 6)
    made = load_any(tmp_path / "bundles" / "next" / "job.yaml")[0].model_dump(mode="json")
    assert made.pop("name") == "next"
    assert made["train"].pop("epochs") == answer.json["changes"]["train.epochs"]
    for place, value in answer.json["changes"].items():
        if place == "model.pretrained":
            assert made["model"].pop("pretrained") == value
            spec["model"].pop("pretrained")
    spec.pop("name"), spec["train"].pop("epochs")
    assert made == spec
    text = (tmp_path / "bundles" / "next" / "job.yaml").read_text(encoding="utf-8")
    assert text.startswith("# From ships, out put: mAP50 0.280\n# ")
    again = jobgen("init", "next", "--from", output)
    assert (again.code, "is there already" in again.err) == (3, True)
    both = jobgen("init", "other", "--from", output, "--archive", "x.zip")
    assert (both.code, "leave out --archive" in both.err) == (2, True)
    (output / "result.json").write_text(json.dumps({**result, "job": None}), encoding="utf-8")
    none = jobgen("init", "other", "--from", output)
    assert (none.code, "does not say what job it is of" in none.err) == (7, True)
