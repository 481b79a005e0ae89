"""The rules of jobs and their files: a small function each, found by its decorator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jobgen.bundle import Bundle
from jobgen.check.rules import JOB, Rule, chosen_rules, in_order, run_rules
from jobgen.check.upload import JobFacts, facts_of
from jobgen.errors import DatasetError
from jobgen.files import shown
from jobgen.findings import Findings
from jobgen.plan import Plan


def check_job(
    target: Path, chosen: Sequence[Rule], archives: Sequence[Path] = ()
) -> tuple[Plan | None, Findings]:
    """What the rules find in a job.yaml or an upload folder, and its plan where there is one.

    The archives are only counted here; their content is the data set's rules'. Raises
    ValueError where the number of archives is not that of the job's sources.
    """
    facts = facts_of(target)
    if archives and facts.plan is not None:
        wanted = len(facts.plan.spec.dataset.sources)
        if wanted != len(archives):
            raise ValueError(f"the job has {wanted} source(s): give --archive for each, in order")
        facts = _with_data(facts, archives)
    return facts.plan, job_findings(facts, chosen, shown(target))


def check_rendered(job: Path, plan: Plan, bundle: Bundle) -> Findings:
    """What the rules find in a bundle that was rendered of `job` just now."""
    facts = JobFacts(str(job), bundle.files, plan, fresh=True)
    return job_findings(facts, chosen_rules(family=JOB), shown(job))


def job_findings(facts: JobFacts, chosen: Sequence[Rule], target: str = "JOB") -> Findings:
    """What the rules find in the facts of a job."""
    found = in_order(run_rules(chosen, facts, None))
    return Findings(replace(f, hint=f.hint.replace("JOB", target)) for f in found)


def _with_data(facts: JobFacts, archives: Sequence[Path]) -> JobFacts:
    from jobgen.datasets.sources import open_sources

    try:
        files = open_sources(archives)
    except DatasetError:  # the data set's own rules tell it
        return facts
    return replace(facts, data_files=len(files.names), data_bytes=sum(files.sizes.values()))
