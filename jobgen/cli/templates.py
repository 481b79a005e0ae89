"""`jobgen templates`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.boundary import Sentences
from jobgen.cli.console import Console
from jobgen.target import job_of

if TYPE_CHECKING:
    from jobgen.run.verdict import Verdict

EXAMPLES = """\b
Examples:
  jobgen templates list
  jobgen templates eject notebook/70_train.py.j2 --job bundles/ships/job.yaml
  jobgen templates diff bundles/ships/job.yaml
"""


@click.group(cls=Sentences, epilog=EXAMPLES)
def command() -> None:
    """List template packs, copy one to change it, compare it and try it.

    docs/templates.md goes from one more augmentation to a pack of one's own.
    """


@command.command("list", epilog="\b\nExample:\n  jobgen templates list\n")
@options.json_output
@click.pass_obj
def list_(console: Console, json_output: bool) -> None:
    """List the packs: the built-in ones, the project's (templates/ here), the user's. Of several
    with one name the first is used; the others are found by their path."""
    from jobgen.cli.table import table
    from jobgen.errors import TemplateError
    from jobgen.packs.disk import known_packs, read_layer

    console.json_output = json_output
    rows: list[dict[str, Any]] = []
    for kind, folder in known_packs():
        try:
            layer = read_layer(folder)
        except TemplateError as error:
            console.say(f"left out: {error.message}")
            continue
        shadowed = next((row["kind"] for row in rows if row["name"] == folder.name), None)
        rows.append(
            {
                "name": folder.name,
                "version": layer.version,
                "kind": kind,
                "extends": layer.extends,
                "description": layer.description,
                "shadowed_by": shadowed,
                "folder": str(folder),
            }
        )
    console.result(packs=rows)
    lines = []
    for row in rows:
        text = row["description"]
        if row["extends"]:
            text = f"extends {row['extends']}: {text}"
        if row["shadowed_by"]:
            text = f"hidden by the {row['shadowed_by']} one; used by its path: {row['folder']}"
        lines.append((f"{row['name']} {row['version']}", [row["kind"], text]))
    console.verbatim(table(lines))


@command.command(epilog="\b\nExample:\n  jobgen templates show sar\n")
@click.argument("pack")
@options.json_output
@click.pass_obj
def show(console: Console, pack: str, json_output: bool) -> None:
    """Show the parameters, stages and files of PACK, a name or a folder."""
    from jobgen.cli.table import table
    from jobgen.packs.disk import find_pack
    from jobgen.packs.render import load_pack

    console.json_output = json_output
    found = load_pack(find_pack(pack))
    parameters = [
        {
            "name": row.name,
            "type": row.kind,
            "default": row.default,
            "help": row.help,
            "choices": list(row.choices),
            "least": row.least,
            "most": row.most,
        }
        for row in found.parameters.values()
    ]
    stages: list[dict[str, Any]] = [
        {"name": stage.name, "optional": stage.optional} for stage in found.stages
    ]
    files = {path: found.origin(path).name for path in sorted(found.files)}
    console.result(
        name=found.name, version=found.version, description=found.top.description,
        layers=[layer.name for layer in found.layers], parameters=parameters, stages=stages,
        files=files, augment=found.augment,
    )  # fmt: skip
    console.data(f"{found.name} {found.version}: {found.top.description}")
    if len(found.layers) > 1:
        console.data(f"layers, the lowest first: {', '.join(r.name for r in found.layers)}")
    if found.augment:
        console.data(f"augment: {found.augment}")
    console.data("\nparameters" if parameters else "\nno parameters")
    if parameters:
        console.data(
            table([(row["name"], [f"{row['default']!r}", str(row["help"])]) for row in parameters])
        )
    console.data("\nstages")
    words = {True: "optional", False: ""}
    console.verbatim(table([(row["name"], [words[row["optional"]]]) for row in stages]))
    console.data("\nfiles")
    console.verbatim(table([(path, [layer]) for path, layer in files.items()]))


@command.command(epilog=EXAMPLES)
@click.argument("what")
@click.option("--job", type=click.Path(path_type=Path), help="A file: for this job.yaml.")
@click.option("-o", "--folder", type=click.Path(path_type=Path), help="A pack: to this folder.")
@options.json_output
@click.pass_obj
def eject(
    console: Console, what: str, job: Path | None, folder: Path | None, json_output: bool
) -> None:
    """Copy WHAT to change it: a file of a job's pack, or a whole pack.

    A file goes to templates/ beside the job and shadows the pack's from then on.
    """
    from jobgen.authoring import eject as eject_file
    from jobgen.authoring import eject_pack
    from jobgen.packs.disk import JOB_FOLDER, find_pack
    from jobgen.packs.render import load_job_pack, load_pack
    from jobgen.spec import load_spec

    console.json_output = json_output
    if (job is None) == (folder is None):
        raise click.UsageError("give --job for a file, or -o FOLDER for a whole pack")
    if job is not None:
        job = job_of(job)
        spec, _ = load_spec(job)
        pack = load_job_pack(spec.template, job.parent)
        place = eject_file(pack, what, job.parent / JOB_FOLDER)
        _made_here(job.parent / JOB_FOLDER)
        console.result(ejected=[str(place)])
        console.data(str(place))
        console.say("Change it, then: jobgen templates diff " + str(job))
        return
    assert folder is not None
    files = eject_pack(load_pack(find_pack(what)), folder)
    _made_here(folder)
    console.result(ejected=[str(folder / name) for name in files])
    console.data(f"{folder}: {len(files)} files")
    console.say(f"Use it in job.yaml: template: {folder.resolve()}, or its path as seen from there")


@command.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@options.json_output
@click.pass_obj
def accept(console: Console, job: Path, json_output: bool) -> None:
    """Say that JOB's own templates take what has changed in their pack since into account.

    From then on they are compared with the pack as it is now.
    """
    from jobgen import authoring
    from jobgen.packs.render import load_job_pack
    from jobgen.spec import load_spec

    console.json_output = json_output
    job = job_of(job)
    spec, _ = load_spec(job)
    files = authoring.accept(load_job_pack(spec.template, job.parent))
    console.result(accepted=files)
    console.data("\n".join(files) if files else "nothing has changed in the pack")


@command.command(epilog=EXAMPLES)
@click.argument("job", type=click.Path(path_type=Path))
@options.json_output
@click.pass_obj
def diff(console: Console, job: Path, json_output: bool) -> None:
    """Show what JOB changes against its pack, and what changed there since a file was ejected."""
    from dataclasses import replace

    from jobgen.authoring import bundle_diff, changes
    from jobgen.job.build import render
    from jobgen.job.plan import make_plan
    from jobgen.packs.render import Pack, load_job_pack
    from jobgen.spec import Augment, load_spec

    console.json_output = json_output
    job = job_of(job)
    spec, document = load_spec(job)
    pack = load_job_pack(spec.template, job.parent)
    own = pack.has_job_layer
    below = Pack(pack.layers[:-1]) if own else pack
    found = changes(pack) if own else []
    plain = spec.model_copy(
        update={"parameters": {}, "overrides": {}, "augment": Augment(), "stages": spec.stages}
    )
    offered = [stage for stage in spec.stages if stage in below.optional]
    plain = plain.model_copy(update={"stages": offered})
    plan = make_plan(spec, document, pack)
    one = render(replace(make_plan(plain, document, below), spec=plan.spec), below)
    rendered = bundle_diff(one, render(plan, pack))
    console.result(
        files=[{"path": c.path, "kind": c.kind, "ours": c.ours, "theirs": c.theirs} for c in found],
        bundle=rendered,
    )
    for change in found:
        console.data(f"{change.kind}: {change.path}\n{change.ours}\n")
        if change.theirs:
            console.data(f"changed in the pack since it was ejected:\n{change.theirs}\n")
    console.data(rendered or f"the bundle is as {below.name} {below.version} renders it")


@command.command(epilog="\b\nExample:\n  jobgen templates new ships --extends sar\n")
@click.argument("name")
@click.option("--extends", default="paddledetection", show_default=True,
              help="The pack to begin with.")  # fmt: skip
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where it is written.  [default: templates/NAME]",
)
@options.json_output
@click.pass_obj
def new(console: Console, name: str, extends: str, folder: Path | None, json_output: bool) -> None:
    """Begin a pack NAME that extends another, with an extra stage to start from."""
    import re

    from jobgen.authoring import new_pack
    from jobgen.packs.disk import known_packs

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise click.UsageError("a pack's name has a-z, 0-9, _ and - only")
    console.json_output = json_output
    place = folder or Path("templates") / name
    files = new_pack(name, place, extends)
    _made_here(place)
    console.result(folder=str(place), files=[str(path) for path in files])
    console.data("\n".join(map(str, files)))
    first = next((path for _, path in known_packs() if path.name == name), None)
    known = first is not None and first.resolve() == place.resolve()
    shown = name if known else place.resolve()
    console.say(f"Next: jobgen templates test {place}\nthen in job.yaml: template: {shown}")


@command.command(epilog="\b\nExample:\n  jobgen templates trust templates/ships\n")
@click.argument("folders", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.pass_obj
def trust(console: Console, folders: tuple[Path, ...]) -> None:
    """Let the templates in FOLDERS run on this machine from now on, without being asked.

    A template's code is run with the notebook it goes into: read it first."""
    for folder in folders:
        _made_here(folder)
        console.data(f"{folder}: trusted")


