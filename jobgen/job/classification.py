"""The plan of a classification: every value with its origin, and the whole config of PaddleClas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobgen.catalog import (
    CLASSIFICATION,
    Classifier,
    Environment,
    classifier_data,
    classifier_named,
    classifiers,
    environments,
    nearest_classifiers,
    platform,
)
from jobgen.findings import Findings
from jobgen.job.plan import CarriedPack
from jobgen.job.values import WORKERS, WORKERS_RULE, Value
from jobgen.packs.render import Pack
from jobgen.spec import STAGES_AFTER_TRAINING, STAGES_OF_DETECTION, faults, nearest
from jobgen.spec_classification import ClassificationSpec
from jobgen.yamlio import Document
from jobgen_runtime.classify.after import TOP
from jobgen_runtime.classify.schedule import PATHS, class_values, fitting_class_batch
from jobgen_runtime.data.archives import KEPT_APART
from jobgen_runtime.train.configure import at_path, merge_dicts

# What an override may set of the plan's own values.
REPLACEABLE = ("snapshot_epoch", "log_iter", "worker_num", "eval_batch_size", "warmup_epochs")
# What other keys of job.yaml say, or the notebook itself.
SAID_ELSEWHERE: dict[tuple[str, ...], str] = {
    tuple(PATHS["epochs"]): "train.epochs",
    tuple(PATHS["batch_size"]): "train.batch_size",
    tuple(PATHS["base_lr"]): "train.base_lr",
    ("AMP", "use_amp"): "train.amp",
    ("Arch", "name"): "model.config",
    ("Arch", "class_num"): "dataset.classes",
    ("Infer", "transforms"): "model.input_size",
    **{
        ("DataLoader", split, "dataset", key): "dataset"
        for split in ("Train", "Eval")
        for key in ("image_root", "cls_label_path", "delimiter")
    },
}


@dataclass(frozen=True)
class ClassificationPlan:
    """What `build` renders of a classification. `config` is the whole of PaddleClas's config."""

    spec: ClassificationSpec
    environment: Environment
    model: Classifier
    values: dict[str, Value]
    config: dict[str, Any]
    input_size: int
    pretrained: str
    stages: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def model_file(self) -> str:
        return f"{self.model.name}_{self.spec.name}.yaml"

    @property
    def files(self) -> dict[str, str]:
        """The bundle's files beside the notebook, each with its template."""
        return {self.model_file: "config/model.yml.j2"}

    @property
    def requirements(self) -> list[dict[str, Any]]:
        """What the install stage sees to, as Environment.needs gives it."""
        return self.environment.needs(onnx=self.spec.export.onnx and "export" in self.stages)

    def numbers(self) -> dict[str, Any]:
        """The training values without their origins, as the notebook carries them."""
        found = {name: value.value for name, value in self.values.items()}
        found["family"] = {"losses": []}
        found["overridden"] = [n for n in REPLACEABLE if self.values[n].origin == "overrides"]
        return found

    def template_values(self) -> dict[str, Any]:
        """What the templates of a classification use beside those of every job."""
        return {"dataset_file": "", "model_file": self.model_file, "config": self.config}


def make_classification_plan(
    spec: ClassificationSpec, document: Document, pack: Pack | CarriedPack | None = None
) -> ClassificationPlan:
    """Derive every value. Raises SpecError with all that can't be derived."""
    findings = Findings()
    having = STAGES_AFTER_TRAINING if pack is None else pack.optional
    offered = tuple(stage for stage in having if stage not in STAGES_OF_DETECTION)
    environment, model = _named(findings, document, spec, offered)
    for name, fault in ({} if pack is None else pack.faults(spec.parameters)).items():
        place = f"{document.source}:{document.line(['parameters', name])}"
        findings.error("SP004", f"parameters.{name}: {fault}", place)
    if spec.dataset.expect is None:
        findings.error(
            "PL001",
            "dataset.expect: the counts of the set are missing; batch size, schedule and the "
            "comparison with the mounted data need them; `jobgen init` counts them",
            f"{document.source}:{document.line(['dataset'])}",
        )
    if environment is None or model is None or findings.errors:
        raise faults(findings)
    values = _training(findings, document, spec, model)
    if findings.errors:
        raise faults(findings)
    size = model.size if spec.model.input_size == "auto" else spec.model.input_size
    choice = spec.model.pretrained
    pretrained = {"imagenet": model.weights, "none": ""}.get(choice, choice)
    config = _config(spec, model, values, size)
    _check_overrides(findings, document, spec.overrides, config, ())
    if findings.errors:
        raise faults(findings)
    config = merge_dicts(config, spec.overrides)
    values = _with_overrides(spec, values)
    return ClassificationPlan(
        spec=spec,
        environment=environment,
        model=model,
        values=values,
        config=config,
        input_size=size,
        pretrained=pretrained,
        stages=tuple(stage for stage in offered if stage in spec.stages),
        parameters=spec.parameters if pack is None else pack.with_defaults(spec.parameters),
    )


