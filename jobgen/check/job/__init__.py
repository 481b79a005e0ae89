"""The rules of jobs and their files: a small function each, found by its decorator."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jobgen.check.rules import JOB, Rule, chosen_rules, in_order, run_rules
from jobgen.check.upload import JobFacts, facts_of
from jobgen.errors import MALFORMED, DatasetError, RunError
from jobgen.files import shown
from jobgen.findings import Findings
from jobgen.job.bundle import Bundle
from jobgen.job.plan import Plan
from jobgen.resultfile import read_result
from jobgen.target import job_of

# The rules that look at one config, and at the data it names.
CONFIG_CODES = ("CF", "HM016")


def check_job(
    target: Path,
    chosen: Sequence[Rule],
    archives: Sequence[Path] = (),
    measured: Path | None = None,
) -> tuple[Plan | None, Findings]:
    """What the rules find in a job.yaml or an upload folder, and its plan where there is one.

    Of the archives only counts are taken here; their content is the data set's rules'. `measured`
    is the output folder of a run, whose speed tells how long the job takes. Raises ValueError
    where the number of archives is not that of the job's sources.
    """
    facts = facts_of(target)
    if archives and facts.plan is not None:
        wanted = len(facts.plan.spec.dataset.sources)
        if wanted != len(archives):
            raise ValueError(f"the job has {wanted} source(s): give --archive for each, in order")
    if archives:
        facts = _with_data(facts, archives)
    if measured is not None:
        facts = replace(facts, images_per_second=measured_speed(measured))
    job = job_of(target)
    named = shown(job) if job.is_file() else "bundles/NAME/job.yaml"
    return facts.plan, job_findings(facts, chosen, named)


def measured_speed(output: Path) -> float | None:
    """Images a second of a run's training on a GPU, the median of its log, over all cards.

    None for a run on a CPU, which says nothing of AI Studio's machines. Raises RunError where
    `output` is no output folder of a run that has trained.
    """
    result = read_result(output)
    try:
        if not result:
            raise ValueError("result.json is missing or damaged")
        with (output / "metrics.csv").open(encoding="utf-8", newline="") as stream:
            speeds = [float(row["ips"]) for row in csv.DictReader(stream) if row.get("ips")]
    except MALFORMED as error:
        raise RunError(
            f"{output} is no output of a run that has trained: {error}",
            "Give the folder with result.json and metrics.csv, such as runs/X/home/output/NAME.",
        ) from error
    if result.get("device") != "gpu" or not speeds:
        return None
    cards = int(result.get("plan", {}).get("gpus") or 1)
    return statistics.median(speeds) * cards


def check_rendered(job: Path, plan: Plan, bundle: Bundle) -> Findings:
    """What the rules find in a bundle that was rendered of `job` just now."""
    facts = JobFacts(str(job), bundle.files, plan, fresh=True)
    return job_findings(facts, chosen_rules(family=JOB), shown(job))


def job_findings(facts: JobFacts, chosen: Sequence[Rule], target: str = "JOB") -> Findings:
    """What the rules find in the facts of a job."""
    found = run_rules(chosen, facts, (), "job")
    for which in range(1, len(facts.trainings)):
        other = replace(facts, which=which)
        configs = [rule for rule in chosen if rule.code.startswith(CONFIG_CODES)]
        for finding in run_rules(configs, other, (), "job"):
            if finding not in found:
                found.add(finding)
    found = in_order(found)
    return Findings(replace(f, hint=f.hint.replace("JOB", target)) for f in found)


def _with_data(facts: JobFacts, archives: Sequence[Path]) -> JobFacts:
    """The facts with what the archives hold; for an upload made by hand its data set too."""
    from jobgen.datasets.look import candidates, read_layout
    from jobgen.datasets.sources import open_sources

    try:
        names = {path.name: frozenset(open_sources([path]).names) for path in archives}
        files = open_sources(archives)
        found = candidates(files) if facts.plan is None else []
        data = read_layout(files, found[0]) if len(found) == 1 else None
    except DatasetError:  # the data set's own rules tell it
        return facts
    return replace(
        facts,
        classes=len(data.classes) if data else None,
        train_images=data.train.images if data and data.train else None,
        archives=names if facts.plan is None else {},
    )
