"""Questions to a child process and its answers, as JSON files."""

import json
import os
from typing import Any, Callable, List, Optional

from jobgen_runtime.children.processes import child_environment, json_from_child
from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.record.text import write_text_atomically

CHILD_TIMEOUT = 4 * 3600.0


def ask_child(
    argv: List[str], log: str, what: str, cwd: str, on_line: Optional[Callable[[str], None]] = None
) -> Any:
    """Run a child that writes its answer to a file; gives its last words, a JSON object."""
    return json_from_child(
        argv,
        log,
        what,
        cwd=cwd,
        env=child_environment(JOBGEN_PARENT=str(os.getpid())),
        timeout=CHILD_TIMEOUT,
        quiet=True,
        on_line=on_line,
    )


def exchange_files(name: str, request: Any) -> List[str]:
    """The paths of a request, written, and of the answer to it."""
    folder = outcome().path("scripts")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name + "-request.json")
    write_text_atomically(path, json.dumps(request, ensure_ascii=False) + "\n")
    answer = os.path.join(folder, name + "-answer.json")
    if os.path.exists(answer):
        os.remove(answer)
    return [path, answer]


def read_answer(path: str) -> Any:
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)
