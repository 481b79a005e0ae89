"""What is written about a form for those who get it: README.md beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from jobgen.deploy.forms import DETECTING, Form

if TYPE_CHECKING:
    from jobgen.deploy.make import Judged
    from jobgen.deploy.source import Source

WORDS = Path(__file__).parent / "words"
# OpenCV's numbers for interpolations.
INTERPOLATIONS = {0: "INTER_NEAREST", 1: "INTER_LINEAR", 2: "INTER_CUBIC", 3: "INTER_AREA"}
# Of a class: below this its AP moves by more than models differ.
FEW_BOXES = 50
STEPS = {
    "en": {
        "Resize": "Resize it to {width} x {height} px with OpenCV's {interp}{ratio}.",
        "ratio": ", its proportions kept",
        "NormalizeImage": "Divide by 255, take away {mean} and divide by {std}, for R, G and B.",
        "scale": "Divide by 255.",
        "Permute": "Put the channels first: float32 [1, 3, height, width].",
        "other": "{type}: see prepare() in detect.py.",
    },
    "zh": {
        "Resize": "用 OpenCV 的 {interp} 缩放到 {width} x {height} 像素{ratio}。",
        "ratio": "，保持长宽比",
        "NormalizeImage": "除以 255，减去 {mean}，再除以 {std}（依次为 R、G、B）。",
        "scale": "除以 255。",
        "Permute": "通道放在最前：float32 [1, 3, 高, 宽]。",
        "other": "{type}：见 detect.py 的 prepare()。",
    },
}


def preprocess_lines(steps: list[dict[str, Any]], language: str) -> list[str]:
    """The steps of infer_cfg.yml's Preprocess as sentences."""
    words = STEPS[language]
    found = []
    for step in steps:
        kind = step["type"]
        if kind == "Resize":
            height, width = step["target_size"]
            interp = INTERPOLATIONS.get(step.get("interp", 1), str(step.get("interp")))
            ratio = words["ratio"] if step.get("keep_ratio", True) else ""
            found.append(words[kind].format(width=width, height=height, interp=interp, ratio=ratio))
        elif kind == "NormalizeImage" and step.get("is_scale", True):
            plain = step.get("norm_type", "mean_std") != "mean_std"
            found.append(
                words["scale" if plain else kind].format(**{"mean": "", "std": "", **step})
            )
        elif kind == "Permute":
            found.append(words[kind])
        else:
            found.append(words["other"].format(type=kind))
    return found


def form_page(
    form: Form, source: Source, record: dict[str, Any], language: str, example: bool
) -> str:
    """README.md of a form's folder, in the job's language; `example` is whether cpp/ is in it."""
    wanted = [*(each.split("==")[0] for each in DETECTING), *form.runs_with]
    return (
        _pages()
        .select_template([f"{form.name}.{language}.md.j2", f"form.{language}.md.j2"])
        .render(
            words=form.words[language],
            record=record,
            measured=record["measured"],
            classes=source.classes,
            nms=source.settings["NMS"],
            steps=preprocess_lines(source.settings["Preprocess"], language),
            packages=wanted,
            file=form.file,
            example=example,
            notes=(form.notes or {}).get(language, ""),
        )
    )


def model_card(
    source: Source,
    judged: list[Judged],
    figures: dict[str, float],
    by_class: list[dict[str, Any]],
    milliseconds: float,
    size: int,
    language: str,
) -> str:
    """MODEL_CARD.md: what the model was trained and judged on, and how its forms compare with it,
    of which `figures`, `by_class`, `milliseconds` and `size` in bytes are."""
    result, classes = source.result, source.classes
    # A bar would end a table's cell.
    names = [name.replace("|", "\\|") for name in classes]
    rows = [dict(row, name=name) for name, row in zip(names, by_class, strict=True)]
    return (
        _pages()
        .get_template(f"card.{language}.md.j2")
        .render(
            classes=classes,
            model=result["job"]["model"]["config"],
            name=result["job"]["name"],
            counts=result["dataset"]["counts"],
            trained=_training(source),
            images=len(source.images),
            rows=rows,
            few=[row["name"] for row in rows if row["boxes"] < FEW_BOXES],
            figures=figures,
            milliseconds=milliseconds,
            bytes=size,
            judged=judged,
            proof=source.proof,
        )
    )


def _training(source: Source) -> dict[str, Any]:
    """What is known of the training: `revision` of PaddleDetection, `smoke`, and whether its data
    is the set that the model was judged on; empty where nothing is."""
    record, judged = source.trained, source.result["dataset"]
    try:
        return {
            "revision": record["source"]["revision"],
            "smoke": bool(record["smoke"]),
            "same": record["dataset"]["sha256"] == judged["sha256"],
        }
    except (KeyError, TypeError):
        return {}


def _pages() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(WORDS),
        undefined=jinja2.StrictUndefined,
        # The pages are Markdown: names of classes are the user's own.
        autoescape=False,
        keep_trailing_newline=True,
    )
