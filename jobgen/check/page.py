"""The page of a data set: what it is, what is wrong with it, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from jobgen.catalog import models
from jobgen.check.dataset import faulty_images, findings_of
from jobgen.check.facts import DataFacts
from jobgen.check.rules import DATA, chosen_rules
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.distributions import class_bars, plots
from jobgen.datasets.fix import FIXES, fix
from jobgen.datasets.preview import boxes_of, open_picture
from jobgen.datasets.record import DataSet, Split
from jobgen.datasets.statistics import suggest_model
from jobgen.errors import DatasetError
from jobgen.findings import Finding, Findings
from jobgen.language import chosen, label, translated
from jobgen.pages.frame import local_page
from jobgen.pages.gallery import FILTER, Box, Picture, as_jpeg, gallery
from jobgen_runtime.after.trained import spread

# So many pictures keep the page of most sets below 3 MB.
PICTURES, FAULTY, REPAIRED = 72, 36, 6


def data_page(
    data: DataSet, rows: Sequence[tuple[str, Sequence[str]]], progress: Progress = silent
) -> str:
    """The whole page; `rows` is the table of figures, its first row the head."""
    model, why = suggest_model(data)
    facts = DataFacts(data.contents, data, progress=progress)
    findings = findings_of(facts, chosen_rules(family=DATA), data.contents.given)
    faults = faulty_images(data, progress)
    pictures = _Pictures(data, faults, progress)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.globals.update(say=translated, label=label)
    body = environment.get_template("page.html.j2").render(
        title=data.contents.name,
        suggestion=f"Suggested model: {model}: {why}.",
        rows=rows,
        findings=list(findings),
        classes=Markup(class_bars(data)),
        plots=Markup(plots(data, models()[model].size)),
        gallery=Markup(pictures.gallery(findings)),
        repaired=[Markup(pair) for pair in repairs(data, findings)],
    )
    return local_page(data.contents.name, body, chosen(), FILTER)


class _Pictures:
    """Pictures of a set with their boxes, those with faults first."""

    def __init__(self, data: DataSet, faults: dict[str, list[str]], progress: Progress) -> None:
        self.data, self.faults, self.progress = data, faults, progress

    def gallery(self, findings: Findings) -> str:
        """The pictures, and menus by split, class and finding."""
        chosen_rows = self.chosen()
        pictures = []
        for place, (split, row) in enumerate(chosen_rows):
            picture = picture_of(split, row, self.data, self.faults.get(split.path(row), ()))
            pictures += [picture] if picture else []
            self.progress("drawing", place + 1, len(chosen_rows))
        titles = {finding.code: translated(finding.message) for finding in findings}
        codes = sorted({code for codes in self.faults.values() for code in codes})
        menus = {
            "split": {"": translated("all splits"), **{name: name for name in self.data.splits}},
            "class": {"": translated("all classes"), **_numbered(self.data.classes)},
            "finding": {"": translated("with and without findings"),
                        **{code: f"{code} {titles.get(code, '')}" for code in codes}},
        }  # fmt: skip
        return gallery(
            pictures, {name: values for name, values in menus.items() if len(values) > 1}
        )

    def chosen(self) -> list[tuple[Split, int]]:
        """(split, row): some with each finding, then some of each class and split, by turns."""
        there = {
            split.path(row): (split, row)
            for split in self.data
            for row in range(split.images)
            if split.path(row) in self.data.contents.sizes
        }
        found: dict[str, None] = {}
        by_code: dict[str, list[str]] = {}
        for path, codes in self.faults.items():
            for code in codes if path in there else ():
                by_code.setdefault(code, []).append(path)
        _take_turns(found, list(by_code.values()), FAULTY)
        groups: dict[tuple[str, int], list[str]] = {}
        for split in self.data:
            pairs = np.unique(np.stack([split.image_of, split.class_of], 1), axis=0)
            for row, number in pairs[(pairs >= 0).all(axis=1)].tolist():
                if split.path(row) in there:
                    groups.setdefault((split.name, number), []).append(split.path(row))
        _take_turns(found, [spread(own, PICTURES) for own in groups.values()], PICTURES)
        return [there[path] for path in found]


def _take_turns(found: dict[str, None], groups: list[list[str]], most: int) -> None:
    """Put the items of the groups into `found` by turns, until there are `most`."""
    for place in range(max(map(len, groups), default=0)):
        for group in groups:
            if place < len(group) and len(found) < most:
                found.setdefault(group[place])


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def read_picture(data: DataSet, path: str) -> Image.Image | None:
    """A picture as training reads it; None where it can't be read, of which a finding tells."""
    try:
        return open_picture(data.contents.read(path))
    except (OSError, ValueError, SyntaxError, DatasetError, Image.DecompressionBombError):
        return None


