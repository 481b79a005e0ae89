from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from jobgen.errors import SpecError
from jobgen.job.plan import make_plan
from jobgen.spec import load_spec, spec_from_text
from tests.conftest import JOB


def edit(old: str, new: str) -> str:
    assert JOB.count(old) == 1
    return JOB.replace(old, new)


FAULTS = [
    (
        "name: ships\n",
        "name: Ships!\n",
        "job.yaml:1: name: use a-z, 0-9, _ and - only, at most 40 characters, got 'Ships!'",
    ),
    ("name: ships\n", "name: con\n", "job.yaml:1: name: Windows reserves this name, got 'con'"),
    (
        "name: ships\n",
        "name: ../x\n",
        "job.yaml:1: name: use a-z, 0-9, _ and - only, at most 40 characters, got '../x'",
    ),
    (
        "name: ships\n",
        "nmae: ships\n",
        "2 faults:\njob.yaml:1: name: this key is missing\njob.yaml:1: nmae: unknown key nmae; did you mean name?",
    ),
    (
        "  epochs: 40\n",
        "  epochs: ten\n",
        "job.yaml:17: train.epochs: input should be a valid integer, got 'ten'",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 0\n",
        "job.yaml:17: train.epochs: input should be greater than or equal to 1, got 0",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\n  bach_size: 8\n",
        "job.yaml:18: train.bach_size: unknown key bach_size; did you mean batch_size?",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\n  epochs: 50\n",
        "job.yaml:18: the key 'epochs' is there twice",
    ),
    (
        "  classes: [ship]\n",
        "  classes: []\n",
        "job.yaml:10: dataset.classes: list should have at least 1 item after validation, not 0, got []",
    ),
    (
        "  classes: [ship]\n",
        "  classes: [ship, ship]\n",
        "job.yaml:3: dataset: classes names one class twice",
    ),
    (
        "  classes: [ship]\n",
        '  classes: ["a\\nb"]\n',
        "job.yaml:10: dataset.classes.0: control characters and line breaks are not allowed, got 'a\\nb'",
    ),
    (
        "{archive: ships.zip}",
        "{archive: ../ships.zip}",
        "job.yaml:5: dataset.sources.0.archive: give a path inside the data set, with / and without .., got '../ships.zip'",
    ),
    (
        "{archive: ships.zip}",
        "{archive: a/ships.zip}",
        "job.yaml:5: dataset.sources.0.archive: give a file name without folders, got 'a/ships.zip'",
    ),
    (
        "{archive: ships.zip}",
        "{id: 3}",
        "job.yaml:5: dataset.sources.0: give either archive: or folder:",
    ),
    (
        "  root: ships\n",
        "  root: /ships\n",
        "job.yaml:6: dataset.root: give a path inside the data set, with / and without .., got '/ships'",
    ),
    (
        "  root: ships\n",
        "  root: aux.d\n",
        "job.yaml:6: dataset.root: Windows reserves the name aux.d, got 'aux.d'",
    ),
    (
        "  format: coco\n",
        "  format: voc\n",
        "job.yaml:3: dataset: format voc needs `list:` in train and eval",
    ),
    (
        "  config: picodet_xs_320_coco_lcnet\n",
        "  config: picodet_xs_320_coco_lcnet\n  pretrained: https://u:p@h/x.pdparams\n",
        "job.yaml:16: model.pretrained: an address with user, password or query would be stored in the bundle, got 'https://u:p@h/x.pdparams'",
    ),
    (
        "  config: picodet_xs_320_coco_lcnet\n",
        "  config: picodet_xs_320_coco_lcnet\n  input_size: 100\n",
        "job.yaml:16: model.input_size: input should be a multiple of 32, got 100",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS, ids=[f[1].strip()[:30] for f in FAULTS])
def test_a_fault_is_named_with_file_line_and_key(old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from_text(edit(old, new))
    shown = caught.value.message.splitlines()
    assert "\n".join(shown) == message or message in shown
    assert caught.value.exit_code == 3


def test_all_faults_come_at_once() -> None:
    text = JOB.replace("epochs: 40", "epochs: -1").replace("name: ships", "name: NUL")
    with pytest.raises(SpecError) as caught:
        spec_from_text(text)
    assert caught.value.message.splitlines()[0] == "2 faults:"
    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n", "a: [\n"])
def test_what_is_no_job(text: str) -> None:
    with pytest.raises(SpecError, match=r"job\.yaml:"):
        spec_from_text(text)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "job.yaml")
    assert "No such file" in caught.value.message
    assert caught.value.hint


def test_names_in_any_language_are_taken() -> None:
    spec = spec_from_text(edit("classes: [ship]", "classes: [船, 'no', \"it's {{ x }}\", 红 细胞]"))
    assert spec.dataset.classes == ["船", "no", "it's {{ x }}", "红 细胞"]


def test_a_learning_rate_may_be_written_as_people_write_it() -> None:
    spec = spec_from_text(edit("epochs: 40", "epochs: 40\n  base_lr: 1e-3"))
    assert spec.train.base_lr == 0.001


def test_a_spec_survives_its_own_dump() -> None:
    spec = spec_from_text(JOB)
    assert spec_from_text(yaml.safe_dump(spec.model_dump(mode="json"))) == spec


PLAN_FAULTS = [
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {snapshot_epoch: 0}\n",
        "job.yaml:18: overrides.snapshot_epoch is 0; it must be at least 1",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {worker_num: null}\n",
        "job.yaml:18: overrides.worker_num is None, but the config has 6 there",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {epoch: 50}\n",
        "job.yaml:18: overrides.epoch is not for overrides: set train.epochs",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {TrainReader: {batch_size: 500}}\n",
        "job.yaml:18: overrides.TrainReader.batch_size is not for overrides: set train.batch_size",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {LearningRate: {schedulers: [!CosineDecay {}]}}\n",
        "job.yaml:18: overrides.LearningRate.schedulers: write `name: X` instead of the tag `!X`",
    ),
    (
        "environment: paddle2.6_py3.10",
        "environment: paddle2.6_py3.1",
        "job.yaml:2: environment: 'paddle2.6_py3.1' is not known; did you mean paddle2.6_py3.10?",
    ),
    (
        "config: picodet_xs_320_coco_lcnet",
        "config: picodet_xs_230_coco_lcnet",
        "job.yaml:15: model.config: 'picodet_xs_230_coco_lcnet' is not known; did you mean picodet_xs_320_coco_lcnet?",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\nstages: [evaluat]\n",
        "job.yaml:18: stages.0: 'evaluat' is not known; did you mean evaluate?",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\nexport: {format: json}\n",
        "job.yaml:18: export.format: Paddle 2.6 writes model.pdmodel only",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\n  batch_size: 161\n",
        "job.yaml:18: train.batch_size: 161 x 1 card(s) are more than the 160 training images; PaddleDetection would train nothing and end 0",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {PicoHeadV2: {nms: {nms_treshold: 0.5}}}\n",
        "job.yaml:18: overrides.PicoHeadV2.nms.nms_treshold is no key of PaddleDetection's config; did you mean nms_threshold?",
    ),
    (
        "  epochs: 40\n",
        "  epochs: 40\noverrides: {use_ema: 1}\n",
        "job.yaml:18: overrides.use_ema is 1, but the config has True there",
    ),
    ("  epochs: 40\n", "  epochs: 40\noverrides: {TrainReader: 3}\n", None),
]


@pytest.mark.parametrize(
    ("old", "new", "message"), PLAN_FAULTS, ids=[f[1].strip()[:40] for f in PLAN_FAULTS]
)
def test_names_are_the_plans_to_check(
    tmp_path: Path, old: str, new: str, message: str | None
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(edit(old, new), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        make_plan(*load_spec(path))
    shown = caught.value.message.replace(str(path), "job.yaml")
    if message is None:
        assert "overrides.TrainReader is 3, but the config has {" in shown
    else:
        assert shown == message


def test_counts_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    start = JOB.index("  expect:")
    path.write_text(JOB[:start] + JOB[JOB.index("model:") :], encoding="utf-8")
    with pytest.raises(SpecError, match=r"dataset\.expect: the counts of the set are missing"):
        make_plan(*load_spec(path))


@pytest.mark.parametrize("key", ["epochs", "gpus", "batch_size"])
@pytest.mark.parametrize("value", ["true", "1.0", "'1'", "1e0", "null"])
def test_a_whole_number_is_nothing_else(key: str, value: str) -> None:
    text = JOB.replace("  epochs: 40\n", "") + f"  {key}: {value}\n"
    if key != "epochs":
        text += "  epochs: 40\n"
    with pytest.raises(SpecError):
        spec_from_text(text)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("imagnet", "did you mean imagenet?"),
        ("cocoa", "did you mean coco?"),
        ("weights/x", "a path of weights ends in .pdparams"),
        ("weights/x.pth", "a path of weights ends in .pdparams"),
    ],
)
def test_a_word_for_weights_that_is_none(value: str, said: str) -> None:
    text = edit("lcnet\n", f"lcnet\n  pretrained: {value}\n")
    with pytest.raises(SpecError, match=re.escape(said)):
        spec_from_text(text)


def test_weights_by_word_path_and_address() -> None:
    for value in ("COCO", "imagenet", "none", "w/x.pdparams", "https://h/x.pdparams"):
        spec_from_text(edit("lcnet\n", f"lcnet\n  pretrained: {value}\n"))
