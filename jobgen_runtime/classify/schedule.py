"""How the values of a classification's training hang together: for the plan and the notebook."""

from typing import Any, Dict, List, Optional

WARMUP_EPOCHS = 5
# More would cost memory and no accuracy: the published 512 are for ImageNet's 1.3 million images.
LARGEST_BATCH = 64
STEPS_PER_EPOCH_WANTED = 10
EVAL_BATCHES = (8, 64)
# Value of the plan -> its key in a config of PaddleClas.
PATHS: Dict[str, List[str]] = {
    "epochs": ["Global", "epochs"],
    "snapshot_epoch": ["Global", "save_interval"],
    "log_iter": ["Global", "print_batch_step"],
    "batch_size": ["DataLoader", "Train", "sampler", "batch_size"],
    "eval_batch_size": ["DataLoader", "Eval", "sampler", "batch_size"],
    "worker_num": ["DataLoader", "Train", "loader", "num_workers"],
    "base_lr": ["Optimizer", "lr", "learning_rate"],
    "warmup_epochs": ["Optimizer", "lr", "warmup_epoch"],
}


def fitting_class_batch(train_images: int, gpus: int) -> int:
    """The largest batch per card of which an epoch still has ten steps."""
    per_card = train_images // gpus
    return max(1, min(LARGEST_BATCH, max(2, per_card // STEPS_PER_EPOCH_WANTED), per_card))


def class_values(
    train_images: int,
    epochs: int,
    batch_size: int,
    base_lr: Optional[float],
    gpus: int,
    per_image: float,
) -> Dict[str, Any]:
    """Every training value that follows from these. `per_image` is the published rate for one
    image of a step, over all cards: the linear rule where `base_lr` is None."""
    steps = -(-train_images // (batch_size * gpus))  # the last, short batch is trained on too
    if base_lr is None:
        base_lr = round(per_image * batch_size * gpus, 8)
    least, most = EVAL_BATCHES
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "base_lr": base_lr,
        "gpus": gpus,
        "train_images": train_images,
        "steps_per_epoch": steps,
        "warmup_epochs": min(WARMUP_EPOCHS, epochs // 10),
        "snapshot_epoch": max(1, min(10, epochs // 10)),
        "log_iter": max(1, min(20, steps // 5)),
        "eval_batch_size": max(least, min(most, batch_size)),
    }
