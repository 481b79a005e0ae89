"""Trained weights on other data than their job's: another set, a test split, unlabelled images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.datasets.contents import open_contents, silent
from jobgen.datasets.look import look
from jobgen.datasets.prelabels import TOOLS, write_prelabels
from jobgen.errors import DatasetError, RunError, SpecError
from jobgen.job.build import render
from jobgen.job.tasks import plan_any
from jobgen.packs.disk import find_pack
from jobgen.packs.render import load_pack
from jobgen.run.output import with_data
from jobgen.run.unlabelled import FOLDER, with_images
from jobgen.spec import load_any, parse_any
from jobgen.yamlio import load
from jobgen_runtime.data.dataset import prepare_data
from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.outcome import begin
from tests.conftest import Answer
from tests.sets import Coco, coco_split, picture, write_folder, write_zip

BOXES = [{"class": "船", "score": 0.9, "box": [4.5, 5, 20, 25]},
         {"class": "boat", "score": 0.6, "box": [24, 5, 40, 30.25]}]  # fmt: skip


@pytest.fixture
def job(jobgen: Callable[..., Answer], tmp_path: Path) -> dict[str, Any]:
    """The job of a set with a test split."""
    files = Coco().all_files()
    files["ships/test.json"] = json.dumps(coco_split(7, 3)).encode()
    files |= {f"ships/images/{n:04d}.jpg": picture(n) for n in (7, 8, 9)}
    path = write_zip(tmp_path / "ships.zip", files)
    assert jobgen("init", "ships", "--archive", path, "--folder", tmp_path / "job").code == 0
    spec, _ = load_any(tmp_path / "job" / "job.yaml")
    dumped: dict[str, Any] = spec.model_dump(mode="json")
    return dumped


def builds(job: dict[str, Any]) -> None:
    """The job is one: its notebook can be made."""
    spec, document = parse_any(load(json.dumps(job, ensure_ascii=False), "options"))
    pack = load_pack(find_pack(spec.template))
    assert render(plan_any(spec, document, pack), pack).files


def stage(job: dict[str, Any], home: Path) -> dict[str, Any]:
    """What the data stage makes of the job."""
    spec, _ = parse_any(load(json.dumps(job, ensure_ascii=False), "options"))
    job = spec.model_dump(mode="json")
    begin(str(home / "output"), name="test").start("data")
    try:
        return prepare_data(str(home), job["dataset"], "ships")
    finally:
        outcome_module._current[:] = []


def test_the_jobs_own_set_stays(job: dict[str, Any], tmp_path: Path) -> None:
    assert with_data(job, [tmp_path / "ships.zip"]) == job


def test_the_test_split_is_measured(job: dict[str, Any], tmp_path: Path) -> None:
    assert job["dataset"]["test"] == {"images": "images", "annotations": "test.json", "list": None}
    other = with_data(job, [tmp_path / "ships.zip"], "test")
    assert other["dataset"]["eval"]["annotations"] == "test.json"
    builds(other)
    mount = tmp_path / "home" / "data" / "data1"
    mount.mkdir(parents=True)
    shutil.copy(tmp_path / "ships.zip", mount)
    place = stage(other, tmp_path / "home")
    assert place["eval"]["anno_path"] == "test.json"


def test_a_set_without_a_test_split_says_so(job: dict[str, Any], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "two.zip", Coco().all_files())
    with pytest.raises(DatasetError, match=r"two\.zip holds no ships/test\.json"):
        with_data(job, [path], "test")
    without = {**job, "dataset": {**job["dataset"], "test": None}}
    with pytest.raises(RunError, match="has no split test"):
        with_data(without, [path], "test")


def test_another_set_takes_the_place_of_the_jobs_own(job: dict[str, Any], tmp_path: Path) -> None:
    made = Coco(root="other")
    made.val["annotations"].pop()
    other = with_data(job, [write_zip(tmp_path / "o.zip", made.all_files())])
    assert other["dataset"]["root"] == "other"
    assert other["dataset"]["expect"]["eval"]["boxes"] == 3
    builds(other)


def test_another_sets_classes_have_to_be_the_same(job: dict[str, Any], tmp_path: Path) -> None:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][0]["name"] = "car"
    with pytest.raises(RunError, match="has the classes car, boat"):
        with_data(job, [write_zip(tmp_path / "o.zip", made.all_files())])


def test_training_reads_a_balanced_file_and_nothing_else_does(tmp_path: Path) -> None:
    """The images of a class that a ninth of them show come three times; the evaluation's do not."""
    made = Coco(train=coco_split(1, 9), val=coco_split(10, 2))
    made.files = {f"images/{n:04d}.jpg": picture(n) for n in range(1, 12)}
    boxes = made.train["annotations"]
    made.train["annotations"] = [b for b in boxes if b["category_id"] == 1 or b["image_id"] == 1]
    mount = tmp_path / "data" / "data1"
    mount.mkdir(parents=True)
    write_zip(mount / "ships.zip", made.all_files())
    split = {"images": "images", "annotations": "train.json"}
    dataset = {
        "sources": [{"id": 1, "archive": "ships.zip", "folder": None, "into": ""}],
        "root": "ships", "format": "coco", "train": split,
        "eval": {**split, "annotations": "val.json"}, "classes": ["ship", "boat"],
    }  # fmt: skip
    begin(str(tmp_path / "output"), name="test").start("data")
    try:
        place = prepare_data(str(tmp_path), dataset, "ships", balance=True)
        adjusted = outcome_module.outcome().data["adjustments"]
    finally:
        outcome_module._current[:] = []
    record = json.loads(Path(place["train"]["anno_path"]).read_bytes())
    names = [image["file_name"] for image in record["images"]]
    assert (place["train_images"], names.count("0001.jpg"), len(names)) == (11, 3, 11)
    assert place["eval"]["anno_path"] == "val.json"
    assert [(a["planned"], a["used"]) for a in adjusted] == [(9, 11)]


