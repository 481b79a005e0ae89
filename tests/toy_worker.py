"""A worker of a sweep whose trials are a stand-in for a training: python toy_worker.py SWEEP WORKER
[STORAGE]

The study, its storage and the worker are the real ones; a trial takes a moment, evaluates four
times, and gives what its values and its seed say. Each trial that begins and ends is noted in
`toy.log` beside SWEEP.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobgen.sweep.spec import Sweep, load_sweep
from jobgen.sweep.study import open_study
from jobgen.sweep.trial import Outcome, TrialError
from jobgen.sweep.worker import work

PAUSE = float(os.environ.get("TOY_PAUSE", "0.02"))


def toy_value(params: dict[str, Any], seed: int | None) -> float:
    """As if 0.02 were the best learning rate, and 4 the best batch size."""
    rate = float(params.get("train.base_lr", 0.02))
    batch = float(params.get("train.batch_size", 4))
    value = 0.8 - 0.2 * abs(math.log10(rate / 0.02)) - 0.01 * abs(batch - 4)
    return round(value + 0.003 * ((seed or 0) % 3), 6)


def toy(
    sweep: Sweep, params: dict[str, Any], seed: int | None,
    ends_early: Callable[[float, int], bool],
) -> Outcome:  # fmt: skip
    log = sweep.path.with_name("toy.log")
    name = f"{sweep.name_of(params)}/{seed}"

    def note(what: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{what} {name} {os.getpid()}\n")

    note("begins")
    if params.get("train.batch_size") == 666:
        raise TrialError("the card is too small", "Take a smaller batch.")
    value = toy_value(params, seed)
    for epoch in range(1, 5):
        time.sleep(PAUSE)
        if ends_early(value * epoch / 4, epoch):
            note("pruned")
            return Outcome({}, sweep.folder, epoch)
    note("ends")
    return Outcome({"metrics": {"best": {"mAP50": value}}, "plan": {"parameters": 1.0 + value}},
                   sweep.folder)  # fmt: skip


def main() -> None:
    sweep = load_sweep(Path(sys.argv[1]))
    storage = sys.argv[3] if len(sys.argv) > 3 else None
    work(sweep, open_study(sweep, storage, int(sys.argv[2])), toy, print)


if __name__ == "__main__":
    main()
