"""What was measured of a run, as parts of its page."""

import re
from typing import Any, Dict, List, NamedTuple, Tuple

from jobgen_runtime.record.charts import (
    Axes,
    Series,
    bars,
    chart,
    curve,
    data_share,
    escaped,
    median,
    shade,
)
from jobgen_runtime.record.figures import main_figure
from jobgen_runtime.record.page_words import ZH
from jobgen_runtime.record.text import duration_text

MOST_CLASSES = 20
# What stands in large print, and the beginnings of an evaluation's figures.
BEST = ("best mAP@0.5", "best mAP", "best top-1", "best top-5")
FIGURES = ("mA", "AR", "to")
NUMBER = re.compile(r"^-?[\d,]+(?:\.\d+)?(?:e[+-]?\d+)?$")
# A quantity has this colour in every chart of a run.
COLOUR = {"loss": 4, "mAP50": 0, "mAP": 2, "top1": 0, "top5": 2, "learning_rate": 3, "ips": 5}
COLOUR["wait"] = 1


def _called(name: str) -> str:
    """A figure as people call it."""
    known = {"mAP50": "mAP@0.5", "mAP75": "mAP@0.75", "top1": "top-1", "top5": "top-5"}
    return known.get(name, name.replace("_", ", "))


class RunRecord(NamedTuple):
    """What a page shows of a run: its result, the rows of metrics.csv, and where its files are."""

    title: str
    result: Dict[str, Any]
    rows: List[Dict[str, Any]]
    folder: str


def _is_numbers(cells: List[Any]) -> bool:
    """Whether all cells that say something are numbers, as 0.612, 1,200 or -."""
    said = [str(cell) for cell in cells if cell not in ("", "-", None)]
    return bool(said) and all(NUMBER.match(text) for text in said)


def _share(value: float) -> str:
    """A figure from 0 to 1; COCO's -1 where there is no such ground truth."""
    return "-" if value < 0 else "%.3f" % value


class PageParts:
    """The parts of the page in one language."""

    def __init__(self, language: str) -> None:
        self.words = ZH if language == "zh" else {}

    def say(self, text: str) -> str:
        return self.words.get(text, text)

    def head(self, text: str) -> str:
        return "<h2>%s</h2>\n" % escaped(self.say(text))

    def table(self, head: List[str], rows: List[List[Any]], name: str = "") -> str:
        """A table, columns of numbers to the right; `name` for those who don't see it."""
        columns = range(len(head))
        right = [' class="n"' if _is_numbers([row[n] for row in rows]) else "" for n in columns]
        cells = "".join(
            "<th%s>%s</th>" % (right[n], escaped(self.say(head[n]))) if head[n] else "<td></td>"
            for n in columns
        )
        lines = "".join(
            "<tr>%s</tr>\n"
            % "".join("<td%s>%s</td>" % (right[n], escaped(row[n])) for n in columns)
            for row in rows
        )
        label = escaped(name or self.say(head[-1]))
        return (
            '<div class="wide" tabindex="0" role="group" aria-label="%s">'
            "<table><thead><tr>%s</tr></thead>\n<tbody>%s</tbody></table></div>\n"
        ) % (label, cells, lines)

    def section(self, title: str, head: List[str], rows: List[List[Any]]) -> str:
        return self.head(title) + self.table(head, rows, self.say(title)) if rows else ""


