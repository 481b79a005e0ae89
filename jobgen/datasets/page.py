"""The figures of a data set as one HTML page: no script, nothing fetched, everything escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jobgen.datasets.record import DataSet, Floats, Split
from jobgen.datasets.statistics import aspects, box_areas

BINS = 24
WIDTH, HEIGHT = 360, 150
COLOURS = ("#2b6cb0", "#c05621", "#2f855a")


@dataclass(frozen=True)
class Bar:
    """A bar of a plot in SVG units: its left, top, width and height, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Plot:
    """A plot: series of bars by split, and the ends of its axis as text."""

    title: str
    low: str
    high: str
    series: dict[str, list[Bar]]


def page(data: DataSet, rows: list[tuple[str, list[str]]], suggestion: str) -> str:
    """The page; `rows` is the table of figures, its first row the head."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined
    )
    classes = {split.name: split.boxes_per_class for split in data}
    return environment.get_template("page.html.j2").render(
        title=data.contents.name,
        head=rows[0],
        rows=rows[1:],
        suggestion=suggestion,
        plots=plots(data),
        classes=[
            (name, [(split, int(counts[row])) for split, counts in classes.items()])
            for row, name in enumerate(data.classes)
        ],
        most=max((int(counts.max(initial=0)) for counts in classes.values()), default=0) or 1,
        colours=dict(zip(data.splits, COLOURS * 2, strict=False)),
        width=WIDTH,
        height=HEIGHT,
    )


def plots(data: DataSet) -> list[Plot]:
    """The distributions worth looking at, each as the share of its split."""
    kinds: tuple[tuple[str, Callable[[Split], Floats], bool], ...] = (
        ("box side, px (root of its area)", lambda s: np.sqrt(box_areas(s)), True),
        ("width / height of a box", aspects, True),
        ("boxes per image", lambda s: s.boxes_per_image.astype(np.float64), False),
        ("image width, px", lambda s: s.widths[s.widths > 0].astype(np.float64), False),
        ("image height, px", lambda s: s.heights[s.heights > 0].astype(np.float64), False),
    )
    return [
        plot(title, {split.name: values(split) for split in data}, logarithmic)
        for title, values, logarithmic in kinds
    ]


def plot(title: str, values: Mapping[str, Any], logarithmic: bool) -> Plot:
    """A histogram of each series over one axis."""
    everything = np.concatenate([np.asarray(v, np.float64) for v in values.values()])
    if not len(everything):
        return Plot(title, "", "", {})
    low, high = float(everything.min()), float(everything.max())
    if logarithmic and low > 0 and high > low:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    edges[-1] = np.nextafter(edges[-1], np.inf)
    shares = {
        name: np.histogram(found, edges)[0] / max(1, len(found)) for name, found in values.items()
    }
    tallest = max(float(share.max()) for share in shares.values()) or 1.0
    series = {
        name: [
            _bar(number, place, len(shares), float(value) / tallest, edges, float(value))
            for number, value in enumerate(share)
            if value
        ]
        for place, (name, share) in enumerate(shares.items())
    }
    return Plot(title, f"{low:.4g}", f"{high:.4g}", series)


def _bar(number: int, place: int, count: int, tall: float, edges: Floats, share: float) -> Bar:
    step = WIDTH / BINS
    height = tall * HEIGHT
    title = f"{edges[number]:.4g} to {edges[number + 1]:.4g}: {share:.1%}"
    left = number * step + place * step / count
    return Bar(round(left, 1), round(HEIGHT - height, 1), round(step / count - 0.5, 1),
               round(height, 1), title)  # fmt: skip
