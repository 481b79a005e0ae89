"""The language that jobgen speaks, and its sentences in it.

Sentences are written in English where they are needed, most as f-strings. They are translated where
they are shown: the catalogue (gettext, made by Babel: `make words`) has each with names in braces
for its values, and a text that is shown is looked for among them. Values that are sentences
themselves are translated too. docs/decisions/language.md says why.
"""

from __future__ import annotations

import contextlib
import locale
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

LANGUAGES = ("en", "zh")
VARIABLE = "JOBGEN_LANG"
CATALOGUE = Path(__file__).resolve().parent / "locale/zh_CN/LC_MESSAGES/jobgen.mo"
# A value in a sentence, as its source has it: {name}, or what the % operator takes.
HOLE = re.compile(r"\{(\w+)\}|%(?:\.\d+)?[srdfg]|(%%)")
NUMBER = re.compile(r"-?[\d,]+")
DEEPEST = 4
# A sentence with so many letters of its own is meant whatever its values are; of another, as
# "{a} and {b}", the values have to be short.
SURE, SHORT = 12, 4
# One of fewer letters would be found in what is somebody's own.
LEAST = 6
# So many letters at its beginning tell a sentence from one that begins with a value.
OPENING = 4
# `28 min to 1.6 h`, `2 h 5 min`.
UNITS = {"s": "秒", "min": "分钟", "h": "小时", "to": "到"}
UNIT = re.compile(r"\b(?:s|min|h|to)\b")
TIME = re.compile(r"(?:[\d.]+ (?:s|min|h)(?: to | |$))+")
# A finding: the file and line before it, and the key.
PLACED = re.compile(r"(.+?:\d+: (?:[\w.\[\]]+: )?)(.+)")
# At most so many characters are looked at: logs and listings are no sentences.
LONGEST = 1500

# Who said it in this call; empty where nobody did.
_said: dict[str, str] = {"option": "", "settings": "", "job": ""}


def say_language(who: str, code: str | None) -> None:
    """Settle the language by the `option` --lang, by the `settings`, or by the `job` that a command
    is about."""
    _said[who] = code or ""


def chosen() -> str:
    """`en` or `zh`: by --lang, JOBGEN_LANG, the settings, the job, the system, in this order."""
    option, settings, job = _said["option"], _said["settings"], _said["job"]
    asked = (option, os.environ.get(VARIABLE, ""), settings, job, system_language())
    return next((code for code in map(_known, asked) if code), "en")


def _known(name: str) -> str:
    start = re.split(r"[-_.@ (]", name.strip().lower())[0]
    return {"zh": "zh", "chinese": "zh", "en": "en", "english": "en"}.get(start, "")


def system_language() -> str:
    """The language of this user's system; empty where it says none."""
    if sys.platform == "win32":
        return (locale.getlocale()[0] or "").lower()
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return os.environ[name]
    return ""


@contextlib.contextmanager
def spoken(code: str) -> Iterator[None]:
    """Speak a language for a while."""
    before = dict(_said)
    _said["option"] = code
    try:
        yield
    finally:
        _said.update(before)


def translated(text: str) -> str:
    """A text of jobgen's in the chosen language; what no sentence of it is stays as it is."""
    return text if chosen() == "en" else chinese(text)


def label(word: str) -> str:
    """A word of jobgen's own, as a heading or a name of a column, in the chosen language. Sentences
    go through translated(): there a word alone may be somebody's class."""
    return word if chosen() == "en" else messages().get(word, word)


def phrase(text: str) -> str:
    """A cell of a table in the chosen language: where it is a sentence as it stands, of two words
    at least. Anything else may be somebody's."""
    return label(text) if " " in text else text


def chinese(text: str) -> str:
    """A text as the Chinese catalogue has it: as a whole, else line by line."""
    if len(text) <= LONGEST and " " in text:
        found = _sentence(text, DEEPEST)
        if found is not None:
            return found
    return "\n".join(_line(line) for line in text.split("\n"))


@lru_cache(4096)
def _line(line: str) -> str:
    bare = line.strip().removeprefix("- ")
    if len(bare) > LONGEST or not re.search(r"[A-Za-z]{2}.* ", bare):
        return line
    found = _sentence(bare, DEEPEST)
    return line if found is None else line.replace(bare, found, 1)


@lru_cache(4096)
def _sentence(text: str, depth: int) -> str | None:
    """A sentence or several in Chinese; None where the catalogue has none of it."""
    exact = messages().get(text)
    if exact is not None:
        return exact
    if depth == 0 or len(text) > LONGEST:
        return None
    placed = PLACED.fullmatch(text)
    own = _sentence(placed[2], depth - 1) if placed else None
    if placed and own is not None:
        return f"{placed[1]}{own}"
    for pattern in _candidates(text):
        found = pattern.values_in(text)
        if found is not None:
            values = [_value(value, depth - 1) for value in found]
            if pattern.weight >= SURE or all(map(_is_settled, found, values)):
                return pattern.filled(values)
    named = _with_detail(text, depth)
    if named is not None:
        return named
    pieces = re.split(r"(?<=[.;:?!]) +", text)
    if len(pieces) == 1:
        return None
    parts = [(piece, _sentence(piece, depth - 1)) for piece in pieces]
    # Half a text in another language is worse than none of it.
    if any(own is None and len(piece.split()) > SHORT for piece, own in parts):
        return None
    return "".join(f" {piece} " if own is None else own for piece, own in parts).strip()


