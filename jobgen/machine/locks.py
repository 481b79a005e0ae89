"""One builder at a time for things in the cache, and never a half-made one in use."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from jobgen.errors import RunError
from jobgen.files import write_atomically

MARK = ".complete"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; wait while another process holds it."""
    try:
        import fcntl
    except ImportError as error:
        raise RunError("local runs need Linux", "Use WSL, or try the job on AI Studio.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
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
