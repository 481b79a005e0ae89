"""All that can be checked of what somebody names: a job, an upload, a data set, this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobgen.check.rules import Rule, in_order
from jobgen.datasets.contents import Progress, silent
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
) -> Checked:
    """What the rules find in `target` (None: the machine alone) and in the data of a job.

    Raises ValueError for arguments that don't go together, DatasetError and BundleError where
    there is nothing of the kind.
    """
    parts: list[str] = []
    plan: Plan | None = None
    findings = Findings()
    of_job = target is not None and is_job(target)
    if not of_job and archives:
        raise ValueError("--archive goes with a job; a data set is given alone")
    if measured and not of_job:
        raise ValueError("--measured goes with a job")
    classes = target is not None and _is_classification(target, of_job)
    if target is not None and classes:
        checked = _check_classification(target, chosen, archives, of_job, deep, progress)
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
        found = check_dataset(paths, chosen, plan, pick, deep, progress)
        findings = Findings([*findings, *found])
    return Checked(in_order(findings), parts)


def _check_classification(
    target: Path,
    chosen: Sequence[Rule],
    archives: Sequence[Path],
    of_job: bool,
    deep: bool,
    progress: Progress,
) -> Checked:
    """A classification's job, its upload or its set."""
    from jobgen.check.classes import check_class_plan, check_classes, plan_of_target

    if not of_job:
        return Checked(check_classes([target], chosen, None, deep, progress), ["data set"])
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
    from jobgen.errors import JobgenError
    from jobgen.job.bundle import read_facts
    from jobgen.yamlio import load_file

    try:
        if target.is_dir():
            found = read_facts(target).get("spec", {})
        else:
            found = load_file(target).value
    except (JobgenError, OSError):
        return ""
    return str(found.get("task", "")) if isinstance(found, dict) else ""


def _is_classification(target: Path, of_job: bool) -> bool:
    """Whether a job says so, or a data set has no boxes and is one of classes."""
    if of_job:
        return task_of(target) == CLASSES_TASK
    from jobgen.datasets.classes import find_class_set
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.look import candidates
    from jobgen.errors import DatasetError

    try:
        files = open_contents(target)
        return not candidates(files) and find_class_set(files) is not None
    except DatasetError:
        return False


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
