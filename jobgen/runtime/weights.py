"""Pretrained weights: fetched once by the notebook itself, and opened only when they are harmless.

A `.pdparams` file is a pickle, and reading a pickle runs what is in it. So its
opcodes are walked first, which also tells a torn file from a whole one.
"""

import hashlib
import os
import pickletools
import time
import urllib.error
import urllib.request
from typing import Callable, Dict, List, Optional

from jobgen.runtime.dataset import file_sha256
from jobgen.runtime.outcome import StageError, adjust, note, outcome

HARMLESS = (
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer",
    "numpy ndarray",
    "numpy dtype",
    "collections OrderedDict",
    "_codecs encode",
    "copyreg _reconstructor",
    "__builtin__ object",
    "builtins object",
    "builtins tuple",
)
REFUSED_OPCODES = frozenset(
    ("POP", "POP_MARK", "DUP", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
)
DOWNLOAD_TRIES = 3
DOWNLOAD_TIMEOUT = 30.0


def pickle_is_whole(path: str) -> bool:
    """Whether a pickle goes on to its end, whatever it would import: nothing is opened."""
    try:
        with open(path, "rb") as stream:
            last = None
            for opcode, _, _ in pickletools.genops(stream):
                last = opcode.name
    except (OSError, ValueError, EOFError, IndexError, UnicodeDecodeError, MemoryError):
        return False
    return last == "STOP"


def pickle_fault(path: str) -> Optional[str]:
    """Why a pickle must not or can't be opened: `torn`, or the name it would import; else None.

    A name that STACK_GLOBAL takes from the stack must be the two texts pushed just
    before it, and nothing may take from the stack in between.
    """
    pushed: List[Optional[str]] = []
    memo: Dict[int, Optional[str]] = {}
    try:
        with open(path, "rb") as stream:
            if os.path.getsize(path) == 0:
                return "torn"
            for opcode, argument, _ in pickletools.genops(stream):
                name = opcode.name
                if name in REFUSED_OPCODES:
                    return "the opcode %s" % name
                if name == "GLOBAL" and argument not in HARMLESS:
                    return str(argument)
                if name == "STACK_GLOBAL":
                    wanted = " ".join(text or "?" for text in pushed[-2:])
                    if wanted not in HARMLESS:
                        return wanted
                if name == "MEMOIZE":
                    memo[len(memo)] = pushed[-1] if pushed else None
                elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
                    memo[int(argument or 0)] = pushed[-1] if pushed else None
                elif name in ("GET", "BINGET", "LONG_BINGET"):
                    pushed.append(memo.get(int(argument or 0)))
                else:
                    is_text = "UNICODE" in name or name.endswith("STRING")
                    pushed.append(str(argument) if is_text else None)
                del pushed[:-2]
    except (ValueError, EOFError, IndexError, UnicodeDecodeError, MemoryError):
        return "torn"
    return None


def half_file(path: str) -> str:
    """Where a download grows until it is whole; another process has its own."""
    return "%s.%d.part" % (path, os.getpid())


def download_weights(
    url: str, path: str, progress: Optional[Callable[[int, int], None]] = None
) -> None:
    """Fetch `url` to `path`, whole or not at all; what an earlier try of this process got is gone
    on from. `progress` is told bytes and the total (0: not known). Raises OSError or ValueError.
    """
    half = half_file(path)
    there = os.path.getsize(half) if os.path.exists(half) else 0
    headers = {"User-Agent": "jobgen"}
    if there:
        headers["Range"] = "bytes=%d-" % there
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as answer:
        if answer.status != 206:
            there = 0  # the server begins anew
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else 0
        with open(half, "ab" if there else "wb") as sink:
            while True:
                chunk = answer.read(1 << 18)
                if not chunk:
                    break
                sink.write(chunk)
                there += len(chunk)
                if progress is not None:
                    progress(there, total)
    if total and there != total:
        raise ValueError("%d of %d bytes came" % (there, total))
    fault = pickle_fault(half)
    if fault is not None:
        os.remove(half)
        raise ValueError("what came is no weights file (%s)" % fault)
    os.replace(half, path)


class _Told:
    """Writes how far a download is into the events, once a second."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= 1.0:
            self.last = time.monotonic()
            outcome().event("download", done=done, total=total)


def cached_weights(url: str, folder: str) -> str:
    """Where weights from `url` are kept: two addresses may end in one file name."""
    stem = os.path.splitext(url.rsplit("/", 1)[-1])[0] or "weights"
    digest = hashlib.sha256(url.encode("utf-8")).hexdigest()[:12]
    return os.path.join(folder, "%s-%s.pdparams" % (stem, digest))


def _is(path: str, sha256: Optional[str]) -> bool:
    return not sha256 or file_sha256(path) == sha256


def fetch_weights(url: str, folder: str, sha256: Optional[str] = None, pause: float = 3.0) -> str:
    """The local path of the weights at `url`, from the cache `folder` or the network.

    Raises StageError where they can't be had.
    """
    os.makedirs(folder, exist_ok=True)
    path = cached_weights(url, folder)
    if os.path.isfile(path) and pickle_fault(path) is None and _is(path, sha256):
        outcome().event("weights", url=url, path=path, fetched=False)
        return path
    fault: Optional[Exception] = None
    for attempt in range(1, DOWNLOAD_TRIES + 1):
        try:
            download_weights(url, path, _Told())
        except (OSError, ValueError) as error:
            fault = error
            outcome().event("weights", url=url, attempt=attempt, fault=str(error))
            if attempt < DOWNLOAD_TRIES:
                time.sleep(pause)
            continue
        if not _is(path, sha256):
            os.remove(path)
            fault = ValueError("the file has another SHA-256 than the catalogue names")
            continue
        outcome().event("weights", url=url, path=path, fetched=True)
        return path
    if os.path.exists(half_file(path)):
        os.remove(half_file(path))
    raise StageError(
        "the pretrained weights could not be fetched from %s: %s" % (url, fault),
        "Start the job again later, or put the file into %s, or set model.pretrained_missing: "
        "scratch in job.yaml to train without them." % folder,
        cause="network",
    )


def local_weights(home: str, name: str) -> str:
    """Weights given as a path, absolute or below home. Raises StageError."""
    path = os.path.join(home, os.path.expanduser(name))
    if not os.path.isfile(path):
        raise StageError(
            "the pretrained weights %s are not there" % path,
            "Correct model.pretrained in job.yaml, or upload the file.",
            cause="data",
        )
    fault = pickle_fault(path)
    if fault == "torn":
        raise StageError("the weights %s are torn" % path, "Copy the file again.", cause="data")
    if fault:
        raise StageError(
            "the weights %s would run code when opened: they import %s" % (path, fault),
            "Use weights from a source you trust.",
            cause="data",
        )
    return path


def pretrained_weights(
    pretrained: str,
    home: str,
    folder: Optional[str],
    missing: str,
    smoke: bool = False,
    sha256: Optional[str] = None,
) -> str:
    """What `pretrain_weights` shall be: a local path, or empty to start from scratch.

    `folder` is the cache for downloads, None for `~/.cache/jobgen/weights`. `missing`
    says what to do where the weights can't be had: `stop` or `scratch`. A smoke run
    goes on without them, and says what the job itself would do.
    """
    if not pretrained:
        return ""
    folder = folder or os.path.join(os.path.expanduser("~"), ".cache", "jobgen", "weights")
    try:
        if pretrained.split(":")[0] in ("http", "https"):
            return fetch_weights(pretrained, folder, sha256)
        return local_weights(home, pretrained)
    except StageError as error:
        if missing != "scratch" and not smoke:
            raise
        adjust("pretrain_weights", pretrained, "none", error.message)
        if missing != "scratch":
            note(
                "only a smoke run goes on without pretrained weights: the job itself stops here "
                "where they can't be had (model.pretrained_missing: stop)"
            )
        return ""
