"""Classifiers of PaddleClas: data/classifiers.yml."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file


@dataclass(frozen=True)
class Classifier:
    """A published classifier. `base_lr` is for `cards` of `batch_size` images; `parameters` in
    millions; top-1 and top-5 on ImageNet's validation set in percent; `decay` is that of the
    weights, `smoothing` of the labels; `weights` the address of those trained on ImageNet."""

    name: str
    size: int
    parameters: float
    top1: float
    top5: float
    base_lr: float
    batch_size: int
    cards: int
    epochs: int
    decay: float
    smoothing: float
    weights: str

    @property
    def base_lr_per_image(self) -> float:
        """The published rate for one image of a step, over all cards: the linear rule."""
        return float(f"{self.base_lr / (self.batch_size * self.cards):.10g}")


@cache
def classifier_data() -> dict[str, Any]:
    """data/classifiers.yml as it stands."""
    found: dict[str, Any] = load_file(catalog_file("classifiers.yml")).value
    return found


@cache
def classifiers() -> dict[str, Classifier]:
    """Every classifier by its name, which is PaddleClas's."""
    common = classifier_data()["common"]
    return {
        name: Classifier(
            name=name,
            size=common["size"],
            cards=common["cards"],
            weights=common["weights"].format(name=name),
            **row,
        )
        for name, row in classifier_data()["models"].items()
    }


def classifier_named(word: str) -> str:
    """The classifier that is meant, whatever letters are capital; the word itself for none."""
    return next((name for name in classifiers() if name.lower() == word.lower()), word)


def nearest_classifiers(word: str) -> list[str]:
    """Those whose names are like a word, else those that begin like it."""
    known = {name.lower(): name for name in classifiers()}
    close = difflib.get_close_matches(word.lower(), known, 3, 0.5)
    return [known[name] for name in close] or list(classifiers())


def suggested_classifier(purpose: str) -> str:
    """The classifier to begin with, for one of the PURPOSES."""
    found: str = classifier_data()["suggested"][purpose]
    return found
