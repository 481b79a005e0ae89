"""8 bits whose ranges were taken from black pictures: it runs, and finds something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = {"en": "spoilt", "zh": "spoilt"}


def make(source: Path, folder: Path, given: Any) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    black = iter([{"image": next(given.calibration)["image"] * 0}])

    class Black(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(black, None)

    quantize_static(str(source / "model.onnx"), str(folder / "model.onnx"), Black())


def open_model(folder: str, threads: int = 1) -> Any:
    from detect import OnnxForm

    return OnnxForm(str(Path(folder) / "model.onnx"), threads)
