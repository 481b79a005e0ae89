"""`jobgen check`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.language import label, translated
from jobgen.target import checked_of
from jobgen.text import wide

if TYPE_CHECKING:
    from jobgen.check.rules import Rule
    from jobgen.findings import Finding

EXAMPLES = """\b
Examples:
  jobgen check ships.zip
  jobgen check bundles/ships/job.yaml --archive ships.zip
  jobgen check bundles/ships/upload
  jobgen check ships.zip --deep --ignore DS07 --json
  jobgen check --machine
  jobgen check --rules
"""


@click.command(epilog=EXAMPLES)
@click.argument("target", required=False, type=click.Path(path_type=Path))
@options.archives
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    help="The output folder of a run on a GPU: tells how long the job will take.",
)
@click.option("--deep", is_flag=True, help="Decode every image, to find damaged ones.")
@click.option("--select", multiple=True, metavar="CODE", help="Only rules that begin so (DS04).")
@click.option("--ignore", multiple=True, metavar="CODE", help="Not the rules that begin so.")
@click.option("--machine", is_flag=True, help="Check too whether this computer can run jobs.")
@click.option("--rules", "list_rules", is_flag=True, help="List all rules, and check nothing.")
@options.pick
@options.columns
@options.json_output
@click.pass_obj
def command(
    console: Console, target: Path | None, archives: tuple[Path, ...], measured: Path | None,
    deep: bool, select: tuple[str, ...], ignore: tuple[str, ...], machine: bool, list_rules: bool,
    pick: int | None, columns: dict[str, str], json_output: bool,
) -> None:  # fmt: skip
    """Find the faults of TARGET before they cost a night.

    TARGET is a job.yaml, a folder to upload (also one made by hand), or a data set: an
    archive, a folder or a lone COCO file. The data of a job is given by --archive.
    Ends with exit code 1 where there are errors.
    """
    from jobgen.check.rules import CLASSES, JOB, chosen_rules
    from jobgen.check.whole import CLASSES_TASK, is_job, task_of

    console.json_output = json_output
    try:
        target = checked_of(target) if target else None
        alone = target and is_job(target) and not archives and not (machine or list_rules)
        family = None
        if alone and target:
            family = CLASSES if task_of(target) == CLASSES_TASK else JOB
        chosen = chosen_rules(_codes(select), _codes(ignore), family)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if list_rules:
        _show_rules(console, chosen)
        return
    if target is None and not machine:
        raise click.UsageError("give a job.yaml or a data set")
    _check(console, target, archives, chosen, pick, deep, measured, machine, columns)


def _codes(values: tuple[str, ...]) -> list[str]:
    return [code for value in values for code in value.upper().split(",") if code]


def _check(
    console: Console, target: Path | None, archives: tuple[Path, ...], chosen: list[Rule],
    pick: int | None, deep: bool, measured: Path | None, machine: bool, columns: dict[str, str],
) -> None:  # fmt: skip
    from jobgen.check.whole import check_whole, is_job

    started = time.monotonic()
    try:
        checked = check_whole(
            target,
            chosen,
            archives,
            pick=pick,
            deep=deep,
            measured=measured,
            machine=machine,
            progress=console.progress(),
            columns=columns,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    whole = checked.findings
    console.result(findings=[_as_data(finding) for finding in whole], checked=checked.parts)
    if len(whole):
        console.data(whole.text())
    summary = ", ".join(map(translated, whole.summary().split(", ")))
    console.data(f"{summary}, {time.monotonic() - started:.1f} s")
    if checked.plan is not None:
        from jobgen.cli.hours import hours_line

        console.say(hours_line(checked.plan))
    if target is not None and not archives and is_job(target):
        console.say("The data was not looked at; give it with --archive.")
    if whole.errors:
        raise click.exceptions.Exit(1)


def _as_data(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "place": finding.place,
        "count": finding.count,
        "examples": list(finding.examples),
        "why": finding.why,
        "hint": finding.hint,
    }


def _show_rules(console: Console, chosen: list[Rule]) -> None:
    from jobgen.datasets.fix import FIXES
    from jobgen.datasets.stretch import STRETCHED

    console.result(
        rules=[
            {
                "code": rule.code,
                "name": rule.name,
                "severity": rule.severity.value,
                "title": rule.title,
                "why": rule.why,
                "remedy": rule.remedy,
                "repaired": rule.code in {*FIXES, *STRETCHED},
            }
            for rule in chosen
        ]
    )
    for rule in chosen:
        weight = label(rule.severity.value)
        console.data(f"{rule.code}  {weight:<{8 - wide(weight)}}{translated(rule.title)}")
        console.data(f"{'':<15}{translated(rule.why)}")
        console.data(f"{'':<15}Fix: {translated(rule.remedy)}")
