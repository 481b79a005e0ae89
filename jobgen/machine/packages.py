"""Python environments for what is no training: made once with uv, kept by their packages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from jobgen.files import sha256
from jobgen.machine.environment import Say, run_uv, uv_program
from jobgen.machine.index import uv_environment
from jobgen.machine.interpreters import VERSIONS, Version, candidate_pythons, find_python
from jobgen.machine.locks import make_once


def python_with(
    name: str,
    packages: Iterable[str],
    cache: Path,
    say: Say,
    *,
    alone: Iterable[str] = (),
    pythons: Iterable[Version] = (),
    what: str = "a local run",
) -> Path:
    """The Python of an environment with these packages, as pip takes them, and what they need, and
    those of `alone` without what they need; of one of the versions `pythons`, or of any. `what`
    needs it. Raises RunError where it can't be made."""
    rows, lone = sorted(set(packages)), sorted(set(alone))
    versions = tuple(pythons) or VERSIONS
    version, base = find_python(candidate_pythons(versions), versions, what)
    key = sha256("\n".join([*rows, *lone, str(version), base]).encode())[:16]
    folder = cache / "envs" / f"{name}-py{version[0]}{version[1]}-{key}"

    def make(place: Path) -> str:
        say(f"making the Python environment {place.name} (once): {', '.join([*rows, *lone])} ...")
        uv, env, log = uv_program(), uv_environment(None), place.with_name(place.name + ".log")
        python = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        run_uv([uv, "venv", "--python", base, str(place)], env, log, say)
        run_uv([uv, "pip", "install", "--python", python, *rows], env, log, say)
        if lone:
            run_uv([uv, "pip", "install", "--python", python, "--no-deps", *lone], env, log, say)
        return python

    python, _ = make_once(folder, make, say=say)
    return Path(python)
