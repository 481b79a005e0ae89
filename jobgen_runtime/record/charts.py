"""Curves as SVG, bars and shaded cells as HTML; colours are k0 to k7 of the page's style."""

import html
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jobgen_runtime.record.text import redacted

MOST_POINTS = 500
# What is larger, or no number, is not drawn.
DRAWN = 1e12
COLOURS = 8
WIDTH, HEIGHT = 560.0, 262.0
INSET = (54.0, 24.0, 14.0, 42.0)  # left, top, right, bottom
Points = List[Tuple[float, float]]


class Series(NamedTuple):
    """A line of a chart: its name, its (x, y), and the number of its colour."""

    name: str
    points: Points
    colour: int


class Axes(NamedTuple):
    """What the axes of a chart are, with units, and where they have to reach at least."""

    x: str
    y: str
    least: Tuple[float, float] = (math.inf, -math.inf)
    x_end: float = 0.0


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


def number_text(value: float) -> str:
    """A number as people write it: 0.0004, 0.25, 1,200, 3.5e+07."""
    if value != 0 and not 1e-6 <= abs(value) < 1e7:
        return "%.3g" % value
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    text = "%.*f" % (max(0, 3 - math.floor(math.log10(abs(value) or 1))), value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def chart(
    title: str,
    series: Sequence[Series],
    axes: Axes,
    marks: Sequence[Tuple[float, str]] = (),
) -> str:
    """Curves as a figure; `marks` are places on the x axis with a word. Empty where nothing finite
    is to be drawn."""
    drawn = [each._replace(points=_finite(each.points)) for each in series]
    drawn = [each for each in drawn if each.points]
    every = [point for each in drawn for point in each.points]
    if not every:
        return ""
    low, high = _bounds([y for _, y in every] + [y for y in axes.least if math.isfinite(y)])
    x_end = max([1e-9, axes.x_end] + [x for x, _ in every])
    frame = Frame((0.0, x_end), (low, high))
    parts = [frame.grid(axes, nice_ticks(0.0, x_end, 6), nice_ticks(low, high))]
    parts += [frame.mark(x, word) for x, word in marks if 0 <= x <= x_end]
    parts += [frame.line(each) for each in drawn]
    return figure(title, axes, "".join(parts), [(each.name, each.colour) for each in drawn])


def figure(title: str, axes: Axes, drawn: str, keys: Sequence[Tuple[str, int]]) -> str:
    """A chart with its title, and what its colours mean where there are several."""
    names = "".join('<span class="k%d">%s</span>' % (c % COLOURS, escaped(n)) for n, c in keys)
    key = '<div class="key">%s</div>' % names if len(keys) > 1 else ""
    label = "%s: %s, %s" % (title, axes.x, axes.y)
    return (
        '<figure><figcaption>%s</figcaption>%s<svg class="chart" viewBox="0 0 %g %g" role="img" '
        'aria-label="%s">%s</svg></figure>\n'
    ) % (escaped(title), key, WIDTH, HEIGHT, escaped(label), drawn)


class Frame:
    """Where values lie in a chart; `x` and `y` are (low, high)."""

    def __init__(self, x: Tuple[float, float], y: Tuple[float, float]) -> None:
        self.x, self.y = x, y
        self.left, self.top, right, self.bottom = INSET
        self.width, self.height = WIDTH - self.left - right, HEIGHT - self.top - self.bottom

    def place(self, x: float, y: float) -> Tuple[float, float]:
        along = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + along * self.width, self.top + (1 - up) * self.height

    def grid(self, axes: Axes, across: Sequence[float], up: Sequence[float]) -> str:
        """The lines and numbers of both axes, and what they are."""
        parts = []
        for tick in up:
            _, y = self.place(self.x[0], tick)
            ends = (self.left, self.left + self.width, y, y)
            parts.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>' % ends)
            parts.append(_text(self.left - 7, y + 4, number_text(tick), "end"))
        below = HEIGHT - self.bottom + 17
        for tick in across:
            x, _ = self.place(tick, self.y[0])
            parts.append(_text(x, below, number_text(tick), "middle"))
        parts.append(_text(self.left + self.width, HEIGHT - 5, axes.x, "end"))
        parts.append(_text(0, 11, axes.y, "start"))
        return "".join(parts)

    def mark(self, x: float, word: str) -> str:
        """A place on the x axis, with a word on the side that has room."""
        at, _ = self.place(x, self.y[0])
        left = at > self.left + self.width / 2
        line = '<line class="mark" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>' % (
            at, at, self.top, self.top + self.height,
        )  # fmt: skip
        words = _text(at + (-5 if left else 5), self.top + 9, word,
                      "end" if left else "start", "mark")  # fmt: skip
        return line + words

    def line(self, series: Series) -> str:
        """A curve; a lone value as a dash."""
        corners = " ".join("%.1f,%.1f" % self.place(x, y) for x, y in series.points)
        return '<path class="k%d" d="M%s%s"><title>%s</title></path>' % (
            series.colour % COLOURS, corners, "h-6" if len(series.points) == 1 else "",
            escaped(series.name),
        )  # fmt: skip


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    kind = ' class="%s"' % kind if kind else ""
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (
        x, y, anchor, kind, escaped(text),
    )  # fmt: skip


def bars(rows: Sequence[Tuple[str, Sequence[Tuple[float, str, int]]]], most: float = 0.0) -> str:
    """Rows of a name and its bars of (value, text, colour), from 0 to `most` or the largest."""
    most = most or max((value for _, own in rows for value, _, _ in own), default=0.0) or 1.0
    parts = []
    for name, own in rows:
        drawn = "".join(
            '<i class="k%d" style="width:%.1f%%"></i>'
            % (colour % COLOURS, 100 * min(1.0, max(0.0, value) / most))
            for value, _, colour in own
        )
        said = "<br>".join(escaped(text) for _, text, _ in own)
        parts.append("<span>%s</span><div>%s</div><b>%s</b>\n" % (escaped(name), drawn, said))
    return '<div class="bars">%s</div>\n' % "".join(parts) if parts else ""


def shade(share: float) -> str:
    """The style of a cell that is as dark as its share, 0 to 1, and legible all the same."""
    return "background:rgb(var(--shade) / %.2f)" % (0.55 * min(1.0, max(0.0, share)))


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
