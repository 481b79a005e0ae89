"""The page of an evaluation's mistakes: what each kind costs, pictures of each, and the labels that
look wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from jobgen.datasets.preview import open_picture
from jobgen.language import chosen, label, translated
from jobgen.pages.frame import local_page
from jobgen.pages.gallery import Box, Picture, as_jpeg, cut_out, gallery
from jobgen.report.mistakes import (
    BACKGROUND,
    BOTH,
    CLASS,
    DUPLICATE,
    FOUND,
    KINDS,
    MISSED,
    ON_BACKGROUND,
    PLACE,
    Mistake,
    Mistakes,
    by_size,
)
from jobgen_runtime.record.charts import bars, escaped
from jobgen_runtime.record.measured import PageParts

EACH, SUSPECTS = 6, 24
WHAT = {
    CLASS: f"The place is right (IoU {FOUND} or more), the class is another.",
    PLACE: f"The class is right, the box overlaps by {BACKGROUND} to {FOUND} only.",
    BOTH: "Neither class nor place is right.",
    DUPLICATE: "A second find of a box that a better one has found.",
    ON_BACKGROUND: f"A find where there is nothing (IoU under {BACKGROUND}).",
    MISSED: "A box that no find could have had.",
}


@dataclass(frozen=True)
class Judged:
    """An evaluation and what is wrong with it: a COCO file, the finds in COCO's form of results,
    the mistakes, the suspects, the score from which finds count, and a folder of the images."""

    name: str
    truth: dict[str, Any]
    finds: Sequence[dict[str, Any]]
    mistakes: Mistakes
    suspects: Sequence[dict[str, Any]]
    score: float
    images: Path


def mistakes_page(judged: Judged) -> str:
    """The whole page, in the language that is spoken."""
    language = chosen()
    page = _Page(judged, language)
    title = translated(f"Mistakes of {judged.name}")
    body = f"<h1>{escaped(title)}</h1>\n{page.costs()}{page.classes()}{page.sizes_of_mistakes()}"
    return local_page(title, body + page.pictures() + page.suspects(), language)


class _Page(PageParts):
    def __init__(self, judged: Judged, language: str) -> None:
        super().__init__(language)
        self.judged = judged
        self.names = {each["id"]: each["name"] for each in judged.truth["categories"]}
        self.order = list(self.names)
        self.files = {each["id"]: each["file_name"] for each in judged.truth["images"]}
        self.open: Callable[[str], Image.Image | None] = lru_cache(8)(self._open)

    def say(self, text: str) -> str:
        return label(text)

    def _open(self, name: str) -> Image.Image | None:
        try:
            return open_picture(self.judged.images.joinpath(*name.split("/")).read_bytes())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None

    def costs(self) -> str:
        """What each kind costs, the dearest first, in words and bars."""
        mistakes, score = self.judged.mistakes, self.judged.score
        said = translated(
            f"AP@0.5 is {mistakes.ap:.3f}. It would rise by so much were all mistakes of a kind "
            "put right, each kind for itself (TIDE, Bolya et al. 2020)."
        )
        dearest = sorted(mistakes.costs.items(), key=lambda row: -row[1])
        rows = [
            [label(kind), f"{cost:.3f}", f"{mistakes.count(kind, self.judged.finds, score):,}",
             translated(WHAT[kind])]
            for kind, cost in dearest
        ]  # fmt: skip
        head = [label("mistake"), translated("costs AP@0.5"),
                translated(f"from a score of {score:.2f}"), ""]  # fmt: skip
        drawn = bars([(label(kind), [(cost, f"{cost:.3f}", KINDS.index(kind))])
                      for kind, cost in dearest])  # fmt: skip
        return f"<p>{escaped(said)}</p>{drawn}{self.table(head, rows, translated('costs AP@0.5'))}"

    def classes(self) -> str:
        """The costs of each class."""
        by_class = self.judged.mistakes.by_class
        rows = [[self.names.get(number, number), *(f"{max(own[kind], 0.0):.3f}" for kind in KINDS)]
                for number, own in by_class.items()]  # fmt: skip
        head = [label("class"), *(label(kind) for kind in KINDS)]
        return self.section("What they cost each class", head, rows) if len(rows) > 1 else ""

    def sizes_of_mistakes(self) -> str:
        """How many there are by the size of the box."""
        judged = self.judged
        counts = by_size(judged.mistakes, judged.truth, judged.finds, judged.score)
        head = [label("mistake"), self.say("below 32 px"), self.say("32 to 96 px"),
                self.say("above 96 px")]  # fmt: skip
        rows = [[label(kind), *own] for kind, own in counts.items()]
        return self.section("How many, by the side of the box", head, rows)

    def pictures(self) -> str:
        """Some of each kind, those with the highest scores first."""
        text = ""
        for kind in KINDS:
            rows = [each for each in self.judged.mistakes.found if each.kind == kind]
            rows.sort(key=self._weight)
            drawn = [p for p in map(self.picture, rows[: 2 * EACH]) if p is not None][:EACH]
            if drawn:
                what = escaped(f"{label(kind)}: {translated(WHAT[kind])}")
                text += f"<h3>{what}</h3>\n{gallery(drawn)}"
        said = escaped(self.say("White dashes: the label. In colour: the find."))
        return f'{self.head("Pictures")}<p class="dim">{said}</p>{text}' if text else ""

    def _weight(self, mistake: Mistake) -> float:
        if mistake.find >= 0:
            return -float(self.judged.finds[mistake.find]["score"])
        box = self.judged.truth["annotations"][mistake.box]["bbox"]
        return -float(box[2] * box[3])

    def picture(self, mistake: Mistake) -> Picture | None:
        """What a mistake is about, cut out with what is around it."""
        boxes = []
        if mistake.box >= 0:
            own = self.judged.truth["annotations"][mistake.box]
            boxes.append(self.box(own, "truth"))
        if mistake.find >= 0:
            boxes.append(self.box(self.judged.finds[mistake.find], ""))
        return self.part(self.files[mistake.image], boxes, boxes[-1].text)

    def box(self, own: dict[str, Any], kind: str) -> Box:
        x, y, wide, high = (float(value) for value in own["bbox"])
        number = own["category_id"]
        text = str(self.names.get(number, number))
        if "score" in own and not kind:
            text += f" {own['score']:.2f}"
        colour = self.order.index(number) if number in self.order else 0
        return Box(x, y, wide, high, text, colour, kind)

    def part(self, name: str, boxes: Sequence[Box], said: str) -> Picture | None:
        """The part of an image around the first of the boxes, with all of them."""
        image = self.open(name)
        if image is None:
            return None
        first = boxes[0]
        window = (first.x, first.y, first.width, first.height)
        part, left, top = cut_out(image, window)
        moved = [Box(box.x - left, box.y - top, box.width, box.height, box.text, box.colour,
                     box.kind) for box in boxes]  # fmt: skip
        return Picture(as_jpeg(part, 320), *part.size, moved, f"{name}: {said}")

    def suspects(self) -> str:
        """Labels that look wrong, with the way to put them right."""
        drawn = []
        for row in self.judged.suspects[:SUSPECTS]:
            truth = self.judged.truth["annotations"]
            boxes = [self.box(truth[row["label"]], "truth")] if row["label"] >= 0 else []
            x, y, wide, high = row["bbox"]
            number = next((n for n, name in self.names.items() if name == row["class"]), 0)
            colour = self.order.index(number) if number in self.order else 0
            if "score" in row:
                boxes.append(Box(x, y, wide, high, f"{row['class']} {row['score']:.2f}", colour))
            said = f"{translated(row['reason'])} ({row['doubt']:.2f})"
            picture = self.part(row["image"], boxes, said)
            drawn += [picture] if picture else []
        if not drawn:
            return ""
        title = "Labels that look wrong"
        said = "In order of doubt, 0 to 1. All open in LabelMe, a question mark behind the class:"
        how = escaped(self.say(said))
        return (
            f'{self.head(title)}<p class="dim">{how} '
            f"<code>labelme suspects</code></p>{gallery(drawn)}"
        )
