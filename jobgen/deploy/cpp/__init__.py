"""The runnable example in C++ beside a form for phones: its sources, and model.h, which is made.

Only detector.h, model.h and the engine's own file belong to an application: there is nothing else
in the example.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent
# What detector.h does to a picture, in this order.
STEPS = ["Resize", "NormalizeImage", "Permute"]
# How CMake finds the library of each form that has an example, FORM.cpp, and what people call it.
ENGINES = {
    "mnn": (
        "MNN",
        "find_path(ENGINE_INCLUDE MNN/expr/Module.hpp REQUIRED)\nfind_library(ENGINE MNN REQUIRED)",
    ),
    "ncnn": ("ncnn", "find_package(ncnn REQUIRED)\nset(ENGINE ncnn)"),
}


def write_example(form: str, place: Path, settings: dict[str, Any]) -> bool:
    """Write the example of a form into `place`/cpp, where there is one and the model is prepared
    for as detector.h does; `settings` is what infer_cfg.yml has."""
    if form not in ENGINES or not _known(settings["Preprocess"]):
        return False
    folder = place / "cpp"
    folder.mkdir()
    shutil.copyfile(FILES / f"{form}.cpp", folder / "detect.cpp")
    engine, find = ENGINES[form]
    text = (FILES / "CMakeLists.txt").read_text(encoding="utf-8")
    text = text.replace("@engine@", engine).replace("@find@", find)
    (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
    shutil.copyfile(FILES / "detector.h", folder / "detector.h")
    tensors = place / "tensors.json"
    names = json.loads(tensors.read_text(encoding="utf-8")) if tensors.is_file() else {}
    (folder / "model.h").write_text(header(settings, names), encoding="utf-8")
    return True


def _known(steps: list[dict[str, Any]]) -> bool:
    return [step["type"] for step in steps] == STEPS and not steps[0].get("keep_ratio", True)


def header(settings: dict[str, Any], tensors: dict[str, list[str]]) -> str:
    """model.h: the numbers of infer_cfg.yml, and the names of the tensors where they are asked
    for."""
    resize, normalise, _ = settings["Preprocess"]
    nms = settings["NMS"]
    height, width = resize["target_size"]
    plain = normalise.get("norm_type", "mean_std") != "mean_std"
    mean = [0.0] * 3 if plain else normalise["mean"]
    deviation = [1.0] * 3 if plain else normalise["std"]
    scale = "1.f / 255.f" if normalise.get("is_scale", True) else "1.f"
    classes = settings["label_list"]
    lines = [
        "// Made by jobgen, of infer_cfg.yml.",
        "#pragma once",
        "",
        "#include <string>",
        "#include <vector>",
        "",
        "namespace model {",
        f"constexpr int WIDTH = {width}, HEIGHT = {height};",
        f"constexpr int INTERPOLATION = {resize.get('interp', 1)};  // OpenCV's number",
        f"constexpr float SCALE = {scale};",
        f"constexpr float MEAN[] = {_floats(mean)}, DEVIATION[] = {_floats(deviation)};",
        f"constexpr float SCORE_THRESHOLD = {_float(nms['score_threshold'])};",
        f"constexpr float NMS_THRESHOLD = {_float(nms['nms_threshold'])};",
        f"constexpr int NMS_TOP_K = {nms['nms_top_k']}, KEEP_TOP_K = {nms['keep_top_k']};",
        f"constexpr int CLASS_COUNT = {len(classes)};",
        f"const char* const CLASSES[] = {_strings(classes)};",
    ]
    for name, values in tensors.items():
        lines.append(f"const std::vector<std::string> {name.upper()} = {_strings(values)};")
    return "\n".join([*lines, "}  // namespace model", ""])


def _float(value: float) -> str:
    return f"{float(value)!r}f"


def _floats(values: list[float]) -> str:
    return "{" + ", ".join(map(_float, values)) + "}"


def _strings(values: list[str]) -> str:
    # JSON's escapes but for \u, of which C++ has no halves of pairs; ?? would begin a trigraph.
    quoted = (json.dumps(value, ensure_ascii=False).replace("?", "\\?") for value in values)
    return "{" + ", ".join(quoted) + "}"
