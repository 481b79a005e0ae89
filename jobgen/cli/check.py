"""`jobgen check`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobgen.cli import options
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.check.rules import Rule
    from jobgen.findings import Finding
    from jobgen.plan import Plan

EXAMPLES = """\b
Examples:
  jobgen check ships.zip
  jobgen check bundles/ships/job.yaml --archive ships.zip
  jobgen check ships.zip --deep --ignore DS07 --json
  jobgen check --rules
"""


@click.command(epilog=EXAMPLES)
@click.argument("target", required=False, type=click.Path(path_type=Path))
@options.archives
@click.option("--deep", is_flag=True, help="Decode every image, to find damaged ones.")
@click.option("--select", multiple=True, metavar="CODE", help="Only rules that begin so (DS04).")
@click.option("--ignore", multiple=True, metavar="CODE", help="Not the rules that begin so.")
@click.option("--rules", "list_rules", is_flag=True, help="List all rules, and check nothing.")
@options.pick
@options.json_output
@click.pass_obj
def command(
    console: Console, target: Path | None, archives: tuple[Path, ...], deep: bool,
    select: tuple[str, ...], ignore: tuple[str, ...], list_rules: bool, pick: int | None,
    json_output: bool,
) -> None:  # fmt: skip
    """Find the faults of TARGET before they cost a night: a job.yaml, or a data set.

    A data set is an archive, a folder or a lone COCO file; with a job.yaml it is
    given by --archive. Ends with exit code 1 where there are errors.
    """
    from jobgen.check.rules import chosen_rules

    console.json_output = json_output
    try:
        chosen = chosen_rules(_codes(select), _codes(ignore))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if list_rules:
        _show_rules(console, chosen)
        return
    if target is None:
        raise click.UsageError("give a job.yaml or a data set")
    _check(console, target, archives, chosen, pick, deep)


def _codes(values: tuple[str, ...]) -> list[str]:
    return [code for value in values for code in value.upper().split(",") if code]


def _check(
    console: Console, target: Path, archives: tuple[Path, ...], chosen: list[Rule],
    pick: int | None, deep: bool,
) -> None:  # fmt: skip
    from jobgen.check.dataset import check_dataset

    started = time.monotonic()
    plan = _plan(target) if target.suffix.lower() in (".yaml", ".yml") else None
    if plan is not None and not archives:
        console.data(f"{target}: its values are sound")
        console.say("The data was not looked at; give it with --archive.")
        console.result(findings=[], checked=["job"])
        return
    if plan is not None and len(archives) != len(plan.spec.dataset.sources):
        count = len(plan.spec.dataset.sources)
        raise click.UsageError(f"the job has {count} source(s): give --archive for each, in order")
    if plan is None and archives:
        raise click.UsageError("--archive goes with a job.yaml; a data set is given alone")
    paths = list(archives) if plan else [target]
    findings = check_dataset(paths, chosen, plan, pick, deep, console.progress())
    console.result(findings=[_as_data(finding) for finding in findings], checked=["data set"])
    if len(findings):
        console.data(findings.text())
    console.data(f"{findings.summary()}, {time.monotonic() - started:.1f} s")
    if findings.errors:
        raise click.exceptions.Exit(1)


def _plan(path: Path) -> Plan:
    from jobgen.plan import make_plan
    from jobgen.spec import load_spec

    return make_plan(*load_spec(path))


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

    console.result(
        rules=[
            {
                "code": rule.code,
                "name": rule.name,
                "severity": rule.severity.value,
                "title": rule.title,
                "why": rule.why,
                "remedy": rule.remedy,
                "repaired": rule.code in FIXES,
            }
            for rule in chosen
        ]
    )
    for rule in chosen:
        console.data(f"{rule.code}  {rule.severity.value:<8}{rule.title}")
        console.data(f"{'':<15}{rule.why}\n{'':<15}Fix: {rule.remedy}")
