"""The report of one run, or of several side by side: one HTML page that needs nothing else.

There is no script in it: the page's own policy forbids every request and every
script, and all that is shown is escaped.
"""

import base64
import os
from typing import Any, Dict, List, Tuple

from jobgen_runtime.record.charts import chart, curve, data_share, escaped
from jobgen_runtime.record.measured import BEST, Measured, RunRecord
from jobgen_runtime.record.outcome import finds_little, outcome, weak_text
from jobgen_runtime.record.page_words import GIVEN_TEXT, NOISE, STATUS_TEXT, STYLE
from jobgen_runtime.record.text import duration_text, recordable, write_text_atomically
from jobgen_runtime.train.trainwatch import read_metrics

LOG_LINES = 30
MOST_PICTURES = 12
MOST_PICTURE_BYTES = 400000


def with_own_titles(runs: List[RunRecord]) -> List[RunRecord]:
    """The runs with titles of their own: where two have one name, the time they began."""
    titles = [run.title for run in runs]
    found: List[RunRecord] = []
    for run in runs:
        if titles.count(run.title) > 1:
            began = str(run.result.get("started") or run.folder)[:16].replace("T", " ")
            run = run._replace(title="%s %s" % (run.title, began))
        while run.title in [other.title for other in found]:
            run = run._replace(title=run.title + "'")
        found.append(run)
    return found


def used_values(result: Dict[str, Any]) -> Dict[str, Any]:
    """The plan's values as this run had them: with what a parameter or the machine changed."""
    values = dict(result.get("plan") or {})
    names = {"epoch": "epochs", "TrainReader.batch_size": "batch_size"}
    names["LearningRate.base_lr"] = "base_lr"
    for row in result.get("adjustments") or []:
        values[names.get(row["what"], row["what"])] = row["used"]
    return values


