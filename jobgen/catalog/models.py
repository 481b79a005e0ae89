"""The models: their facts, and their configs put together from the catalogue's values."""

from __future__ import annotations

import copy
import hashlib
import json
import posixpath
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from jobgen.catalog.families import Family, Turn, Values, families, family_data, inside
from jobgen.catalog.sizes import at_size, input_size, largest_side
from jobgen.catalog.suite import suite_data
from jobgen.resources import catalog_file
from jobgen.yamlio import Tagged, dump_block, dump_scalar, load_file, plain
from jobgen_runtime.train.configure import merge_dicts


@dataclass(frozen=True)
class Model:
    """A published model.

    `batch_size` is per card; `base_lr` is for `gpus` cards; `size` is the input in pixels;
    `parameters` in millions; `image_mib` is the memory that training takes for every image of a
    step; mAP on COCO val2017 in percent, None where upstream states none; `ms` an image takes on
    the device `timed_on`, as upstream's pages of the family have it (None: they don't say);
    `train_ms` what a step of training costs for an image, for comparison with other models;
    `weights` are addresses by what they were trained on, as `coco`. `own` are the keys that the
    model's own file sets over its `bases`.
    """

    name: str
    family: Family
    size: int
    batch_size: int
    base_lr: float
    epochs: int
    gpus: int
    parameters: float
    image_mib: int
    mAP: float
    mAP50: float | None
    weights: dict[str, str]
    bases: tuple[str, ...]
    own: Values
    sha256: str
    timed_on: str = ""
    ms: float | None = None
    train_ms: float = 0.0

    @property
    def base_lr_per_image(self) -> float:
        """The published rate for one image of a step, over all cards: the linear rule."""
        return float(f"{self.base_lr / (self.batch_size * self.gpus):.10g}")

    @cached_property
    def _config(self) -> Values:
        merged: Values = {}
        for base in self.bases:
            merged = merge_dicts(merged, _layers()[base])
        return merge_dicts(merged, self.own)

    def config(self) -> Values:
        """The resolved config, as PaddleDetection's own merge gives it."""
        return copy.deepcopy(self._config)

    def at_size(self, size: int) -> Values:
        """Every key of the config that depends on the input size in pixels."""
        return at_size(self._config, size, self.family)

    def turns(self) -> dict[str, Turn]:
        """The keys that name an epoch, by the name of their value in the plan."""
        return {name: self._turn(row) for name, row in self.family.turns.items()}

    def _turn(self, row: Values) -> Turn:
        path = tuple(row["path"])
        part = row.get("part") or [inside(self._config, path), self.epochs]
        return Turn(path, (part[0], part[1]), row.get("most"), row.get("through", False))

    def room(self, size: int, card_bytes: int) -> int:
        """How many images a step of training at `size` pixels may have on such a card."""
        free = card_bytes / 2**20 - suite_data()["training_mib"]
        return max(1, int(free / self._image_mib(size)))

    def training_mib(self, size: int, batch_size: int) -> int:
        """What of a card's memory training takes, in MiB, with steps of `batch_size` images."""
        return int(suite_data()["training_mib"] + batch_size * self._image_mib(size))

    def _image_mib(self, size: int) -> float:
        moved = merge_dicts(self._config, self.at_size(size))
        most = largest_side(moved, self.family) / largest_side(self._config, self.family)
        return self.image_mib * most**2


@cache
def models() -> dict[str, Model]:
    """Every model by the name of its config."""
    return {
        name: _model(name, row, family)
        for family in families().values()
        for name, row in family_data(family.name)["models"].items()
    }


def _model(name: str, row: Values, family: Family) -> Model:
    bases = (*suite_data()["layers"], *row["bases"])
    merged: Values = {}
    for values in (*(_layers()[base] for base in bases), row["own"]):
        merged = merge_dicts(merged, values)
    return Model(
        name=name,
        family=family,
        size=input_size(merged),
        batch_size=merged["TrainReader"]["batch_size"],
        base_lr=merged["LearningRate"]["base_lr"],
        epochs=merged["epoch"],
        weights=row["weights"],
        bases=bases,
        own=row["own"],
        sha256=row["sha256"],
        **row["facts"],
    )


