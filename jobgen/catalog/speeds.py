"""What training costs, as data: data/speeds.yml and each model's `train_ms`."""

from __future__ import annotations

from functools import cache
from typing import Any

from jobgen.catalog.models import Model
from jobgen.resources import catalog_file
from jobgen.yamlio import load_file


@cache
def speeds() -> dict[str, Any]:
    """data/speeds.yml as it stands."""
    found: dict[str, Any] = load_file(catalog_file("speeds.yml")).value
    return found


def train_cost(model: Model, size: int) -> float:
    """What a training step costs for an image at `size` pixels: milliseconds of two cores, to be
    compared with those of other models only."""
    own = model.train_ms or model.image_mib * speeds()["ms_for_a_mib"]
    return own * (size / model.size) ** 2


def reading_ms(megapixels: float, later_colours: bool, colours: bool = True) -> float:
    """Milliseconds that one process of the training reader needs for a picture; `later_colours`
    where they are changed behind the resize, `colours` whether they are changed at all."""
    row = speeds()["reader"]
    found = row["picture"] + row["megapixel"] * megapixels
    if colours:
        more = row["colours_megapixel"] * megapixels
        found += row["colours_resized"] if later_colours else more
    return float(found)
