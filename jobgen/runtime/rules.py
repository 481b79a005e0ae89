"""How the training values hang together: one set of rules for the plan and for the notebook.

The plan uses them when the bundle is built; `configure` uses them again when a
parameter was changed, so that a shorter run keeps the proportions of a long one.
"""

from typing import Any, Dict

# All PP-PicoDet v2 configs obey it: base_lr 0.32 for 64 images on each of 4 cards, and so on.
BASE_LR_PER_IMAGE = 0.00125
WARMUP_STEPS = 300
STATIC_ASSIGNER_EPOCHS = 100
STEPS_PER_EPOCH_WANTED = 10
SMOKE_STEPS = 4
SMOKE_CPU_BATCH = 2


def fitting_batch_size(published: int, train_images: int, gpus: int) -> int:
    """The published batch per card, less where an epoch would have under ten steps."""
    per_card = train_images // gpus
    wanted = max(2, per_card // STEPS_PER_EPOCH_WANTED)
    return max(1, min(published, wanted, per_card))


def linear_base_lr(batch_size: int, gpus: int) -> float:
    """Linear scaling: 0.00125 for every image of a step, over all cards."""
    return round(BASE_LR_PER_IMAGE * batch_size * gpus, 8)


def steps_per_epoch(train_images: int, batch_size: int, gpus: int) -> int:
    """PaddleDetection deals the set out to the cards, then drops the last short batch."""
    return -(-train_images // gpus) // batch_size


def warmup_steps(epochs: int, steps: int) -> int:
    """Upstream's 300 steps, but at most a tenth of the training."""
    return max(1, min(WARMUP_STEPS, epochs * steps // 10))


def static_assigner_epoch(epochs: int) -> int:
    """Where ATSS hands over to TaskAligned: after a third, as 100 of 300 upstream."""
    return max(1, min(STATIC_ASSIGNER_EPOCHS, epochs // 3))


def snapshot_epoch(epochs: int) -> int:
    """Checkpoint and evaluation ten times in a run, and at least every ten epochs."""
    return max(1, min(10, epochs // 10))


def log_iter(steps: int) -> int:
    """A few lines of log an epoch, upstream's every 20 steps at most."""
    return max(1, min(20, steps // 5))


def training_values(
    train_images: int, epochs: int, batch_size: int, base_lr: Any, gpus: int
) -> Dict[str, Any]:
    """The values that follow from the length of the run and the size of a step.

    `base_lr` is a number, or None for the linear rule.
    """
    steps = steps_per_epoch(train_images, batch_size, gpus)
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "base_lr": linear_base_lr(batch_size, gpus) if base_lr is None else base_lr,
        "steps_per_epoch": steps,
        "warmup_steps": warmup_steps(epochs, steps),
        "static_assigner_epoch": static_assigner_epoch(epochs),
        "snapshot_epoch": snapshot_epoch(epochs),
        "log_iter": log_iter(steps),
    }


def smoke_batch_size(batch_size: int, device: str) -> int:
    """A smoke run keeps the batch on a GPU, where it shows that it fits; a CPU takes two images."""
    return batch_size if device == "gpu" else min(batch_size, SMOKE_CPU_BATCH)


def smoke_images(batch_size: int, gpus: int, device: str) -> int:
    """How many training images make the few steps of a smoke run."""
    return SMOKE_STEPS * smoke_batch_size(batch_size, device) * gpus
