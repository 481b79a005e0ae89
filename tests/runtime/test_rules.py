import pytest

from jobgen.runtime import rules


def test_the_published_values_obey_the_linear_rule() -> None:
    # configs/picodet of PaddleDetection: batch per card and base_lr for 4 cards.
    for batch, base_lr in ((64, 0.32), (56, 0.28), (48, 0.24), (24, 0.12), (12, 0.06)):
        assert rules.linear_base_lr(batch, 4) == base_lr


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
    found = rules.training_values(160, 40, 16, None, 1)
    assert found["base_lr"] == 0.02
    assert (found["steps_per_epoch"], found["warmup_steps"]) == (10, 40)
    assert (found["static_assigner_epoch"], found["snapshot_epoch"]) == (13, 4)


@pytest.mark.parametrize("epochs", [1, 2, 7, 100, 300, 1000])
def test_proportions_hold_for_every_length(epochs: int) -> None:
    found = rules.training_values(928, epochs, 12, None, 1)
    total = epochs * found["steps_per_epoch"]
    assert 1 <= found["warmup_steps"] <= max(1, total // 10)
    assert 1 <= found["static_assigner_epoch"] <= max(1, epochs // 2)
    assert 1 <= found["snapshot_epoch"] <= 10
    assert 1 <= found["log_iter"] <= found["steps_per_epoch"]


def test_cards_share_the_set() -> None:
    assert rules.steps_per_epoch(101, 10, 2) == 5
    assert rules.linear_base_lr(10, 2) == 0.025


def test_a_smoke_run_is_small_on_a_cpu_and_whole_on_a_gpu() -> None:
    assert rules.smoke_batch_size(12, "cpu") == 2
    assert rules.smoke_batch_size(12, "gpu") == 12
    assert rules.smoke_images(12, 1, "cpu") == 8
