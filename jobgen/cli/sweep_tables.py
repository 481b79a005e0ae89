"""What is shown of a sweep: what became of its trials, the best of them, each of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobgen.cli.console import Console
from jobgen.cli.table import table
from jobgen.files import shown
from jobgen.language import label, translated
from jobgen.sweep.figures import value_text

if TYPE_CHECKING:
    from jobgen.sweep.live import Standing
    from jobgen.sweep.ranking import Group
    from jobgen.sweep.spec import Sweep

SHOWN = 12


def summary(
    console: Console, sweep: Sweep, trials: Sequence[Any], ranked: Sequence[Group] | None = None
) -> None:
    """What became of the trials, and the best of them."""
    from jobgen.sweep.ranking import best_groups, front
    from jobgen.sweep.retry import last_of_places, why_failed
    from jobgen.sweep.study import count

    counts = count(trials)
    console.data(f"{counts.done} done, {counts.pruned} ended early, {counts.failed} failed, "
                 f"{counts.running} running, {counts.waiting} waiting")  # fmt: skip
    found = best_groups(sweep, trials) if ranked is None else ranked
    if found:
        best = {id(group) for group in front(sweep, found)}
        shown_ones = found[: max(SHOWN, len(best))]
        rows = [row(sweep, group, id(group) in best) for group in shown_ones]
        console.verbatim(table([head(sweep), *rows]))
        if len(found) > len(rows):
            console.say(f"{len(found) - len(rows)} more combinations: "
                        f"jobgen sweep status {shown(sweep.path)} --json")  # fmt: skip
    over = sum(bool(group.over) for group in found)
    if over:
        console.say(f"{over} cost more than at_most allows, or nobody knows what; they come last.")
    for trial in last_of_places(trials):
        why = why_failed(trial)
        if why:
            console.say(f"trial {trial.number} failed: {why}")
    if counts.failed:
        console.say("Called as before and with --again, sweep run tries these once more.")
    if found and not found[0].over and not (counts.running or counts.waiting):
        console.say(f"Next: jobgen sweep best {shown(sweep.path)} --write NEW/job.yaml")


def head(sweep: Sweep) -> tuple[str, list[str]]:
    names = sweep.spec.objectives
    front = [label("front")] if len(names) > 1 else []
    costs = [name if name not in names else f"{name} (at_most)" for name in sweep.spec.at_most]
    return (names[0], [label("spread"), label("runs"), *names[1:], *front, *costs,
                       *sweep.spec.search])  # fmt: skip


def row(sweep: Sweep, group: Group, of_front: bool) -> tuple[str, list[str]]:
    others = [f"{statistics.fmean(group.others):.4g}"] if group.others else []
    if len(sweep.spec.objectives) > 1:
        others.append(label("yes") if of_front else "")
    others += [group.cost_text(name, most) for name, most in sweep.spec.at_most.items()]
    values = [value_text(group.params[path]) if path in group.params
              else ",".join(map(str, group.seeds)) for path in sweep.spec.search]  # fmt: skip
    return (f"{group.mean:.4g}", [f"{group.spread:.3g}", group.runs, *others, *values])


def trials_table(sweep: Sweep, found: Sequence[Standing]) -> str:
    """The trials as lines; those that wait as one."""
    from jobgen.sweep.spec import SEED
    from jobgen_runtime.record.text import duration_text

    paths = [path for path in sweep.spec.search if path != SEED]
    names = [
        label("state"),
        sweep.spec.objectives[0],
        label("epoch"),
        label("left"),
        label("seed"),
        *paths,
    ]
    lines = [(label("trial"), names)]
    for each in found:
        if each.state != "waiting":
            of = f"/{each.epochs}" if each.epochs else ""
            epoch = "" if each.epoch is None else f"{each.epoch}{of}"
            value = "" if each.value is None else f"{each.value:.4g}"
            left = "" if each.left is None else duration_text(each.left)
            seed = "" if each.seed is None else str(each.seed)
            values = [value_text(each.params[path]) if path in each.params else ""
                      for path in paths]  # fmt: skip
            lines.append((str(each.number), [label(each.state), value, epoch, left, seed, *values]))
    waiting = sum(each.state == "waiting" for each in found)
    return "\n".join([table(lines), *([translated(f"{waiting} waiting")] if waiting else [])])
