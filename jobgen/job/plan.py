"""The plan: every value a job will use, each with its origin, from job.yaml and the catalogue."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobgen.catalog import (
    Environment,
    Model,
    beginning_so,
    environments,
    full_name,
    inside,
    models,
    platform,
    why_not_offered,
)
from jobgen.findings import Findings
from jobgen.job.model import JobModel
from jobgen.job.overrides import check_overrides
from jobgen.job.values import OVERRIDES, Value, planned_values
from jobgen.packs.render import Pack
from jobgen.spec import PUBLISHED, STAGES_AFTER_TRAINING, JobSpec, faults, nearest
from jobgen.yamlio import Document
from jobgen_runtime.data.archives import KEPT_APART
from jobgen_runtime.train.configure import at_path, merge_dicts
from jobgen_runtime.train.schedule import schedulers

NMS_KEYS = ("score_threshold", "nms_threshold", "nms_top_k", "keep_top_k")


@dataclass(frozen=True)
class Plan:
    """What `build` renders. `config` are the keys the model YAML sets over its bases."""

    spec: JobSpec
    environment: Environment
    model: Model
    values: dict[str, Value]
    config: dict[str, Any]
    dataset_file: str
    model_file: str
    input_size: int
    pretrained: str
    stages: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)
    # Which of `augment` the pack chose.
    augment_of_pack: tuple[str, ...] = ()
    family: dict[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """The bundle's files beside the notebook, each with its template."""
        return {
            self.dataset_file: "config/dataset.yml.j2",
            self.model_file: "config/model.yml.j2",
        }

    @property
    def requirements(self) -> list[dict[str, Any]]:
        """What the install stage sees to, as Environment.needs gives it."""
        onnx = self.spec.export.onnx and "export" in self.stages
        return self.environment.needs(onnx=onnx, int8="compress" in self.stages)

    @property
    def nms(self) -> dict[str, Any]:
        """Non-maximum suppression as training and evaluation have it; empty for a model that needs
        none."""
        merged = merge_dicts(self.model.config(), self.config)
        path = self.model.family.nms
        return {name: inside(merged, path)[name] for name in NMS_KEYS} if path else {}

    def numbers(self) -> dict[str, Any]:
        """The training values without their origins, as the notebook carries them; `overridden`
        names those that stay when a parameter of the run moves the rest."""
        found = {name: value.value for name, value in self.values.items()}
        found["family"] = self.family
        found["overridden"] = [n for n, value in self.values.items() if value.origin == OVERRIDES]
        if inside(self.spec.overrides, ("LearningRate", "schedulers")) is not None:
            found["overridden"].append("schedulers")
        return found

    def template_values(self) -> dict[str, Any]:
        """What the templates of a detection use beside those of every job."""
        return {
            "model_folder": self.model.family.folder,
            "nms": self.nms,
            "dataset_file": self.dataset_file,
            "model_file": self.model_file,
            "bases": self._bases(),
            "config": self.config,
            **self._places(),
        }

    def _bases(self) -> list[str]:
        """The `_BASE_` list as upstream has it, its data set replaced by the job's."""
        folder = self.model.family.folder
        own = (f"datasets/{self.dataset_file}" if path.startswith("datasets/") else path
               for path in self.bases)  # fmt: skip
        return [posixpath.relpath(path, folder) for path in own]

    def _places(self) -> dict[str, Any]:
        """Where the data lies on AI Studio, as the tutorial has it."""
        dataset, name, home = self.spec.dataset, self.spec.name, platform().home
        found: dict[str, Any] = {"dataset_dir": f"{home}/datasets/{dataset.root}".rstrip("/") + "/"}
        for split in ("train", "eval"):
            files = getattr(dataset, split)
            made = f"{home}/datasets/{KEPT_APART}/{name}/coco/{split}.json"
            found[split] = {
                "image_dir": files.images,
                "anno_path": files.annotations if dataset.format == "coco" else made,
            }
        return found


