"""Cells to a notebook and back: fixed ids, fixed order, the same bytes for the same cells."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from jobgen.errors import BundleError
from jobgen.files import sha256

PARAMETERS_TAG = "parameters"
SETTINGS_TAG = "settings"
INJECTED_TAG = "injected-parameters"


LONG = 100_000


@dataclass(frozen=True)
class Cell:
    """One cell. `name` becomes its id, so it is unique in the notebook and a-z 0-9 _ -."""

    name: str
    kind: Literal["code", "markdown"]
    source: str
    tags: tuple[str, ...] = ()
    # Shown folded until somebody opens it.
    hidden: bool = False


def notebook_text(cells: list[Cell], metadata: dict[str, Any]) -> str:
    """The cells as a notebook of format 4.5, a line of source a line of the file, without the
    indentation that nbformat gives them: some 20 KB. Raises ValueError at a name that is used
    twice."""
    names = [cell.name for cell in cells]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"cell names used twice: {', '.join(sorted(twice))}")
    notebook = {
        "cells": [_cell(cell) for cell in cells],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            **metadata,
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=0, sort_keys=True) + "\n"


def _cell(cell: Cell) -> dict[str, Any]:
    text = cell.source.strip("\n")
    metadata: dict[str, Any] = {"tags": list(cell.tags)} if cell.tags else {}
    if cell.hidden:
        metadata["jupyter"] = {"source_hidden": True}
    found: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": cell.name[:64],
        "metadata": metadata,
        # A long text as one string, as the format allows: a list of its lines is a tenth larger.
        "source": text if len(text) > LONG else text.splitlines(keepends=True),
    }
    if cell.kind == "code":
        found.update(execution_count=None, outputs=[])
    return found


def parse_notebook(data: bytes, name: str) -> dict[str, Any]:
    """A notebook's JSON. Raises BundleError where it is none."""
    try:
        found = json.loads(data.decode("utf-8"))
        cells, metadata = found["cells"], found["metadata"]
        if not isinstance(metadata, dict) or not isinstance(metadata.get("jobgen", {}), dict):
            raise TypeError
        if not all(_is_text(cell["source"]) for cell in cells):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{name} is no notebook", "Build the bundle again.") from error
    result: dict[str, Any] = found
    return result


def _is_text(source: Any) -> bool:
    if isinstance(source, list):
        return all(isinstance(line, str) for line in source)
    return isinstance(source, str)


def cell_source(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def cell_tags(cell: dict[str, Any]) -> list[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def cells_digest(notebook: dict[str, Any]) -> str:
    """One hash over the code of a notebook, but for its parameters, which people may change."""
    return _digest(
        (str(cell.get("id")), cell_source(cell))
        for cell in notebook["cells"]
        if cell.get("cell_type") == "code"
        and not {PARAMETERS_TAG, INJECTED_TAG} & set(cell_tags(cell))
    )


def digest_of(cells: list[Cell]) -> str:
    """The cells_digest() of the notebook that these become."""
    return _digest(
        (cell.name[:64], cell.source.strip("\n"))
        for cell in cells
        if cell.kind == "code" and PARAMETERS_TAG not in cell.tags
    )


def _digest(cells: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"{name}\n{source}\0" for name, source in cells)
    return sha256(rows.encode("utf-8", "replace"))


def tagged_cell(notebook: dict[str, Any], tag: str) -> int:
    """The index of the one cell with `tag`. Raises BundleError where there is not just one."""
    found = [i for i, cell in enumerate(notebook["cells"]) if tag in cell_tags(cell)]
    if len(found) != 1:
        raise BundleError(f"the notebook has {len(found)} cells tagged {tag}, not one")
    return found[0]
