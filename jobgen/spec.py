"""job.yaml: what a user wants trained. Shapes are checked here, names in the plan."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)

from jobgen.errors import SpecError
from jobgen.findings import Finding, Findings, Severity
from jobgen.language import say_language
from jobgen.spec_types import (
    Count,
    Part,
    RelativePath,
    Source,
    Text,
    job_name,
    pretrained_weights,
)
from jobgen.yamlio import Document, load, load_file

if TYPE_CHECKING:
    from jobgen.spec_classification import ClassificationSpec

AnySpec: TypeAlias = "JobSpec | ClassificationSpec"
PUBLISHED = ("coco", "imagenet", "objects365")
# Of the built-in pack; another one may have others.
STAGES_AFTER_TRAINING = ("evaluate", "infer", "export", "compress")
# What `init` writes.
USUAL_STAGES = STAGES_AFTER_TRAINING[:3]
# A classification has no use for these.
STAGES_OF_DETECTION = ("compress",)


def _pretrained(value: str) -> str:
    return pretrained_weights(value, PUBLISHED)


class Split(Part):
    """One split, paths below the data set's root. `list` is VOC's list of stems."""

    images: RelativePath
    annotations: RelativePath
    list: RelativePath | None = None


class Expected(Part):
    """What one split of the mounted data must hold."""

    images: Count
    boxes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class Expect(Part):
    train: Expected
    eval: Expected


class Dataset(Part):
    sources: Annotated[list[Source], Field(min_length=1, max_length=3)]
    root: RelativePath = ""
    format: Literal["coco", "voc"] = "coco"
    train: Split
    eval: Split
    # Neither trained on nor chosen by: `jobgen evaluate --split test`.
    test: Split | None = None
    classes: Annotated[list[Text], Field(min_length=1)]
    expect: Expect | None = None
    # Pictures much larger than training uses are read from smaller copies: of this short side.
    shrink: Literal["auto", "off"] | Annotated[int, Field(ge=64, le=8192)] = "auto"
    # false: images alone, in which `jobgen infer --images` looks for objects.
    labelled: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names one class twice")
        if (
            self.expect
            and self.labelled
            and not (self.expect.train.boxes and self.expect.eval.boxes)
        ):
            raise ValueError("expect: a split without boxes teaches nothing and measures nothing")
        for split in (self.train, self.eval, *([self.test] if self.test else [])):
            if (self.format == "voc") != (split.list is not None):
                word = "needs" if self.format == "voc" else "does not take"
                raise ValueError(f"format {self.format} {word} `list:` in train and eval")
        return self


class ModelChoice(Part):
    config: str
    pretrained: Annotated[str, AfterValidator(_pretrained)] = "coco"
    pretrained_missing: Literal["stop", "scratch"] = "stop"
    # ATSS takes the 9 nearest cells of each level: the smallest size of multi-scale training
    # (64 px less) needs 3 x 3 cells of 64 px.
    input_size: Literal["auto"] | Annotated[int, Field(ge=224, le=1280, multiple_of=32)] = "auto"


class Train(Part):
    epochs: Count = 100
    batch_size: Literal["auto"] | Count = "auto"
    base_lr: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = "auto"
    # Passes over the set in one epoch of PaddleDetection.
    repeat: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    gpus: Annotated[int, Field(ge=1, le=8)] = 1
    amp: bool = False
    # Evaluations without a better one after which training ends.
    patience: Count | None = None
    # Repeat the images of rare classes, at most five times.
    balance: Literal["auto", "none"] = "none"
    on_oom: Literal["stop", "halve"] = "stop"


class Augment(Part):
    """How training changes its images: a preset, and what the job has otherwise (catalog/augment.py
    has what each preset means)."""

    preset: Literal["default", "sar", "none"] | None = None
    flip: Annotated[float, Field(ge=0, le=1)] | None = None
    crop: bool | None = None
    distort: Literal["color", "light", "none"] | None = None
    expand: bool | None = None
    mosaic: bool | None = None
    mixup: bool | None = None
    multi_scale: bool | None = None


class Infer(Part):
    """Which images are drawn (none named: some of the evaluation's; `all`: each of them is looked
    at, and some are drawn), and from which score on."""

    images: list[RelativePath] | Literal["all"] = Field(default_factory=list)
    threshold: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = "auto"


class Tiles(Part):
    """The tiles in which images larger than one are read after training: their side in pixels,
    and the share of it that the next one shows again."""

    size: Annotated[int, Field(ge=64, le=4096)] = 640
    overlap: Annotated[float, Field(ge=0, le=0.8)] = 0.2


class Export(Part):
    """The exported model: with NMS in it, also as ONNX, and in which of Paddle 3's two forms."""

    nms: bool = True
    onnx: bool = False
    format: Literal["auto", "pdmodel", "json"] = "auto"


