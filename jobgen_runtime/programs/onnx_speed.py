"""How long an ONNX model takes for a picture: python onnx_speed.py MODEL

Prints a line of JSON: `milliseconds`, the fastest of many runs on one thread of the processor, as
whatever else the machine does only adds to it. Suppression that is no part of the model is not in
it.
"""

import json
import sys
import time
from typing import Any, Dict, List

import numpy as np
import onnxruntime

LEAST_RUNS, SECONDS = 30, 2.0


def inputs_of(session: Any) -> Dict[str, Any]:
    """Noise in the form that a model takes: one picture, its scale, its height and width."""
    shapes = {each.name: each.shape for each in session.get_inputs()}
    picture = next(shape for shape in shapes.values() if len(shape) == 4)
    sides = [side if isinstance(side, int) and side > 0 else 640 for side in picture[2:]]
    noise = np.random.RandomState(0).normal(size=[1, 3] + sides).astype(np.float32)
    others = {
        "im_shape": np.array([sides], np.float32),
        "scale_factor": np.ones((1, 2), np.float32),
    }
    return {name: noise if len(shape) == 4 else others[name] for name, shape in shapes.items()}


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    inputs = inputs_of(session)
    times: List[float] = []
    while len(times) < LEAST_RUNS or sum(times) < SECONDS:
        begun = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - begun)
    print(json.dumps({"milliseconds": round(min(times) * 1000, 3)}))


if __name__ == "__main__":
    main()
