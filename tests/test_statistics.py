from __future__ import annotations

import json

import pytest

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.coco import read_columns
from jobgen.datasets.look import look
from jobgen.datasets.record import DataSet, Layout, Split
from jobgen.datasets.statistics import percentiles, scaled_sides, statistics, suggest_model
from tests.conftest import real_data


def split(*boxes: tuple[int, float, float], size: int = 100) -> Split:
    """Boxes as (image, width, height) in two images and an empty one."""
    record = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": size, "height": size} for i in (1, 2, 3)
        ],
        "categories": [{"id": 5, "name": "ship"}, {"id": 6, "name": "never"}],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": 5,
                "bbox": [0, 0, w, h],
                "area": w * h,
                "iscrowd": 0,
            }
            for n, (i, w, h) in enumerate(boxes)
        ],
    }
    return read_columns("a.json", json.dumps(record).encode()).split("train", "a.json", {}, "")


def data(train: Split) -> DataSet:
    layout = Layout("coco", "", {"train": {}})
    return DataSet(Contents("a"), layout, train.class_names, {"train": train})


def test_figures() -> None:
    found = statistics(split((1, 10, 10), (1, 40, 40), (2, 100, 50), (2, 97, 97), (2, 0, 5)))
    assert (found.images, found.boxes, found.empty_images, found.without_area) == (3, 5, 1, 1)
    assert found.classes == {"ship": 5, "never": 0}
    assert (found.small, found.medium, found.large) == (0.25, 0.5, 0.25)
    assert found.boxes_per_image == [0, 0, 2, 3, 3]
    assert found.aspect == [1, 1, 1, 2, 2]
    assert found.box_side[0] == 10


def test_percentiles() -> None:
    assert percentiles([]) == []
    assert percentiles([7]) == [7] * 5
    assert percentiles(list(range(101))) == [0, 10, 50, 90, 100]


@pytest.mark.parametrize(
    ("side", "model", "word"),
    [
        (10, "picodet_s_320_coco_lcnet", "at 320 px nine boxes of ten are 32 px or more"),
        (4, "picodet_s_416_coco_lcnet", "at 416 px nine boxes of ten are 17 px or more"),
        (2.6, "picodet_l_640_coco_lcnet", "at 640 px nine boxes of ten are 17 px or more"),
        (1, "picodet_l_640_coco_lcnet", "expect to miss the smallest"),
    ],
)
def test_the_suggested_model_follows_the_box_size(side: float, model: str, word: str) -> None:
    name, why = suggest_model(data(split(*[(1, side, side)] * 10)))
    assert name == model
    assert word in why


def test_sides_are_scaled_with_the_image() -> None:
    assert scaled_sides(split((1, 10, 10), size=320), 640).tolist() == [20.0]


def test_the_real_sets() -> None:
    ssdd = statistics(look(real_data("ssdd.zip")).splits["train"])
    assert (ssdd.images, ssdd.boxes, ssdd.empty_images) == (928, 2041, 0)
    assert ssdd.small + ssdd.medium + ssdd.large == pytest.approx(1, abs=0.001)
    bccd = statistics(look(real_data("bccd.zip")).splits["train"])
    assert sum(bccd.classes.values()) == bccd.boxes == 2805
    assert bccd.without_area == 1
