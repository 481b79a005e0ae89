"""Fetching what a job left: each file whole or not at all, resumed by the next call."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import filelock
import httpx

from jobgen.errors import RemoteError
from jobgen.files import write_atomically
from jobgen.remote.output import JobOutput, RemoteFile, need_part
from jobgen.remote.storage import etag_of, md5_in
from jobgen.remote.wire import AGAIN, Refused, Unreachable, persist
from jobgen_runtime.data.archives import UNSAFE_NAME

BLOCK = 2**20
# Files that are fetched at the same time: most are small, and each takes a way there and back.
AT_ONCE = 4
# Seconds that requests under way get to end, where one of the others failed.
LEAVE = 2.0
# Below the folder that is fetched into: parts of files, by the hash of their key.
HALVES = ".jobgen-fetch"
MARK, LOCK = ".jobgen-fetched.json", ".jobgen-fetched.lock"
# Why a file is left out.
UNSAFE = "its name leads outside, or no folder can hold it"
CHANGED = "it was written anew while it was fetched"
REMOVED = "it is listed, and not there any longer"
GONE = 404
# A file of this name can't be made, others can.
NO_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)


def is_safe(path: str) -> bool:
    """Whether a file of that name would lie inside of the folder, and not in the place of what is
    kept there of the fetching itself."""
    parts = path.split("/")
    # A colon names a drive or a stream on Windows, where some names are those of devices.
    odd = any(sign in path for sign in ("\\", "\0", ":")) or bool({"", ".", ".."} & set(parts))
    odd = odd or parts[0] in (HALVES, MARK, LOCK) or not encodable(path)
    odd = odd or (os.name == "nt" and PureWindowsPath(path).is_reserved())
    return not odd and not UNSAFE_NAME.search(path)


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
        if folder.is_dir() and not found and any(not _is_ours(p) for p in folder.iterdir()):
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

    def pause(self, seconds: float) -> None:
        """Wait, but for no longer than the fetching goes on."""
        if self.stopped.wait(seconds):
            raise Stopped

    def note(self, file: RemoteFile) -> None:
        """Remember a file without an MD5."""
        if not file.md5:
            with self._lock:
                self._whole[file.path] = [file.item.etag, file.item.size]
                self._save()


def encodable(path: str) -> bool:
    """Whether UTF-8 has a name: half a pair of UTF-16, as JSON may hold it, is none."""
    try:
        path.encode()
    except UnicodeError:
        return False
    return True


def _is_ours(path: Path) -> bool:
    """Whether a file is the mark, or what was left of it where its writing was broken off."""
    return path.name.lstrip(".").startswith("jobgen-fetch")


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
    persist(lambda: _one_try(output, file, half, place, told), place.pause)
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
        if there and file.item.etag and there.lower() != file.item.etag.lower():
            raise Changed
        sent_md5 = md5_in(response.headers)
        is_part = response.status_code == 206
        need_part(response, file, have)
        with half.open("ab" if is_part else "wb") as stream:
            for block in response.iter_raw():
                if place.stopped.is_set():
                    raise Stopped
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


class Changed(Exception):
    """A file is another one than the list said."""


class Stopped(Exception):
    """The fetching ends: one file could not be brought, or somebody stopped it."""


def has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:  # a name that no folder can hold
        return False


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
) -> tuple[list[str], dict[str, str]]:
    """Bring all files here, several at a time; their paths, and why any was left out. Raises
    RemoteError, and keeps what is there for the next call."""
    try:
        with filelock.FileLock(place.folder / LOCK, timeout=0):
            return _fetched(output, place, told)
    except filelock.Timeout:
        raise RemoteError(
            f"another call of jobgen fetches into {place.folder}", "Wait until it has ended."
        ) from None


def _fetched(
    output: JobOutput, place: Place, told: Callable[[str, int, int], None]
) -> tuple[list[str], dict[str, str]]:
    files = output.files()
    left_out = {file.path: UNSAFE for file in files if not is_safe(file.path)}
    files = [file for file in files if file.path not in left_out]
    need_room(place, files)
    place.halves.mkdir(exist_ok=True)
    count = Count(sum(file.item.size for file in files), told)

    def one(file: RemoteFile) -> str:
        try:
            if not fetch_file(output, file, place, count.more):
                count.more(file.item.size)
        except Changed:
            return CHANGED
        except Refused as error:
            if error.code != GONE:
                raise
            return REMOVED
        except OSError as error:
            if error.errno not in NO_NAME:
                raise full(place, error) from error
            return f"it can't be named so here: {error.strerror}"
        return ""

    for file, why in zip(files, at_once(one, files, place.stopped), strict=True):
        if why:
            left_out[file.path] = why
    shutil.rmtree(place.halves, ignore_errors=True)
    return [file.path for file in files if file.path not in left_out], left_out


def at_once(
    work: Callable[[RemoteFile], str], files: Sequence[RemoteFile], stopped: threading.Event
) -> list[str]:
    """What `work` gives for each file, several at a time. The first fault, or Ctrl-C, ends it
    without a wait for requests that are under way."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, str | BaseException]] = queue.SimpleQueue()
    for number in range(len(files)):
        waiting.put(number)

    def take() -> None:
        while not stopped.is_set():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ended.put((number, work(files[number])))
            except BaseException as error:
                ended.put((number, error))

    # Python's own pool waits for its threads at the end of the program, a minute for each request
    # that is not answered.
    threads = [threading.Thread(target=take, daemon=True)
               for _ in range(min(AT_ONCE, len(files)))]  # fmt: skip
    for thread in threads:
        thread.start()
    try:
        return _collected(ended, len(files))
    except Exception:
        stopped.set()
        for thread in threads:
            thread.join(LEAVE)
        raise
    finally:
        stopped.set()


def _collected(ended: queue.SimpleQueue[tuple[int, str | BaseException]], count: int) -> list[str]:
    """What came of `count` pieces of work, by their numbers. Raises the first fault."""
    found = [""] * count
    for _ in range(count):
        number, came = ended.get()
        if isinstance(came, BaseException):
            raise came
        found[number] = came
    return found


def full(place: Place, error: OSError) -> RemoteError:
    """A disk that takes no more, or a folder that can't be written."""
    return RemoteError(
        f"{error.filename or place.folder} can't be written: {error.strerror}",
        "Make room there, or give another folder: -o DIR. What came whole is kept.",
    )


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
            f"{size / 1e6:,.1f} MB are to come, and {place.folder} has room for {free / 1e6:,.1f}",
            "Make room, or give another folder: -o DIR",
        )
