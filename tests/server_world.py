"""A small detector in ONNX, and the service that answers with it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jobgen.deploy.forms import forms
from jobgen.deploy.forms.server import make
from jobgen.deploy.make import Workshop
from jobgen.settings import load_settings
from jobgen_runtime.children.processes import program_path

SIDE = 224
NMS = {"score_threshold": 0.025, "nms_threshold": 0.5, "nms_top_k": 1000, "keep_top_k": 100}
SETTINGS = {
    "Preprocess": [
        {"type": "Resize", "target_size": [SIDE, SIDE], "interp": 2, "keep_ratio": False},
        {"type": "NormalizeImage", "is_scale": True, "mean": [0.0] * 3, "std": [1.0] * 3},
        {"type": "Permute"},
    ],
    "label_list": ["light", "dark"],
    "NMS": {**NMS, "score_threshold": 0.3},
}
# Two boxes, of the left and of the right half; scores by how light the picture is. The
# convolutions before it cost about what a PicoDet-XS at 224 px does.
MODEL = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
rng = np.random.RandomState(1)
nodes, given, last, channels = [], [], "image", 3
for number, (wide, stride) in enumerate(((24, 2), (48, 2), (96, 2), (96, 1), (96, 1), (96, 1))):
    weight = rng.normal(0, 0.01, (wide, channels, 3, 3)).astype(np.float32)
    given.append(numpy_helper.from_array(weight, "w%d" % number))
    nodes.append(helper.make_node("Conv", [last, "w%d" % number], ["c%d" % number],
                                  strides=[stride] * 2, pads=[1] * 4))
    nodes.append(helper.make_node("Relu", ["c%d" % number], ["r%d" % number]))
    last, channels = "r%d" % number, wide
side = 224.0
boxes = np.array([[[0, 0, side / 2, side], [side / 2, 0, side, side]]], np.float32)
given += [numpy_helper.from_array(boxes, "fixed"),
          numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
          numpy_helper.from_array(np.array([[[1.0, 1.0], [-1.0, -1.0]]], np.float32), "sign"),
          numpy_helper.from_array(np.array([[[0.0, 0.0], [1.0, 1.0]]], np.float32), "shift")]
nodes += [
    helper.make_node("ReduceMean", [last], ["cost"], keepdims=0),
    helper.make_node("Mul", ["cost", "nothing"], ["none"]),
    helper.make_node("ReduceMean", ["image"], ["light"], keepdims=0),
    helper.make_node("Mul", ["light", "sign"], ["signed"]),
    helper.make_node("Add", ["signed", "shift"], ["plain"]),
    helper.make_node("Add", ["plain", "none"], ["scores"]),
    helper.make_node("Add", ["fixed", "none"], ["boxes"]),
]
graph = helper.make_graph(
    nodes, "detector",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
    [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 4]),
     helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 2])], given)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[bytes]
    port: int

    def ask(
        self, path: str, data: bytes | None = None, timeout: float = 60, **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, named)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read())


def service_python() -> Path:
    return Workshop(load_settings().cache, "en", print).python(forms()["server"])


def service_folder(place: Path) -> Path:
    """The folder that an export would leave."""
    source, folder = place / "source", place / "server"
    source.mkdir(parents=True)
    folder.mkdir()
    for name in ("detect", "tiles"):
        (source / f"{name}.py").write_bytes(Path(program_path(name)).read_bytes())
    (source / "infer_cfg.yml").write_text(json.dumps(SETTINGS), encoding="utf-8")
    argv = [str(service_python()), "-c", MODEL, str(source / "model.onnx")]
    subprocess.run(argv, check=True)
    make(source, folder, SimpleNamespace(nms=NMS))
    return folder


@contextlib.contextmanager
def running(folder: Path, *arguments: str, code: str = "") -> Iterator[Service]:
    """The service of a folder; `code` is run between its import and its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = ["-c", f"import app\n{code}\napp.main()"] if code else ["app.py"]
    argv = [str(service_python()), *begin, "--port", str(port), *arguments]
    env = {**os.environ, "PYTHONPATH": str(folder)} if code else None
    process = subprocess.Popen(argv, cwd=folder, stderr=subprocess.PIPE, env=env)
    service = Service(process, port)
    try:
        for _ in range(300):
            assert process.poll() is None
            with contextlib.suppress(OSError):
                if service.ask("/health").status == 200:
                    break
            time.sleep(0.1)
        yield service
    finally:
        process.terminate()
        process.wait(15)
        if process.stderr:
            process.stderr.close()
