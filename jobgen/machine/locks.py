"""One builder at a time for things in the cache, and never a half-made one in use."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from jobgen.files import write_atomically

MARK = ".complete"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; wait while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def make_once(
    folder: Path,
    make: Callable[[Path], str],
    damage: Callable[[Path], str | None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, bool]:
    """Give what `make(folder)` said when it made `folder`, and whether it was made just now.

    A folder without its mark is left from an interrupted build: it is removed and made anew; so
    is one of which `damage(folder)` says what is wrong with it.
    """
    mark = folder / MARK
    with locked(folder.with_name(folder.name + ".lock")):
        if mark.is_file():
            fault = damage(folder)
            if fault is None:
                return mark.read_text(encoding="utf-8"), False
            say(f"{folder.name} in the cache is damaged and is made anew: {fault}")
        if folder.exists():
            shutil.rmtree(folder)
        try:
            said = make(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        write_atomically(mark, said.encode())
        return said, True
