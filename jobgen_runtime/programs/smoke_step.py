"""Steps of training: python smoke_step.py CONFIG IMAGES EPOCHS SECONDS PROCESSES PICTURES

Builds the very model and reader of CONFIG, goes forward and back on real images, and prints a line
of JSON. IMAGES bounds the batch (0: the config's own). EPOCHS, as 0,100, are those at which the
model begins to train in another way, as with another assigner. Then it measures how fast it
trains, and for twice SECONDS how fast as many processes as PROCESSES read the set's pictures. A few
of these, as the model gets them, are drawn into the folder PICTURES.
"""

import json
import sys
import time

try:
    import cv2  # noqa: F401
except ImportError:
    pass
import paddle
from ppdet.core.workspace import create, load_config
from ppdet.utils.checkpoint import load_pretrain_weight
from reader_speed import look_at_reader  # type: ignore[import-not-found]
from training_pictures import draw_training_pictures  # type: ignore[import-not-found]

# Steps that are timed: on a CPU one takes long enough.
CARD_STEPS, CPU_STEPS = 3, 1
PICTURES = 8


def endless(reader):
    """Batches, from the first again once all were given: an epoch may have a single one."""
    while True:
        given = 0
        for batch in reader:
            given += 1
            yield batch
        if not given:
            sys.exit("the training set gives no batch of %d images" % reader.batch_size)


def images_per_second(step, batch, batch_size, shape, steps):
    """How fast steps are, once the first ones have set up what they use, on images of the last side
    in `shape`: that of a batch is drawn anew each time. None: whatever the batch's is."""
    started = time.time()
    for _ in range(steps):
        step(batch)
    speed = batch_size * steps / (time.time() - started)
    return speed * (batch["image"].shape[-1] / float(shape[-1])) ** 2 if shape else speed


def stepper(cfg):
    """A function that takes a step on a batch and gives its loss; and the model's parameters."""
    model = create(cfg.architecture)
    model.load_meanstd(cfg["TestReader"]["sample_transforms"])
    if cfg.get("pretrain_weights"):
        load_pretrain_weight(model, cfg.pretrain_weights)
    model.train()
    rate = create("LearningRate")(1)
    optimizer = create("OptimizerBuilder")(rate, model)

    def step(data):
        loss = model(data)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return step, sum(int(p.size) for p in model.parameters())


def main() -> None:
    cfg = load_config(sys.argv[1])
    limit = int(sys.argv[2])
    paddle.set_device("gpu" if cfg.use_gpu else "cpu")
    batch_size = cfg.TrainReader["batch_size"]
    if limit:
        batch_size = cfg.TrainReader["batch_size"] = min(batch_size, limit)
    dataset = create("TrainDataset")()
    # Worker processes pay off over many steps only; two steps read their images here.
    reader = create("TrainReader")(dataset, 0)
    batches = endless(reader)
    step, parameters = stepper(cfg)
    losses = []
    started = time.time()
    epochs = [int(number) for number in sys.argv[3].split(",")]
    for epoch in epochs:
        batch = next(batches)
        batch["epoch_id"] = epoch
        losses.append(step(batch))
    seconds = time.time() - started
    batch = next(batches)
    batch["epoch_id"] = epochs[-1]
    shape = (cfg["TestReader"].get("inputs_def") or {}).get("image_shape")
    timed = CPU_STEPS if limit else CARD_STEPS
    speed = images_per_second(step, batch, batch_size, shape, timed)
    reading = look_at_reader(dataset, reader, float(sys.argv[4]), [int(sys.argv[5])])
    drawn = draw_training_pictures(dataset, reader, sys.argv[6], PICTURES)
    print(
        json.dumps(
            {
                "pictures": drawn,
                "images_per_second": round(speed, 2),
                "reading": reading,
                "losses": losses,
                "batch_size": batch_size,
                "seconds": round(seconds, 2),
                "images": len(dataset),
                "parameters": parameters,
            }
        )
    )


if __name__ == "__main__":
    main()
