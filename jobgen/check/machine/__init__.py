"""The rules of this machine: whether a job can run here."""

from __future__ import annotations

from jobgen.check.machine_facts import MachineFacts, machine_facts
from jobgen.check.rules import MACHINE, Rule, chosen_rules, in_order, run_rules
from jobgen.findings import Findings
from jobgen.job.plan import Plan
from jobgen.settings import Settings


def check_machine(
    settings: Settings, chosen: list[Rule] | None = None, plan: Plan | None = None
) -> Findings:
    """What the rules find on this machine, with a job's needs where its plan is given."""
    rules = chosen_rules(family=MACHINE) if chosen is None else chosen
    training = 0
    if plan is not None:
        batch_size = plan.values["batch_size"].value
        training = plan.model.training_mib(plan.input_size, batch_size)
    return machine_findings(machine_facts(settings, training), rules)


def machine_findings(facts: MachineFacts, chosen: list[Rule]) -> Findings:
    """What the rules find in the facts of a machine."""
    return in_order(run_rules(chosen, facts, (), "machine"))
