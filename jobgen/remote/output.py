"""What a job leaves in AI Studio's storage: listed, read in parts, fetched whole or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import httpx

from jobgen.errors import MALFORMED
from jobgen.remote.jobs import OUTPUT, Jobs
from jobgen.remote.storage import Item, Storage
from jobgen.remote.wire import AGAIN, Refused, Unreachable, persist

# One that is larger was not written by jobgen.
LARGEST_RESULT = 2**24
RESULT, LOG = "result.json", "main.log"
Done = TypeVar("Done")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a job's output: its path there, its size in bytes and its ETag."""

    path: str
    item: Item

    @property
    def md5(self) -> str:
        """The MD5 of its bytes (hex); empty where the storage keeps none, as of large files."""
        etag = self.item.etag.lower()
        is_md5 = len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag)
        return etag if is_md5 else ""


class JobOutput:
    """The output of one job. Leave to read it ends after a while, and is asked for again."""

    def __init__(self, jobs: Jobs, job: str) -> None:
        self.jobs = jobs
        self.job = job
        self._storages: list[Storage] = []  # the newest last
        self._lock = threading.Lock()

    def close(self) -> None:
        for storage in self._storages:
            storage.close()
        self._storages.clear()

    def _asked(self, work: Callable[[Storage], Done]) -> Done:
        storage = self._granted(None)
        try:
            return work(storage)
        except Refused as error:
            if error.code != 403:
                raise
        return work(self._granted(storage))

    def _granted(self, ended: Storage | None) -> Storage:
        """Leave to read, a new one in place of one that has `ended`."""
        with self._lock:
            if not self._storages or self._storages[-1] is ended:
                self._storages.append(self.jobs.storage(self.job, OUTPUT))
            return self._storages[-1]

    def files(self) -> list[RemoteFile]:
        """Every file, all pages of the list, each once."""

        def listed(storage: Storage) -> list[RemoteFile]:
            prefix = storage.grant.key.rstrip("/") + "/"
            items = [item for item in storage.items(prefix) if not item.key.endswith("/")]
            found = [RemoteFile(item.key[len(prefix) :], item) for item in items]
            return list({file.path: file for file in found}.values())

        return self._asked(listed)

    def read(self, file: RemoteFile, start: int = 0, most: int = 2**24) -> bytes:
        """The bytes of a file from `start` on, at most `most` of them."""

        def got(storage: Storage) -> bytes:
            with storage.reading(file.item.key, start) as response:
                data = bytearray()
                need_part(response, file, start)
                skip = start if response.status_code == 200 else 0
                for block in response.iter_raw():
                    data += block
                    if len(data) >= skip + most:
                        break
                return bytes(data[skip : skip + most])

        return persist(lambda: self._asked(got), self.jobs.wire.pause)

    def whole(self, file: RemoteFile) -> bytes:
        """A small file, checked by size and MD5. Raises Unreachable where it came otherwise, or
        was written anew meanwhile."""

        def once() -> bytes:
            data = self.read(file)
            md5 = hashlib.md5(data).hexdigest()
            if len(data) != file.item.size or file.md5 not in ("", md5):
                raise Unreachable(f"{file.path} came otherwise than it is stored", AGAIN)
            return data

        return persist(once, self.jobs.wire.pause)

    def stream(self, file: RemoteFile, start: int, take: Callable[[httpx.Response], None]) -> None:
        """Give `take` the answer with the bytes from `start` on; tried once."""

        def got(storage: Storage) -> None:
            with storage.reading(file.item.key, start) as response:
                take(response)

        self._asked(got)

    def result(self) -> tuple[str, dict[str, Any]] | None:
        """result.json of the job's newest run and the folder that it lies in; None where there is
        none yet."""
        found = []
        for file in self.files():
            is_result = PurePosixPath(file.path).name == RESULT and file.path.count("/") <= 2
            if is_result and file.item.size <= LARGEST_RESULT:
                text = self.whole(file)
                try:
                    data = json.loads(text)
                    started = str(data["started"])
                except MALFORMED:  # somebody else's
                    continue
                found.append((started, file.path.rpartition("/")[0], data))
        return max(found, key=lambda row: row[0])[1:] if found else None


def need_part(response: httpx.Response, file: RemoteFile, start: int) -> None:
    """Raise Unreachable for another part of a file than the one that begins at `start`."""
    given = response.headers.get("content-range", "")
    if response.status_code == 206 and not given.startswith(f"bytes {start}-"):
        raise Unreachable(f"another part of {file.path} came than was asked for", AGAIN)
