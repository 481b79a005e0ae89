"""PaddleDetection as a suite: what is the same for all of its families, as data."""

from __future__ import annotations

from functools import cache
from typing import Any

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file


@cache
def suite_data() -> dict[str, Any]:
    """data/suites/paddledetection.yml as it stands."""
    found: dict[str, Any] = load_file(catalog_file("suites") / "paddledetection.yml").value
    return found


def suite_paths() -> dict[str, tuple[str, ...]]:
    """Where a value of the plan stands in a config."""
    return {name: tuple(path) for name, path in suite_data()["paths"].items()}
