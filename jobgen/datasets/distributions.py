"""The distributions of a data set that are worth a look, as plots."""

from __future__ import annotations

import numpy as np

from jobgen.datasets.record import DataSet, Floats, Split
from jobgen.datasets.statistics import FINEST_STRIDE, aspects, scaled_sides
from jobgen.language import translated
from jobgen.pages.plots import heat_map, histogram, points
from jobgen_runtime.record.charts import bars, escaped

# More classes make a plot of points that nobody can read.
MOST_COLOURS = 8


def class_bars(data: DataSet) -> str:
    """How many boxes each class has, a bar for each split."""
    counts = [(split.name, split.boxes_per_class) for split in data]
    rows = [
        (name, [(float(own[row]), f"{own[row]:,}", place) for place, (_, own) in enumerate(counts)])
        for row, name in enumerate(data.classes)
    ]
    names = "".join(
        f'<span class="k{place}">{escaped(name)}</span>' for place, (name, _) in enumerate(counts)
    )
    return f'<div class="key">{names}</div>{bars(rows)}'


def plots(data: DataSet, size: int) -> str:
    """Sizes of boxes against what a model sees at an input of `size` pixels, and how boxes and
    pictures are spread."""
    cell = translated(f"{FINEST_STRIDE} px: the finest cell")
    reach = histogram(
        translated(f"Box side at an input of {size} px"),
        "root of the area, px",
        {split.name: scaled_sides(split, size) for split in data},
        [(float(FINEST_STRIDE), cell)],
    )
    found = reach + heat_map(translated("Where boxes lie"), places(data))
    found += points(
        translated("Width against height of boxes"), ("width, px", "height, px"), by_class(data)
    )
    for title, unit, values in (
        ("Width / height of a box", "width / height", {s.name: aspects(s) for s in data}),
        ("Boxes in a picture", "boxes", {s.name: s.boxes_per_image for s in data}),
        ("Width of the pictures", "px", {s.name: s.widths[s.widths > 0] for s in data}),
        ("Height of the pictures", "px", {s.name: s.heights[s.heights > 0] for s in data}),
    ):
        found += histogram(translated(title), unit, values)
    return found


def places(data: DataSet) -> Floats:
    """Left, top, right and bottom of all sound boxes as shares of their pictures, (M, 4)."""
    found = [_places(split) for split in data]
    return np.concatenate([*found, np.zeros((0, 4))])


def _places(split: Split) -> Floats:
    known = split.trained.copy()
    known[known] = (split.widths * split.heights)[split.image_of[known]] > 0
    rows = split.image_of[known]
    sides = np.stack([split.widths[rows], split.heights[rows]], 1).astype(np.float64)
    boxes = split.boxes[known]
    corners = [boxes[:, :2] / sides, (boxes[:, :2] + boxes[:, 2:]) / sides]
    return np.concatenate(corners, 1)


def by_class(data: DataSet) -> dict[str, tuple[Floats, Floats]]:
    """Widths and heights of the sound boxes of each class; of many classes, of all together."""
    boxes = np.concatenate([split.boxes[split.trained] for split in data] or [np.zeros((0, 4))])
    classes = np.concatenate(
        [split.class_of[split.trained] for split in data] or [np.zeros(0, np.int64)]
    )
    if len(data.classes) > MOST_COLOURS:
        return {translated("all classes"): (boxes[:, 2], boxes[:, 3])}
    return {
        name: (boxes[classes == row, 2], boxes[classes == row, 3])
        for row, name in enumerate(data.classes)
    }
