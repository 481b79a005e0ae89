"""Find objects with an exported detector: python detect.py MODEL IMAGE ... [--threshold 0.5]

MODEL is a folder with infer_cfg.yml and model.pdmodel or model.json (Paddle Inference), or an
.onnx file in such a folder (onnxruntime), or the file of another form, with its engine.py. What
is done to an image before it goes in is read from infer_cfg.yml. Needs numpy, OpenCV, PyYAML, and
the runtime of the form; nothing of PaddleDetection.

Prints a line of JSON for each image: its path, and a list of boxes with class, score, and
x1, y1, x2, y2 in its pixels. --tiles 640 reads larger images in tiles of that side, for small
objects; tiles.py has to lie beside. --images FILE names the images in a JSON file; --answer FILE
takes all that was found, as lists of [class number, score, x1, y1, x2, y2].
"""

import argparse
import json
import os

import cv2
import numpy as np
import yaml

MODEL_FILES = ("model.pdmodel", "model.json")


def read_image(path):
    """RGB, uint8, [height, width, 3]; turned as its EXIF data says."""
    with open(path, "rb") as stream:
        image = cv2.imdecode(np.frombuffer(stream.read(), dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit("Error: %s is no image that OpenCV can read" % path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def prepare(image, steps):
    """The steps of infer_cfg.yml's Preprocess: the input, float32 [1, 3, height, width], and the
    scale [y, x] by which the image was resized."""
    scale = [1.0, 1.0]
    for step in steps:
        kind = step["type"]
        if kind == "Resize":
            height, width = step["target_size"]
            scale = [height / float(image.shape[0]), width / float(image.shape[1])]
            if step.get("keep_ratio", True):
                scale = [min(scale)] * 2
            image = cv2.resize(
                image, None, None, fx=scale[1], fy=scale[0], interpolation=step.get("interp", 1)
            )
        elif kind == "NormalizeImage":
            image = image.astype(np.float32)
            if step.get("is_scale", True):
                image *= 1.0 / 255.0
            if step.get("norm_type", "mean_std") == "mean_std":
                image -= np.array(step["mean"], dtype=np.float32)
                image /= np.array(step["std"], dtype=np.float32)
        elif kind == "Permute":
            image = image.transpose((2, 0, 1))
        elif kind == "Pad":
            height, width = step["size"]
            whole = np.full((height, width, 3), step["fill_value"], dtype=np.float32)
            whole[: image.shape[0], : image.shape[1]] = image
            image = whole
        elif kind == "PadStride":
            stride = step["stride"] or 1
            bottom, right = -image.shape[1] % stride, -image.shape[2] % stride
            image = np.pad(image, ((0, 0), (0, bottom), (0, right)), mode="constant")
        else:
            raise SystemExit("Error: infer_cfg.yml wants %s, which is not known here" % kind)
    image = np.ascontiguousarray(image[None], dtype=np.float32)
    return image, np.array([scale], dtype=np.float32)


def overlaps(box, others):
    """Intersection over union of one box with each of the others."""
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return both / np.maximum(np.prod(box[2:] - box[:2]) + areas - both, 1e-12)


def suppress(boxes, scores, nms):
    """Non-maximum suppression, each class for itself: `boxes` [N, 4], `scores` [classes, N].
    Gives rows of class, score and box, the highest score first."""
    found = []
    for number, row in enumerate(scores):
        order = np.argsort(-row, kind="stable")
        order = order[row[order] > nms["score_threshold"]][: nms["nms_top_k"]]
        while len(order):
            first, order = order[0], order[1:]
            found.append([number, float(row[first])] + boxes[first].tolist())
            order = order[overlaps(boxes[first], boxes[order]) <= nms["nms_threshold"]]
    return sorted(found, key=lambda row: -row[1])[: nms["keep_top_k"]]


class PaddleForm:
    """An exported model in Paddle Inference, on the CPU."""

    def __init__(self, folder):
        from paddle import inference

        files = [name for name in MODEL_FILES if os.path.isfile(os.path.join(folder, name))]
        if not files:
            raise SystemExit("Error: neither %s nor %s is in %s" % (MODEL_FILES + (folder,)))
        config = inference.Config(
            os.path.join(folder, files[0]), os.path.join(folder, "model.pdiparams")
        )
        config.disable_gpu()
        config.disable_glog_info()
        # On by default since Paddle 3, where it can't run exported models (seen with 3.3.1).
        if hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()
        self.model = inference.create_predictor(config)

    def run(self, inputs):
        for name in self.model.get_input_names():
            self.model.get_input_handle(name).copy_from_cpu(inputs[name])
        self.model.run()
        names = self.model.get_output_names()
        return [self.model.get_output_handle(name).copy_to_cpu() for name in names]


class OnnxForm:
    """An exported model in onnxruntime, on the CPU."""

    def __init__(self, path, threads=0):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.model = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, inputs):
        names = [each.name for each in self.model.get_inputs()]
        return self.model.run(None, {name: inputs[name] for name in names})


def open_model(path, folder):
    """The model of a path: a folder is Paddle's, and what is not ONNX has engine.py beside it."""
    if path.endswith(".onnx"):
        return OnnxForm(path)
    if path == folder:
        return PaddleForm(folder)
    from engine import open_model as open_other  # type: ignore[import-not-found]

    return open_other(folder)


def boxes_of(outputs, scale, nms):
    """Rows of class, score and box from a model's outputs: with NMS in it [N, 6] and a count,
    without it boxes [1, N, 4] in its input's pixels and scores [1, classes, N]."""
    if outputs[0].ndim == 3:
        corners = np.concatenate([scale[0][::-1], scale[0][::-1]])
        return suppress(outputs[0][0] / corners, outputs[1][0], nms)
    count = int(np.asarray(outputs[1]).ravel()[0])
    return [row for row in outputs[0][:count].tolist() if row[0] >= 0]


def find(model, image, settings, nms):
    """Rows of class, score and box that a model finds in an image."""
    ready, scale = prepare(image, settings["Preprocess"])
    size = np.array([ready.shape[2:]], dtype=np.float32)
    outputs = model.run({"image": ready, "scale_factor": scale, "im_shape": size})
    return boxes_of(outputs, scale, nms)


def find_in_tiles(model, image, settings, nms, size, overlap):
    """The same, tile by tile, and in the whole image what no tile can hold."""
    from tiles import merged, tiles_of  # type: ignore[import-not-found]

    height, width = image.shape[:2]
    corners = tiles_of(width, height, size, overlap)
    if len(corners) > 1:
        corners.append((0, 0, width, height))
    found = [
        (place, find(model, image[place[1] : place[3], place[0] : place[2]], settings, nms))
        for place in corners
    ]
    return merged(found, width, height, nms["nms_threshold"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("image", nargs="*")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--tiles", type=int)
    parser.add_argument("--overlap", type=float, default=0.2)
    parser.add_argument("--images")
    parser.add_argument("--answer")
    parser.add_argument("--nms", help="JSON with score_threshold, nms_threshold, ...")
    given = parser.parse_args()
    folder = given.model if os.path.isdir(given.model) else os.path.dirname(given.model)
    with open(os.path.join(folder, "infer_cfg.yml"), encoding="utf-8") as stream:
        settings = yaml.safe_load(stream)
    images = list(given.image)
    if given.images:
        with open(given.images, encoding="utf-8") as stream:
            images += json.load(stream)
    nms = json.loads(given.nms) if given.nms else settings["NMS"]
    model = open_model(given.model, folder)
    found = []
    for path in images:
        image = read_image(path)
        if given.tiles:
            found.append(find_in_tiles(model, image, settings, nms, given.tiles, given.overlap))
        else:
            found.append(find(model, image, settings, nms))
        names = settings["label_list"]
        shown = [
            {"class": names[int(row[0])], "score": round(row[1], 4), "box": row[2:]}
            for row in found[-1]
            if row[1] >= given.threshold
        ]
        if not given.answer:
            print(json.dumps({"image": path, "boxes": shown}, ensure_ascii=False))
    if given.answer:
        with open(given.answer, "w", encoding="utf-8") as stream:
            json.dump(found, stream)
        print(json.dumps({"images": len(found), "boxes": sum(map(len, found))}))


if __name__ == "__main__":
    main()
