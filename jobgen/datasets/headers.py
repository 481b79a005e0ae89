"""What an image file says of itself, from the few bytes of its header.

JPEG, PNG and BMP are read here: ITU T.81 (markers), PNG (third edition) and the
BITMAPINFOHEADER; CIPA DC-008 for EXIF's orientation. Pillow reads the other formats that OpenCV
knows, by name: left to choose, it would start Ghostscript for a file that says it is EPS.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from jobgen.datasets.contents import Contents, Progress, silent
from jobgen.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

# Enough for nearly every header; a large preview or colour profile before it takes more.
FIRST = 2048
MORE = (1 << 16, 1 << 20)
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
# What Pillow may open, here and wherever an image of somebody's is opened.
RASTER_FORMATS = tuple(ENDINGS)
# What Pillow takes from the first bytes only where the whole file is there.
WHOLE_WANTED = (
    b"II",
    b"MM",
    b"RIFF",
    b"GIF8",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    *(b"P%d" % number for number in range(1, 7)),
)
# Tried with the OpenCV of AI Studio's environments, 4.10.0 (cv2.imdecode, colour): it gives
# nothing for these, nor for the formats below.
UNREAD_COMPRESSION = {34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
UNREAD_FORMATS = (
    (b"GIF8", "GIF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "ICO"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\x01\xda", "SGI"),
    (b"icns", "ICNS"),
    (b"\x0a\x05\x01\x08", "PCX"),
    (b"\x0a\x05\x01\x01", "PCX"),
    (b"\0\0\2\0\0", "TGA"),
    (b"\0\0\3\0\0", "TGA"),
    (b"\0\0\x0a\0\0", "TGA"),
)
FTYPES = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}
IMAGE_SUFFIXES = tuple(ending for endings in ENDINGS.values() for ending in endings)
EXIF_ORIENTATION = 0x0112
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
COMPONENTS = {1: "grey", 3: "RGB", 4: "CMYK"}
PNG_MODES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey + alpha", 6: "RGB + alpha"}


class Header(NamedTuple):
    """An image's format, width and height in pixels as stored, EXIF orientation (1 to 8), bits of
    a channel, and its kind of pixel: grey, RGB, palette, CMYK, or these with alpha."""

    format: str
    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    mode: str = "RGB"
    # Why OpenCV gives nothing for it; empty where it reads it.
    unread: str = ""

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after the orientation is applied, as OpenCV decodes it."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)

    def agrees(self, stated: tuple[int, int]) -> bool:
        """Whether a stated size is this image's, turned or not: which of the two, the rule of
        EXIF judges."""
        return stated == self.shown or stated == (self.width, self.height)


class _TooShort(Exception):
    pass


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def read_headers(
    files: Contents, names: Iterable[str], progress: Progress = silent
) -> dict[str, Header | str]:
    """The header of each image, or what is wrong with it, by name."""
    wanted = list(names)
    found: dict[str, Header | str] = {}
    for name, header in files.each(wanted, lambda name: read_header(files, name)):
        found[name] = header
        if len(found) % 1024 == 0:
            progress("image headers", len(found), len(wanted))
    return found


def known_headers(
    files: Contents, names: Iterable[str], progress: Progress = silent
) -> dict[str, Header | str]:
    """As read_headers(), each image of a source read once however often it is asked for."""
    wanted = list(names)
    memo: dict[str, Header | str] = files.memo.setdefault(" headers", {})
    memo.update(read_headers(files, [name for name in wanted if name not in memo], progress))
    return {name: memo[name] for name in wanted}


def read_header(files: Contents, name: str) -> Header | str:
    """One image's header, or what is wrong with it."""
    size = files.sizes[name]
    if size == 0:
        return "the file is empty"
    try:
        for length in (FIRST, *MORE, size):
            data = files.head(name, length)
            try:
                return parse_header(data, whole=len(data) >= size)
            except _TooShort:
                if length >= size:
                    break
    except (DatasetError, ValueError, struct.error, IndexError) as error:
        return str(error)
    return "it ends within its header"


def parse_header(data: bytes, whole: bool = True) -> Header:
    """The header in the first bytes of a file, or in the `whole` of it. Raises ValueError where
    it is none."""
    for magic, parse in PARSERS:
        if data.startswith(magic):
            return parse(data)
    return _by_pillow(data, whole)


