"""A config at another input size: every key that depends on it."""

from __future__ import annotations

from typing import Any

from jobgen.catalog.families import Family, Values, inside
from jobgen_runtime.train.configure import at_path, merge_dicts

READERS = ("TrainReader", "EvalReader", "TestReader")
LISTS = ("sample_transforms", "batch_transforms")
# Transforms with a size in pixels, and its key.
SIZED = {
    "Resize": "target_size",
    "BatchRandomResize": "target_size",
    "PadResize": "target_size",
    "Pad": "size",
    "Mosaic": "input_dim",
}
# The levels of a neck halve the input five times.
STRIDE = 32


def input_size(config: Values) -> int:
    """The side of the square input of evaluation and export, in pixels."""
    found: int = config["TestReader"]["inputs_def"]["image_shape"][-1]
    return found


def at_size(config: Values, size: int, family: Family) -> Values:
    """The keys that depend on the input size, with their values at `size` pixels."""
    scale = _Scale(input_size(config), size, family.scales)
    found: Values = {}
    for key in ("eval_height", "eval_width", "eval_size"):
        if key in config:
            found[key] = scale.moved(config[key])
    for reader in READERS:
        lists = {name: config[reader][name] for name in LISTS if name in config[reader]}
        moved = {name: [scale.step(step) for step in steps] for name, steps in lists.items()}
        found[reader] = {name: steps for name, steps in moved.items() if scale.has_size(steps)}
    shape = config["TestReader"]["inputs_def"]["image_shape"]
    found["TestReader"]["inputs_def"] = {"image_shape": [*shape[:-2], size, size]}
    for path in family.units:
        pixels = scale.moved([unit * STRIDE for unit in inside(config, path)])
        found = merge_dicts(found, at_path(path, [side // STRIDE for side in pixels]))
    if family.padded and scale.old != scale.new:
        found = merge_dicts(found, at_path(family.padded, [scale.moved(_padded(config))] * 2))
    return found


def _padded(config: Values) -> int:
    """The side that training pads its images to, in pixels."""
    steps = config["TrainReader"]["sample_transforms"]
    found: int = next(step["PadResize"]["target_size"] for step in steps if "PadResize" in step)
    return found


def largest_side(config: Values, family: Family) -> int:
    """The largest side of an image in training, in pixels: at it memory is highest."""
    sides = [input_size(config)]
    for step in config["TrainReader"].get("batch_transforms", []):
        for name, values in step.items():
            if name in SIZED:
                target = values[SIZED[name]]
                sides += target if isinstance(target, list) else [target]
    for path in family.units:
        sides += [unit * STRIDE for unit in inside(config, path)]
    return max(sides)


def at_one_size(config: Values, family: Family) -> Values:
    """The keys that end multi-scale training: every step at the input size, resized as evaluation
    does it."""
    size, found = input_size(config), {}
    fixed = {"target_size": size, "random_size": False, "random_interp": False, "interp": 2}
    steps = config["TrainReader"].get("batch_transforms", [])
    if any("BatchRandomResize" in step for step in steps):
        found["TrainReader"] = {
            "batch_transforms": [
                {"BatchRandomResize": {**step["BatchRandomResize"], **fixed}}
                if "BatchRandomResize" in step
                else step
                for step in steps
            ]
        }
    for path in family.units:
        found = merge_dicts(found, at_path(path, [size // STRIDE] * 2))
    return found


class _Scale:
    """From one input size to another, in pixels."""

    def __init__(self, old: int, new: int, rule: str) -> None:
        self.old = old
        self.new = new
        self.rule = rule

    def moved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.moved(item) for item in value]
        if value == self.old:
            return self.new
        side = value + self.new - self.old
        if self.rule == "ratio":
            side = round(value * self.new / self.old / STRIDE) * STRIDE
        return max(STRIDE, side)

    def step(self, step: Values) -> Values:
        return {
            name: {**values, SIZED[name]: self.moved(values[SIZED[name]])}
            if name in SIZED and SIZED[name] in values
            else values
            for name, values in step.items()
        }

    @staticmethod
    def has_size(steps: list[Values]) -> bool:
        return any(name in SIZED for step in steps for name in step)