def _named(
    findings: Findings, document: Document, spec: ClassificationSpec, offered: Sequence[str]
) -> tuple[Environment | None, Classifier | None]:
    """The environment and the classifier that job.yaml names; None for one that is not known."""
    known = environments(CLASSIFICATION)
    environment = known.get(spec.environment)
    if environment is None:
        place = f"{document.source}:{document.line(['environment'])}"
        also = "; PaddleClas is offered in" if spec.environment in environments() else "; there is"
        text = f"environment: {spec.environment!r} is not for classification{also} "
        findings.error("SP002", text + ", ".join(known), place)
    name = classifier_named(spec.model.config)
    model = classifiers().get(name)
    if model is None:
        place = f"{document.source}:{document.line(['model', 'config'])}"
        close = " or ".join(nearest_classifiers(name)[:3])
        text = f"model.config: {spec.model.config!r} is no classifier; there are {close}"
        findings.error("SP002", f"{text} (jobgen models --task classification)", place)
    for number, stage in enumerate(spec.stages):
        if stage not in offered:
            place = f"{document.source}:{document.line(['stages', number])}"
            text = f"stages.{number}: {stage!r} is not known{nearest(stage, list(offered))}"
            findings.error("SP002", text, place)
    return environment, model


def _training(
    findings: Findings, document: Document, spec: ClassificationSpec, model: Classifier
) -> dict[str, Value]:
    assert spec.dataset.expect is not None
    images, train = spec.dataset.expect.train.images, spec.train
    place = f"{document.source}:{document.line(['train', 'batch_size'])}"
    batch, origin = train.batch_size, "job.yaml"
    if batch == "auto":
        batch = fitting_class_batch(images, train.gpus)
        origin = f"rule: 64, and at most a tenth of {images} images a card"
    if batch * train.gpus > images:
        findings.error(
            "PL003",
            f"train.batch_size: {batch} x {train.gpus} card(s) are more than the {images} "
            "training images",
            place,
        )
        return {}
    base_lr = None if train.base_lr == "auto" else train.base_lr
    numbers = class_values(
        images, train.epochs, batch, base_lr, train.gpus, model.base_lr_per_image
    )
    scale = f"rule: {model.base_lr_per_image:g} x {batch} x {train.gpus}; the config's "
    scale += f"{model.base_lr} is for {model.cards} cards of {model.batch_size}"
    origins = {
        "epochs": "job.yaml" if "epochs" in train.model_fields_set else "default",
        "batch_size": origin,
        "base_lr": scale if base_lr is None else "job.yaml",
        "gpus": "job.yaml" if "gpus" in train.model_fields_set else "default",
        "train_images": "dataset.expect",
        "steps_per_epoch": f"{images} images in steps of {batch} x {train.gpus}",
        "warmup_epochs": "rule: 5 epochs, at most a tenth of all",
        "snapshot_epoch": "rule: ten times in a run, at least every ten epochs",
        "log_iter": "rule: five lines an epoch, at least every 20 steps",
        "eval_batch_size": "rule: the training's, from 8 to 64",
    }
    found = {name: Value(numbers[name], why) for name, why in origins.items()}
    found["parameters"] = Value(model.parameters, "catalogue: millions")
    found["worker_num"] = Value(WORKERS, WORKERS_RULE)
    return found


def _with_overrides(spec: ClassificationSpec, values: dict[str, Value]) -> dict[str, Value]:
    """The values with those that overrides set."""
    found = dict(values)
    for name in REPLACEABLE:
        value: Any = spec.overrides
        for key in PATHS[name]:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[name] = Value(value, "overrides")
    return found


