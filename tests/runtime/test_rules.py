import pytest

from jobgen_runtime.train import schedule as rules
from tests.runtime.standin import FAMILY


def test_the_published_values_obey_the_linear_rule() -> None:
    # configs/picodet of PaddleDetection: batch per card and base_lr for 4 cards.
    for batch, base_lr in ((64, 0.32), (56, 0.28), (48, 0.24), (24, 0.12), (12, 0.06)):
        assert rules.linear_base_lr(batch, 4, 0.00125) == base_lr


@pytest.mark.parametrize(
    ("published", "images", "gpus", "expected"),
    [
        (12, 928, 1, 12),
        (64, 160, 1, 16),
        (64, 205, 1, 20),
        (64, 15, 1, 2),
        (64, 1, 1, 1),
        (64, 1280, 4, 32),
        (12, 3, 1, 2),
    ],
)
def test_the_batch_fits_the_set(published: int, images: int, gpus: int, expected: int) -> None:
    assert rules.fitting_batch_size(published, images, gpus) == expected
    assert rules.steps_per_epoch(images, expected, gpus) >= 1


def test_the_values_of_a_hand_made_run() -> None:
    # 160 images of SSDD, batch 16, 40 epochs: the run that reached mAP@0.5 0.6.
    found = rules.training_values(160, 40, 16, None, 1, 1, 0.7, FAMILY)
    assert found["base_lr"] == 0.02
    assert (found["steps_per_epoch"], found["warmup_steps"]) == (10, 40)
    assert (found["switch_epoch"], found["snapshot_epoch"]) == (13, 4)


