"""Which values are best: by the mean over their seeds and how far these are apart, never by one
lucky run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobgen.sweep.retry import COSTS_OF, PLACE, SEED_OF
from jobgen.sweep.spec import OBJECTIVES, SEED, Range, Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from jobgen.sweep.rows import Row

    AnyTrial = FrozenTrial | Row
    Forms = Sequence[tuple[str, Callable[[float], float] | None]]


@dataclass
class Group:
    """All trials of the same values: these, as job.yaml has them and as Optuna has (`raw`), the
    value of the first objective of each, their seeds, numbers and folders."""

    params: dict[str, Any]
    raw: dict[str, Any] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    seeds: list[int | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    # Seeds of which the trial was ended early, and no other gave a value.
    cut: list[int | None] = field(default_factory=list)
    # What the model of each trial costs, and the costs that are over what sweep.yaml allows, or
    # that were not measured.
    costs: dict[str, list[float]] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)

    @property
    def runs(self) -> str:
        """How many gave a value, as `3`, or `1 of 3` where the others were ended early."""
        whole = len(self.values)
        return f"{whole} of {whole + len(self.cut)}" if self.cut else str(whole)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    def cost(self, name: str) -> float | None:
        """The mean over the trials; None where none was kept."""
        kept = self.costs.get(name)
        return statistics.fmean(kept) if kept else None

    def cost_text(self, name: str, most: float) -> str:
        """A cost for a table: `0.7`, `1.8 > 1.5` where that is too much, `?` where nobody knows."""
        cost = self.cost(name)
        if cost is None:
            return "?"
        return f"{cost:.4g} > {most:g}" if cost > most else f"{cost:.4g}"

    @property
    def spread(self) -> float:
        """From the lowest to the highest."""
        return max(self.values) - min(self.values)


def params_of(sweep: Sweep, trial: AnyTrial) -> tuple[dict[str, Any], int | None]:
    """What a trial that was made tried, and its seed."""
    return _params_of(trial, _forms(sweep))


def _forms(sweep: Sweep) -> Forms:
    """The paths that are tried, each with what makes a value of it one as job.yaml has it."""
    return [
        (path, choices.rounded if isinstance(choices, Range) and not choices.whole else None)
        for path, choices in sweep.spec.search.items()
    ]


def _params_of(trial: AnyTrial, forms: Forms) -> tuple[dict[str, Any], int | None]:
    given = trial.params
    params = {path: form(given[path]) if form else given[path]
              for path, form in forms if path in given}  # fmt: skip
    own = params.pop(SEED, None)
    return params, trial.user_attrs.get(SEED_OF, own)


def groups(sweep: Sweep, trials: Sequence[AnyTrial]) -> list[Group]:
    """The trials that ended with a value, by their values; each seed counts once."""
    found: dict[str, Group] = {}
    forms = _forms(sweep)
    for trial in trials:
        if trial.state.name not in ("COMPLETE", "PRUNED") or PLACE not in trial.user_attrs:
            continue
        params, seed = _params_of(trial, forms)
        # In one order, that of sweep.yaml.
        group = found.setdefault(repr(params), Group(params))
        if seed in group.seeds:
            continue
        if trial.state.name == "PRUNED":
            group.cut.append(seed)
            continue
        group.cut = [each for each in group.cut if each != seed]
        if not group.values:
            group.raw = {path: value for path, value in trial.params.items() if path != SEED}
        group.values.append(trial.values[0])
        group.others += trial.values[1:2]
        group.seeds.append(seed)
        group.numbers.append(trial.number)
        for name, cost in (trial.user_attrs.get(COSTS_OF) or {}).items():
            group.costs.setdefault(name, []).append(cost)
    ended = [group for group in found.values() if group.values]
    for group in ended if sweep.spec.at_most else ():
        # What nobody measured may be anything.
        group.over = [name for name, most in sweep.spec.at_most.items()
                      if (group.cost(name) or math.inf) > most]  # fmt: skip
    return ended


def best_groups(sweep: Sweep, trials: Sequence[AnyTrial]) -> list[Group]:
    """The groups, the best first: by the mean. Those that cost more than sweep.yaml allows come
    last; before them those of which a seed was ended early, as only their lucky ones were measured;
    before them those that fewer seeds than others have confirmed. Of two objectives those that no
    other beats in both come first."""
    found = groups(sweep, trials)
    most = max((len(group.values) for group in found), default=0)
    wanted = min(most, max(1, sweep.spec.confirm))
    first = {id(group) for group in front(sweep, found)}
    return sorted(
        found,
        key=lambda g: (
            bool(g.over), bool(g.cut), len(g.values) < wanted, id(g) not in first,
            _place(sweep, g), g.numbers[0],
        ),
    )  # fmt: skip


def front(sweep: Sweep, found: Sequence[Group]) -> list[Group]:
    """Of two objectives the groups that no other beats in both, the best of the first one first;
    without those that cost more than sweep.yaml allows. Empty for one objective."""
    if len(sweep.spec.objectives) < 2:
        return []
    best: list[Group] = []
    for group in sorted((each for each in found if not each.over), key=lambda g: _place(sweep, g)):
        place = _place(sweep, group)
        if not best or place[1] < _place(sweep, best[-1])[1] or place == _place(sweep, best[-1]):
            best.append(group)
    return best


def _place(sweep: Sweep, group: Group) -> tuple[float, ...]:
    """The means of the objectives, so that less is better."""
    means = [group.mean, *([statistics.fmean(group.others)] if group.others else [])]
    return tuple(-mean if OBJECTIVES[name] else mean
                 for name, mean in zip(sweep.spec.objectives, means, strict=False))  # fmt: skip