def picture_of(split: Split, row: int, data: DataSet, codes: Sequence[str]) -> Picture | None:
    """A picture with its boxes for a gallery; None where it can't be read."""
    image = read_picture(data, split.path(row))
    if image is None:
        return None
    numbers = list(boxes_of(split, row))
    found_by = {
        "split": split.name,
        "class": " ".join(sorted({str(int(split.class_of[number])) for number in numbers})),
        "finding": " ".join(codes),
    }
    said = " ".join([split.image_names[row], f"({split.name})", *codes])
    boxes = [_box(split, number, data, image.size) for number in numbers]
    return Picture(as_jpeg(image), *image.size, boxes, said, found_by)


def _box(split: Split, number: int, data: DataSet, size: tuple[int, int]) -> Box:
    """A box as it is drawn: upright and inside the picture, and marked where it was neither."""
    x, y, wide, high = (float(value) for value in np.nan_to_num(split.boxes[number]))
    left, right = sorted((x, x + wide))
    top, bottom = sorted((y, y + high))
    sound = bool(split.solid[number]) and left >= -1 and top >= -1
    sound = sound and right <= size[0] + 1 and bottom <= size[1] + 1
    name = split.label(number)
    colour = data.classes.index(name) if name in data.classes else 0
    text = f"{name} {wide:g} x {high:g} px"
    if not split.solid[number]:
        # There would be nothing to see.
        right, bottom = max(right, left + 0.03 * size[0]), max(bottom, top + 0.03 * size[1])
    left, right = (min(max(0.0, value), float(size[0])) for value in (left, right))
    top, bottom = (min(max(0.0, value), float(size[1])) for value in (top, bottom))
    return Box(left, top, right - left, bottom - top, text, colour, "" if sound else "off")


def repairs(data: DataSet, findings: Sequence[Finding] | Findings) -> list[str]:
    """Pairs of pictures, before and after what `dataset fix` does of the findings."""
    codes = [finding.code for finding in findings if finding.code in FIXES]
    if not codes:
        return []
    fixed, _ = fix(data, codes)
    pairs: list[str] = []
    for name, split in data.splits.items():
        after = fixed.splits.get(name)
        rows = {path: row for row, path in enumerate(after.paths)} if after else {}
        for row, path in enumerate(split.paths):
            if len(pairs) == REPAIRED or after is None:
                break
            if (
                path in rows
                and path in data.contents.sizes
                and _changed(split, row, after, rows[path])
            ):
                pairs.append(_pair(data, (split, row), (after, rows[path])))
    return [pair for pair in pairs if pair]


def _changed(before: Split, row: int, after: Split, now: int) -> bool:
    one, other = before.boxes[before.image_of == row], after.boxes[after.image_of == now]
    return one.shape != other.shape or not np.allclose(one, other, equal_nan=True)


def _pair(data: DataSet, before: tuple[Split, int], after: tuple[Split, int]) -> str:
    pictures = [picture_of(*each, data, ()) for each in (before, after)]
    words = (translated("before the repair"), translated("after it"))
    html = [picture.html() for picture in pictures if picture]
    both = "".join(f'<div><p class="dim">{word}</p>{part}</div>'
                   for word, part in zip(words, html, strict=False))  # fmt: skip
    return f'<div class="pictures">{both}</div>' if len(html) == len(words) else ""
