"""Several runs on one page: a table that can be sorted, their curves together, then each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobgen.pages.frame import local_page
from jobgen.run.page import LocalPage
from jobgen_runtime.record.charts import Axes, Series, chart, curve, escaped
from jobgen_runtime.record.measured import BEST, RunRecord

# Sorts a table by the column whose head is clicked: numbers by their size, the rest as text.
SORT = """
document.querySelectorAll("table.sorted th button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "descending";
    const place = head.cellIndex;
    const key = (row) => row.cells[place].textContent;
    const number = (text) => parseFloat(text.replace(/,/g, ""));
    const order = (a, b) => {
      const one = number(key(a)), other = number(key(b));
      return isNaN(one) || isNaN(other) ? key(a).localeCompare(key(b)) : one - other;
    };
    const rows = [...body.rows].sort((a, b) => (down ? order(a, b) : order(b, a)));
    rows.forEach((row) => body.appendChild(row));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
  });
});
"""
CURVES = (
    ("mAP@0.5", "mAP50", "0 to 1"),
    ("mAP", "mAP", "0 to 1"),
    ("top-1", "top1", "0 to 1"),
    ("Loss", "loss", "loss"),
    ("Learning rate", "learning_rate", "factor of a step"),
    ("Images per second", "ips", "images per second"),
)


# How the config calls what the plan calls otherwise.
PLAN_NAMES = {"epoch": "epochs", "TrainReader.batch_size": "batch_size"}
PLAN_NAMES["LearningRate.base_lr"] = "base_lr"


def with_own_titles(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs with titles of their own: where two have one name, the time they began."""
    titles = [run.title for run in runs]
    found: list[RunRecord] = []
    for run in runs:
        if titles.count(run.title) > 1:
            began = str(run.result.get("started") or run.folder)[:16].replace("T", " ")
            run = run._replace(title=f"{run.title} {began}")
        while run.title in [other.title for other in found]:
            run = run._replace(title=run.title + "'")
        found.append(run)
    return found


def comparison_page(runs: Sequence[RunRecord], language: str = "en") -> str:
    """The whole page of several runs."""
    page = _Comparison(language)
    runs = with_own_titles(runs)
    body = page.table_of(runs) + page.curves_of(runs) + "".join(page.run(run) for run in runs)
    return local_page(page.say("Runs side by side"), body, language, SORT)


def differences(runs: Sequence[RunRecord]) -> list[str]:
    """Of each run what it had otherwise than another, as `train.base_lr: 0.02`."""
    jobs = []
    for run in runs:
        job = dict(run.result.get("job") or {})
        # Of another data set all is otherwise: its name says it.
        data = {"dataset": (job.pop("dataset", None) or {}).get("root")}
        jobs.append({**data, **_flat(job), **used_values(run.result)})
    paths = dict.fromkeys(path for job in jobs for path in job)
    differing = [path for path in paths if len({str(job.get(path)) for job in jobs}) > 1]
    # Of the name it is the title that says it.
    shown = [path for path in differing if path != "name"]
    return [", ".join(f"{path}: {job[path]}" for path in shown if job.get(path) is not None)
            for job in jobs]  # fmt: skip


def used_values(result: dict[str, Any]) -> dict[str, Any]:
    """What training had, in job.yaml's words: with what a parameter or the machine changed."""
    values = dict(result.get("plan") or {})
    for row in result.get("adjustments") or []:
        values[PLAN_NAMES.get(row["what"], row["what"])] = row["used"]
    return {f"train.{name}": values[name] for name in PLAN_NAMES.values() if name in values}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found.update(_flat(item, f"{path}.{key}" if path else str(key)))
    return found


class _Comparison(LocalPage):
    def table_of(self, runs: Sequence[RunRecord]) -> str:
        """A row a run, its figures, and what its job has otherwise than the others."""
        figures = [dict(self.figures(run)) for run in runs]
        named = [name for name in BEST if any(name in own for own in figures)] or list(BEST[:2])
        named += ["training"]
        head = ["run", "status", *named, "what differs"]
        cells = "".join(
            f'<th><button type="button">{escaped(self.say(name))}</button></th>' for name in head
        )
        lines = []
        others = zip(runs, figures, differences(runs), strict=True)
        for number, (run, own, differs) in enumerate(others):
            key = f'<span class="k{number % 8}">{escaped(run.title)}</span>'
            values = [run.result.get("status", ""), *(own.get(name, "") for name in named), differs]
            rest = "".join(f"<td>{escaped(value)}</td>" for value in values)
            lines.append(f'<tr><td><div class="key">{key}</div></td>{rest}</tr>\n')
        title = escaped(self.say("Runs side by side"))
        return (
            f'<h1>{title}</h1>\n<div class="wide" tabindex="0" role="group" aria-label="{title}">'
            f'<table class="sorted"><thead><tr>{cells}</tr></thead>\n'
            f"<tbody>{''.join(lines)}</tbody></table></div>\n"
        )

    def curves_of(self, runs: Sequence[RunRecord]) -> str:
        """A curve a run, in the run's colour; a run without one is not in the legend."""
        text = ""
        for title, column, unit in CURVES:
            series = [Series(run.title, curve(run.rows, column), place)
                      for place, run in enumerate(runs)]  # fmt: skip
            text += chart(self.say(title), series, Axes(self.say("epochs"), self.say(unit)))
        return f'<div class="charts">{text}</div>\n' if text else ""