def test_explain_tells_of_balance_and_tiles(
    job: dict[str, Any], jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = tmp_path / "job" / "job.yaml"
    text = path.read_text(encoding="utf-8")
    more = "train:\n  balance: auto\n  patience: 5\n"
    path.write_text(text.replace("train:\n", more, 1) + "tiles: {size: 320}\n", encoding="utf-8")
    out = jobgen("explain", path).out
    assert "images of rare classes repeated, at most 5 times" in out
    assert "320 px, overlap 0.2" in out


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_without_labels_are_a_set(job: dict[str, Any], tmp_path: Path, kind: str) -> None:
    files = {"照片/b 1.jpg": picture(1), "照片/in/a.png": picture(2, kind="PNG"), "照片/x.txt": b""}
    given = write_folder(tmp_path / "in", files) / "照片"
    if kind == "zip":
        given = write_zip(tmp_path / "in.zip", files)
    (tmp_path / "spare").mkdir()
    looks = {**job, "stages": ["infer"], "infer": {**job["infer"], "images": "all"}}
    other, sources, _ = with_images(looks, given, tmp_path / "spare", silent)
    builds(other)
    with pytest.raises(SpecError, match="images without labels are for"):
        builds({**other, "stages": []})
    mount = tmp_path / "home" / "data" / "data1"
    mount.mkdir(parents=True)
    for source in sources:
        (mount / source.name).symlink_to(source)
    place = stage(other, tmp_path / "home")
    record = json.loads(Path(place["dataset_dir"], FOLDER, "images.json").read_bytes())
    assert [image["file_name"] for image in record["images"]] == ["照片/b 1.jpg", "照片/in/a.png"]
    assert place["train_images"] == 2


def test_what_is_no_image_is_told(job: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spare").mkdir()
    empty = write_folder(tmp_path / "e", {"a.txt": b""})
    with pytest.raises(DatasetError, match="holds no images"):
        with_images(job, empty, tmp_path / "spare", silent)
    broken = write_folder(tmp_path / "b", {"a.jpg": b"x"})
    with pytest.raises(DatasetError, match=r"can't be read: b/a\.jpg"):
        with_images(job, broken, tmp_path / "spare", silent)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_labels_to_go_on_from_are_read_again(tool: str, kind: str, tmp_path: Path) -> None:
    """Beside their images, as the tool opens them."""
    files = {"p/1.jpg": picture(1), "p/图 2.jpg": picture(2)}
    given = write_folder(tmp_path / "in", files) / "p"
    if kind == "zip":
        given = write_zip(tmp_path / "in.zip", files)
    found: list[dict[str, Any]] = [
        {"image": "p/1.jpg", "boxes": BOXES},
        {"image": "p/图 2.jpg", "boxes": []},
    ]
    goal = tmp_path / "labels"
    count = write_prelabels(open_contents(given), found, ["boat", "船"], tool, goal)
    assert count == 2
    names = sorted(p.relative_to(goal).as_posix() for p in goal.rglob("*") if p.is_file())
    if tool == "coco":
        assert names == ["annotations.json"]
        files |= {"p/annotations.json": (goal / "annotations.json").read_bytes()}
        read = look(write_zip(tmp_path / "again.zip", files))
    else:
        ending = ".json" if tool == "labelme" else ".xml"
        images = [*files] if kind == "zip" else []
        assert names == sorted([f"p/1{ending}", f"p/图 2{ending}", *images])
        first = (goal / "p" / f"1{ending}").read_text(encoding="utf-8")
        path = first.split('"imagePath": "')[1].split('"')[0] if tool == "labelme" else \
            first.split("<path>")[1].split("<")[0]  # fmt: skip
        assert (goal / "p" / path).read_bytes() == files["p/1.jpg"]
        beside = {n: (goal / n).read_bytes() for n in names}
        read = look(write_zip(tmp_path / "again.zip", {**files, **beside}))
    split = read.splits["all"]
    assert sorted((split.label(n), *split.boxes[n].tolist()) for n in range(len(split))) == [
        ("boat", 24, 5, 16, 25.25), ("船", 4.5, 5, 15.5, 20)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--as", "voc", "--archive", "a.zip"), "--as goes with --images"),
        (("--images", "x", "--archive", "a.zip"), "not both"),
        (("--images", "x", "--image", "1.jpg"), "not both"),
        ((), "give the data set"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[str, ...], message: str, jobgen: Callable[..., Answer]
) -> None:
    answer = jobgen("infer", "out", *options)
    assert (answer.code, message in answer.err) == (2, True)
