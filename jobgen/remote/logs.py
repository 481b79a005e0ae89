"""A job's log, and its events, read as they grow."""

from __future__ import annotations

from jobgen.remote.jobs import Jobs
from jobgen.remote.output import LOG, JobOutput, RemoteFile
from jobgen.remote.wire import Refused

# The storage's word for a start behind the end: the file was written anew just now.
BEHIND_THE_END = 416
OVERLAP = 256


class Log:
    """output/main.log of a job, or another file by its name: whole lines as they come."""

    def __init__(self, jobs: Jobs, job: str, name: str = LOG) -> None:
        self._output = JobOutput(jobs, job)
        self._name = name
        self._data = bytearray()
        self._told = 0
        self.there = False

    def close(self) -> None:
        self._output.close()

    @property
    def text(self) -> str:
        return self._data.decode("utf-8", "replace")

    def more(self, *, ended: bool) -> list[str]:
        """The lines that are new: whole ones, all of them once nothing more will come. Raises
        RemoteError; a job that has not ended may refuse to show its output."""
        try:
            files = [
                each for each in self._output.files() if each.path.split("/")[-1] == self._name
            ]
        except Refused:
            if ended:
                raise
            return []
        if files:
            self.there = True
            file = min(files, key=lambda found: found.path.count("/"))
            self._grow(file)
        end = len(self._data) if ended else self._data.rfind(b"\n") + 1
        new = bytes(self._data[self._told : end])
        self._told = max(end, self._told)
        return new.decode("utf-8", "replace").splitlines()

    def _grow(self, file: RemoteFile) -> None:
        """Read what is new of the file; all of it where it was written anew, as by a second run."""
        if len(self._data) == file.item.size:
            return
        # Some of what is known too, by which a file that was written anew is told.
        known = bytes(self._data[-OVERLAP:])
        block = self._read(file, len(self._data) - len(known))
        if not block.startswith(known):
            self._data.clear()
            self._told, known = 0, b""
            block = self._read(file, 0)
        self._data += block[len(known) :]
        while block and len(self._data) < file.item.size:
            block = self._read(file, len(self._data))
            self._data += block

    def _read(self, file: RemoteFile, start: int) -> bytes:
        try:
            return self._output.read(file, start)
        except Refused as error:
            if error.code != BEHIND_THE_END:
                raise
            return b""