def full_name(name: str) -> str:
    """The model that a beginning of its name tells, as `picodet_s_320`, by the name of its config;
    any other name as it is."""
    found = beginning_so(name)
    return found[0] if len(found) == 1 else name


def beginning_so(name: str) -> list[str]:
    """The models whose names begin so: one where a `_` follows, else all, whatever comes next."""
    word = name.lower()
    whole = [known for known in models() if known == word or known.startswith(f"{word}_")]
    return whole if len(whole) == 1 else [known for known in models() if known.startswith(word)]


def model_named(text: str) -> str:
    """The model whose config's name stands in a file's name, its data set another; empty for
    none."""
    found = [name for name in models() if name.partition("coco")[0] in text]
    return max(found, key=len, default="")


def best_weights(name: str) -> str:
    """What a model's best published weights to begin with were trained on."""
    found = models().get(name)
    return "coco" if found is None else next(iter(found.weights))


def smallest() -> str:
    """The model that a CPU trains soonest."""
    found = min(models().values(), key=lambda model: (model.parameters, model.size))
    return found.name


# What a model can be for: data/suggested.yml.
PURPOSES = ("phone", "server", "accuracy")


def suggested(size: int, purpose: str = PURPOSES[0]) -> str:
    """The model to begin with at an input size in pixels, for one of the PURPOSES."""
    found: str = load_file(catalog_file("suggested.yml")).value[purpose][str(size)]
    return found


@cache
def _layers() -> dict[str, Values]:
    """The values of every base by its path below configs/."""
    found: dict[str, Values] = dict(suite_data()["layers"])
    for family in families().values():
        for path, values in family_data(family.name)["layers"].items():
            found[path] = _of_another_size(values, found, family) if "like" in values else values
    return found


def _of_another_size(values: Values, known: dict[str, Values], family: Family) -> Values:
    """A base that is another one at another size, and what it has otherwise beside."""
    like = known[values["like"]]
    return merge_dicts(merge_dicts(like, at_size(like, values["size"], family)), values["set"])


def layer_values(path: str) -> Values:
    """What a base sets, by its path below configs/."""
    return _layers()[path]


@cache
def layer_texts() -> dict[str, str]:
    """The bases of all configs as YAML of our own writing, by path below configs/."""
    return {path: _yaml(values) for path, values in _layers().items()}


@cache
def config_texts() -> dict[str, str]:
    """Every config as YAML of our own writing, by path below configs/."""
    texts = dict(layer_texts())
    for name, model in models().items():
        folder = model.family.folder
        bases = [posixpath.relpath(base, folder) for base in model.bases]
        texts[f"{folder}/{name}.yml"] = f"_BASE_: {dump_scalar(bases)}\n" + _yaml(model.own)
    return texts


@cache
def upstream_configs() -> frozenset[str]:
    """The paths below configs/ of every config that one of the known revisions has."""
    return frozenset(catalog_file("upstream_configs.txt").read_text(encoding="utf-8").splitlines())


def _yaml(values: Values) -> str:
    rate = values.get("LearningRate", {})
    if "schedulers" in rate:
        named = [_named(item) for item in rate["schedulers"]]
        values = {**values, "LearningRate": {**rate, "schedulers": named}}
    return dump_block(values)


def _named(item: Any) -> Any:
    """A scheduler by its `name`, where upstream has a tag."""
    return {"name": item.tag, **item.value} if isinstance(item, Tagged) else item


def config_sha256(config: Values) -> str:
    """The hash by which the catalogue knows a resolved config: of it as JSON with sorted keys and
    no spaces; a tag is {"!Name": ...}."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
