"""A contact sheet of a classification set: a few images of each class beside one another."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

from jobgen.datasets.classes import ClassSet, ClassSplit
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.preview import CAPTION, FAULTY, GAP, Fonts, open_picture
from jobgen.errors import DatasetError
from jobgen.files import write_atomically
from jobgen.text import one_line
from jobgen_runtime.after.trained import spread
from jobgen_runtime.classify.lists import Row

SIDE = 150
MOST_IN_A_ROW = 8
# Of more classes some, evenly from first to last.
MOST_CLASSES = 60


def preview_classes(
    data: ClassSet,
    target: Path,
    count: int = 24,
    font_file: Path | None = None,
    progress: Progress = silent,
) -> tuple[int, dict[int, str]]:
    """Write `target`, a PNG with a row for each class and about `count` images. Gives how many
    were drawn, and the numbers that stand for names that no font here can write. Raises
    DatasetError where there is nothing to draw."""
    by_class: dict[int, list[tuple[ClassSplit, Row]]] = {}
    for split in data:
        for row in split.rows:
            if split.path(row) in data.files.sizes:
                by_class.setdefault(row.number, []).append((split, row))
    if not by_class:
        raise DatasetError(f"{data.files.name} has no image to draw")
    shown = spread(sorted(by_class), max(1, min(count, MOST_CLASSES)))
    columns = max(1, min(MOST_IN_A_ROW, -(-count // len(shown))))
    fonts = Fonts(font_file)
    numbered = {n: name for n, name in enumerate(data.classes) if not fonts.can_write(name)}
    tall = CAPTION + SIDE + GAP
    size = (columns * (SIDE + GAP) + GAP, len(shown) * tall + GAP)
    sheet = Image.new("RGB", size, (26, 32, 44))
    pen = ImageDraw.Draw(sheet)
    drawn = 0
    for place, number in enumerate(shown):
        items = by_class[number]
        top = GAP + place * tall
        name = str(number) if number in numbered else one_line(data.classes[number])
        text = fonts.shorten(f"{name}: {len(items):,} images", size[0] - 2 * GAP)
        pen.text((GAP, top + CAPTION // 3), text, (255, 255, 255), fonts.font)
        for column in range(min(columns, len(items))):
            split, row = items[column * len(items) // min(columns, len(items))]
            corner = (GAP + column * (SIDE + GAP), top + CAPTION)
            _tile(sheet, pen, data, split.path(row), corner)
            drawn += 1
        progress("drawing", place + 1, len(shown))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(target, buffer.getvalue())
    return drawn, numbered


def _tile(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    data: ClassSet,
    path: str,
    corner: tuple[int, int],
) -> None:
    try:
        picture = open_picture(data.files.read(path))
    except (OSError, ValueError, SyntaxError, DatasetError, Image.DecompressionBombError):
        pen.rectangle((*corner, corner[0] + SIDE, corner[1] + SIDE), outline=FAULTY)
        pen.text((corner[0] + GAP, corner[1] + SIDE // 2), "can't be read", FAULTY)
        return
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height))
    sheet.paste(picture, corner)