@dataclass(frozen=True)
class CarriedPack:
    """What a bundle says of the pack it was made of: enough to make its plan again."""

    optional: tuple[str, ...]
    augment: dict[str, Any]
    parameters: dict[str, Any]

    def faults(self, _given: dict[str, Any]) -> dict[str, str]:
        return {}

    def with_defaults(self, given: dict[str, Any]) -> dict[str, Any]:
        return {**self.parameters, **given}


def carried(facts: Any) -> CarriedPack | None:
    """The pack of a notebook's metadata; None where it says none."""
    if not isinstance(facts, dict):
        return None
    optional, augment = facts.get("optional"), facts.get("augment")
    parameters = facts.get("parameters")
    if not (isinstance(optional, list) and isinstance(augment, dict)):
        return None
    names = tuple(name for name in optional if isinstance(name, str))
    return CarriedPack(names, augment, parameters if isinstance(parameters, dict) else {})


def make_plan(spec: JobSpec, document: Document, pack: Pack | CarriedPack | None = None) -> Plan:
    """Derive every value; `pack` says which stages and parameters there are, where it is another
    than the built-in one. Raises SpecError with all that can't be derived."""
    findings = Findings()
    environment, model = _named(findings, document, spec)
    offered = STAGES_AFTER_TRAINING if pack is None else pack.optional
    _check_stages(findings, document, spec, offered, environment)
    if model is not None:
        check_overrides(findings, document, spec.overrides, model.config(), ("overrides",))
    if spec.dataset.expect is None:
        findings.error(
            "PL001",
            "dataset.expect: the counts of the set are missing; batch size, warm-up and the "
            "comparison with the mounted data need them; `jobgen init` counts them",
            f"{document.source}:{document.line(['dataset'])}",
        )
    for name, fault in ({} if pack is None else pack.faults(spec.parameters)).items():
        place = f"{document.source}:{document.line(['parameters', name])}"
        findings.error("SP004", f"parameters.{name}: {fault}", place)
    if model is None or environment is None:
        raise faults(findings)
    _check_model(findings, document, spec, model, environment)
    job_model = JobModel.of(spec, model, pack.augment if pack else {})
    _check_shrink(findings, document, spec, job_model)
    values = planned_values(findings, document, spec, job_model) if spec.dataset.expect else {}
    if findings.errors:
        raise faults(findings)
    _refuse_two_lists(findings, document, spec, job_model.augment)
    pretrained = _pretrained(spec, model)
    return Plan(
        spec=spec,
        environment=environment,
        model=model,
        values=values,
        config=_config(spec, job_model, values, pretrained),
        dataset_file=f"coco_detection_{spec.name}.yml",
        model_file=f"{model.name.replace('coco', spec.name, 1)}.yml",
        input_size=job_model.size,
        pretrained=pretrained,
        stages=tuple(stage for stage in offered if stage in spec.stages),
        parameters=spec.parameters if pack is None else pack.with_defaults(spec.parameters),
        augment=job_model.augment,
        augment_of_pack=job_model.of_pack,
        family=job_model.carried(),
        bases=job_model.bases,
    )


def _named(
    findings: Findings, document: Document, spec: JobSpec
) -> tuple[Environment | None, Model | None]:
    """The environment and the model that job.yaml names; None for one that is not known."""
    environment = environments().get(spec.environment)
    if environment is None:
        _unknown(findings, document, ["environment"], spec.environment, sorted(environments()))
    word = spec.model.config
    model = models().get(full_name(word))
    if model is None:
        known = beginning_so(word) or sorted(models())
        _unknown(findings, document, ["model", "config"], word, known, why_not_offered(word))
    return environment, model


def _check_model(
    findings: Findings, document: Document, spec: JobSpec, model: Model, environment: Environment
) -> None:
    """See that the environment's PaddleDetection has the model, and the weights that are asked
    for are published."""
    revisions, own = model.family.revisions, environment.revision.name
    if revisions and own not in revisions:
        having = [e.name for e in environments().values() if e.revision.name in revisions]
        findings.error(
            "PL009",
            f"model.config: PaddleDetection {own} of {environment.name} does not have "
            f"{model.name}; environment: {' or '.join(having)} does",
            f"{document.source}:{document.line(['model', 'config'])}",
        )
    choice = spec.model.pretrained
    if choice in PUBLISHED and choice not in model.weights:
        offered = " or ".join([*model.weights, "none"])
        findings.error(
            "PL010",
            f"model.pretrained: upstream has no {choice} weights of {model.name}; it has {offered}",
            f"{document.source}:{document.line(['model', 'pretrained'])}",
        )


