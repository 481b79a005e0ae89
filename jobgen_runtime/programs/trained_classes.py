"""What a trained classifier says: python trained_classes.py CONFIG REQUEST ANSWER

REQUEST is a JSON file: `weights` (path), `device` (gpu or cpu), `images` (paths; none: only see
that the weights fit). ANSWER gets, for each image in its order, the score of every class, from 0
to 1, their sum 1.
"""

import json
import sys

try:
    import cv2  # noqa: F401
except ImportError:
    pass
import numpy as np
import paddle
from ppcls.arch import build_model
from ppcls.data import create_operators
from ppcls.utils import config as configs

BATCH = 16


def load_all(model, path):
    """Load weights, every one of them: Paddle's own loader leaves out what does not fit."""
    wanted, given = model.state_dict(), paddle.load(path)
    unlike = [
        name
        for name in wanted
        if name not in given or list(wanted[name].shape) != list(given[name].shape)
    ]
    unlike += [name for name in given if name not in wanted]
    if unlike:
        text = "%d faults: %s" % (len(unlike), ", ".join(unlike[:3]))
        sys.exit("Error: the weights are another model's: %s" % text)
    model.set_state_dict(given)


def main():
    with open(sys.argv[2], encoding="utf-8") as stream:
        request = json.load(stream)
    config = configs.get_config(sys.argv[1], show=False)
    paddle.set_device(request["device"])
    model = build_model(config, "eval")
    load_all(model, request["weights"])
    model.eval()
    steps = create_operators(config["Infer"]["transforms"])
    found = []
    images = request["images"]
    for start in range(0, len(images), BATCH):
        batch = []
        for path in images[start : start + BATCH]:
            with open(path, "rb") as stream:
                data = stream.read()
            for step in steps:
                data = step(data)
            batch.append(data)
        with paddle.no_grad():
            outputs = model(paddle.to_tensor(np.stack(batch)))
        found += paddle.nn.functional.softmax(outputs, axis=-1).numpy().tolist()
    with open(sys.argv[3], "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    print(json.dumps({"images": len(found)}))


if __name__ == "__main__":
    main()
