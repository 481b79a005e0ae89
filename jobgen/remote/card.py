"""The page of a model in a repository, and the files that go with it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from jobgen.errors import MALFORMED, RunError
from jobgen.files import write_atomically
from jobgen.run.output import open_output, unpack_output

WORDS = Path(__file__).parent / "words"
# As `export --to` writes it beside its forms.
CARD, PAGE = "MODEL_CARD.md", "README.md"
# Of a run's output: what others need to use the model, and to see how it was made.
PARTS = ("weights/best_model.pdparams", "inference", "configs", "result.json")
FIGURES = (("mAP", "mAP"), ("mAP@0.5", "mAP50"), ("top-1", "top1"), ("top-5", "top5"))
LEFT_OUT = "__pycache__"


@dataclass(frozen=True)
class Model:
    """What is to be published: path in the repository to file; `good` unless it is a smoke run's
    or of a run that failed."""

    files: dict[str, Path]
    good: bool
    summary: str


def find_model(output: Path, spare: Path) -> Model:
    """The model in a folder of `jobgen export`, a run's output or its zip; `spare` is an empty
    folder of ours. Raises RunError."""
    if (output / CARD).is_file():
        files = _below(output, output)
        files[PAGE] = files.pop(CARD)
        return Model(files, good=True, summary=_heading(output / CARD))
    place = output
    if output.is_file() and output.suffix != ".pdparams":
        place = spare / "output"
        unpack_output(output, place)
    found = open_output(place, Path(tempfile.mkdtemp(dir=spare)))
    if not found.result:
        raise RunError(
            f"{output} has weights, and no result.json that says what they are",
            "Publish the output of a jobgen run, or a folder of: jobgen export --to ... -o DIR",
        )
    files = {}
    for part in PARTS:
        path = found.folder / part
        if path.is_file() and is_inside(path, found.folder):
            files[part] = path
        elif path.is_dir():
            files |= _below(path, found.folder)
    page = spare / PAGE
    write_atomically(page, run_card(found.result, files).encode())
    files[PAGE] = page
    return Model(files, good=found.result.get("status") == "ok", summary=_heading(page))


def _below(folder: Path, root: Path) -> dict[str, Path]:
    """The files of a folder, by their paths below `root`; hidden ones, which may hold passwords,
    and links that lead out of it stay here."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and is_inside(path, root))
    inside = {path.relative_to(root).as_posix(): path for path in paths}
    return {name: path for name, path in inside.items()
            if not any(p.startswith(".") or p == LEFT_OUT for p in name.split("/"))}  # fmt: skip


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path stays below a folder: a link may lead to anything of this computer."""
    return path.resolve().is_relative_to(root.resolve())


def _heading(page: Path) -> str:
    lines = page.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[0].lstrip("# ").strip()[:200] if lines else ""


def run_card(result: dict[str, Any], files: dict[str, Path]) -> str:
    """README.md of a run: its model, data and figures, in the job's language. Raises RunError
    where the result is not as jobgen writes it."""
    language = "zh" if result.get("language") == "zh" else "en"
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WORDS), undefined=jinja2.StrictUndefined,
        autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    try:
        metrics = result["metrics"]
        measured = {**(metrics.get("best") or {}), **(metrics.get("evaluation") or {})}
        counts = result["dataset"]["counts"]
        return pages.get_template(f"card.{language}.md.j2").render(
            name=result["job"]["name"],
            model=result["job"]["model"]["config"],
            input_size=result["job"]["model"]["input_size"],
            epochs=result["plan"]["epochs"],
            classes=[name.replace("|", "\\|") for name in result["job"]["dataset"]["classes"]],
            counts={f"{name}_images": counts[name]["images"] for name in ("train", "eval")},
            paddle=result["versions"].get("paddle", "?"),
            figures=[(title, f"{measured[key]:.3f}") for title, key in FIGURES if key in measured],
            smoke=bool(result.get("smoke")),
            exported=any(name.startswith("inference/") for name in files),
            program="classify.py" if "inference/classify.py" in files else "detect.py",
        )
    except MALFORMED as error:
        raise RunError(
            f"its result.json is not as jobgen writes it: {type(error).__name__}: {error}",
            "docs/result.schema.json says what may stand there.",
        ) from error