class JobSpec(Part):
    """The whole of a detection's job.yaml."""

    name: Annotated[str, AfterValidator(job_name)]
    task: Literal["detection"] = "detection"
    environment: str
    dataset: Dataset
    model: ModelChoice
    train: Train = Train()
    stages: list[str] = Field(default_factory=list)
    infer: Infer = Infer()
    export: Export = Export()
    tiles: Tiles | None = None
    augment: Augment = Augment()
    overrides: dict[str, Any] = Field(default_factory=dict)
    template: Text = "paddledetection"
    parameters: dict[str, Any] = Field(default_factory=dict)
    language: Literal["zh", "en"] = "zh"

    @model_validator(mode="after")
    def _something_to_do(self) -> JobSpec:
        if not self.dataset.labelled and self.stages != ["infer"]:
            raise ValueError("images without labels are for `stages: [infer]` alone")
        return self


TASKS = ("detection", "classification")


def shape_of(task: str) -> type[AnySpec]:
    """The shape of a job.yaml by its task; each is made only where it is wanted, as that takes its
    time."""
    if task == "detection":
        return JobSpec
    from jobgen.spec_classification import ClassificationSpec

    return ClassificationSpec


def load_any(path: Path) -> tuple[AnySpec, Document]:
    """Read a job.yaml of either task. Raises SpecError with every fault: file, line, path, what is
    expected."""
    try:
        return parse_any(load_file(path))
    except OSError as error:
        hint = "`jobgen init` writes one; docs/job.md says what may stand in it."
        if path.is_dir():
            hint = f"Give the file: {path / 'job.yaml'}"
        raise SpecError(f"{path}: {error.strerror}", hint) from error


def parse_any(document: Document) -> tuple[AnySpec, Document]:
    """A job of either task, whose language is spoken from here on unless the user has said
    another. Raises SpecError."""
    if not isinstance(document.value, dict):
        raise SpecError(f"{document.source}:1: a job has keys: name, environment, dataset, model")
    say_language("job", str(document.value.get("language") or ""))
    task = document.value.get("task", "detection")
    if not isinstance(task, str) or task not in TASKS:
        place = f"{document.source}:{document.line(['task'])}"
        raise SpecError(f"{place}: task: {task!r} is not known{nearest(str(task), TASKS)}")
    shape = shape_of(task)
    if "task" not in document.value and _has_class_folders(document.value):
        place = f"{document.source}:{document.line(['dataset', 'train'])}"
        raise SpecError(
            f"{place}: dataset.train: folder: is for classification, and task: is missing",
            "Write a line: task: classification",
        )
    try:
        return shape.model_validate(document.value), document
    except ValidationError as error:
        raise findings_of(document, error, shape) from error


def findings_of(document: Document, error: ValidationError, shape: type[BaseModel]) -> SpecError:
    """What pydantic found in a document, as one error with file, line, path and what is wanted."""
    return faults(Findings(_finding(document, fault, shape) for fault in _apart(error.errors())))


def _has_class_folders(job: dict[str, Any]) -> bool:
    dataset = job.get("dataset")
    train = dataset.get("train") if isinstance(dataset, dict) else None
    return isinstance(train, dict) and "folder" in train


def load_spec(path: Path) -> tuple[JobSpec, Document]:
    """Read the job.yaml of a detection. Raises SpecError."""
    return _detection(*load_any(path))


def parse_spec(document: Document) -> tuple[JobSpec, Document]:
    """A job whose task is detection. Raises SpecError."""
    return _detection(*parse_any(document))


def spec_from_text(text: str, source: str = "job.yaml") -> JobSpec:
    """Read job.yaml's text. Raises SpecError."""
    return parse_spec(load(text, source))[0]


