"""Files: written whole or not at all, hashed, and compared."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
from pathlib import Path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step, with the permissions of a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    # There is no way to read the umask but to set it.
    value = os.umask(0o022)
    os.umask(value)
    return value


def shown(path: Path, system: str = os.name) -> str:
    """A path as it can be pasted into a shell, whatever it is called: nothing in it is run."""
    text = str(path)
    if system != "nt":
        return shlex.quote(text) if not re.fullmatch(r"[\w./:+-]+", text) else text
    if re.fullmatch(r"[\w./\\:+-]+", text):
        return text
    if not re.search(r"[$`%]", text):
        return f'"{text}"'
    # cmd and PowerShell agree on no quotes for these: in single ones PowerShell runs nothing.
    return "'" + text.replace("'", "''") + "'" if not re.search(r"[&|<>^%]", text) else '"FILE"'
