"""The service of an exported detector, run with jobgen's own programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from jobgen.deploy.forms import COMMON, forms
from jobgen.deploy.make import RECORD
from jobgen.errors import RunError
from jobgen.files import sha256, shown
from jobgen.machine.packages import python_with
from jobgen_runtime.children.processes import program_path

APP = Path(__file__).parent / "server" / "app.py"
PARTS = ("model.onnx", "infer_cfg.yml", "nms.json")
LARGEST_MODEL = 2 * 2**30


def find_service(folder: Path) -> Path:
    """The folder of a service at or below `folder`, whose model is the one that was proven. Raises
    RunError where there is none, or another model lies in it."""
    if not folder.exists():
        raise RunError(f"{folder} is not there", "Give what jobgen export --to server has made.")
    places = sorted(path.parent for path in folder.rglob("nms.json"))
    found = [place for place in places if all((place / name).is_file() for name in PARTS)]
    if not found:
        raise RunError(
            f"{folder} has no service",
            f"Make one: jobgen export {shown(folder)} --archive DATA --to server -o service",
        )
    place = found[0]
    model = place / "model.onnx"
    if model.stat().st_size > LARGEST_MODEL:
        raise RunError(f"{model} has {model.stat().st_size:,} bytes, more than any detector")
    try:
        record = json.loads((place / RECORD).read_text(encoding="utf-8"))
        proven = record["sha256"]["model.onnx"]
    except (OSError, ValueError, KeyError, TypeError):
        proven = None
    if proven != sha256(model.read_bytes()):
        raise RunError(
            f"{model} is not the model that {RECORD} was written for",
            "Export it again: jobgen export OUTPUT --archive DATA --to server",
        )
    return place


def service_command(
    place: Path, cache: Path, say: Callable[[str], None]
) -> tuple[list[str], dict[str, str]]:
    """The words that start the service, and what its environment has to have."""
    python = python_with("forms", (*COMMON, *forms()["server"].needs), cache, say)
    env = {"PYTHONPATH": str(Path(program_path("detect")).parent), "PYTHONHOME": ""}
    return [str(python), "-s", str(APP), "--folder", str(place)], env
