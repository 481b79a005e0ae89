"""The only writer to the screen: data to stdout, everything else to stderr.

What is written may come from somebody's files: control characters and passwords stay out.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from jobgen.hidden import without_secrets
from jobgen.language import label, translated
from jobgen.text import legible, wide
from jobgen_runtime.record.text import redacted

# What a line begins with, and how it stands out on a terminal.
COLOURS = {
    "error": "red",
    **dict.fromkeys(("warning", "failed", "interrupted", "untrained"), "yellow"),
    "note": "cyan",
    **dict.fromkeys(("ok", "ok-smoke", "nothing found"), "green"),
    **{"错误": "red", "警告": "yellow", "提示": "cyan"},
}
BEGINNING = re.compile(
    rf"^(?P<word>{'|'.join(COLOURS)})(?![\w-])[:：]?|^ *(?:Fix|Next|Try|处理办法|下一步|试试)[:：]",
    re.MULTILINE,
)
QUIET_SECONDS = 2.0
LINE_SECONDS = 10.0
# Columns of the names in a list of facts.
ROW = 12


def shown(text: str) -> str:
    """A text as the screen may show it."""
    return legible(redacted(without_secrets(text)))


def painted(text: str) -> str:
    """A text that may be shown, with colours; click takes them out where no terminal is. None
    where NO_COLOR is set (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return text
    return BEGINNING.sub(
        lambda match: click.style(match[0], fg=COLOURS.get(match["word"]), bold=True), text
    )


def finite(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are none, as somebody's file may have, as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, (list, tuple)) else value


class Progress:
    """Tells of work that takes over two seconds: count and time left, in one line on a terminal,
    else in a line every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._started = self._shown = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._started = what, now
        passed = now - self._started
        live = self._console.live()
        if passed < QUIET_SECONDS or now - self._shown < (0.2 if live else LINE_SECONDS):
            return
        self._shown = now
        left = passed / max(done, 1) * (total - done)
        line = f"{what}: {done:,} of {total:,}, {left:.0f} s left"
        if live:
            # Drawn over by the next, and wiped by the last.
            click.echo(f"\r{shown(line):<70}\r", err=True, nl=False)
        else:
            self._console.say(line)


@dataclass
class Console:
    """How this call of jobgen talks. `json_output` is set by a command's --json."""

    debug: bool = False
    json_output: bool = False

    def data(self, text: str) -> None:
        """An answer, for people."""
        if not self.json_output:
            click.echo(painted(shown(translated(text))))

    def verbatim(self, text: str) -> None:
        """An answer that is shown as it is: a config, a file, a table."""
        if not self.json_output:
            click.echo(shown(text))

    def result(self, **facts: Any) -> None:
        """An answer, for programs: printed with --json only."""
        if self.json_output:
            text = json.dumps(finite({"version": 1, **facts}), indent=2, allow_nan=False)
            click.echo(without_secrets(text))

    def say(self, text: str) -> None:
        """Progress or a hint."""
        # What is only said must not end what is done.
        with contextlib.suppress(OSError):
            click.echo(painted(shown(translated(text))), err=True)

    def row(self, name: str, text: str) -> None:
        """A line of a list of facts that are said: a word of jobgen's own, and what it is."""
        word = label(name)
        self.say(f"{word:<{ROW - wide(word)}}{translated(text)}")

    def progress(self) -> Progress:
        """What long work calls with (what, done, total)."""
        return Progress(self)

    def confirmed(self, question: str, yes: bool) -> bool:
        """Whether somebody agrees; nobody does where nobody is there. Ctrl-C ends the call."""
        if yes:
            return True
        try:
            return click.confirm(translated(question), err=True)
        except click.Abort as stopped:
            click.echo("", err=True)
            if isinstance(stopped.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return False

    def live(self) -> bool:
        """Whether a person watches: then a line may be drawn over."""
        return sys.stderr.isatty() and not self.json_output
