"""Sets made of sets: classes renamed, sets merged, folds, a test split that stays."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.datasets.contents import open_contents
from jobgen.datasets.look import candidates, look, read_layout
from jobgen.errors import DatasetError
from tests.conftest import Answer
from tests.label_sets import cvat, labelme
from tests.sets import Coco, coco_split, picture, voc, write_folder, write_zip


def boxes_of(path: Path) -> dict[str, dict[str, int]]:
    return {
        split.name: dict(zip(split.class_names, split.boxes_per_class.tolist(), strict=True))
        for split in look(path)
    }


def test_classes_are_shown(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", Coco().all_files())
    assert jobgen("dataset", "classes", path).out == "ship: 4 + 2 boxes\nboat: 4 + 2 boxes\n"
    assert jobgen("dataset", "classes", path, "--json").json["classes"] == ["ship", "boat"]


@pytest.mark.parametrize("make", [lambda: Coco().all_files(), lambda: voc().all_files(), labelme])
def test_classes_are_renamed_joined_and_dropped(
    make: Callable[[], dict[str, bytes]], jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", make())
    classes = ("dataset", "classes", path)
    assert jobgen(*classes, tmp_path / "r.zip", "--rename", "ship=船").code == 0
    assert all(set(found) == {"船", "boat"} for found in boxes_of(tmp_path / "r.zip").values())
    assert jobgen(*classes, tmp_path / "m.zip", "--merge", "ship,boat=vessel").code == 0
    made = boxes_of(tmp_path / "m.zip")
    assert sum(found["vessel"] for found in made.values()) == 12
    dropped = jobgen(*classes, tmp_path / "d.zip", "--drop", "boat")
    assert dropped.code == 0
    assert "boat: 6 boxes left out" in dropped.out
    assert {name for found in boxes_of(tmp_path / "d.zip").values() for name in found} == {"ship"}
    assert jobgen("check", tmp_path / "m.zip", "--select", "DS03").code == 0


def test_what_cocos_items_hold_stays_when_classes_change(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    made.train["annotations"][0]["segmentation"] = [[1, 1, 2, 2, 3, 3]]
    path = write_zip(tmp_path / "a.zip", made.all_files())
    target = tmp_path / "b.zip"
    assert jobgen("dataset", "classes", path, target, "--merge", "ship,boat=vessel").code == 0
    with zipfile.ZipFile(target) as archive:
        record = json.loads(archive.read("ships/train.json"))
    assert record["annotations"][0]["segmentation"] == [[1, 1, 2, 2, 3, 3]]
    assert [c["name"] for c in record["categories"]] == ["vessel"]
    assert {a["category_id"] for a in record["annotations"]} == {record["categories"][0]["id"]}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--rename", "car=bus"), 4, "has no class car"),
        (("--drop", "ship,boat"), 4, "no class would be left"),
        (("--rename", "ship"), 2, "give it as OLD=NEW"),
        ((), 2, "say what to do"),
    ],
)
def test_what_can_not_be_done_to_classes(
    options: tuple[str, ...], code: int, message: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", Coco().all_files())
    answer = jobgen("dataset", "classes", path, tmp_path / "b.zip", *options)
    assert (answer.code, message in answer.err) == (code, True)
    assert not (tmp_path / "b.zip").exists()


def other_names(root: str, names: tuple[str, str]) -> Coco:
    made = Coco(root=root)
    for record in (made.train, made.val):
        for category, name in zip(record["categories"], names, strict=True):
            category["name"] = name
    return made


def test_sets_are_merged(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """COCO with its splits, and LabelMe without, one class spelt otherwise, one that is new."""
    first = write_zip(tmp_path / "a.zip", other_names("ships", ("Ship", "tug boat")).all_files())
    second = write_zip(tmp_path / "b.zip", labelme())
    target = tmp_path / "c.zip"
    answer = jobgen("dataset", "merge", first, second, target)
    assert answer.code == 0, answer.err
    assert "b.zip: class ship -> Ship: 6 boxes" in answer.out
    assert "b.zip: dealt out into train and val" in answer.out
    assert "b.zip has no class tug boat" in answer.out
    data = look(target)
    assert data.classes == ["Ship", "tug boat", "boat"]
    assert sum(split.images for split in data) == 12
    assert jobgen("check", target).code == 0
    with zipfile.ZipFile(target) as archive:
        assert archive.read("c/images/b/s/6.jpg") == picture(6)


def test_init_merges(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "a.zip", Coco().all_files())
    write_zip(tmp_path / "b.zip", cvat())
    options = ("init", "all", "--archive", "a.zip", "--archive", "b.zip", "--merge")
    listed = jobgen(*options)
    assert listed.code == 4
    assert "join a.zip (coco), b.zip (cvat) as COCO" in listed.err
    assert jobgen(*options, "--yes").code == 0
    assert jobgen("check", "bundles/all/job.yaml", "--archive", "all.zip").code == 0
    assert jobgen("init", "x", "--archive", "a.zip", "--merge", "--yes").code == 4


def whole(count: int) -> dict[str, bytes]:
    made = Coco(train=coco_split(1, count), val=None)
    made.files = {f"images/{n:04d}.jpg": picture(n) for n in range(1, count + 1)}
    files = made.all_files()
    return {name.replace("train.json", "all.json"): data for name, data in files.items()}


def test_folds_share_no_image_and_leave_none_out(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_zip(tmp_path / "a.zip", whole(20))
    answer = jobgen("dataset", "split", path, "f.zip", "--folds", 4)
    assert answer.code == 0, answer.err
    assert "fold 1 5 images, fold 2 5 images" in answer.out
    files = open_contents(tmp_path / "f.zip")
    vals = []
    for layout in candidates(files):
        data = read_layout(files, layout)
        assert data.train is not None
        assert data.eval is not None
        train, val = set(data.train.paths), set(data.eval.paths)
        assert (len(train), len(val), train & val) == (15, 5, set())
        vals += sorted(val)
    assert len(set(vals)) == len(vals) == 20
    assert jobgen("init", "f2", "--archive", "f.zip", "--pick", 2).code == 0
    assert jobgen("check", "bundles/f2/job.yaml", "--archive", "f.zip").code == 0


@pytest.mark.parametrize("third", ["test", "val"])
def test_a_test_split_is_kept(third: str, jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """Whether the set has train and test, or all three."""
    made = Coco(train=coco_split(1, 10), val=coco_split(11, 2))
    made.files = {f"images/{n:04d}.jpg": picture(n) for n in range(1, 16)}
    files = made.all_files()
    if third == "test":
        files["ships/test.json"] = files.pop("ships/val.json")
    else:
        files["ships/test.json"] = json.dumps(coco_split(13, 3)).encode()
    path = write_zip(tmp_path / "a.zip", files)
    answer = jobgen("dataset", "split", path, tmp_path / "b.zip", "--keep-test", "--val", "0.25")
    assert answer.code == 0, answer.err
    data = look(tmp_path / "b.zip")
    before = {"0011.jpg", "0012.jpg"} if third == "test" else {"0013.jpg", "0014.jpg", "0015.jpg"}
    assert {Path(path).name for path in data.splits["test"].paths} == before
    assert data.eval is not None
    assert data.eval.images == (3 if third == "val" else 2)


def test_a_third_split_is_dealt(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", whole(20))
    assert jobgen("dataset", "split", path, tmp_path / "b.zip", "--test", "0.2").code == 0
    images = {split.name: split.images for split in look(tmp_path / "b.zip")}
    assert images == {"train": 12, "eval": 4, "test": 4}
    refused = jobgen("dataset", "split", path, tmp_path / "c.zip", "--keep-test")
    assert "has no test split to keep" in refused.err


def test_a_set_in_another_format_is_split_as_coco(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", labelme())
    options = ("--val", "0.34", "--json")
    answer = jobgen("dataset", "split", path, tmp_path / "b.zip", *options)
    assert answer.json["held_together"] == 0
    # What the pattern finds in 1.jpg, 2.jpg and 3.jpg is the same: nothing, before such a number.
    grouped = (*options, "--group", "^(?=[123])")
    answer = jobgen("dataset", "split", path, tmp_path / "c.zip", *grouped)
    assert answer.json["held_together"] == 3
    parts = [{name[0] for name in split.image_names} for split in look(tmp_path / "c.zip")]
    assert any({"1", "2", "3"} <= part for part in parts)
    assert {s.name: s.images for s in look(tmp_path / "b.zip")} == {"train": 4, "eval": 2}
    assert look(tmp_path / "b.zip").layout.format == "coco"


def test_a_set_is_not_merged_with_itself(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", Coco().all_files())
    answer = jobgen("dataset", "merge", path, path, tmp_path / "b.zip")
    assert (answer.code, "is given twice" in answer.err) == (4, True)


def test_what_is_made_of_the_folder_one_is_in_lies_beside_it(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "in", labelme())
    monkeypatch.chdir(tmp_path / "in" / "s")
    assert jobgen("init", "x", "--archive", ".", "--folder", tmp_path / "j", "--yes").code == 0
    assert (tmp_path / "in" / "x.zip").is_file()


def test_merging_needs_two(tmp_path: Path) -> None:
    from jobgen.datasets.merge import merged
    from jobgen.datasets.split import Division

    with pytest.raises(DatasetError, match="two data sets or more"):
        merged([look(write_zip(tmp_path / "a.zip", Coco().all_files()))], Division())


def test_all_sets_of_one_source_are_merged(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {**Coco(root="a").all_files(), **voc().all_files()}
    write_zip(tmp_path / "two.zip", files)
    answer = jobgen("init", "all", "--archive", "two.zip", "--merge", "--yes")
    assert answer.code == 0, answer.err
    assert "left out" not in answer.err
    data = look(tmp_path / "all.zip")
    assert {split.name: split.images for split in data} == {"train": 8, "eval": 4}


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_small_set_is_split_too(
    count: int, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", whole(count))
    assert jobgen("dataset", "split", path, tmp_path / "b.zip").code == 0
    assert all(split.images and len(split) for split in look(tmp_path / "b.zip"))


def test_a_set_with_splits_is_dealt_anew(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", Coco().all_files())
    refused = jobgen("dataset", "split", path, tmp_path / "b.zip", "--test", "0.2")
    assert "there are train, val" in refused.err
    assert "--anew" in refused.err
    assert jobgen("dataset", "split", path, tmp_path / "b.zip", "--anew", "--val", "0.5").code == 0
    images = {split.name: split.images for split in look(tmp_path / "b.zip")}
    assert images == {"train": 3, "eval": 3}
    both = jobgen("dataset", "split", path, tmp_path / "c.zip", "--keep-test", "--test", "0.2")
    assert both.code == 2
