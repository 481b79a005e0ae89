"""What a job leaves in AI Studio's storage: listed, read in parts, fetched whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import filelock
import httpx

from jobgen.errors import MALFORMED, RemoteError
from jobgen.files import write_atomically
from jobgen.remote.jobs import OUTPUT, Jobs
from jobgen.remote.storage import Item, Storage, etag_of, md5_in
from jobgen.remote.wire import AGAIN, Refused, Unreachable, persist
from jobgen_runtime.data.archives import UNSAFE_NAME

BLOCK = 2**20
# Files that are fetched at the same time: most are small, and each takes a way there and back.
AT_ONCE = 4
# Below the folder that is fetched into: parts of files, by the hash of their key.
HALVES = ".jobgen-fetch"
MARK, LOCK = ".jobgen-fetched.json", ".jobgen-fetched.lock"
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
        """Every file, all pages of the list."""

        def listed(storage: Storage) -> list[RemoteFile]:
            prefix = storage.grant.key.rstrip("/") + "/"
            items = [item for item in storage.items(prefix) if not item.key.endswith("/")]
            return [RemoteFile(item.key[len(prefix) :], item) for item in items]

        return self._asked(listed)

    def read(self, file: RemoteFile, start: int = 0, most: int = 2**24) -> bytes:
        """The bytes of a file from `start` on, at most `most` of them."""

        def got(storage: Storage) -> bytes:
            with storage.reading(file.item.key, start) as response:
                data = bytearray()
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
            if PurePosixPath(file.path).name == RESULT and file.path.count("/") <= 2:
                text = self.whole(file)
                try:
                    data = json.loads(text)
                    started = str(data["started"])
                except MALFORMED:  # somebody else's
                    continue
                found.append((started, file.path.rpartition("/")[0], data))
        return max(found, key=lambda row: row[0])[1:] if found else None


def need_inside(path: str) -> None:
    """Raise RemoteError for the name of a file that would lie outside of the folder, or that no
    folder can hold."""
    parts = path.split("/")
    # A colon names a drive or a stream on Windows, where some names are those of devices.
    odd = any(sign in path for sign in ("\\", "\0", ":")) or {"", ".", ".."} & set(parts)
    if odd or UNSAFE_NAME.search(path) or (os.name == "nt" and PureWindowsPath(path).is_reserved()):
        raise RemoteError(
            f"the job left a file named {path!r}, which is no safe name",
            "Nothing was fetched. Take what you need from the job's page.",
        )


class Place:
    """A folder that one job's output is fetched into. A file there says whose it is, and which
    files without an MD5 came whole. Raises RemoteError for a folder of anything else."""

    def __init__(self, folder: Path, address: str, job: str) -> None:
        self.folder = folder
        self.halves = folder / HALVES
        self._mark = folder / MARK
        self._whose = {"address": address, "job": job}
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        if folder.exists() and not folder.is_dir():
            raise RemoteError(f"{folder} is a file", "Give a folder: -o DIR")
        found = read_mark(self._mark)
        if folder.is_dir() and any(folder.iterdir()) and not found:
            raise RemoteError(f"{folder} holds other things", "Give a new folder: -o DIR")
        if found and {key: found.get(key) for key in self._whose} != self._whose:
            raise RemoteError(
                f"{folder} holds the output of another job, {found.get('job')}",
                "Give a new folder: -o DIR",
            )
        self._whole: dict[str, list[Any]] = found.get("whole") or {}
        folder.mkdir(parents=True, exist_ok=True)
        self._save()

    def _save(self) -> None:
        data = {**self._whose, "whole": self._whole}
        write_atomically(self._mark, json.dumps(data, indent=1).encode())

    def has(self, file: RemoteFile) -> bool:
        """Whether a file is here, whole: by its MD5, or as it was noted."""
        goal = self.folder / file.path
        if not has_size(goal, file.item.size):
            return False
        if file.md5:
            return md5_of(goal) == file.md5
        return self._whole.get(file.path) == [file.item.etag, file.item.size]

    def note(self, file: RemoteFile) -> None:
        """Remember a file without an MD5."""
        if not file.md5:
            with self._lock:
                self._whole[file.path] = [file.item.etag, file.item.size]
                self._save()


def fetch_file(
    output: JobOutput, file: RemoteFile, place: Place, told: Callable[[int], None]
) -> bool:
    """Bring one file here, resumed where a part of it is there already, checked by size and MD5,
    then renamed. Gives whether anything was fetched. `told` gets the bytes that came."""
    if place.has(file):
        return False
    half = place.halves / hashlib.sha256(file.item.key.encode()).hexdigest()[:32]
    mark = half.with_suffix(".json")
    wanted = {"etag": file.item.etag, "size": file.item.size}
    # Small files are begun anew, so that they need no mark.
    is_small = file.item.size <= BLOCK
    if is_small or read_mark(mark) != wanted:
        half.unlink(missing_ok=True)
    if not is_small:
        write_atomically(mark, json.dumps(wanted).encode())
    persist(lambda: _one_try(output, file, half, place, told), output.jobs.wire.pause)
    goal = place.folder / file.path
    goal.parent.mkdir(parents=True, exist_ok=True)
    half.replace(goal)
    mark.unlink(missing_ok=True)
    place.note(file)
    return True


def _one_try(
    output: JobOutput, file: RemoteFile, half: Path, place: Place, told: Callable[[int], None]
) -> None:
    """Fetch what is missing of a file. Raises Unreachable where it is not whole; what came is
    kept, unless it is wrong."""
    have = half.stat().st_size if half.is_file() else 0
    if have > file.item.size:
        half.unlink()
        have = 0
    sent_md5 = ""

    def take(response: httpx.Response) -> None:
        nonlocal sent_md5
        there = etag_of(response.headers)
        if there and file.item.etag and there != file.item.etag:
            raise Changed(f"{file.path} was written anew while it was fetched", AGAIN)
        sent_md5 = md5_in(response.headers)
        is_part = response.status_code == 206
        if is_part and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            raise Unreachable(f"another part of {file.path} came than was asked for", AGAIN)
        with half.open("ab" if is_part else "wb") as stream:
            for block in response.iter_raw():
                if place.stopped.is_set():
                    raise RemoteError(f"{file.path} was not fetched whole: stopped")
                stream.write(block)
                told(len(block))

    if have < file.item.size or not half.is_file():
        output.stream(file, have, take)
    got = half.stat().st_size
    if got < file.item.size:
        raise Unreachable(f"{file.path} broke off after {got:,} of {file.item.size:,} bytes", AGAIN)
    md5 = file.md5 or sent_md5
    if got > file.item.size or (md5 and md5_of(half) != md5):
        half.unlink()
        raise Unreachable(f"{file.path} came otherwise than it is stored", AGAIN)


class Changed(RemoteError):
    """A file is another one than the list said: the job still writes it."""


def has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def md5_of(path: Path) -> str:
    found = hashlib.md5()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def read_mark(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fetch(
    output: JobOutput, place: Place, told: Callable[[str, int, int], None]
) -> tuple[list[str], list[str]]:
    """Bring all files here, several at a time; their paths, and those that changed meanwhile and
    are left out. Raises RemoteError, and keeps what is there for the next call."""
    try:
        with filelock.FileLock(place.folder / LOCK, timeout=0):
            return _fetched(output, place, told)
    except filelock.Timeout:
        raise RemoteError(
            f"another call of jobgen fetches into {place.folder}", "Wait until it has ended."
        ) from None


def _fetched(
    output: JobOutput, place: Place, told: Callable[[str, int, int], None]
) -> tuple[list[str], list[str]]:
    files = output.files()
    for file in files:
        need_inside(file.path)
    total = sum(file.item.size for file in files)
    need_room(place, files)
    place.halves.mkdir(exist_ok=True)
    count = Count(total, told)

    def one(file: RemoteFile) -> str:
        try:
            if not fetch_file(output, file, place, count.more):
                count.more(file.item.size)
        except Changed:
            return file.path
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(one, file) for file in files]
        try:
            changed = [found.result() for found in waiting]
        except BaseException:
            place.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    shutil.rmtree(place.halves, ignore_errors=True)
    left_out = [path for path in changed if path]
    return [file.path for file in files if file.path not in left_out], left_out


class Count:
    """Bytes that came, told of from several threads."""

    def __init__(self, total: int, told: Callable[[str, int, int], None]) -> None:
        self._total = total
        self._told = told
        self._done = 0
        self._lock = threading.Lock()

    def more(self, count: int) -> None:
        with self._lock:
            self._done = min(self._done + count, self._total)
            self._told("fetched", self._done, self._total)


def need_room(place: Place, files: list[RemoteFile]) -> None:
    """Raise RemoteError where the disk has no room for what is to come."""
    size = sum(f.item.size for f in files if not has_size(place.folder / f.path, f.item.size))
    halves = place.halves.iterdir() if place.halves.is_dir() else ()
    size -= sum(path.stat().st_size for path in halves)
    free = shutil.disk_usage(place.folder).free
    if size > free:
        raise RemoteError(
            f"{size / 1e9:.1f} GB are to come, and {place.folder} has room for {free / 1e9:.1f}",
            "Make room, or give another folder: -o DIR",
        )
