"""Processes of a run that have lost their way: nothing outlives the run, whatever ended it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

# In the environment of the kernel, and so of everything that it starts.
MARK = "JOBGEN_RUN"


def strays(folder: Path) -> list[int]:
    """The processes that were started for the run in `folder`."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_strays(folder: Path) -> list[int]:
    """Kill them, and give their numbers."""
    found = strays(folder)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return found
