"""A job's log, read as it grows."""

from __future__ import annotations

from jobgen.remote.jobs import Jobs
from jobgen.remote.output import LOG, JobOutput
from jobgen.remote.wire import Refused


class Log:
    """output/main.log of a job: whole lines as they come."""

    def __init__(self, jobs: Jobs, job: str) -> None:
        self._output = JobOutput(jobs, job)
        self._data = bytearray()
        self._told = 0
        self.there = False

    @property
    def text(self) -> str:
        return self._data.decode("utf-8", "replace")

    def more(self) -> list[str]:
        """The whole lines that are new. Raises RemoteError."""
        try:
            files = [file for file in self._output.files() if file.path.endswith(LOG)]
        except Refused:  # no output before there is one
            return []
        if not files:
            return []
        self.there = True
        file = min(files, key=lambda found: found.path.count("/"))
        while len(self._data) < file.item.size:
            block = self._output.read(file, start=len(self._data))
            if not block:
                break
            self._data += block
        return self._lines()

    def _lines(self) -> list[str]:
        end = self._data.rfind(b"\n") + 1
        new = bytes(self._data[self._told : end])
        self._told = max(end, self._told)
        return new.decode("utf-8", "replace").splitlines()

    def rest(self) -> str:
        """What follows the last whole line, once nothing more will come."""
        found = bytes(self._data[self._told :]).decode("utf-8", "replace")
        self._told = len(self._data)
        self._output.close()
        return found