def _with_detail(text: str, depth: int) -> str | None:
    """A sentence with something before or behind a colon, as a title with its count, or a number
    of what a sentence names."""
    for colon in re.finditer(": ", text):
        head, tail = text[: colon.start()], text[colon.end() :]
        own = messages().get(head)
        if own is not None:
            return f"{own}：{_value(tail, depth - 1)}"
        found = _sentence(tail, depth - 1) if " " in tail else None
        if found is not None and len(head.split()) <= SHORT:
            return f"{head}：{found}"
    count = re.fullmatch(r"([\d.,]+) (.+)", text)
    own = messages().get(count[2]) if count else None
    return f"{count[1]} {own}" if count and own is not None else None


def _value(text: str, depth: int) -> str:
    """A value of a sentence: a sentence itself, a time, or somebody's word."""
    bare = text.strip()
    if " " not in bare:
        return text
    if TIME.fullmatch(bare):
        return UNIT.sub(lambda found: UNITS[found[0]], text)
    if "\n" in text:
        return "\n".join(map(_line, text.split("\n")))
    exact = messages().get(text)
    if exact is not None:
        return exact
    found = _sentence(bare, depth)
    return text if found is None else text.replace(bare, found, 1)


def _is_settled(before: str, after: str) -> bool:
    """Whether a value of a sentence of few words is one: translated itself, or short."""
    return before != after or len(before.split()) <= SHORT


@dataclass(frozen=True)
class Pattern:
    """A sentence with values: its own pieces in English, between which the values stand, the names
    of these, and its Chinese. `weight` is how many letters of it are its own."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    to: str
    weight: int

    @property
    def opens(self) -> bool:
        """Whether it begins with words of its own."""
        return len(self.pieces[0]) >= OPENING

    @property
    def word(self) -> str:
        """A word that any text of it has, the longest; empty where all of its own touch values."""
        inside = re.compile(r"(?<= )[A-Za-z]{3,}(?=[ .,:;])")
        whole = [word for piece in self.pieces for word in inside.findall(piece)]
        whole += re.findall(r"^[A-Za-z]{3,}(?=[ .,:;])", self.pieces[0])
        return max(whole, key=len, default="")

    def values_in(self, text: str) -> list[str] | None:
        """The values in a text of this sentence; None for any other. Each ends where the next piece
        begins first, so that it takes no longer than the text is long."""
        first, *inner, last = self.pieces
        if not text.startswith(first) or not text.endswith(last):
            return None
        found, place, end = [], len(first), len(text) - len(last)
        for piece in inner:
            there = text.find(piece, place, end)
            if there < 0:
                return None
            found.append(text[place:there])
            place = there + len(piece)
        if place > end:
            return None
        found.append(text[place:end])
        whole = (value for name, value in zip(self.names, found, strict=True) if name[:2] == "%d")
        return found if all(NUMBER.fullmatch(value.strip()) for value in whole) else None

    def filled(self, values: list[str]) -> str:
        """The Chinese sentence with these values, in the order of the English one."""
        named = dict(zip(self.names, values, strict=True))
        rest = iter([v for n, v in zip(self.names, values, strict=True) if n.startswith("%")])

        def put(match: re.Match[str]) -> str:
            if match[2]:
                return "%"
            return named.get(match[1], match[0]) if match[1] else next(rest, "")

        return HOLE.sub(put, self.to)


@cache
def patterns() -> tuple[Pattern, ...]:
    """The sentences with values, those that begin with words of their own and have the most of them
    first; only such as have some to be found by."""
    found = [_pattern(english, own) for english, own in messages().items()
             if own != english and any(m[0] != "%%" for m in HOLE.finditer(english))]  # fmt: skip
    kept = [p for p in found if p.weight >= LEAST and len(max(p.pieces, key=len).strip()) > 2]
    return tuple(sorted(kept, key=lambda pattern: (not pattern.opens, -pattern.weight)))


def _pattern(english: str, own: str) -> Pattern:
    pieces, place = [""], 0
    names: list[str] = []
    for match in HOLE.finditer(english):
        pieces[-1] += english[place : match.start()] + ("%" if match[2] else "")
        if not match[2]:
            names.append(match[1] or f"%{match[0][-1]}{len(names)}")
            pieces.append("")
        place = match.end()
    pieces[-1] += english[place:]
    return Pattern(tuple(pieces), tuple(names), own, sum(map(len, pieces)))


@cache
def _by_word() -> dict[str, list[int]]:
    """The numbers of the patterns that can be in a text with a word."""
    found: dict[str, list[int]] = {}
    for number, pattern in enumerate(patterns()):
        found.setdefault(pattern.word, []).append(number)
    return found


def _candidates(text: str) -> Iterator[Pattern]:
    """The patterns whose words a text has, in their order."""
    index = _by_word()
    numbers = [n for word in {"", *re.findall(r"[A-Za-z]{3,}", text)} for n in index.get(word, ())]
    return (patterns()[number] for number in sorted(numbers))


@cache
def messages() -> dict[str, str]:
    """The catalogue, English to Chinese: a .mo file (GNU gettext's manual, section "The Format of
    GNU MO Files")."""
    data = CATALOGUE.read_bytes()
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, originals, translations = struct.unpack_from(f"{order}3I", data, 8)
    found = {}
    for number in range(count):
        pair = []
        for table in (originals, translations):
            length, start = struct.unpack_from(f"{order}2I", data, table + 8 * number)
            pair.append(data[start : start + length].decode("utf-8"))
        if pair[0]:
            found[pair[0]] = pair[1]
    return found
