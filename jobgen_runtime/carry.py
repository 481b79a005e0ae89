"""The last lines of the notebook's tools cell: its files become a package that is imported."""

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from typing import Dict, List, Optional


def carry(files: Dict[str, str], home: str) -> str:
    """Write `files`, path to text, as the package jobgen_runtime, and have Python import it from
    there. Gives the folder, below `home`: one for each content, whole or not there, that no other
    user can write; where that can't be, a temporary one."""
    home = os.path.realpath(home)
    names = sorted(files)
    content = "".join("%s\0%s\0" % (name, files[name]) for name in names)
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]
    loaded = loaded_from()
    if loaded and holds(loaded, files):
        # All cells run once more in the same kernel: what this run holds, as its lock, stays held.
        return loaded
    try:
        make_private(home)
        folder = os.path.join(home, digest)
        if not holds(folder, files):
            fresh = tempfile.mkdtemp(prefix=digest + ".", dir=home)
            try:
                write(fresh, files)
            except OSError:  # a full disk: another may have room
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            try:
                os.rename(fresh, folder)
            except OSError:  # another run made it just now, or something else is in the way
                folder = fresh
    except OSError:
        folder = tempfile.mkdtemp(prefix="jobgen-")
        write(folder, files)
    forget_loaded()
    sys.path.insert(0, folder)
    return folder


def loaded_from() -> Optional[str]:
    """The folder of the tools that this kernel has imported already."""
    path = getattr(sys.modules.get("jobgen_runtime"), "__file__", None)
    return os.path.dirname(os.path.dirname(path)) if path else None


def forget_loaded() -> None:
    """Other tools are imported next: those of before must not judge the run as the kernel ends."""
    record = sys.modules.get("jobgen_runtime.record.outcome")
    if record is not None:
        atexit.unregister(record._close_between_stages)
        del record._current[:]
    for name in [name for name in sys.modules if name.split(".")[0] == "jobgen_runtime"]:
        del sys.modules[name]


def make_private(folder: str) -> None:
    """Make a folder for this user alone. Raises OSError where another could change what is in it,
    or put something else in its place."""
    before = os.umask(0o077)
    try:
        os.makedirs(folder, exist_ok=True)
    finally:
        os.umask(before)
    safe = own(folder)
    while safe and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
        safe = holds_names(folder)
    if not safe:
        raise OSError("others can write there")


def own(folder: str) -> bool:
    """Whether only this user can change what is in a folder; elsewhere than on Unix, true."""
    if not hasattr(os, "getuid"):
        return True
    facts = os.lstat(folder)
    return facts.st_uid == os.getuid() and not facts.st_mode & 0o022 and os.path.isdir(folder)


def holds_names(folder: str) -> bool:
    """Whether no other user can rename what is in a folder: root may, and where everybody writes,
    as in /tmp, the sticky bit keeps others from it."""
    if not hasattr(os, "getuid"):
        return True
    facts = os.stat(folder)
    kept = not facts.st_mode & 0o022 or facts.st_mode & 0o1000
    return facts.st_uid in (0, os.getuid()) and bool(kept)


def holds(folder: str, files: Dict[str, str]) -> bool:
    """Whether a folder has exactly these texts, and no other module."""
    if not (os.path.isdir(folder) and own(folder)):
        return False
    try:
        for name, text in files.items():
            with open(os.path.join(folder, "jobgen_runtime", name), encoding="utf-8") as stream:
                if stream.read() != text:
                    return False
    except (OSError, ValueError):
        return False
    return not strangers(folder, files)


def strangers(folder: str, files: Dict[str, str]) -> List[str]:
    """Python files below a folder that are none of these."""
    found = []
    for place, _, names in os.walk(folder):
        inside = os.path.relpath(place, os.path.join(folder, "jobgen_runtime")).replace(os.sep, "/")
        for name in names:
            path = name if inside == "." else inside + "/" + name
            if name.endswith(".py") and path not in files:
                found.append(path)
    return found


def write(folder: str, files: Dict[str, str]) -> None:
    for name, text in files.items():
        path = os.path.join(folder, "jobgen_runtime", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
