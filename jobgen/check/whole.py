"""All that can be checked of what somebody names: a job, an upload, a data set, this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobgen.check.rules import Rule, in_order
from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.findings import Findings
from jobgen.job.plan import Plan

CLASSES_TASK = "classification"
# What the YAML of a training has in it.
TRAINING_KEYS = (b"TrainDataset", b"architecture", b"_BASE_", b"TrainReader", b"Arch:")


@dataclass(frozen=True)
class Checked:
    """What was found, errors first, and what was looked at: machine, job, data set."""

    findings: Findings
    parts: list[str]
    # Of a detection's job.
    plan: Plan | None = None


def check_whole(
    target: Path | None,
    chosen: Sequence[Rule],
    archives: Sequence[Path] = (),
    *,
    pick: int | None = None,
    deep: bool = False,
    measured: Path | None = None,
    machine: bool = False,
    progress: Progress = silent,
    columns: Mapping[str, str] | None = None,
) -> Checked:
    """What the rules find in `target` (None: the machine alone) and in the data of a job.

    Raises ValueError for arguments that don't go together, DatasetError and BundleError where
    there is nothing of the kind.
    """
    parts: list[str] = []
    plan: Plan | None = None
    findings = Findings()
    of_job = target is not None and is_job(target)
    if not of_job:
        _refuse_options_of_jobs(archives, measured)
    files = _opened(target, columns) if target is not None and not of_job else None
    classes = task_of(target) == CLASSES_TASK if target and of_job else _has_classes(files)
    if target is not None and classes:
        checked = _check_classification(target, chosen, archives, files, deep, progress)
        findings, parts = checked.findings, checked.parts
    elif target is not None and of_job:
        from jobgen.check.job import check_job

        parts.append("job")
        plan, found = check_job(target, chosen, archives, measured)
        findings = Findings([*findings, *found])
    if machine:
        from jobgen.check.machine import check_machine
        from jobgen.settings import load_settings

        parts.insert(0, "machine")
        findings = Findings([*findings, *check_machine(load_settings(), list(chosen), plan)])
    # A job.yaml with errors says of no data set where it lies; an upload made by hand need not.
    placed = plan is not None or (target is not None and target.is_dir())
    if target is not None and not classes and (not of_job or (archives and placed)):
        from jobgen.check.dataset import check_dataset

        parts.append("data set")
        paths = list(archives) if of_job else [target]
        found = check_dataset(paths, chosen, plan, pick, deep, progress, files)
        findings = Findings([*findings, *found])
    return Checked(in_order(findings), parts, plan)


def _refuse_options_of_jobs(archives: Sequence[Path], measured: Path | None) -> None:
    if archives:
        raise ValueError("--archive goes with a job; a data set is given alone")
    if measured:
        raise ValueError("--measured goes with a job")


def _check_classification(
    target: Path,
    chosen: Sequence[Rule],
    archives: Sequence[Path],
    files: Contents | None,
    deep: bool,
    progress: Progress,
) -> Checked:
    """A classification's job or upload, or the set whose `files` are open."""
    from jobgen.check.classes import check_class_plan, check_classes, plan_of_target

    if files is not None:
        found = check_classes([target], chosen, None, deep, progress, files)
        return Checked(in_order(found), ["data set"])
    plan, found = plan_of_target(target)
    if plan is None:
        return Checked(found, ["job"])
    found = Findings([*found, *check_class_plan(plan, chosen)])
    parts = ["job"]
    if archives:
        wanted = len(plan.spec.dataset.sources)
        if wanted != len(archives):
            raise ValueError(f"the job has {wanted} source(s): give --archive for each, in order")
        parts.append("data set")
        found = Findings([*found, *check_classes(archives, chosen, plan, deep, progress)])
    return Checked(in_order(found), parts)


def task_of(target: Path) -> str:
    """The task of a job.yaml or of an upload that jobgen built; empty where it says none."""
    from jobgen.job.bundle import read_facts

    if target.is_dir():
        spec = read_facts(target).get("spec", {})
        return str(spec.get("task", "")) if isinstance(spec, dict) else ""
    try:
        text = target.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The whole of it is read, and judged, by the rules.
    found = re.search(r"^[\"']?task[\"']?\s*:\s*[\"']?(\w+)", text, re.MULTILINE)
    return found[1] if found else ""


def _opened(target: Path, columns: Mapping[str, str] | None) -> Contents | None:
    """The files of a data set; None where they can't be read, which its rules tell."""
    from jobgen.datasets.contents import open_contents
    from jobgen.errors import DatasetError

    try:
        return open_contents(target, columns)
    except DatasetError:
        return None


def _has_classes(files: Contents | None) -> bool:
    """Whether a data set has no boxes, and is one of classes."""
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.look import candidates

    return files is not None and not candidates(files) and find_class_set(files) is not None


def is_job(target: Path) -> bool:
    """A job.yaml, or an upload folder; anything else is a data set."""
    if target.is_dir():
        return any(target.glob("*.ipynb")) and not _is_data_set(target)
    return target.suffix.lower() in (".yaml", ".yml")


def _is_data_set(folder: Path) -> bool:
    """A folder with a data set in it and no YAML of a training, whatever notebook lies there."""
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.look import candidates
    from jobgen.errors import DatasetError

    for path in (*folder.glob("*.yml"), *folder.glob("*.yaml")):
        if any(key in path.read_bytes()[: 1 << 20] for key in TRAINING_KEYS):
            return False
    try:
        return bool(candidates(open_contents(folder)))
    except DatasetError:
        return False
