"""Ends a child that will not end well by itself: hung, out of time, or out of disk."""

import os
import shutil
import time
from typing import Dict, List, NamedTuple, Optional

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import outcome, running_outcome
from jobgen_runtime.record.text import duration_text

LOOK_EVERY = 10.0
# What a process that only waits uses of a processor: Paddle's reader polls its queue.
IDLE_SHARE = 0.02
IDLE_BYTES = 64 * 1024
GAPS = 5
DISK_FLOOR = 200 * 2**20


class Activity(NamedTuple):
    """What a session's processes have used so far: processor seconds, bytes of disk."""

    seconds: float
    bytes: int


def session_processes(session: int) -> List[int]:
    """The processes of a session and all that descend from them: Paddle's launcher gives each
    of its processes a session of its own."""
    parents: Dict[int, List[int]] = {}
    found: List[int] = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        fields = _stat(int(name)) if name.isdigit() else []
        if len(fields) > 3:
            parents.setdefault(int(fields[1]), []).append(int(name))
            if fields[3] == str(session):
                found.append(int(name))
    for pid in found:  # grows while it is gone through
        found += [child for child in parents.get(pid, []) if child not in found]
    return found


def _stat(pid: int) -> List[str]:
    """The fields of /proc/<pid>/stat after the name; empty where it has gone."""
    try:
        with open("/proc/%d/stat" % pid) as stream:
            return stream.read().rpartition(")")[2].split()
    except OSError:
        return []


def session_activity(session: int) -> Optional[Activity]:
    """What a session has used so far; None where the system does not say."""
    if not os.path.isdir("/proc/self"):
        return None
    ticks, transferred = 0, 0
    for pid in session_processes(session):
        fields = _stat(pid)
        # utime, stime, and those of the children that it has waited for.
        ticks += sum(int(field) for field in fields[11:15])
        try:
            with open("/proc/%d/io" % pid) as stream:
                rows = dict(line.split(":") for line in stream)
            transferred += int(rows["read_bytes"]) + int(rows["write_bytes"])
        except (OSError, ValueError, KeyError):
            continue
    return Activity(ticks / float(os.sysconf("SC_CLK_TCK")), transferred)


class Guard:
    """Watches one child while its output is read.

    A child is taken for hung when it has neither said a line nor used processor or
    disk for `patience` seconds, or five times its longest pause so far: an evaluation
    or a download may be silent for long. `deadline` is on the clock of
    `time.monotonic`; `folder` lies on the disk that must not fill up.
    """

    def __init__(
        self,
        patience: Optional[float] = None,
        deadline: Optional[float] = None,
        folder: Optional[str] = None,
    ) -> None:
        self.patience = patience
        self.deadline = deadline
        self.folder = folder
        now = time.monotonic()
        self._heard = self._looked = self._busy = now
        self._longest = 0.0
        self._activity: Optional[Activity] = None

    def hurry(self, patience: float) -> None:
        """The child has said that it is in trouble: it gets less time to hang."""
        if self.patience is not None:
            self.patience = min(self.patience, patience)
            self._longest = 0.0

    def heard(self) -> None:
        """The child said something."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._heard)
        self._heard = now

    def look(self, session: int) -> None:
        """To be called once a second or so. Raises StageError where the child must be ended."""
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline:
            raise time_is_up()
        if now - self._looked < min(LOOK_EVERY, (self.patience or LOOK_EVERY) / 4):
            return
        self._look_at_disk()
        if self.patience is not None:
            self._look_at_session(session, now)
        self._looked = now

    def _look_at_disk(self) -> None:
        if self.folder is None or not os.path.isdir(self.folder):
            return
        free = shutil.disk_usage(self.folder).free
        if free < DISK_FLOOR:
            raise StageError(
                "only %.0f MB are left on the disk of %s" % (free / 2.0**20, self.folder),
                "Free some space, then run the same job again: it resumes from its last whole "
                "checkpoint. A larger snapshot_epoch keeps fewer checkpoints.",
                cause="disk",
            )

    def _look_at_session(self, session: int, now: float) -> None:
        assert self.patience is not None
        if now - self._heard < self.patience / 4:
            self._activity, self._busy = None, now
            return
        before, self._activity = self._activity, session_activity(session)
        if self._activity is None:
            return
        if before is None:
            self._busy = now
            return
        seconds = self._activity.seconds - before.seconds
        transferred = self._activity.bytes - before.bytes
        used = seconds > IDLE_SHARE * (now - self._looked) or transferred > IDLE_BYTES
        # Less than before: a process has ended, and took its count with it.
        if used or seconds < 0 or transferred < 0:
            self._busy = now
        silent = now - max(self._heard, self._busy)
        if silent > max(self.patience, GAPS * self._longest):
            raise StageError(
                "nothing was heard for %s, and neither processor nor disk were used: it hangs"
                % duration_text(now - self._heard),
                "Run the same job again: training resumes from its last whole checkpoint. If it "
                "hangs again, set WORKERS = 0; jobgen check --deep names images it can't read.",
                cause="stall",
            )


def time_is_up() -> StageError:
    """The job's own limit is reached; what there is by now is still gathered."""
    limit = outcome().time_limit
    return StageError(
        "the job's time is up (TIME_LIMIT_HOURS = %g)" % (limit / 3600.0),
        "Run the same job again to resume from its last whole checkpoint, or give its output to "
        "another job as RESUME_FROM.",
        cause="time",
    )


def job_guard(patience: Optional[float] = None) -> Guard:
    """A guard with the limits of the running job; none of them where no job is running."""
    run = running_outcome()
    if run is None:
        return Guard(patience)
    return Guard(patience, run.deadline, run.folder)
