"""The service of an exported detector, run with jobgen's own programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from jobgen.deploy.forms import forms
from jobgen.deploy.make import Workshop
from jobgen.errors import MALFORMED, RunError
from jobgen.files import sha256, shown
from jobgen.resultfile import RESULT, read_result
from jobgen.run.output import unpack_output
from jobgen.yamlio import load_file
from jobgen_runtime.after.forms import RECORD
from jobgen_runtime.children.processes import program_path

APP = Path(__file__).parent / "server" / "app.py"
PARTS = ("model.onnx", "infer_cfg.yml", "nms.json")
RECORDS = (RECORD, RESULT)
LARGEST_MODEL = 2 * 2**30
NO_NMS = {"score_threshold": 0.0, "nms_threshold": 1.0, "nms_top_k": 1000, "keep_top_k": 1000}


def find_service(given: Path, spare: Path) -> Path:
    """The folder of the service at or below a folder or in a zip, as an export has written it; or
    one made of the ONNX that a run has exported and proven. `spare` is an empty folder of ours, for
    what is made or unpacked. Raises RunError where there is none, more than one, or one that was
    changed or damaged since."""
    if not given.exists():
        raise RunError(f"{given} is not there", "Give a run's output, or what jobgen export made.")
    folder = given
    if given.is_file():
        folder = spare / "unpacked"
        unpack_output(given, folder, lambda name: PurePosixPath(name).name in (*PARTS, *RECORDS))
    below = (path.parent for path in folder.rglob("nms.json"))
    found = sorted(
        place for place in below
        if all((place / name).is_file() for name in PARTS)
        and not any(part.startswith(".") for part in place.relative_to(folder).parts)
    )  # fmt: skip
    if len(found) > 1:
        listed = ", ".join(shown(place) for place in found[:5])
        raise RunError(f"{given} has {len(found)} services", f"Give one of them: {listed}")
    if not found:
        return _of_a_run(given, folder, spare / "service")
    written = _read(found[0] / RECORD).get("sha256")
    _need_unchanged(found[0], written if isinstance(written, dict) else {}, RECORD)
    return found[0]


def _of_a_run(given: Path, folder: Path, place: Path) -> Path:
    """A service of the newest run that has exported to ONNX and shown that it finds the same."""
    try:
        return _of_the_newest(given, folder, place)
    except MALFORMED as error:
        raise RunError(
            f"{given} is not as a run of jobgen leaves it: {type(error).__name__}: {error}",
            "Export it again: jobgen export OUTPUT --archive DATA --to server -o service",
        ) from error


def _of_the_newest(given: Path, folder: Path, place: Path) -> Path:
    runs = [(file.parent, read_result(file)) for file in folder.rglob(RESULT)]
    proven = [
        (where, result) for where, result in runs
        if (where / "inference" / "model.onnx").is_file()
        and (result.get("metrics") or {}).get("parity", {}).get("onnx")
    ]  # fmt: skip
    if not proven:
        raise RunError(
            f"{given} has no service, and no run that exported to ONNX",
            "Make one: jobgen export OUTPUT --archive DATA --to server -o service",
        )
    where, result = max(proven, key=lambda each: str(each[1].get("started", "")))
    listed = {each["path"]: each["sha256"] for each in result.get("artefacts") or []}
    names = PARTS[:2]
    _need_unchanged(
        where / "inference", {name: listed.get(f"inference/{name}") for name in names}, RESULT
    )
    place.mkdir(parents=True)
    for name in names:
        shutil.copyfile(where / "inference" / name, place / name)
    # A model that suppresses by itself leaves out the file's NMS.
    settings = load_file(place / "infer_cfg.yml", "yaml11").value
    nms = settings.get("NMS") if isinstance(settings.get("NMS"), dict) else {}
    (place / "nms.json").write_text(json.dumps({**NO_NMS, **nms}), encoding="utf-8")
    return place


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _need_unchanged(place: Path, hashes: dict[str, Any], record: str) -> None:
    """Raises RunError where a part is not the one that the record was written for."""
    for name in hashes or PARTS:
        path = place / name
        if path.stat().st_size > LARGEST_MODEL:
            raise RunError(f"{path} has {path.stat().st_size:,} bytes, more than any detector")
        if hashes.get(name) != sha256(path.read_bytes()):
            raise RunError(
                f"{path} is not what {record} was written for",
                "Export it again: jobgen export OUTPUT --archive DATA --to server",
            )


def service_command(
    place: Path, cache: Path, say: Callable[[str], None]
) -> tuple[list[str], dict[str, str]]:
    """The words that start the service, and what its environment has to have."""
    python = Workshop(cache, "en", say).python(forms()["server"])
    env = {"PYTHONPATH": str(Path(program_path("detect")).parent), "PYTHONHOME": ""}
    return [str(python), "-s", str(APP), "--folder", str(place)], env
