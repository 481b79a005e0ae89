"""What the rules of the machine look at."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from jobgen.errors import RunError
from jobgen.machine.environment import candidate_pythons, find_python
from jobgen.settings import Settings

# What `jobgen[run]` brings, by the names of its modules.
NEEDED = ("ipykernel", "nbclient", "psutil", "uv")


@dataclass(frozen=True)
class MachineFacts:
    """This computer as far as a run needs it; sizes in bytes.

    `python` is why there is no Python for the managed environment, empty where there is one.
    """

    system: str
    git: bool
    lacking: tuple[str, ...]
    python: str
    cache: Path
    disk_free: int
    memory: int | None
    environment_made: bool


def machine_facts(settings: Settings) -> MachineFacts:
    python = ""
    try:
        find_python(candidate_pythons())
    except RunError as error:
        python = error.message
    there = settings.cache
    while not there.exists():
        there = there.parent
    made = settings.cache / "envs"
    return MachineFacts(
        system=platform.system(),
        git=shutil.which("git") is not None,
        lacking=tuple(name for name in NEEDED if importlib.util.find_spec(name) is None),
        python=python,
        cache=settings.cache,
        disk_free=shutil.disk_usage(there).free,
        memory=available_memory(),
        environment_made=made.is_dir() and any(path.is_dir() for path in made.iterdir()),
    )


def available_memory() -> int | None:
    """Bytes that a new process can have, as Linux says; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
