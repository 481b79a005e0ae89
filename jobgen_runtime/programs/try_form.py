"""A form of a model made and run: python try_form.py REQUEST ANSWER

REQUEST is a JSON file: `detect` and `form` (the files of detect.py and of the form's module, null
for ONNX itself), `source` (a folder with infer_cfg.yml and a model.onnx without NMS), `folder`
(where the form is), `nms`, and one of
  `calibration`  paths of pictures: the form is made in `folder`, with `parts`, a folder or null
  `images`       paths of pictures: it is run on them
  `candidates`   paths of pictures: what ONNX itself finds in them before suppression
ANSWER gets, for `images`, `boxes` (for each, rows of class number, score, x1, y1, x2, y2) and
`milliseconds` (the median of a run on one thread), or `not_finite`, the first picture on which an
output was no number; for `candidates` their rows.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

# OpenCV first, as everywhere.
import cv2
import numpy as np
import yaml

WARM_UP = 3


class NotFiniteError(Exception):
    """An output that is no number: its mAP may look well all the same."""


def module_of(path: str, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Given:
    """What a form is made with: inputs of training pictures, what training suppressed by, and the
    folder of files that it takes from npm."""

    def __init__(
        self, calibration: Iterator[Dict[str, Any]], nms: Any, parts: Optional[str]
    ) -> None:
        self.calibration, self.nms = calibration, nms
        self.parts = Path(parts) if parts else None


class Watched:
    """A model whose runs are timed, in milliseconds, and whose outputs are looked at."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.times: List[float] = []
        self.last: List[Any] = []

    def run(self, inputs: Dict[str, Any]) -> List[Any]:
        begun = time.perf_counter()
        found = self.model.run(inputs)
        self.times.append((time.perf_counter() - begun) * 1000)
        if not all(np.isfinite(each).all() for each in found):
            raise NotFiniteError
        self.last = list(found)
        return self.last

    def milliseconds(self) -> Optional[float]:
        counted = self.times[WARM_UP:] or self.times
        return round(float(np.median(counted)), 3) if counted else None


def inputs_of(detect: Any, paths: List[str], settings: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """What a model may take of each picture."""
    for path in paths:
        ready, scale = detect.prepare(detect.read_image(path), settings["Preprocess"])
        size = np.array([ready.shape[2:]], dtype=np.float32)
        yield {"image": ready, "scale_factor": scale, "im_shape": size}


def run_all(detect: Any, model: Any, request: Dict[str, Any], settings: Any) -> Dict[str, Any]:
    watched, boxes = Watched(model), []
    for path in request["images"]:
        try:
            boxes.append(detect.find(watched, detect.read_image(path), settings, request["nms"]))
        except NotFiniteError:
            return {"not_finite": path}
    return {"boxes": boxes, "milliseconds": watched.milliseconds()}


def run_whole(form: Any, request: Dict[str, Any]) -> Dict[str, Any]:
    """A form that takes pictures as they are, such as a service; a run is a request here."""
    boxes, times = [], []
    with form.open_finder(request["folder"]) as find:
        for path in request["images"]:
            begun = time.perf_counter()
            rows = find(path)
            times.append((time.perf_counter() - begun) * 1000)
            if not np.isfinite(np.array(rows, dtype=float)).all():
                return {"not_finite": path}
            boxes.append(rows)
    return {"boxes": boxes, "milliseconds": round(float(np.median(times[WARM_UP:] or times)), 3)}


def before_suppression(
    detect: Any, model: Any, request: Dict[str, Any], settings: Any
) -> List[List[List[float]]]:
    found = []
    for path in request["candidates"]:
        image = detect.read_image(path)
        ready, scale = detect.prepare(image, settings["Preprocess"])
        size = np.array([ready.shape[2:]], dtype=np.float32)
        boxes, scores = model.run({"image": ready, "scale_factor": scale, "im_shape": size})[:2]
        corners = np.concatenate([scale[0][::-1], scale[0][::-1]])
        rows = []
        for number, row in enumerate(scores[0]):
            for which in np.nonzero(row > request["nms"]["score_threshold"])[0]:
                rows.append([number, float(row[which]), *(boxes[0][which] / corners).tolist()])
        found.append(rows)
    return found


def main() -> None:
    cv2.setNumThreads(1)
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    detect = module_of(request["detect"], "detect")
    form = module_of(request["form"], "form") if request["form"] else None
    source = Path(request["source"])
    settings = yaml.safe_load((source / "infer_cfg.yml").read_text(encoding="utf-8"))
    answer: Any = {}
    if "calibration" in request:
        assert form
        ready = inputs_of(detect, request["calibration"], settings)
        form.make(source, Path(request["folder"]), Given(ready, request["nms"], request["parts"]))
    elif form and hasattr(form, "open_finder"):
        answer = run_whole(form, request)
    elif form:
        answer = run_all(detect, form.open_model(request["folder"], 1), request, settings)
    else:
        whole = detect.OnnxForm(str(source / "model.onnx"), 1)
        work = run_all if "images" in request else before_suppression
        answer = work(detect, whole, request, settings)
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
    print(json.dumps({"answered": True}))


if __name__ == "__main__":
    main()
