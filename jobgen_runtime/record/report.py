"""The report of a run: one HTML page that needs nothing else.

There is no script in it: the page's own policy forbids every request and every
script, and all that is shown is escaped.
"""

import base64
import os
from typing import Any, Dict, List, Sequence, Tuple

from jobgen_runtime.record.charts import (
    Axes,
    Series,
    chart,
    curve,
    data_share,
    escaped,
)
from jobgen_runtime.record.measured import COLOUR, Measured, RunRecord
from jobgen_runtime.record.outcome import finds_little, outcome, weak_text
from jobgen_runtime.record.page_style import page_html
from jobgen_runtime.record.page_words import GIVEN_TEXT, KINDS, NOISE, STATUS_TEXT
from jobgen_runtime.record.text import (
    duration_text,
    read_json_object,
    recordable,
    write_text_atomically,
)
from jobgen_runtime.train.trainwatch import read_metrics

LOG_LINES = 30
MOST_PICTURES = 12
MOST_PICTURE_BYTES = 400000
PICTURE_KINDS = {".png": "png", ".jpg": "jpeg"}


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
    text = report_page(record, language)
    write_text_atomically(run.path("report.html"), text)


def report_page(run: RunRecord, language: str = "en") -> str:
    """The whole page of a run."""
    return page_html(run.title, RunPage(language).run(run), language)


class RunPage(Measured):
    """All of a run in one language: what became of it and what to do, then what was measured, then
    how."""

    def run(self, run: RunRecord) -> str:
        return "".join(
            (
                self.verdict(run),
                self.main_figures(run),
                self.curves(run),
                self.evaluation(run),
                self.classes(run),
                self.confusion(run),
                self.pictures(run),
                self.training_pictures(run),
                self.parity(run),
                self.forms(run),
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

    def main_figures(self, run: RunRecord) -> str:
        cells = "".join(
            '<div><b>%s</b><span class="dim">%s</span></div>'
            % (escaped(value), escaped(self.say(name)))
            for name, value in self.figures(run)
        )
        return '<div class="figures">%s</div>\n' % cells if cells else ""

    def curves(self, run: RunRecord) -> str:
        """The training over its epochs, the best of them marked."""
        say, rows = self.say, run.rows
        best = (run.result.get("metrics") or {}).get("best") or {}
        marks = [(best["epoch"] + 1.0, say("best"))] if "epoch" in best else []
        parts = sorted({name for row in rows for name in row if name.startswith("loss_")})
        losses = [("loss", "loss"), *((name, name) for name in parts)]
        epoch = say("epochs")
        figures = chart(say("Loss"), self.series(rows, losses), Axes(epoch, say("loss")))
        for title, columns in (
            ("mAP", [("mAP@0.5", "mAP50"), ("mAP", "mAP")]),
            ("Accuracy", [("top-1", "top1"), ("top-5", "top5")]),
        ):
            axes = Axes(epoch, say("0 to 1"))
            figures += chart(say(title), self.series(rows, columns), axes, marks)
        rate = self.series(rows, [(say("Learning rate"), "learning_rate")])
        figures += chart(say("Learning rate"), rate, Axes(epoch, say("factor of a step")))
        speed = self.series(rows, [(say("images per second"), "ips")])
        figures += chart(say("Images per second"), speed, Axes(epoch, say("images per second")))
        waits = [(x, 100 * share) for x, share in data_share(rows)]
        wait = [Series(say("waiting for data"), waits, COLOUR["wait"])]
        axes = Axes(epoch, say("% of a step's time"))
        figures += chart(say("Share of waiting for data"), wait, axes)
        return self.head("Curves") + '<div class="charts">%s</div>\n' % figures if figures else ""

    def series(
        self, rows: List[Dict[str, Any]], columns: Sequence[Tuple[str, str]]
    ) -> List[Series]:
        """Columns of metrics.csv as curves, each in its own colour."""
        return [
            Series(name, curve(rows, column), COLOUR.get(column, (1, 3, 5, 6)[place % 4]))
            for place, (name, column) in enumerate(columns)
        ]

    def pictures(self, run: RunRecord) -> str:
        """Predictions beside the truth, by why they were chosen."""
        folder = os.path.join(run.folder, "predictions")
        kinds = self.kinds_of(folder)
        order = list(KINDS)
        drawn = pictures_in(folder)
        drawn.sort(key=lambda name: order.index(kinds[name]) if name in kinds else len(order))
        if not drawn:
            return ""
        text = self.head("Predictions")
        if finds_little(run.result):
            text += "<p><b>%s</b></p>" % escaped(self.say(NOISE))
        said = self.say("Ground truth left, prediction right.")
        text += '<p class="dim">%s</p>' % escaped(said)
        names = {name: self.say(KINDS[kind]) for name, kind in kinds.items()}
        return text + self.gallery(folder, drawn[:MOST_PICTURES], names)

    def kinds_of(self, folder: str) -> Dict[str, str]:
        """Why each picture was chosen, where somebody could say."""
        images = read_json_object(os.path.join(folder, "predictions.json")).get("images")
        rows = [row for row in images if isinstance(row, dict)] if isinstance(images, list) else []
        return {str(row.get("picture")): row["kind"] for row in rows if row.get("kind") in KINDS}

    def training_pictures(self, run: RunRecord) -> str:
        """Pictures as the training gets them."""
        folder = os.path.join(run.folder, "training_pictures")
        drawn = sorted(pictures_in(folder))
        if not drawn:
            return ""
        said = self.say("What the training gets, after augmentation; the boxes are the targets.")
        text = self.head("Training pictures") + '<p class="dim">%s</p>' % escaped(said)
        return text + self.gallery(folder, drawn, {}, " small")

    def gallery(
        self, folder: str, names: Sequence[str], words: Dict[str, str], size: str = ""
    ) -> str:
        """Pictures of a folder in the page, with a word and their names below."""
        parts = []
        for name in names:
            path = os.path.join(folder, *name.split("/"))
            kind = PICTURE_KINDS[os.path.splitext(name)[1].lower()]
            with open(path, "rb") as stream:
                data = base64.b64encode(stream.read()).decode("ascii")
            below = "%s: %s" % (words[name], name) if words.get(name) else name
            caption = "" if size else '<div class="dim">%s</div>' % escaped(below)
            parts.append(
                '<figure><img alt="%s" src="data:image/%s;base64,%s">%s</figure>\n'
                % (escaped(below), kind, data, caption)
            )
        return '<div class="pictures%s">%s</div>\n' % (size, "".join(parts))

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


def pictures_in(folder: str) -> List[str]:
    """The pictures below a folder that are small enough for a page, by their names in it."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            known = os.path.splitext(name)[1].lower() in PICTURE_KINDS
            if known and os.path.getsize(path) <= MOST_PICTURE_BYTES:
                found.append(os.path.relpath(path, folder).replace(os.sep, "/"))
    return found


def last_lines(path: str, count: int) -> List[str]:
    """The last lines of a file, of whatever size; none where it can't be read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - 400 * count))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
