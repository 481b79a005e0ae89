"""A contact sheet: images with their boxes and labels drawn, the ones with faults first."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.headers import open_raster
from jobgen.datasets.record import DataSet, Split
from jobgen.errors import DatasetError
from jobgen.files import write_atomically
from jobgen.text import one_line

TILE = 320
CAPTION = 40
GAP = 8
FONT_SIZE = 13
# More hide the picture, and one file may name hundreds of thousands.
MOST_DRAWN = 500
FAULTY = (229, 62, 62)
# Fonts that have Chinese, Japanese and Korean, by the names they have on Linux, Windows, macOS.
FONT_NAMES = (
    *("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "SourceHanSansSC-Regular.otf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "unifont.otf"),
    *("msyh.ttc", "simhei.ttf", "simsun.ttc", "simfang.ttf", "PingFang.ttc", "Arial Unicode.ttf"),
    "DejaVuSans.ttf",
)
FONT_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("C:/Windows/Fonts", "/System/Library/Fonts", "/Library/Fonts"),
)
# A private-use code point that no font draws: what it shows is a font's box for "no glyph".
NO_GLYPH = "\uf8fe"
PALETTE = (
    *((56, 161, 105), (49, 130, 206), (214, 158, 46), (128, 90, 213)),
    *((0, 181, 216), (213, 63, 140), (113, 128, 150), (221, 107, 32)),
)


@dataclass(frozen=True)
class Sheet:
    """What was drawn: how many images, and the numbers that stand for names that no font here
    can write, {number: name}."""

    images: int
    faulty: int
    numbered: dict[int, str]


def preview(
    data: DataSet,
    target: Path,
    faults: Mapping[str, Sequence[str]],
    count: int = 24,
    font_file: Path | None = None,
    progress: Progress = silent,
) -> Sheet:
    """Write `target`, a PNG of up to `count` images.

    `faults` gives the codes of what is wrong with an image, by its path in the set; those images
    come first. Raises DatasetError where there is nothing to draw.
    """
    chosen = choose_images(data, faults, count)
    if not chosen:
        raise DatasetError(f"{data.contents.name} has no image to draw")
    fonts = Fonts(font_file)
    numbered = {
        number: name for number, name in enumerate(data.classes) if not fonts.can_write(name)
    }
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    step, tall = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (columns * step + GAP, rows * tall + GAP), (26, 32, 44))
    for place, (split, row) in enumerate(chosen):
        codes = faults.get(split.path(row), ())
        tile = draw_tile(data, split, row, codes, fonts, numbered)
        sheet.paste(tile, (GAP + place % columns * step, GAP + place // columns * tall))
        progress("drawing", place + 1, len(chosen))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(target, buffer.getvalue())
    faulty = sum(split.path(row) in faults for split, row in chosen)
    return Sheet(len(chosen), faulty, numbered)


def choose_images(
    data: DataSet, faults: Mapping[str, Sequence[str]], count: int
) -> list[tuple[Split, int]]:
    """(split, row) of the images to draw: with faults first, then spread evenly over the set."""
    there = [
        (split, row)
        for split in data
        for row, path in enumerate(split.paths)
        if path in data.contents.sizes
    ]
    bad = [item for item in there if item[0].path(item[1]) in faults][:count]
    good = [item for item in there if item[0].path(item[1]) not in faults]
    left = min(count - len(bad), len(good))
    return bad + [good[place * len(good) // left] for place in range(left)]


def draw_tile(
    data: DataSet,
    split: Split,
    row: int,
    codes: Sequence[str],
    fonts: Fonts,
    numbered: Mapping[int, str],
) -> Image.Image:
    """One image, fitted into its tile, with a caption of its name, split and faults."""
    tile = Image.new("RGB", (TILE, TILE + CAPTION), (45, 55, 72))
    draw = ImageDraw.Draw(tile)
    name = one_line(split.image_names[row])
    caption = name if fonts.can_write(name) else f"image {split.image_ids[row]}"
    draw.text((4, TILE + 2), fonts.shorten(caption, TILE - 8), (255, 255, 255), fonts.font)
    count = int(split.boxes_per_image[row])
    more = [f"{MOST_DRAWN} of {count:,} boxes"] if count > MOST_DRAWN else []
    below = " ".join([split.name, *codes, *more])
    draw.text((4, TILE + 20), below, FAULTY if codes else (160, 174, 192), fonts.font)
    try:
        picture = open_picture(data.contents.read(split.path(row)))
    except (OSError, ValueError, SyntaxError, DatasetError, Image.DecompressionBombError) as error:
        draw.text((8, TILE // 2), fonts.shorten(f"can't be read: {error}", TILE - 16), FAULTY)
        return tile
    scale = min(TILE / picture.width, TILE / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    tile.paste(picture.resize(size), (0, 0))
    boxes = list(boxes_of(split, row))
    for box in boxes[:MOST_DRAWN]:
        draw_box(draw, split, box, scale, fonts, numbered)
    return tile


def boxes_of(split: Split, row: int) -> Iterable[int]:
    return [int(box) for box in (split.image_of == row).nonzero()[0]]


def open_picture(data: bytes) -> Image.Image:
    """An image as OpenCV decodes it: EXIF's turn applied; more than 8 bits stretched to 8."""
    image: Any = ImageOps.exif_transpose(open_raster(data))
    if image.mode.startswith(("I", "F")):
        low, high = image.getextrema()
        spread = 255.0 / ((high - low) or 1)
        image = image.convert("F").point(lambda v: v * spread + (-low * spread)).convert("L")
    converted: Image.Image = image.convert("RGB")
    return converted


