"""What PaddleDetection reads of a config beside what its configs set."""

from __future__ import annotations

from functools import cache

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file


@cache
def trainer_keys(newer: bool = False) -> frozenset[str]:
    """The top-level keys that PaddleDetection reads beside those of its configs: in every known
    revision, or with `newer` in any, also in configs of other families."""
    table = load_file(catalog_file("classes.yml")).value
    beside = table["trainer_newer"] + table["elsewhere"] if newer else []
    return frozenset(table["trainer"] + beside)


@cache
def class_parameters() -> dict[str, list[str]]:
    """The parameters of PaddleDetection's classes by class name, in every known revision."""
    found: dict[str, list[str]] = load_file(catalog_file("classes.yml")).value["classes"]
    return found
