"""Whether what is kept for the next run is still what was made: environments and mirrors."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

from jobgen.machine.gitcall import git_environment
from jobgen.machine.interpreters import python_facts
from jobgen.text import PIPED

FSCK_TIMEOUT = 120


def environment_damage(folder: Path) -> str | None:
    """What is wrong with a Python environment: its interpreter, or a file of a package that is
    gone or has another size than was installed; None for a whole one."""
    if python_facts(str(folder / "bin" / "python")) is None:
        return "its Python does not run"
    places = list(folder.glob("lib/python3.*/site-packages"))
    records = [record for place in places for record in place.glob("*.dist-info/RECORD")]
    if not records:
        return "no package is installed in it"
    for record in records:
        fault = _record_fault(record)
        if fault:
            return f"{record.parent.name.removesuffix('.dist-info')}: {fault}"
    return None


def _record_fault(record: Path) -> str | None:
    place = record.parent.parent
    try:
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error):
        return "its list of files can't be read"
    for row in rows:
        # Compiled files come and go; those without a size may change.
        if len(row) != 3 or not row[2].isdigit() or row[0].endswith(".pyc"):
            continue
        try:
            size = (place / row[0]).stat().st_size
        except OSError:
            return f"{row[0]} is gone"
        if size != int(row[2]):
            return f"{row[0]} has {size:,} bytes instead of {int(row[2]):,}"
    return None


def mirror_damage(folder: Path) -> str | None:
    """What git finds wrong with the mirror in `folder`; None for a whole one."""
    argv = ["git", "-C", str(folder / "repo.git"), "fsck", "--no-dangling", "--no-progress"]
    try:
        answer = subprocess.run(
            argv, env=git_environment(), **PIPED, timeout=FSCK_TIMEOUT,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"git can't check it: {error}"
    if answer.returncode != 0:
        said = [line for line in answer.stderr.splitlines() if line.strip()]
        return said[0] if said else "git finds it damaged"
    return None
