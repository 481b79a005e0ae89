from pathlib import Path
from typing import Any, Dict, List

import pytest

from jobgen_runtime.train.trainlog import metric_columns, metrics_row, parse_train_line

# Lines as PaddleDetection writes them: v2.6.0 on a CPU, develop on a GPU.
CPU = (
    "[11/22 22:22:48] ppdet.engine INFO: Epoch: [0] [ 2/10] learning_rate: 0.001750 "
    "loss_vfl: 1.430703 loss_bbox: 1.465077 loss_dfl: 1.044736 loss: 3.940516 eta: 0:09:09 "
    "batch_cost: 2.0192 data_cost: 0.0004 ips: 3.9620 images/s"
)
GPU = (
    "[10/18 09:00:00] ppdet.engine.callbacks INFO: Epoch: [12] [120/300] learning_rate: 0.080000 "
    "loss_vfl: nan loss_bbox: nan loss_dfl: nan loss: nan eta: 1 day, 2:03:04 batch_cost: 0.2 "
    "data_cost: 0.0012 ips: 321.5 images/s, max_mem_reserved: 9000 MB, max_mem_allocated: 8100 MB"
)


def test_a_step() -> None:
    assert parse_train_line(CPU) == {
        "kind": "step",
        "epoch": 0,
        "step": 2,
        "steps": 10,
        "learning_rate": 0.00175,
        "eta": "0:09:09",
        "batch_cost": 2.0192,
        "data_cost": 0.0004,
        "ips": 3.962,
        "meters": {
            "loss_vfl": 1.430703,
            "loss_bbox": 1.465077,
            "loss_dfl": 1.044736,
            "loss": 3.940516,
        },
    }


def test_a_step_with_days_and_nan() -> None:
    found = parse_train_line(GPU)
    assert found is not None
    assert (found["epoch"], found["eta"], found["ips"]) == (12, "1 day, 2:03:04", 321.5)
    assert found["meters"]["loss"] != found["meters"]["loss"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.180",
            {"kind": "metric", "name": "mAP", "value": 0.18},
        ),
        (
            " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.512",
            {"kind": "metric", "name": "mAP50", "value": 0.512},
        ),
        (
            " Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000",
            {"kind": "metric", "name": "mAP_large", "value": -1.0},
        ),
        (" Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.5", None),
        (
            "[1] ppdet INFO: mAP(0.50, 11point) = 12.34%",
            {"kind": "metric", "name": "mAP50", "value": 0.1234},
        ),
        (
            "[1] ppdet.data.source.coco INFO: Load [80 samples valid, 2 samples invalid] in file x.",
            {"kind": "loaded", "valid": 80, "invalid": 2},
        ),
        ("anything else", None),
        ("Epoch: [1] [ 2/10] learning_rate: broken", None),
    ],
)
def test_other_lines(line: str, expected: Any) -> None:
    assert parse_train_line(line) == expected


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "[1] ppdet.engine WARNING: Samples in dataset are less than batch_size, please set",
            "too_small",
        ),
        ("[1] ppdet.utils.checkpoint INFO: Save checkpoint: output", "checkpoint"),
        (
            "[1] ppdet.engine.callbacks WARNING: Evaluation results empty, this may be due to",
            "empty_eval",
        ),
        (
            "[1] ppdet.data.source.coco WARNING: Illegal image file: a.jpg, and it will be ignored",
            "bad_image",
        ),
        (
            "[1] ppdet.utils.checkpoint INFO: The shape [2] in pretrained weight x is unmatched "
            "with the shape [1]",
            "mismatch",
        ),
        (
            "SystemError: (Fatal) Blocking queue is killed because the data reader raises an exception",
            "reader",
        ),
    ],
)
def test_signs(line: str, kind: str) -> None:
    found = parse_train_line(line)
    assert found is not None
    assert found["kind"] == kind


def test_a_row_of_metrics() -> None:
    columns = metric_columns(["loss_xy", "loss_wh"])
    row = metrics_row({"epoch": 3, "loss": 1.5, "mAP50": 0.25}, columns).strip().split(",")
    assert len(row) == len(columns)
    assert row[0] == "3"
    assert row[columns.index("mAP50")] == "0.25"
    assert row[1] == ""


LOGS = Path(__file__).parent.parent / "data" / "logs"


def said(name: str) -> List[Dict[str, Any]]:
    """What the parser makes of a real log: 24 images in batches of 8, two epochs on a CPU."""
    text = (LOGS / (name + ".log")).read_text(encoding="utf-8")
    return [found for found in map(parse_train_line, text.splitlines()) if found]


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("v2.6.0-coco", 12),
        ("release2.7-coco", 12),
        ("develop-coco", 12),
        ("v2.6.0-voc", 2),
        ("develop-voc", 2),
    ],
)
def test_real_logs_of_every_release(name: str, metrics: int) -> None:
    found = said(name)
    steps = [row for row in found if row["kind"] == "step"]
    assert [(row["epoch"], row["step"], row["steps"]) for row in steps] == [
        (epoch, step, 3) for epoch in (0, 1) for step in (0, 1, 2)
    ]
    assert all(0 < row["meters"]["loss"] < 10 for row in steps)
    assert all(row["batch_cost"] >= row["data_cost"] >= 0 for row in steps)
    assert len([row for row in found if row["kind"] == "metric"]) == metrics
    # A checkpoint after each epoch, and each time a best one.
    assert len([row for row in found if row["kind"] == "checkpoint"]) >= 3
    assert not [row for row in found if row["kind"] in ("reader", "too_small", "bad_image")]


def test_the_log_of_an_image_that_can_not_be_read() -> None:
    found = [row["kind"] for row in said("v2.6.0-unreadable-image")]
    assert found.count("reader") == 1
    assert found.count("step") == 2


@pytest.mark.parametrize(
    "line",
    [
        "[11/22 22:22:48] ppdet.utils.checkpoint INFO: x Samples in dataset are less than batch_size",
        "Samples in dataset are less than batch_size, please set smaller batch_size",
        "[11/22 22:22:48] ppdet.utils.checkpoint INFO: Samples in dataset are less than batch_size",
        "[11/22 22:22:48] ppdet.data.source.coco WARNING: Save checkpoint: x",
        "[11/22 22:22:48] ppdet.utils.checkpoint INFO: DataLoader worker is unmatched",
        "[1] ppdet.utils.checkpoint INFO: a Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.987",
        "[1] ppdet.data.source.coco WARNING: Illegal: mAP(0.50, 11point) = 98.70%",
        "[1] ppdet.utils.checkpoint INFO: Epoch: [0] [0/2] learning_rate: 1 loss: 1 eta: 0:0:1 batch_cost: 1 data_cost: 1 ips: 1 images/s",
    ],
)
def test_a_name_inside_a_line_says_nothing(line: str) -> None:
    """Names of weights and files are anybody's."""
    assert parse_train_line(line) is None
