"""RESUME_FROM: resume from the downloaded output of an earlier job, a folder or a zip."""

import json
import os
import shutil
import tempfile
from typing import Dict, List, Optional, Tuple

from jobgen_runtime.data.archives import list_archive, unpack
from jobgen_runtime.data.dataset import file_sha256
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.train.checkpoints import ASIDE, HALVED_FILE, PARTS, newest_checkpoint
from jobgen_runtime.train.weightsfile import TORN, WeightsFault, rewrite_weights

IDENTITY_FILE = "identity.json"
KEPT_ENDINGS = (*PARTS, ".pdstates", ".json")
# A checkpoint of PicoDet has some 70 MB; a zip may claim anything.
MOST_BYTES = 20 * 2**30
LARGEST_MARK = 2**20


def check_resume(resume_from: Optional[str], home: str, smoke: bool) -> None:
    """Look for what RESUME_FROM names before hours are spent. Raises StageError."""
    if not resume_from:
        return
    if smoke:
        note("RESUME_FROM is not used: a smoke run always begins anew")
    elif not os.path.exists(os.path.join(home, os.path.expanduser(resume_from))):
        raise _unusable("%s is not there" % os.path.join(home, resume_from))


def fetch_checkpoints(resume_from: Optional[str], home: str, save_dir: str, identity: str) -> None:
    """Put the newest whole checkpoint, the best weights and the curve of an earlier job where
    this run resumes from them. Checkpoints of this run itself come first.

    Raises StageError where there are none, or they are of another training, or unsafe.
    """
    if not resume_from:
        return
    if newest_checkpoint(save_dir) is not None:
        note("RESUME_FROM is not used: this run has checkpoints of its own")
        return
    place = os.path.join(home, os.path.expanduser(resume_from))
    if not os.path.exists(place):
        raise _unusable("%s is not there" % place)
    if os.path.isdir(place):
        _bring(place, save_dir, identity)
        return
    unpacked = tempfile.mkdtemp(prefix="resume-", dir=outcome().folder)
    try:
        _unpack_checkpoints(place, unpacked)
        _bring(unpacked, save_dir, identity)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _unusable(text: str) -> StageError:
    return StageError(
        "RESUME_FROM: %s" % text,
        "Give the output folder (or its zip) of a job built from the same files, with its "
        "checkpoints in it; or leave RESUME_FROM empty to train from the start.",
        cause="parameters",
    )


def _unpack_checkpoints(path: str, goal: str) -> None:
    """The checkpoints' folders of a zip, and the curve beside them; everything else stays."""
    try:
        archive, members = list_archive(path)
        archive.close()
        if sum(member.size for member in members if _is_wanted(member.name)) > MOST_BYTES:
            raise _unusable("%s is too large" % path)
        unpack(path, goal, os.path.join(goal, ".jobgen-unpacked.json"), only=_is_wanted)
    except StageError as error:
        if error.cause == "parameters":
            raise
        raise _unusable("%s can't be unpacked: %s" % (path, error.message)) from error


def _is_wanted(name: str) -> bool:
    if name.endswith("/metrics.csv"):
        return True
    return "/checkpoints" in "/" + name and name.endswith((*KEPT_ENDINGS, HALVED_FILE))


def _bring(place: str, save_dir: str, identity: str) -> None:
    found: List[Tuple[int, str, str]] = []
    others: List[str] = []
    for folder, folders, names in os.walk(place):
        folders.sort()
        if IDENTITY_FILE in names:
            path = os.path.join(folder, IDENTITY_FILE)
            with open(path, encoding="utf-8", errors="replace") as stream:
                theirs = stream.read().strip()
            newest = newest_checkpoint(folder)
            if theirs != identity:
                others.append(theirs)
            elif newest is not None:
                found.append((newest.epochs, folder, newest.prefix))
    if not found:
        if others:
            other = _other(others[0], identity)
            raise _unusable("its checkpoints are of another training: %s" % other)
        raise _unusable("no whole checkpoint was found in %s" % place)
    epochs, chosen, prefix = max(found)
    rewritten: Dict[str, str] = {}
    for source, relative in _files(chosen, prefix):
        goal = os.path.join(save_dir, relative)
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        if source.endswith((*PARTS, ".pdstates")):
            _take(source, relative, goal, rewritten)
        else:
            _copy_mark(source, goal, rewritten)
    curve = os.path.join(os.path.dirname(chosen), "metrics.csv")
    if os.path.isfile(curve):
        with open(curve, encoding="utf-8", errors="replace") as stream:
            write_text_atomically(outcome().path("metrics.csv"), stream.read())
    outcome().data["resumed_from"] = os.path.basename(place)
    note("checkpoints of an earlier job were taken over, up to epoch %d" % epochs)


def _take(source: str, relative: str, goal: str, rewritten: Dict[str, str]) -> None:
    """Write anew what a file of weights holds, and tell its old SHA-256 and its new one. Torn best
    weights are left out: the checkpoint itself is whole, and the next evaluation finds better
    ones."""
    try:
        rewrite_weights(source, goal)
    except WeightsFault as fault:
        if fault.why != TORN:
            raise _unusable("%s is not opened: %s" % (relative, fault.why))
        note("%s is torn and left out" % relative)
        return
    rewritten[file_sha256(source)] = file_sha256(goal)


def _copy_mark(source: str, goal: str, rewritten: Dict[str, str]) -> None:
    """Copy a small file that says something of weights, which have another SHA-256 now."""
    with open(source, encoding="utf-8", errors="replace") as stream:
        text = stream.read(LARGEST_MARK)
    for old, new in rewritten.items():
        text = text.replace(old, new)
    write_text_atomically(goal, text)


def _files(folder: str, prefix: str) -> List[Tuple[str, str]]:
    """(path, path below the folder) of what going on needs: one checkpoint, the best, and whether
    its batch was halved."""
    found = []
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(place, name)
            stem = path[: path.rindex(".")] if "." in name else path
            best = name.startswith("best_model.") or os.path.basename(place) == ASIDE
            if (stem == prefix or best or name == HALVED_FILE) and not name.endswith(".tmp"):
                found.append((path, os.path.relpath(path, folder)))
    # The marks last: they name the weights by their SHA-256.
    return sorted(found, key=lambda pair: not pair[0].endswith((*PARTS, ".pdstates")))


def _other(theirs: str, ours: str) -> str:
    """The first thing in which two identities differ, in words."""
    try:
        there, here = json.loads(theirs), json.loads(ours)
    except ValueError:
        return "their identity can't be read"
    if not isinstance(there, dict):
        return "their identity can't be read"
    for key in sorted(set(there) | set(here)):
        one, other = there.get(key), here.get(key)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            inner = next(k for k in sorted(set(one) | set(other)) if one.get(k) != other.get(k))
            return "%s is %s there, %s here" % (inner, one.get(inner), other.get(inner))
        return "%s is %s there, %s here" % (key, one, other)
    return "they differ"
