from __future__ import annotations

import math
from typing import Any

import pytest

from jobgen_runtime.data.balance import MOST, balanced, repeats


def record(*images: list[int]) -> dict[str, Any]:
    """An image for each list, with a box of each class in it."""
    boxes = [
        {"image_id": n, "category_id": label, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0}
        for n, labels in enumerate(images, 1)
        for label in labels
    ]
    return {
        "images": [{"id": n, "file_name": "%d.jpg" % n} for n in range(1, len(images) + 1)],
        "annotations": [dict(box, id=n) for n, box in enumerate(boxes, 1)],
        "categories": [{"id": n} for n in (1, 2, 3)],
    }


def test_an_image_is_seen_as_often_as_its_rarest_class_asks() -> None:
    """Class 1 is in 16 images, 2 in four of them (root of 4), 3 in one (16: four times)."""
    made = record(*([[1]] * 11 + [[1, 2]] * 4 + [[1, 3]]))
    assert repeats(made) == [1] * 11 + [2] * 4 + [4]


def test_no_image_is_repeated_more_than_five_times() -> None:
    assert repeats(record(*([[1]] * 400 + [[2]])))[-1] == MOST == 5


@pytest.mark.parametrize("images", [[[1], [2]], [[], [1]], [[]]])
def test_what_is_balanced_stays(images: list[list[int]]) -> None:
    made = record(*images)
    assert balanced(made) == made


def test_copies_have_ids_of_their_own_and_all_boxes() -> None:
    made = record(*([[1]] * 9 + [[2, 2, 1]]))
    found = balanced(made)
    times = round(math.sqrt(10 / 1))
    assert len(found["images"]) == 10 + times - 1
    for key in ("images", "annotations"):
        ids = [item["id"] for item in found[key]]
        assert len(set(ids)) == len(ids)
        assert found[key][: len(made[key])] == made[key]
    copies = [image for image in found["images"] if image["file_name"] == "10.jpg"]
    for image in copies:
        boxes = [box for box in found["annotations"] if box["image_id"] == image["id"]]
        assert sorted(box["category_id"] for box in boxes) == [1, 2, 2]


def test_crowds_ask_for_nothing() -> None:
    made = record(*([[1]] * 9 + [[1, 2]]))
    made["annotations"][-1]["iscrowd"] = 1
    assert repeats(made) == [1] * 10
