"""A step of training in some epochs: python smoke_step.py CONFIG IMAGES EPOCHS

Builds the very model and reader of CONFIG, goes forward and back on real images, and prints a line
of JSON. IMAGES bounds the batch (0: the config's own). EPOCHS, as 0,100, are those at which the
model begins to train in another way, as with another assigner.
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
    batches = iter(reader)
    model = create(cfg.architecture)
    model.load_meanstd(cfg["TestReader"]["sample_transforms"])
    if cfg.get("pretrain_weights"):
        load_pretrain_weight(model, cfg.pretrain_weights)
    model.train()
    rate = create("LearningRate")(1)
    optimizer = create("OptimizerBuilder")(rate, model)
    losses = []
    epochs = [int(number) for number in sys.argv[3].split(",")]
    started = time.time()
    for epoch in epochs:
        data = next(batches, None)
        if data is None:  # an epoch may have a single batch
            batches = iter(reader)
            data = next(batches, None)
        if data is None:
            sys.exit("the training set gives no batch of %d images" % batch_size)
        data["epoch_id"] = epoch
        loss = model(data)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    print(
        json.dumps(
            {
                "losses": losses,
                "batch_size": batch_size,
                "seconds": round(time.time() - started, 2),
                "images": len(dataset),
                "parameters": sum(int(p.size) for p in model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
