"""The PicoDet models: their facts, and their configs put together from the catalogue's values."""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.catalog.families import Family, families, family_data
from jobgen.yamlio import Tagged, dump_block, dump_scalar, plain
from jobgen_runtime.train.configure import merge_dicts

Values = dict[str, Any]
FAMILY = "picodet"


@dataclass(frozen=True)
class Model:
    """A published model.

    `batch_size` is per card; `base_lr` is for `gpus` cards; `size` is the input in
    pixels; `parameters` in millions; `image_mib` is the memory that training takes for every
    image of a step; mAP on COCO val2017 in percent.
    """

    name: str
    size: int
    batch_size: int
    base_lr: float
    gpus: int
    epochs: int
    parameters: float
    image_mib: int
    mAP: float
    mAP50: float
    coco_weights: str
    imagenet_weights: str
    bases: tuple[str, ...]
    own: Values
    family: Family

    def layers(self) -> list[tuple[str, Values]]:
        """The base files in the order of `_BASE_`, as (path below configs/, values)."""
        shared = _data()["layers"]
        return [
            (path, reader_layer(self.size) if path.endswith("_reader.yml") else shared[path])
            for path in self.bases
        ]

    def room(self, size: int, card_bytes: int) -> int:
        """How many images a step of training at `size` pixels may have on such a card."""
        free = card_bytes / 2**20 - _data()["training_mib"]
        return max(1, int(free / self._image_mib(size)))

    def training_mib(self, size: int, batch_size: int) -> int:
        """What of a card's memory training takes, in MiB, with steps of `batch_size` images."""
        return int(_data()["training_mib"] + batch_size * self._image_mib(size))

    def _image_mib(self, size: int) -> float:
        most = scale_sizes(size)[-1] / scale_sizes(self.size)[-1]
        return self.image_mib * float(most**2)

    def size_values(self, size: int) -> Values:
        """Every key of the config that depends on the input size in pixels."""
        return size_values(size)

    def config(self) -> Values:
        """The resolved config, as PaddleDetection's own merge gives it."""
        merged: Values = {}
        for _, values in self.layers():
            merged = merge_dicts(merged, values)
        return merge_dicts(merged, self.own)


def scale_sizes(size: int) -> list[int]:
    """The input sizes of multi-scale training around `size`, multiples of 32."""
    return [max(32, size + step) for step in _data()["reader"]["scale_steps"]]


def size_values(size: int) -> Values:
    """Every key of the config that depends on the input size in pixels."""
    reader = _data()["reader"]
    resize = {"Resize": {"interp": 2, "target_size": [size, size], "keep_ratio": False}}
    normalize = {"NormalizeImage": reader["normalize"]}
    evaluated = [{"Decode": {}}, resize, normalize, {"Permute": {}}]
    scales = {
        "target_size": scale_sizes(size),
        "random_size": True,
        "random_interp": True,
        "keep_ratio": False,
    }
    return {
        "eval_height": size,
        "eval_width": size,
        "eval_size": [size, size],
        "TrainReader": {
            "batch_transforms": [
                {"BatchRandomResize": scales},
                normalize,
                {"Permute": {}},
                {"PadGT": {}},
            ]
        },
        "EvalReader": {"sample_transforms": evaluated},
        "TestReader": {
            "inputs_def": {"image_shape": [1, 3, size, size]},
            "sample_transforms": evaluated,
        },
    }


def reader_layer(size: int) -> Values:
    """The values of `picodet/_base_/picodet_<size>_reader.yml`."""
    reader = _data()["reader"]
    augment = [{"Decode": {}}, {"RandomCrop": {}}, {"RandomFlip": {"prob": 0.5}}]
    fixed = {
        "worker_num": reader["worker_num"],
        "TrainReader": {
            "sample_transforms": [*augment, {"RandomDistort": {}}],
            "batch_size": 32 if size == 640 else 64,
            "shuffle": True,
            "drop_last": True,
        },
        "EvalReader": {
            "batch_transforms": [{"PadBatch": {"pad_to_stride": 32}}],
            "batch_size": reader["eval_batch_size"],
            "shuffle": False,
        },
        "TestReader": {"batch_size": 1},
    }
    return merge_dicts(fixed, size_values(size))


def _data() -> Values:
    return family_data(FAMILY)


@cache
def models() -> dict[str, Model]:
    return {name: _model(name, row) for name, row in _data()["models"].items()}


def _model(name: str, row: Values) -> Model:
    bases = (*_data()["layers"], f"picodet/_base_/picodet_{row['size']}_reader.yml")
    return Model(
        name=name,
        size=row["size"],
        batch_size=row["batch_size"],
        base_lr=row["base_lr"],
        gpus=_data()["published_gpus"],
        epochs=row["epochs"],
        parameters=row["parameters"],
        image_mib=row["image_mib"],
        mAP=row["mAP"],
        mAP50=row["mAP50"],
        coco_weights=_data()["weights_url"].replace("{model}", name),
        imagenet_weights=row["imagenet"],
        bases=bases,
        own=_own_values(row),
        family=families()[FAMILY],
    )


def _own_values(row: Values) -> Values:
    schedule: list[tuple[str, Values]] = [
        ("CosineDecay", {"max_epochs": 300}),
        ("LinearWarmup", {"start_factor": 0.1, "steps": 300}),
    ]
    tagged = row["schedulers"] == "tag"
    channels = row["channels"]
    return {
        "pretrain_weights": row["imagenet"],
        "weights": f"output/picodet_{row['weights']}_coco/best_model",
        "find_unused_parameters": True,
        "use_ema": True,
        "epoch": row["epochs"],
        "snapshot_epoch": 10,
        "LCNet": {"scale": row["scale"], "feature_maps": [3, 4, 5]},
        "LCPAN": {"out_channels": channels},
        "PicoHeadV2": {
            "conv_feat": {
                "name": "PicoFeat",
                "feat_in": channels,
                "feat_out": channels,
                "num_convs": row["head_convs"],
                "num_fpn_stride": 4,
                "norm_type": "bn",
                "share_cls_reg": True,
                "use_se": True,
            },
            "feat_in_chan": channels,
        },
        "LearningRate": {
            "base_lr": row["base_lr"],
            "schedulers": [Tagged(n, v) if tagged else {"name": n, **v} for n, v in schedule],
        },
        "TrainReader": {"batch_size": row["batch_size"]},
    }


def layer_texts() -> dict[str, str]:
    """The bases of the catalogue's configs as YAML of our own writing, by path below configs/."""
    layers = {path: values for model in models().values() for path, values in model.layers()}
    return {path: _yaml(values) for path, values in layers.items()}


def config_texts() -> dict[str, str]:
    """Every config of the catalogue as YAML of our own writing, by path below configs/."""
    texts = layer_texts()
    for name, model in models().items():
        bases = [posixpath.relpath(base, "picodet") for base in model.bases]
        texts[f"picodet/{name}.yml"] = f"_BASE_: {dump_scalar(bases)}\n" + _yaml(model.own)
    return texts


def _yaml(values: Values) -> str:
    schedule = values.get("LearningRate", {}).get("schedulers", [])
    plain = [{"name": s.tag, **s.value} if isinstance(s, Tagged) else s for s in schedule]
    if plain:
        values = {**values, "LearningRate": {**values["LearningRate"], "schedulers": plain}}
    return dump_block(values)


def config_sha256(config: Values) -> str:
    """The hash by which the catalogue knows a resolved config."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def known_sha256(name: str) -> str:
    found: str = _data()["resolved_sha256"][name]
    return found
