"""The forms: a module each, which says what it is, what it needs, how it is made and how it runs.

A form's module has

    NEEDS           packages beside those of every form, as pip takes them
    WORDS           what it is for, in a line
    BOUND           how near its boxes have to be to the trained model's: Bound
    make(source, folder, calibration)
                    makes the form in `folder` from `source/model.onnx`, which has no NMS inside;
                    `calibration` gives inputs of training pictures, as a model takes them
    open_model(folder, threads)
                    the form ready to run: run(inputs) gives boxes [1, N, 4] in the input's pixels
                    and scores [1, classes, N], as detect.py reads them

Its functions run in an environment of their own (`deploy/programs/try_form.py`), where jobgen is
not: they import what they need, and nothing of jobgen but what lies in this folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

# What every form is made and judged with, beside its own needs.
COMMON = (
    "numpy==1.26.4",
    "opencv-python-headless==4.10.0.84",
    "pyyaml==6.0.3",
    "pycocotools==2.0.11",
    "onnx==1.19.1",
    "onnxruntime==1.23.2",
)


@dataclass(frozen=True)
class Form:
    """`path` is its module's file, which goes to the user as engine.py where `has_engine`."""

    name: str
    words: str
    needs: tuple[str, ...]
    exact: bool
    has_engine: bool
    path: Path


def forms() -> dict[str, Form]:
    """Every form by its name, as it is written on the command line."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        name = info.name.replace("_", "-")
        found[name] = Form(
            name,
            module.WORDS,
            tuple(module.NEEDS),
            module.EXACT,
            module.HAS_ENGINE,
            Path(__path__[0]) / f"{info.name}.py",
        )
    return found
