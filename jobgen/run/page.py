"""The page of a run as jobgen draws it: the notebook's own, and what to try next."""

from __future__ import annotations

from typing import Any

from jobgen.language import chinese, messages
from jobgen.pages.frame import local_page
from jobgen.run.advice import advice, input_size
from jobgen_runtime.record.charts import bars, escaped
from jobgen_runtime.record.measured import RunRecord
from jobgen_runtime.record.report import RunPage


def report_page(run: RunRecord, language: str = "en") -> str:
    """The whole page of a run."""
    return local_page(run.title, LocalPage(language).run(run), language)


class LocalPage(RunPage):
    """A run's page with all the sentences of jobgen."""

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self.language = language
        self.side = 0

    def say(self, text: str) -> str:
        if self.language != "zh":
            return text
        return self.words.get(text) or messages().get(text) or chinese(text)

    def verdict(self, run: RunRecord) -> str:
        return super().verdict(run) + self.next_steps(run)

    def evaluation(self, run: RunRecord) -> str:
        self.side = input_size(run.result)
        return super().evaluation(run)

    def f1_chart(self, metrics: dict[str, Any]) -> str:
        return super().f1_chart(metrics) + self.sizes(metrics.get("found_by_size") or [])

    def next_steps(self, run: RunRecord) -> str:
        """What to try next, each with the line of job.yaml that does it."""
        rows = []
        for each in advice(run.result, run.rows):
            change = f" <code>{escaped(each.change_text)}</code>" if each.changes else ""
            rows.append(f"<li>{escaped(self.say(each.text))}{change}</li>\n")
        if not rows:
            return ""
        title, how = self.say("What to try next"), self.say("All of it as a new job.yaml:")
        return (
            f'<div class="next"><h2>{escaped(title)}</h2><ul>\n{"".join(rows)}</ul>'
            f'<p class="dim">{escaped(how)} <code>jobgen init NAME --from OUTPUT</code></p></div>\n'
        )

    def sizes(self, rows: list[dict[str, Any]]) -> str:
        """How many boxes of each size were found, at the model's input size where it is known."""
        drawn = []
        for place, row in enumerate(rows):
            if row["boxes"]:
                # The last row is of all that are larger than the one before it.
                last = place == len(rows) - 1 and place > 0
                limit = rows[place - 1]["upto"] if last else row["upto"]
                found = row["boxes"] - row["missed"]
                text = f"{found:,} / {row['boxes']:,}"
                drawn.append(
                    (self._size(limit, self.side, last), [(found / row["boxes"], text, 1)])
                )
        if not drawn:
            return ""
        title = self.say("Found by size")
        said = self.say("The side of a box, as the model sees it; found / there")
        return (
            f'<figure><figcaption>{escaped(title)}</figcaption><p class="dim">{escaped(said)}</p>'
            f"{bars(drawn, 1.0)}</figure>\n"
        )

    def _size(self, limit: float, side: int, last: bool) -> str:
        if side:
            return self.say(
                f"over {limit * side:.0f} px" if last else f"up to {limit * side:.0f} px"
            )
        share = 100 * limit
        return self.say(
            f"over {share:.1f} % of the image" if last else f"up to {share:.1f} % of the image"
        )
