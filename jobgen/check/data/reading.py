"""Rules about how fast training reads the pictures of a set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jobgen.catalog.speeds import reading_ms
from jobgen.check.facts import DataFacts
from jobgen.check.rules import NOTE, WARNING, Hit, whole_set
from jobgen.datasets.record import TRAIN, Ints
from jobgen.job.hours import AI_STUDIO, Expected, Pictures, about, as_read, expect
from jobgen.job.plan import Plan
from jobgen_runtime.data.shrink import shrink_limits
from jobgen_runtime.train.pace import MUCH_WAITING


@whole_set(
    "DS064",
    NOTE,
    "picture larger than training can use",
    why="A picture is read at its full size in every epoch; one smaller copy, made once, spares "
    "that. Evaluation and everything after it go by the pictures themselves; pictures that are "
    "mostly grain, as radar's speckle is, are left alone.",
    remedy="Nothing is to be done; dataset.shrink: off has training read the pictures themselves.",
)
def shrunk(facts: DataFacts) -> Iterator[Hit]:
    sizes = _sizes(facts)
    plan = facts.plan
    if plan is None or sizes is None:
        return
    limits = shrink_limits(plan.spec.dataset.shrink, plan.family["largest_side"])
    if limits is None:
        return
    large = sizes[sizes.min(axis=1) > limits.over]
    if not len(large):
        return
    megapixels, short = _usual(large)
    smaller = as_read(plan, megapixels, short)
    before = _expected(plan, Pictures(megapixels, megapixels))
    saved = before.seconds - _expected(plan, Pictures(smaller, megapixels)).seconds
    detail = (
        f"{megapixels:.0f} megapixels take {_ms(plan, megapixels):.0f} ms to read, their copies "
        f"{_ms(plan, smaller):.0f} ms"
    )
    if saved > 60:
        detail += f"; saves about {about(saved)} of {about(before.seconds)}"
    yield Hit(len(large), (), facts.splits[0].place, detail)


@whole_set(
    "DS065",
    WARNING,
    "pictures that are read slower than a card trains",
    why="The card waits for them, in every epoch, and the hours of the quota go by.",
    remedy="Set dataset.shrink in job.yaml to auto, or to a number of pixels for still smaller "
    "copies; augment: {distort: none} spares the changing of colours.",
)
def slow(facts: DataFacts) -> Iterator[Hit]:
    pictures = usual_pictures(facts)
    if facts.plan is None or pictures is None:
        return
    expected = _expected(facts.plan, pictures)
    if expected.waits > MUCH_WAITING:
        detail = f"on four cores a V100 waits about {100 * expected.waits:.0f} % of the time"
        yield Hit(1, (), facts.splits[0].place, detail)


def usual_pictures(facts: DataFacts) -> Pictures | None:
    """Of the usual training picture of a job's set: how it is read; None where that is not
    known."""
    sizes = _sizes(facts)
    if facts.plan is None or sizes is None:
        return None
    megapixels, short = _usual(sizes)
    return Pictures(as_read(facts.plan, megapixels, short), megapixels)


def _sizes(facts: DataFacts) -> Ints | None:
    """Width and height of the training pictures in pixels, as the annotations have them."""
    for split in facts.splits:
        if split.name == TRAIN and split.images:
            found = np.stack([split.widths, split.heights], axis=1)
            sound = found[(found > 0).all(axis=1)]
            return sound if len(sound) else None
    return None


def _usual(sizes: Ints) -> tuple[float, float]:
    """Megapixels and short side of the usual one of these pictures."""
    width, height = np.median(sizes, axis=0)
    return width * height / 1e6, min(width, height)


def _expected(plan: Plan, pictures: Pictures) -> Expected:
    return expect(plan, AI_STUDIO, (), pictures)


def _ms(plan: Plan, megapixels: float) -> float:
    colours = plan.augment.get("distort") != "none"
    return reading_ms(megapixels, "later_colours" in plan.family, colours)
