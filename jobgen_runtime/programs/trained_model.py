"""What a trained model finds: python trained_model.py CONFIG REQUEST ANSWER

REQUEST is a JSON file: `weights` (path), `device` (gpu or cpu), `images` (paths; none: only see
that the weights fit), `suppressed` (false: every box before non-maximum suppression, but for low
scores). ANSWER gets, for each image in its order, a list of
`[class, score, x1, y1, x2, y2]`, boxes in pixels of the image as it lies on disk.
"""

import json
import sys
from typing import Any, List

try:
    import cv2  # noqa: F401
except ImportError:
    pass
import paddle
from ppdet.core.workspace import create, load_config

SHOWN = 3
# Without suppression: what has a lower score can't take another's place over parity's 0.3.
LEAST_SCORE = 0.25


def load_all(model, path):
    """Load weights, every one of them: PaddleDetection's own loader leaves out what does not fit,
    logs it as INFO, and goes on with random numbers."""
    wanted, given = model.state_dict(), paddle.load(path)
    faults = ["%s is missing" % name for name in wanted if name not in given]
    faults += ["%s is in the weights only" % name for name in given if name not in wanted]
    for name in wanted:
        if name in given and list(wanted[name].shape) != list(given[name].shape):
            shapes = (name, list(given[name].shape), list(wanted[name].shape))
            faults.append("%s has the shape %s, the model %s" % shapes)
    if faults:
        text = "; ".join(faults[:SHOWN])
        sys.exit("Error: the weights are another model's: %d faults: %s" % (len(faults), text))
    model.set_dict(given)


def keep_all(model):
    """Turn non-maximum suppression off, wherever the model has it."""
    for layer in model.sublayers(include_self=True):
        for part in vars(layer).values():
            nms: Any
            for nms in (part, getattr(part, "nms", None)):
                if hasattr(nms, "nms_threshold") and hasattr(nms, "keep_top_k"):
                    nms.nms_threshold, nms.score_threshold = 1.0, LEAST_SCORE
                    nms.nms_top_k = nms.keep_top_k = -1


def main():
    with open(sys.argv[2], encoding="utf-8") as stream:
        request = json.load(stream)
    cfg = load_config(sys.argv[1])
    paddle.set_device(request["device"])
    model = create(cfg.architecture)
    model.load_meanstd(cfg["TestReader"]["sample_transforms"])
    load_all(model, request["weights"])
    model.eval()
    if not request["suppressed"]:
        keep_all(model)
    found: List[Any] = [[] for _ in request["images"]]
    if found:
        dataset = create("TestDataset")()
        import numpy as np

        # Its own list of images leaves out endings that training reads, and has no fixed order.
        rows = [(np.array([n]), path) for n, path in enumerate(request["images"])]
        dataset.roidbs = [{"im_id": number, "im_file": path} for number, path in rows]
        answered = set()
        for data in create("TestReader")(dataset, 0):
            outs = model(data)
            number = int(data["im_id"].numpy().ravel()[0])
            answered.add(number)
            rows = outs["bbox"].numpy().tolist() if int(outs["bbox_num"].numpy()[0]) else []
            found[number] = [row for row in rows if row[0] >= 0]
        silent = len(found) - len(answered)
        if silent:
            sys.exit("Error: %d of %d images had no answer" % (silent, len(found)))
    with open(sys.argv[3], "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    print(json.dumps({"images": len(found), "boxes": sum(map(len, found))}))


if __name__ == "__main__":
    main()
