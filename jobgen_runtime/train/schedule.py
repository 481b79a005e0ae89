"""How the training values hang together: one set of rules for the plan and for the notebook.

The plan uses them when the bundle is built; `configure` uses them again when a
parameter was changed, so that a shorter run keeps the proportions of a long one.
"""

from typing import Any, Dict, List

STEPS_PER_EPOCH_WANTED = 10
# PaddleDetection starts its reader's processes anew for every epoch: a second or two that
# fifty steps are worth and ten are not.
STEPS_PER_RESTART = 50
EPOCHS_WANTED = 10
# The tutorial's own run: PicoDet-L 640, 100 epochs of 928 images in 40 minutes on AI Studio.
IMAGES_PER_SECOND = 39
SECONDS_AT_STAKE = 30 * 60
# Half of the 20 GB that a background task may leave behind, and what a checkpoint holds of
# each parameter: the weights, their average and the momentum, 4 bytes each.
CHECKPOINT_ROOM = 10 << 30
BYTES_PER_PARAMETER = 4 * 3
EVAL_BATCHES = (8, 32)
SMOKE_STEPS = 4
SMOKE_CPU_BATCH = 2


def fitting_batch_size(published: int, train_images: int, gpus: int, room: int = 0) -> int:
    """The published batch per card, less where an epoch would have under ten steps, or where
    the card has room for `room` images only (0: not known)."""
    per_card = train_images // gpus
    wanted = max(2, per_card // STEPS_PER_EPOCH_WANTED)
    return max(1, min(published, wanted, per_card, room or published))


def repeats(train_images: int, epochs: int, batch_size: int, gpus: int) -> int:
    """How often an epoch of PaddleDetection shall go through a small set, to have fifty steps.

    A divisor of `epochs`, so that every image is seen as often as was asked for, and one that
    leaves ten epochs for checkpoints and evaluations. A batch larger than the set is most likely
    a slip: it stays one.
    """
    steps = steps_per_epoch(train_images, batch_size, gpus)
    if steps < 1:
        return 1
    most = min(-(-STEPS_PER_RESTART // steps), epochs // EPOCHS_WANTED)
    return max([n for n in range(1, most + 1) if epochs % n == 0] or [1])


def linear_base_lr(batch_size: int, gpus: int, per_image: float) -> float:
    """Linear scaling: so much for every image of a step, over all cards."""
    return round(per_image * batch_size * gpus, 8)


def steps_per_epoch(train_images: int, batch_size: int, gpus: int) -> int:
    """PaddleDetection deals the set out to the cards, then drops the last short batch."""
    return -(-train_images // gpus) // batch_size


def warmup_steps(epochs: int, steps: int, published: Dict[str, int], repeat: int = 1) -> int:
    """The published `steps` or `epochs` in steps, but at most a tenth of the training. What is
    published are passes over the set; an epoch of `steps` has `repeat` of them."""
    wanted = published["steps"] if "steps" in published else published["epochs"] * steps // repeat
    return max(1, min(wanted, epochs * steps // 10))


def part_of(epochs: int, part: Any) -> Any:
    """That part of the epochs, as [1, 3]; at least 1. Of a list of parts each, but none twice: each
    milestone lowers the rate once more."""
    if isinstance(part[0], list):
        return sorted({part_of(epochs, one) for one in part})
    return max(1, epochs * part[0] // part[1])


def turn_epoch(epochs: int, turn: Dict[str, Any], repeat: int = 1) -> int:
    """The epoch from which training works otherwise: at the published part, as 100 of 300. `most`
    counts passes over the set; an epoch has `repeat` of them."""
    found: int = part_of(epochs, turn["part"])
    return found if turn["most"] is None else min(found, max(1, turn["most"] // repeat))


def schedulers(family: Dict[str, Any], epochs: int, warmup: int) -> List[Dict[str, Any]]:
    """The learning rate's schedulers for so many epochs, the last a warm-up of `warmup` steps; a
    list of the config, so always whole. What is a pair in the family's is a part of the epochs."""
    found = []
    for row in family["schedule"]:
        values = {k: part_of(epochs, v) if isinstance(v, list) else v for k, v in row.items()}
        if values.get("last_plateau_epochs", 0) * 4 > epochs:
            values["last_plateau_epochs"] = 0  # as short a run would be a plateau only
        found.append(values)
    found[-1]["steps"] = warmup
    return found


def norm_type(gpus: int) -> str:
    """Batch norm over all cards needs several; on one it is plain batch norm, and a CPU stops at
    it."""
    return "sync_bn" if gpus > 1 else "bn"


def snapshot_epoch(epochs: int, epoch_images: int, parameters: float) -> int:
    """Checkpoint and evaluation ten times in a run, at least every ten epochs and every half an
    hour of training; but never more checkpoints than the platform lets a job leave behind.

    `epoch_images` are the images of one epoch, `parameters` the model's in millions.
    """
    at_stake = int(SECONDS_AT_STAKE * IMAGES_PER_SECOND / max(1, epoch_images))
    often = max(1, min(10, epochs // 10, at_stake))
    kept = max(1, int(CHECKPOINT_ROOM / (parameters * 1e6 * BYTES_PER_PARAMETER)))
    return max(often, -(-epochs // kept))


def eval_batch_size(batch_size: int) -> int:
    """Evaluation keeps no gradients, so what training fits it fits too: upstream's 8 at least."""
    return max(EVAL_BATCHES[0], min(EVAL_BATCHES[1], batch_size))


def log_iter(steps: int) -> int:
    """A few lines of log an epoch, upstream's every 20 steps at most."""
    return max(1, min(20, steps // 5))


def training_values(
    train_images: int,
    epochs: int,
    batch_size: int,
    base_lr: Any,
    gpus: int,
    repeat: int,
    parameters: float,
    family: Dict[str, Any],
) -> Dict[str, Any]:
    """The values that follow from the length of the run and the size of a step.

    `epochs` are PaddleDetection's, of `repeat` passes over the set each; `base_lr` is a
    number, or None for the linear rule; `parameters` are the model's, in millions; `family` is
    what the bundle carries of the model's family.
    """
    epoch_images = train_images * repeat
    steps = steps_per_epoch(epoch_images, batch_size, gpus)
    if base_lr is None:
        base_lr = linear_base_lr(batch_size, gpus, family["base_lr_per_image"])
    found: Dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "base_lr": base_lr,
        "repeat": repeat,
        "steps_per_epoch": steps,
        "warmup_steps": warmup_steps(epochs, steps, family["warmup"], repeat),
        "snapshot_epoch": snapshot_epoch(epochs, epoch_images, parameters),
        "log_iter": log_iter(steps),
        "eval_batch_size": eval_batch_size(batch_size),
    }
    if "norm_type" in family["paths"]:
        found["norm_type"] = norm_type(gpus)
    for name, turn in family["turns"].items():
        found[name] = turn_epoch(epochs, turn, repeat)
    return found


def halved(values: Dict[str, Any]) -> Dict[str, Any]:
    """The values with half the batch, the learning rate with it, and the schedule in its steps;
    what was overridden stays."""
    images = values["train_images"] * values["repeat"]
    batch_size = max(1, values["batch_size"] // 2)
    steps = steps_per_epoch(images, batch_size, values["gpus"])
    warmup = values["family"]["warmup"]
    less = {
        "batch_size": batch_size,
        "base_lr": round(values["base_lr"] * batch_size / values["batch_size"], 8),
        "steps_per_epoch": steps,
        "warmup_steps": warmup_steps(values["epochs"], steps, warmup, values["repeat"]),
        "eval_batch_size": eval_batch_size(batch_size),
    }
    return dict(values, **{k: v for k, v in less.items() if k not in values["overridden"]})


def smoke_batch_size(batch_size: int, device: str) -> int:
    """A smoke run keeps the batch on a GPU, where it shows that it fits; a CPU takes two images."""
    return batch_size if device == "gpu" else min(batch_size, SMOKE_CPU_BATCH)


def smoke_images(batch_size: int, gpus: int, device: str) -> int:
    """How many training images make the few steps of a smoke run."""
    return SMOKE_STEPS * smoke_batch_size(batch_size, device) * gpus
