"""Curves of a training as SVG."""

import html
import math
from typing import Any, Dict, List, Optional, Tuple

from jobgen_runtime.record.text import redacted

MOST_POINTS = 500
# What is larger, or no number, is not drawn.
DRAWN = 1e12
CHART = (640.0, 220.0)
INSET = (48.0, 10.0, 12.0, 26.0)  # left, top, right, bottom
Points = List[Tuple[float, float]]


def escaped(value: Any) -> str:
    return html.escape(redacted(str(value)), quote=True)


def progress_of(row: Dict[str, Any]) -> float:
    """Where a row stands on the axis of epochs: the end of an evaluation's epoch, a step's part."""
    if row.get("steps"):
        return float(row["epoch"]) + float(row.get("step", 0)) / float(row["steps"])
    return float(row["epoch"]) + 1


def curve(rows: List[Dict[str, Any]], column: str) -> Points:
    """(epochs, value) of the rows that have one."""
    return [(progress_of(row), row[column]) for row in rows if column in row]


def data_share(rows: List[Dict[str, Any]]) -> Points:
    """How much of each step was waiting for data, 0 to 1."""
    found = []
    for row in rows:
        if row.get("batch_cost"):
            found.append((progress_of(row), row.get("data_cost", 0.0) / row["batch_cost"]))
    return found


def median(values: List[float]) -> Optional[float]:
    """The middle of the finite values; None where there are none."""
    found = sorted(value for value in values if math.isfinite(value))
    return found[len(found) // 2] if found else None


def nice_ticks(low: float, high: float, wanted: int = 4) -> List[float]:
    """Round numbers from `low` to `high` for an axis."""
    span = high - low
    if span <= 1e-100:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * n for n in (1, 2, 5, 10) if span / (power * n) <= wanted)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def chart(title: str, series: List[Tuple[str, Points]], x_title: str) -> str:
    """Curves as a figure with SVG; empty where nothing finite is to be drawn."""
    series = [(name, _finite(points)) for name, points in series]
    every = [point for _, points in series for point in points]
    if not every:
        return ""
    x_end = max(1e-9, max(x for x, _ in every))
    low, high = _bounds([y for _, y in every])
    left, top, right, bottom = INSET
    width, height = CHART[0] - left - right, CHART[1] - top - bottom

    def place(x: float, y: float) -> Tuple[float, float]:
        return left + x / x_end * width, top + (high - y) / (high - low) * height

    parts = []
    for tick in nice_ticks(low, high):
        _, y = place(0, tick)
        parts.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>' % (left, left + width, y, y))
        parts.append(
            '<text x="%.1f" y="%.1f" text-anchor="end">%.4g</text>' % (left - 6, y + 4, tick)
        )
    for tick in nice_ticks(0, x_end, 6):
        x, _ = place(tick, low)
        parts.append(
            '<text x="%.1f" y="%.1f" text-anchor="middle">%.4g</text>' % (x, CHART[1] - 8, tick)
        )
    for number, (name, points) in enumerate(series):
        corners = " ".join("%.1f,%.1f" % place(x, y) for x, y in points)
        if len(points) == 1:
            corners += " h-6"
        parts.append(
            '<path class="k%d" d="M%s"><title>%s</title></path>'
            % (number % 6, corners, escaped(name))
        )
    names = " ".join(
        '<i class="k%d">%s</i>' % (number % 6, escaped(name))
        for number, (name, _) in enumerate(series)
    )
    return (
        '<figure><figcaption>%s</figcaption><svg viewBox="0 0 %g %g" role="img" aria-label="%s">'
        '%s</svg><div class="dim">%s · %s</div></figure>'
    ) % (
        escaped(title),
        CHART[0],
        CHART[1],
        escaped(title),
        "".join(parts),
        escaped(x_title),
        names,
    )


def _bounds(values: List[float]) -> Tuple[float, float]:
    """Where the axis of these values begins and ends."""
    low, high = min(values), max(values)
    low = 0.0 if 0 < low < high / 2 else low
    if high - low <= 1e-9 * abs(high):
        low, high = low - max(0.5, abs(low) / 2), high + max(0.5, abs(high) / 2)
    if all(y >= 0 for y in values):
        low = max(0.0, low)
    return low, high


def _finite(points: Points) -> Points:
    """The finite points, thinned to what a screen can show; the last one stays."""
    found = [(x, y) for x, y in points if abs(x) < DRAWN and abs(y) < DRAWN]
    stride = -(-len(found) // MOST_POINTS) or 1
    return found[::stride] + (found[-1:] if found and (len(found) - 1) % stride else [])
