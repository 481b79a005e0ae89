"""Pretrained weights: fetched once by the notebook itself, and written anew for Paddle to open."""

import hashlib
import os
import time
from typing import Callable, Optional

from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, note, outcome
from jobgen_runtime.train.downloads import download, half_file
from jobgen_runtime.train.weightsfile import (
    LARGEST_WEIGHTS,
    TORN,
    WeightsFault,
    rewrite_weights,
    weights_fault,
)

DOWNLOAD_TRIES = 3


def download_weights(
    url: str, path: str, progress: Optional[Callable[[int, int], None]] = None
) -> None:
    """Fetch `url` to `path`, whole and a weights file, or not at all. Raises OSError or
    ValueError."""
    download(url, path, LARGEST_WEIGHTS, progress)
    half = half_file(path)
    fault = weights_fault(half)
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
    if os.path.isfile(path) and weights_fault(path) is None and _is(path, sha256):
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
    return path


def take_weights(source: str, goal: str) -> None:
    """Write to `goal`, for Paddle to open, what the weights in `source` hold. Raises
    StageError."""
    try:
        rewrite_weights(source, goal)
    except WeightsFault as fault:
        if fault.why == TORN:
            raise StageError(
                "the weights %s are torn, or no weights file at all" % source,
                "Copy the file again.",
                cause="data",
            )
        raise StageError(
            "the weights file %s is not opened: %s" % (source, fault.why),
            "Use weights from a source you trust: what stands in a .pdparams can run as a program.",
            cause="data",
        )


def pretrained_weights(
    pretrained: str,
    home: str,
    folder: Optional[str],
    missing: str,
    smoke: bool = False,
    sha256: Optional[str] = None,
) -> str:
    """What `pretrain_weights` shall be: the local path of weights written anew, or empty to start
    from scratch.

    `folder` is the cache for downloads, None for `~/.cache/jobgen/weights`. `missing`
    says what to do where the weights can't be had: `stop` or `scratch`. A smoke run
    goes on without them, and says what the job itself would do.
    """
    if not pretrained:
        return ""
    folder = folder or os.path.join(os.path.expanduser("~"), ".cache", "jobgen", "weights")
    os.makedirs(folder, exist_ok=True)
    try:
        if pretrained.split(":")[0] in ("http", "https"):
            path = fetch_weights(pretrained, folder, sha256)
        else:
            path = local_weights(home, pretrained)
        goal = os.path.join(folder, "opened-%s.pdparams" % file_sha256(path)[:16])
        take_weights(path, goal)
        return goal
    except StageError as error:
        # In a smoke run only an address that does not answer is forgiven.
        if missing != "scratch" and not (smoke and error.cause == "network"):
            raise
        adjust("pretrain_weights", pretrained, "none", error.message)
        if missing != "scratch":
            note(
                "only a smoke run goes on without pretrained weights: the job itself stops here "
                "where they can't be had (model.pretrained_missing: stop)"
            )
        return ""
