from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgen.datasets.look import look
from jobgen.datasets.split import Division, deal, split
from jobgen.errors import DatasetError
from tests.conftest import Answer, real_data
from tests.sets import Coco, coco_split, picture, voc, write_zip, yolo


def dealt(labels: list[list[int]], keys: list[str], share: float, seed: int) -> list[bool]:
    in_val: list[bool] = deal([Counter(f) for f in labels], keys, share, seed).tolist()
    return in_val


def alone(labels: list[list[int]]) -> list[str]:
    return [str(number) for number in range(len(labels))]


def counts(labels: list[list[int]], in_val: list[bool]) -> Counter[int]:
    return Counter(c for found, val in zip(labels, in_val, strict=True) if val for c in found)


def test_every_class_gets_its_share() -> None:
    labels = [[1]] * 50 + [[1, 2]] * 20 + [[3]] * 10 + [[]] * 20
    in_val = dealt(labels, alone(labels), 0.2, 1)
    assert counts(labels, in_val) == {1: 14, 2: 4, 3: 2}
    assert sum(in_val) == 20


@given(
    st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=2, max_size=40),
    st.lists(st.sampled_from("abcdefg"), min_size=40, max_size=40),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 5),
)
def test_groups_are_never_parted(
    labels: list[list[int]], groups: list[str], share: float, seed: int
) -> None:
    keys = groups[: len(labels)]
    in_val = dealt(labels, keys, share, seed)
    halves = {half: {k for k, v in zip(keys, in_val, strict=True) if v is half} for half in (0, 1)}
    assert len(in_val) == len(labels)
    assert halves[0].isdisjoint(halves[1])
    assert in_val == dealt(labels, keys, share, seed)


def archive(path: Path, count: int, same: int = 0) -> Path:
    """A set without splits: `count` images, the first `same` of them of the same bytes."""
    record = coco_split(1, count)
    made = Coco(train=record, val=None, files={"readme.txt": b"kept"})
    for image in record["images"]:
        image["file_name"] = f"s{image['id'] % 3}_{image['file_name']}"
        content = 0 if image["id"] <= same else image["id"]
        made.files[f"images/{image['file_name']}"] = picture(content)
    files = made.all_files()
    files["ships/all.json"] = files.pop("ships/train.json")
    return write_zip(path, files)


def test_a_set_is_split_and_taken_by_init(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    source = archive(tmp_path / "all.zip", 40)
    before = source.read_bytes()
    target = tmp_path / "new.zip"
    answer = jobgen("dataset", "split", source, target, "--val", "0.25", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["val"] == {"ship": 10, "boat": 10}
    assert source.read_bytes() == before
    found = look(target)
    assert found.layout.root == "ships"
    assert {name: part.images for name, part in found.splits.items()} == {"train": 30, "eval": 10}
    with zipfile.ZipFile(target) as out:
        assert "ships/readme.txt" in out.namelist()
        assert "ships/all.json" not in out.namelist()
    other = tmp_path / "again.zip"
    split(look(source), other, Division(0.25))
    assert other.read_bytes() == target.read_bytes()
    refused = jobgen("dataset", "split", source, target)
    assert refused.code == 4
    assert "is there already" in refused.err
    assert jobgen("init", "ships", "--archive", target, "--folder", tmp_path / "job").code == 0


def test_what_else_the_items_hold_stays(tmp_path: Path) -> None:
    record = coco_split(1, 4)
    for box in record["annotations"]:
        box["segmentation"] = [[box["id"]] * 6]
    made = Coco(train=None, val=None)
    made.files = {f"images/{n:04d}.jpg": str(n).encode() for n in range(1, 5)}
    made.files["all.json"] = json.dumps({**record, "licenses": [{"id": 1}]}).encode()
    split(look(write_zip(tmp_path / "a.zip", made.all_files())), tmp_path / "b.zip", Division(0.5))
    halves: list[dict[str, Any]] = []
    with zipfile.ZipFile(tmp_path / "b.zip") as out:
        halves = [json.loads(out.read(f"ships/{name}.json")) for name in ("train", "val")]
    boxes = [box for half in halves for box in half["annotations"]]
    assert sorted(boxes, key=lambda box: int(box["id"])) == record["annotations"]
    assert all(half["licenses"] == [{"id": 1}] for half in halves)


def test_images_of_the_same_bytes_are_not_parted(tmp_path: Path) -> None:
    source = archive(tmp_path / "all.zip", 40, same=10)
    halves = split(look(source), tmp_path / "new.zip", Division(0.25, seed=3))
    assert halves.held_together == 10
    together = set(range(1, 11))
    assert together <= set(halves.train.image_ids) or together <= set(halves.val.image_ids)


def test_a_pattern_names_what_belongs_together(tmp_path: Path) -> None:
    source = archive(tmp_path / "all.zip", 40)
    halves = split(look(source), tmp_path / "new.zip", Division(0.33, seed=3, group="^(s[0-9])_"))
    assert (halves.groups, halves.held_together) == (3, 40)
    scenes = [{name[:2] for name in half.image_names} for half in (halves.train, halves.val)]
    assert scenes[0].isdisjoint(scenes[1])


@pytest.mark.parametrize(
    ("group", "message"),
    [("(", r"--group \(: missing"), ("jpg", "would have no boxes: there are 1 group")],
)
def test_what_can_not_be_split(tmp_path: Path, group: str, message: str) -> None:
    source = archive(tmp_path / "all.zip", 4)
    with pytest.raises(DatasetError, match=message):
        split(look(source), tmp_path / "new.zip", Division(0.25, group=group))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.zip"]


def test_voc_gets_lists_and_yolo_a_data_yaml(tmp_path: Path) -> None:
    cells = voc()
    for name in ("train", "val"):
        del cells.files[f"ImageSets/Main/{name}.txt"]
    flat = {n.replace("train/", "").replace("val/", ""): d for n, d in yolo().files.items()}
    del flat["data.yaml"]
    for number, files in enumerate((cells.all_files(), {f"s/{n}": d for n, d in flat.items()})):
        source = write_zip(tmp_path / f"{number}.zip", files)
        target = tmp_path / f"{number}-new.zip"
        halves = split(look(source), target, Division(0.34))
        found = look(target)
        assert found.train is not None
        assert found.eval is not None
        assert found.train.paths == halves.train.paths
        assert found.eval.paths == halves.val.paths
        assert len(found.train) + len(found.eval) == 12


def test_a_set_that_has_its_splits(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there are train, val"):
        split(look(real_data("ssdd.zip")), tmp_path / "new.zip", Division())
