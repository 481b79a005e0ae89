"""How long a training takes: reckoned in the notebook from its smoke step, before that from what
other runs took."""

from typing import Any, Dict

# Evaluation goes forward only, and a training step also back and through the optimizer.
EVALUATION_COST = 1 / 3.0
# Of an evaluation, and of an epoch's start: the reader's processes, COCO's figures, the checkpoint.
EVALUATION_START = 3.0
EPOCH_START = 2.0


def evaluations(epochs: int, snapshot_epoch: int) -> int:
    """How often a training evaluates: every so many epochs, and at its end."""
    return -(-epochs // snapshot_epoch)


def train_seconds(values: Dict[str, Any], images_per_second: float, epoch_start: float) -> float:
    """Seconds of a training with these values of the plan, without its evaluations; the speed is
    that of all cards together."""
    images = values["steps_per_epoch"] * values["batch_size"] * values["gpus"]
    return float(values["epochs"] * (images / images_per_second + epoch_start))


def evaluation_seconds(images: int, training: float, reading: float) -> float:
    """Seconds of an evaluation of so many images, where a card trains and a reader reads so many
    images a second."""
    return EVALUATION_START + images * max(EVALUATION_COST / training, 1.0 / reading)


def waiting_share(reading: float, training: float) -> float:
    """The share of its time that training waits for pictures, 0 to 1."""
    return max(0.0, 1.0 - reading / training)
