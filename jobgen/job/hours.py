"""How long a job will take, said beforehand, each part with where its figure comes from."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobgen.catalog import models
from jobgen.catalog.speeds import reading_ms, speeds, train_cost
from jobgen.job.plan import Plan
from jobgen_runtime.data.shrink import shrink_limits
from jobgen_runtime.train.hours import (
    EPOCH_START,
    EVALUATION_START,
    evaluation_seconds,
    evaluations,
    train_seconds,
)

SETUP = ("prepare", "data", "source", "install", "configure", "smoke")
AFTER = ("evaluate", "infer", "export", "compress", "collect")
# Where nothing is known of the pictures.
USUAL_MEGAPIXELS = 1.0


@dataclass(frozen=True)
class Seen:
    """What a run that ended took: on which `device` (cpu, or the card's name) with how many cores,
    which model at which size in pixels; images/s of one card, `reading_ms` of a picture with one
    process, and seconds: of the start, of an epoch's start, of an evaluation of
    `eval_images`, and of each other stage."""

    device: str
    cores: int
    model: str
    size: int
    images_per_second: float
    reading_ms: float = 0.0
    start: float = 0.0
    epoch_start: float = 0.0
    evaluation: float = 0.0
    eval_images: int = 1
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a job is to run: `title` for people, `device` as in Seen or a part of a card's name,
    cores (None: not known)."""

    title: str
    device: str
    cores: int | None = None

    def has(self, seen: Seen) -> bool:
        """Whether that run was on such a machine."""
        if self.device == "cpu":
            return seen.device == "cpu" and seen.cores == self.cores
        # Of names such as Tesla V100-SXM2-16GB a word will do; A10 is no A100.
        words = re.split(r"[^a-z0-9]+", seen.device.lower())
        return self.device.lower() in (seen.device.lower(), *words)


AI_STUDIO = Place("AI Studio's V100", "V100")


@dataclass(frozen=True)
class Part:
    """A part of a job: seconds, at least and at most so many, and where that comes from."""

    name: str
    seconds: float
    least: float
    most: float
    origin: str


@dataclass(frozen=True)
class Expected:
    """How long a job takes at a place; `waits` is the share of its time for which training is
    expected to wait for pictures."""

    place: Place
    parts: tuple[Part, ...]
    waits: float = 0.0

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def least(self) -> float:
        return sum(part.least for part in self.parts)

    @property
    def most(self) -> float:
        return sum(part.most for part in self.parts)

    def text(self) -> str:
        """One line for people."""
        span = f"{about(self.least)} to {about(self.most)}"
        return f"about {about(self.seconds)} on {self.place.title} ({span})"


def about(seconds: float) -> str:
    """A duration as exact as an expectation is."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds >= 20 else 0)):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def expect(
    plan: Plan,
    place: Place,
    seen: Sequence[Seen] = (),
    pictures: Pictures | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Expected:
    """How long `plan` takes at `place`, from the runs seen there, else from stated figures.
    `pictures` are those of the set, where they are known; `changed` the values
    that a run has otherwise."""
    runs = [run for run in seen if place.has(run)]
    exact = [run for run in runs if (run.model, run.size) == (plan.model.name, plan.input_size)]
    values = {**{name: value.value for name, value in plan.values.items()}, **(changed or {})}
    speed = _Speed(plan, place, exact or runs, pictures, values)
    factor = speeds()["stated_factor"]
    if runs:
        factor = speeds()["own_factor"] if exact else speeds()["other_model_factor"]
    assert plan.spec.dataset.expect is not None
    eval_images = plan.spec.dataset.expect.eval.images
    count = evaluations(values["epochs"], values["snapshot_epoch"])
    train = train_seconds(values, speed.images_per_second, speed.epoch_start) + speed.start
    each = speed.evaluation(eval_images)
    images = values["steps_per_epoch"] * values["batch_size"] * values["gpus"]
    parts = [
        _stages("set-up", SETUP, runs),
        Part(
            "training",
            train,
            train / factor,
            train * factor,
            f"{images} images x {values['epochs']} at {speed.images_per_second:.3g}/s: "
            f"{speed.origin}",
        ),
        Part(
            "evaluations",
            count * each,
            count * each / factor,
            count * each * factor,
            f"{count} x {eval_images} images",
        ),
        _stages("after", [s for s in AFTER if s == "collect" or s in plan.stages], runs),
    ]
    return Expected(place, tuple(parts), speed.waits)


def as_read(plan: Plan, megapixels: float, short: float) -> float:
    """Megapixels of a picture as training reads it, where need be from its copy; `short` is its
    short side in pixels."""
    limits = shrink_limits(plan.spec.dataset.shrink, plan.family["largest_side"])
    if limits is None or short <= limits.over:
        return megapixels
    return megapixels * (limits.to / short) ** 2


@dataclass(frozen=True)
class Pictures:
    """The usual picture of a set: megapixels as training reads it, and as evaluation does."""

    read: float
    whole: float


class _Speed:
    """How fast a job trains, reads and evaluates at a place."""

    def __init__(
        self,
        plan: Plan,
        place: Place,
        runs: Sequence[Seen],
        pictures: Pictures | None,
        values: Mapping[str, Any],
    ) -> None:
        self.runs, self.place = runs, place
        self.cost = train_cost(plan.model, plan.input_size)
        later, colours = "later_colours" in plan.family, plan.augment.get("distort") != "none"
        known = pictures or Pictures(USUAL_MEGAPIXELS, USUAL_MEGAPIXELS)
        self.reading_ms = reading_ms(known.read, later, colours)
        measured = [run.reading_ms for run in runs if run.reading_ms]
        if pictures is None and measured:
            # Most likely of pictures like those before.
            self.reading_ms = statistics.median(measured)
        self.cores = place.cores or speeds()["cores"]
        cards = 1 if place.device == "cpu" else values["gpus"]
        # Each card has processes of its own.
        workers = max(1, min(values["worker_num"], self.cores // cards))
        self.reading = 1000 * workers / self.reading_ms
        self.whole_reading = 1000 * workers / reading_ms(known.whole, later, colours=False)
        self.training = self._trained()
        # A CPU's own figure has the reading in it: both use the same cores.
        on_card = place.device != "cpu"
        self.waits = max(0.0, 1 - self.reading / self.training) if on_card else 0.0
        each = min(self.training, self.reading) if on_card else self.training
        self.images_per_second = each * cards
        self.start = self._median("start", speeds()["start"])
        self.epoch_start = self._median("epoch_start", EPOCH_START)
        self.origin = self._origin()

    def _trained(self) -> float:
        """Images/s that one card trains, or the CPU reads and trains."""
        stated = speeds()["stated"]
        if not self.runs:
            model = models()[stated["model"]]
            anchor = train_cost(model, model.size)
            if self.place.device == "cpu":
                return 1000 / (self.cost * 2 / self.cores + self.reading_ms / self.cores)
            return float(min(stated["most"], stated["images_per_second"] * anchor / self.cost))
        found = []
        for run in self.runs:
            theirs, reading = train_cost(models()[run.model], run.size), 0.0
            seconds = 1 / run.images_per_second
            if self.place.device == "cpu":
                reading = run.reading_ms / 1000 / self.cores
                seconds = max(seconds - reading, seconds / 4)
                reading = self.reading_ms / 1000 / self.cores
            found.append(1 / (seconds * self.cost / theirs + reading))
        return statistics.median(found)

    def evaluation(self, images: int) -> float:
        """Seconds of an evaluation of so many images."""
        rows = []
        for run in self.runs:
            if run.evaluation:
                each = max(0.0, run.evaluation - EVALUATION_START) / max(1, run.eval_images)
                theirs = train_cost(models()[run.model], run.size)
                rows.append(EVALUATION_START + images * each * self.cost / theirs)
        if rows:
            return statistics.median(rows)
        return evaluation_seconds(images, self.training, self.whole_reading)

    def _median(self, name: str, otherwise: float) -> float:
        rows = [getattr(run, name) for run in self.runs]
        return float(statistics.median(rows)) if rows else float(otherwise)

    def _origin(self) -> str:
        if self.runs:
            of = {f"{run.model.partition('_coco')[0]} at {run.size} px" for run in self.runs}
            count = len(self.runs)
            text = f"{count} run(s) on such a machine, of {', '.join(sorted(of)[:3])}"
        elif self.place.device == "cpu":
            text = "the catalogue's figure for two cores"
        else:
            stated = speeds()["stated"]
            text = (
                f"stated: {stated['images_per_second']} of {stated['model']} on a "
                f"{stated['device']}, scaled by the models' cost"
            )
        if self.waits:
            text += f"; the card waits for pictures {100 * self.waits:.0f} % of the time"
        return text


def _stages(name: str, stages: Sequence[str], runs: Sequence[Seen]) -> Part:
    """The stages of one part, as runs took them, else as stated."""
    stated, total, known = speeds()["stages"], 0.0, 0
    for stage in stages:
        rows = [run.stages[stage] for run in runs if stage in run.stages]
        known += bool(rows)
        total += statistics.median(rows) if rows else stated[stage]
    origin = "stated" if not known else "runs on such a machine"
    spread = 1.3 if known == len(stages) else 2.0
    return Part(name, total, total / spread, total * spread, f"{', '.join(stages)}: {origin}")


def card_speed(plan: Plan, place: Place, seen: Sequence[Seen] = ()) -> float:
    """Images/s that one card of `place` trains, however fast they are read."""
    runs = [run for run in seen if place.has(run)]
    values = {name: value.value for name, value in plan.values.items()}
    return _Speed(plan, place, runs, None, values).training
