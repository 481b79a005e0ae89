"""What forms are made of: a model that an export has proven, and the pictures that judge them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobgen.errors import RunError
from jobgen.yamlio import load_file
from jobgen_runtime.after.trained import spread

# COCO's figures of fewer pictures than this move by more than a form may lose (README of a form
# says how many there were); more take minutes for each form.
MOST_IMAGES = 300
# Of training, for 8 bits: where activations lie, one batch shows nearly as well as a hundred.
CALIBRATION = 64


@dataclass(frozen=True)
class Source:
    """`folder` has infer_cfg.yml and model.onnx, which `suppresses` where its family's export can't
    leave that out. `images` are the evaluation's, by the
    ids that they have in the COCO file `truth`, `settings` what infer_cfg.yml has; `proof` is what
    the export measured of model.onnx beside the trained model, `result` is the export's record, and
    `trained` the training's, empty where it is not known."""

    folder: Path
    truth: Path
    ids: list[int]
    images: list[Path]
    calibration: list[Path]
    categories: list[int]
    classes: list[str]
    nms: dict[str, Any]
    settings: dict[str, Any]
    longest_side: int
    suppresses: bool
    proof: dict[str, Any]
    result: dict[str, Any]
    trained: dict[str, Any]


def source_of_run(
    output: Path, result: dict[str, Any], nms: dict[str, Any], trained: dict[str, Any] | None = None
) -> Source:
    """Of a run on this machine that exported to ONNX without NMS; `output` is its output folder,
    `nms` what training suppressed by, `trained` the result of the training where it is known.
    Raises RunError where something of it is not there."""
    folder = output / "inference"
    config = result.get("run_config") or {}
    proof = result.get("metrics", {}).get("parity", {}).get("onnx")
    if not (folder / "model.onnx").is_file() or not proof:
        raise RunError(f"{folder} has no model.onnx that was proven")
    settings = load_file(folder / "infer_cfg.yml", "yaml11").value
    if not nms:
        raise RunError(
            f"{folder / 'model.onnx'} needs no suppression: forms are made of models that have one",
            "Deploy inference/ as it is; docs/after.md says how.",
        )
    truth, record, pictures = _split(config, "EvalDataset", MOST_IMAGES)
    sides = [max(i["width"], i["height"]) for i in record["images"]]
    return Source(
        folder=folder,
        truth=truth,
        ids=[image["id"] for image, _ in pictures],
        images=[path for _, path in pictures],
        calibration=[path for _, path in _split(config, "TrainDataset", CALIBRATION)[2]],
        categories=[int(each["id"]) for each in record["categories"]],
        classes=list(settings["label_list"]),
        nms=nms,
        settings=settings,
        longest_side=max(sides),
        suppresses=not isinstance(settings.get("NMS"), dict),
        proof=proof,
        result=result,
        trained=trained or {},
    )


def without_nms(source: Source, folder: Path, cut: Callable[[Path, Path], None]) -> Source:
    """The same of a model cut before its suppression, in `folder`; `cut` makes its ONNX. Paddle's
    own files stay as they are."""
    shutil.copytree(source.folder, folder, ignore=shutil.ignore_patterns("forms", "model.onnx"))
    cut(source.folder / "model.onnx", folder / "model.onnx")
    lines = [f"  {name}: {value}\n" for name, value in source.nms.items()]
    with (folder / "infer_cfg.yml").open("a", encoding="utf-8") as stream:
        stream.write("".join(["NMS:\n", *lines]))
    settings = {**source.settings, "NMS": source.nms}
    return replace(source, folder=folder, settings=settings, suppresses=False)


def _split(
    config: dict[str, Any], name: str, most: int
) -> tuple[Path, dict[str, Any], list[tuple[dict[str, Any], Path]]]:
    place = config.get(name) or {}
    root = Path(place.get("dataset_dir", ""))
    truth = root / place.get("anno_path", "")
    if not truth.is_file():
        raise RunError(f"the annotations {truth} of {name} are not there")
    record = json.loads(truth.read_text(encoding="utf-8"))
    images = root / place.get("image_dir", "")
    chosen = spread(record["images"], most)
    return truth, record, [(image, images / image["file_name"]) for image in chosen]
