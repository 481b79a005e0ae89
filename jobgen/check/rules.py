"""What a rule is, how it is found, and how its hits become findings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jobgen.findings import Finding, Findings, Severity
from jobgen_runtime.data.faults import CLASS_FAULTS, FAULTS

NOTEBOOKS = {**FAULTS, **CLASS_FAULTS}
EXAMPLES = 3
SHOWN = 5
DATA, JOB, MACHINE = "jobgen.check.data", "jobgen.check.job", "jobgen.check.machine"
CLASSES = "jobgen.check.classes"
FAMILIES = (DATA, CLASSES, JOB, MACHINE)
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True)
class Hit:
    """Something that a rule found: how often, the first few places, and the file it is in.

    `rows` are the images of the split that it is about, where it is about images or boxes;
    `remedy` is what to do where the rule's own is of no use.
    """

    count: int
    examples: Sequence[str]
    place: str = ""
    detail: str = ""
    rows: Sequence[int] = ()
    remedy: str = ""


Scope = Literal["set", "split", "job", "machine", "classes", "plan"]


def names_hit(names: Iterable[str], place: str = "", detail: str = "") -> Iterator[Hit]:
    """One hit for things with names; nothing for none."""
    found = list(names)
    if found:
        yield Hit(len(found), found[:SHOWN], place, detail)


Find = Callable[..., Iterable[Hit]]
Decorator = Callable[[Find], Find]


@dataclass(frozen=True)
class Rule:
    """A check with a stable code.

    `title` names the fault, `why` says what training would make of it, `remedy` what to do.
    `scope` says what `find` is called with: the facts of the data set ("set"), these and each
    split ("split"), the facts of the job ("job"), those of this computer ("machine") or of a
    classification set ("classes"), or the plan of a classification ("plan").
    """

    code: str
    severity: Severity
    title: str
    why: str
    remedy: str
    name: str
    scope: Scope
    find: Find


def repair(code: str) -> str:
    """The command that repairs what a rule finds."""
    return f"jobgen dataset convert SRC DST.zip --fix {code}"


SCOPES: dict[str | None, tuple[Scope, ...]] = {
    DATA: ("set", "split"),
    JOB: ("job",),
    MACHINE: ("machine",),
    CLASSES: ("classes", "plan"),
}
REGISTERED: dict[str, Rule] = {}


def _register(
    code: str, severity: Severity, title: str, why: str, remedy: str, scope: Scope
) -> Decorator:
    # What the notebook's data stage stops at has its word from there.
    word = NOTEBOOKS.get(code, title)

    def register(find: Find) -> Find:
        if code in REGISTERED or not word or (title and code in NOTEBOOKS):
            raise ValueError(f"{code} {find.__name__}: one code, one title")
        name = find.__name__
        REGISTERED[code] = Rule(code, severity, word, why, remedy, name, scope, find)
        return find

    return register


def whole_set(
    code: str, severity: Severity, title: str = "", *, why: str, remedy: str
) -> Decorator:
    """A rule about the whole set: `find(facts)`."""
    return _register(code, severity, title, why, remedy, "set")


def each_split(
    code: str, severity: Severity, title: str = "", *, why: str, remedy: str
) -> Decorator:
    """A rule about a split: `find(facts, split)`."""
    return _register(code, severity, title, why, remedy, "split")


def job(code: str, severity: Severity, title: str = "", *, why: str, remedy: str) -> Decorator:
    """A rule about the job and its files: `find(facts)`."""
    return _register(code, severity, title, why, remedy, "job")


def classes(code: str, severity: Severity, title: str = "", *, why: str, remedy: str) -> Decorator:
    """A rule about a classification set: `find(facts)`."""
    return _register(code, severity, title, why, remedy, "classes")


def plan(code: str, severity: Severity, title: str = "", *, why: str, remedy: str) -> Decorator:
    """A rule about the plan of a classification: `find(plan)`."""
    return _register(code, severity, title, why, remedy, "plan")


def machine(code: str, severity: Severity, title: str = "", *, why: str, remedy: str) -> Decorator:
    """A rule about this computer: `find(facts)`."""
    return _register(code, severity, title, why, remedy, "machine")


@cache
def rules(family: str | None = None) -> dict[str, Rule]:
    """Every rule by its code, in the order of the codes; of one family only, if it is named,
    since those of data sets take NumPy with them."""
    for name in FAMILIES if family is None else (family,):
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{name}.{module.name}")
    scopes = SCOPES.get(family, tuple(scope for part in SCOPES.values() for scope in part))
    wanted = (rule for rule in REGISTERED.values() if rule.scope in scopes)
    return {rule.code: rule for rule in sorted(wanted, key=lambda rule: rule.code)}


def chosen_rules(
    select: Sequence[str] = (), ignore: Sequence[str] = (), family: str | None = None
) -> list[Rule]:
    """The rules whose code begins with one of `select`, less those of `ignore`.

    Raises ValueError for a beginning that no code has.
    """
    known = rules(family)
    for prefix in (*select, *ignore):
        if not prefix or not any(code.startswith(prefix) for code in known):
            raise ValueError(f"no rule begins with {prefix!r}; jobgen check --rules lists them")
    wanted = [rule for rule in known.values() if not select or rule.code.startswith(tuple(select))]
    return [rule for rule in wanted if not (ignore and rule.code.startswith(tuple(ignore)))]


def run_rules(
    chosen: Iterable[Rule], facts: Any, splits: Sequence[Any], *scopes: Scope
) -> Findings:
    """Call the rules of some scopes; a rule's hits are grouped by the file they are in."""
    found = Findings()
    for rule in chosen:
        if rule.scope in scopes:
            parts = [(facts, s) for s in splits] if rule.scope == "split" else [(facts,)]
            for arguments in parts:
                for hit in rule.find(*arguments):
                    found.add(finding(rule, hit))
    return found


def finding(rule: Rule, hit: Hit) -> Finding:
    title = rule.title if hit.count == 1 else f"{rule.title}: {hit.count:,}"
    message = f"{title}: {hit.detail}" if hit.detail else title
    examples = tuple(hit.examples[:EXAMPLES])
    return Finding(
        rule.code,
        rule.severity,
        message,
        hit.place,
        hit.remedy or rule.remedy,
        rule.why,
        hit.count,
        examples,
    )


def in_order(findings: Findings) -> Findings:
    """Errors first, then warnings, then notes; by code within."""
    weight = list(Severity)
    return Findings(sorted(findings, key=lambda f: (weight.index(f.severity), f.code)))
