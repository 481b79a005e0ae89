"""What other programs may call: from job.yaml to a result, as the commands do it.

    import jobgen

    job = jobgen.load_job("bundles/ships/job.yaml")
    print(jobgen.check_path("bundles/ships/job.yaml", ["ships.zip"]).text())
    jobgen.build_job(job, "bundles/ships/upload")
    result = jobgen.run_upload("bundles/ships/upload", ["ships.zip"], smoke=True)

No other name of jobgen is public. Every function raises jobgen.errors.JobgenError with a message
and a hint for what a person has to correct.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobgen.errors import DatasetError
from jobgen.target import job_of, upload_of

if TYPE_CHECKING:
    from jobgen.findings import Findings
    from jobgen.job.bundle import Bundle
    from jobgen.job.tasks import AnyPlan
    from jobgen.packs.render import Pack
    from jobgen.spec import AnySpec
    from jobgen.yamlio import Document

__all__ = [
    "Job",
    "RunResult",
    "build_job",
    "check_path",
    "load_job",
    "plan_job",
    "read_results",
    "run_upload",
]
AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Job:
    """A job.yaml that was read: what it says, where it says it, and its template pack."""

    path: Path
    spec: AnySpec
    document: Document
    pack: Pack


@dataclass(frozen=True)
class RunResult:
    """How a local run ended: `ok`, `ok-smoke`, `untrained`, `failed`, `timeout` or
    `interrupted`; its folder; and result.json (docs/result.md)."""

    status: str
    folder: Path
    result: dict[str, Any]


def load_job(path: AnyPath) -> Job:
    """Read a job.yaml; its folder or its upload will do. Raises SpecError with file and line for
    what can't be meant, and TemplateError."""
    from jobgen.packs.render import load_job_pack
    from jobgen.spec import load_any

    found = job_of(Path(path))
    spec, document = load_any(found)
    return Job(found, spec, document, load_job_pack(spec.template, found.parent))


def plan_job(job: Job) -> AnyPlan:
    """Every value of a job with its origin. Raises SpecError where they don't go together."""
    from jobgen.job.tasks import plan_any

    return plan_any(job.spec, job.document, job.pack)


def build_job(job: Job, folder: AnyPath | None = None) -> Bundle:
    """The files of a job, the same bytes for the same input; written into `folder` where
    one is given. Raises SpecError, TemplateError and BundleError."""
    from jobgen.job.build import render
    from jobgen.job.bundle import write_bundle

    bundle = render(plan_job(job), job.pack)
    if folder is not None:
        write_bundle(bundle, Path(folder))
    return bundle


def check_path(
    target: AnyPath, archives: Iterable[AnyPath] = (), *, deep: bool = False
) -> Findings:
    """What `jobgen check` finds in a job (with its data, where `archives` are given), an upload
    or a data set. `deep` decodes every image. Raises DatasetError, BundleError and OSError."""
    from jobgen.check.rules import chosen_rules
    from jobgen.check.whole import check_whole
    from jobgen.target import checked_of

    paths = [Path(path) for path in _several(archives)]
    try:
        return check_whole(checked_of(Path(target)), chosen_rules(), paths, deep=deep).findings
    except ValueError as error:
        raise DatasetError(str(error)) from error


def _several(archives: Iterable[AnyPath]) -> Iterable[AnyPath]:
    """One path is meant as a list of one."""
    return [archives] if isinstance(archives, (str, os.PathLike)) else archives


def run_upload(
    upload: AnyPath,
    archives: Iterable[AnyPath],
    *,
    smoke: bool = False,
    device: str = "auto",
    parameters: dict[str, Any] | None = None,
    runs: AnyPath = "runs",
) -> RunResult:
    """Execute a bundle's notebook on this machine, as `jobgen run --yes`; a run of the same bundle
    and parameters that did not end well is resumed. Raises RunError where it can't be started."""
    from jobgen.job.bundle import read_bundle
    from jobgen.run.local import RunRequest, run_bundle
    from jobgen.settings import load_settings

    request = RunRequest(
        bundle=read_bundle(upload_of(Path(upload))),
        archives=[Path(path) for path in _several(archives)],
        runs=Path(runs),
        device=device,
        smoke=smoke,
        parameters=parameters or {},
    )
    workspace, verdict = run_bundle(request, load_settings(), lambda _text: None, live=False)
    return RunResult(verdict.status, workspace.folder, verdict.result)


def read_results(path: AnyPath) -> list[dict[str, Any]]:
    """Every result.json in a run's folder, an output folder or the zip that AI Studio gives,
    oldest first. Raises RunError where there is none."""
    import tempfile

    from jobgen.report.read import read_records

    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        return [record.result for record in read_records(Path(path), Path(spare))]
