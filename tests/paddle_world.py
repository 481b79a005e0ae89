"""What the tests with real Paddle share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

JOBGEN = [sys.executable, "-m", "jobgen"]


def call(*arguments: object, cwd: Path) -> tuple[int, dict[str, Any], str]:
    argv = [*JOBGEN, *map(str, arguments), "--json"]
    answer = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    print(answer.stderr)
    return answer.returncode, json.loads(answer.stdout or "{}"), answer.stderr


def events(output: Path, kind: str) -> list[dict[str, Any]]:
    lines = (output / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]
