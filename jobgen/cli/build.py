"""`jobgen build`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.target import job_of

if TYPE_CHECKING:
    from jobgen.job.bundle import Bundle
    from jobgen.job.tasks import AnyPlan
    from jobgen.packs.render import Pack

NOTEBOOK = "main.ipynb"
EXAMPLES = """\b
Examples:
  jobgen build bundles/ssdd/job.yaml
  jobgen build bundles/ssdd/job.yaml --check
"""


@click.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the files; in your home folder they go among what is there.  "
    "[default: upload/ beside the job]",
)
@click.option("--check", is_flag=True, help="Compare only; exit 1 if the files are not current.")
@click.option("--no-check", is_flag=True, help="Write the files even where the job has errors.")
@click.option("--open", "show", is_flag=True, help="Open the project's page on AI Studio.")
@options.json_output
@click.pass_obj
def command(
    console: Console,
    job: Path,
    output: Path | None,
    check: bool,
    no_check: bool,
    show: bool,
    json_output: bool,
) -> None:
    """Render JOB (a job.yaml) into the files of a background job.

    The job is checked first (see jobgen check): nothing is written where it has errors.
    """
    from jobgen.cli.hours import hours_line
    from jobgen.files import shown
    from jobgen.job.bundle import compare_bundle, write_bundle
    from jobgen.settings import is_home

    console.json_output = json_output
    job = job_of(job)
    plan, bundle, pack = render_job(job)
    folder = output or job.parent / "upload"
    if not (check or no_check):
        refuse_errors(console, job, plan, bundle)
    if check:
        differences = compare_bundle(bundle, folder)
        console.result(current=not differences, folder=str(folder), differences=differences)
        console.data("\n".join(differences) or f"{folder} is current ({bundle.digest[:12]})")
        if differences:
            raise click.exceptions.Exit(1)
        return
    # AI Studio's versions are picked from the home folder, where other things lie too.
    changed = write_bundle(bundle, folder, among=is_home(folder))
    trust(console, bundle, pack)
    console.result(
        folder=str(folder), files=sorted(bundle.files), changed=changed, digest=bundle.digest
    )
    for name, data in bundle.files.items():
        path, size = folder / name, len(data)
        if name in changed:
            console.data(f"{path}  {size:,} bytes, written")
        else:
            console.data(f"{path}  {size:,} bytes, unchanged")
    if hours_line(plan):
        console.say(f"{hours_line(plan)}; its parts: jobgen explain {shown(job)}")
    page = project_page()
    for line in _next_steps(folder, bundle, page):
        console.say(line)
    if show:
        open_page(console, page)


def refuse_errors(console: Console, job: Path, plan: AnyPlan, bundle: Bundle) -> None:
    """Say what the rules of jobs find, and end with exit code 1 at an error."""
    from jobgen.job.plan import Plan

    if isinstance(plan, Plan):
        from jobgen.check.job import check_rendered

        findings = check_rendered(job, plan, bundle)
    else:
        from jobgen.check.classes import check_class_plan

        findings = check_class_plan(plan)
    if len(findings):
        console.say(findings.text())
    if findings.errors:
        console.result(written=False, findings=[finding.text() for finding in findings])
        console.say("Nothing was written; to write it all the same: --no-check")
        raise click.exceptions.Exit(1)


def render_job(job: Path) -> tuple[AnyPlan, Bundle, Pack]:
    """The plan, the bundle and the templates of a job.yaml, in memory."""
    from jobgen.api import load_job, plan_job
    from jobgen.job.build import render

    found = load_job(job)
    plan = plan_job(found)
    return plan, render(plan, found.pack), found.pack


def trust(console: Console, bundle: Bundle, pack: Pack) -> None:
    """Remember that this machine built the bundle, so that `run` need not ask; but name templates
    that are somebody's, whose code is in it."""
    from jobgen.files import shown
    from jobgen.settings import load_settings
    from jobgen.trust import foreign_folders, trust_bundle, untrusted

    cache = load_settings().cache
    foreign = untrusted(foreign_folders(pack), cache)
    for folder in foreign:
        console.say(f"templates   {folder}: not jobgen's own, and their code is in the notebook")
    if foreign:
        names = " ".join(map(shown, foreign))
        console.say(f"jobgen run asks before it runs them, until: jobgen templates trust {names}")
        return
    # A bundle that could not be remembered is only asked about.
    with contextlib.suppress(OSError):
        trust_bundle(bundle.digest, cache)


def project_page() -> str:
    """The page of the user's project on AI Studio, or of all projects."""
    from jobgen.catalog import platform
    from jobgen.settings import load_settings

    project = load_settings().project
    return platform().project_page.format(id=project) if project else platform().projects_page


def open_page(console: Console, page: str) -> None:
    """Show a page in the browser, or say its address where there is none."""
    import webbrowser

    if not webbrowser.open(page):
        console.say(f"no browser was found; the page is {page}")


def _next_steps(folder: Path, bundle: Bundle, page: str) -> Iterator[str]:
    """The clicks from here to a background task, a line each."""
    from jobgen.files import shown
    from jobgen.settings import is_home

    names = ", ".join(sorted(bundle.files))
    spec = bundle.facts["spec"]
    sources = spec["dataset"]["sources"]
    count = len(bundle.files)
    task = f"  - under Tasks (任务), create a task (创建任务) of that version: {NOTEBOOK}"
    if is_home(folder):
        yield "Next:"
        yield f"  - save a version (版本) with {names}"
        yield task
        return
    paths = [Path(s["archive"] or s["folder"]) for s in sources]
    # job.yaml knows an archive by its name alone.
    elsewhere = not all(path.exists() for path in paths)
    placed = [Path("FOLDER") / path if elsewhere else path for path in paths]
    archives = " ".join(f"--archive {shown(path)}" for path in placed)
    data = ", ".join(f"{path} (data set {s['id']})" if s.get("id") else str(path)
                     for path, s in zip(paths, sources, strict=True))  # fmt: skip
    if elsewhere:
        yield "Next: try it here; FOLDER is where the data lies:"
    else:
        yield "Next: try it here:"
    yield f"  jobgen run {shown(folder)} {archives} --device cpu --smoke"
    yield f"then in your project on {page}"
    yield f"  - environment {spec['environment']}, data set mounted: {data}"
    yield f"  - upload the {count} files to its top folder: {names}"
    yield f"  - save a version (版本) with these {count} files"
    yield task
    if all(source.get("id") for source in sources):
        yield f"or submit it as a job, without clicks: jobgen submit {shown(folder)}"
    else:
        yield f"or submit it as a job, without clicks: jobgen submit {shown(folder)} --dataset ID"