def shown_value(name: str, value: Any) -> str:
    """A fact of the machine for people: bytes as GB, lists and dicts as words."""
    large = isinstance(value, int) and not isinstance(value, bool) and value > 1 << 24
    if large and name in ("memory", "memory_available", "disk_free", "shared_memory_free"):
        return "%.1f GB" % (value / 2.0**30)
    if isinstance(value, dict):
        return ", ".join("%s %s" % (key, shown_value(key, item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(shown_value(name, item) for item in value) or "-"
    return "-" if value is None else str(value)


def read_run(folder: str, result: Dict[str, Any]) -> RunRecord:
    title = str(result.get("name") or os.path.basename(folder))
    return RunRecord(title, result, read_metrics(os.path.join(folder, "metrics.csv")), folder)


def write_report(language: str) -> None:
    """The page of the running job, beside its result."""
    run = outcome()
    record = read_run(run.folder, recordable(run.data))
    if not run.claimed:
        # The curve there is of an earlier run.
        record = record._replace(rows=[])
    text = report_page([record], language)
    write_text_atomically(run.path("report.html"), text)


def report_page(runs: List[RunRecord], language: str = "en") -> str:
    """The whole page. Several runs: a table and their curves over one another, then each."""
    page = _Page(language)
    runs = with_own_titles(runs)
    title = " · ".join(run.title for run in runs)
    body = page.comparison(runs) if len(runs) > 1 else ""
    body += "".join(page.run(run) for run in runs)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="%s"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="%s">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<title>%s</title><style>%s</style></head>\n<body>\n%s</body></html>\n"
    ) % ("zh-CN" if language == "zh" else "en", policy, escaped(title), STYLE, body)


def charts(runs: List[RunRecord], say: Any) -> str:
    """All figures of the runs, with one curve a run where there are several."""
    x_title = say("epoch")

    def of(title: str, columns: List[Tuple[str, str]]) -> str:
        series = []
        for run in runs:
            for name, column in columns:
                points = data_share(run.rows) if column == "wait" else curve(run.rows, column)
                label = run.title if len(runs) > 1 and len(columns) == 1 else name
                if len(runs) > 1 and len(columns) > 1:
                    label = "%s %s" % (run.title, name)
                series.append((label, points))
        return chart(title, series, x_title)

    found = of(say("Loss"), [("loss", "loss")])
    found += of("mAP", [("mAP@0.5", "mAP50"), ("mAP", "mAP")])
    found += of(say("Accuracy"), [("top-1", "top1"), ("top-5", "top5")])
    found += of(say("Learning rate"), [("learning rate", "learning_rate")])
    found += of(say("Images per second"), [("images/s", "ips")])
    found += of(say("Share of waiting for data"), [("data_cost / batch_cost", "wait")])
    return found


class _Page(Measured):
    """The whole page in one language."""

    def comparison(self, runs: List[RunRecord]) -> str:
        rows = []
        named = [n for n in BEST if any(n in dict(self.figures(run)) for run in runs)] or BEST[:2]
        for run in runs:
            figures = dict(self.figures(run))
            plan = used_values(run.result)
            rows.append(
                [run.title, run.result.get("status", "")]
                + [figures.get(name, "") for name in (*named, "training")]
                + [plan.get("epochs", ""), plan.get("batch_size", ""), plan.get("base_lr", "")]
            )
        head = ["run", "status", *named, "training", "epochs", "batch size"]
        text = "<h1>%s</h1>\n" % escaped(self.say("Runs side by side"))
        text += self.table([*head, "base_lr"], rows)
        return text + '<div class="charts">%s</div>\n' % charts(runs, self.say)

    def run(self, run: RunRecord) -> str:
        return "".join(
            (
                self.verdict(run),
                self.picture_figures(run),
                self.curves(run),
                self.evaluation(run),
                self.classes(run),
                self.confusion(run),
                self.parity(run),
                self.forms(run),
                self.pictures(run),
                self.facts(run),
                self.logs(run),
            )
        )

    def verdict(self, run: RunRecord) -> str:
        result = run.result
        status = str(result.get("status", ""))
        good = " good" if status.startswith("ok") and not finds_little(result) else ""
        text = "<h1>%s</h1>\n" % escaped(run.title)
        text += '<div class="verdict%s"><span class="status">%s</span> ' % (good, escaped(status))
        given = status == "ok" and "weights" in result
        weak = weak_text(result) if status == "ok" else ""
        said = GIVEN_TEXT if given else weak or STATUS_TEXT.get(status, "")
        text += escaped(self.say(said))
        failure = result.get("failure")
        if failure:
            text += "<p><b>%s</b>: %s</p>" % (
                escaped(failure["stage"]),
                escaped(failure["message"]),
            )
            if failure.get("remedy"):
                what = escaped(self.say("What to do"))
                text += "<p><b>%s</b>: %s</p>" % (what, escaped(failure["remedy"]))
            if failure.get("tail"):
                text += "<pre>%s</pre>" % escaped("\n".join(failure["tail"]))
        return text + "</div>\n"

    def picture_figures(self, run: RunRecord) -> str:
        cells = "".join(
            '<div><b>%s</b><span class="dim">%s</span></div>'
            % (escaped(value), escaped(self.say(name)))
            for name, value in self.figures(run)
        )
        return '<div class="figures">%s</div>\n' % cells if cells else ""

    def curves(self, run: RunRecord) -> str:
        figures = charts([run], self.say)
        return (
            '%s<div class="charts">%s</div>\n' % (self.head("Curves"), figures) if figures else ""
        )

    def pictures(self, run: RunRecord) -> str:
        folder = os.path.join(run.folder, "predictions")
        found = []
        for place, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(place, name)
                kind = {".png": "png", ".jpg": "jpeg"}.get(os.path.splitext(name)[1].lower())
                if kind and os.path.getsize(path) <= MOST_PICTURE_BYTES:
                    found.append((path, kind))
        if not found:
            return ""
        text = self.head("Predictions")
        if finds_little(run.result):
            text += "<p><b>%s</b></p>" % escaped(self.say(NOISE))
        text += '<p class="dim">%s</p>' % escaped(self.say("Ground truth left, prediction right."))
        text += '<div class="pictures">'
        for path, kind in found[:MOST_PICTURES]:
            with open(path, "rb") as stream:
                data = base64.b64encode(stream.read()).decode("ascii")
            name = escaped(os.path.relpath(path, folder))
            text += '<figure><img alt="%s" src="data:image/%s;base64,%s">' % (name, kind, data)
            text += '<div class="dim">%s</div></figure>' % name
        return text + "</div>\n"

    def facts(self, run: RunRecord) -> str:
        result = run.result
        stages = [
            [row["name"], row["status"], duration_text(row["seconds"]), row["text"]]
            for row in result.get("stages") or []
        ]
        origins = result.get("origins") or {}
        plan = [
            [key, value, origins.get(key, "")] for key, value in (result.get("plan") or {}).items()
        ]
        adjusted = [
            [row["what"], row["planned"], row["used"], row["why"]]
            for row in result.get("adjustments") or []
        ]
        notes = [[row["stage"] or "", row["text"]] for row in result.get("notes") or []]
        attempts = [
            [row["started"], row["status"], row["stage"] or "", row["message"] or ""]
            for row in result.get("attempts") or []
        ]
        machine = [
            [key if part != "source" else "PaddleDetection: %s" % key, shown_value(key, value)]
            for part in ("machine", "versions", "source")
            for key, value in (result.get(part) or {}).items()
        ]
        artefacts = [
            [row["path"], "{:,}".format(row["bytes"]), row["sha256"]]
            for row in result.get("artefacts") or []
        ]
        return (
            self.section("Stages", ["stage", "status", "time", "what it did"], stages)
            + self.section("Notes", ["stage", ""], notes)
            + self.section(
                "What this machine or a parameter changed", ["", "planned", "used", "why"], adjusted
            )
            + self.section("Earlier attempts", ["time", "status", "stage", ""], attempts)
            + self.section("Plan", ["", "value", "origin"], plan)
            + self.section("Machine", ["", "value"], machine)
            + self.section("Artefacts", ["file", "bytes", "SHA-256"], artefacts)
        )

    def logs(self, run: RunRecord) -> str:
        folder = os.path.join(run.folder, "logs")
        text = ""
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            tail = "\n".join(last_lines(os.path.join(folder, name), LOG_LINES))
            if tail:
                text += "<details><summary>%s</summary><pre>%s</pre></details>\n" % (
                    escaped(name),
                    escaped(tail),
                )
        return self.head("Logs, their last lines") + text if text else ""


def last_lines(path: str, count: int) -> List[str]:
    """The last lines of a file, of whatever size; none where it can't be read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - 400 * count))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
