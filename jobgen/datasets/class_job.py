"""A classification set that was looked at, as job.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobgen.datasets.classes import ClassSet, expected_classes
from jobgen.datasets.job import stem
from jobgen.datasets.record import EVAL, TRAIN
from jobgen.errors import DatasetError
from jobgen.files import shown
from jobgen.yamlio import dump_block, dump_scalar
from jobgen_runtime.data.faults import fault_text

OPTIONAL = {
    "model": (
        ("input_size: auto", "pixels, by 32", "像素，32 的倍数"),
        ("pretrained_missing: stop", "or scratch", "或 scratch：权重取不到时从头训练"),
    ),
    "train": (
        ("batch_size: auto", "images a card and step", "每步每卡的图片数"),
        ("base_lr: auto", "scaled with the batch", "随批大小缩放"),
        ("gpus: 1", "cards", "卡数"),
        ("amp: false", "mixed precision", "混合精度"),
        ("on_oom: stop", "or halve", "或 halve：显存不够时批大小减半"),
    ),
    "": (
        ("augment: {flip: true, crop: true}", "random flips and crops", "随机翻转与裁剪"),
        ("infer: {images: 24}", "how many are drawn", "画多少张图"),
        ("overrides: {}", "any key of PaddleClas's config", "PaddleClas 配置里的任何键"),
    ),
}


def need_trainable_classes(data: ClassSet, path: Path) -> None:
    """Raise DatasetError, with the way out, where no job can be made of the set as it is."""
    new = Path(f"{stem(path)}-new.zip")
    if TRAIN not in data.splits or EVAL not in data.splits:
        there = ", ".join(f"{split.name} of {len(split.rows)} images" for split in data)
        raise DatasetError(
            f"{data.files.name} has classes, but no train and val split; there is {there}",
            f"Split it first: jobgen dataset split {shown(path)} {shown(new)}",
        )
    if len(data.classes) < 2:
        raise DatasetError(
            f"{data.files.name} has {len(data.classes)} class(es): there is nothing to tell apart",
            "Give each class its folder below train/ and val/.",
        )
    for split in data:
        if split.name in (TRAIN, EVAL) and split.troubles:
            code, place = split.troubles[0]
            text = f"{split.name}: {fault_text(code, place)}"
            raise DatasetError(text, f"For all of them: jobgen check {shown(path)}")


def class_job_text(
    name: str,
    environment: str,
    sources: Sequence[Mapping[str, Any]],
    data: ClassSet,
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    language: str,
    more: Mapping[str, Any],
) -> str:
    """The text of a classification's job.yaml, with the keys that may be added as comments."""
    splits = {key: data.splits[key] for key in (TRAIN, EVAL)}

    def hints(under: str) -> str:
        lead = "  # " if under else "# "
        rows = [(key, zh if language == "zh" else en) for key, en, zh in OPTIONAL[under]]
        wide = max(len(key) for key, _ in rows)
        return "".join(f"{lead}{key:<{wide}}  # {text}\n" for key, text in rows)

    return (
        dump_block({"name": name, "task": "classification", "environment": environment})
        + "dataset:\n  sources:\n"
        + "".join(f"    - {dump_scalar(dict(source))}\n" for source in sources)
        + dump_block({"root": data.root}, 2)
        + "".join(f"  {key}: {dump_scalar(split.keys)}\n" for key, split in splits.items())
        + f"  classes: {dump_scalar(data.classes)}\n  expect:\n"
        + "".join(f"    {k}: {dump_scalar(expected_classes(s))}\n" for k, s in splits.items())
        + dump_block({"model": dict(model)})
        + hints("model")
        + dump_block({"train": dict(train)})
        + hints("train")
        + dump_block({**more, "language": language})
        + hints("")
    )
