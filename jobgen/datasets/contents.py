"""The files of an archive or a folder, read without unpacking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobgen.errors import DatasetError
from jobgen.runtime.archives import DAMAGE, is_litter, open_archive, open_member
from jobgen.runtime.outcome import StageError


class Contents:
    """The files of an archive or a folder, by relative path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise DatasetError(f"{path} is not there")
        self._read: Callable[[str], bytes]
        if path.is_dir():
            # A folder source keeps its own name below datasets/.
            found = {
                f"{path.name}/{p.relative_to(path).as_posix()}": p
                for p in sorted(path.rglob("*"))
                if p.is_file() and not is_litter(p.name)
            }
            self.names = list(found)
            self._read = lambda name: found[name].read_bytes()
            return
        try:
            archive, members = open_archive(str(path))
        except StageError as error:
            raise DatasetError(error.message, error.remedy) from error
        known = {member.name: member for member in members}
        self.names = list(known)
        self._read = lambda name: open_member(archive, known[name]).read()

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises DatasetError where they are damaged."""
        try:
            return self._read(name)
        except (*DAMAGE, OSError) as error:
            raise DatasetError(f"{self.path.name}: {name} can't be read: {error}") from error
