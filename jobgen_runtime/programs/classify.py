"""Classify images with an exported model: python classify.py MODEL IMAGE ... [--top 5]

MODEL is a folder with classes.json and inference.pdmodel or inference.json (Paddle Inference), or
an .onnx file in such a folder (onnxruntime). What is done to an image before it goes in is read
from classes.json. Needs numpy, OpenCV, and the runtime of the form; nothing of PaddleClas.

Prints a line of JSON for each image: its path, and classes with their scores from 0 to 1, the
highest first. --images FILE names the images in a JSON file; --answer FILE takes all scores, as
lists in the order of the classes.
"""

import argparse
import json
import os

import cv2
import numpy as np

MODEL_FILES = ("inference.pdmodel", "inference.json")


def read_image(path):
    """RGB, uint8, [height, width, 3]; turned as its EXIF data says."""
    with open(path, "rb") as stream:
        image = cv2.imdecode(np.frombuffer(stream.read(), dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit("Error: %s is no image that OpenCV can read" % path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def prepare(image, how):
    """The model's input, float32 [1, 3, size, size]: the short side resized, the middle cut out,
    normalised."""
    height, width = image.shape[:2]
    scale = how["resize_short"] / float(min(height, width))
    sides = (round(width * scale), round(height * scale))
    image = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
    size = how["size"]
    left, top = (image.shape[1] - size) // 2, (image.shape[0] - size) // 2
    image = image[top : top + size, left : left + size].astype(np.float32)
    image = image * np.float32(1.0 / 255.0) - np.array(how["mean"], dtype=np.float32)
    image = image / np.array(how["std"], dtype=np.float32)
    return np.ascontiguousarray(image.transpose((2, 0, 1))[None])


class PaddleForm:
    """An exported model in Paddle Inference, on the CPU."""

    def __init__(self, folder):
        from paddle import inference

        files = [name for name in MODEL_FILES if os.path.isfile(os.path.join(folder, name))]
        if not files:
            raise SystemExit("Error: neither %s nor %s is in %s" % (MODEL_FILES + (folder,)))
        weights = os.path.join(folder, "inference.pdiparams")
        config = inference.Config(os.path.join(folder, files[0]), weights)
        config.disable_gpu()
        config.disable_glog_info()
        # On by default since Paddle 3, where it can't run exported models (seen with 3.3.1).
        if hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()
        self.model = inference.create_predictor(config)

    def scores(self, image):
        handle = self.model.get_input_handle(self.model.get_input_names()[0])
        handle.copy_from_cpu(image)
        self.model.run()
        output = self.model.get_output_handle(self.model.get_output_names()[0])
        return output.copy_to_cpu()[0].tolist()


class OnnxForm:
    """An exported model in onnxruntime, on the CPU."""

    def __init__(self, path):
        import onnxruntime

        self.model = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def scores(self, image):
        name = self.model.get_inputs()[0].name
        return self.model.run(None, {name: image})[0][0].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("image", nargs="*")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--images")
    parser.add_argument("--answer")
    given = parser.parse_args()
    onnx = given.model.endswith(".onnx")
    folder = os.path.dirname(given.model) if onnx else given.model
    with open(os.path.join(folder, "classes.json"), encoding="utf-8") as stream:
        how = json.load(stream)
    images = list(given.image)
    if given.images:
        with open(given.images, encoding="utf-8") as stream:
            images += json.load(stream)
    model = OnnxForm(given.model) if onnx else PaddleForm(folder)
    found = []
    for path in images:
        scores = model.scores(prepare(read_image(path), how))
        found.append(scores)
        if not given.answer:
            order = sorted(range(len(scores)), key=lambda number: -scores[number])[: given.top]
            rows = [{"class": how["classes"][n], "score": round(scores[n], 4)} for n in order]
            print(json.dumps({"image": path, "classes": rows}, ensure_ascii=False))
    if given.answer:
        with open(given.answer, "w", encoding="utf-8") as stream:
            json.dump(found, stream)
        print(json.dumps({"images": len(found)}))


if __name__ == "__main__":
    main()
