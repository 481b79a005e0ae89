"""`jobgen explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.language import translated
from jobgen.target import job_of

if TYPE_CHECKING:
    from jobgen.job.bundle import Bundle
    from jobgen.job.tasks import AnyPlan
    from jobgen.ppconfig import Resolved
    from jobgen.yamlio import Document

EXAMPLES = """\b
Examples:
  jobgen explain bundles/ssdd/job.yaml
  jobgen explain bundles/ssdd/job.yaml --full
  jobgen explain bundles/ssdd/job.yaml --diff bundles/bccd/job.yaml
  jobgen explain PaddleDetection/configs/FAMILY/MODEL.yml --full
"""


@click.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="The whole resolved config, each value with its file "
              "and line; also of any YAML of PaddleDetection.")  # fmt: skip
@click.option(
    "--diff", "other", type=click.Path(path_type=Path), help="What differs from this job."
)
@options.json_output
@click.pass_obj
def command(console: Console, job: Path, full: bool, other: Path | None, json_output: bool) -> None:
    """Show every value of JOB (a job.yaml) with its origin and the rule behind it."""
    console.json_output = json_output
    job = job_of(job)
    if other is not None:
        _differences(console, job, job_of(other))
    elif full:
        _full(console, job)
    else:
        _values(console, job)


def _read(path: Path) -> tuple[AnyPlan, Document]:
    from jobgen.api import load_job, plan_job

    job = load_job(path)
    return plan_job(job), job.document


def _values(console: Console, job: Path) -> None:
    from jobgen.cli.hours import as_data, expected_at_both
    from jobgen.cli.table import table
    from jobgen.errors import SpecError
    from jobgen.job.explain import explain
    from jobgen.job.hours import about
    from jobgen.ppconfig import is_config

    if job.is_dir() or is_config(job):
        raise SpecError(f"{job} is no job.yaml", "For its whole config: add --full")
    plan, document = _read(job)
    found = explain(plan, document)
    expected = expected_at_both(plan)
    console.result(
        values=[{"name": f.name, "value": f.value, "origin": f.origin} for f in found],
        expected=[as_data(each) for each in expected],
    )
    console.verbatim(table([(f.name, [_shown(f.value), translated(f.origin)]) for f in found]))
    for each in expected:
        rows = [(p.name, [about(p.seconds), p.origin]) for p in each.parts]
        console.data(f"\nexpected: {each.text()}")
        console.verbatim(table(rows))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _resolved(path: Path) -> tuple[Resolved, Bundle | None]:
    """The config of a job, or of a YAML that is PaddleDetection's. Raises SpecError, OSError."""
    from jobgen.check.upload import facts_of
    from jobgen.cli.build import render_job
    from jobgen.errors import BundleError, SpecError
    from jobgen.files import shown
    from jobgen.job.explain import job_config
    from jobgen.job.plan import Plan
    from jobgen.ppconfig import is_config, resolve

    if path.is_dir():
        found = facts_of(path).config
        if found is None:
            raise BundleError(f"{path} has no one model YAML of a family that is known")
        return found, None
    if is_config(path):
        found = resolve(path)
        if found.findings.errors and any(path.parent.glob("*.ipynb")):
            # In an upload its bases are the catalogue's.
            found = facts_of(path.parent).config or found
        return found, None
    plan, bundle, _ = render_job(path)
    if not isinstance(plan, Plan):
        file = path.parent / "upload" / plan.model_file
        raise SpecError(
            f"{path}: a config of PaddleClas has no bases, so the bundle's file is the whole of it",
            f"After jobgen build {shown(path)} it is {shown(file)}",
        )
    return job_config(bundle, plan), bundle


def _full(console: Console, path: Path) -> None:
    from jobgen.errors import SpecError
    from jobgen.job.explain import origin_text
    from jobgen.ppconfig import dotted, flat
    from jobgen.spec import faults
    from jobgen.yamlio import plain

    found, bundle = _resolved(path)
    if found.findings.errors:
        error = faults(found.findings)
        hint = "A config's bases are as seen from its own folder: give the one in a clone."
        raise SpecError(error.message, hint, error.findings)
    values = list(flat(found.config))
    origins = {dotted(at): origin_text(found.origin(at), bundle) for at, _ in values}
    console.result(
        config=plain(found.config),
        origins=origins,
        files=[file.as_posix() for file in found.files],
        findings=[finding.text() for finding in found.findings],
    )
    for at, value in values:
        console.data(f"{dotted(at)} = {value!r}    {origins[dotted(at)]}")
    for finding in found.findings:
        console.say(finding.text())


def _differences(console: Console, first: Path, second: Path) -> None:
    from jobgen.job.explain import differences

    configs = [_resolved(path)[0].config for path in (first, second)]
    found = differences(*configs)
    console.result(
        differences=[{"name": d.name, "first": d.first, "second": d.second} for d in found]
    )
    for difference in found:
        console.data(f"{difference.name}: {difference.first!r} -> {difference.second!r}")
    if not found:
        console.data("no difference")
