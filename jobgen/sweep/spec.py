"""sweep.yaml: what of a job is tried, by what it is judged, and how much it may take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from jobgen.errors import RunError, SpecError
from jobgen.files import sha256
from jobgen.job.changed import changed_job
from jobgen.spec import AnySpec, findings_of, load_any
from jobgen.spec_types import Part
from jobgen.yamlio import Document, load_file

SEED = "seed"
# Beyond this a grid is no search that anybody waits for.
MOST_TRIALS = 5000
# What of a job is no value of a training.
NEVER = ("name", "task", "language")
# What a trial may be judged by, and whether more of it is better.
OBJECTIVES = {
    **dict.fromkeys(("mAP50", "mAP", "mAP75", "top1", "top5"), True),
    **dict.fromkeys(("mAP_small", "mAP_medium", "mAP_large"), True),
    **dict.fromkeys(("parameters", "latency_ms", "train_seconds"), False),
}
# Of each task, beside what is no figure of its evaluation.
CLASSIFIED = ("top1", "top5")
# Optuna's samplers take no larger one; each worker adds its number.
LARGEST_SEED = 2**31
# What training measures while it goes on, by which a trial can be ended early.
STREAMED = ("mAP50", "mAP", "top1")
Objective = Literal[
    "mAP50", "mAP", "mAP75", "top1", "top5", "mAP_small", "mAP_medium", "mAP_large", "parameters",
    "latency_ms", "train_seconds",
]  # fmt: skip
# What a model costs, of which there may be a bound.
Cost = Literal["parameters", "latency_ms", "train_seconds"]
COSTS: tuple[str, ...] = get_args(Cost)


class Range(Part):
    """Numbers from `from` to `to`, both among them; of whole numbers where both are whole."""

    low: int | float = Field(alias="from")
    high: int | float = Field(alias="to")
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError("from has to be below to")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range begins above 0")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> list[int | float]:
        """Both ends, and of whole numbers one more: what has to be a multiple of 32 can't be tried
        by a range."""
        inner = [self.low + 1] if self.whole and self.high > self.low + 1 else []
        return [self.low, *inner, self.high]

    def rounded(self, value: float) -> float:
        """A number as a person would write it, so that equal values are equal, where that is still
        between the ends."""
        short = float(f"{value:.4g}")
        return short if self.low <= short <= self.high else float(value)


def _are_seeds(choices: Range | list[Any]) -> bool:
    if isinstance(choices, Range):
        return choices.whole and choices.low >= 0
    return all(isinstance(each, int) and not isinstance(each, bool) and each >= 0
               for each in choices)  # fmt: skip


def _form_of(choices: Any) -> str:
    return "range[]" if isinstance(choices, (dict, Range)) else "list[]"


# One of the two, so that what is wrong with a range is not said of a list as well.
Choices = Annotated[
    Annotated[Range, Tag("range[]")] | Annotated[list[Any], Tag("list[]")], Discriminator(_form_of)
]


def _is_plain(value: Any) -> bool:
    """Whether a value is one that YAML has words for, without tags."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    return value is None or type(value) in (str, int, float, bool)


def _fault_of(path: str, choices: Range | list[Any]) -> str:
    """What is wrong with the values of a path; empty where nothing is."""
    if path.split(".")[0] in NEVER:
        return "makes no other training"
    if path == SEED and not _are_seeds(choices):
        return "whole numbers from 0"
    if isinstance(choices, Range):
        return ""
    if len(choices) < 2:
        return "has fewer than two values"
    if not all(_is_plain(each) for each in choices):
        return "has a value that is neither number, text, list nor keys"
    # 1, 1.0 and true are one value to a study.
    if any(one == other for one, other in itertools.combinations(choices[:100], 2)):
        return "has a value twice"
    return ""


