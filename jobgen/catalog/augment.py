"""What `augment:` of a job becomes: the training reader's lists of transforms."""

from __future__ import annotations

from jobgen.catalog.families import Family, Turn, Values
from jobgen.catalog.sizes import at_one_size, input_size

# What each preset changes of upstream's own transforms. `sar` is for images of one channel, such as
# radar or X-ray, in which hue and saturation say nothing; `none` leaves images as they are.
PRESETS: dict[str, Values] = {
    "default": {},
    "sar": {"distort": "light"},
    "none": {"flip": 0.0, "crop": False, "distort": "none", "expand": False, "mosaic": False,
             "mixup": False, "multi_scale": False},
}  # fmt: skip
# In PaddleDetection's RandomDistort the third number is the chance of leaving an image alone.
UNTOUCHED = 1.0
# The transforms that change colours, and what leaves of them only the brightness.
LIGHT: dict[str, Values] = {
    "RandomDistort": {"hue": [-18, 18, UNTOUCHED], "saturation": [0.5, 1.5, UNTOUCHED]},
    "AugmentHSV": {"hgain": 0, "sgain": 0},
}
# Transforms that upstream's list does not have. Mosaic's ranges are those of upstream's
# picodet_s_416_coco_npu, with a chance that leaves some images whole.
MOSAIC = {"degrees": [-10, 10], "scale": [0.1, 2.0], "shear": [-2, 2], "translate": [-0.1, 0.1]}
MOSAIC_CHANCE = 0.6
MIXUP = {"alpha": 1.5, "beta": 1.5}
EXPAND = {"fill_value": [123.675, 116.28, 103.53]}
FLIP_CHANCE = 0.5
# The last epochs see whole images again: upstream's 180 of 300 there.
MIXED_PART = (3, 5)
MIXERS = {"Mosaic": "mosaic_epoch", "Mixup": "mixup_epoch"}


def every_choice(given: Values, preset: str, config: Values, family: Family) -> Values:
    """Every choice: upstream's for this config, over it the preset's, and what is given (None:
    not)."""
    theirs = upstream(config, family)
    chosen = {name: v for name, v in given.items() if v is not None}
    found = {**theirs, **PRESETS[preset], **chosen}
    if theirs["mosaic"] and not found["mosaic"] and "mixup" not in chosen:
        found["mixup"] = False  # upstream's is a part of its mosaic
    return found


def upstream(config: Values, family: Family) -> Values:
    """The choices that upstream has made in a config."""
    steps = _steps(config)
    mosaic = steps.get("Mosaic", {})
    several = at_one_size(config, family) != {}
    return {
        "flip": steps["RandomFlip"].get("prob", FLIP_CHANCE) if "RandomFlip" in steps else 0.0,
        "crop": "RandomCrop" in steps,
        "distort": "color" if any(name in steps for name in LIGHT) else "none",
        "expand": "RandomExpand" in steps,
        "mosaic": bool(mosaic),
        "mixup": "Mixup" in steps or mosaic.get("enable_mixup", False),
        "multi_scale": several,
    }


def reader_values(choice: Values, config: Values, family: Family) -> Values:
    """The config's keys for every choice; `config` is the model's at the job's input size."""
    steps = _steps(config)
    found = {name: values for name, values in steps.items() if _stays(name, choice)}
    size = input_size(config)
    if choice["mosaic"]:
        square = steps.get("Mosaic", {**MOSAIC, "input_dim": [size, size], "prob": MOSAIC_CHANCE})
        _put(found, "Mosaic", {**square, "enable_mixup": choice["mixup"]}, after="Decode")
    elif choice["mixup"]:
        _put(found, "Mixup", steps.get("Mixup", MIXUP), after="Decode")
    if choice["crop"]:
        _put(found, "RandomCrop", steps.get("RandomCrop", {}), before=("PadResize", "RandomFlip"))
    if choice["expand"]:
        _put(
            found,
            "RandomExpand",
            steps.get("RandomExpand", EXPAND),
            before=("RandomCrop", "PadResize", "RandomFlip"),
        )
    if choice["flip"]:
        found["RandomFlip"] = {**steps.get("RandomFlip", {}), "prob": choice["flip"]}
    if choice["distort"] != "none":
        colours = next((name for name in LIGHT if name in steps), "RandomDistort")
        light = LIGHT[colours] if choice["distort"] == "light" else {}
        found[colours] = {**steps.get(colours, {}), **light}
    changed = {} if choice["multi_scale"] else at_one_size(config, family)
    reader = {**changed.get("TrainReader", {})}
    reader["sample_transforms"] = [{name: values} for name, values in found.items()]
    for name, key in MIXERS.items():
        if name not in found and key in config["TrainReader"]:
            # The data set hands out several images at once until then, mixed or not.
            reader[key] = -1
    return {**changed, "TrainReader": reader}


def turns_of(choice: Values, turns: dict[str, Turn]) -> dict[str, Turn]:
    """The keys that name an epoch, with those of the mixing that was chosen only."""
    kept = {name: turn for name, turn in turns.items() if name not in MIXERS.values()}
    key = "mosaic_epoch" if choice["mosaic"] else "mixup_epoch" if choice["mixup"] else ""
    if key:
        own = Turn(("TrainReader", key), MIXED_PART, None, through=False)
        kept[key] = turns.get(key, own)
    return kept


def _steps(config: Values) -> dict[str, Values]:
    """The training reader's transforms of an image, by name, in their order."""
    steps = config["TrainReader"]["sample_transforms"]
    return {name: values or {} for step in steps for name, values in step.items()}


def _stays(name: str, choice: Values) -> bool:
    """Whether a transform of upstream's list stays where it is."""
    if name in LIGHT:
        return bool(choice["distort"] != "none")
    mixed = {"Mosaic": choice["mosaic"], "Mixup": choice["mixup"] and not choice["mosaic"]}
    others = {"RandomCrop": choice["crop"], "RandomExpand": choice["expand"]}
    return bool({**mixed, **others, "RandomFlip": choice["flip"]}.get(name, True))


def _put(
    steps: dict[str, Values],
    name: str,
    values: Values,
    after: str = "",
    before: tuple[str, ...] = (),
) -> None:
    """Give a transform its values, where it stands or, if it is new, at its place."""
    if name in steps:
        steps[name] = values if values else steps[name]
        return
    order = list(steps)
    place = order.index(after) + 1 if after else len(order)
    place = min([order.index(other) for other in before if other in order], default=place)
    rows = list(steps.items())
    steps.clear()
    steps.update([*rows[:place], (name, values), *rows[place:]])
