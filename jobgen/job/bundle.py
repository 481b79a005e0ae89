"""A bundle in memory, its folder, and whether the two agree."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.errors import BundleError
from jobgen.files import sha256, write_atomically
from jobgen.job.notebook import (
    PARAMETERS_TAG,
    cell_source,
    cell_tags,
    cells_digest,
    parse_notebook,
)
from jobgen.language import say_language

NOTEBOOK = "main.ipynb"
# What Jupyter and file managers leave in any folder, and the records of jobgen submit.
TOLERATED = frozenset([".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "desktop.ini", "submitted"])
SIZE_LIMIT = 512 * 1024


@dataclass(frozen=True)
class Bundle:
    """The files to upload, by name."""

    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        """One hash over names and contents."""
        rows = [f"{name} {sha256(data)}\n" for name, data in sorted(self.files.items())]
        return sha256("".join(rows).encode())

    @property
    def notebook(self) -> dict[str, Any]:
        return parse_notebook(self.files[NOTEBOOK], NOTEBOOK)

    @property
    def facts(self) -> dict[str, Any]:
        """What the notebook's metadata says of the bundle: version, spec, hashes of the files."""
        found = self.notebook["metadata"].get("jobgen", {})
        return found if isinstance(found, dict) else {}

    @property
    def name(self) -> str:
        spec = self.facts.get("spec", {})
        return str(spec.get("name", "job"))


def write_bundle(bundle: Bundle, folder: Path, among: bool = False) -> list[str]:
    """Write the files; give the names that changed.

    A folder with anything else in it is refused, since it would be uploaded too; unless the
    files go `among` others, as in AI Studio's home, where a version is put together by hand.
    """
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder} is a file", "Give a folder: -o DIR")
    strangers = _strangers(folder, bundle)
    if among:
        strangers = [name for name in strangers if name in bundle.files]
    if strangers:
        raise BundleError(
            f"{folder} holds other files than a bundle's: {', '.join(strangers[:5])}",
            "Move them away, or give another folder: -o DIR. A main.ipynb that is not as jobgen "
            "wrote it is never overwritten.",
        )
    _refuse_edited(folder)
    old = _known_before(folder) - set(bundle.files)
    changed = []
    for name, data in bundle.files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
            changed.append(name)
    for name in sorted(old):
        if (folder / name).is_file():
            (folder / name).unlink()
            changed.append(name)
    return changed


def _refuse_edited(folder: Path) -> None:
    """Raise BundleError for a notebook of ours whose code or parameters somebody has changed."""
    try:
        before = parse_notebook((folder / NOTEBOOK).read_bytes(), NOTEBOOK)
    except (OSError, BundleError):
        return
    facts = before["metadata"].get("jobgen", {})
    if "cells" not in facts:  # a bundle of an earlier version
        return
    same = facts["cells"] == cells_digest(before)
    parameters = [c for c in before["cells"] if PARAMETERS_TAG in cell_tags(c)]
    hashes = [sha256(cell_source(cell).strip().encode()) for cell in parameters]
    kept = hashes == [facts.get("parameters")]
    if not (same and kept):
        what = "its parameters were" if same else "its code was"
        raise BundleError(
            f"{folder / NOTEBOOK} is not as it was built: {what} changed by hand",
            "Write the change into job.yaml or templates/ (docs/templates.md), move that file "
            "away, and build again.",
        )


def read_facts(folder: Path) -> dict[str, Any]:
    """What the notebook in a folder says of its bundle; empty for one that jobgen did not make."""
    try:
        found = parse_notebook((folder / NOTEBOOK).read_bytes(), NOTEBOOK)
    except (OSError, BundleError):
        return {}
    facts = found["metadata"].get("jobgen", {})
    return facts if isinstance(facts, dict) else {}


def _known_before(folder: Path) -> set[str]:
    """The files that the notebook in `folder` was built with."""
    try:
        before = parse_notebook((folder / NOTEBOOK).read_bytes(), NOTEBOOK)
    except (OSError, BundleError):
        return set()
    files = before["metadata"].get("jobgen", {}).get("files", {})
    return {name for name in files if "/" not in name and "\\" not in name}


def _strangers(folder: Path, bundle: Bundle) -> list[str]:
    if not folder.is_dir():
        return []
    ours = _known_before(folder)
    known = {*bundle.files, *ours, *TOLERATED}
    if not ours:
        known -= {NOTEBOOK}  # a notebook of one's own, or a damaged one
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


def compare_bundle(bundle: Bundle, folder: Path) -> list[str]:
    """How `folder` differs from `bundle`, line by line; empty where it is current."""
    lines = []
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    present -= TOLERATED
    lines += [f"{name}: not in a bundle" for name in sorted(present - set(bundle.files))]
    for name, data in sorted(bundle.files.items()):
        if name not in present:
            lines.append(f"{name}: missing")
            continue
        there = (folder / name).read_bytes()
        if there != data:
            old = there.decode("utf-8", "replace").splitlines()
            new = data.decode("utf-8").splitlines()
            shown = list(difflib.unified_diff(old, new, name, f"{name} (built now)", "", "", 1))
            lines += shown[:40]
            if not shown:
                lines.append(f"{name}: line endings or the last newline differ")
    return lines


def read_bundle(folder: Path) -> Bundle:
    """Read an upload folder, and speak its job's language from here on. Raises BundleError where it
    is not just the files of one build."""
    path = folder / NOTEBOOK if folder.is_dir() else folder
    if not path.is_file():
        hint = "Build it first: jobgen build bundles/NAME/job.yaml"
        raise BundleError(f"{folder} holds no {NOTEBOOK}", hint)
    data = path.read_bytes()
    facts = parse_notebook(data, NOTEBOOK)["metadata"].get("jobgen")
    if not isinstance(facts, dict) or not isinstance(facts.get("files"), dict):
        raise BundleError(f"{path} was not made by jobgen build")
    spec = facts.get("spec")
    say_language("job", str(spec.get("language") or "") if isinstance(spec, dict) else "")
    files = {NOTEBOOK: data}
    for name, wanted in facts["files"].items():
        file = path.parent / name
        if "/" in name or "\\" in name or not file.is_file():
            raise BundleError(f"{path.parent} has no {name}", "Build the bundle again.")
        files[name] = file.read_bytes()
        if sha256(files[name]) != wanted:
            raise BundleError(
                f"{file} was edited after the build",
                "Change job.yaml and build again: what is uploaded is what was built.",
            )
    return Bundle(files)