def _jpeg(data: bytes) -> Header:
    position, orientation, end = 2, 1, len(data)
    while position + 9 < end:
        if data[position] != 0xFF:
            raise ValueError("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in STANDALONE:
            position += 2
            continue
        length = data[position + 2] << 8 | data[position + 3]
        if marker in START_OF_FRAME:
            bits = data[position + 4]
            height, width = struct.unpack_from(">HH", data, position + 5)
            mode = COMPONENTS.get(data[position + 9], "unknown")
            return _sound(Header("JPEG", width, height, orientation, bits, mode))
        if marker == 0xD9 or length < 2:
            raise ValueError("the JPEG has no image in it")
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            if position + 2 + length > end:
                raise _TooShort
            orientation = _orientation(data[position + 10 : position + 2 + length]) or orientation
        position += 2 + length
    raise _TooShort


def _orientation(tiff: bytes) -> int:
    """EXIF's orientation, 0 where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 0
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 0
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    for number in range(entries):
        place = start + 2 + 12 * number
        if place + 12 > len(tiff):
            return 0
        tag, kind = struct.unpack_from(order + "HH", tiff, place)
        if tag == EXIF_ORIENTATION and kind == 3:
            (value,) = struct.unpack_from(order + "H", tiff, place + 8)
            return value if 1 <= value <= 8 else 0
    return 0


def _png(data: bytes) -> Header:
    if len(data) < 33:
        raise _TooShort
    if data[12:16] != b"IHDR":
        raise ValueError("the PNG does not begin with its header")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    mode = PNG_MODES.get(colour, "unknown")
    return _sound(Header("PNG", width, height, 1, 8 if mode == "palette" else max(bits, 8), mode))


def _bmp(data: bytes) -> Header:
    if len(data) < 30:
        raise _TooShort
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth = struct.unpack_from("<iiHH", data, 18)
    mode = "palette" if depth <= 8 else "RGB + alpha" if depth == 32 else "RGB"
    return _sound(Header("BMP", abs(width), abs(height), 1, 8, mode))


def _by_pillow(data: bytes, whole: bool) -> Header:
    from PIL import Image, UnidentifiedImageError

    if not data.startswith(WHOLE_WANTED):
        raise ValueError(_foreign(data))
    if not whole:
        raise _TooShort
    try:
        with open_raster(data) as image:
            modes = {"L": "grey", "LA": "grey + alpha", "P": "palette", "RGBA": "RGB + alpha"}
            bits = 16 if image.mode.startswith(("I", "F")) else 8
            mode = modes.get(image.mode, "grey" if bits == 16 else image.mode)
            width, height = image.size
            turned = image.getexif().get(EXIF_ORIENTATION, 1)
            orientation = turned if turned in range(1, 9) else 1
            unread = _unread(image)
            kind = image.format or "?"
            return _sound(Header(kind, width, height, orientation, bits, mode, unread))
    except UnidentifiedImageError:
        raise ValueError(_foreign(data)) from None
    except (OSError, SyntaxError, EOFError, TypeError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error


def open_raster(data: bytes) -> Image.Image:
    """An image of somebody's, in one of the formats that training reads. Raises what Pillow
    raises."""
    from PIL import Image

    return Image.open(io.BytesIO(data), formats=RASTER_FORMATS)


def _unread(image: Image.Image) -> str:
    """Why OpenCV gives nothing for an image that Pillow opens."""
    if image.format == "GIF":
        return "OpenCV reads no GIF"
    if image.format != "TIFF":
        return ""
    tags = dict(getattr(image, "tag_v2", {}))
    packed = UNREAD_COMPRESSION.get(tags.get(259, 1))
    if packed:
        return f"OpenCV reads no TIFF packed with {packed}"
    if image.mode in ("F", "I"):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        return f"OpenCV reads no {kind} TIFF"
    return ""


def _foreign(data: bytes) -> str:
    """What a file is that is none of RASTER_FORMATS, in words."""
    name = next((name for magic, name in UNREAD_FORMATS if data.startswith(magic)), "")
    if data[4:8] == b"ftyp":
        name = FTYPES.get(data[8:12], "a film or photo container")
    if data[128:132] == b"DICM":
        name = "DICOM"
    if name:
        return f"it is {name}, which OpenCV does not read"
    return "it is no image: it begins with " + data[:8].hex(" ")


def _sound(header: Header) -> Header:
    if header.width <= 0 or header.height <= 0:
        raise ValueError(f"it says {header.width} x {header.height} pixels")
    return header


PARSERS: tuple[tuple[bytes, Callable[[bytes], Header]], ...] = (
    (b"\xff\xd8", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
)
