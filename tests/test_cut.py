"""A model that suppresses by itself, cut before that, in the environment where forms are made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from jobgen.deploy.make import WITHOUT_NMS
from tests.server_world import service_python

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(300)]
# As a family's head ends: boxes divided by the scale, then non-maximum suppression.
WITH_NMS = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
given = [numpy_helper.from_array(np.array([[[0, 0, 8, 8], [8, 8, 16, 16]]], np.float32), "plain"),
         numpy_helper.from_array(np.array([0.5], np.float32), "half"),
         numpy_helper.from_array(np.array([2], np.int64), "many")]
nodes = [
    helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
    helper.make_node("Mul", ["mean", "half"], ["score"]),
    helper.make_node("Concat", ["score", "mean"], ["both"], axis=2),
    helper.make_node("Squeeze", ["both", "last"], ["scores"]),
    helper.make_node("Split", ["scale_factor"], ["y", "x"], axis=1),
    helper.make_node("Concat", ["x", "y", "x", "y"], ["corners"], axis=1),
    helper.make_node("Div", ["plain", "corners"], ["boxes"]),
    *(helper.make_node("NonMaxSuppression", ["boxes", "scores", "many"], ["kept%d" % number])
      for number in range(count)),
]
given.append(numpy_helper.from_array(np.array([3], np.int64), "last"))
outputs = ["kept0"] if count else ["boxes"]
kind, shape = (TensorProto.INT64, ["n", 3]) if count else (TensorProto.FLOAT, [1, 2, 4])
graph = helper.make_graph(
    nodes, "head",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16]),
     helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, [1, 2])],
    [helper.make_tensor_value_info(name, kind, shape) for name in outputs], given)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
"""
RUN = """
import json, sys
import numpy as np
import onnxruntime
model = onnxruntime.InferenceSession(sys.argv[1])
image = np.full((1, 3, 16, 16), 0.8, np.float32)
boxes, scores = model.run(None, {"image": image})
print(json.dumps([[each.name for each in model.get_inputs()], boxes.tolist(), scores.tolist()]))
"""


def python(code: str, *arguments: Path) -> str:
    argv = [str(service_python()), "-c", code, *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def cut(place: Path, count: int) -> subprocess.CompletedProcess[str]:
    python(f"count = {count}\n{WITH_NMS}", place / "whole.onnx")
    argv = [str(service_python()), "-s", str(WITHOUT_NMS)]
    argv += [str(place / "whole.onnx"), str(place / "cut.onnx")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_boxes_are_in_the_inputs_own_pixels(tmp_path: Path) -> None:
    assert cut(tmp_path, 1).returncode == 0
    inputs, boxes, scores = json.loads(python(RUN, tmp_path / "cut.onnx"))
    assert inputs == ["image"]
    assert boxes == [[[0, 0, 8, 8], [8, 8, 16, 16]]]
    assert scores == [[[pytest.approx(0.4), pytest.approx(0.8)]]]


@pytest.mark.parametrize("count", [0, 2])
def test_a_model_with_none_or_two_is_refused(count: int, tmp_path: Path) -> None:
    answer = cut(tmp_path, count)
    assert answer.returncode != 0
    assert f"has {count} NonMaxSuppression, not one" in answer.stderr
    assert not (tmp_path / "cut.onnx").exists()
