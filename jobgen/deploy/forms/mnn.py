"""MNN, for phones: its C++, Java and Swift libraries read model.mnn.

As engine.py beside detect.py it is the runnable example of how the model is fed and read:
python detect.py model.mnn photo.jpg
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = {"en": "MNN, for Android and iOS", "zh": "MNN，用于安卓与 iOS"}
NEEDS = ("MNN==3.6.1",)
# Single precision all through: the same boxes but for rounding.
EXACT = True
HAS_ENGINE = True
FILE = "model.mnn"


def make(source: Path, folder: Path, _given: Any) -> None:
    """Convert with MNN's own converter. Raises RuntimeError with its last words."""
    import onnx

    model, goal = source / "model.onnx", folder / "model.mnn"
    argv = [str(Path(sys.executable).with_name("mnnconvert")), "-f", "ONNX", "--bizCode", "jobgen"]
    argv += ["--modelFile", str(model), "--MNNModel", str(goal)]
    finished = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if finished.returncode != 0 or not goal.is_file() or not goal.stat().st_size:
        said = finished.stdout.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise RuntimeError(f"mnnconvert made no model: {' '.join(said)}")
    graph = onnx.load(model, load_external_data=False).graph
    names = {"inputs": [i.name for i in graph.input], "outputs": [o.name for o in graph.output]}
    (folder / "tensors.json").write_text(json.dumps(names), encoding="utf-8")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MNN writes what the processor can to the standard output, where boxes are to be: here it
    goes to the standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        # What C has gathered would be written later; Windows has no library without a name.
        with contextlib.suppress(OSError, TypeError):
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


class Mnn:
    """model.mnn, and in tensors.json the names of its inputs and outputs."""

    def __init__(self, path: Path, threads: int) -> None:
        with quiet():
            self._load(path, threads)

    def _load(self, path: Path, threads: int) -> None:
        import MNN

        self.expr = MNN.expr
        self.names = json.loads(path.with_name("tensors.json").read_text(encoding="utf-8"))
        self.runtime = MNN.nn.create_runtime_manager(
            ({"backend": "CPU", "numThread": threads, "precision": "high"},)
        )
        self.model = MNN.nn.load_module_from_file(
            str(path), self.names["inputs"], self.names["outputs"], runtime_manager=self.runtime
        )

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        expr = self.expr
        given = []
        for name in self.names["inputs"]:
            array = inputs[name]
            given.append(expr.const(array, list(array.shape), expr.NCHW))
        found = self.model.forward(given)
        return [expr.convert(each, expr.NCHW).read() for each in found]


def open_model(folder: str, threads: int = 1) -> Mnn:
    return Mnn(Path(folder) / "model.mnn", threads)
