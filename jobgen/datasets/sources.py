"""The sources of a data set: what job.yaml says of them, and their files side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobgen.datasets.contents import Contents, open_contents
from jobgen.datasets.joined import Joined
from jobgen.errors import DatasetError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOUNT = re.compile(r"^data([1-9][0-9]*)$")


def open_sources(paths: Sequence[Path], into: Sequence[str] = ()) -> Contents:
    """The files of one source, or of several as the data stage lays them. Raises DatasetError."""
    if len(paths) == 1 and not any(into):
        return open_contents(paths[0])
    parts = [open_contents(path) for path in paths]
    return Joined(list(zip(parts, into or [""] * len(parts), strict=True)))


def source_of(path: Path, dataset_id: int | None) -> dict[str, Any]:
    """A source as job.yaml has it; in `data/data<ID>/`, as AI Studio mounts it, the id is read
    from there."""
    # A link keeps its own name, as `folder:` in job.yaml has it.
    whole = Path(os.path.abspath(path))  # noqa: PTH100
    mounted = MOUNT.match(whole.parent.name)
    number = dataset_id or (int(mounted.group(1)) if mounted else None)
    kind = "folder" if whole.is_dir() else "archive"
    return {**({"id": number} if number else {}), kind: whole.name}


def mounted_sources(home: Path) -> list[Path]:
    """What lies in `data/data<ID>/` below `home`: archives, and folders that are unpacked."""
    found = []
    for mount in sorted((home / "data").glob("data*")):
        if MOUNT.match(mount.name) and mount.is_dir():
            inside = sorted(p for p in mount.iterdir() if not p.name.startswith("."))
            found += [p for p in inside if p.is_dir() or p.name.lower().endswith(ARCHIVES)]
    return found


def the_mounted_source(home: Path) -> Path:
    """The one source that is mounted below `home`. Raises DatasetError for none and for several."""
    found = mounted_sources(home)
    if len(found) == 1:
        return found[0]
    if not found:
        raise DatasetError(
            "no data set is named, and none is mounted in data/data<ID>/",
            "Name it: --archive ships.zip",
        )
    raise DatasetError(
        "several data sets are mounted: " + ", ".join(str(p) for p in found[:8]),
        f"Name those that belong to the job: --archive {found[0]}",
    )


def check_output(output: Path, source: Path, endings: tuple[str, ...]) -> None:
    """Raise DatasetError where `output` would replace the data set, or is named as something else,
    or lies in a mount."""
    if output.suffix.lower() not in endings:
        raise DatasetError(f"{output} is not named {' or '.join(endings)}", "Give another name.")
    if output.exists() and source.exists() and output.samefile(source):
        raise DatasetError(f"{output} is the data set itself", "Give another name.")
    refuse_mount(output)


def in_mount(path: Path) -> Path | None:
    """The mount of the platform that `path` is or lies in, None outside of them."""
    whole = path.resolve()
    mounts = (p for p in (whole, *whole.parents) if MOUNT.match(p.name) and p.parent.name == "data")
    return next(mounts, None)


def refuse_mount(path: Path) -> None:
    """Raise DatasetError where `path` would be written into a mount, which is the platform's."""
    folder = in_mount(path.parent)
    if folder is not None:
        raise DatasetError(
            f"{path} lies in {folder}, which is mounted: nothing is written there",
            "Give another place, such as a folder below work/ or your home.",
        )
