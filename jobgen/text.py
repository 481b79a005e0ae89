"""Text of others, as it may stand on a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any


def legible(text: str) -> str:
    """`text` with every control character, of a terminal and of Unicode's directions too, written
    out; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _shows(char) else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """As legible(), with line ends and tabs written out too."""
    return legible(text).replace("\n", "\\n").replace("\t", "\\t")


def wide(text: str) -> int:
    """How many characters of a text take two columns of a terminal, as Chinese ones do."""
    return sum(unicodedata.east_asian_width(char) in "WF" for char in text)


def _shows(char: str) -> bool:
    # isprintable() leaves out every space but one; Chinese has a wide one.
    return char in "\n\t" or char.isprintable() or unicodedata.category(char) == "Zs"


# What a child process says is read as UTF-8, whatever this console speaks.
PIPED: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