def _check_shrink(
    findings: Findings, document: Document, spec: JobSpec, job_model: JobModel
) -> None:
    """See that copies of pictures are no smaller than what training makes of them."""
    wanted, side = spec.dataset.shrink, job_model.carried()["largest_side"]
    if isinstance(wanted, int) and wanted < side:
        findings.error(
            "PL011",
            f"dataset.shrink: copies of {wanted} px are smaller than the largest input of "
            f"training, {side} px; {side} is the least",
            f"{document.source}:{document.line(['dataset', 'shrink'])}",
        )


def _check_stages(
    findings: Findings,
    document: Document,
    spec: JobSpec,
    offered: Sequence[str],
    environment: Environment | None,
) -> None:
    for number, stage in enumerate(spec.stages):
        if stage not in offered:
            _unknown(findings, document, ["stages", number], stage, offered)
    if "compress" in spec.stages and (
        "export" not in spec.stages or not spec.export.onnx or spec.export.nms
    ):
        findings.error(
            "SP003",
            "stages: compress makes 8 bits of ONNX without NMS; beside it are needed the stage "
            "export and `export: {onnx: true, nms: false}`",
            f"{document.source}:{document.line(['stages'])}",
        )
    if (
        environment is not None
        and spec.export.format == "json"
        and int(environment.paddle.split(".")[0]) < 3
    ):
        findings.error(
            "SP003",
            f"export.format: Paddle {environment.paddle} writes model.pdmodel only",
            f"{document.source}:{document.line(['export', 'format'])}",
        )


def _refuse_two_lists(
    findings: Findings, document: Document, spec: JobSpec, augment: dict[str, Any]
) -> None:
    """`augment` and `overrides` may not both say what the reader's lists are."""
    reader = spec.overrides.get("TrainReader") if augment else None
    for key in ("sample_transforms", "batch_transforms"):
        if isinstance(reader, dict) and key in reader:
            place = f"{document.source}:{document.line(['overrides', 'TrainReader', key])}"
            text = f"overrides.TrainReader.{key} is not for overrides beside augment: set augment"
            findings.error("CF003", text, place)
    if findings.errors:
        raise faults(findings)


def _unknown(
    findings: Findings,
    document: Document,
    path: list[str | int],
    word: str,
    known: Sequence[str],
    why: str = "",
) -> None:
    dotted = ".".join(str(part) for part in path)
    place = f"{document.source}:{document.line(path)}"
    begins = len(known) > 1 and all(name.startswith(word.lower()) for name in known)
    others = f"; there are {', '.join(known)}" if begins else nearest(word, list(known))
    text = f"{dotted}: {word!r} is not known{f'; {why}' if why else others}"
    findings.error("SP002", text, place)


def _pretrained(spec: JobSpec, model: Model) -> str:
    choice = spec.model.pretrained
    return {**model.weights, "none": ""}.get(choice, choice)


def _config(
    spec: JobSpec, job_model: JobModel, values: dict[str, Value], pretrained: str
) -> dict[str, Any]:
    number = {name: value.value for name, value in values.items()}
    output = f"{platform().home}/output/{spec.name}"
    schedule = schedulers(job_model.carried(), number["epochs"], number["warmup_steps"])
    ours: dict[str, Any] = {
        "pretrain_weights": pretrained or None,
        "weights": f"{output}/weights/best_model",
        "save_dir": f"{output}/checkpoints",
        "LearningRate": {"schedulers": schedule},
    }
    for name, path in job_model.paths.items():
        if name != "repeat" or number["repeat"] > 1:
            ours = merge_dicts(ours, at_path(path, number[name]))
    return merge_dicts(merge_dicts(job_model.own, ours), spec.overrides)
