"""The form onnx-int8: ONNX with convolutions of 8 bits, for onnxruntime on a server, a desk or an
ARM board. jobgen/deploy/forms/__init__.py says what a form's module has."""

from pathlib import Path
from typing import Any, Tuple

WORDS = {
    "en": "ONNX with 8-bit convolutions, a third of the size",
    "zh": "卷积为 8 位的 ONNX，大小为三分之一",
}
NEEDS: Tuple[str, ...] = ()
RUNS_WITH = ("onnxruntime",)
# Rounding to 8 bits moves boxes: it is judged by mAP.
EXACT = False
# detect.py runs ONNX by itself.
HAS_ENGINE = False
FILE = "model.onnx"


def make(source: Path, folder: Path, given: Any) -> None:
    """Static quantisation, each channel for itself, of convolutions alone: with every operator, or
    with NMS inside, a small detector's mAP fell from 0.205 to 0.020 (docs/deploy.md)."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            inputs = next(given.calibration, None)
            return inputs and {name: inputs[name] for name in names}

    graph = onnx.load(str(source / "model.onnx"), load_external_data=False).graph
    names = [each.name for each in graph.input]
    prepared = folder / "prepared.onnx"
    quant_pre_process(str(source / "model.onnx"), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(folder / "model.onnx"),
        Pictures(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def open_model(folder: str, threads: int = 0) -> Any:
    from detect import OnnxForm

    return OnnxForm(str(Path(folder) / "model.onnx"), threads)
