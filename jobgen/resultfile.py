"""result.json, the record of a run: where it is, and how it is read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobgen.files import write_atomically

RESULT = "result.json"


def read_result(path: Path) -> dict[str, Any]:
    """The record in a file, or in a folder's result.json; empty where there is none of a run."""
    file = path / RESULT if path.is_dir() else path
    try:
        found: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and "schema" in found and "stages" in found else {}


def write_result(folder: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomically(folder / RESULT, text.encode())
