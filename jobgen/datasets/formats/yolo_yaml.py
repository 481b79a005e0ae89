"""A YOLO set's data.yaml, and its numbers as people write them."""

from __future__ import annotations

from typing import Any

from jobgen.datasets.contents import Contents, decoded
from jobgen.errors import DatasetError
from jobgen.yamlio import YamlError, load

# In the memo of a source: why its YAML files can't be read.
YAML_FAULTS = " yaml faults"


# And what they name that is not there.
YAML_SPLITS = " yaml splits"


def yaml_files(files: Contents) -> list[str]:
    return [n for n in files.names if n.lower().endswith((".yaml", ".yml"))]


def read_yaml_file(files: Contents, name: str) -> dict[str, Any]:
    """A data.yaml; empty where it is none."""
    try:
        # Other people's YAML: numbers as keys are usual, and nothing in it is jobgen's to judge.
        value = load(decoded(files.read(name)), name, "yaml11", lenient=True).value
    except (YamlError, DatasetError) as error:
        files.memo.setdefault(YAML_FAULTS, []).append(error.message)
        return {}
    return value if isinstance(value, dict) and "names" in value and "train" in value else {}


def number_of(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
