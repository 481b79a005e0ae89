"""The results in a run's folder, an output folder, or the zip that AI Studio gives."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from jobgen.errors import RunError
from jobgen.run.verdict import close_result, is_alive, write_result
from jobgen.runtime.report import RunRecord, read_run

RESULT = "result.json"
# What a page shows; weights and checkpoints stay in the zip.
SHOWN = (RESULT, "metrics.csv", "events.jsonl")
SHOWN_FOLDERS = ("logs", "predictions")
MOST_BYTES = 256 * 2**20


def read_records(path: Path, spare: Path) -> list[RunRecord]:
    """Every result at or below `path`, oldest first. `spare` is an empty folder of ours, where a
    zip is unpacked. Raises RunError where there is none."""
    if not path.exists():
        raise RunError(f"{path} is not there")
    if path.is_file() and path.name != RESULT:
        unpack_shown(path, spare)
        place, writable = spare, False
    else:
        place, writable = (path.parent if path.is_file() else path), True
    found = [record_of(file.parent, writable) for file in sorted(place.rglob(RESULT))]
    records = [record for record in found if record is not None]
    if not records:
        raise RunError(
            f"no result.json of a jobgen run is in {path}",
            "Give a folder under runs/, an output folder, or the zip with a job's output.",
        )
    return sorted(records, key=lambda record: str(record.result.get("started", "")))


def record_of(folder: Path, writable: bool) -> RunRecord | None:
    """One result, settled: a record that still says `running` and whose process is gone was
    interrupted. None where the file is no result of ours."""
    try:
        result: Any = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(result, dict) or "schema" not in result or "stages" not in result:
        return None
    if result.get("status") == "running" and not is_alive(result):
        result = close_result(result, "interrupted", "the process was killed")
        if writable:
            write_result(folder, result)
    return read_run(str(folder), result)


def unpack_shown(path: Path, goal: Path) -> None:
    """Only what a page shows, of a zip of any layout. Raises RunError where it is torn or none."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if not e.is_dir() and _is_shown(e.filename)]
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise RunError(f"{path}: results and logs of more than 256 MB can't be meant")
            for entry in entries:
                archive.extract(entry, goal)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path} is no whole zip: {error}", "Download it again.") from error


def _is_shown(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[-1] in SHOWN or any(part in SHOWN_FOLDERS for part in parts[:-1])
