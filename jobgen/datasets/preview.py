"""A contact sheet: images with their boxes and labels drawn, the ones with faults first."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.headers import open_raster
from jobgen.datasets.record import DataSet, Split
from jobgen.errors import DatasetError
from jobgen.files import write_atomically
from jobgen.text import one_line

TILE = 320
# A tile is as high as most of the pictures ask for, within these.
LEAST_HIGH, MOST_HIGH = 140, 480
CAPTION = 40
GAP = 8
FONT_SIZE = 13
# A box of a smaller side on the sheet has no label, which would hide it, and one of these is shown
# enlarged in a corner.
SMALL, ZOOM, INSET = 20, 4.0, 112
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


@dataclass(frozen=True)
class Wanted:
    """Which images are drawn: up to `count`, of these splits, with a box of these classes, with
    these findings; all where a list is empty. And whether boxes have labels."""

    count: int = 24
    splits: Sequence[str] = ()
    classes: Sequence[str] = ()
    findings: Sequence[str] = ()
    labels: bool = True


def preview(
    data: DataSet,
    target: Path,
    faults: Mapping[str, Sequence[str]],
    wanted: Wanted = Wanted(),
    font_file: Path | None = None,
    progress: Progress = silent,
) -> Sheet:
    """Write `target`, a PNG of the images that are wanted.

    `faults` gives the codes of what is wrong with an image, by its path in the set; those images
    come first. Raises DatasetError where there is nothing to draw.
    """
    chosen = choose_images(data, faults, wanted)
    if not chosen:
        raise DatasetError(f"{data.contents.name} has no such image to draw")
    fonts = Fonts(font_file)
    numbered = {
        number: name for number, name in enumerate(data.classes) if not fonts.can_write(name)
    }
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    high = tile_height(chosen)
    step, tall = TILE + GAP, high + CAPTION + GAP
    sheet = Image.new("RGB", (columns * step + GAP, rows * tall + GAP), (26, 32, 44))
    for place, (split, row) in enumerate(chosen):
        codes = faults.get(split.path(row), ())
        tile = _Tile(data, fonts, numbered if wanted.labels else None, high)
        corner = (GAP + place % columns * step, GAP + place // columns * tall)
        sheet.paste(tile.draw(split, row, codes), corner)
        progress("drawing", place + 1, len(chosen))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(target, buffer.getvalue())
    faulty = sum(split.path(row) in faults for split, row in chosen)
    return Sheet(len(chosen), faulty, numbered)


def choose_images(
    data: DataSet, faults: Mapping[str, Sequence[str]], wanted: Wanted
) -> list[tuple[Split, int]]:
    """(split, row) of the images to draw: with faults first, then spread evenly over the set.
    Raises DatasetError for a split or class that the set does not have."""
    for given, known, word in (
        (wanted.splits, list(data.splits), "split"),
        (wanted.classes, data.classes, "class"),
    ):
        for name in given:
            if name not in known:
                raise DatasetError(
                    f"{data.contents.name} has no {word} {name!r}", f"It has: {', '.join(known)}"
                )
    there = [
        (split, row)
        for split in data
        if not wanted.splits or split.name in wanted.splits
        for row in _with_classes(split, wanted.classes)
        if split.path(row) in data.contents.sizes
    ]
    bad = [item for item in there if item[0].path(item[1]) in faults]
    if wanted.findings:
        codes = tuple(wanted.findings)
        bad = [(split, row) for split, row in bad
               if any(code.startswith(codes) for code in faults[split.path(row)])]  # fmt: skip
        return bad[: wanted.count]
    bad = bad[: wanted.count]
    good = [item for item in there if item[0].path(item[1]) not in faults]
    left = min(wanted.count - len(bad), len(good))
    return bad + [good[place * len(good) // left] for place in range(left)]


def _with_classes(split: Split, names: Sequence[str]) -> list[int]:
    """The rows of images with a box of one of these classes; all where none is named."""
    if not names:
        return list(range(split.images))
    numbers = [row for row, name in enumerate(split.class_names) if name in names]
    rows = split.image_of[np.isin(split.class_of, numbers) & (split.image_of >= 0)]
    return [int(row) for row in np.unique(rows)]


def tile_height(chosen: Sequence[tuple[Split, int]]) -> int:
    """How high tiles are, for pictures of about the shape of the middle one."""
    shapes = sorted(
        high / wide for wide, high in (split.size(row) for split, row in chosen) if wide
    )
    middle = shapes[len(shapes) // 2] if shapes else 1.0
    return round(min(max(TILE * middle, LEAST_HIGH), MOST_HIGH))


class _Tile:
    """Draws images into tiles of one height; `numbered` are the classes that no font here can
    write, or None where boxes have no labels."""

    def __init__(
        self, data: DataSet, fonts: Fonts, numbered: Mapping[int, str] | None, high: int
    ) -> None:
        self.data, self.fonts, self.numbered, self.high = data, fonts, numbered, high

    def draw(self, split: Split, row: int, codes: Sequence[str]) -> Image.Image:
        """One image, fitted into its tile, with a caption of its name, split and faults."""
        tile = Image.new("RGB", (TILE, self.high + CAPTION), (45, 55, 72))
        draw = ImageDraw.Draw(tile)
        self.caption(draw, split, row, codes)
        try:
            picture = open_picture(self.data.contents.read(split.path(row)))
        except (OSError, ValueError, SyntaxError, DatasetError, Image.DecompressionBombError) as e:
            said = self.fonts.shorten(f"can't be read: {e}", TILE - 16)
            draw.text((8, self.high // 2), said, FAULTY)
            return tile
        scale = min(TILE / picture.width, self.high / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        left, top = (TILE - size[0]) // 2, (self.high - size[1]) // 2
        shown = picture.resize(size)
        boxes = [_frame(split, box, scale) for box in list(boxes_of(split, row))[:MOST_DRAWN]]
        frames = [frame for frame in boxes if frame is not None]
        pen = ImageDraw.Draw(shown)
        for frame in frames:
            pen.rectangle(frame.corners, outline=frame.colour, width=2 if frame.side > 8 else 1)
        if self.numbered is not None:
            for frame in frames:
                self.label(pen, split, frame, shown.width)
        tile.paste(shown, (left, top))
        small = min(frames, key=lambda frame: frame.side, default=None)
        if small is not None and 0 < small.side < SMALL:
            inset = self.enlarged(picture, small, scale)
            tile.paste(inset, _free_corner(frames, (left, top), inset.size, (TILE, self.high)))
        return tile

    def caption(
        self, draw: ImageDraw.ImageDraw, split: Split, row: int, codes: Sequence[str]
    ) -> None:
        name = one_line(split.image_names[row])
        text = name if self.fonts.can_write(name) else f"image {split.image_ids[row]}"
        text = self.fonts.shorten(text, TILE - 8)
        draw.text((4, self.high + 2), text, (255, 255, 255), self.fonts.font)
        count = int(split.boxes_per_image[row])
        more = [f"{MOST_DRAWN} of {count:,} boxes"] if count > MOST_DRAWN else []
        below = " ".join([split.name, *codes, *more])
        colour = FAULTY if codes else (160, 174, 192)
        draw.text((4, self.high + 20), below, colour, self.fonts.font)

    def label(self, pen: ImageDraw.ImageDraw, split: Split, frame: _Frame, wide: int) -> None:
        """The class, above the box or below it: never over one that it would hide."""
        if frame.side < SMALL:
            return
        number = int(split.class_of[frame.box])
        text = str(number) if number in (self.numbered or {}) else one_line(split.label(frame.box))
        length = self.fonts.font.getlength(text) + 4
        x1, y1, _, y2 = frame.corners
        high = FONT_SIZE + 3
        top = y1 - high if y1 >= high else y2 if y2 + high <= self.high else y1
        left = min(max(0.0, x1), max(0.0, wide - length))
        pen.rectangle((left, top, left + length, top + high), fill=frame.colour)
        pen.text((left + 2, top), text, (0, 0, 0), self.fonts.font)

    def enlarged(self, picture: Image.Image, frame: _Frame, scale: float) -> Image.Image:
        """The smallest box and what is around it, several times as large."""
        x1, y1, x2, y2 = (value / scale for value in frame.corners)
        half = max(x2 - x1, y2 - y1, INSET / scale / ZOOM / 2) * 0.9
        middle = (x1 + x2) / 2, (y1 + y2) / 2
        window = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
        part = picture.crop([round(value) for value in window])  # type: ignore[arg-type]
        factor = INSET / (2 * half)
        part = part.resize((INSET, INSET))
        pen = ImageDraw.Draw(part)
        corners = ((x1 - window[0]) * factor, (y1 - window[1]) * factor,
                   (x2 - window[0]) * factor, (y2 - window[1]) * factor)  # fmt: skip
        pen.rectangle(corners, outline=frame.colour, width=2)
        pen.rectangle((0, 0, INSET - 1, INSET - 1), outline=(255, 255, 255))
        return part


@dataclass(frozen=True)
class _Frame:
    """A box of a split on a sheet: its corners in pixels of the drawn picture, and its colour."""

    box: int
    corners: tuple[float, float, float, float]
    colour: tuple[int, int, int]

    @property
    def side(self) -> float:
        """The root of its area."""
        x1, y1, x2, y2 = self.corners
        return math.sqrt((x2 - x1) * (y2 - y1))


def _frame(split: Split, box: int, scale: float) -> _Frame | None:
    """A box as it is drawn; None where it has no place."""
    x, y, width, height = (float(v) * scale for v in split.boxes[box])
    if not all(map(math.isfinite, (x, y, width, height))):
        return None
    left, right = sorted((_near(x), _near(x + width)))
    top, bottom = sorted((_near(y), _near(y + height)))
    number = int(split.class_of[box])
    colour = PALETTE[number % len(PALETTE)] if split.solid[box] and number >= 0 else FAULTY
    return _Frame(box, (left, top, right, bottom), colour)


def _free_corner(
    frames: Sequence[_Frame], at: tuple[int, int], size: tuple[int, int], tile: tuple[int, int]
) -> tuple[int, int]:
    """The corner of a tile where a picture of this size hides the fewest boxes."""
    places = [(x, y) for y in (0, tile[1] - size[1]) for x in (tile[0] - size[0], 0)]

    def hidden(place: tuple[int, int]) -> int:
        return sum(
            frame.corners[0] + at[0] < place[0] + size[0]
            and frame.corners[2] + at[0] > place[0]
            and frame.corners[1] + at[1] < place[1] + size[1]
            and frame.corners[3] + at[1] > place[1]
            for frame in frames
        )

    return min(places, key=hidden)


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
