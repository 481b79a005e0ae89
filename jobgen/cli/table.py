"""Rows as lines of text, in columns."""

from __future__ import annotations

from collections.abc import Sequence

from jobgen.language import phrase
from jobgen.text import wide

Row = tuple[str, Sequence[str]]


def table(rows: Sequence[Row]) -> str:
    """The rows in columns as wide as their widest cell, what is a sentence of the catalogue in the
    chosen language; no text for no rows. To be shown as it is."""
    if not rows:
        return ""
    columns = [[phrase(cell) for cell in (name, *cells)] for name, cells in rows]
    widths = [
        max(len(row[place]) + wide(row[place]) for row in columns)
        for place in range(len(columns[0]))
    ]
    lines = (
        "  ".join(f"{cell:<{width - wide(cell)}}" for cell, width in zip(row, widths, strict=True))
        for row in columns
    )
    return "\n".join(line.rstrip() for line in lines)
