from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgen.datasets.look import look
from jobgen.datasets.split import class_counts, split, split_records
from jobgen.errors import DatasetError
from tests.conftest import Answer, real_data


def record(labels: list[list[int]]) -> dict[str, Any]:
    """An image for each list, with a box for each class number in it."""
    boxes = [(i, label) for i, found in enumerate(labels, 1) for label in found]
    return {
        "images": [
            {"id": i, "file_name": f"s{i % 3}_{i}.jpg", "width": 9, "height": 9}
            for i in range(1, len(labels) + 1)
        ],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": c,
                "bbox": [0, 0, 2, 2],
                "area": 4,
                "iscrowd": 0,
            }
            for n, (i, c) in enumerate(boxes)
        ],
        "categories": [{"id": c, "name": f"c{c}"} for c in (1, 2, 3)],
    }


def alone(found: dict[str, Any]) -> dict[int, str]:
    return {image["id"]: str(image["id"]) for image in found["images"]}


def ids(part: dict[str, Any]) -> list[int]:
    return [image["id"] for image in part["images"]]


def test_every_class_gets_its_share() -> None:
    whole = record([[1]] * 50 + [[1, 2]] * 20 + [[3]] * 10 + [[]] * 20)
    plan = split_records(whole, alone(whole), 0.2, 1)
    assert class_counts(plan.val) == {"c1": 14, "c2": 4, "c3": 2}
    assert class_counts(plan.train) == {"c1": 56, "c2": 16, "c3": 8}
    assert len(plan.val["images"]) == 20


@given(
    st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=2, max_size=40),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 5),
)
def test_nothing_is_lost_or_doubled(labels: list[list[int]], share: float, seed: int) -> None:
    whole = record(labels)
    plan = split_records(whole, alone(whole), share, seed)
    assert sorted(ids(plan.train) + ids(plan.val)) == ids(whole)
    boxes = [box["id"] for part in (plan.train, plan.val) for box in part["annotations"]]
    assert sorted(boxes) == [box["id"] for box in whole["annotations"]]
    assert plan == split_records(whole, alone(whole), share, seed)


def test_groups_stay_together() -> None:
    whole = record([[1]] * 60)
    keys = {image["id"]: image["file_name"].split("_")[0] for image in whole["images"]}
    plan = split_records(whole, keys, 0.33, 1)
    assert {keys[i] for i in ids(plan.train)}.isdisjoint({keys[i] for i in ids(plan.val)})
    assert plan.groups == 3
    assert plan.held_together == 60


def archive(path: Path, whole: dict[str, Any], same: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("set/all.json", json.dumps(whole))
        for image in whole["images"]:
            content = f"{0 if same and image['id'] <= 10 else image['id']}"
            out.writestr(f"set/images/{image['file_name']}", content)
        out.writestr("set/readme.txt", "kept")
    return path


def test_a_set_is_split_and_taken_by_init(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    source = archive(tmp_path / "all.zip", record([[1], [1, 2]] * 20))
    before = source.read_bytes()
    target = tmp_path / "new.zip"
    answer = jobgen("dataset", "split", source, target, "--val", "0.25", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["val"] == {"c1": 10, "c2": 5, "c3": 0}
    assert source.read_bytes() == before
    found = look(target)
    assert (found.root, found.train.images, found.eval.images) == ("set", 30, 10)
    with zipfile.ZipFile(target) as out:
        assert "set/readme.txt" in out.namelist()
        assert "set/all.json" not in out.namelist()
    other = tmp_path / "again.zip"
    split(source, other, 0.25, 1, None)
    assert other.read_bytes() == target.read_bytes()
    refused = jobgen("dataset", "split", source, target)
    assert refused.code == 4
    assert "is there already" in refused.err


def test_images_of_the_same_bytes_are_not_parted(tmp_path: Path) -> None:
    source = archive(tmp_path / "all.zip", record([[1]] * 40), same=True)
    plan = split(source, tmp_path / "new.zip", 0.25, 3, None)
    assert plan.held_together == 10
    assert set(range(1, 11)) <= set(ids(plan.train)) or set(range(1, 11)) <= set(ids(plan.val))


@pytest.mark.parametrize(
    ("group", "message"),
    [("(", r"--group \(: missing"), (".*", "would have no boxes: 1 group")],
)
def test_what_can_not_be_split(tmp_path: Path, group: str, message: str) -> None:
    source = archive(tmp_path / "all.zip", record([[1]] * 4))
    with pytest.raises(DatasetError, match=message):
        split(source, tmp_path / "new.zip", 0.25, 1, group if group != ".*" else "jpg")
    assert not (tmp_path / "new.zip").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.zip"]


def test_a_set_that_has_its_splits(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there are ssdd/train\.json, ssdd/val\.json"):
        split(real_data("ssdd.zip"), tmp_path / "new.zip", 0.2, 1, None)
