"""A job with other values: what `init --from` advises and a sweep tries."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jobgen.errors import SpecError
from jobgen.spec import AnySpec, shape_of
from jobgen.yamlio import dump_block


def changed_job(spec: AnySpec, name: str, changes: Mapping[str, Any]) -> str:
    """The text of a job.yaml that says what `spec` says, without what is as ever, with another name
    and with changes, path to value as {"train.epochs": 20}. Raises SpecError for a path that leads
    through a value."""
    values = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    values = {"name": name, **{key: value for key, value in values.items() if key != "name"}}
    if spec.task != "detection":
        values["task"] = spec.task
    for path, value in changes.items():
        *above, key = path.split(".")
        inner: Any = values
        for step in above:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise SpecError(f"{path}: {step} is a value, and has no keys")
        inner[key] = copy.deepcopy(value)
    values["language"] = spec.language
    return dump_block(values)


def has_path(spec: AnySpec, path: str) -> bool:
    """Whether a job may have a value at a path such as `train.base_lr`."""
    first = path.split(".")[0]
    return first in shape_of(spec.task).model_fields and first not in ("name", "task", "dataset")
