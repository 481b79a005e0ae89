"""A file from an address: whole or not at all, bounded in size, and never waited for for ever."""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Callable, Dict, List, Optional

from jobgen_runtime.record.text import redacted

DOWNLOAD_TIMEOUT = 30.0
# As git is told (SLOW_NETWORK): what brings less than this for so long, brings nothing.
SLOWEST = 1000.0
SLOW_FOR = 60.0

Told = Callable[[int, int], None]


def half_file(path: str) -> str:
    """Where a download grows until it is whole; another process has its own."""
    return "%s.%d.part" % (path, os.getpid())


class _Transfer:
    """One request, in a thread of its own: name look-up, handshake and headers can hang too."""

    def __init__(self, url: str, half: str, most: int) -> None:
        self.url, self.half, self.most = url, half, most
        self.there = os.path.getsize(half) if os.path.exists(half) else 0
        self.begun = self.there
        self.total = 0
        self.fault: Optional[Exception] = None
        self.given_up = False
        self.writing = threading.Lock()

    def work(self) -> None:
        try:
            self._receive()
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.fault = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection

    def _receive(self) -> None:
        headers: Dict[str, str] = {"User-Agent": "jobgen"}
        if self.there:
            headers["Range"] = "bytes=%d-" % self.there
        request = urllib.request.Request(self.url, headers=headers)
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as answer:
            if answer.status != 206:
                self.there = 0  # the server begins anew
            length = answer.headers.get("Content-Length")
            self.total = self.there + int(length) if length else 0
            self._bound(self.total)
            with open(self.half, "ab" if self.there else "wb") as sink:
                while True:
                    # read1 gives what there is; read would wait for all that was asked for.
                    chunk = answer.read1(1 << 18)
                    if not chunk:
                        break
                    self._bound(self.there + len(chunk))
                    with self.writing:
                        if self.given_up:
                            return
                        sink.write(chunk)
                        self.there += len(chunk)
        if self.total and self.there != self.total:
            raise ValueError("%d of %d bytes came" % (self.there, self.total))

    def _bound(self, size: int) -> None:
        if size > self.most:
            raise ValueError("it is larger than %.1f GB" % (self.most / 2.0**30))

    def give_up(self) -> None:
        with self.writing:
            self.given_up = True


def download(url: str, path: str, most: int, progress: Optional[Told] = None) -> None:
    """Fetch `url` to `half_file(path)`, continuing what an earlier try of this process got.

    At most `most` bytes. `progress` is told bytes and the total (0: not known). Raises
    ValueError or OSError, in words that hold no password.
    """
    transfer = _Transfer(url, half_file(path), most)
    worker = threading.Thread(target=transfer.work, daemon=True)
    worker.start()
    seen: List[int] = [transfer.there]
    since = time.monotonic()
    try:
        while worker.is_alive():
            worker.join(0.2)
            if progress is not None and transfer.there != seen[-1]:
                seen.append(transfer.there)
                progress(transfer.there, transfer.total)
            passed = time.monotonic() - since
            if passed >= SLOW_FOR:
                if transfer.there - seen[0] < SLOWEST * passed:
                    raise ValueError("less than %d bytes a second came" % SLOWEST)
                seen, since = [transfer.there], time.monotonic()
    finally:
        transfer.give_up()
    if transfer.fault is not None:
        words = str(transfer.fault) or type(transfer.fault).__name__
        if isinstance(transfer.fault, http.client.HTTPException):
            words = "the server broke off or answered nonsense (%s)" % words
        raise ValueError(redacted(words))
    if progress is not None:
        progress(transfer.there, transfer.total)
