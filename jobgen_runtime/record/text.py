"""Texts as they are written down: whole or not at all, and without passwords."""

import datetime
import json
import math
import os
import re
from typing import Any, Dict


def write_text_atomically(path: str, text: str) -> None:
    """Replace `path` by `text` in one step, so that no reader sees half of it."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def read_json_object(path: str) -> Dict[str, Any]:
    """A JSON object from a file; empty where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def redacted(text: str) -> str:
    """`text` without the user, password and query of any address in it (a query may be a token),
    and without what UTF-8 can't write: a file name in another encoding has such characters."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if "://" not in text:
        return text
    text = re.sub(r"(?<=://)[^/\s@]+@", "", text)
    return re.sub(r"(://[^\s?\"'<>]+)\?[^\s\"'<>)\],]+", r"\1?...", text)


def recordable(value: Any) -> Any:
    """`value` as it may be written down: numbers that JSON lacks (nan, inf) as text, addresses
    without passwords."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {
            redacted(key) if isinstance(key, str) else key: recordable(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [recordable(item) for item in value]
    return value


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 min 3 s` or `3 h 5 min`."""
    if seconds < 60:
        return "%.1f s" % seconds
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return "%d min %d s" % (minutes, rest)
    return "%d h %d min" % divmod(minutes, 60)


def count_text(number: int, one: str, several: str) -> str:
    """`1 epoch`, `2 epochs`, of "%d epoch" and "%d epochs"."""
    return (one if number == 1 else several) % number


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
