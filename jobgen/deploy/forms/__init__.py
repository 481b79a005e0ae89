"""The forms: a module each, which says what it is, what it needs, how it is made and how it runs.

A form's module has

    NEEDS           packages beside those of every form, as pip takes them
    WORDS           what it is for, in a line of each language
    EXACT           its boxes are the trained model's but for rounding; else it is judged by mAP
    HAS_ENGINE      its module goes with the model as engine.py, for detect.py
    FILE            what detect.py is given to run it
    make(source, folder, given)
                    makes the form in `folder` from `source`, which has infer_cfg.yml, model.onnx
                    without NMS, and Paddle's own files; `given` has `calibration`, inputs of
                    training pictures as a model takes them, `nms`, what training suppressed by,
                    and `parts`, the folder of NPM's files. Raises RuntimeError with the reason.
    open_model(folder, threads)
                    the form ready to run: run(inputs) gives boxes [1, N, 4] in the input's pixels
                    and scores [1, classes, N], as detect.py reads them
    open_finder(folder)
                    in its place, of a form that takes pictures as they are: a context, which gives
                    a function from a path to rows of class number, score, x1, y1, x2, y2

and may have

    PIXELS          how far its boxes may lie from the trained model's, if not PARITY_PIXELS
    ALONE           packages that are installed without what they say they need
    PYTHONS         the Pythons that its packages are made for, if not jobgen's own
    INSTEAD         packages in place of COMMON, for such a Python
    NPM             fields of the `NpmPackage` that it takes files from
    FORMAT          Paddle's file format that it has to have, pdmodel
    RUNS_WITH       packages that run it, where these are not NEEDS
    NOTES           what else its reader has to know, in a line of each language

Its functions run in an environment of their own (`try_form.py`), where jobgen is
not: they import what they need, and nothing of jobgen but what lies in this folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from jobgen.machine.npm import NpmPackage
from jobgen_runtime.after.parity import PARITY_PIXELS

# What the notebook makes too lies with its programs.
OF_NOTEBOOK = ("jobgen_runtime.programs.onnx_int8",)
# What detect.py needs beside the runtime of a form.
DETECTING = ("numpy==1.26.4", "opencv-python-headless==4.10.0.84", "pyyaml==6.0.3")
# What every form is made and judged with, beside its own needs.
COMMON = (*DETECTING, "pycocotools==2.0.11", "onnx==1.19.1", "onnxruntime==1.23.2")


@dataclass(frozen=True)
class Form:
    """A form as its module says it; `path` is the module's file, `packages` all that its
    environment has."""

    name: str
    words: dict[str, str]
    needs: tuple[str, ...]
    exact: bool
    has_engine: bool
    path: Path
    file: str = ""
    runs_with: tuple[str, ...] = ()
    notes: dict[str, str] | None = None
    alone: tuple[str, ...] = ()
    pythons: tuple[tuple[int, int], ...] = ()
    instead: tuple[str, ...] = COMMON
    npm: NpmPackage | None = None
    format: str | None = None
    pixels: float = PARITY_PIXELS

    @property
    def packages(self) -> tuple[str, ...]:
        return (*self.instead, *self.needs)


def forms() -> dict[str, Form]:
    """Every form by its name, as it is written on the command line."""
    found = {}
    own = [f"{__name__}.{info.name}" for info in pkgutil.iter_modules(__path__)]
    for place in sorted((*own, *OF_NOTEBOOK), key=lambda place: place.rpartition(".")[2]):
        module = importlib.import_module(place)
        name = place.rpartition(".")[2].replace("_", "-")
        npm = getattr(module, "NPM", None)
        found[name] = Form(
            name,
            module.WORDS,
            tuple(module.NEEDS),
            module.EXACT,
            module.HAS_ENGINE,
            Path(str(module.__file__)),
            file=module.FILE,
            runs_with=tuple(getattr(module, "RUNS_WITH", module.NEEDS)),
            notes=getattr(module, "NOTES", None),
            alone=tuple(getattr(module, "ALONE", ())),
            pythons=tuple(getattr(module, "PYTHONS", ())),
            instead=tuple(getattr(module, "INSTEAD", COMMON)),
            npm=NpmPackage(**npm) if npm else None,
            format=getattr(module, "FORMAT", None),
            pixels=getattr(module, "PIXELS", PARITY_PIXELS),
        )
    return found
