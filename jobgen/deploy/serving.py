"""The service of an exported detector, run with jobgen's own programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from jobgen.deploy.forms import forms
from jobgen.deploy.make import RECORD, Workshop
from jobgen.errors import RunError
from jobgen.files import sha256, shown
from jobgen_runtime.children.processes import program_path

APP = Path(__file__).parent / "server" / "app.py"
PARTS = ("model.onnx", "infer_cfg.yml", "nms.json")
LARGEST_MODEL = 2 * 2**30


def find_service(folder: Path) -> Path:
    """The folder of the service at or below `folder`, as an export has written it. Raises RunError
    where there is none, more than one, or one that was changed or damaged since."""
    if not folder.exists():
        raise RunError(f"{folder} is not there", "Give what jobgen export --to server has made.")
    below = (path.parent for path in folder.rglob("nms.json"))
    found = sorted(
        place for place in below
        if all((place / name).is_file() for name in PARTS)
        and not any(part.startswith(".") for part in place.relative_to(folder).parts)
    )  # fmt: skip
    if not found:
        raise RunError(
            f"{folder} has no service",
            "Make one: jobgen export OUTPUT --archive DATA --to server -o service",
        )
    if len(found) > 1:
        listed = ", ".join(shown(place) for place in found[:5])
        raise RunError(f"{folder} has {len(found)} services", f"Give one of them: {listed}")
    (place,) = found
    _need_unchanged(place)
    return place


def _need_unchanged(place: Path) -> None:
    """Raises RunError where a part is not the one that the export has written."""
    try:
        written = json.loads((place / RECORD).read_text(encoding="utf-8"))["sha256"]
        hashes = {name: written[name] for name in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        hashes = {}
    for name in PARTS:
        path = place / name
        if path.stat().st_size > LARGEST_MODEL:
            raise RunError(f"{path} has {path.stat().st_size:,} bytes, more than any detector")
        if hashes.get(name) != sha256(path.read_bytes()):
            raise RunError(
                f"{path} is not what {RECORD} was written for",
                "Export it again: jobgen export OUTPUT --archive DATA --to server",
            )


def service_command(
    place: Path, cache: Path, say: Callable[[str], None]
) -> tuple[list[str], dict[str, str]]:
    """The words that start the service, and what its environment has to have."""
    python = Workshop(cache, "en", say).python(forms()["server"])
    env = {"PYTHONPATH": str(Path(program_path("detect")).parent), "PYTHONHOME": ""}
    return [str(python), "-s", str(APP), "--folder", str(place)], env