@pytest.mark.parametrize("epochs", [1, 2, 7, 100, 300, 1000])
def test_proportions_hold_for_every_length(epochs: int) -> None:
    found = rules.training_values(928, epochs, 12, None, 1, 1, 5.8, FAMILY)
    total = epochs * found["steps_per_epoch"]
    assert 1 <= found["warmup_steps"] <= max(1, total // 10)
    assert 1 <= found["switch_epoch"] <= max(1, epochs // 2)
    assert 1 <= found["snapshot_epoch"] <= 10
    assert 1 <= found["log_iter"] <= found["steps_per_epoch"]


def test_the_batch_fits_the_card() -> None:
    assert rules.fitting_batch_size(12, 928, 1, room=15) == 12
    assert rules.fitting_batch_size(12, 928, 1, room=3) == 3


@pytest.mark.parametrize(
    ("images", "epochs", "batch", "gpus", "expected"),
    [
        (928, 100, 12, 1, 1),  # 77 steps already
        (160, 40, 16, 1, 4),  # 10 steps: five passes would be enough, four leave ten epochs
        (205, 100, 20, 1, 5),
        (205, 97, 20, 1, 1),  # a prime number of epochs can't be dealt out
        (20, 100, 2, 1, 5),
        (160, 100, 16, 2, 10),
        (160, 10, 16, 1, 1),
        (8, 1000, 64, 1, 1),  # fewer images than a batch
    ],
)
def test_small_sets_are_repeated(
    images: int, epochs: int, batch: int, gpus: int, expected: int
) -> None:
    found = rules.repeats(images, epochs, batch, gpus)
    assert found == expected
    assert epochs % found == 0


def test_repeating_keeps_the_schedule_in_steps() -> None:
    plain = rules.training_values(160, 40, 16, None, 1, 1, 0.7, FAMILY)
    dealt = rules.training_values(160, 10, 16, None, 1, 4, 0.7, FAMILY)
    assert dealt["epochs"] * dealt["steps_per_epoch"] == 400
    assert dealt["warmup_steps"] == plain["warmup_steps"]
    assert (dealt["snapshot_epoch"], dealt["steps_per_epoch"]) == (1, 40)


def test_a_snapshot_is_due_every_half_an_hour() -> None:
    assert rules.snapshot_epoch(100, 928, 5.8) == 10
    assert rules.snapshot_epoch(100, 20000, 5.8) == 3
    assert rules.snapshot_epoch(100, 118287, 5.8) == 1


def test_snapshots_stay_within_what_a_task_may_leave() -> None:
    assert rules.snapshot_epoch(1000, 118287, 5.8) == 7
    kept = -(-1000 // 7) * 5.8e6 * rules.BYTES_PER_PARAMETER
    assert kept <= rules.CHECKPOINT_ROOM


def test_evaluation_takes_the_batch_of_training_within_bounds() -> None:
    assert [rules.eval_batch_size(n) for n in (2, 12, 64)] == [8, 12, 32]


def test_cards_share_the_set() -> None:
    assert rules.steps_per_epoch(101, 10, 2) == 5
    assert rules.linear_base_lr(10, 2, 0.00125) == 0.025


def test_a_smoke_run_is_small_on_a_cpu_and_whole_on_a_gpu() -> None:
    assert rules.smoke_batch_size(12, "cpu") == 2
    assert rules.smoke_batch_size(12, "gpu") == 12
    assert rules.smoke_images(12, 1, "cpu") == 8


def test_a_family_without_a_switch_has_no_epoch_for_one() -> None:
    found = rules.training_values(160, 40, 16, None, 1, 1, 0.7, dict(FAMILY, turns={}))
    assert "switch_epoch" not in found
    assert "norm_type" not in found


def test_a_schedule_keeps_its_proportions() -> None:
    """YOLOv3's: 216 and 243 of 270; PP-YOLOE's: a cosine over 6/5 of the epochs, five of warm-up."""
    steps = {
        "schedule": [
            {"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [[4, 5], [9, 10]]},
            {"name": "LinearWarmup", "start_factor": 0.0},
        ]
    }
    assert rules.schedulers(steps, 270, 4000) == [
        {"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [216, 243]},
        {"name": "LinearWarmup", "start_factor": 0.0, "steps": 4000},
    ]
    assert rules.schedulers(steps, 20, 7)[0]["milestones"] == [16, 18]
    cosine = dict(FAMILY, schedule=[{"name": "CosineDecay", "max_epochs": [6, 5]}, {"name": "W"}])
    assert rules.schedulers(cosine, 80, 1)[0]["max_epochs"] == 96
    assert rules.warmup_steps(80, 100, {"epochs": 5}) == 500
    assert rules.warmup_steps(20, 100, {"epochs": 5}) == 200  # a tenth of all


def test_norm_over_cards_only_where_there_are_several() -> None:
    family = dict(FAMILY, paths=dict(FAMILY["paths"], norm_type=["norm_type"]))
    for gpus, norm in ((1, "bn"), (4, "sync_bn")):
        found = rules.training_values(160, 40, 8, None, gpus, 1, 0.7, family)
        assert found["norm_type"] == norm


def test_passes_are_published_and_epochs_counted() -> None:
    """An epoch of several passes is as many fewer epochs of warm-up, and of the bound of a turn."""
    published = {"epochs": 5}
    assert rules.warmup_steps(200, 10, published) == 50
    assert rules.warmup_steps(100, 20, published, repeat=2) == 50
    turn = {"part": [1, 3], "most": 100}
    assert rules.turn_epoch(600, turn) == 100
    assert rules.turn_epoch(300, turn, repeat=2) == 50


def test_a_short_run_lowers_its_rate_once() -> None:
    steps = {
        "schedule": [{"name": "P", "milestones": [[43, 65], [54, 65], [61, 65]]}, {"name": "W"}]
    }
    assert rules.schedulers(steps, 2, 1)[0]["milestones"] == [1]
    plateau = {"schedule": [{"name": "C", "last_plateau_epochs": [1, 20]}, {"name": "W"}]}
    assert rules.schedulers(plateau, 300, 1)[0]["last_plateau_epochs"] == 15
    assert rules.schedulers(plateau, 2, 1)[0]["last_plateau_epochs"] == 0


def test_half_the_batch_leaves_what_was_overridden() -> None:
    values = {"train_images": 160, "repeat": 1, "gpus": 1, "epochs": 40, "batch_size": 16,
              "base_lr": 0.02, "eval_batch_size": 1, "family": FAMILY,
              "overridden": ["eval_batch_size"]}  # fmt: skip
    less = rules.halved(values)
    assert (less["batch_size"], less["base_lr"], less["steps_per_epoch"]) == (8, 0.01, 20)
    assert less["eval_batch_size"] == 1
