"""What the rules of the machine look at."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from jobgen.catalog import environments
from jobgen.errors import RunError
from jobgen.machine.cache import damaged
from jobgen.machine.index import uv_environment
from jobgen.machine.interpreters import candidate_pythons, find_python
from jobgen.settings import Settings
from jobgen_runtime.setup.machine import gpu_facts

# What `jobgen[run]` brings, by the names of its modules.
NEEDED = ("ipykernel", "nbclient", "uv")
PACKAGES = "https://pypi.org"
ANSWER_SECONDS = 3.0
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True)
class MachineFacts:
    """This computer as far as a run needs it; sizes in bytes.

    `training_mib` is what the job's training takes of a card, 0 where no job is looked at.
    `python` is why there is no Python for the managed environment, empty where there is one;
    `silent` are the addresses that a first run needs and that don't answer; `cards` the graphics
    cards, as runtime.machine.gpu_facts gives them; `damaged` what is in the cache and broken.
    """

    system: str
    git: bool
    lacking: tuple[str, ...]
    python: str
    cache: Path
    disk_free: int
    memory: int | None
    environment_made: bool
    shared_memory: int | None = None
    silent: tuple[str, ...] = ()
    cards: tuple[dict[str, Any], ...] = ()
    training_mib: int = 0
    damaged: tuple[str, ...] = ()


def machine_facts(
    settings: Settings, training_mib: int = 0, look_at_kept: bool = False
) -> MachineFacts:
    """The facts; `look_at_kept` also goes through what is in the cache, file by file."""
    python = ""
    try:
        find_python(candidate_pythons())
    except RunError as error:
        python = error.message
    there = settings.cache
    while not there.exists():
        there = there.parent
    made = _has_folder(settings.cache / "envs")
    shared = Path("/dev/shm")
    mirrored = settings.mirror is not None or _has_folder(settings.cache / "mirrors")
    return MachineFacts(
        system=platform.system(),
        git=shutil.which("git") is not None,
        lacking=tuple(name for name in NEEDED if importlib.util.find_spec(name) is None),
        python=python,
        cache=settings.cache,
        disk_free=shutil.disk_usage(there).free,
        memory=available_memory(),
        environment_made=made,
        shared_memory=shutil.disk_usage(shared).free if shared.is_dir() else None,
        silent=silent_addresses(made, mirrored),
        cards=tuple(gpu_facts()),
        training_mib=training_mib,
        damaged=tuple(damaged(settings.cache)) if look_at_kept else (),
    )


def _has_folder(path: Path) -> bool:
    return path.is_dir() and any(entry.is_dir() for entry in path.iterdir())


def silent_addresses(environment_made: bool, mirrored: bool) -> tuple[str, ...]:
    """What a first run fetches from and can't reach: the package index, and PaddleDetection's
    addresses where none of them answers. What is in the cache needs no network."""
    if any(os.environ.get(name) for name in PROXIES):
        return ()  # the proxy answers for all of them, or for none
    silent = []
    if not environment_made:
        index = uv_environment().get("UV_DEFAULT_INDEX") or PACKAGES
        if not answers(index):
            silent.append(urlsplit(index).hostname or "the package index")
    if not mirrored:
        urls = next(iter(environments().values())).urls
        if not any(map(answers, urls)):
            silent += [urlsplit(url).hostname or url for url in urls]
    return tuple(silent)


def answers(url: str) -> bool:
    """Whether a server takes connections at an address."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return True
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        with socket.create_connection((parts.hostname or "", port), ANSWER_SECONDS):
            return True
    except OSError:
        return False


def available_memory() -> int:
    """Bytes that a new process can have."""
    return int(psutil.virtual_memory().available)
