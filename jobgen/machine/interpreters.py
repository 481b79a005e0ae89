"""The Pythons of this machine, and what each is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobgen.errors import RunError
from jobgen.files import shown
from jobgen.settings import home_folder
from jobgen.text import PIPED

Version = tuple[int, int]
VERSIONS: tuple[Version, ...] = ((3, 10), (3, 11), (3, 12))
FACTS = "import json,sys; print(json.dumps([list(sys.version_info[:2]), sys.executable]))"


def candidate_pythons(versions: Iterable[Version] = VERSIONS) -> Iterator[str]:
    """Interpreters of this machine that might do, the best guesses first."""
    for major, minor in versions:
        found = shutil.which(f"python{major}.{minor}")
        if found:
            yield found
        home = home_folder()
        roots = [os.environ.get("PYENV_ROOT", ""), f"{home}/.pyenv" if home else ""]
        for root in dict.fromkeys(filter(None, roots)):
            found_there = Path(root).glob(f"versions/{major}.{minor}.*/bin/python")
            yield from sorted(map(str, found_there), reverse=True)
        if home:
            # Where uv puts those that it installs.
            own = Path(home, ".local/share/uv/python").glob(f"cpython-{major}.{minor}*/bin/python")
            yield from sorted(map(str, own), reverse=True)
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            yield found
    yield sys.executable


def python_facts(python: str) -> tuple[Version, str] | None:
    """Version and real path of an interpreter, or None where it can't run."""
    try:
        answer = subprocess.run(
            [python, "-I", "-c", FACTS],
            **PIPED,
            timeout=60,
            check=True,
        )
        version, path = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (version[0], version[1]), path


def find_python(
    candidates: Iterable[str], versions: Iterable[Version] = VERSIONS, what: str = "a local run"
) -> tuple[Version, str]:
    """The first of the interpreters that is one of the versions, and its own; `what` needs it.
    Raises RunError without one."""
    wanted, seen = tuple(versions), []
    for python in candidates:
        facts = python_facts(python)
        if facts and facts[0] in wanted:
            return facts
        if facts:
            seen.append(f"{facts[0][0]}.{facts[0][1]}")
    there = f"only {', '.join(sorted(set(seen)))}" if seen else "none at all"
    names = [f"{major}.{minor}" for major, minor in sorted(wanted)]
    listed = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    if wanted != VERSIONS:
        own = shown(Path(sys.executable))
        raise RunError(
            f"{what} needs an installed Python {listed}; here is {there}",
            f"Install one, for example: {own} -m uv python install {names[-1]}",
        )
    raise RunError(
        f"{what} needs an installed Python {listed}; here is {there}",
        "Install one (for example: sudo apt-get install python3.11 python3.11-venv), or give a "
        "Python that has Paddle: --python PATH",
    )
