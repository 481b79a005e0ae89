"""job.yaml of a classification: what a user wants PaddleClas to train."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from jobgen.spec_types import (
    Count,
    Part,
    RelativePath,
    Source,
    Text,
    job_name,
    pretrained_weights,
)

PUBLISHED_CLASSIFIERS = ("imagenet",)


def _pretrained(value: str) -> str:
    return pretrained_weights(value, PUBLISHED_CLASSIFIERS)


class ClassSplit(Part):
    """One split, paths below the data set's root: a `folder` with a folder for each class, or a
    `list` of lines `image class`, whose images are below `images`."""

    folder: RelativePath | None = None
    list: RelativePath | None = None
    images: RelativePath = ""

    @model_validator(mode="after")
    def _one_of(self) -> ClassSplit:
        if (self.folder is None) == (self.list is None):
            raise ValueError("give either folder: or list:")
        if self.folder is not None and self.images:
            raise ValueError("images: goes with list:")
        return self


class ExpectedClasses(Part):
    """What one split of the mounted data must hold: the hash is of its list of images and
    classes."""

    images: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class ExpectClasses(Part):
    train: ExpectedClasses
    eval: ExpectedClasses


class ClassDataset(Part):
    sources: Annotated[list[Source], Field(min_length=1, max_length=3)]
    root: RelativePath = ""
    train: ClassSplit
    eval: ClassSplit
    classes: Annotated[list[Annotated[Text, Field(min_length=1)]], Field(min_length=2)]
    expect: ExpectClasses | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ClassDataset:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names one class twice")
        return self


class ClassifierChoice(Part):
    config: str
    pretrained: Annotated[str, AfterValidator(_pretrained)] = "imagenet"
    pretrained_missing: Literal["stop", "scratch"] = "stop"
    # What PP-LCNet and MobileNetV3 halve five times.
    input_size: Literal["auto"] | Annotated[int, Field(ge=64, le=640, multiple_of=32)] = "auto"


class ClassTrain(Part):
    epochs: Count = 50
    batch_size: Literal["auto"] | Count = "auto"
    base_lr: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = "auto"
    gpus: Annotated[int, Field(ge=1, le=8)] = 1
    amp: bool = False
    # Evaluations without a better one after which training ends.
    patience: Count | None = None
    on_oom: Literal["stop", "halve"] = "stop"


class ClassAugment(Part):
    """How training changes its images: a crop of random place and size, and a flip."""

    flip: bool = True
    crop: bool = True


class ClassInfer(Part):
    """How many images of the evaluation are drawn, those classified wrongly first."""

    images: Annotated[int, Field(ge=1, le=200)] = 24


class ClassExport(Part):
    onnx: bool = False


class ClassificationSpec(Part):
    """The whole of a classification's job.yaml."""

    name: Annotated[str, AfterValidator(job_name)]
    task: Literal["classification"]
    environment: str
    dataset: ClassDataset
    model: ClassifierChoice
    train: ClassTrain = ClassTrain()
    stages: list[str] = Field(default_factory=list)
    augment: ClassAugment = ClassAugment()
    infer: ClassInfer = ClassInfer()
    export: ClassExport = ClassExport()
    overrides: dict[str, Any] = Field(default_factory=dict)
    template: Text = "paddleclas"
    parameters: dict[str, Any] = Field(default_factory=dict)
    language: Literal["zh", "en"] = "zh"
