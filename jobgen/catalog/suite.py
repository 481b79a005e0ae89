"""What is cloned to train with: PaddleDetection and PaddleClas, as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.resources import catalog_file
from jobgen.yamlio import load_file

DETECTION, CLASSIFICATION = "paddledetection", "paddleclas"
# By the task of a job.
SUITES = {"detection": DETECTION, "classification": CLASSIFICATION}


@dataclass(frozen=True)
class Suite:
    """`name` is its file's, `title` what people call it, `package` what Python imports, `engine`
    the module of it that needs all that training needs."""

    name: str
    title: str
    package: str
    engine: str


@cache
def suite_data(name: str = DETECTION) -> dict[str, Any]:
    """data/suites/<name>.yml as it stands."""
    found: dict[str, Any] = load_file(catalog_file("suites") / f"{name}.yml").value
    return found


def suite(name: str) -> Suite:
    data = suite_data(name)
    return Suite(name, data["title"], data["package"], data["engine"])


def suite_paths() -> dict[str, tuple[str, ...]]:
    """Where a value of the plan stands in a config of PaddleDetection."""
    return {name: tuple(path) for name, path in suite_data()["paths"].items()}