class SweepSpec(Part):
    """What stands in sweep.yaml (docs/sweeps.md)."""

    job: str = "job.yaml"
    search: dict[str, Choices]
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    objective: list[Objective] = Field(default=["mAP50"])
    at_most: dict[Cost, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    trials: int | None = Field(default=None, ge=1, le=MOST_TRIALS)
    hours: float | None = Field(default=None, gt=0)
    prune: Literal["none", "median", "hyperband"] = "none"
    confirm: int = Field(default=0, ge=0, le=20)

    @field_validator("objective", mode="before")
    @classmethod
    def _one_or_two(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def faults(self) -> Iterator[tuple[str, str]]:
        """What can't be meant though each key may have its value: (key, why)."""
        if not self.search:
            yield "search", "there is nothing to try"
        for path, choices in self.search.items():
            fault = _fault_of(path, choices)
            if fault:
                yield f"search.{path}", fault
            above = [other for other in self.search if path.startswith(f"{other}.")]
            if above:
                yield f"search.{path}", f"lies inside {above[0]}, which is tried too"
        if self.sampler == "grid":
            ranges = [path for path, choices in self.search.items() if isinstance(choices, Range)]
            if ranges:
                yield "sampler", f"a grid needs values, and {ranges[0]} is a range"
        elif self.trials is None:
            yield "trials", "say how many"
        if self.count > MOST_TRIALS:
            yield "search", f"{self.count:,} trials; at most {MOST_TRIALS:,} can be meant"
        yield from self._faults_of_objectives()

    def _faults_of_objectives(self) -> Iterator[tuple[str, str]]:
        if len(self.objectives) not in (1, 2) or len(set(self.objectives)) < len(self.objectives):
            yield "objective", "one, or two that differ"
        elif self.prune != "none" and self.objectives[0] not in STREAMED:
            yield "prune", f"training measures {', '.join(STREAMED)} only"
        elif self.prune != "none" and len(self.objectives) > 1:
            yield "prune", "no trial is ended early where there are two objectives"
        elif self.confirm and len(self.objectives) > 1:
            yield "confirm", "nothing is the best to run again where there are two objectives"

    @property
    def objectives(self) -> list[str]:
        return [str(name) for name in self.objective]

    @property
    def costs(self) -> list[str]:
        """What a model costs, of all that trials are judged by or bounded in."""
        return list(dict.fromkeys([*self.at_most, *(n for n in self.objectives if n in COSTS)]))

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of the values, in order."""
        lists = [choices for choices in self.search.values() if isinstance(choices, list)]
        for row in itertools.product(*lists):
            yield dict(zip(self.search, row, strict=True))

    @property
    def count(self) -> int:
        """How many trials there will be, before those that confirm the best."""
        if self.sampler != "grid":
            return self.trials or 0
        whole = 1
        for choices in self.search.values():
            whole *= len(choices) if isinstance(choices, list) else 1
        return min(whole, self.trials or whole)


@dataclass(frozen=True)
class Sweep:
    """A sweep.yaml that was read, with the job that it is about. `folder` is where its study, its
    trials and their runs lie; `parameters` are what all trials are told beside their values."""

    path: Path
    spec: SweepSpec
    job_path: Path
    job: AnySpec
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")

    @property
    def name(self) -> str:
        return f"{self.job.name}-{self.path.stem}"

    @cached_property
    def identity(self) -> str:
        """What trials of two calls must have in common to be compared with one another."""
        compared = {"search", "objective", "sampler", "seed", "prune"}
        told = repr(sorted(self.parameters)) if self.parameters else ""
        return sha256((self.spec.model_dump_json(include=compared)
                       + self.job.model_dump_json() + told).encode())[:16]  # fmt: skip

    def text_of(self, params: dict[str, Any]) -> str:
        """The job.yaml of a trial, named after its values. Raises SpecError for a path that a job
        does not have."""
        changes = {path: value for path, value in params.items() if path != SEED}
        return changed_job(self.job, self.name_of(params), changes)

    def name_of(self, params: dict[str, Any]) -> str:
        """A trial's name: the same for the same values, whatever the seed."""
        values = sorted((path, repr(value)) for path, value in params.items() if path != SEED)
        return f"{self.job.name[:28]}-{sha256(repr(values).encode())[:8]}"

    def corners(self) -> Iterator[dict[str, Any]]:
        """The job with each end of each range, what follows its lower end, and each value, alone:
        what has to build."""
        for path, choices in self.spec.search.items():
            for value in choices if isinstance(choices, list) else choices.ends():
                yield {path: value}


def told(sweep: Sweep, parameters: Any) -> Sweep:
    """The sweep with the parameters that its trials were begun with, as its study keeps them."""
    rows = parameters if isinstance(parameters, list) else []
    return replace(sweep, parameters=tuple((str(name), str(value)) for name, value in rows))


def need_same(sweep: Sweep, identity: str | None) -> None:
    """Raise RunError where a study was begun by another sweep than this."""
    if identity not in (None, sweep.identity):
        raise RunError(
            f"the study {sweep.name} was begun with another sweep.yaml, job.yaml or -p",
            "Its trials can't be compared with new ones: give the changed sweep.yaml another name.",
        )


def load_sweep(path: Path, parameters: Sequence[tuple[str, str]] = ()) -> Sweep:
    """Read a sweep.yaml and its job. Raises SpecError with every fault."""
    if any(name == "SEED" for name, _ in parameters):
        raise SpecError("-p SEED is each trial's own", "To try seeds: search: {seed: [1, 2, 3]}")
    if path.is_dir():
        path = path / "sweep.yaml"
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError(f"{path} has to be named *.yaml: its study lies in a folder of its name")
    try:
        document: Document = load_file(path)
    except OSError as error:
        raise SpecError(
            f"{path}: {error.strerror}", "docs/sweeps.md has one to begin with."
        ) from error
    if not isinstance(document.value, dict):
        raise SpecError(f"{path}:1: a sweep has keys: search, objective, trials")
    try:
        spec = SweepSpec.model_validate(document.value)
    except ValidationError as error:
        raise findings_of(document, error, SweepSpec) from error
    job_path = path.parent / spec.job
    job = load_any(job_path)[0]
    if job.task == "classification" and "objective" not in document.value:
        spec = spec.model_copy(update={"objective": [CLASSIFIED[0]]})
    refuse_faults(document, spec, parameters)
    need_measured(document, spec, job)
    return Sweep(path, spec, job_path, job, tuple(parameters))


def refuse_faults(
    document: Document, spec: SweepSpec, parameters: Sequence[tuple[str, str]]
) -> None:
    """Raise SpecError with all that sweep.yaml can't mean, and with what would be told to every
    trial in place of its own value."""
    found = [
        f"{document.source}:{document.line([key.partition('.')[0], *key.split('.', 1)[1:]])}: "
        f"{key}: {fault}"
        for key, fault in spec.faults()
    ]
    if found:
        raise SpecError("\n".join(found))
    for name, _ in parameters:
        if name == "SMOKE":
            raise SpecError(
                "-p SMOKE: a smoke run measures nothing that could be compared",
                "Leave it out; --dry-run checks every value.",
            )
        paths = [path for path in spec.search if path.split(".")[-1].upper() == name]
        if paths:
            raise SpecError(
                f"-p {name} would be every trial's, in place of what {document.source} tries",
                f"Leave it out, or take {paths[0]} out of search.",
            )


def need_measured(document: Document, spec: SweepSpec, job: AnySpec) -> None:
    """Raise SpecError for an objective that a job's evaluation does not give, or a latency that its
    export does not measure."""
    for name in spec.objectives:
        if OBJECTIVES[name] and (name in CLASSIFIED) != (job.task == "classification"):
            known = (
                CLASSIFIED
                if job.task == "classification"
                else (name for name in OBJECTIVES if OBJECTIVES[name] and name not in CLASSIFIED)
            )
            place = f"{document.source}:{document.line(['objective'])}"
            raise SpecError(
                f"{place}: objective: a {job.task} is not measured by {name}",
                f"The objective can be one of {', '.join([*known, *COSTS])}.",
            )
    if "latency_ms" in spec.costs and not (job.export.onnx and "export" in job.stages):
        key = "at_most" if "latency_ms" in spec.at_most else "objective"
        raise SpecError(
            f"{document.source}:{document.line([key])}: {key}: latency_ms is measured of the "
            "exported ONNX model, and the job exports none",
            f"In {spec.job}: export among the stages, and export: {{onnx: true}}",
        )
