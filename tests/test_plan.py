from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobgen.catalog import models
from jobgen.errors import SpecError
from jobgen.job.plan import Plan, make_plan
from jobgen.spec import load_spec
from jobgen_runtime.train.configure import merge_dicts
from tests.conftest import JOB


def plan_of(tmp_path: Path, *edits: tuple[str, str]) -> Plan:
    text = JOB
    for old, new in edits:
        text = text.replace(old, new)
    path = tmp_path / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return make_plan(*load_spec(path))


def resolved(plan: Plan) -> dict[str, Any]:
    return merge_dicts(plan.model.config(), plan.config)


def test_every_value_says_where_it_comes_from(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    numbers = plan.numbers()
    family = numbers.pop("family")
    assert family == plan.family
    assert (family["base_lr_per_image"], family["through"]) == (0.00125, ["switch_epoch"])
    assert numbers == {
        "epochs": 10,
        "batch_size": 16,
        "base_lr": 0.02,
        "repeat": 4,
        "steps_per_epoch": 40,
        "warmup_steps": 40,
        "switch_epoch": 3,
        "snapshot_epoch": 1,
        "log_iter": 8,
        "eval_batch_size": 16,
        "gpus": 1,
        "parameters": 0.7,
        "train_images": 160,
        "worker_num": 8,
        "overridden": [],
    }
    assert plan.values["base_lr"].origin == (
        "rule: 0.00125 x 16 x 1; the config's 0.32 is for 4 cards of 64"
    )
    assert all(value.origin for value in plan.values.values())


def test_what_the_user_says_wins(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, ("epochs: 40", "epochs: 40\n  batch_size: 8\n  base_lr: 0.5\n  gpus: 2")
    )
    found = plan.numbers()
    assert (found["batch_size"], found["base_lr"], found["gpus"]) == (8, 0.5, 2)
    assert (found["repeat"], found["steps_per_epoch"]) == (4, 40)
    assert plan.values["batch_size"].origin == "job.yaml"


def test_passes_of_an_epoch_may_be_given(tmp_path: Path) -> None:
    once = plan_of(tmp_path, ("epochs: 40", "epochs: 40\n  repeat: 1"))
    assert (once.numbers()["epochs"], once.numbers()["steps_per_epoch"]) == (40, 10)
    assert "TrainDataset" not in once.config
    # A batch larger than the set trains where the set is gone through often enough.
    large = plan_of(tmp_path, ("epochs: 40", "epochs: 40\n  repeat: 8\n  batch_size: 320"))
    assert large.numbers()["steps_per_epoch"] == 4
    with pytest.raises(SpecError, match="40 epochs can't be dealt out in passes of 3"):
        plan_of(tmp_path, ("epochs: 40", "epochs: 40\n  repeat: 3"))


def test_a_large_input_gets_a_batch_that_the_card_has_room_for(tmp_path: Path) -> None:
    # The largest size of multi-scale training counts: 1344 instead of 704 px.
    model = ("config: picodet_xs_320_coco_lcnet", "config: picodet_l_640_coco_lcnet")
    large = (model[0], model[1] + "\n  input_size: 1280")
    assert plan_of(tmp_path, model).numbers()["batch_size"] == 12
    assert plan_of(tmp_path, large).numbers()["batch_size"] == 4


def test_the_config_is_consistent(tmp_path: Path) -> None:
    config = resolved(plan_of(tmp_path))
    schedule = config["LearningRate"]["schedulers"]
    assert config["epoch"] == schedule[0]["max_epochs"] == 10
    assert config["TrainDataset"]["repeat"] == 4
    assert config["PicoHeadV2"]["static_assigner_epoch"] < config["epoch"]
    assert config["PicoHeadV2"]["conv_feat"]["feat_in"] == 96
    assert config["TrainReader"]["batch_size"] == 16
    assert config["TrainReader"]["sample_transforms"]


def test_an_input_size_moves_all_its_places(tmp_path: Path) -> None:
    lcnet = "config: picodet_xs_320_coco_lcnet"
    config = resolved(plan_of(tmp_path, (lcnet, lcnet + "\n  input_size: 416")))
    config["EvalReader"]["batch_size"] = 8  # upstream's, which follows the training batch here
    other = models()["picodet_xs_416_coco_lcnet"].config()
    for key in ("eval_size", "eval_height", "EvalReader", "TestReader"):
        assert config[key] == other[key]
    transforms = config["TrainReader"]["batch_transforms"]
    assert transforms == other["TrainReader"]["batch_transforms"]


def test_room_for_the_boxes_of_all_images_that_are_mixed(tmp_path: Path) -> None:
    """PaddleDetection's mosaic with mixup is made of five images."""
    yolo = ("config: picodet_xs_320_coco_lcnet", "config: yolov3_mobilenet_v1")
    assert plan_of(tmp_path, yolo).family["padded"]["images"] == 2
    mosaic = ("train:\n", "augment: {mosaic: true}\ntrain:\n")
    assert plan_of(tmp_path, yolo, mosaic).family["padded"]["images"] == 5
    nothing = ("train:\n", "augment: {preset: none}\ntrain:\n")
    assert plan_of(tmp_path, yolo, nothing).family["padded"]["images"] == 1
    assert "padded" not in plan_of(tmp_path).family


def test_the_epoch_of_a_chosen_mixing_may_be_overridden(tmp_path: Path) -> None:
    more = "augment: {mosaic: true}\noverrides: {TrainReader: {mosaic_epoch: 3}}\ntrain:\n"
    plan = plan_of(tmp_path, ("train:\n", more))
    assert plan.config["TrainReader"]["mosaic_epoch"] == 3
    assert plan.numbers()["overridden"] == ["mosaic_epoch"]


def test_pretrained_weights(tmp_path: Path) -> None:
    lcnet = "config: picodet_xs_320_coco_lcnet"
    url = "https://paddledet.bj.bcebos.com/models/picodet_xs_320_coco_lcnet.pdparams"
    assert plan_of(tmp_path).pretrained == url
    assert (
        plan_of(tmp_path, (lcnet, lcnet + "\n  pretrained: none")).config["pretrain_weights"]
        is None
    )
    assert (
        plan_of(tmp_path, (lcnet, lcnet + "\n  pretrained: w/x.pdparams")).pretrained
        == "w/x.pdparams"
    )


def test_overrides_are_last(tmp_path: Path) -> None:
    extra = (
        "epochs: 40\noverrides: {TrainReader: {shuffle: false}, snapshot_epoch: 7, worker_num: 0}"
    )
    plan = plan_of(tmp_path, ("epochs: 40", extra))
    assert plan.config["snapshot_epoch"] == 7
    assert plan.numbers()["snapshot_epoch"] == 7
    assert plan.numbers()["worker_num"] == 0
    assert plan.numbers()["overridden"] == ["snapshot_epoch", "worker_num"]
    assert plan.values["snapshot_epoch"].origin == "overrides"
    assert resolved(plan)["TrainReader"]["shuffle"] is False
    assert resolved(plan)["TrainReader"]["batch_size"] == 16


@pytest.mark.parametrize(
    "override",
    [
        "{ema_decay: 0.999}",
        "{PicoHeadV2: {nms: {nms_eta: 0.9}}}",
        "{PicoHeadV2: {nms_pre: 500}}",
        "{OptimizerBuilder: {clip_grad_by_norm: 35.0}}",
    ],
)
def test_what_a_class_takes_and_no_config_names_may_be_set(tmp_path: Path, override: str) -> None:
    plan = plan_of(tmp_path, ("train:\n", f"overrides: {override}\ntrain:\n"))
    assert merge_dicts(plan.config, plan.spec.overrides) == plan.config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("{PicoHeadV2: {nms: {nms_etta: 0.9}}}", "nms_etta is no key .*did you mean nms_eta"),
        ("{ema_dekay: 0.9}", "ema_dekay is no key .*did you mean ema_decay"),
        ("{OptimizerBuilder: {clip_grad_by_norms: 3}}", "did you mean clip_grad_by_norm"),
    ],
)
def test_a_typing_error_of_a_parameter_is_caught(
    tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        plan_of(tmp_path, ("train:\n", f"overrides: {override}\ntrain:\n"))
