"""Several sources as one: their files as they lie side by side below datasets/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from jobgen.datasets.contents import Contents
from jobgen_runtime.data.archives import name_clash


class Joined(Contents):
    """Several sources as they lie side by side below datasets/, each in its `into:`."""

    def __init__(self, parts: Sequence[tuple[Contents, str]]) -> None:
        super().__init__(" + ".join(part.name for part, _ in parts))
        self.given = " ".join(part.given for part, _ in parts)
        self._home: dict[str, tuple[Contents, str]] = {}
        for part, into in parts:
            for name in part.names:
                placed = str(PurePosixPath(into) / name)
                self.names.append(placed)
                self.sizes[placed] = part.sizes[name]
                self._home[placed] = (part, name)
            self.faults += part.faults
            self.litter += part.litter
            self.odd_names += part.odd_names
        clash = name_clash(self.names)
        if clash:
            self.faults.append(("DS005", clash))
            self.names = list(self._home)
        self._threads = min(part.threads for part, _ in parts)
        self._is_archive = any(part.is_archive for part, _ in parts)

    @property
    def is_archive(self) -> bool:
        return self._is_archive

    @property
    def threads(self) -> int:
        return self._threads

    def _read(self, name: str) -> bytes:
        part, own = self._home[name]
        return part.read(own)

    def _head(self, name: str, size: int) -> bytes:
        part, own = self._home[name]
        return part.head(own, size)

    def crc(self, name: str) -> int | None:
        if name in self._held:
            return None
        part, own = self._home[name]
        return part.crc(own)
