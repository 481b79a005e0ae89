"""`jobgen run A B C`: several bundles in turn, or some at once, each as if it were alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from jobgen.cli.console import Console
from jobgen.files import shown

POLL = 0.2


def run_many(console: Console, uploads: Sequence[Path], workers: int, words: list[str]) -> None:
    """Run each by a call of its own, `workers` at once, and say what became of each; exit code 7
    where one was not good. `words` are the options that all of them have."""
    from jobgen.errors import RunError, SpecError
    from jobgen.sweep.room import need_room, worker_environment
    from jobgen.sweep.trial import TIED, end

    device = words[words.index("--device") + 1]
    need_room(workers, device)
    if len({upload.resolve() for upload in uploads}) < len(uploads):
        raise SpecError(
            "a bundle is named twice", "Name each once; for other seeds: docs/sweeps.md"
        )
    waiting, free = list(enumerate(uploads)), list(range(workers))
    running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
    codes: dict[int, int] = {}
    try:
        while waiting or running:
            while waiting and free:
                number, upload = waiting.pop(0)
                place = free.pop(0)
                console.say(f"{upload} begins")
                argv = [sys.executable, "-m", "jobgen", "run", str(upload), *words]
                environment = worker_environment(place, workers, device)
                process = subprocess.Popen(argv, env=environment, **TIED,
                                           stdin=subprocess.DEVNULL)  # fmt: skip
                running[number] = (place, process)
            time.sleep(POLL)
            for number, (place, process) in list(running.items()):
                if process.poll() is not None:
                    codes[number] = process.returncode
                    del running[number]
                    free.append(place)
    finally:
        for _, process in running.values():
            end(process)
    for number, upload in enumerate(uploads):
        said = "ok" if codes[number] == 0 else f"not good, exit code {codes[number]}"
        console.data(f"{upload}: {said}")
    good = [upload for number, upload in enumerate(uploads) if codes[number] == 0]
    if len(good) > 1:
        folder = words[words.index("--runs") + 1]
        elsewhere = [] if folder == "runs" else ["--runs", shown(Path(folder))]
        named = " ".join([*map(shown, good), *elsewhere])
        console.say(f"Next, side by side: jobgen report {named}")
    if any(codes.values()):
        raise click.exceptions.Exit(RunError.exit_code)


def words_of(given: dict[str, Any]) -> list[str]:
    """The options of a call of `jobgen run`, as words of a command line."""
    words: list[str] = []
    for name, value in given.items():
        option = {"archives": "--archive", "parameters": "-p", "fresh": "--new"}.get(
            name, f"--{name.replace('_', '-')}"
        )
        if value is True:
            words.append(option)
        elif isinstance(value, tuple):
            for each in value:
                words += [option, *(map(str, each) if isinstance(each, tuple) else [str(each)])]
        elif value not in (None, False):
            words += [option, str(value)]
    return words