class Measured(PageParts):
    """What training, evaluation and export measured."""

    def figures(self, run: RunRecord) -> List[Tuple[str, str]]:
        """What is said in large print: names (in English) and values."""
        metrics = run.result.get("metrics") or {}
        best, trend = metrics.get("best") or {}, metrics.get("loss") or {}
        found = []
        main = main_figure(best)
        if main is not None:
            text = "%.3f (epoch %d)" % (main[1], int(best.get("epoch", 0)) + 1)
            found.append(("best " + main[0], text))
        for key, title in (("mAP", "best mAP"), ("top5", "best top-5")):
            if key in best:
                found.append((title, "%.3f" % best[key]))
        if trend:
            found.append(
                ("loss, first and last fifth", "%.3f → %.3f" % (trend["first"], trend["last"]))
            )
        if metrics.get("train_seconds"):
            found.append(("training", duration_text(metrics["train_seconds"])))
        expected = (run.result.get("expected") or {}).get("train_seconds")
        if expected and metrics.get("train_seconds"):
            found.append(("training, as expected before", duration_text(expected)))
        speed = median([y for _, y in curve(run.rows, "ips")])
        if speed is not None:
            found.append(("images per second", "%.1f" % speed))
        wait = median([y for _, y in data_share(run.rows)])
        if wait is not None:
            found.append(("waiting for data", "%.0f %%" % (100 * wait)))
        if run.result.get("memory_peak"):
            gigabytes = run.result["memory_peak"] / 2.0**30
            found.append(("most memory of a process", "%.1f GB" % gigabytes))
        return found

    def evaluation(self, run: RunRecord) -> str:
        """What the stage evaluate measured: COCO's figures, and precision over recall."""
        metrics = run.result.get("metrics") or {}
        figures = metrics.get("evaluation") or {}
        if not figures:
            return ""
        named = sorted((n for n in figures if n[:2] in FIGURES), key=lambda n: n[:2] == "AR")
        cells = [[_called(name), _share(figures[name])] for name in named]
        half = -(-len(cells) // 2)
        rows = [left + right for left, right in zip(cells[:half], cells[half:] + [["", ""]])]
        text = self.section("Evaluation", ["", "", "", ""], rows)
        if figures.get("tiles"):
            said = self.say("Images larger than %d px were read in tiles; whole: mAP@0.5 %.3f")
            tiled = (figures["tiles"]["size"], figures["whole"]["mAP50"])
            text += "<p>%s</p>" % escaped(said % tiled)
        best = metrics.get("best_f1") or {}
        if best:
            said = self.say("Best F1 %.3f at a score of %.2f: precision %.3f, recall %.3f")
            values = (best["f1"], best["threshold"], best["precision"], best["recall"])
            text += "<p>%s</p>" % escaped(said % values)
        return text + '<div class="charts">%s</div>\n' % (
            self.precision_chart(metrics) + self.f1_chart(metrics)
        )

    def precision_chart(self, metrics: Dict[str, Any]) -> str:
        """Precision over recall, a curve for each class, in the class's colour."""
        order = [row["class"] for row in metrics.get("per_class") or []]
        series = [
            Series(name, [(n / 100.0, value) for n, value in enumerate(values) if value >= 0],
                   order.index(name) if name in order else 0)
            for name, values in (metrics.get("precision_recall") or {}).items()
        ]  # fmt: skip
        axes = Axes(self.say("recall"), self.say("precision"), (0.0, 1.0), 1.0)
        return chart(self.say("Precision over recall, IoU 0.5"), series[:MOST_CLASSES], axes)

    def f1_chart(self, metrics: Dict[str, Any]) -> str:
        """What a higher or lower threshold would give, the chosen one marked."""
        rows = metrics.get("f1") or []
        best = (metrics.get("best_f1") or {}).get("threshold")
        names = (("F1", 3, 0), (self.say("precision"), 1, 5), (self.say("recall"), 2, 1))
        series = [Series(name, [(r[0], r[at]) for r in rows], c) for name, at, c in names]
        axes = Axes(self.say("score from which boxes count"), self.say("0 to 1"), (0.0, 1.0), 1.0)
        marks = [(best, self.say("the score of the best F1"))] if best is not None else []
        return chart(self.say("F1, precision and recall over the score"), series, axes, marks)

    def classes(self, run: RunRecord) -> str:
        """The figures of each class, as a table and, of not too many, as bars in their colours."""
        by_class = (run.result.get("metrics") or {}).get("per_class") or []
        if by_class and "F1" in by_class[0]:
            ways = ("precision", "recall", "F1")
            rows = [[r["class"], *(_share(r[way]) for way in ways), r["images"]] for r in by_class]
            table = self.section("Each class", ["class", *ways, "images"], rows)
            return table + self.class_bars(by_class, ["F1"])
        rows = [
            [row["class"], _share(row["AP"]), _share(row["AP50"]), row.get("boxes", "")]
            for row in by_class
        ]
        head = ["class", "AP", "AP@0.5", "boxes"]
        table = self.section("Average precision by class", head, rows)
        return table + self.class_bars(by_class, ["AP50", "AP"])

    def class_bars(self, by_class: List[Dict[str, Any]], ways: List[str]) -> str:
        if not 1 < len(by_class) <= MOST_CLASSES:
            return ""
        rows = [(row["class"], [(row[way], _share(row[way]), place) for way in ways])
                for place, row in enumerate(by_class)]  # fmt: skip
        said = "Each class: AP@0.5 and AP" if len(ways) > 1 else "Each class: F1"
        return '<p class="dim">%s</p>%s' % (escaped(self.say(said)), bars(rows, 1.0))

    def confusion(self, run: RunRecord) -> str:
        """Which class is taken for which: a shaded table, or for many classes the commonest
        mistakes."""
        metrics = run.result.get("metrics") or {}
        found = metrics.get("confusion") or {}
        names = [row["class"] for row in metrics.get("per_class") or []]
        rows = found.get("rows") or []
        boxes = "threshold" in found
        names += [self.say("nothing")] if boxes else []
        if len(rows) != len(names):
            return ""
        title = self.say("Class (rows) and what was predicted")
        if boxes:
            title = self.say("Ground truth (rows) and what was found, from a score of %.2f")
            title = title % found["threshold"]
        if len(names) <= MOST_CLASSES:
            return self.head(title) + self.matrix(names, rows, title)
        pairs = [
            (count, names[there], names[seen])
            for there, row in enumerate(rows)
            for seen, count in enumerate(row)
            if count and there != seen
        ]
        pairs.sort(key=lambda pair: -pair[0])
        head = ["times", "there", "found"]
        return self.section(title, head, [list(pair) for pair in pairs[:MOST_CLASSES]])

    def matrix(self, names: List[str], rows: List[List[int]], title: str) -> str:
        """Counts, each cell as dark as its share of its row."""
        head = "<td></td>" + "".join(
            '<th class="cell" scope="col">%s</th>' % escaped(name) for name in names
        )
        lines = []
        for name, row in zip(names, rows):
            total = float(sum(row)) or 1.0
            cells = "".join(
                '<td class="cell" style="%s">%d</td>' % (shade(count / total), count)
                for count in row
            )
            lines.append('<tr><th scope="row">%s</th>%s</tr>\n' % (escaped(name), cells))
        return (
            '<div class="wide" tabindex="0" role="group" aria-label="%s"><table class="matrix">'
            "<thead><tr>%s</tr></thead>\n<tbody>%s</tbody></table></div>\n"
        ) % (escaped(title), head, "".join(lines))

    def parity(self, run: RunRecord) -> str:
        """How far what the exported model says is from what the trained one says."""
        metrics = run.result.get("metrics") or {}
        forms = sorted((metrics.get("parity") or {}).items())
        if forms and "unlike" in forms[0][1]:
            head = ["form", "images", "images of another class", "largest difference of a score"]
            rows = [[f, r["images"], r["unlike"], "%.7f" % r["largest_score"]] for f, r in forms]
        else:
            head = ["form", "boxes", "images", "largest distance, px", "difference of mAP"]
            rows = [
                [form, row["boxes"], row["images"], "%.6f" % row["largest_px"], "%.6f" % row["mAP"]]
                for form, row in forms
            ]
        if metrics.get("latency"):
            head.append("ms a picture")
            took = "%.1f" % metrics["latency"]["milliseconds"]
            rows = [row + [took if row[0] == "onnx" else ""] for row in rows]
        return self.section("The exported model beside the trained one", head, rows)

    def forms(self, run: RunRecord) -> str:
        """What forms of the exported model measured beside it, and which were not kept."""
        forms = list(((run.result.get("metrics") or {}).get("forms") or {}).items())
        kept = [row for _, row in forms if not row.get("fault")]
        rows: List[List[Any]] = [_form_row("ONNX", row, "model_") for row in kept[:1]]
        for name, row in forms:
            fault = "%s: %s" % (self.say("not kept"), row.get("fault"))
            rows.append([name, fault] + [""] * 5 if row.get("fault") else _form_row(name, row))
        head = ["form", "MB", "mAP", "mAP@0.5", "ms a picture", "boxes lost, gained"]
        return self.section("Forms of the model", [*head, "largest distance, px"], rows)


def _form_row(name: str, row: Dict[str, Any], of: str = "") -> List[Any]:
    found = [name, "%.2f" % (row[of + "bytes"] / 1e6), _share(row[of + "mAP"])]
    found += [_share(row[of + "mAP50"]), "%.1f" % row[of + "milliseconds"]]
    apart = ["", ""] if of else ["%(lost)d, %(gained)d" % row, "%.4f" % row["largest_px"]]
    return found + apart