def _detection(spec: AnySpec, document: Document) -> tuple[JobSpec, Document]:
    if not isinstance(spec, JobSpec):
        raise SpecError(
            f"{document.source}:{document.line(['task'])}: this is for detection, and the task of "
            f"{spec.name} is {spec.task}",
            "For classification there are: jobgen init, check, build, explain, run, evaluate, "
            "infer, export, collect and report.",
        )
    return spec, document


def _apart(errors: Sequence[Any]) -> list[Any]:
    """The errors of a key that may be a word or a number: for a number only what it lacks."""
    apart = ("literal_error", "int_type", "float_type", "int_parsing", "float_parsing")
    # What is wrong with the whole of a job has no place.
    placed = [fault for fault in errors if fault["loc"]]
    numbers = {fault["loc"][:-1] for fault in placed
               if _is_branch(fault["loc"][-1]) and fault["type"] not in apart}  # fmt: skip
    words = (f["type"] == "literal_error" and f["loc"][:-1] in numbers for f in errors)
    return [fault for fault, is_word in zip(errors, words, strict=True) if not is_word]


def faults(findings: Findings) -> SpecError:
    """All errors of a job as one SpecError, each once."""
    lines = list(dict.fromkeys(f"{f.place}: {f.message}" for f in findings.errors))
    count = f"{len(lines)} faults:\n" if len(lines) > 1 else ""
    return SpecError(count + "\n".join(lines), findings=findings.errors)


# What other tools call a key.
OTHER_NAMES = {
    **dict.fromkeys(("lr", "learning_rate", "lr0"), "base_lr"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("imgsz", "img_size", "image_size"), "input_size"),
    **dict.fromkeys(("epoch", "num_epochs", "max_epochs"), "epochs"),
    **dict.fromkeys(("weights", "pretrain_weights"), "pretrained"),
    **dict.fromkeys(("names", "labels"), "classes"),
    "env": "environment",
}


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or what there is."""
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(known)}" if known else ""


def _finding(document: Document, fault: Any, shape: type[BaseModel]) -> Finding:
    # pydantic adds the branch of a union to the path; job.yaml has no such key.
    kind, place_of = fault["type"], fault["loc"]
    path = tuple(part for part in place_of if not _is_branch(part))
    if kind == "extra_forbidden" and _is_branch(place_of[-1]):
        path = (*path, place_of[-1])  # a key that only looks like one
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        model = _model_at(shape, path[:-1])
        known = sorted(model.model_fields) if model else []
        other = OTHER_NAMES.get(str(path[-1]), "")
        where = f"; did you mean {other}?" if other in known else nearest(str(path[-1]), known)
        message = f"unknown key {path[-1]}{where}"
    elif kind == "missing":
        message = "this key is missing"
    elif "input" in fault and not isinstance(fault["input"], dict):
        own = kind == "value_error"
        message = message if own else message[0].lower() + message[1:]
        if kind in ("model_type", "dict_type"):
            message = _no_keys(fault["input"])
        message = f"{message}, got {fault['input']!r}"
        if re.fullmatch(r"[-+]?\d+(\.\d+)?", str(fault["input"])) and "_type" in kind:
            message += ": take the quotes away" if isinstance(fault["input"], str) else ""
        if kind == "list_type":
            message += f"; write [{fault['input']}]"
    dotted = ".".join(str(part) for part in path)
    place = f"{document.source}:{document.line(path)}"
    return Finding("SP001", Severity.ERROR, f"{dotted}: {message}" if dotted else message, place)


def _no_keys(given: Any) -> str:
    """Why a value is none with keys: most often YAML saw no colon in a line."""
    text = "keys and values should stand here, one a line"
    if isinstance(given, str) and "：" in given:
        return f"{text}; replace the full-width ： by : and a space"
    if isinstance(given, str) and re.match(r"\w+:\S", given):
        return f"{text}; write a space after the colon"
    return text


def _is_branch(part: str | int) -> bool:
    return isinstance(part, str) and (
        "[" in part or part in ("int", "float", "constrained-int", "constrained-float")
    )


def _model_at(shape: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = shape
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(str(part)) if model else None
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found:
            return found
    return None
