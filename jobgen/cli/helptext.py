"""Help and usage errors of click, in the chosen language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from jobgen.language import chosen, label, translated

# What click puts behind an option's help: [default: x], [64<=x<=4096], [required].
EXTRA = re.compile(r"  (\[[^\[\]]*\])$")
DEFAULT = re.compile(r"\[default: (.*)\]", re.DOTALL)
VERBATIM = "\b"


class SpokenFormatter(click.HelpFormatter):
    """Writes click's help; its sentences are looked for in the catalogue as they are written."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, label(prefix or "Usage: "))

    def write_heading(self, heading: str) -> None:
        super().write_heading(label(heading))

    def write_text(self, text: str) -> None:
        super().write_text("\n\n".join(map(_paragraph, re.split(r"\n\s*\n", text))))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **extra: Any) -> None:
        super().write_dl([(name, _help(text)) for name, text in rows], *args, **extra)


def _paragraph(text: str) -> str:
    if text.startswith(VERBATIM):
        head, line, rest = text.partition("\n")
        title, newline, examples = rest.partition("\n")
        return head + line + label(title) + newline + examples
    return translated(" ".join(text.split()))


def _help(text: str) -> str:
    """An option's or a command's help, and what stands behind it in brackets."""
    own, behind = text, ""
    while True:
        found = translated(own)
        extra = EXTRA.search(own)
        if found != own or extra is None or chosen() == "en":
            return found + behind
        own = own[: extra.start()]
        behind = "  " + DEFAULT.sub(_default, extra[1]) + behind


def _default(match: re.Match[str]) -> str:
    return f"[默认：{translated(match[1])}]"


def first_sentence(command: click.Command) -> str:
    """What a list of commands says of one."""
    if chosen() == "en":
        return command.get_short_help_str(limit=1000)
    paragraph = (command.help or "").strip().split("\n\n")[0]
    return translated(" ".join(paragraph.split())).partition("。")[0] + "。"


class SpokenContext(click.Context):
    formatter_class = SpokenFormatter


def speak(command: click.Command) -> click.Command:
    """Have a command, and those below it, explain themselves in the chosen language."""
    command.context_class = SpokenContext
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            speak(inner)
    return command


def usage_error(error: click.UsageError) -> str:
    """A wrong call in the chosen language, as click shows it: usage, help, and what is wrong."""
    lines = []
    if error.ctx is not None:
        lines.append(error.ctx.get_usage())
        path = error.ctx.command_path
        lines.append(translated(f"Try '{path} -h' for help.") + "\n")
    lines.append(translated(f"Error: {error.format_message()}"))
    return "\n".join(lines)
