"""How many trials this machine has room for at once, and how long all of them take."""

from __future__ import annotations

import os

import psutil

from jobgen.errors import RunError
from jobgen.run.expected import expected_run
from jobgen.settings import load_settings
from jobgen.sweep.spec import Sweep
from jobgen.sweep.trial import render_trial
from jobgen.yamlio import load
from jobgen_runtime.record.text import duration_text
from jobgen_runtime.setup.machine import gpu_facts

# What a training on the CPU has been seen to take, in GiB: 1.3 of PicoDet-XS with its two readers
# and the kernel.
TRIAL_GIB = 2.0


NO_CARD = ("no GPU was found (nvidia-smi names none)", "To train on the CPU: --device cpu")


def need_card(device: str) -> None:
    """Raise RunError where a training would find no card, and the CPU was not asked for."""
    if device == "auto" and not gpu_facts():
        raise RunError(*NO_CARD)


def need_room(workers: int, device: str) -> None:
    """Raise RunError where so many workers would share cards, cores or memory that one needs."""
    cards = gpu_facts()
    if device == "gpu" and not cards:
        raise RunError(*NO_CARD)
    if device == "gpu" or (device == "auto" and cards):
        if workers > len(cards):
            raise RunError(
                f"{workers} workers, and this machine has {len(cards)} card(s)",
                f"A card is not shared: --workers {len(cards)}",
            )
        return
    cores = os.cpu_count() or 1
    free = psutil.virtual_memory().available / 2**30
    most = max(1, min(cores, int(free / TRIAL_GIB)))
    if workers > most:
        raise RunError(
            f"{workers} workers, and this machine has {cores} cores and {free:.1f} GB of free "
            f"memory; a trial takes one and {TRIAL_GIB:.0f} GB",
            f"--workers {most}",
        )


def worker_environment(number: int, workers: int, device: str) -> dict[str, str]:
    """The environment of a worker, from 0: a card of its own, or its share of the cores; as it is
    where nothing is computed here."""
    own = dict(os.environ)
    if not device:
        return own
    if device == "gpu" or (device == "auto" and gpu_facts()):
        given = own.get("CUDA_VISIBLE_DEVICES", "").split(",")
        own["CUDA_VISIBLE_DEVICES"] = given[number] if any(given) else str(number)
    else:
        share = max(1, (os.cpu_count() or 1) // workers)
        own.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(share)))
    return own


def hours_text(sweep: Sweep, workers: int, device: str, trials: int) -> str:
    """How long so many trials take, by what earlier runs here took; empty where there were none."""
    _, bundle = render_trial(sweep, {})
    given = {name: load(value, "-p").value for name, value in sweep.parameters}
    expected = expected_run(bundle, given, load_settings(), "cpu" if device == "auto" else device)
    if expected is None:
        return ""
    whole = expected.seconds * trials / workers
    return (
        f"expected: about {duration_text(whole)} for all, {duration_text(expected.seconds)} a trial"
    )
