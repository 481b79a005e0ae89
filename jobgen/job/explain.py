"""Every value of a job with its origin, and two jobs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.catalog import layer_texts
from jobgen.job.bundle import Bundle
from jobgen.job.classification import ClassificationPlan
from jobgen.job.plan import Plan
from jobgen.job.tasks import AnyPlan
from jobgen.job.values import OVERRIDES, Value
from jobgen.ppconfig import Origin, Resolved, dotted, flat, resolve
from jobgen.yamlio import Document, YamlPath
from jobgen_runtime.data.shrink import shrink_limits

MISSING = "(none)"
# Where a value of the plan stands in job.yaml, if it does.
IN_THE_JOB: dict[str, YamlPath] = {
    "epochs": ("train", "epochs"),
    "batch_size": ("train", "batch_size"),
    "base_lr": ("train", "base_lr"),
    "repeat": ("train", "repeat"),
    "gpus": ("train", "gpus"),
    "train_images": ("dataset", "expect", "train", "images"),
}


@dataclass(frozen=True)
class Explained:
    """A value, and in words where it comes from."""

    name: str
    value: Any
    origin: str


def explain(plan: AnyPlan, document: Document) -> list[Explained]:
    """Every value that matters for the job, the choices first, then what follows from them."""
    if isinstance(plan, ClassificationPlan):
        return _explain_classification(plan, document)
    spec, revision = plan.spec, plan.environment.revision
    found = [
        _chosen(document, "environment", spec.environment, ("environment",)),
        Explained("PaddleDetection", revision.name, f"catalogue: {revision.commit[:12]}"),
        _chosen(document, "model", spec.model.config, ("model", "config")),
        _size(plan, document),
        Explained(
            "num_classes", len(spec.dataset.classes), _line(document, ("dataset", "classes"))
        ),
        _pretrained(plan, document),
    ]
    for name, value in plan.values.items():
        found.append(Explained(name, value.value, _origin(plan, document, name, value)))
    for name, value in plan.augment.items():
        where = _line(document, ("augment", name))
        chosen = "default" if name == "preset" else f"preset {plan.augment['preset']}"
        other = "the pack's" if name in plan.augment_of_pack else chosen
        found.append(Explained(f"augment.{name}", value, where if where != "default" else other))
    found.append(_shrink(plan, document))
    balance = "images of rare classes repeated, at most 5 times; the data stage says how often"
    if plan.spec.train.balance == "auto":
        where = _line(document, ("train", "balance"))
        found.append(Explained("train.balance", "auto", f"{where}: {balance}"))
    if plan.spec.tiles is not None:
        tiles = f"{plan.spec.tiles.size} px, overlap {plan.spec.tiles.overlap:g}"
        found.append(Explained("tiles", tiles, _line(document, ("tiles",))))
    for name, value in plan.parameters.items():
        where = _line(document, ("parameters", name))
        found.append(Explained(f"parameters.{name}", value, where))
    steps = plan.values["steps_per_epoch"].value * plan.values["epochs"].value
    found.append(Explained("steps", steps, "epochs x steps_per_epoch"))
    return found


def _explain_classification(plan: ClassificationPlan, document: Document) -> list[Explained]:
    spec, suite = plan.spec, plan.environment.suite
    revision = plan.environment.revision
    weights, size = ("model", "pretrained"), ("model", "input_size")
    published = "the model's, all of PaddleClas's configs are for it"
    found = [
        _chosen(document, "environment", spec.environment, ("environment",)),
        Explained(suite.title, revision.name, f"catalogue: {revision.commit[:12]}"),
        _chosen(document, "model", plan.model.name, ("model", "config")),
        Explained(
            "input_size",
            plan.input_size,
            published if spec.model.input_size == "auto" else _line(document, size),
        ),
        Explained("class_num", len(spec.dataset.classes), _line(document, ("dataset", "classes"))),
        Explained("pretrained", plan.pretrained or "none", _line(document, weights)),
    ]
    for name, value in plan.values.items():
        path = IN_THE_JOB.get(name)
        where = value.origin
        if path in document.lines and where == "job.yaml":
            where = _line(document, path)
        found.append(Explained(name, value.value, where))
    for name, choice in spec.augment.model_dump().items():
        found.append(Explained(f"augment.{name}", choice, _line(document, ("augment", name))))
    steps = plan.values["steps_per_epoch"].value * plan.values["epochs"].value
    return [*found, Explained("steps", steps, "epochs x steps_per_epoch")]


def _line(document: Document, path: YamlPath) -> str:
    """`job.yaml:12`, or that the default is taken."""
    if path in document.lines:
        return f"{Path(document.source).name}:{document.lines[path]}"
    return "default"


def _chosen(document: Document, name: str, value: Any, path: YamlPath) -> Explained:
    return Explained(name, value, _line(document, path))


def _size(plan: Plan, document: Document) -> Explained:
    own = plan.spec.model.input_size != "auto"
    origin = _line(document, ("model", "input_size")) if own else "the model's"
    return Explained("input_size", plan.input_size, origin)


def _shrink(plan: Plan, document: Document) -> Explained:
    wanted, side = plan.spec.dataset.shrink, plan.family["largest_side"]
    limits = shrink_limits(wanted, side)
    rule = "training reads its pictures at full size"
    if limits is not None:
        rule = f"training reads copies of {limits.to} px on the short side where it is over "
        rule += f"{limits.over} px (its largest input is {side} px)"
    return Explained("dataset.shrink", wanted, f"{_line(document, ('dataset', 'shrink'))}: {rule}")


def _pretrained(plan: Plan, document: Document) -> Explained:
    choice = plan.spec.model.pretrained
    where = _line(document, ("model", "pretrained"))
    return Explained("pretrained", plan.pretrained or MISSING, f"{where}: {choice}")


def _origin(plan: Plan, document: Document, name: str, value: Value) -> str:
    if value.origin == OVERRIDES:
        return _line(document, (OVERRIDES, *plan.family["paths"][name]))
    if value.origin in ("job.yaml", "dataset.expect"):
        return _line(document, IN_THE_JOB[name])
    return value.origin


def job_config(bundle: Bundle, plan: Plan) -> Resolved:
    """The config that training reads, from the bundle's own files over the catalogue's bases."""
    texts = {f"configs/{path}": text for path, text in layer_texts().items()}
    texts[f"configs/datasets/{plan.dataset_file}"] = bundle.files[plan.dataset_file].decode()
    model = f"configs/{plan.model.family.folder}/{plan.model_file}"
    texts[model] = bundle.files[plan.model_file].decode()
    return resolve(Path(model), texts)


def origin_text(origin: Origin | None, bundle: Bundle | None = None) -> str:
    """Where a value was set; a base of the catalogue has no line, since its text is jobgen's."""
    if origin is None:
        return ""
    name = Path(origin.file).name
    if bundle is None or name in bundle.files:
        return str(origin)
    return f"{origin.file} (catalogue)"


@dataclass(frozen=True)
class Difference:
    """A value that two jobs have otherwise; MISSING where one has none."""

    name: str
    first: Any
    second: Any


def differences(first: Any, second: Any) -> list[Difference]:
    """What differs between two resolved configs, value by value."""
    one, other = (
        {dotted(path): value for path, value in flat(config)} for config in (first, second)
    )
    names = list(dict.fromkeys([*one, *other]))
    pairs = ((name, one.get(name, MISSING), other.get(name, MISSING)) for name in names)
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]
