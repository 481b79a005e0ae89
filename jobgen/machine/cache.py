"""What jobgen keeps for the next run: environments, mirrors, weights."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from jobgen.catalog import Environment
from jobgen.errors import RunError
from jobgen.files import write_atomically
from jobgen.machine.damage import environment_damage, mirror_damage
from jobgen.machine.environment import environment_folder, look_into, managed_python
from jobgen.machine.locks import MARK, locked
from jobgen.machine.mirror import find_mirror, mirror_folder, require_pinned
from jobgen_runtime.train.downloads import half_file
from jobgen_runtime.train.weights import (
    DOWNLOAD_TRIES,
    cached_weights,
    download_weights,
)
from jobgen_runtime.train.weightsfile import weights_fault

KINDS = ("envs", "mirrors", "weights", "npm")


@dataclass(frozen=True)
class Entry:
    """One thing in the cache; `whole` is False for what an interrupted build left."""

    kind: str
    path: Path
    bytes: int
    whole: bool

    @property
    def name(self) -> str:
        return self.path.name


def size_of(path: Path) -> int:
    """Bytes of a file or of all files below a folder; links count as themselves."""
    if path.is_file():
        return path.stat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total


def entries(cache: Path) -> list[Entry]:
    """Everything in the cache, by kind and name."""
    found = []
    for kind in KINDS:
        place = cache / kind
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_dir():
                found.append(Entry(kind, path, size_of(path), (path / MARK).is_file()))
            elif path.suffix in (".pdparams", ".part"):
                found.append(Entry(kind, path, size_of(path), path.suffix == ".pdparams"))
    return found


def damaged(cache: Path) -> list[str]:
    """What is in the cache and finished, but not as it was made any more, and why."""
    looks = {"envs": environment_damage, "mirrors": mirror_damage}
    found = []
    for entry in entries(cache):
        fault = looks[entry.kind](entry.path) if entry.whole and entry.kind in looks else None
        if fault:
            found.append(f"{entry.name}: {fault}")
    return found


def users_of(path: Path) -> list[int]:
    """The processes whose program or arguments lie below a path."""
    start = f"{path}{os.sep}"
    found = psutil.process_iter(["cmdline"])
    return [p.pid for p in found if any(w.startswith(start) for w in p.info["cmdline"] or ())]


def remove(entry: Entry) -> None:
    """Take one thing out of the cache. Raises RunError where a run is using it."""
    users = users_of(entry.path)
    if users:
        raise RunError(
            f"{entry.name} is in use (process {users[0]})", "Wait for the run, or stop it first."
        )
    if entry.path.is_file():
        entry.path.unlink()
        return
    with locked(entry.path.with_name(entry.name + ".lock")):
        # Without its mark first: what a kill leaves is never taken for whole.
        (entry.path / MARK).unlink(missing_ok=True)
        shutil.rmtree(entry.path)
    # The lock's file stays: whoever waits for it would hold one that nobody else sees.
    entry.path.with_name(entry.name + ".log").unlink(missing_ok=True)


@dataclass(frozen=True)
class Needs:
    """What a job fetches before its first step. `weights` is an address, or empty; `paddle_index`
    as in the settings."""

    environment: Environment
    weights: str
    gpu: bool = False
    paddle_index: str = ""


def lacking(needs: Needs, cache: Path, own_python: bool, own_mirror: bool) -> list[str]:
    """What of it is not in the cache, in words."""
    found = []
    if not own_python:
        folder = environment_folder(needs.environment, cache, needs.gpu, needs.paddle_index)[0]
        found += _lack(folder, f"the Python environment {folder.name}", environment_damage)
    if not own_mirror:
        folder = mirror_folder(needs.environment, cache)
        found += _lack(folder, needs.environment.revision.full, mirror_damage)
    if needs.weights and not _weights_file(needs.weights, cache).is_file():
        found.append(f"the pretrained weights {needs.weights}")
    return found


def _lack(folder: Path, name: str, damage: Callable[[Path], str | None]) -> list[str]:
    if not (folder / MARK).is_file():
        return [name]
    fault = damage(folder)
    return [f"{name}, which is damaged ({fault})"] if fault else []


def _weights_file(url: str, cache: Path) -> Path:
    return Path(cached_weights(url, str(cache / "weights")))


def fetch(needs: Needs, cache: Path, given: Path | None, say: Callable[[str], None]) -> list[str]:
    """Put everything into the cache; `given` is a folder that may hold wheels, weights and a copy
    of PaddleDetection (PaddleDetection.git), as on a USB stick. Gives a line for each. Raises
    RunError where something can't be had."""
    python, _ = managed_python(needs.environment, cache, say, needs.gpu, needs.paddle_index, given)
    found = [f"environment  {python.parent.parent.name}  {look_into(python)}"]
    environment = needs.environment
    copy = given / f"{environment.suite.title}.git" if given is not None else None
    if copy is not None and copy.is_dir():
        require_pinned(copy, environment.revision)
        environment = replace(environment, urls=[copy.absolute().as_uri()])
    mirror = find_mirror(environment, cache, None, say, given)
    found.append(f"mirror       {mirror_folder(environment, cache).name}  {mirror.origin}")
    if needs.weights:
        found.append(f"weights      {_fetch_weights(needs.weights, cache, given, say)}")
    return found


def _fetch_weights(url: str, cache: Path, given: Path | None, say: Callable[[str], None]) -> str:
    goal = _weights_file(url, cache)
    if goal.is_file() and weights_fault(str(goal)) is None:
        return f"{goal.name}  there already"
    goal.parent.mkdir(parents=True, exist_ok=True)
    if given is not None:
        source = given / url.rpartition("/")[2]
        if not source.is_file():
            raise RunError(f"{source.name} is not in {given}", f"It is to be had at {url}")
        fault = weights_fault(str(source))
        if fault is not None:
            raise RunError(f"{source} is no weights file ({fault})", "Copy it again.")
        write_atomically(goal, source.read_bytes())
        return f"{goal.name}  from {given}"
    say(f"fetching {url} ...")
    try:
        for attempt in range(DOWNLOAD_TRIES):
            try:
                download_weights(url, str(goal))
                break
            except (OSError, ValueError):
                if attempt == DOWNLOAD_TRIES - 1:
                    raise
    except (OSError, ValueError) as error:
        Path(half_file(str(goal))).unlink(missing_ok=True)
        raise RunError(
            f"{url} could not be fetched: {error}",
            "Usually the network; a file that was fetched elsewhere is taken by --from FOLDER.",
        ) from error
    return f"{goal.name}  {goal.stat().st_size:,} bytes"
