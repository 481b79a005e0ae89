"""A value as Python 3.7 source: the only way by which values enter notebook cells."""

from __future__ import annotations

import math
from typing import Any

WIDTH = 96


def to_source(value: Any, indent: int = 0) -> str:
    """Source that evaluates to `value`: None, bool, int, float, str, list, dict of these.

    One line where it fits, else one item a line. Raises TypeError for other types.
    """
    flat = _flat(value)
    if len(flat) + indent <= WIDTH or not isinstance(value, (dict, list, tuple)) or not value:
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        rows = [f"{_flat(k)}: {to_source(v, indent + 4)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        rows = [to_source(item, indent + 4) for item in value]
        opening, closing = "[", "]"
    body = "".join(f"{inner}{row},\n" for row in rows)
    return f"{opening}\n{body}{' ' * indent}{closing}"


def _flat(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f"float({str(value)!r})"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flat(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flat(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"{value!r} has no Python literal here")


def _text(value: str) -> str:
    # repr prefers single quotes; the house style is double.
    body = repr(value + '"')[1:-2] if "'" not in value else None
    if body is not None and '"' not in value:
        return f'"{body}"'
    return repr(str(value))
