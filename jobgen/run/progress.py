"""Live progress of a run, read from its events.jsonl."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from jobgen.text import legible
from jobgen_runtime.record.figures import evaluation_text
from jobgen_runtime.record.text import duration_text

PLAIN_STEPS = 20.0


def event_line(event: dict[str, Any]) -> tuple[str, bool] | None:
    """One line for people, and whether the next one may be drawn over it; None to stay silent."""
    stage, kind = event.get("stage") or "", event["event"]
    if kind == "end":
        seconds = duration_text(event["seconds"])
        return f"{stage:<10}{event['status']:<12}{seconds:<12}{event['text']}", False
    if kind == "start":
        return f"{stage:<10}...", True
    if kind == "step":
        return f"{stage:<10}{step_words(event)}", True
    if kind == "evaluated":
        return f"{'':<10}epoch {event['epoch'] + 1}: {evaluation_text(event)}", False
    if kind == "unpacking":
        share = 100.0 * event["done"] / max(1, event["total"])
        return f"{stage:<10}unpacking {event['archive']}: {share:.0f} %", True
    if kind == "shrinking":
        return f"{stage:<10}copies of large pictures: {event['done']} of {event['total']}", True
    if kind == "download":
        total = f" of {event['total'] / 1e6:.1f}" if event["total"] else ""
        return f"{stage:<10}downloading {event['done'] / 1e6:.1f}{total} MB", True
    text = remark(event)
    return (f"{'':<10}{text}", False) if text else None


def remark(event: dict[str, Any]) -> str:
    """What an event has to say beside the stages; empty for nothing."""
    kind = event["event"]
    if kind == "adjust":
        return f"{event['what']}: {event['used']} instead of {event['planned']} ({event['why']})"
    if kind == "note":
        return str(event["text"])
    if kind == "clone" and event.get("fault"):
        return f"{event['url']}: {event['fault']}"
    if kind == "weights" and event.get("fault"):
        return f"weights, try {event['attempt']}: {event['fault']}"
    return ""


def step_words(event: dict[str, Any]) -> str:
    """A step of the training: where it is, how it goes, how long it takes, what it uses."""
    words = [
        f"epoch {event['epoch'] + 1}/{event['epochs']}",
        f"step {event['step'] + 1}/{event['steps']}",
        f"loss {_number(event['loss'], '.3f')}",
        f"lr {_number(event['learning_rate'], '.4g')}",
        f"{_number(event['ips'], '.1f')} img/s",
    ]
    if isinstance(event.get("left"), (int, float)):
        words.append(f"{duration_text(event['left'])} left")
    if event.get("best") is not None:
        words.append(f"best {event.get('figure')} {event['best']:.3f}")
    if event.get("memory"):
        words.append(f"memory {100 * event['memory']:.0f} %")
    gpu = event.get("gpu") or {}
    if gpu:
        words.append(f"GPU {gpu['percent']} %, {gpu['memory_mib'] / 1024:.1f} GB")
    return "  ".join(words)


def steps_done(event: dict[str, Any]) -> tuple[int, int]:
    """Steps behind this one, and steps of the whole training."""
    return event["epoch"] * event["steps"] + event["step"] + 1, event["epochs"] * event["steps"]


def _number(value: Any, form: str) -> str:
    """A number, or the word that stands for one that JSON lacks: nan, inf."""
    return format(value, form) if isinstance(value, (int, float)) else str(value)


def read_events(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The whole lines after `offset` bytes, and the offset behind them."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except OSError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return list(parsed_events(data[:end])), offset + end


def parsed_events(data: bytes) -> Iterator[dict[str, Any]]:
    """The events of lines, without lines that are none."""
    for line in data.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


class Progress:
    """Shows events while the `with` block runs: one line drawn over on a terminal, plain
    lines with a step now and then elsewhere."""

    def __init__(self, path: Path, say: Callable[[str], None], live: bool) -> None:
        self.path = path
        self.say = say
        self.live = live
        self.offset = path.stat().st_size if path.is_file() else 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.bars: Any = None
        self.bar: Any = None
        self.quiet = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            # The text first: a narrow terminal cuts the bar, not the loss.
            text = TextColumn("{task.description}", markup=False)
            console = Console(stderr=True)
            self.bars = Bars(text, BarColumn(16), console=console, transient=True)
            self.bars.start()
            self.bar = self.bars.add_task("starting the kernel ...", total=None)
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self.thread.join()
        self._show()
        if self.bars is not None:
            self.bars.stop()

    def _watch(self) -> None:
        while not self.stop.wait(0.5):
            self.quiet += 0.5
            self._show()

    def _show(self) -> None:
        events, self.offset = read_events(self.path, self.offset)
        for event in events:
            shown = event_line(event)
            if shown is None:
                continue
            text, passing = legible(shown[0]), shown[1]
            if self.live and passing:
                self._draw(event, text)
            elif self.live:
                self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            elif not passing or (event["event"] == "step" and self.quiet >= PLAIN_STEPS):
                self.quiet = 0.0
                self.say(text)

    def _draw(self, event: dict[str, Any], text: str) -> None:
        if event["event"] == "step":
            done, total = steps_done(event)
            self.bars.update(self.bar, description=text, completed=done, total=total)
        else:
            self.bars.update(self.bar, description=text, completed=0, total=None)
