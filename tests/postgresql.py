"""A PostgreSQL server of a test's own, of Debian's package, which can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PROGRAMS = next(
    (path for path in (Path(shutil.which("initdb") or "/none").resolve().parent,
                       *sorted(Path("/usr/lib/postgresql").glob("*/bin")))
     if (path / "initdb").is_file() and (path / "postgres").is_file()),
    None,
)  # fmt: skip


class PostgreSQL:
    """A server for the user `jobgen`, whose password is asked for; it does not run as root."""

    def __init__(self, programs: Path, password: str = "") -> None:
        self.programs = programs
        self.place = Path(tempfile.mkdtemp(prefix="jobgen-pg-"))
        self.as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.place, "nobody")
            self.as_user = ["runuser", "-u", "nobody", "--"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self.place / "password"
        secret.write_text(password or "none")
        how = ["-A", "scram-sha-256" if password else "trust", f"--pwfile={secret}"]
        init = [*self.as_user, str(programs / "initdb"), "-D", str(self.place / "data")]
        subprocess.run([*init, "-U", "jobgen", *how], check=True, capture_output=True,
                       cwd=self.place)  # fmt: skip
        self.address = f"postgresql+psycopg://jobgen@127.0.0.1:{self.port}/postgres"
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.server = subprocess.Popen(
            [*self.as_user, str(self.programs / "postgres"), "-D", str(self.place / "data"),
             "-p", str(self.port), "-k", str(self.place), "-c", "listen_addresses=127.0.0.1",
             "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.place,
        )  # fmt: skip
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                break
            time.sleep(0.1)
        time.sleep(0.5)

    def end(self, how: signal.Signals) -> None:
        """End it: SIGKILL in the middle of whatever it does, SIGINT in order."""
        if self.server is None:
            return
        whole = psutil.Process(self.server.pid).children(recursive=True)
        for process in whole:
            with contextlib.suppress(psutil.Error):
                process.send_signal(how)
        with contextlib.suppress(OSError):
            self.server.send_signal(how)
        self.server.wait(30)
        self.server = None
        psutil.wait_procs(whole, 10)

    def remove(self) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self.place, ignore_errors=True)


def new_server(password: str = "") -> Iterator[PostgreSQL]:
    """One that runs. Skips the test where none is installed."""
    if PROGRAMS is None:
        pytest.skip("no PostgreSQL here")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("no runuser here")
    found = PostgreSQL(PROGRAMS, password)
    try:
        found.start()
        yield found
    finally:
        found.remove()
