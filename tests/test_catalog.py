from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobgen.catalog import (
    environments,
    families,
    full_name,
    inside,
    model_named,
    models,
    pins,
    platform,
)
from jobgen.catalog.augment import every_choice, reader_values, turns_of
from jobgen.catalog.models import config_sha256
from jobgen.catalog.pairings import with_pairings
from jobgen.catalog.sizes import SIZED, input_size, largest_side
from jobgen.catalog.trainer import class_parameters, trainer_keys
from jobgen.errors import SpecError
from jobgen.ppconfig import resolve
from jobgen.yamlio import Tagged, plain
from jobgen_runtime.record import collect
from jobgen_runtime.setup.machine import find_home
from jobgen_runtime.train import schedule as rules
from jobgen_runtime.train.configure import merge_dicts
from jobgen_runtime.train.schedule import linear_base_lr, schedulers, turn_epoch
from tests.class_parameters import shared_parameters
from tests.class_parameters import trainer_keys as read_by_the_trainer
from tests.conftest import ROOT, real_data

NAMES = sorted(models())


PICODET = [name for name in NAMES if models()[name].family.name == "picodet"]


def test_the_models_that_are_known() -> None:
    assert set(PICODET) == {
        *(f"picodet_{size}_{px}_coco_lcnet" for size in ("xs", "s", "m", "l") for px in (320, 416)),
        "picodet_l_640_coco_lcnet",
    }
    assert {model.family.name for model in models().values()} == {
        "picodet", "ppyoloe", "yolov3", "ppyolo", "yolox", "rtdetr",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_the_one_whose_hash_is_committed(name: str) -> None:
    assert config_sha256(models()[name].config()) == models()[name].sha256


@pytest.mark.parametrize("revision", ["v2.6.0", "release-2.6", "release-2.7", "develop-666f597fd0"])
@pytest.mark.parametrize("name", PICODET)
def test_a_config_equals_upstreams_resolved_one(name: str, revision: str) -> None:
    path = real_data("picodet-resolved") / revision / f"{name}.json"
    assert plain(models()[name].config()) == json.loads(path.read_text(encoding="utf-8"))


def checkout() -> Path:
    """PaddleDetection's files, where there are any."""
    if "JOBGEN_PADDLEDETECTION" not in os.environ:
        pytest.skip("JOBGEN_PADDLEDETECTION names no checkout")
    return Path(os.environ["JOBGEN_PADDLEDETECTION"])


@pytest.mark.parametrize("name", NAMES)
def test_a_config_equals_the_checkouts(name: str) -> None:
    model = models()[name]
    path = checkout() / "configs" / model.family.folder / f"{name}.yml"
    if not path.exists():
        assert model.family.revisions
        pytest.skip(f"this revision does not have {name}")
    theirs = resolve(path).config
    if "cpu" in (inside(theirs, model.family.nms) or {}):  # in develop, of two models of YOLOv3
        del theirs["BBoxPostProcess"]["nms"]["cpu"]
    assert plain(model.config()) == plain(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_learning_rates_are_the_linear_rules(name: str) -> None:
    model = models()[name]
    assert linear_base_lr(model.batch_size, model.gpus, model.base_lr_per_image) == model.base_lr
    if name in PICODET:
        assert model.base_lr_per_image == 0.00125


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_of_the_published_length_is_the_published_one(name: str) -> None:
    """But PicoDet's, whose cosine of 300 epochs stays as it is in configs of 250 and 200."""
    model = models()[name]
    family = {"schedule": list(model.family.schedule)}
    ours = schedulers(family, model.epochs, model.family.warmup.get("steps", 0))
    theirs = [
        {"name": item.tag, **item.value} if isinstance(item, Tagged) else dict(item)
        for item in model.config()["LearningRate"]["schedulers"]
    ]
    if "epochs" in model.family.warmup:
        assert theirs[-1].pop("epochs") == model.family.warmup["epochs"]
        ours[-1].pop("steps")
    if name in PICODET:
        theirs[0]["max_epochs"] = model.epochs
    if model.family.name == "rtdetr":  # never changes: gamma is 1
        theirs[0]["milestones"] = ours[0]["milestones"]
    assert ours == theirs


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_of_the_published_length_is_the_published_one(name: str) -> None:
    model = models()[name]
    for turn in model.turns().values():
        epochs = 300 if name in PICODET else model.epochs
        assert turn_epoch(epochs, turn.carried()) == inside(model.config(), turn.path)


@pytest.mark.parametrize("name", NAMES)
def test_the_usual_augmentation_is_upstreams_list(name: str) -> None:
    """What `augment: {preset: default}` writes down, and what no `augment` leaves as it is."""
    model = models()[name]
    config, family = model.config(), model.family
    found = reader_values(every_choice({}, "default", config, family), config, family)
    theirs = config["TrainReader"]["sample_transforms"]
    for row in theirs + found["TrainReader"]["sample_transforms"]:
        if "RandomFlip" in row:
            row.update(RandomFlip={"prob": 0.5})  # PaddleDetection's default
    assert found == {"TrainReader": {"sample_transforms": theirs}}


@pytest.mark.parametrize("name", NAMES)
def test_without_augmentation_only_what_is_needed_stays(name: str) -> None:
    model = models()[name]
    config, family = model.config(), model.family
    choice = every_choice({}, "none", config, family)
    reader = reader_values(choice, config, family)["TrainReader"]
    names = [key for row in reader["sample_transforms"] for key in row]
    assert names in (["Decode"], ["Decode", "PadResize"])
    for key in ("mosaic_epoch", "mixup_epoch"):
        assert reader.get(key, -1) == -1
        assert (key in config["TrainReader"]) == (key in reader)
    assert turns_of(choice, model.turns()).keys() <= {"switch_epoch", "l1_epoch"}


def test_mixing_is_what_was_asked_for() -> None:
    yolox = models()["yolox_s_300e_coco"]
    found = every_choice({"mosaic": False}, "default", yolox.config(), yolox.family)
    assert (found["mosaic"], found["mixup"]) == (False, False)  # upstream's mixup is its mosaic's
    reader = reader_values(found, yolox.config(), yolox.family)["TrainReader"]
    assert reader["mosaic_epoch"] == -1
    asked = every_choice({"mosaic": False, "mixup": True}, "default", yolox.config(), yolox.family)
    assert turns_of(asked, yolox.turns()).keys() == {"l1_epoch", "mixup_epoch"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [320, 416, 640, 1280])
def test_another_size_moves_every_place_of_it(name: str, size: int) -> None:
    """As upstream's own config of that size has it, where there is one."""
    model = models()[name]
    moved = merge_dicts(model.config(), model.at_size(size))
    assert input_size(moved) == size
    for reader in ("EvalReader", "TestReader"):
        for step in moved[reader]["sample_transforms"]:
            for key, values in step.items():
                if key in SIZED:
                    assert values[SIZED[key]] == [size, size]
    assert largest_side(moved, model.family) >= size
    assert largest_side(moved, model.family) % 32 == 0
    if size == model.size:
        assert moved == model.config()


@pytest.mark.parametrize(
    ("name", "size", "like"),
    [
        ("picodet_s_320", 416, "picodet_s_416"),
        ("picodet_l_640", 320, "picodet_l_320"),
        ("ppyoloe_plus_crn_t_auxhead_300e", 320, "ppyoloe_plus_crn_t_auxhead_320"),
    ],
)
def test_another_size_is_as_upstreams_config_of_that_size(name: str, size: int, like: str) -> None:
    model, other = models()[full_name(name)], models()[full_name(like)].config()
    moved = merge_dicts(model.config(), model.at_size(size))
    for reader in ("EvalReader", "TestReader"):
        assert moved[reader] == other[reader]
    if model.name in PICODET:
        assert moved["TrainReader"]["batch_transforms"] == other["TrainReader"]["batch_transforms"]


def test_scales() -> None:
    picodet, yolov3 = (models()[full_name(name)] for name in ("picodet_l_640", "yolov3_darknet53"))
    resize = picodet.at_size(416)["TrainReader"]["batch_transforms"][0]["BatchRandomResize"]
    assert resize["target_size"] == [352, 384, 416, 448, 480]
    resize = yolov3.at_size(416)["TrainReader"]["batch_transforms"][0]["BatchRandomResize"]
    assert (resize["target_size"][0], resize["target_size"][-1]) == (224, 416)
    moved = models()["yolox_s_300e_coco"].at_size(320)
    assert moved["YOLOX"] == {"size_range": [8, 12], "input_size": [320, 320]}
    assert {"PadResize": {"target_size": 320}} in moved["TrainReader"]["sample_transforms"]


def test_a_beginning_tells_a_model() -> None:
    assert full_name("picodet_s_320") == "picodet_s_320_coco_lcnet"
    assert full_name("ppyoloe_plus_crn_s") == "ppyoloe_plus_crn_s_80e_coco"
    assert full_name("yolov3") == "yolov3"  # three begin so
    assert model_named("ppyoloe_plus_crn_t_auxhead_320_300e_ships.yml").endswith("320_300e_coco")
    assert model_named("best_model.pdparams") == ""


def test_every_environment_has_a_verifiable_revision() -> None:
    assert set(environments()) == {
        "paddle2.4_py3.7",
        "paddle2.5_py3.10",
        "paddle2.6_py3.10",
        "paddle3.0_py3.10",
    }
    for environment in environments().values():
        revision = environment.revision
        assert len(revision.commit) == 40
        assert all(len(content) == 64 for content in revision.parts.values())
        assert revision.ref in (revision.commit, revision.name)
        assert {fix["id"] for fix in revision.fixes} >= {"one-card-nan"}
        for fix in revision.fixes:
            assert fix["old"] not in fix["new"], "undoing the fix would not be exact"


def test_pins_are_full_and_exact() -> None:
    for environment in environments().values():
        if environment.local is None:
            with pytest.raises(SpecError, match="PyPI has no Paddle"):
                pins(environment)
            continue
        rows = pins(environment).splitlines()
        assert all("==" in row for row in rows)
        names = {row.split("==")[0] for row in rows}
        assert {"paddlepaddle", "numpy", "ipykernel", "opencv-python-headless"} <= names
        assert "numpy==1.26.4" in rows


def test_the_fix_is_found_once_in_every_revision() -> None:
    for fix in environments()["paddle2.6_py3.10"].revision.fixes:
        assert Path(checkout(), fix["file"]).read_text(encoding="utf-8").count(fix["old"]) == 1


def test_the_parameters_are_those_of_the_source() -> None:
    theirs, keys = shared_parameters([checkout()]), read_by_the_trainer(checkout())
    for name, parameters in class_parameters().items():
        # v2.6.0 has no RT-DETR.
        assert set(parameters) <= set(theirs.get(name, parameters))
    assert {"PicoHeadV2", "PPYOLOEHead", "YOLOv3Head"} <= set(theirs)
    assert trainer_keys() <= keys


def test_the_notebooks_limits_are_the_platforms() -> None:
    limits = platform()
    assert rules.CHECKPOINT_ROOM * 2 == limits.bytes_left == collect.BYTES_LEFT
    assert limits.files_left == collect.FILES_LEFT
    assert find_home(None, ["no such file"]) == limits.home


@pytest.mark.parametrize(("page", "language"), [("after.md", "en"), ("after.zh-CN.md", "zh")])
def test_the_table_of_pairings_is_the_catalogues(page: str, language: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert with_pairings(text, language) == text
    assert all(f"`{name}`" in text for name in environments())


# Where a person is given an example, or a source.
EXAMPLES_NAME = {"jobgen/cli/demo.py": {"ppyolo"}}


def test_only_the_catalogue_names_a_family() -> None:
    """Another family is a file: nothing else knows a head, a key of one or a family's name."""
    words = {family.name for family in families().values()}
    words |= {str(value).lower() for f in families().values() for _, value in f.signs}
    words |= {family.nms[0].lower() for family in families().values() if family.nms}
    words -= {"bboxpostprocess"}
    folders = [ROOT / "jobgen", ROOT / "jobgen_runtime", ROOT / "templates"]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    for path in (path for path in files if path.suffix not in (".mo", ".po")):
        inside = path.relative_to(ROOT).as_posix()
        if inside.startswith("jobgen/catalog/") or path.suffix == ".pyc":
            continue
        rows = path.read_text(encoding="utf-8").lower().splitlines()
        text = "\n".join(row for row in rows if not row.lstrip().startswith("#"))
        found = {word for word in words if word in text} - EXAMPLES_NAME.get(inside, set())
        assert not found, f"{inside} names {found}"
