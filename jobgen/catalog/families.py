"""Families of models: what all models of one architecture have in common, as data.

data/families/<name>.yml is a family, read here; what is odd about it, as how its configs are put
together, is a module of its name beside this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file


@dataclass(frozen=True)
class Switch:
    """A change in mid-training, as from one assigner to another: the config's key for its epoch,
    and the published share of the epochs (1 / `part`), at most `most`."""

    path: tuple[str, ...]
    part: int
    most: int


@dataclass(frozen=True)
class Family:
    """`folder` is below configs/; `paths` says where a value of the plan stands in the config,
    `nms` where non-maximum suppression does; `base_lr_per_image` is for one image of a step, over
    all cards. `names` finds a model in the name of a file, `variants` what shares one shape."""

    name: str
    folder: str
    architecture: str
    names: str
    variants: str
    config_name: str
    short_ending: str
    smallest: str
    suggested: dict[str, str]
    base_lr_per_image: float
    warmup_steps: int
    switch: Switch | None
    nms: tuple[str, ...]
    paths: dict[str, tuple[str, ...]]

    def carried(self) -> dict[str, Any]:
        """What the notebook needs of it, as plain data."""
        switch = self.switch
        return {
            "folder": self.folder,
            "base_lr_per_image": self.base_lr_per_image,
            "warmup_steps": self.warmup_steps,
            "switch": {"part": switch.part, "most": switch.most} if switch else None,
            "paths": {name: list(path) for name, path in self.paths.items()},
        }

    def model_named(self, text: str) -> str:
        """The config's name of the model that a file's name has in it; empty for none."""
        found = re.search(self.names, text)
        return self.config_name.format(**found.groupdict()) if found else ""

    def variant(self, text: str) -> str:
        """The part of a name that says which shape the weights have; empty for none."""
        found = re.search(self.variants, text)
        return found[0] if found else ""


@cache
def families() -> dict[str, Family]:
    folder = catalog_file("families")
    return {path.stem: _family(path.stem) for path in sorted(folder.glob("*.yml"))}


def family_data(name: str) -> dict[str, Any]:
    """A family's file as it stands."""
    return _data(name)


@cache
def _data(name: str) -> dict[str, Any]:
    found: dict[str, Any] = load_file(catalog_file("families") / f"{name}.yml", "yaml11").value
    return found


def _family(name: str) -> Family:
    row = dict(_data(name)["family"])
    paths = {key: tuple(path) for key, path in row.pop("paths").items()}
    switch = row.pop("switch", None)
    if switch:
        switch = Switch(tuple(switch["path"]), switch["part"], switch["most"])
        paths["switch_epoch"] = switch.path
    return Family(name=name, switch=switch, nms=tuple(row.pop("nms")), paths=paths, **row)


def family_of(architecture: Any) -> Family | None:
    """The family of a config by its `architecture`; None for one that is not known."""
    return next((f for f in families().values() if f.architecture == architecture), None)


def model_named(text: str) -> str:
    """As Family.model_named, of whatever family."""
    return next(filter(None, (family.model_named(text) for family in families().values())), "")


def full_name(name: str, known: Any) -> str:
    """A model as people call it, as `picodet_s_320`, by the name of its config among the `known`;
    any other name as it is."""
    tries = (name + family.short_ending for family in families().values())
    return next((whole for whole in tries if whole in known), name)


def suggested(size: int) -> str:
    """The model to begin with at an input size in pixels."""
    return next(f.suggested[str(size)] for f in families().values() if str(size) in f.suggested)


def smallest() -> str:
    """The model that a CPU trains soonest."""
    return next(iter(families().values())).smallest
