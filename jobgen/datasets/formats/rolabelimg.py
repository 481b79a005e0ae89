"""roLabelImg: VOC's XML with `robndbox`, a box that is turned by an angle in radians.

The format: https://github.com/cgvict/roLabelImg. A turned box becomes the upright box around it.
"""

from __future__ import annotations

import math
import re
from xml.etree.ElementTree import Element, ParseError, fromstring

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Box, Gathered, Shapes, around, larger_turned, number
from jobgen.datasets.formats.places import by_folder, layouts_of
from jobgen.datasets.formats.reading import read_per_image
from jobgen.datasets.formats.voc import rotated_pages
from jobgen.datasets.formats.voc_writer import CORNERS
from jobgen.datasets.record import DataSet, Layout
from jobgen_runtime.data.voc import parse_xml

READS = "roLabelImg (XML with rotated boxes)"

DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
TURNED = ("cx", "cy", "w", "h", "angle")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files: folders of XML in which a box is turned."""
    return layouts_of("rolabelimg", files, by_folder(files, rotated_pages(files)))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_per_image(files, layout, _take, Shapes())


def _take(part: Gathered, row: int, name: str, text: str) -> None:
    # The text is decoded: what the file says of its encoding holds no longer.
    plain = DECLARATION.sub("", text)
    try:
        # Without <! there is neither document type nor entity, and the quick parser may read it.
        root = parse_xml(plain.encode()) if "<!" in plain else fromstring(plain)
    except (ValueError, LookupError, ParseError) as error:
        part.tell("DS010", name, str(error).partition(": ")[2] or str(error))
        return
    for item in root.iter("object"):
        label = (item.findtext("name") or "").strip()
        upright, rotated = item.find("bndbox"), item.find("robndbox")
        if rotated is not None:
            x, y, width, height, angle = _values(rotated, TURNED)
            if math.isfinite(x + y + width + height + angle):
                box: Box = (x - width / 2, y - height / 2, width, height)
                part.box(row, label, around(box, angle), name)
                times = larger_turned(width, height, angle)
                part.shapes.became_box("rotated boxes", times)
            else:
                part.tell(
                    "DS045", name, f"the robndbox of {label[:30]} is not finite, or no number"
                )
        elif upright is not None:
            left, top, right, bottom = _values(upright, CORNERS)
            part.box(row, label, (left, top, right - left, bottom - top), name)
        else:
            part.tell("DS012", name, f"{label[:30]} has neither bndbox nor robndbox")


def _values(element: Element, tags: tuple[str, ...]) -> list[float]:
    """Numbers of an element, NaN for what is none."""
    found = {child.tag: child.text for child in element}
    return [number(found.get(tag)) for tag in tags]
