"""A step of a classifier's training: python class_step.py CONFIG IMAGES

Builds the very model and reader of CONFIG, goes forward and back on real images, and prints a line
of JSON. IMAGES bounds the batch (0: the config's own). `begun` counts the weights that those of the
config's `pretrained_model` gave, of `parameters` arrays.
"""

import json
import os
import sys
import time

try:
    import cv2  # noqa: F401
except ImportError:
    pass
import paddle
from ppcls.engine.engine import Engine
from ppcls.utils import config as configs


def fitting(model, path):
    """How many arrays of the weights have name and shape of one of the model's."""
    if not path:
        return 0
    given = paddle.load(path + ".pdparams")
    wanted = model.state_dict()
    return sum(
        1
        for name in wanted
        if name in given and list(wanted[name].shape) == list(given[name].shape)
    )


def main() -> None:
    config = configs.get_config(sys.argv[1], show=False)
    limit = int(sys.argv[2])
    sampler = config["DataLoader"]["Train"]["sampler"]
    if limit:
        sampler["batch_size"] = min(sampler["batch_size"], limit)
    batch_size = sampler["batch_size"]
    # Worker processes pay off over many steps only.
    config["DataLoader"]["Train"]["loader"]["num_workers"] = 0
    # The checkpoints' folder is the training's alone.
    config["Global"]["output_dir"] = os.path.join(os.path.dirname(sys.argv[1]), "smoke")
    config["profiler_options"] = None
    engine = Engine(config, mode="train")
    engine.model.train()
    started = time.time()
    images, labels = next(iter(engine.train_dataloader))
    with engine.auto_cast(is_eval=False):
        outputs = engine.model(images)
        loss = engine.train_loss_func(outputs, labels.reshape([images.shape[0], -1]))
    engine.scaler.scale(loss["loss"]).backward()
    engine.scaler.step(engine.optimizer[0])
    engine.scaler.update()
    print(
        json.dumps(
            {
                "losses": [float(loss["loss"])],
                "batch_size": batch_size,
                "seconds": round(time.time() - started, 2),
                "images": len(engine.train_dataloader.dataset),
                "begun": fitting(engine.model, config["Global"]["pretrained_model"]),
                "arrays": len(engine.model.state_dict()),
                "parameters": sum(int(p.size) for p in engine.model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
