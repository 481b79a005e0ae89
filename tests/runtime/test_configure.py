import hashlib
from pathlib import Path
from typing import Any

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.train.configure import (
    changed_keys,
    copy_configs,
    merge_dicts,
    roomier_lists,
    run_values,
    smoke_values,
    write_run_config,
    yaml_block,
    yaml_scalar,
)
from jobgen_runtime.train.schedule import training_values
from tests.runtime.standin import FAMILY

PLAN = dict(
    training_values(928, 100, 12, None, 1, 1, 5.8, FAMILY),
    gpus=1,
    parameters=5.8,
    train_images=928,
    worker_num=4,
    overridden=[],
    family=FAMILY,
)
PLACE = {
    "most_boxes": 9,
    "dataset_dir": "/h/datasets/s",
    "train_images": 928,
    "unpacked": "/h/datasets",
    "train": {"image_dir": "img", "anno_path": "train.json"},
    "eval": {"image_dir": "img", "anno_path": "val.json"},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.015, "0.015"),
        (1e-05, "1.0e-05"),
        (1e20, "1.0e+20"),
        ("yes", '"yes"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\nb", '"a\\u000ab"'),
        ("船", '"船"'),
        ([1, "a"], '[1, "a"]'),
        ({"a": [{}]}, '{"a": [{}]}'),
    ],
)
def test_scalars(value: object, text: str) -> None:
    assert yaml_scalar(value) == text


def test_blocks() -> None:
    text = yaml_block({"a": {"b": 1, "c d": []}, "e": {}})
    assert text == 'a:\n  b: 1\n  "c d": []\ne: {}\n'


def test_merging_is_upstreams() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge_dicts(base, {"a": {"c": [3]}, "d": {"e": 1}}) == {
        "a": {"b": 1, "c": [3]},
        "d": {"e": 1},
    }
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def values(epochs: int = 100, batch: int = 12, lr: object = None, images: int = 928) -> dict:
    return run_values(PLAN, epochs, batch, lr, 1, 1, images)  # type: ignore[arg-type]


def test_an_unchanged_run_changes_only_the_workers(run: Outcome) -> None:
    assert changed_keys(PLAN, values()) == {"worker_num": 1}


def test_a_shorter_run_moves_all_that_hangs_on_it(run: Outcome) -> None:
    changed = changed_keys(PLAN, values(epochs=3))
    assert changed["epoch"] == 3
    assert changed["Head"] == {"static_epoch": 1}
    assert changed["snapshot_epoch"] == 1
    assert changed["LearningRate"] == {
        "schedulers": [
            {"name": "CosineDecay", "max_epochs": 3},
            {"name": "LinearWarmup", "start_factor": 0.1, "steps": 23},
        ]
    }


def test_no_box_is_dropped_for_lack_of_room(run: Outcome) -> None:
    """YOLOv3's reader takes 50 boxes of an image, and two images are mixed into one."""
    steps: Any = [{"NormalizeBox": {}}, {"PadBox": {"num_max_boxes": 50}}, {"Permute": {}}]
    family = dict(PLAN["family"], padded={"boxes": 50, "images": 2, "batch_transforms": steps})
    assert roomier_lists(family, 25) == {}
    found = roomier_lists(family, 130)["TrainReader"]
    assert found["inputs_def"] == {"num_max_boxes": 260}
    assert found["batch_transforms"][1] == {"PadBox": {"num_max_boxes": 260}}
    assert [list(step) for step in found["batch_transforms"]] == [list(step) for step in steps]
    assert roomier_lists(PLAN["family"], 10_000) == {}
    (told,) = run.data["adjustments"]
    assert (told["planned"], told["used"]) == (50, 260)


def test_the_learning_rate_follows_the_batch_unless_it_is_given(run: Outcome) -> None:
    assert values(batch=6)["base_lr"] == 0.0075
    assert values(batch=6, lr=0.3)["base_lr"] == 0.3
    assert changed_keys(PLAN, values(batch=6))["TrainReader"] == {"batch_size": 6}


def test_what_was_overridden_stays(run: Outcome) -> None:
    plan = dict(PLAN, snapshot_epoch=2, overridden=["snapshot_epoch"])
    found = run_values(plan, 200, 12, None, 1, 4, 928)
    assert found["snapshot_epoch"] == 2
    assert found["switch_epoch"] == 66


def test_a_set_smaller_than_a_batch_can_not_train(run: Outcome) -> None:
    with pytest.raises(StageError) as caught:
        values(images=11)
    assert caught.value.message == (
        "11 training images are fewer than one batch of 12 on 1 card(s)"
    )


def test_smoke_values(run: Outcome) -> None:
    found = smoke_values(PLAN, 12, 1, 4, 8, "cpu")
    assert (found["epochs"], found["batch_size"], found["steps_per_epoch"]) == (1, 2, 4)
    assert found["base_lr"] == 0.0025
    assert smoke_values(PLAN, 12, 1, 4, 1, "cpu")["batch_size"] == 1


def test_a_smoke_run_goes_through_a_repeated_set_once(run: Outcome) -> None:
    plan = dict(PLAN, **training_values(160, 10, 16, None, 1, 4, 5.8, FAMILY), train_images=160)
    found = smoke_values(plan, 16, 1, 4, 8, "cpu")
    assert (found["repeat"], found["steps_per_epoch"]) == (1, 4)
    assert changed_keys(plan, found)["TrainDataset"] == {"repeat": 1}


def test_a_shorter_run_keeps_the_passes_of_an_epoch(run: Outcome) -> None:
    plan = dict(PLAN, **training_values(160, 10, 16, None, 1, 4, 5.8, FAMILY), train_images=160)
    found = run_values(plan, 2, 16, None, 1, 4, 160)
    assert (found["repeat"], found["steps_per_epoch"]) == (4, 40)


def put(home: Path, name: str, text: str) -> str:
    (home / name).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_files_are_copied_as_they_are(tmp_path: Path, run: Outcome) -> None:
    hashes = {"d.yml": put(tmp_path, "d.yml", "a: 1\n"), "m.yml": put(tmp_path, "m.yml", "b: 1\n")}
    clone = tmp_path / "clone"
    path = copy_configs(str(tmp_path), str(clone), "d.yml", "m.yml", hashes, "family")
    assert path == str(clone / "configs" / "family" / "m.yml")
    assert (clone / "configs" / "datasets" / "d.yml").read_text() == "a: 1\n"
    with pytest.raises(StageError, match=r"m\.yml is not the file that was built"):
        copy_configs(
            str(tmp_path), str(clone), "d.yml", "m.yml", dict(hashes, **{"m.yml": "0"}), "family"
        )
    (tmp_path / "d.yml").unlink()
    with pytest.raises(StageError, match=r"d\.yml is not in"):
        copy_configs(str(tmp_path), str(clone), "d.yml", "m.yml", hashes, "family")


def test_the_run_config_holds_only_what_differs(tmp_path: Path, run: Outcome) -> None:
    model = tmp_path / "m.yml"
    path = write_run_config(
        str(model), PLACE, PLAN, values(epochs=3), "cpu", "", "/h/output/s/checkpoints"
    )
    assert path == str(tmp_path / "m.run.yml")
    text = Path(path).read_text()
    assert text.startswith('_BASE_: ["m.yml"]\nTrainDataset:\n  image_dir: "img"\n')
    assert 'save_dir: "/h/output/s/checkpoints"\n' in text
    assert "pretrain_weights: null\n" in text
    assert "use_gpu: false\n" in text
    assert "batch_size" not in text
    assert run.data["run_config"]["epoch"] == 3