def _made_here(folder: Path) -> None:
    from jobgen.settings import load_settings
    from jobgen.trust import trust_folder

    trust_folder(folder, load_settings().cache)


@command.command(epilog="\b\nExample:\n  jobgen templates test sar --smoke\n")
@click.argument("pack")
@click.option("--smoke", is_flag=True, help="Also run a smoke job with it, on a drawn data set.")
@click.option("--yes", is_flag=True, help="Run somebody's pack without asking.")
@options.json_output
@click.pass_obj
def test(console: Console, pack: str, smoke: bool, yes: bool, json_output: bool) -> None:
    """Render PACK with every combination of its parameters' corners, in both languages, for COCO
    and VOC, and see that notebook and YAML are sound. Exit code 1 where one is not."""
    from jobgen.authoring import trials
    from jobgen.packs.disk import find_pack
    from jobgen.packs.render import load_pack

    console.json_output = json_output
    folder = find_pack(pack)
    found = list(trials(load_pack(folder)))
    faults = [trial for trial in found if trial.fault]
    verdict = _smoke(console, folder, yes) if smoke and not faults else None
    console.result(
        tried=len(found),
        faults=[{"what": t.what, "fault": t.fault} for t in faults],
        smoke=verdict.result if verdict else None,
    )
    for trial in faults:
        console.data(f"{trial.what}\n  {trial.fault}")
    console.data(f"{len(found)} renderings, {len(faults)} faulty")
    if verdict is not None:
        console.data(f"smoke job: {verdict.status}")
        if not verdict.good:
            failure = verdict.result.get("failure") or {}
            console.data(f"  {failure.get('stage')}: {failure.get('message')}")
    if faults or (verdict is not None and not verdict.good):
        raise click.exceptions.Exit(1)


def _smoke(console: Console, pack: Path, yes: bool) -> Verdict:
    """A smoke job of the drawn ships with this pack."""
    import tempfile

    from jobgen.cli.build import render_job
    from jobgen.cli.build import trust as name_foreign
    from jobgen.cli.demo import ENVIRONMENT, demo_model
    from jobgen.cli.run import allow
    from jobgen.datasets.job import job_text
    from jobgen.datasets.look import look
    from jobgen.datasets.ships import make_ships
    from jobgen.run.local import RunRequest, run_bundle
    from jobgen.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        archive, job = Path(spare) / "ships.zip", Path(spare) / "job.yaml"
        make_ships(archive)
        more = {"template": str(pack.resolve())}
        sources, train = [{"archive": archive.name}], {"epochs": 4}
        text = job_text(
            "ships", ENVIRONMENT, sources, look(archive), demo_model(), train, "en", more
        )
        job.write_text(text, encoding="utf-8")
        _, bundle, used = render_job(job)
        name_foreign(console, bundle, used)
        allow(console, bundle, load_settings().cache, yes)
        request = RunRequest(bundle, [archive], Path(spare) / "runs", device="cpu", smoke=True)
        return run_bundle(request, load_settings(), console.say, console.live())[1]
