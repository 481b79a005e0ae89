"""All rules of a data set in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jobgen.check.facts import DataFacts
from jobgen.check.rules import Rule, in_order, rules, run_rules
from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.look import candidates, choose, layout_of_job, read_layout
from jobgen.datasets.record import DataSet
from jobgen.datasets.sources import open_sources
from jobgen.errors import DatasetError
from jobgen.files import shown
from jobgen.findings import Findings, Severity
from jobgen.job.plan import Plan


def check_dataset(
    paths: Sequence[Path],
    chosen: Sequence[Rule],
    plan: Plan | None = None,
    pick: int | None = None,
    deep: bool = False,
    progress: Progress = silent,
    files: Contents | None = None,
) -> Findings:
    """What the rules find in the data set of `paths`, as the job of `plan` or as it lies there.
    Its `files` may be open already.

    Raises DatasetError where a path is not there, and where it holds several data sets and
    neither a plan nor `pick` says which.
    """
    for path in paths:
        if not path.exists():
            raise DatasetError(f"{path} is not there")
    facts = data_facts(paths, plan, pick, deep, progress, files)
    # A command for one source: that of several stays to be filled in.
    source = facts.files.given if len(paths) == 1 and facts.data else shown(paths[0])
    return findings_of(facts, chosen, source if len(paths) == 1 else "SRC")


def findings_of(facts: DataFacts, chosen: Sequence[Rule], source: str) -> Findings:
    """What the rules find in a set that was read; `source` is what a command calls it."""
    with np.errstate(all="ignore"):  # coordinates may be anything, NaN too
        found = in_order(run_rules(chosen, facts, facts.splits, "set", "split"))
    return Findings(replace(f, hint=f.hint.replace("SRC", source)) for f in found)


def data_facts(
    paths: Sequence[Path],
    plan: Plan | None,
    pick: int | None,
    deep: bool,
    progress: Progress,
    files: Contents | None = None,
) -> DataFacts:
    into = [source.into for source in plan.spec.dataset.sources] if plan else []
    try:
        files = files or open_sources(paths, into)
        files.progress = progress
    except DatasetError as error:
        refused = error.message.partition("(DS004): ")[2] or error.message
        return DataFacts(Contents(paths[0].name), None, plan, deep, refused, progress)
    if plan is not None:
        layout = layout_of_job(plan.spec.dataset.model_dump())
        return DataFacts(files, read_layout(files, layout), plan, deep, "", progress)
    data = read_layout(files, choose(files, pick)) if candidates(files) else None
    return DataFacts(files, data, None, deep, "", progress)


def faulty_images(data: DataSet, progress: Progress = silent) -> dict[str, list[str]]:
    """The codes of what is wrong with single images and their boxes, by the image's path.

    Notes are not faults. What a rule says of a whole split is no image's.
    """
    facts = DataFacts(data.contents, data, progress=progress)
    codes: dict[str, list[str]] = {}
    for split in data:
        for rule in rules().values():
            if rule.scope != "split" or rule.severity is Severity.NOTE:
                continue
            for hit in rule.find(facts, split):
                for row in hit.rows:
                    found = codes.setdefault(split.path(row), [])
                    if rule.code not in found:
                        found.append(rule.code)
    return codes
