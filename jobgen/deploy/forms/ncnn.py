"""ncnn, for phones and boards: its C++ library reads model.ncnn.param and model.ncnn.bin.

As engine.py beside detect.py it is the runnable example of how the model is fed and read:
python detect.py model.ncnn.param photo.jpg
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

WORDS = {"en": "ncnn, for Android, iOS and ARM boards", "zh": "ncnn，用于安卓、iOS 与 ARM 开发板"}
NEEDS = ("ncnn==1.0.20261020",)
# The converter is a program of its own; what its package asks for is PyTorch with CUDA, 5.7 GB.
ALONE = ("pnnx==20261020",)
# Single precision all through: the same boxes but for rounding.
EXACT = True
HAS_ENGINE = True
FILE = "model.ncnn.param"
FILES = ("model.ncnn.param", "model.ncnn.bin")
# By order: pnnx names them so.
INPUT, OUTPUTS = "in0", ("out0", "out1")


def make(source: Path, folder: Path, _given: Any) -> None:
    """Convert with pnnx. Raises RuntimeError with its last words."""
    import onnx

    model = onnx.load(str(source / "model.onnx"))
    inputs = [each.name for each in model.graph.input]
    if inputs != ["image"]:
        raise RuntimeError(f"ncnn is given pictures alone, and this model takes {inputs}")
    shape = [1, *(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    if not all(shape):
        raise RuntimeError(f"ncnn needs an input of one size, and this model has {shape}")
    split_into_slices(model)
    with tempfile.TemporaryDirectory() as spare:
        onnx.save(model, str(Path(spare) / "model.onnx"))
        argv = [str(converter()), "model.onnx", f"inputshape={shape}".replace(" ", ""), "fp16=0"]
        finished = subprocess.run(
            argv, cwd=spare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        said = finished.stdout.decode("utf-8", "replace")
        # It ends with 0 after what it can't convert, too.
        trouble = [line for line in said.splitlines() if line.startswith(("malformed", "ignore "))]
        if finished.returncode != 0 or trouble or not (Path(spare) / FILES[1]).is_file():
            last = trouble[:3] or said.strip().splitlines()[-3:]
            raise RuntimeError(f"pnnx made no model: {'; '.join(last)}")
        for name in FILES:
            (folder / name).write_bytes((Path(spare) / name).read_bytes())


def converter() -> Path:
    """pnnx's own program, which its package has without the right to be run."""
    spec = importlib.util.find_spec("pnnx")
    assert spec
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0]) / ("pnnx.exe" if os.name == "nt" else "pnnx")
    if os.name != "nt":
        program.chmod(program.stat().st_mode | 0o111)
    return program


def split_into_slices(model: Any) -> None:
    """A Split without sizes is what pnnx can't convert: the same is said by a Slice for each part.
    Raises RuntimeError where a size is not known."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    for each in model.graph.input:
        each.type.tensor_type.shape.dim[0].dim_value = 1
    known = onnx.shape_inference.infer_shapes(model).graph.value_info
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
    nodes = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "Split" or "split" in attributes or len(node.input) > 1:
            nodes.append(node)
            continue
        axis = attributes.get("axis", 0)
        whole = sizes.get(node.input[0], [])
        if len(whole) <= axis or not whole[axis]:
            raise RuntimeError(f"the size of {node.input[0]}, which is split, is not known")
        part = -(-whole[axis] // len(node.output))
        for number, output in enumerate(node.output):
            words = (number * part, min((number + 1) * part, whole[axis]), axis)
            names = [f"{output}.{word}" for word in ("start", "end", "axis")]
            for name, value in zip(names, words, strict=True):
                array = numpy_helper.from_array(np.array([value], dtype=np.int64), name)
                model.graph.initializer.append(array)
            nodes.append(helper.make_node("Slice", [node.input[0], *names], [output]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class Ncnn:
    def __init__(self, folder: Path, threads: int) -> None:
        import ncnn

        self.ncnn, self.net = ncnn, ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        # Halves of a number are faster on a phone, and move edges by about half a pixel.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        for read, name in zip((self.net.load_param, self.net.load_model), FILES, strict=True):
            if read(str(folder / name)) != 0:
                raise RuntimeError(f"ncnn can't read {folder / name}")

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        import numpy as np

        extractor = self.net.create_extractor()
        extractor.input(INPUT, self.ncnn.Mat(inputs["image"][0]).clone())
        boxes, scores = (np.array(extractor.extract(name)[1]) for name in OUTPUTS)
        boxes = boxes.reshape(1, -1, 4)
        return [boxes, scores.reshape(1, -1, boxes.shape[1])]


def open_model(folder: str, threads: int = 1) -> Ncnn:
    return Ncnn(Path(folder), threads)
