"""`jobgen doctor`: what works on this machine, what doesn't, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobgen.cli import options
from jobgen.cli.console import Console
from jobgen.language import label, translated

if TYPE_CHECKING:
    from jobgen.check.machine_facts import MachineFacts
    from jobgen.findings import Findings
    from jobgen.settings import Settings

EXAMPLES = "\b\nExamples:\n  jobgen doctor\n  jobgen doctor --remote\n"
# Whatever the machine: these need nothing but Python.
ANYWHERE = "init, dataset, check, explain, build, report"


@click.command(epilog=EXAMPLES)
@click.option("--remote", is_flag=True, help="Ask AI Studio instead, and change nothing there.")
@options.json_output
@click.pass_obj
def command(console: Console, remote: bool, json_output: bool) -> None:
    """Say on one page what works on this machine, what doesn't, and what to do.

    Exit code 1 where jobs can't be run here. With --remote: whether AI Studio takes the token,
    and answers as jobgen expects.
    """
    from jobgen.check.machine import machine_findings
    from jobgen.check.machine_facts import machine_facts
    from jobgen.check.rules import MACHINE, chosen_rules
    from jobgen.cli.table import table
    from jobgen.machine.cache import entries
    from jobgen.settings import load_settings

    console.json_output = json_output
    settings = load_settings()
    if remote:
        ask_remote(console, settings)
        return
    facts = machine_facts(settings, look_at_kept=True)
    findings = machine_findings(facts, chosen_rules(family=MACHINE))
    kept = entries(settings.cache)
    rows = [*facts_rows(facts), kept_row(kept, str(settings.cache)), *verdict_rows(facts, findings)]
    console.result(
        facts=[{"what": what, "text": text} for what, text in rows],
        findings=[{"code": f.code, "message": f.message, "hint": f.hint} for f in findings],
    )
    console.data(
        table([(label(translated(what)), [label(translated(text))]) for what, text in rows])
    )
    if len(findings):
        console.data("\n" + findings.text())
    if findings.errors:
        raise click.exceptions.Exit(1)


def ask_remote(console: Console, settings: Settings) -> None:
    """Harmless questions to AI Studio, each with its answer; exit code 1 where one is no good."""
    from jobgen.cli.table import table
    from jobgen.remote.inquiry import inquire

    found = inquire(settings)
    console.result(
        answers=[{"what": a.what, "text": a.text, "good": a.good, "hint": a.hint} for a in found]
    )
    console.verbatim(table([(label(a.what), [translated(a.text)]) for a in found]))
    for answer in found:
        if answer.hint:
            console.say(f"{answer.what}: {answer.hint}")
    if not all(answer.good for answer in found):
        raise click.exceptions.Exit(1)


def facts_rows(facts: MachineFacts) -> list[tuple[str, str]]:
    import platform

    from jobgen.machine.gpu import card_text

    memory = "unknown" if facts.memory is None else f"{facts.memory / 2**30:.1f} GB free"
    return [
        ("system", f"{facts.system}, Python {platform.python_version()}"),
        ("memory", memory),
        ("disk", f"{facts.disk_free / 2**30:.1f} GB free at {facts.cache}"),
        ("graphics cards", ", ".join(map(card_text, facts.cards)) or "none"),
        ("addresses", f"silent: {', '.join(facts.silent)}" if facts.silent else "as needed"),
    ]


def kept_row(kept: list[Any], cache: str) -> tuple[str, str]:
    words = {"envs": "environment", "mirrors": "PaddleDetection", "weights": "weights file"}
    counts = [(len([e for e in kept if e.kind == kind]), word) for kind, word in words.items()]
    found = ", ".join(f"{count} x {word}" for count, word in counts if count) or "nothing yet"
    return "kept", f"{found}, {sum(e.bytes for e in kept) / 1e9:.1f} GB in {cache}"


def verdict_rows(facts: MachineFacts, findings: Findings) -> list[tuple[str, str]]:
    """Whether jobs run here: in a word each, with the first reason where they don't."""
    from jobgen.catalog import environments
    from jobgen.errors import RunError
    from jobgen.machine.gpu import choose_build

    stopped = next((finding.message for finding in findings.errors), None)
    if stopped is None and facts.silent and not facts.environment_made:
        stopped = f"nothing was fetched yet, and {', '.join(facts.silent)} does not answer"
    here = next(e for e in environments().values() if e.gpu)
    try:
        choose_build(list(facts.cards), here, "gpu", smoke=False)
        gpu = stopped or "works"
    except RunError as error:
        gpu = f"no: {error.message}"
    return [
        (ANYWHERE, "works"),
        ("run on the CPU", f"no: {stopped}" if stopped else "works"),
        ("run on a GPU", gpu if gpu == "works" or gpu.startswith("no: ") else f"no: {gpu}"),
    ]
