"""What a run measured: what it is judged by, and what its model costs."""

from __future__ import annotations

import json
import math
from typing import Any

from jobgen.errors import RunError
from jobgen.sweep.spec import COSTS


class NotMeasuredError(RunError):
    """A run that did not measure what it is to be judged by."""


def value_of(result: dict[str, Any], name: str) -> float:
    """A figure of a result by its name in sweep.yaml: parameters in millions, latency_ms of one
    picture. Raises NotMeasuredError where it was not measured."""
    metrics = result.get("metrics") or {}
    latency = {"latency_ms": (metrics.get("latency") or {}).get("milliseconds")}
    places = (metrics.get("evaluation"), metrics.get("best"), metrics, result.get("plan"), latency)
    for place in places:
        value = place.get(name) if isinstance(place, dict) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if math.isfinite(value):
            return float(value)
    raise NotMeasuredError(f"the run did not measure {name}")


def value_text(value: Any) -> str:
    """A value as job.yaml has it: `null` and `true`, not Python's words."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def costs_of(result: dict[str, Any]) -> dict[str, float]:
    """What a model costs, of that as much as its run measured."""
    found = {}
    for name in COSTS:
        try:
            found[name] = value_of(result, name)
        except NotMeasuredError:
            continue
    return found
