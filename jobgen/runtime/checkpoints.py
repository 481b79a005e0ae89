"""Checkpoints that a training leaves: the newest whole one, and the best."""

import os
import re
import shutil
from typing import Dict, List, NamedTuple, Optional

from jobgen.runtime.weights import pickle_fault

EPOCH_FILE = re.compile(r"(\d+)\.pdparams")
PARTS = (".pdparams", ".pdopt", ".pdema")


class Checkpoint(NamedTuple):
    """`prefix` is the path without ending, `epochs` how many epochs it has behind it."""

    prefix: str
    epochs: int


def find_weights(folder: str, name: str) -> Optional[str]:
    """`<name>.pdparams` below `folder`, wherever this release of PaddleDetection puts it."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        if name + ".pdparams" in names:
            return os.path.join(place, name + ".pdparams")
    return None


def checkpoint_is_whole(prefix: str) -> bool:
    """Weights and optimizer are there and end where a file should; so does the EMA, if any."""
    if not all(os.path.isfile(prefix + part) for part in (".pdparams", ".pdopt")):
        return False
    parts = [prefix + part for part in PARTS if os.path.isfile(prefix + part)]
    return all(pickle_fault(path) != "torn" for path in parts)


def newest_checkpoint(folder: str) -> Optional[Checkpoint]:
    """The newest whole checkpoint; one that a kill tore while it was written is passed over."""
    found: List[Checkpoint] = []
    for place, _, names in os.walk(folder):
        for name in names:
            match = EPOCH_FILE.fullmatch(name)
            if match:
                prefix = os.path.join(place, match.group(1))
                found.append(Checkpoint(prefix, int(match.group(1)) + 1))
    for checkpoint in sorted(found, key=lambda item: item.epochs, reverse=True):
        if checkpoint_is_whole(checkpoint.prefix):
            return checkpoint
    return None


def keep_best_before_resume(folder: str) -> Optional[str]:
    """Copy best_model aside: PaddleDetection forgets its mAP at a resume and overwrites it.

    Gives the path of the copy's `.pdparams`, or None where there is no whole one.
    """
    best = find_weights(folder, "best_model")
    if best is None or pickle_fault(best) == "torn":
        return None
    aside = os.path.join(folder, "best_before_resume")
    os.makedirs(aside, exist_ok=True)
    goal = os.path.join(aside, "model.pdparams")
    shutil.copyfile(best, goal)
    return goal


def remove_old_checkpoints(folder: str, keep: int) -> Dict[str, int]:
    """Remove all but the `keep` newest numbered checkpoints; what went, with its bytes."""
    epochs: Dict[int, List[str]] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            stem = name.split(".")[0]
            if stem.isdigit():
                epochs.setdefault(int(stem), []).append(os.path.join(place, name))
    removed = {}
    for number in sorted(epochs)[: max(0, len(epochs) - keep)]:
        for path in epochs[number]:
            removed[path] = os.path.getsize(path)
            os.remove(path)
    return removed
