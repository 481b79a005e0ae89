"""What a trained model finds: python trained_model.py CONFIG REQUEST ANSWER

REQUEST is a JSON file: `weights` (path), `device` (gpu or cpu), `images` (paths; none: only see
that the weights fit), `suppressed` (false: every box before non-maximum suppression, but for low
scores), `tiles` (null, or their `size` and `overlap`, in which larger images are read, and the
`iou` over which two of their boxes are one). ANSWER gets, for each image in its order, a list of
`[class, score, x1, y1, x2, y2]`, boxes in pixels of the image as it lies on disk.
"""

import json
import sys
from typing import Any, List

# OpenCV before Paddle, as run_tool.py has it.
import cv2
import numpy as np
import paddle
from ppdet.core.workspace import create, load_config
from tiles import merged, tiles_of  # type: ignore[import-not-found]

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


class Parts:
    """What the reader is given: the images, or the tiles of each, and the whole of it last. An
    image is decoded once for all of its tiles, and no more than one is held."""

    def __init__(self, paths, tiles):
        self.paths, self.held = paths, None
        self.rows = []
        for number, path in enumerate(paths):
            self.rows += [(number, corners) for corners in self.corners(path, tiles)]

    def corners(self, path, tiles):
        if not tiles:
            return [None]
        height, width = self.pixels(path).shape[:2]
        found = tiles_of(width, height, tiles["size"], tiles["overlap"])
        return found + [(0, 0, width, height)] if len(found) > 1 else [None]

    def pixels(self, path):
        if self.held is None or self.held[0] != path:
            with open(path, "rb") as stream:
                image = cv2.imdecode(np.frombuffer(stream.read(), dtype="uint8"), 1)
            if image is None:
                sys.exit("Error: %s is no image that OpenCV can read" % path)
            self.held = (path, image)
        return self.held[1]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        number, corners = self.rows[place]
        row = {"im_id": np.array([place]), "im_file": self.paths[number]}
        if corners is not None:
            left, top, right, bottom = corners
            part = self.pixels(self.paths[number])[top:bottom, left:right]
            # A file in memory, as the reader's first step expects one; BMP loses nothing.
            row["image"] = cv2.imencode(".bmp", np.ascontiguousarray(part))[1].tobytes()
        return row


def boxes_in(model, parts):
    """The rows of each part that the reader is given. Ends where one has no answer."""
    dataset = create("TestDataset")()
    # Its own list of images leaves out endings that training reads, and has no fixed order.
    dataset.roidbs = parts
    found: List[Any] = [None for _ in parts.rows]
    for data in create("TestReader")(dataset, 0):
        outs = model(data)
        rows = outs["bbox"].numpy().tolist() if int(outs["bbox_num"].numpy()[0]) else []
        found[int(data["im_id"].numpy().ravel()[0])] = [row for row in rows if row[0] >= 0]
    silent = sum(rows is None for rows in found)
    if silent:
        sys.exit("Error: %d of %d images had no answer" % (silent, len(found)))
    return found


def by_image(parts, found, tiles):
    """The rows of each image, those of its tiles merged."""
    images: List[Any] = [[] for _ in parts.paths]
    for (number, corners), rows in zip(parts.rows, found):
        images[number].append((corners, rows))
    for number, of_parts in enumerate(images):
        if of_parts[0][0] is None:
            images[number] = of_parts[0][1]
        else:
            _, _, width, height = of_parts[-1][0]
            images[number] = merged(of_parts, width, height, tiles["iou"])
    return images


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
    found: List[Any] = []
    if request["images"]:
        parts = Parts(request["images"], request["tiles"])
        found = by_image(parts, boxes_in(model, parts), request["tiles"])
    with open(sys.argv[3], "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    print(json.dumps({"images": len(found), "boxes": sum(map(len, found))}))


if __name__ == "__main__":
    main()
