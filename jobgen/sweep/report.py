"""A sweep's page, and its winner as a job."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobgen.language import chosen, label, translated
from jobgen.pages.frame import local_page
from jobgen.run.page import LocalPage
from jobgen.spec import parse_any
from jobgen.sweep.figures import value_text
from jobgen.sweep.ranking import Group, best_groups, front, params_of
from jobgen.sweep.retry import last_of_places, why_failed
from jobgen.sweep.spec import SEED, STREAMED, Sweep
from jobgen.sweep.storage import need_optuna
from jobgen.sweep.study import count, value_at
from jobgen.text import one_line
from jobgen.yamlio import load
from jobgen_runtime.record.charts import (
    Axes,
    Frame,
    Series,
    bars,
    chart,
    escaped,
    figure,
    nice_ticks,
    number_text,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MOST_CURVES = 16
SHOWN = 40
# Of fewer combinations the share that is put down to a value is chance.
LEAST_COMPARED = 10


def best_job(sweep: Sweep, found: Sequence[Group], goal: Path) -> str:
    """The job.yaml of the best, the evidence above it. Raises SpecError where its template would
    not be found from there."""
    best = found[0]
    name = sweep.spec.objectives[0]
    lines = [
        translated(f"The best of {len(found)} combinations of {sweep.path.name}, by {name}:"),
        *(f"{group.mean:.4g} +- {group.spread / 2:.2g} ({len(group.values)}): "
          f"{', '.join(f'{path} {value_text(value)}' for path, value in group.params.items())}"
          for group in found[:5]),
        *(translated(f"Its trials had -p {parameter} {value}, which no job.yaml holds.")
          for parameter, value in sweep.parameters),
    ]  # fmt: skip
    head = "".join(f"# {one_line(line)}\n" for line in lines)
    text = head + sweep.text_of(best.params).replace(
        f'name: "{sweep.name_of(best.params)}"', f'name: "{sweep.job.name}"', 1
    )
    parse_any(load(text, str(goal)))
    return text


def sweep_page(sweep: Sweep, study: Study) -> str:
    """The whole page, in the language that is spoken."""
    trials = study.get_trials(deepcopy=False)
    page = _Page(sweep, trials, chosen())
    title = translated(f"Sweep of {sweep.job.name}")
    body = f"<h1>{escaped(title)}</h1>\n{page.state()}{page.ranking()}{page.differences()}"
    return local_page(title, body + page.charts(study) + page.failures(), chosen())


class _Page(LocalPage):
    def __init__(self, sweep: Sweep, trials: Sequence[FrozenTrial], language: str) -> None:
        super().__init__(language)
        self.sweep, self.trials = sweep, trials
        self.best = best_groups(sweep, trials)
        self.names = sweep.spec.objectives

    def state(self) -> str:
        counts = count(self.trials)
        said = translated(
            f"{counts.done} done, {counts.pruned} ended early, {counts.failed} failed, "
            f"{counts.running} running, {counts.waiting} waiting"
        )
        return f'<div class="verdict good">{escaped(said)}</div>\n'

    def ranking(self) -> str:
        """The best first: mean, spread, runs, values."""
        rows = []
        bounds = self.sweep.spec.at_most
        best = {id(group) for group in front(self.sweep, self.best)}
        of_front = [label("front")] if len(self.names) > 1 else []
        for group in self.best[: max(SHOWN, len(best))]:
            other = [f"{statistics.fmean(group.others):.4g}"] if group.others else []
            other += [label("yes") if id(group) in best else ""] if len(self.names) > 1 else []
            other += [group.cost_text(name, most) for name, most in bounds.items()]
            seeds = ", ".join(str(seed) for seed in group.seeds if seed is not None)
            values = [value_text(group.params[path]) if path in group.params else seeds
                      for path in self.sweep.spec.search]  # fmt: skip
            rows.append([f"{group.mean:.4g}", f"{group.spread:.3g}", group.runs, *other, *values])
        head = [self.names[0], label("spread"), label("runs"), *self.names[1:], *of_front,
                *(f"{name} (at_most)" for name in bounds),
                *self.sweep.spec.search]  # fmt: skip
        said = escaped(self.say("The mean over the seeds, and from the lowest to the highest; a "
                                "single run may have been lucky."))  # fmt: skip
        return self.section("Ranking", head, rows) + (f'<p class="dim">{said}</p>' if rows else "")

    def differences(self) -> str:
        """What the best has otherwise than the job; nothing where it is the job itself."""
        if not self.best or self.best[0].over:
            return ""
        job = self.sweep.job.model_dump(mode="json")
        pairs = [(path, value_at(job, path), value) for path, value in self.best[0].params.items()]
        rows = [[path, value_text(before), value_text(now)]
                for path, before, now in pairs if before != now]  # fmt: skip
        head = [label("values"), label("job"), label("best")]
        return self.section("What the best has otherwise", head, rows) if rows else ""

    def charts(self, study: Study) -> str:
        drawn = self.trial_curves() + self.parallel() + self.importance(study)
        if len(self.names) > 1:
            drawn += self.pareto()
        return f'{self.head("Charts")}<div class="charts">{drawn}</div>\n' if drawn else ""

    def trial_curves(self) -> str:
        """The streamed figure of each trial over its epochs, the best ones first."""
        if self.names[0] not in STREAMED:
            return ""
        order = [number for group in self.best for number in group.numbers]
        place = {number: at for at, number in enumerate(order)}
        drawn = sorted(self.trials, key=lambda trial: place.get(trial.number, len(order)))
        series = [
            Series(f"{trial.number}", [(float(x), y) for x, y in
                                       sorted(trial.intermediate_values.items())], at)
            for at, trial in enumerate(t for t in drawn if t.intermediate_values)
        ]  # fmt: skip
        axes = Axes(self.say("epochs"), self.names[0])
        return chart(self.say("Trials over their epochs"), series[:MOST_CURVES], axes)

    def parallel(self) -> str:
        """Parallel coordinates: a line a combination, from its values to what they gave; the best
        are dark."""
        paths = [path for path in self.sweep.spec.search
                 if any(path in group.params for group in self.best)]  # fmt: skip
        if len(self.best) < 2 or not paths:
            return ""
        columns = [[_place(group.params.get(path), [g.params.get(path) for g in self.best])
                    for group in self.best] for path in paths]  # fmt: skip
        means = [group.mean for group in self.best]
        columns.append([_place(mean, means) for mean in means])
        frame = Frame((0.0, float(len(columns) - 1)), (0.0, 1.0))
        parts = []
        for at, (path, _) in enumerate(zip([*paths, self.names[0]], columns, strict=True)):
            x, top = frame.place(at, 1.0)
            _, bottom = frame.place(at, 0.0)
            values = means if at == len(paths) else [g.params.get(path) for g in self.best]
            low, high = _ends(values)
            anchor = "end" if at == len(columns) - 1 else "start" if at == 0 else "middle"
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
            for y, text in ((top - 4, high), (bottom + 14, low), (bottom + 30, path)):
                parts.append(
                    f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>'
                )
        for rank in reversed(range(len(self.best))):
            places = [frame.place(at, column[rank]) for at, column in enumerate(columns)]
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            fade = max(0.25, 1 - rank / max(1, len(self.best)))
            title = escaped(f"{self.names[0]} {means[rank]:.4g}")
            parts.append(f'<path class="k0" stroke-opacity="{fade:.2f}" d="M{corners}">'
                         f"<title>{title}</title></path>")  # fmt: skip
        axes = Axes("", "")
        return figure(self.say("Values and what they gave"), axes, "".join(parts), [])

    def importance(self, study: Study) -> str:
        """How much each value matters, by Optuna's PED-ANOVA; nothing where there is just one, or
        too few combinations to tell."""
        paths = self.sweep.spec.search.keys() - {SEED}
        if len(self.best) < LEAST_COMPARED or len(paths) < 2:
            return ""
        optuna = need_optuna()
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        target = (lambda trial: trial.values[0]) if len(self.names) > 1 else None
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=target
            )
        except Exception:  # of few trials, or all with one value
            return ""
        rows = [(path, [(share, f"{share:.2f}", 2)]) for path, share in found.items()
                if path != SEED]  # fmt: skip
        title = escaped(self.say("How much each matters, 0 to 1 (PED-ANOVA)"))
        return f"<figure><figcaption>{title}</figcaption>{bars(rows, 1.0)}</figure>" if rows else ""

    def pareto(self) -> str:
        """Two objectives against one another; those that no other beats in both are dark."""
        best = front(self.sweep, self.best)
        pairs = [(statistics.fmean(g.others), g.mean, g in best) for g in self.best if g.others]
        if len(pairs) < 2:
            return ""
        limits = [
            (min(values), max(values))
            for values in zip(*[(x, y) for x, y, _ in pairs], strict=True)
        ]
        x, y = ((low - 0.05 * ((high - low) or 1), high + 0.05 * ((high - low) or 1))
                for low, high in limits)  # fmt: skip
        frame = Frame(x, y)
        parts = [frame.grid(Axes(self.names[1], self.names[0]), nice_ticks(*x, 5), nice_ticks(*y))]
        for at_x, at_y, is_best in pairs:
            px, py = frame.place(at_x, at_y)
            kind = "k0" if is_best else "k7"
            said = escaped(f"{self.names[0]} {at_y:.4g}, {self.names[1]} {number_text(at_x)}")
            parts.append(f'<g class="{kind}"><circle cx="{px:.1f}" cy="{py:.1f}" r="5">'
                         f"<title>{said}</title></circle></g>")  # fmt: skip
        keys = [(self.say("none is better in both"), 0), (self.say("the others"), 7)]
        axes = Axes(self.names[1], self.names[0])
        return figure(self.say("Two objectives"), axes, "".join(parts), keys)

    def failures(self) -> str:
        failed = [(trial, why_failed(trial)) for trial in last_of_places(self.trials)]
        rows = [[trial.number, _words(self.sweep, trial), why] for trial, why in failed if why]
        return self.section("Trials that failed", ["trial", "values", "why"], rows)


def _words(sweep: Sweep, trial: FrozenTrial) -> str:
    params, seed = params_of(sweep, trial)
    own = {**params, **({"seed": seed} if seed is not None else {})}
    return ", ".join(f"{path} {value_text(value)}" for path, value in own.items())


def _place(value: Any, values: Sequence[Any]) -> float:
    """Where a value lies among others, 0 to 1: a number by its size, anything else by its turn."""
    if _numbers(values):
        low, high = min(values), max(values)
        return float((value - low) / ((high - low) or 1))
    order = sorted({str(each) for each in values})
    return order.index(str(value)) / max(1, len(order) - 1)


def _ends(values: Sequence[Any]) -> tuple[str, str]:
    if _numbers(values):
        return number_text(float(min(values))), number_text(float(max(values)))
    order = sorted({str(each) for each in values})
    return order[0], order[-1]


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values)
