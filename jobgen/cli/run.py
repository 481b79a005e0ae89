"""`jobgen run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.target import upload_of

EXAMPLES = """\b
Examples:
  jobgen run bundles/ssdd/upload --archive ssdd.zip --device cpu --smoke
  jobgen run bundles/ssdd/upload --archive ssdd.zip -p EPOCHS 20
  jobgen run one/upload two/upload three/upload --archive ssdd.zip
"""


def parameter_value(text: str) -> Any:
    """A value on the command line as job.yaml would read it: 12, 0.01, true, null, or text."""
    from jobgen.yamlio import load

    return load(text, "-p").value


@click.command(epilog=EXAMPLES)
@click.argument("uploads", nargs=-1, required=True, metavar="UPLOAD...",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The data: a file or an unpacked folder, once for each source.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "gpu", "cpu"]),
    default="auto",
    show_default=True,
    help="What computes; auto takes the CPU for a smoke run only.",
)
@click.option(
    "--smoke", is_flag=True, help="One epoch of a few steps: it works, or it says why not."
)
@click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter of the notebook, as in -p EPOCHS 20.",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="A Python that has Paddle, instead of the managed one.",
)
@click.option("--mirror", help="A git copy of PaddleDetection, or of PaddleClas, to clone from.")
@options.paddle_index
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder for runs.",
)
@click.option("--offline", is_flag=True, help="Touch no network, and say what is missing.")
@click.option("--new", "fresh", is_flag=True, help="Start afresh beside an unfinished run.")
@click.option("--once", is_flag=True, help="Run nothing where just this has ended well here.")
@click.option("--no-check", is_flag=True, help="Run even where jobgen check finds errors.")
@click.option("--yes", is_flag=True, help="Run a bundle that was not built here without asking.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Of several bundles, how many at once.")  # fmt: skip
@options.json_output
@click.pass_obj
def command(
    console: Console, /, uploads: tuple[Path, ...], workers: int, json_output: bool, **given: Any
) -> None:
    """Execute the notebook in UPLOAD, unchanged, in an emulated AI Studio home.

    What jobgen check finds is said first; an error ends it there, with exit code 1.
    A run that is not ok ends with exit code 7. Run again to resume a run that was
    stopped. Several bundles are run in turn, each as if it were alone.
    """
    console.json_output = json_output
    if len(uploads) > 1:
        from jobgen.cli.run_many import run_many, words_of

        if json_output:
            raise click.UsageError("--json is for one bundle")
        run_many(console, uploads, workers, words_of(given))
        return
    run_one(console, upload_of(uploads[0]), **given)


def run_one(
    console: Console, upload: Path, *, no_check: bool, yes: bool, mirror: str | None,
    paddle_index: str | None, archives: tuple[Path, ...], parameters: tuple[tuple[str, str], ...],
    **given: Any,
) -> None:  # fmt: skip
    """Ask, check, run and show one bundle."""
    from jobgen.job.bundle import read_bundle
    from jobgen.run.local import RunRequest
    from jobgen.settings import load_settings

    bundle = read_bundle(upload)
    settings = load_settings(mirror=mirror, paddle_index=paddle_index)
    allow(console, bundle, settings.cache, yes)
    if not no_check:
        left_out = ["MA004"] if given["python"] is not None else []
        left_out += ["MA008"] if given["offline"] else []
        refuse_errors(console, upload, archives, left_out)
    values = {name: parameter_value(text) for name, text in parameters}
    request = RunRequest(bundle, list(archives), parameters=values, **given)
    show_run(console, request, settings)


def allow(console: Console, bundle: Any, cache: Path, yes: bool) -> None:
    """Running a bundle is running its code: ask once for one that this machine has not built, or
    built of somebody's templates."""
    from jobgen.errors import RunError
    from jobgen.trust import is_trusted_bundle, trust_bundle

    if is_trusted_bundle(bundle.digest, cache):
        return
    if not yes:
        console.say(
            "This bundle was not built on this machine, was changed since, or is of templates that "
            "are not jobgen's own."
            f" Its SHA-256 is {bundle.digest}."
        )
        if not console.confirmed("Running it runs its code. Go on?", yes):
            raise RunError("the bundle was not run", "To agree without being asked: --yes")
    trust_bundle(bundle.digest, cache)


def refuse_errors(
    console: Console, upload: Path, archives: tuple[Path, ...], left_out: list[str]
) -> None:
    """Say what the rules find in the bundle and its data; exit code 1 at an error."""
    from jobgen.check.rules import chosen_rules
    from jobgen.check.whole import check_whole

    # Whoever brings a Python needs none for the managed environment; offline, no address.
    rules = chosen_rules(ignore=left_out)
    try:
        checked = check_whole(upload, rules, archives, machine=True, progress=console.progress())
    except ValueError:  # how many archives there must be is the run's own to say
        checked = check_whole(upload, rules, machine=True)
    whole = checked.findings
    if len(whole):
        console.say(whole.text())
    if whole.errors:
        console.say("Nothing was run; to run it all the same: --no-check")
        raise click.exceptions.Exit(1)


def lacks_weights(result: dict[str, Any]) -> bool:
    """Whether a smoke run did without weights that the job itself needs."""
    job = (result.get("job") or {}).get("model") or {}
    replaced = [row.get("what") for row in result.get("adjustments") or []]
    return "pretrain_weights" in replaced and job.get("pretrained_missing") != "scratch"


def show_run(
    console: Console,
    request: Any,
    settings: Any,
    more: Callable[[Path, dict[str, Any]], dict[str, Any]] = lambda *_: {},
) -> Path:
    """Run, show the verdict, and end with exit code 7 where it is not good. Gives the output
    folder. `more` gets it and the result of a good run; what it gives is part of the answer."""
    from jobgen.errors import RunError
    from jobgen.run.local import run_bundle

    workspace, verdict = run_bundle(request, settings, console.say, console.live())
    facts = more(workspace.output, verdict.result) if verdict.good else {}
    console.result(status=verdict.status, run=str(workspace.folder), result=verdict.result, **facts)
    console.data("\n".join(verdict.lines(workspace)))
    if verdict.status == "ok-smoke":
        console.say(
            "It works. Next: upload the bundle's files, or leave out --smoke to train here."
        )
        if lacks_weights(verdict.result):
            console.say(
                "But the pretrained weights were not tried: their address does not answer here. "
                "Where it doesn't answer on AI Studio either, the job stops at `configure`, in its "
                "first minutes; model.pretrained_missing: scratch would train without them."
            )
    if verdict.status == "interrupted":
        raise click.exceptions.Exit(130)
    if not verdict.good:
        raise click.exceptions.Exit(RunError.exit_code)
    return Path(workspace.output)