def _check_overrides(
    findings: Findings,
    document: Document,
    given: dict[str, Any],
    known: dict[str, Any],
    path: tuple[str, ...],
) -> None:
    """A key that the config does not have changes nothing, and nobody says so."""
    for key, value in given.items():
        here = (*path, key)
        place = f"{document.source}:{document.line(['overrides', *here])}"
        dotted = ".".join(here)
        said = SAID_ELSEWHERE.get(here, "")
        if said:
            text = f"overrides.{dotted} is said by {said}: set that"
            findings.error("CF003", text, place)
        elif key not in known:
            close = nearest(key, list(known))
            findings.error("CF001", f"overrides.{dotted}: there is no such key{close}", place)
        elif isinstance(value, dict) and isinstance(known[key], dict):
            _check_overrides(findings, document, value, known[key], here)
        elif isinstance(known[key], dict):
            findings.error("CF002", f"overrides.{dotted}: keys should stand below it", place)


def _config(
    spec: ClassificationSpec, model: Classifier, values: dict[str, Value], size: int
) -> dict[str, Any]:
    """A config as PaddleClas reads it, whole."""
    home, name = platform().home, spec.name
    moving, still = _steps(spec, size)
    top = [1, min(TOP, len(spec.dataset.classes))]
    lists = f"{home}/datasets/{KEPT_APART}/{name}/classes"
    loss = {"weight": 1.0, **({"epsilon": model.smoothing} if model.smoothing else {})}
    config: dict[str, Any] = {
        "Global": {
            "checkpoints": None,
            "pretrained_model": None,
            "output_dir": f"{home}/output/{name}/checkpoints",
            "device": "gpu",
            "eval_during_train": True,
            "eval_interval": 1,
            "use_visualdl": False,
            "image_shape": [3, size, size],
            "save_inference_dir": f"{home}/output/{name}/inference",
        },
        "AMP": {
            "use_amp": spec.train.amp,
            "scale_loss": 128.0,
            "use_dynamic_loss_scaling": True,
            "level": "O1",
        },
        "Arch": {"name": model.name, "class_num": len(spec.dataset.classes)},
        "Loss": {"Train": [{"CELoss": loss}], "Eval": [{"CELoss": {"weight": 1.0}}]},
        "Optimizer": {
            "name": "Momentum",
            "momentum": classifier_data()["common"]["momentum"],
            "lr": {"name": "Cosine"},
            "regularizer": {"name": "L2", "coeff": model.decay},
        },
        "DataLoader": {
            "Train": _loader(f"{lists}/train.txt", moving, shuffle=True),
            "Eval": _loader(f"{lists}/eval.txt", still, shuffle=False),
        },
        "Infer": {
            "batch_size": 10,
            "transforms": [*still, {"ToCHWImage": None}],
            "PostProcess": {"name": "Topk", "topk": top[-1], "class_id_map_file": None},
        },
        "Metric": {"Train": [{"TopkAcc": {"topk": top}}], "Eval": [{"TopkAcc": {"topk": top}}]},
    }
    for key, path in PATHS.items():
        config = merge_dicts(config, at_path(path, values[key].value))
    workers = values["worker_num"].value
    return merge_dicts(config, {"DataLoader": {"Eval": {"loader": {"num_workers": workers}}}})


def _steps(
    spec: ClassificationSpec, size: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is done to an image in training, and in evaluation."""
    common = classifier_data()["common"]
    short = size * common["resize"][0] // common["resize"][1]
    scale = 0.00392156862745098  # 1 / 255, which PaddleClas's own configs have as text
    normal = {"scale": scale, "mean": common["mean"], "std": common["std"], "order": ""}
    decode: dict[str, Any] = {"DecodeImage": {"to_rgb": True, "channel_first": False}}
    middle = [{"ResizeImage": {"resize_short": short}}, {"CropImage": {"size": size}}]
    flips: list[dict[str, Any]] = [{"RandFlipImage": {"flip_code": 1}}] if spec.augment.flip else []
    crops: list[dict[str, Any]] = [{"RandCropImage": {"size": size}}]
    moving = [decode, *(crops if spec.augment.crop else middle), *flips]
    return [*moving, {"NormalizeImage": normal}], [decode, *middle, {"NormalizeImage": normal}]


def _loader(path: str, steps: list[dict[str, Any]], shuffle: bool) -> dict[str, Any]:
    """A reader of a list that has a tab between image and class: PaddleClas's own delimiter is a
    space, which file names have too. Without shared memory, of which containers have little."""
    return {
        "dataset": {
            "name": "ImageNetDataset",
            "image_root": "",
            "cls_label_path": path,
            "delimiter": "\t",
            "transform_ops": steps,
        },
        "sampler": {"name": "DistributedBatchSampler", "drop_last": False, "shuffle": shuffle},
        "loader": {"use_shared_memory": False},
    }
