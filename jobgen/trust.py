"""Whose code may run here: bundles that this machine built, and template folders once agreed to.

Running a bundle is running its code, and a template pack puts code into it. jobgen's own packs are
trusted; a folder of somebody's is trusted by its place, as git's safe.directory, when the user
says so once or makes it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jobgen.files import sha256, write_atomically
from jobgen.packs.render import Pack
from jobgen.resources import templates_dir


def foreign_folders(pack: Pack) -> list[Path]:
    """The folders of a job's templates that are not jobgen's own."""
    own = templates_dir().resolve()
    folders = [layer.folder.resolve() for layer in pack.layers]
    return [folder for folder in folders if not folder.is_relative_to(own)]


def untrusted(folders: Iterable[Path], cache: Path) -> list[Path]:
    """Of some folders of templates those that nobody here has agreed to."""
    return [folder for folder in folders if not _mark(cache, folder).exists()]


def trust_folder(folder: Path, cache: Path) -> None:
    """Remember that the templates in a folder may run. Raises OSError."""
    write_atomically(_mark(cache, folder), b"")


def _mark(cache: Path, folder: Path) -> Path:
    return cache / "trusted" / f"templates-{sha256(str(folder.resolve()).encode())}"


def is_trusted_bundle(digest: str, cache: Path) -> bool:
    return (cache / "trusted" / digest).exists()


def trust_bundle(digest: str, cache: Path) -> None:
    """Remember that a bundle with this SHA-256 may run. Raises OSError."""
    write_atomically(cache / "trusted" / digest, b"")
