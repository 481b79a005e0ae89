"""A run over someone's own Python, which stays as it is: what it lacks lies beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.catalog import Environment, environments, pins
from jobgen.errors import RunError
from jobgen.machine.environment import run_uv, uv_program
from jobgen.machine.index import uv_environment
from jobgen.machine.locks import make_once
from jobgen.text import PIPED

# What decides a training: never installed beside the Python's own, and proven unchanged.
KEPT = ("numpy", "paddlepaddle", "paddlepaddle-gpu")
# What starts the kernel, beside what PaddleDetection needs.
KERNEL = "ipykernel"
LOOK = """
import importlib.util, json, site, sys
from importlib.metadata import distributions
def place(name):
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return found.origin if found else None
named = {}
for found in distributions():
    name = (found.metadata["Name"] or "").lower().replace("_", "-")
    named.setdefault(name, found.version)
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "path": [p for p in sys.path if p],
    "installed": named,
    "places": {name: place(name) for name in sys.argv[1:]},
}))
"""


@dataclass(frozen=True)
class OwnPython:
    """A Python as it was found: `installed` are its distributions, `places` the files of modules
    (None where one is lacking), `path` its sys.path."""

    python: Path
    version: tuple[int, int]
    path: list[str]
    installed: dict[str, str]
    places: dict[str, str | None]

    @property
    def kept(self) -> dict[str, str | None]:
        """Version and file of what decides a training."""
        found = {name: self.installed.get(name) for name in KEPT}
        return {**found, **{f"import {m}": self.places.get(m) for m in ("numpy", "paddle")}}


def look_at(python: Path, modules: list[str]) -> OwnPython:
    """What a Python has, told by itself. Raises RunError where it does not run."""
    argv = [str(python), "-s", "-c", LOOK, *modules]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        answer = subprocess.run(
            argv,
            **PIPED,
            timeout=120,
            check=True,
            env=env,
            cwd="/",
        )
        found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise RunError(
            f"{python} is no Python that runs", "Give the path of an interpreter: --python"
        ) from error
    version = (found["version"][0], found["version"][1])
    return OwnPython(python, version, found["path"], found["installed"], found["places"])


def wanted_modules(
    environment: Environment, *, onnx: bool = False, int8: bool = False
) -> list[str]:
    """What a Python must have for a job of the environment; with `onnx` for its export too, with
    `int8` for its compression."""
    needs = environment.needs(onnx=onnx, int8=int8)
    return [need["module"] for need in needs] + [KERNEL, "numpy", "paddle"]


def lay_over(
    own: OwnPython, environment: Environment, folder: Path, say: Callable[[str], None]
) -> list[str]:
    """Install what the Python lacks into `folder`, from a full pin list and without dependencies,
    so that nothing it has gets a newer one in front. Gives the pins that were installed. Raises
    RunError where Paddle itself is lacking, or where they can't be had."""
    missing = [name for name, place in own.places.items() if place is None]
    if "paddle" in missing or "numpy" in missing:
        raise RunError(
            f"{own.python} has no {'Paddle' if 'paddle' in missing else 'NumPy'}",
            "Give a Python in which Paddle is installed, or leave --python out: jobgen makes one.",
        )
    if not missing:
        return []
    rows = lacking_pins(own, environment)

    def make(place: Path) -> str:
        say(f"laying {len(rows)} packages over {own.python}, which lacks {', '.join(missing)} ...")
        place.mkdir(parents=True)
        listed = place / "pins.txt"
        listed.write_text("\n".join(rows) + "\n", encoding="utf-8")
        argv = [uv_program(), "pip", "install", "--no-deps", "--target", str(place)]
        argv += ["--python", str(own.python), "-r", str(listed)]
        run_uv(argv, uv_environment(), place.with_name(place.name + ".log"), say)
        return "\n".join(rows)

    make_once(folder, make)
    return rows


def lacking_pins(own: OwnPython, environment: Environment) -> list[str]:
    """The pins of the distributions that the Python does not have, whatever version it has."""
    local = environment
    if environment.local is None:
        # Its Paddle is of another release; what is beside it may be the same.
        local = next(other for other in environments().values() if other.local)
    # Several distributions may bring one module, as OpenCV's do: the Python's own one stays.
    there = {need["pip"] for need in environment.revision.needs if own.places.get(need["module"])}
    rows = []
    for row in pins(local).splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", row)
        name = match[1].lower().replace("_", "-") if match else ""
        if name and name not in {*KEPT, *there, *own.installed}:
            rows.append(row.strip())
    return rows


def overlay_environment(folder: Path) -> dict[str, str]:
    """What keeps a kernel's writing inside the overlay: what the notebook still installs, and
    the byte code of the Python's own modules."""
    return {
        "PYTHONPATH": str(folder),
        "PIP_TARGET": str(folder),
        "PIP_NO_DEPS": "1",
        "PIP_USER": "0",
        "PYTHONPYCACHEPREFIX": str(folder.with_name(folder.name + "-pycache")),
    }


def fingerprint(own: OwnPython) -> str:
    """A hash over path, size and time of every file of the Python's packages."""
    rows = []
    for place in sorted({p for p in own.path if p.rstrip("/").endswith("-packages")}):
        for folder, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = Path(folder) / name
                facts = path.lstat()
                rows.append(f"{path} {facts.st_size} {facts.st_mtime_ns}\n")
    return hashlib.sha256("".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def prove_unchanged(own: OwnPython, before: str) -> None:
    """NumPy and Paddle are the same files and versions, and no package was written to. Raises
    RunError otherwise."""
    after = look_at(own.python, list(own.places))
    for name, facts in own.kept.items():
        if after.kept[name] != facts:
            raise RunError(
                f"{own.python}: {name} was {facts} before the run, is {after.kept[name]}"
            )
    if fingerprint(own) != before:
        raise RunError(
            f"packages of {own.python} have changed while the run was at work",
            "Nothing of jobgen writes there: was something installed meanwhile?",
        )