def draw_box(
    draw: ImageDraw.ImageDraw,
    split: Split,
    box: int,
    scale: float,
    fonts: Fonts,
    numbered: Mapping[int, str],
) -> None:
    x, y, width, height = (float(v) * scale for v in split.boxes[box])
    if not all(map(math.isfinite, (x, y, width, height))):
        return
    left, right = sorted((_near(x), _near(x + width)))
    top, bottom = sorted((_near(y), _near(y + height)))
    label = int(split.class_of[box])
    colour = PALETTE[label % len(PALETTE)] if split.solid[box] and label >= 0 else FAULTY
    draw.rectangle((left, top, right, bottom), outline=colour, width=2)
    text = str(label) if label in numbered else one_line(split.label(box))
    wide = fonts.font.getlength(text) + 4
    place = min(max(0.0, left), TILE - wide), max(0.0, top - FONT_SIZE - 3)
    draw.rectangle((*place, place[0] + wide, place[1] + FONT_SIZE + 3), fill=colour)
    draw.text((place[0] + 2, place[1]), text, (0, 0, 0), fonts.font)


def _near(value: float) -> float:
    """A coordinate that Pillow can draw; what lies far outside is outside all the same."""
    return min(max(value, -10.0 * TILE), 10.0 * TILE)


class Fonts:
    """The font of a sheet: the given one, else one of this machine that has most scripts."""

    def __init__(self, file: Path | None = None) -> None:
        if file is not None:
            try:
                self.font: Any = ImageFont.truetype(str(file), FONT_SIZE)
            except OSError as error:
                raise DatasetError(f"--font {file}: {error}") from error
            return
        found = find_font()
        self.font = (
            ImageFont.truetype(str(found), FONT_SIZE)
            if found
            else ImageFont.load_default(FONT_SIZE)
        )

    def can_write(self, text: str) -> bool:
        """Whether the font has a glyph for every character of a text."""
        nothing = self._drawn(NO_GLYPH)
        return all(char.isspace() or self._drawn(char) != nothing for char in set(text))

    def _drawn(self, text: str) -> tuple[bytes, tuple[int, int]]:
        mask = self.font.getmask(text)
        return bytes(mask), mask.size

    def shorten(self, text: str, width: int) -> str:
        while len(text) > 1 and self.font.getlength(text) > width:
            text = text[: len(text) // 2 - 2] + "…" + text[len(text) // 2 + 2 :]
        return text


@cache
def find_font() -> Path | None:
    """A font file of this machine, by the order of FONT_NAMES."""
    there: dict[str, Path] = {}
    for folder in FONT_FOLDERS:
        top = Path(folder).expanduser()
        if top.is_dir():
            for path in sorted(top.rglob("*.[to]t[fc]")):
                there.setdefault(path.name, path)
    return next((there[name] for name in FONT_NAMES if name in there), None)
