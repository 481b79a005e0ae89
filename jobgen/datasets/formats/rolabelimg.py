"""roLabelImg: VOC's XML with `robndbox`, a box that is turned by an angle in radians.

The format: https://github.com/cgvict/roLabelImg. A turned box becomes the upright box around it.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.gather import Box, Gathered, Shapes, number, turned
from jobgen.datasets.formats.per_image import read_per_image
from jobgen.datasets.formats.places import by_folder, layouts_of
from jobgen.datasets.formats.voc import rotated_pages
from jobgen.datasets.formats.voc_writer import CORNERS
from jobgen.datasets.record import DataSet, Layout
from jobgen_runtime.data.voc import parse_xml

READS = "roLabelImg (XML with rotated boxes)"

DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
TURNED = ("cx", "cy", "w", "h", "angle")


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files: folders of XML in which a box is turned."""
    return layouts_of("rolabelimg", files, by_folder(rotated_pages(files)))


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    return read_per_image(files, layout, _take, Shapes())


def _take(part: Gathered, row: int, name: str, text: str) -> None:
    try:
        # The text is decoded: what the file says of its encoding holds no longer.
        root = parse_xml(DECLARATION.sub("", text).encode())
    except (ValueError, LookupError) as error:
        part.tell("DS010", name, str(error).partition(": ")[2] or str(error))
        return
    for item in root.iter("object"):
        label = (item.findtext("name") or "").strip()
        upright, rotated = item.find("bndbox"), item.find("robndbox")
        if rotated is not None:
            x, y, width, height, angle = _values(rotated, TURNED)
            box: Box = (x - width / 2, y - height / 2, width, height)
            if abs(angle) < float("inf") and sum(box) < float("inf"):
                part.around(row, label, "rotated boxes", turned(box, angle), name)
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
    return [number(element.findtext(tag)) for tag in tags]
