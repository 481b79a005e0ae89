"""Whose a record is: one process writes it, and others can tell which."""

import os
from typing import Any, Dict

from jobgen_runtime.record.errors import StageError

# The open lock of each folder that this process records in; the system closes it at the end.
_held: Dict[str, int] = {}


def hold_folder(folder: str) -> None:
    """Make a run's folder this process's own. Raises StageError while another one's run is at
    work in it: they would train into the same checkpoints."""
    try:
        import fcntl
    except ImportError:
        return
    place = os.path.realpath(folder)
    if place in _held:
        return
    os.makedirs(place, exist_ok=True)
    lock = os.open(os.path.join(place, ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 20).decode("ascii", "replace").strip()
        os.close(lock)
        if owner == str(os.getpid()):
            return  # an earlier version of these tools, in this very kernel
        raise StageError(
            "another run of this job is at work in %s (process %s)" % (folder, owner),
            "Wait for its end, or stop it; or give this one another home: HOME_DIR.",
            cause="order",
        )
    except OSError:
        # A file system without locks.
        os.close(lock)
        return
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    _held[place] = lock


def process_identity(pid: int) -> Dict[str, Any]:
    """What tells a process from any other, of an earlier start of the machine too."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as stream:
            boot = stream.read().strip()
        with open("/proc/%d/stat" % pid) as stream:
            fields = stream.read().rpartition(")")[2].split()
        # Nobody may have fetched the exit status of a process that has ended.
        started = 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return {"pid": pid, "boot": "", "started": 0}
    return {"pid": pid, "boot": boot, "started": started}


def children_memory() -> int:
    """The most memory that a child of this process had, in bytes; 0 where it is not known."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
