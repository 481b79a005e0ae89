"""The trials of a study read in a few queries: of many, Optuna's own objects take seconds.

The tables are those of Optuna 5 (optuna.storages._rdb.models), which pyproject.toml bounds; a test
compares these rows with Optuna's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobgen.sweep.spec import Sweep, need_same, told
from jobgen.sweep.storage import not_begun, read_tables

TRIALS = """
SELECT t.trial_id, t.number, t.state FROM trials t JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name = :name ORDER BY t.number
"""
PARAMS = """
SELECT p.trial_id, p.param_name, p.param_value, p.distribution_json FROM trial_params p
JOIN trials t ON t.trial_id = p.trial_id JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name = :name
"""
VALUES = """
SELECT v.trial_id, v.objective, v.value FROM trial_values v
JOIN trials t ON t.trial_id = v.trial_id JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name = :name ORDER BY v.objective
"""
ATTRIBUTES = """
SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a
JOIN trials t ON t.trial_id = a.trial_id JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name = :name AND a.key NOT IN ('worker', 'folder')
"""
# Ten thousand rows more, where nobody asks for them.
WITHOUT_COSTS = ATTRIBUTES.replace("'folder'", "'folder', 'costs'")
STUDY = """
SELECT a.key, a.value_json FROM study_user_attributes a JOIN studies s ON s.study_id = a.study_id
WHERE s.study_name = :name
"""
STEPS = """
SELECT i.trial_id, i.step, i.intermediate_value FROM trial_intermediate_values i
JOIN trials t ON t.trial_id = i.trial_id JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name = :name ORDER BY i.step
"""


@dataclass(frozen=True)
class State:
    """A trial's state, as `COMPLETE`."""

    name: str


@dataclass(slots=True)
class Row:
    """A trial, by the names that Optuna's own have, without who worked on it and where; `steps` are
    its evaluations, by their epoch, where they were asked for."""

    number: int
    state: State
    params: dict[str, Any] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)


def read_rows(sweep: Sweep, address: str | None, steps: bool = False) -> list[Row]:
    """All trials of a sweep, in the order they were made, with their evaluations where `steps` says
    so. Raises RunError where none was begun, or they are another sweep's."""
    attributes = ATTRIBUTES if sweep.spec.at_most else WITHOUT_COSTS
    queries = (TRIALS, PARAMS, VALUES, attributes, STUDY, *((STEPS,) if steps else ()))
    tables = read_tables(sweep, address, queries)
    states = {name: State(name) for name in {str(state) for _, _, state in tables[0]}}
    rows = {number: Row(order, states[str(state)]) for number, order, state in tables[0]}
    if not rows:
        raise not_begun(sweep)
    kept = {key: json.loads(text) for key, text in tables[4]}
    need_same(told(sweep, kept.get("parameters")), kept.get("identity"))
    forms: dict[str, Callable[[float], Any]] = {}
    for number, path, value, kind in tables[1]:
        form = forms.get(kind) or forms.setdefault(kind, _form_of(json.loads(kind)))
        rows[number].params[path] = form(value)
    for number, _, value in tables[2]:
        rows[number].values.append(float(value))
    # Most of them are a few words and numbers, many times.
    known: dict[str, Any] = {}
    for number, key, text in tables[3]:
        if text not in known:
            known[text] = json.loads(text)
        rows[number].user_attrs[key] = known[text]
    for number, step, value in tables[5] if steps else ():
        rows[number].steps[step] = float(value)
    return list(rows.values())


def _form_of(kind: dict[str, Any]) -> Callable[[float], Any]:
    """What makes a value of the number that Optuna keeps: of a choice its place."""
    if kind["name"] == "CategoricalDistribution":
        choices = kind["attributes"]["choices"]
        return lambda value: choices[int(value)]
    return int if kind["name"] == "IntDistribution" else float
