"""VIA, the VGG Image Annotator 1 and 2: a JSON (annotations or a whole project), or a CSV.

The formats: https://www.robots.ox.ac.uk/~vgg/software/via/. Which attribute of a region is its
class the user of VIA decides: it is the one with a usual name, else the one that most have.
"""

from __future__ import annotations

import csv
import io
import math
import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Gathered, Shapes, data_set, number
from jobgen.datasets.formats.jsonfiles import json_files, json_marks, read_json
from jobgen.datasets.formats.places import by_name, files_of, images_of, layouts_of, texts_like
from jobgen.datasets.record import DataSet, Layout
from jobgen.errors import DatasetError

READS = "VIA (JSON or CSV with regions)"

LABELS = ("class", "label", "name", "category", "type", "object")
LINES = {"polygon": "polygons", "polyline": "lines"}
# An image and its regions: (shape_attributes, region_attributes).
Regions = list[tuple[dict[str, Any], dict[str, Any]]]


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files, by the splits in their names or folders."""
    names = [name for name in json_files(files) if _is_via(json_marks(files, name))]
    names += texts_like(files, "via", (".csv",), is_via_csv)
    return layouts_of("via", files, by_name(names))


def _is_via(marks: frozenset[str]) -> bool:
    plain = {"filename", "regions", "file_attributes"} <= marks
    return plain or bool(marks & {"_via_img_metadata", "_via_settings", "shape_attributes"})


def is_via_csv(head: str) -> bool:
    """Whether a CSV begins with VIA's columns."""
    return "region_shape_attributes" in head.partition("\n")[0]


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    shapes, pages = Shapes(), {}
    parts: dict[str, Gathered] = {}
    for split, names in files_of(files, layout).items():
        part = parts[split] = Gathered(files, split, posixpath.basename(names[0]), shapes)
        pages[split] = [(name, _pages(part, name)) for name in names]
    named = [r[1] for found in pages.values() for _, p in found for r in _all_regions(p)]
    key = files.columns.get("label") or _class_key(named, shapes)
    for split, part in parts.items():
        for name, images in pages[split]:
            for image, regions in images:
                row = part.image(images_of(files).named(image, name))
                for shape, attributes in regions:
                    _region(part, row, shape, _label(attributes, key, shapes), f"{name}: {image}")
    return data_set(files, layout, parts, shapes)


def _pages(part: Gathered, name: str) -> list[tuple[str, Regions]]:
    try:
        if name.lower().endswith(".csv"):
            return _csv_pages(part, name)
        return _json_pages(part, name)
    except (DatasetError, csv.Error) as error:
        part.tell("DS010", name, str(getattr(error, "message", error)))
        return []


def _json_pages(part: Gathered, name: str) -> list[tuple[str, Regions]]:
    record = read_json(part.files, name)
    metadata = record.get("_via_img_metadata", record) if isinstance(record, dict) else None
    if not isinstance(metadata, dict):
        raise DatasetError("it has no images with regions")
    found = []
    for item in metadata.values():
        image = item.get("filename") if isinstance(item, dict) else None
        if not isinstance(image, str):
            part.tell("DS012", name, "an image has no filename")
            continue
        regions = item.get("regions") or []
        # Version 1 numbers them in an object.
        found.append((image, _regions(part, name, image, regions)))
    return found


def _regions(part: Gathered, name: str, image: str, regions: Any) -> Regions:
    items = list(regions.values()) if isinstance(regions, dict) else regions
    taken: Regions = []
    for item in items if isinstance(items, list) else [None]:
        shape = item.get("shape_attributes") if isinstance(item, dict) else None
        attributes = item.get("region_attributes") if isinstance(item, dict) else None
        if isinstance(shape, dict):
            taken.append((shape, attributes if isinstance(attributes, dict) else {}))
        else:
            part.tell("DS012", f"{name}: {image}", "a region has no shape_attributes")
    return taken


def _csv_pages(part: Gathered, name: str) -> list[tuple[str, Regions]]:
    found: dict[str, Regions] = {}
    rows = csv.DictReader(io.StringIO(decoded(part.files.read(name))))
    for row in rows:
        image = row.get("filename") or row.get("#filename")
        if not image:
            part.tell("DS012", name, f"line {rows.line_num} has no filename")
            continue
        regions = found.setdefault(image, [])
        shape = _object(row.get("region_shape_attributes"))
        if shape is None:
            part.tell("DS011", name, f"line {rows.line_num}: its shape is no JSON")
        elif shape:
            regions.append((shape, _object(row.get("region_attributes")) or {}))
    return list(found.items())


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _all_regions(
    pages: list[tuple[str, Regions]],
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for _, regions in pages:
        yield from regions


def _class_key(attributes: list[dict[str, Any]], shapes: Shapes) -> str:
    """The attribute that is the class: one with a usual name, else the one with most values."""
    values: dict[str, Counter[str]] = {}
    for found in attributes:
        for key, value in found.items():
            if value:
                values.setdefault(key, Counter())[str(value)] += 1
    usual = [key for word in LABELS for key in values if key.lower() == word]
    ranked = sorted(values, key=lambda key: (-len(values[key]), -values[key].total()))
    chosen = next(iter([*usual, *ranked]), "")
    others = [key for key in values if key != chosen]
    if others:
        shapes.note(
            f"the class of a region is its attribute {chosen}, not {', '.join(others[:5])} "
            f"(--columns label=NAME takes another)"
        )
    return chosen


def _label(attributes: dict[str, Any], key: str, shapes: Shapes) -> str:
    value = attributes.get(key)
    if isinstance(value, dict):  # boxes to tick
        ticked = [str(name) for name, chosen in value.items() if chosen]
        if len(ticked) > 1:
            shapes.left_out["further classes of a region that has several"] += len(ticked) - 1
        return ticked[0] if ticked else ""
    return str(value) if value is not None else ""


def _region(part: Gathered, row: int, shape: dict[str, Any], label: str, where: str) -> None:
    kind = shape.get("name")
    x, y = number(shape.get("cx", shape.get("x"))), number(shape.get("cy", shape.get("y")))
    if kind == "rect":
        box = (x, y, number(shape.get("width")), number(shape.get("height")))
        part.box(row, label, box, where)
    elif kind in ("circle", "ellipse"):
        a = number(shape.get("r", shape.get("rx")))
        b = number(shape.get("r", shape.get("ry")))
        angle = number(shape.get("theta", 0))
        angle = angle if math.isfinite(angle) else 0.0
        wide = math.hypot(a * math.cos(angle), b * math.sin(angle))
        high = math.hypot(a * math.sin(angle), b * math.cos(angle))
        part.box(row, label, (x - wide, y - high, 2 * wide, 2 * high), where)
        times = 4 * wide * high / (math.pi * a * b) if a and b else math.nan
        part.shapes.became_box(f"{kind}s", times)
    elif kind == "point":
        part.shapes.left_out["points, which have no extent"] += 1
    else:
        _line(part, row, shape, label, where)


def _line(part: Gathered, row: int, shape: dict[str, Any], label: str, where: str) -> None:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    points: list[tuple[float, float]] = []
    if isinstance(xs, list) and isinstance(ys, list):
        points = [(number(x), number(y)) for x, y in zip(xs, ys, strict=False)]
    if points and all(math.isfinite(x + y) for x, y in points):
        kind = LINES.get(
            str(shape.get("name")), f"shapes of the kind {str(shape.get('name'))[:20]}"
        )
        part.around(row, label, kind, points, where)
    else:
        part.tell("DS011", where, f"a region is {str(shape)[:80]}")
