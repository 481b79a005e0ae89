"""Families of models: what all models of one kind have in common, as data.

data/families/<name>.yml is a family and its models, read here and in models.py. Which key of a
config takes which value of the plan is the suite's: suite.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file

Values = dict[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Turn:
    """A key of the config that names an epoch from which training works otherwise, as with another
    assigner: at this part of the epochs (numerator, denominator), at most at `most` (None: no
    bound). `through`: the model itself computes otherwise then, so the smoke step goes there."""

    path: Path
    part: tuple[int, int]
    most: int | None
    through: bool

    def carried(self) -> Values:
        return {"part": list(self.part), "most": self.most}

    def words(self) -> str:
        bound = f", at most {self.most}" if self.most is not None else ""
        return f"rule: {self.part[0]}/{self.part[1]} of the epochs{bound}"


@dataclass(frozen=True)
class Family:
    """`folder` is below configs/. `signs` are what tells its configs from others': one of them, a
    path and the value there. `variants` finds in a name what shares one shape of weights.

    `scales` says how the sizes of multi-scale training follow the input size: `shift` by as many
    pixels, or in `ratio`. `units` are keys in units of 32 pixels; `padded` one that has to be the
    size that training pads its images to, height and width. `schedule` are the schedulers of
    the learning rate: what is an epoch in them is a pair, a part of all epochs; the last is the
    warm-up, of `warmup` steps or epochs. `turns` without a part have that of the published config.
    `sets` are keys that jobgen sets otherwise than upstream. `losses` are the log's.
    `revisions` are those that have it; empty for all.
    """

    name: str
    folder: str
    signs: tuple[tuple[Path, Any], ...]
    variants: str
    scales: str
    units: tuple[Path, ...]
    padded: Path
    schedule: tuple[Values, ...]
    warmup: dict[str, int]
    turns: dict[str, Values]
    nms: Path
    losses: tuple[str, ...]
    sets: Values
    revisions: tuple[str, ...]

    def owns(self, config: Any) -> bool:
        """Whether a resolved config is of this family."""
        return any(inside(config, path) == value for path, value in self.signs)

    def variant(self, text: str) -> str:
        """The part of a name that says which shape the weights have; empty for none."""
        found = re.search(self.variants, text)
        return found[0] if found else ""


@cache
def families() -> dict[str, Family]:
    folder = catalog_file("families")
    return {path.stem: _family(path.stem) for path in sorted(folder.glob("*.yml"))}


@cache
def family_data(name: str) -> Values:
    """A family's file as it stands: `family`, `layers` and `models`."""
    found: Values = load_file(catalog_file("families") / f"{name}.yml", "yaml11").value
    return found


def _family(name: str) -> Family:
    row = family_data(name)["family"]
    return Family(
        name=name,
        folder=row["folder"],
        signs=tuple((tuple(key.split(".")), value) for key, value in row["signs"].items()),
        variants=row["variants"],
        scales=row["scales"],
        units=tuple(tuple(path) for path in row.get("units", [])),
        padded=tuple(row.get("padded", [])),
        schedule=tuple(row["schedule"]),
        warmup=row["warmup"],
        turns=row.get("turns", {}),
        nms=tuple(row.get("nms", [])),
        losses=tuple(row["losses"]),
        sets=row.get("sets", {}),
        revisions=tuple(row.get("revisions", [])),
    )


def family_of(config: Any) -> Family | None:
    """The family of a resolved config; None for one that is not known."""
    return next((family for family in families().values() if family.owns(config)), None)


def turn_paths() -> Iterator[Path]:
    """Every key that names an epoch at which training changes, of all families."""
    for family in families().values():
        yield from (tuple(row["path"]) for row in family.turns.values())


def inside(config: Any, path: Path) -> Any:
    """A value of a config by its path; None where there is none."""
    for key in path:
        config = config.get(key) if isinstance(config, dict) else None
    return config
