"""A data set as a zip archive: the same bytes for the same input, on any machine and day."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.sources import refuse_mount
from jobgen.errors import DatasetError

# The epoch of zip files.
STAMP = (1980, 1, 1, 0, 0, 0)
UNIX = 3
# What an entry holds: its bytes, the file of the source that it is a copy of, that file and what is
# made of its bytes, or what gives its bytes.
Entry = bytes | str | tuple[str, Callable[[bytes], bytes]] | Callable[[], bytes]


def write_zip(
    target: Path, files: Contents, entries: Mapping[str, Entry], progress: Progress = silent
) -> None:
    """Write `target` whole or not at all. Raises DatasetError where it is there already.

    Nothing is compressed: images hardly shrink, and compressors differ between machines.
    """
    if target.exists():
        raise DatasetError(f"{target} is there already", "Give another name, or remove it first.")
    refuse_mount(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    half_done = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(half_done, "w") as archive:
            for number, name in enumerate(sorted(entries), 1):
                info = zipfile.ZipInfo(name, STAMP)
                info.create_system = UNIX
                info.external_attr = 0o644 << 16
                archive.writestr(info, _bytes(files, entries[name]))
                progress("writing files", number, len(entries))
        half_done.replace(target)
    finally:
        half_done.unlink(missing_ok=True)


def _bytes(files: Contents, entry: Entry) -> bytes:
    if isinstance(entry, tuple):
        source, made = entry
        return made(files.read(source))
    if callable(entry):
        return entry()
    return entry if isinstance(entry, bytes) else files.read(entry)


def check_target(target: Path) -> None:
    """Refuse a target that could not be written, before the work."""
    if target.suffix.lower() != ".zip":
        raise DatasetError(f"{target} is not named .zip", "A zip archive is written; name it so.")
    if target.exists():
        raise DatasetError(f"{target} is there already", "Give another name, or remove it first.")
    refuse_mount(target)
