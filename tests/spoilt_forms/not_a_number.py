"""ONNX as it is, but for one number of one box, which is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = {"en": "spoilt", "zh": "spoilt"}


def make(source: Path, folder: Path, _given: Any) -> None:
    (folder / "model.onnx").write_bytes((source / "model.onnx").read_bytes())


class Spoilt:
    def __init__(self, model: Any) -> None:
        self.model = model

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        found: list[Any] = self.model.run(inputs)
        found[0][0, 0, 0] = float("nan")
        return found


def open_model(folder: str, threads: int = 1) -> Spoilt:
    from detect import OnnxForm

    return Spoilt(OnnxForm(str(Path(folder) / "model.onnx"), threads))
