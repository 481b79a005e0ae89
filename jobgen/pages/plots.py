"""Plots of many values: histograms, points and a map. Every axis says what it is, its unit, and
whether it is logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jobgen.language import label, translated
from jobgen_runtime.record.charts import (
    COLOURS,
    DRAWN,
    HEIGHT,
    INSET,
    WIDTH,
    Axes,
    Frame,
    escaped,
    figure,
    nice_ticks,
    number_text,
)

BINS = 28
# Whole numbers that lie so near one another have a bar each.
MOST_WHOLE = 60
MOST_POINTS = 1200
CELLS = 24
# Wider than this between the smallest and the largest, values are spread over a logarithmic axis.
WIDE = 8.0
Floats = NDArray[np.float64]
Range = tuple[float, float]


class LogFrame(Frame):
    """A frame with a logarithmic x axis, and y axis where `both`; its limits are above 0."""

    def __init__(self, x: Range, y: Range, both: bool = False) -> None:
        super().__init__(x, y)
        self.both = both

    def place(self, x: float, y: float) -> tuple[float, float]:
        if not self.both:
            return Frame(_logs(self.x), self.y).place(math.log10(x), y)
        return Frame(_logs(self.x), _logs(self.y)).place(math.log10(x), math.log10(y))


def _logs(limits: Range) -> Range:
    return math.log10(limits[0]), math.log10(limits[1])


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between the limits; of many decades the tens alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def histogram(
    title: str,
    unit: str,
    series: Mapping[str, ArrayLike],
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """How often values are, in percent of each of the series: a colour each, in their order. Empty
    without values."""
    values = {name: _drawn(np.asarray(found, np.float64)) for name, found in series.items()}
    every = np.concatenate([*values.values(), np.zeros(0)])
    if not len(every):
        return ""
    edges, logarithmic = _edges(every)
    shares = {name: 100 * np.histogram(found, edges)[0] / max(1, len(found))
              for name, found in values.items()}  # fmt: skip
    top = max(float(share.max()) for share in shares.values()) or 1.0
    x = float(edges[0]), float(edges[-1])
    frame = LogFrame(x, (0.0, top)) if logarithmic else Frame(x, (0.0, top))
    axes = Axes(_unit(unit, logarithmic=logarithmic), translated("% of the split"))
    ticks = log_ticks(*x) if logarithmic else nice_ticks(*x, 6)
    if len(edges) > 1 and edges[1] - edges[0] == 1.0:
        ticks = sorted({float(round(tick)) for tick in ticks if x[0] <= round(tick) <= x[1]})
    parts = [frame.grid(axes, ticks, nice_ticks(0.0, top))]
    for place, (name, share) in enumerate(shares.items()):
        parts.append(_bars(frame, name, share, edges, (place, len(shares))))
    parts += [frame.mark(at, word) for at, word in marks if x[0] <= at <= x[1]]
    keys = [(name, place) for place, name in enumerate(shares)]
    return figure(title, axes, "".join(parts), keys)


def _drawn(values: Floats) -> Floats:
    """The values that a plot can show."""
    return values[np.abs(values) < DRAWN]


def _edges(every: Floats) -> tuple[Floats, bool]:
    """The edges of the bins, and whether they are spread logarithmically."""
    low, high = float(every.min()), float(every.max())
    if high - low <= MOST_WHOLE and np.all(every == np.round(every)):
        return np.arange(low - 0.5, high + 1.0), False
    if low > 0 and high > WIDE * low:
        return np.geomspace(low, np.nextafter(high, np.inf), BINS + 1), True
    return np.linspace(low, np.nextafter(max(high, low + 1.0), np.inf), BINS + 1), False


def _bars(frame: Frame, name: str, share: Floats, edges: Floats, turn: tuple[int, int]) -> str:
    """The bars of one series, which has its turn among several in each bin."""
    parts = []
    place, count = turn
    for number in np.flatnonzero(share):
        left, top = frame.place(float(edges[number]), float(share[number]))
        right, bottom = frame.place(float(edges[number + 1]), 0.0)
        wide = (right - left) / count
        said = (f"{name}, {number_text(float(edges[number]))} - "
                f"{number_text(float(edges[number + 1]))}: {share[number]:.1f} %")  # fmt: skip
        parts.append(
            f'<rect x="{left + place * wide:.1f}" y="{top:.1f}" width="{max(0.5, wide - 0.6):.1f}" '
            f'height="{bottom - top:.1f}"><title>{escaped(said)}</title></rect>'
        )
    return f'<g class="k{place % COLOURS}">{"".join(parts)}</g>'


def points(title: str, units: tuple[str, str], series: Mapping[str, tuple[Floats, Floats]]) -> str:
    """Pairs of positive values as points over logarithmic axes, of very many some; a colour each of
    the series. Empty without values."""
    found = {name: _thinned(x, y, len(series)) for name, (x, y) in series.items()}
    xs, ys = (np.concatenate([pair[axis] for pair in found.values()] or [np.zeros(0)])
              for axis in (0, 1))  # fmt: skip
    if not len(xs):
        return ""
    limits = [(float(v.min()) * 0.9, float(v.max()) * 1.1) for v in (xs, ys)]
    frame = LogFrame(limits[0], limits[1], both=True)
    axes = Axes(_unit(units[0], logarithmic=True), _unit(units[1], logarithmic=True))
    parts = [frame.grid(axes, log_ticks(*limits[0]), log_ticks(*limits[1]))]
    for place, (x, y) in enumerate(found.values()):
        places = (frame.place(float(a), float(b)) for a, b in zip(x, y, strict=True))
        dots = "".join(
            f'<circle class="faint" cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in places
        )
        parts.append(f'<g class="k{place % COLOURS}">{dots}</g>')
    return figure(title, axes, "".join(parts), [(name, place) for place, name in enumerate(found)])


def _thinned(x: Floats, y: Floats, series: int) -> tuple[Floats, Floats]:
    step = max(1, -(-len(x) * series // MOST_POINTS))
    return x[::step], y[::step]


def heat_map(title: str, boxes: Floats) -> str:
    """Where boxes lie: how many cover each part of the image, `boxes` being their left, top, right
    and bottom as shares of it, (M, 4). Empty without boxes."""
    if not len(boxes):
        return ""
    counts = coverage(boxes)
    most = int(counts.max()) or 1
    frame = Frame((0.0, 100.0), (0.0, 100.0))
    axes = Axes(translated("% of the width"), translated("% of the height, from below"))
    step = 100.0 / CELLS
    wide, high = (WIDTH - INSET[0] - INSET[2]) / CELLS, (HEIGHT - INSET[1] - INSET[3]) / CELLS
    parts = []
    for row, column in zip(*np.nonzero(counts), strict=True):
        left, top = frame.place(column * step, 100 - row * step)
        share, count = counts[row, column] / most, int(counts[row, column])
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" '
            f'fill-opacity="{share:.2f}">'
            f"<title>{count:,}</title></rect>"
        )
    drawn = frame.grid(axes, [0, 25, 50, 75, 100], [0, 25, 50, 75, 100])
    return figure(title, axes, f'{drawn}<g class="k0">{"".join(parts)}</g>', [])


def coverage(boxes: Floats) -> NDArray[np.int64]:
    """How many boxes cover each cell of the image, (CELLS, CELLS), rows from the top."""
    places = np.clip(boxes, 0, 1) * CELLS
    first = np.minimum(np.floor(places[:, :2]).astype(np.int64), CELLS - 1)
    last = np.maximum(np.ceil(places[:, 2:]).astype(np.int64), first + 1)
    change = np.zeros((CELLS + 1, CELLS + 1), np.int64)
    # Of a box's four corners, as (column's end, row's end), how the count changes there.
    corners = ((first, first, 1), (last, last, 1), (first, last, -1), (last, first, -1))
    for across, down, sign in corners:
        np.add.at(change, (down[:, 1], across[:, 0]), sign)
    return change.cumsum(0).cumsum(1)[:CELLS, :CELLS]


def _unit(unit: str, *, logarithmic: bool) -> str:
    text = label(unit)
    return translated(f"{text} (logarithmic axis)") if logarithmic else text
