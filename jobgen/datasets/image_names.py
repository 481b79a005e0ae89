"""Image names that mean a file of the set and are written otherwise."""

from __future__ import annotations

import unicodedata

from jobgen.datasets.contents import Contents
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import Split


def meant_path(files: Contents, split: Split, row: int) -> str | None:
    """The one image that a row's name means, where it is not there under that name: other letter
    case, Unicode form or slashes, or a path that another machine had."""
    path, name = split.path(row), split.image_names[row]
    if path in files.sizes:
        return None
    index: dict[str, list[str]] = files.memo.setdefault(" folded", {})
    if not index:
        for known in files.names:
            index.setdefault(folded(known), []).append(known)
    tries = [path]
    if name.startswith("/") or "\\" in name or ":" in name:
        tries.append(f"{split.folder}/{name.replace(chr(92), '/').rpartition('/')[2]}".lstrip("/"))
    for wanted in tries:
        found = index.get(folded(wanted), [])
        if len(found) == 1:
            return found[0]
    return None


def elsewhere(files: Contents, split: Split) -> dict[int, str]:
    """Missing images that lie in another folder under the same name, {row: path}; nothing where
    that explains less than half of those that are missing."""
    gone = [row for row, path in enumerate(split.paths)
            if path not in files.sizes and meant_path(files, split, row) is None]  # fmt: skip
    if not gone:
        return {}
    places: dict[str, list[str]] = files.memo.setdefault(" by own name", {})
    if not places:
        for name in filter(is_image, files.names):
            places.setdefault(name.rpartition("/")[2], []).append(name)
    found = {}
    for row in gone:
        there = places.get(split.image_names[row].rpartition("/")[2], [])
        if len(there) == 1:
            found[row] = there[0]
    return found if 2 * len(found) >= len(gone) else {}


def folded(name: str) -> str:
    """What names have in common that some system takes for one."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()
