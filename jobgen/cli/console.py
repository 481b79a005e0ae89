"""The only writer to the screen: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import click


@dataclass
class Console:
    """How this call of jobgen talks. `json_output` is set by a command's --json."""

    debug: bool = False
    json_output: bool = False

    def data(self, text: str) -> None:
        """An answer, for people."""
        if not self.json_output:
            click.echo(text)

    def result(self, **facts: Any) -> None:
        """An answer, for programs: printed with --json only."""
        if self.json_output:
            click.echo(json.dumps({"version": 1, **facts}, indent=2))

    def say(self, text: str) -> None:
        """Progress or a hint."""
        click.echo(text, err=True)

    def live(self) -> bool:
        """Whether a person watches: then a line may be drawn over."""
        return sys.stderr.isatty() and not self.json_output
