"""Which values are best: by the mean over their seeds and how far these are apart, never by one
lucky run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobgen.sweep.retry import PLACE, SEED_OF
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

    @property
    def runs(self) -> str:
        """How many gave a value, as `3`, or `1 of 3` where the others were ended early."""
        whole = len(self.values)
        return f"{whole} of {whole + len(self.cut)}" if self.cut else str(whole)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

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
    return [group for group in found.values() if group.values]


def best_groups(sweep: Sweep, trials: Sequence[AnyTrial]) -> list[Group]:
    """The groups, the best first: by the mean. Those of which a seed was ended early come last, as
    only their lucky ones were measured; before them those that fewer seeds than others have
    confirmed."""
    sign = -1.0 if OBJECTIVES[sweep.spec.objectives[0]] else 1.0
    found = groups(sweep, trials)
    most = max((len(group.values) for group in found), default=0)
    wanted = min(most, max(1, sweep.spec.confirm))
    return sorted(
        found, key=lambda g: (bool(g.cut), len(g.values) < wanted, sign * g.mean, g.numbers[0])
    )


def front(sweep: Sweep, trials: Sequence[AnyTrial]) -> list[Group]:
    """Of two objectives the groups that no other is better than in both."""
    one, other = (1.0 if OBJECTIVES[name] else -1.0 for name in sweep.spec.objectives)
    found = groups(sweep, trials)

    def place(group: Group) -> tuple[float, float]:
        return one * group.mean, other * statistics.fmean(group.others)

    return [
        group
        for group in found
        if not any(
            place(rival) != place(group)
            and place(rival)[0] >= place(group)[0]
            and place(rival)[1] >= place(group)[1]
            for rival in found
        )
    ]
