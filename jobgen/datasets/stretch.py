"""Images of more than 8 bits a channel made ones of 8: one linear stretch for the whole set."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.datasets.headers import EXIF_ORIENTATION, Header, known_headers, open_raster
from jobgen.datasets.record import DataSet, Floats

# Of more bits than 8, and what OpenCV gives nothing for: 32-bit and floating-point TIFF.
STRETCHED = ("DS061", "DS063")
# What lies below and above becomes black and white: single bright echoes would darken all else.
PERCENTILES = (0.1, 99.9)
# The percentiles come of so many images, dealt out evenly, and of so many pixels of each.
SAMPLED_IMAGES = 200
SAMPLED_PIXELS = 50_000
KEPT_FORMATS = ("PNG", "TIFF")
# The TIFF tag of https://gdal.org/en/stable/drivers/raster/gtiff.html
GDAL_NODATA = 42113
BEYOND_MEASURE = 1e30


@dataclass(frozen=True)
class Stretch:
    """Values from `low` to `high` become 0 to 255, in proportion; where is no data becomes 0."""

    low: float
    high: float

    def __call__(self, data: bytes) -> bytes:
        """An image file of the same format, with one channel of 8 bits."""
        from PIL import Image

        with open_raster(data) as image:
            image.load()
            scaled = (_values(image) - self.low) * (255.0 / (self.high - self.low))
            turned = image.getexif().get(EXIF_ORIENTATION, 1)
            made = Image.fromarray(np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8))
            exif = Image.Exif()
            if turned != 1:
                exif[EXIF_ORIENTATION] = turned
            stream = io.BytesIO()
            made.save(stream, format=image.format, exif=exif)
        return stream.getvalue()


def stretched(
    data: DataSet, codes: Iterable[str], progress: Progress = silent
) -> tuple[dict[str, Callable[[bytes], bytes]], list[str]]:
    """By the path of an image in the source what makes it one of 8 bits, where `codes` ask for it;
    and lines that say how."""
    wanted = [code for code in STRETCHED if code in set(codes)]
    paths = sorted({path for split in data for path in split.paths if path in data.contents.sizes})
    headers = known_headers(data.contents, paths if wanted else [], progress)
    made: dict[str, Callable[[bytes], bytes]] = {}
    lines = []
    for code in wanted:
        deep = [p for p, header in headers.items() if isinstance(header, Header)
                and header.bits > 8 and bool(header.unread) == (code == "DS063")]  # fmt: skip
        able = [path for path in deep if can_be_stretched(headers[path])]
        if able:
            stretch = _of_set(data.contents, able, progress)
            made.update(dict.fromkeys(able, stretch))
            lines.append(
                f"{code}  {len(able)} images to 8 bits: {stretch.low:g} to {stretch.high:g} become "
                f"0 to 255, what {PERCENTILES[0]:g} to {PERCENTILES[1]:g} % of their pixels have"
            )
        if len(able) < len(deep):
            lines.append(
                f"{code}  {len(deep) - len(able)} images left as they are: of deep colour, and of "
                f"formats other than {' and '.join(KEPT_FORMATS)}, only the upper 8 bits are read"
            )
    return made, lines


def can_be_stretched(header: Header | str) -> bool:
    """Whether all bits of an image can be read here: of one channel, in a format that is written
    anew. Of deep colour Pillow gives the upper 8 bits alone."""
    return (
        isinstance(header, Header)
        and header.bits > 8
        and header.mode == "grey"
        and header.format in KEPT_FORMATS
    )


def _of_set(files: Contents, paths: list[str], progress: Progress) -> Stretch:
    step = max(1, len(paths) // SAMPLED_IMAGES)
    chosen = paths[::step]
    parts = []
    for number, path in enumerate(chosen, 1):
        with open_raster(files.read(path)) as image:
            values = _values(image).ravel()
        values = values[:: max(1, len(values) // SAMPLED_PIXELS)]
        parts.append(values[np.isfinite(values)])
        progress("looking at pixels", number, len(chosen))
    values = np.concatenate(parts)
    low, high = np.percentile(values, PERCENTILES) if len(values) else (0.0, 1.0)
    return Stretch(float(low), float(high) if high > low else float(low) + 1.0)


def _values(image: Any) -> Floats:
    """The pixels of a single-channel image, of shape (height, width); NaN where there is no data:
    GDAL's tag names that value, and no sensor measures the least that 32 bits can hold."""
    values = np.array(image, dtype=np.float64)
    tags = dict(getattr(image, "tag_v2", {}))
    with contextlib.suppress(TypeError, ValueError):
        values[values == float(str(tags.get(GDAL_NODATA, "")).strip("\0 "))] = np.nan
    values[np.abs(values) > BEYOND_MEASURE] = np.nan
    return values
