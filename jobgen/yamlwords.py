"""What libyaml says of a slip, in words for whoever wrote the file, with the line where it is."""

from __future__ import annotations

import re

import yaml

# A Chinese keyboard's punctuation, which YAML takes for letters.
FULL_WIDTH = {"：": ":", "，": ",", "［": "[", "］": "]", "【": "[", "】": "]", "“": '"', "”": '"'}
TOO_DEEP = "the nesting is too deep"
CLOSING = {"[": "]", "{": "}"}
KEY = re.compile(r"\s*[A-Za-z_]\w*\s*")
KEY_BEGINS = re.compile(r"\s*(?:- )?[A-Za-z_][\w.]*:(?:\s|$)")
VALUE = re.compile(r"\s*(?:- )?(?:[\w.]+:\s+)?(?P<text>(?P<quote>[\"']).*)")


def in_words(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line from 1, and what is wrong there."""
    lines = text.splitlines()
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or error.context or "no YAML"
    here = lines[line - 1] if line <= len(lines) else ""
    if "cannot start any token" in problem and "\t" in here[: len(here) - len(here.lstrip()) + 1]:
        return line, "a tab stands at the start of the line; YAML takes spaces only"
    if "cannot start any token" in problem and mark and mark.column < len(here):
        return line, f"{here[mark.column]!r} can't begin a value; put the value in quotes"
    if "nesting depth" in problem:  # PyYAML 6.0.4 has a bound of its own
        return line, TOO_DEEP
    told = _not_closed(error, lines, line)
    if told is not None:
        return told
    if "could not find expected ':'" in problem or _no_colon_before(lines, line):
        before = [n for n in range(min(line, len(lines)), 0, -1) if KEY.fullmatch(lines[n - 1])]
        at = before[0] if before else line
        return at, f"a colon is missing: {lines[at - 1].strip()}:" if before else problem
    if "mapping values are not allowed" in problem and _code(here).count(": ") > 1:
        return line, "two colons stand in one line: put the value in quotes"
    if "did not find expected key" in problem or "mapping values are not allowed" in problem:
        return line, _not_in_step(lines, line)
    return line, problem


def _not_closed(error: yaml.MarkedYAMLError, lines: list[str], line: int) -> tuple[int, str] | None:
    """A bracket or quote that opens and is not closed, or whose items have no comma between."""
    start = error.context_mark
    if start is None:
        return None
    opened = lines[start.line][start.column :][:1] if start.line < len(lines) else ""
    # A key in a later line is what follows a list that was never closed.
    key_follows = line > start.line + 1 and bool(KEY_BEGINS.match(lines[min(line, len(lines)) - 1]))
    rest = "".join(map(_code, lines[start.line : line + 1]))
    if opened in CLOSING and CLOSING[opened] in rest and not key_follows:
        return line, f"a comma is missing between the items of {opened} {CLOSING[opened]}"
    if opened in CLOSING:
        return start.line + 1, f"the {opened} that opens here is not closed by {CLOSING[opened]}"
    if "quoted scalar" in (error.context or ""):
        return start.line + 1, "the quote that opens here is not closed"
    return None


def _code(line: str) -> str:
    """A line without its comment."""
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0]


def _no_colon_before(lines: list[str], line: int) -> bool:
    """Whether the line before has a lone word, which then takes the next for its own text."""
    return 1 < line <= len(lines) and bool(KEY.fullmatch(lines[line - 2]))


def _not_in_step(lines: list[str], line: int) -> str:
    for n in range(min(line, len(lines)), 0, -1):
        value = VALUE.match(_code(lines[n - 1]))
        if value and value["text"].count(value["quote"]) % 2:
            return f"a quote is not closed, most likely in line {n}"
        if line - n > 2:
            break
    return (
        "the indentation does not fit the lines before it: keys of one level stand in one column, "
        "and a key with keys below it has nothing after its colon"
    )


def full_width_near(text: str, line: int) -> str:
    """Names punctuation of a Chinese keyboard near a fault; empty where there is none."""
    near = text.splitlines()[max(0, line - 3) : line + 1]
    found = sorted({letter for part in near for letter in part.partition(" #")[0]
                    if letter in FULL_WIDTH})  # fmt: skip
    pairs = ", ".join(f"{letter} by {FULL_WIDTH[letter]}" for letter in found)
    return f"; full-width punctuation is near: replace {pairs}" if found else ""
