"""Long work in a child process, with a line now and then that says how far it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO

import psutil

from jobgen_runtime.children.guard import session_processes
from jobgen_runtime.children.processes import DIE_WITH_PARENT

EVERY = 10.0
LEAST = 5_000_000


def run_with_progress(
    argv: list[str],
    env: dict[str, str],
    log: IO[str],
    say: Callable[[str], None],
    timeout: float | None = None,
    every: float = EVERY,
) -> int:
    """Run `argv`, its words into `log`, and say every few seconds how many bytes it has written:
    downloads tell their size to a terminal only. Gives the exit status. Raises
    subprocess.TimeoutExpired; whatever ends it, its processes are ended too.
    """
    process = subprocess.Popen(
        argv, env=env, stdout=log, stderr=log, start_new_session=True, preexec_fn=DIE_WITH_PARENT
    )
    started = told = time.monotonic()
    highest = said = 0
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(min(0.5, every))
            now = time.monotonic()
            if timeout is not None and now - started > timeout:
                raise subprocess.TimeoutExpired(argv, timeout)
            if now - told >= every:
                highest, told = max(highest, written_bytes(process.pid)), now
                if highest - said >= LEAST:
                    say(f"  {highest / 1e6:,.0f} MB so far")
                    said = highest
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def written_bytes(session: int) -> int:
    """What the processes of a session have written, to files and pipes, as Linux counts it."""
    total = 0
    for pid in session_processes(session):
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).io_counters().write_chars
    return total
