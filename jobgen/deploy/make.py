"""Forms made and judged: what does not find what the trained model finds is not kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.deploy.cpp import write_example
from jobgen.deploy.forms import COMMON, Form
from jobgen.deploy.pages import form_page, model_card
from jobgen.deploy.source import Source, without_nms
from jobgen.errors import RunError
from jobgen.files import write_atomically
from jobgen.machine.npm import npm_files
from jobgen.machine.packages import python_with
from jobgen.text import PIPED
from jobgen_runtime.after.forms import furnish
from jobgen_runtime.after.likeness import (
    NOTHING_SHOWN,
    Likeness,
    fault_of_rounding,
    likeness,
    nothing_shown,
)
from jobgen_runtime.after.parity import Rows, compare_boxes, fault_of
from jobgen_runtime.after.trained import as_coco
from jobgen_runtime.children.processes import last_words, program_path

Say = Callable[[str], None]
TRY_FORM = Path(program_path("try_form"))
WITHOUT_NMS = Path(__file__).parent / "programs" / "without_nms.py"
# Of scores: rounding of single precision moves them by 0.0005.
MOST_ROUNDED = 0.01
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Judged:
    """A form as it was made and measured; `fault` says why it was not kept."""

    name: str
    fault: str
    measured: dict[str, Any]
    folder: Path | None


class Judge:
    """The trained model's boxes in the evaluation's pictures, and how a form compares."""

    def __init__(self, source: Source, python: Path, spare: Path) -> None:
        """`source` is what was proven; `self.source` what forms are made of: the same, or cut
        before its suppression. Raises RunError where it can't be run."""
        self.python, self.spare, self.source = python, spare, source
        found = self._ask(python, {"images": list(map(str, source.images))}, None, source.folder)
        if source.suppresses:
            self.source = without_nms(source, spare / "bare", self._cut)
        if "not_finite" in found:
            raise RunError(f"the exported model gives no number for {found['not_finite']}")
        self.boxes: list[Rows] = found["boxes"]
        self.milliseconds: float = found["milliseconds"]
        self.bytes = (source.folder / "model.onnx").stat().st_size
        judged = self._judged(self.boxes)
        self.figures: dict[str, float] = judged["figures"]
        self.by_class: list[dict[str, Any]] = judged["classes"]

    def _cut(self, model: Path, goal: Path) -> None:
        finished = subprocess.run(
            [str(self.python), "-s", str(WITHOUT_NMS), str(model), str(goal)], **PIPED, check=False
        )
        if finished.returncode != 0:
            said = last_words((finished.stdout + finished.stderr).splitlines())
            raise RunError(f"{model} can't be cut before its suppression: {said}")

    def nothing_shown(self) -> bool:
        return nothing_shown(self.boxes, self.figures["mAP"])

    def make(self, form: Form, python: Path, folder: Path, parts: Path | None) -> None:
        wanted: dict[str, Any] = {"calibration": list(map(str, self.source.calibration))}
        wanted["parts"] = str(parts) if parts else None
        self._ask(python, wanted, form, folder)

    def measure(self, form: Form, python: Path, folder: Path) -> tuple[dict[str, Any], str]:
        """What was measured of a form, and what is wrong with it; empty where nothing is."""
        found = self._ask(python, {"images": list(map(str, self.source.images))}, form, folder)
        if "not_finite" in found:
            return {}, f"an output is no number (NaN or infinite) for {found['not_finite']}"
        alike = likeness(self.boxes, found["boxes"])
        figures = self._judged(found["boxes"])["figures"]
        measured = {
            **alike.as_dict(),
            "images": len(self.boxes),
            "mAP": figures["mAP"],
            "mAP50": figures["mAP50"],
            "model_mAP": self.figures["mAP"],
            "model_mAP50": self.figures["mAP50"],
            "milliseconds": found["milliseconds"],
            "model_milliseconds": self.milliseconds,
            "model_bytes": self.bytes,
        }
        return measured, self._fault(form, found["boxes"], alike, measured)

    def _fault(
        self, form: Form, boxes: list[Rows], alike: Likeness, measured: dict[str, Any]
    ) -> str:
        was = self.figures["mAP"]
        if not form.exact:
            return fault_of_rounding(alike, measured["mAP"], was)
        if alike.largest_score > MOST_ROUNDED:
            return f"its scores are others, by {alike.largest_score:.3f}"
        compared = compare_boxes(self.boxes, boxes, self.source.nms, self._candidates)
        compared["mAP"] = abs(was - measured["mAP"])
        return fault_of(compared, self.source.longest_side, form.pixels)

    def _candidates(self, numbers: list[int]) -> list[Rows]:
        paths = [str(self.source.images[number]) for number in numbers]
        rows: list[Rows] = self._ask(self.python, {"candidates": paths}, None, self.source.folder)
        return rows

    def _judged(self, boxes: list[Rows]) -> dict[str, Any]:
        """COCO's figures of boxes in the pictures, as judge_boxes.py has them."""
        source = self.source
        listed = self.spare / "found.json"
        listed.write_text(json.dumps(as_coco(boxes, source.ids, source.categories)), "utf-8")
        request: dict[str, Any] = {"iou": 0.5, "images": source.ids}
        request.update(annotations=str(source.truth), boxes=str(listed))
        answer: dict[str, Any] = self._call(self.python, Path(program_path("judge_boxes")), request)
        return answer

    def _ask(self, python: Path, what: dict[str, Any], form: Form | None, folder: Path) -> Any:
        request = {
            "detect": program_path("detect"),
            "form": str(form.path) if form else None,
            "source": str(self.source.folder),
            "folder": str(folder),
            "nms": self.source.nms,
            **what,
        }
        return self._call(python, TRY_FORM, request)

    def _call(self, python: Path, program: Path, request: dict[str, Any]) -> Any:
        asked, answer = self.spare / "request.json", self.spare / "answer.json"
        asked.write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        answer.unlink(missing_ok=True)
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # a form's folder holds what goes to the user
        argv = [str(python), "-s", str(program), str(asked), str(answer)]
        finished = subprocess.run(argv, **PIPED, env=env, cwd=self.spare, check=False)
        if finished.returncode != 0 or not answer.is_file():
            said = last_words((finished.stdout + finished.stderr).splitlines())
            # A form's own words need no name of where they were said.
            own = said.removeprefix("RuntimeError: ")
            raise RunError(own if own != said else f"{program.name}: {said}")
        return json.loads(answer.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Workshop:
    """Where forms are made: with what is in `cache`, in a `language`, what is done being said.
    `by_hand` has the files that npm would be asked for."""

    cache: Path
    language: str
    say: Say
    by_hand: Path | None = None

    def python(self, form: Form) -> Path:
        """The Python of the environment in which a form is made and run."""
        name = f"forms-{form.name}" if form.pythons else "forms"
        return python_with(
            name, form.packages, self.cache, self.say,
            alone=form.alone, pythons=form.pythons, what=form.name,
        )  # fmt: skip

    def parts(self, form: Form) -> Path | None:
        return npm_files(form.npm, self.cache, self.by_hand, self.say) if form.npm else None


def make_forms(
    wanted: Sequence[Form], source: Source, goal: Path, workshop: Workshop
) -> list[Judged]:
    """Make each form in a folder of its name below `goal`, and judge it by the evaluation's
    pictures; what is beyond its bound, or could not be made, has a `fault` and no folder. Raises
    RunError where the trained model itself can't be run."""
    goal.mkdir(parents=True, exist_ok=True)
    say = workshop.say
    with tempfile.TemporaryDirectory(prefix=".jobgen-", dir=goal) as spare:
        python = python_with("forms", COMMON, workshop.cache, say)
        say(f"the trained model looks at {len(source.images)} pictures ...")
        judge = Judge(source, python, Path(spare))
        found = []
        for form in wanted:
            say(f"{form.name}: made and tried ...")
            found.append(_made(form, judge, goal, workshop))
        card = model_card(
            source, found, judge.figures, judge.by_class, judge.milliseconds, judge.bytes,
            workshop.language,
        )  # fmt: skip
        write_atomically(goal / CARD, card.encode())
        return found


def _made(form: Form, judge: Judge, goal: Path, workshop: Workshop) -> Judged:
    # What an earlier export left under this name is another model's.
    shutil.rmtree(goal / form.name, ignore_errors=True)
    if judge.nothing_shown():
        return Judged(form.name, NOTHING_SHOWN, {}, None)
    place = judge.spare / form.name
    place.mkdir()
    try:
        python = workshop.python(form)
        judge.make(form, python, place, workshop.parts(form))
        measured, fault = judge.measure(form, python, place)
    except RunError as error:
        measured, fault = {}, " ".join(filter(None, (error.message, error.hint)))
    except OSError as error:
        measured, fault = {}, f"it could not be made: {error}"
    measured["bytes"] = sum(path.stat().st_size for path in place.iterdir() if path.is_file())
    if fault:
        shutil.rmtree(place)
        return Judged(form.name, fault, measured, None)
    _furnish(form, judge.source, place, measured, workshop.language)
    place.rename(goal / form.name)
    return Judged(form.name, "", measured, goal / form.name)


def _furnish(
    form: Form, source: Source, place: Path, measured: dict[str, Any], language: str
) -> None:
    """What somebody who gets this folder alone needs beside the model."""
    model = source.result["job"]["model"]["config"]
    record = furnish(str(place), str(source.folder), form.name, model, source.classes, measured)
    if form.has_engine:
        shutil.copyfile(form.path, place / "engine.py")
    example = write_example(form.name, place, source.settings)
    page = form_page(form, source, record, language, example)
    (place / "README.md").write_text(page, encoding="utf-8")
