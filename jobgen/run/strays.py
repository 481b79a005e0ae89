"""Processes of a run that have lost their way: nothing outlives the run, whatever ended it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil

# In the environment of the kernel, and so of everything that it starts.
MARK = "JOBGEN_RUN"


def strays(folder: Path) -> list[int]:
    """The processes that were started for the run in `folder`."""
    found = []
    for process in psutil.process_iter():
        # Of others, and of those that have just ended, nobody may know.
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                found.append(process.pid)
    return found


def end_strays(folder: Path) -> list[int]:
    """Kill them, and give their numbers."""
    found = strays(folder)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return found
