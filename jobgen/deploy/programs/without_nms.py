"""ONNX that suppresses by itself, cut before that: python without_nms.py MODEL GOAL

Of what a family's export can't leave out, the converters and 8 bits can do nothing. GOAL takes
the picture alone, and gives boxes [1, N, 4] in its input's pixels and scores [1, classes, N]: where
MODEL asks for the scale by which a picture was resized, it is 1, and its size is the input's.
"""

import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGE = "image"


def cut(model: Any) -> None:
    """Make the inputs of its NonMaxSuppression its outputs. Raises SystemExit where it has not
    just one."""
    graph = model.graph
    found = [node for node in graph.node if node.op_type == "NonMaxSuppression"]
    if len(found) != 1:
        raise SystemExit(f"Error: the model has {len(found)} NonMaxSuppression, not one")
    outputs = list(found[0].input[:2])
    size = next(each for each in graph.input if each.name == IMAGE).type.tensor_type.shape.dim
    known = {"scale_factor": [[1.0, 1.0]], "im_shape": [[d.dim_value for d in size[2:]]]}
    for each in [each for each in graph.input if each.name in known]:
        array = np.array(known[each.name], dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(array, each.name))
        graph.input.remove(each)
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs)
    del graph.value_info[:]
    for each in [each for each in graph.initializer if each.name not in wanted]:
        graph.initializer.remove(each)


def main() -> None:
    model = onnx.load(sys.argv[1])
    cut(model)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    # What hung on the scale alone is a number now: it is reckoned here, for the converters.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = sys.argv[2]
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


if __name__ == "__main__":
    main()
