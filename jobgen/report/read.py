"""The results in a run's folder, an output folder, or the zip that AI Studio gives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jobgen.errors import MALFORMED, RunError
from jobgen.resultfile import RESULT, read_result
from jobgen.run.output import sizes_in, unpack_output
from jobgen.run.page import report_page
from jobgen.run.verdict import close_result, is_alive, write_result
from jobgen_runtime.record.measured import RunRecord
from jobgen_runtime.record.report import read_run

# What a page shows; weights and checkpoints stay in the zip.
SHOWN = (RESULT, "metrics.csv", "events.jsonl")
SHOWN_FOLDERS = ("logs", "predictions", "training_pictures")
MOST_BYTES = 256 * 2**20
# A run that this machine can't see may be silent for as long in an evaluation.
LATELY = 30 * 60.0


def read_records(path: Path, spare: Path) -> list[RunRecord]:
    """Every result at or below `path`, oldest first. `spare` is an empty folder of ours, where a
    zip is unpacked. Raises RunError where there is none."""
    if not path.exists():
        raise RunError(f"{path} is not there", "Give a folder under runs/, or a job's zip.")
    if path.is_file() and path.name != RESULT and not _begins_as_zip(path):
        raise RunError(
            f"{path} is no folder and no zip",
            "Give a folder under runs/, an output folder, or the zip with a job's output.",
        )
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


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def record_of(folder: Path, writable: bool) -> RunRecord | None:
    """One final result: a record that still says `running` and whose process is gone was
    interrupted. None where the file is no result of ours."""
    result = read_result(folder)
    if not result:
        return None
    try:
        if result.get("status") == "running":
            result = _final(folder, result, writable)
        record = read_run(str(folder), result)
        report_page(record)
    except MALFORMED as error:
        raise RunError(
            f"{folder / RESULT} is not as jobgen writes it: {type(error).__name__}: {error}",
            "docs/result.schema.json says what may stand there.",
        ) from error
    return record


def _final(folder: Path, result: dict[str, Any], writable: bool) -> dict[str, Any]:
    """A record that says `running`: as it is where its process lives, or may live elsewhere and
    has said something lately; else interrupted, and written down where that is certain."""
    alive = is_alive(result)
    if alive:
        return result
    if alive is None and writable:
        events = folder / "events.jsonl"
        if events.is_file() and time.time() - events.stat().st_mtime < LATELY:
            return result
    result = close_result(result, "interrupted", "the process was killed")
    if writable and alive is False:
        write_result(folder, result)
    return result


def unpack_shown(path: Path, goal: Path) -> None:
    """Only what a page shows, of an archive of any layout. Raises RunError where it is torn or
    none."""
    if sum(size for name, size in sizes_in(path) if _is_shown(name)) > MOST_BYTES:
        raise RunError(f"{path}: results and logs of more than 256 MB can't be meant")
    unpack_output(path, goal, _is_shown)


def _is_shown(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[-1] in SHOWN or any(part in SHOWN_FOLDERS for part in parts[:-1])
