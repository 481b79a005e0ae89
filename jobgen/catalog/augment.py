"""What `augment:` of a job becomes: the training reader's lists of transforms."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]

# What each preset means. `default` are upstream's own lists; `sar` is for images of one channel,
# such as radar or X-ray, in which hue and saturation say nothing; `none` leaves images as they are.
PRESETS: dict[str, Values] = {
    "default": {"flip": 0.5, "crop": True, "distort": "color", "expand": False, "mosaic": False,
                "mixup": False, "multi_scale": True},
    "sar": {"flip": 0.5, "crop": True, "distort": "light", "expand": False, "mosaic": False,
            "mixup": False, "multi_scale": True},
    "none": {"flip": 0.0, "crop": False, "distort": "none", "expand": False, "mosaic": False,
             "mixup": False, "multi_scale": False},
}  # fmt: skip
# In PaddleDetection's RandomDistort the third number is the chance of leaving an image alone.
UNTOUCHED = 1.0
LIGHT = {"hue": [-18, 18, UNTOUCHED], "saturation": [0.5, 1.5, UNTOUCHED]}
# Mosaic's ranges and its share of the epochs are those of upstream's picodet_s_416_coco_npu: 180
# of 300; the last epochs see whole images again.
MOSAIC = {"degrees": [-10, 10], "scale": [0.1, 2.0], "shear": [-2, 2], "translate": [-0.1, 0.1]}
MOSAIC_CHANCE = 0.6
SHARE_OF_EPOCHS = 0.6


def settled(given: Values, preset: str) -> Values:
    """Every choice: the preset's, and over it what is given (None: not)."""
    return {**PRESETS[preset], **{name: v for name, v in given.items() if v is not None}}


def reader_values(choice: Values, batch_transforms: list[Any], size: int, epochs: int) -> Values:
    """The keys of TrainReader for a settled choice; `batch_transforms` is the list of the input
    size in pixels, `epochs` those of PaddleDetection."""
    sample: list[Values] = [{"Decode": {}}]
    found: Values = {}
    if choice["mosaic"]:
        square = {"input_dim": [size, size], "prob": MOSAIC_CHANCE}
        sample.append({"Mosaic": {**MOSAIC, **square, "enable_mixup": choice["mixup"]}})
        found["mosaic_epoch"] = max(1, int(epochs * SHARE_OF_EPOCHS))
    elif choice["mixup"]:
        sample.append({"Mixup": {"alpha": 1.5, "beta": 1.5}})
        found["mixup_epoch"] = max(1, int(epochs * SHARE_OF_EPOCHS))
    if choice["expand"]:
        sample.append({"RandomExpand": {"fill_value": [123.675, 116.28, 103.53]}})
    if choice["crop"]:
        sample.append({"RandomCrop": {}})
    if choice["flip"]:
        sample.append({"RandomFlip": {"prob": choice["flip"]}})
    if choice["distort"] != "none":
        sample.append({"RandomDistort": LIGHT if choice["distort"] == "light" else {}})
    found["sample_transforms"] = sample
    if not choice["multi_scale"]:
        # As evaluation has it: one size, cubic.
        fixed = {"target_size": size, "random_size": False, "random_interp": False, "interp": 2}
        found["batch_transforms"] = [
            {"BatchRandomResize": {**row["BatchRandomResize"], **fixed}}
            if "BatchRandomResize" in row
            else row
            for row in batch_transforms
        ]
    return found
