"""The rules of classification sets, and of their jobs: a small function each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from jobgen.check.rules import CLASSES, Rule, chosen_rules, in_order, run_rules
from jobgen.datasets.classes import ClassSet, ClassSplit, class_set_of_job, find_class_set
from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.headers import Header, known_headers
from jobgen.datasets.sources import open_sources
from jobgen.errors import DatasetError, SpecError
from jobgen.files import sha256, shown
from jobgen.findings import Finding, Findings, Severity
from jobgen.job.bundle import read_bundle
from jobgen.job.classification import ClassificationPlan
from jobgen.job.plan import CarriedPack, carried
from jobgen.job.tasks import plan_any
from jobgen.packs.render import Pack, load_job_pack
from jobgen.spec import load_any, parse_any
from jobgen.yamlio import load


@dataclass(frozen=True, eq=False)
class ClassFacts:
    """A classification set, the plan of its job where there is one, and what reading it tells.
    `refused` says why it could not be read at all; then there is no `data`."""

    files: Contents
    data: ClassSet | None
    plan: ClassificationPlan | None = None
    deep: bool = False
    refused: str = ""
    progress: Progress = field(default=silent)

    @property
    def splits(self) -> list[ClassSplit]:
        return list(self.data) if self.data else []

    @property
    def classes(self) -> list[str]:
        return self.data.classes if self.data else []

    @cached_property
    def paths(self) -> list[str]:
        """The images of all splits that are there, each once."""
        named = (split.path(row) for split in self.splits for row in split.rows)
        return [path for path in dict.fromkeys(named) if path in self.files.sizes]

    @cached_property
    def headers(self) -> dict[str, Header | str]:
        """The header of each image, or what is wrong with it."""
        return known_headers(self.files, self.paths, self.progress)

    @cached_property
    def same(self) -> list[list[str]]:
        """Images with the same bytes, grouped."""
        by_size: dict[int, list[str]] = {}
        for path in self.paths:
            by_size.setdefault(self.files.sizes[path], []).append(path)
        alike = [path for paths in by_size.values() if len(paths) > 1 for path in paths]
        by_content: dict[str, list[str]] = {}
        for path, digest in self.files.each(alike, lambda name: sha256(self.files.read(name))):
            by_content.setdefault(digest, []).append(path)
        return [paths for paths in by_content.values() if len(paths) > 1]


def class_facts(
    paths: Sequence[Path],
    plan: ClassificationPlan | None = None,
    deep: bool = False,
    progress: Progress = silent,
    files: Contents | None = None,
) -> ClassFacts:
    """What there is to say of a set, as the job of `plan` or as it lies there."""
    into = [source.into for source in plan.spec.dataset.sources] if plan else []
    try:
        files = files or open_sources(paths, into)
        files.progress = progress
    except DatasetError as error:
        return ClassFacts(Contents(paths[0].name), None, plan, deep, error.message, progress)
    try:
        of_job = class_set_of_job(files, plan.spec.dataset.model_dump()) if plan else None
    except DatasetError as error:
        return ClassFacts(files, None, plan, deep, error.message, progress)
    data = of_job or find_class_set(files)
    return ClassFacts(files, data, plan, deep, "", progress)


def check_classes(
    paths: Sequence[Path],
    chosen: Sequence[Rule],
    plan: ClassificationPlan | None = None,
    deep: bool = False,
    progress: Progress = silent,
    files: Contents | None = None,
) -> Findings:
    """What the rules find in a classification set. Raises DatasetError for a path without data."""
    for path in paths:
        if not path.exists():
            raise DatasetError(f"{path} is not there")
    facts = class_facts(paths, plan, deep, progress, files)
    found = in_order(run_rules(chosen, facts, (), "classes"))
    source = shown(paths[0]) if len(paths) == 1 else "SRC"
    return Findings(replace(f, hint=f.hint.replace("SRC", source)) for f in found)


def check_class_plan(plan: ClassificationPlan, chosen: Sequence[Rule] | None = None) -> Findings:
    """What the rules find in a plan, without its data."""
    rules = chosen_rules(family=CLASSES) if chosen is None else chosen
    return in_order(run_rules(rules, plan, (), "plan"))


def plan_of_target(target: Path) -> tuple[ClassificationPlan | None, Findings]:
    """The plan of a job.yaml or of an upload, and what is wrong with it; None for no plan."""
    try:
        if not target.is_dir():
            spec, document = load_any(target)
            pack: Pack | CarriedPack | None = load_job_pack(spec.template, target.parent)
        else:
            bundle = read_bundle(target)
            text = json.dumps(bundle.facts["spec"], ensure_ascii=False)
            spec, document = parse_any(load(text, str(target)))
            pack = carried(bundle.facts.get("pack"))
        plan = plan_any(spec, document, pack)
    except SpecError as error:
        return None, Findings(error.findings or [_as_finding(error)])
    assert isinstance(plan, ClassificationPlan)
    return plan, Findings()


def _as_finding(error: SpecError) -> Finding:
    return Finding("SP001", Severity.ERROR, error.message, "", error.hint or "")
