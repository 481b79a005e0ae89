"""A COCO file with faults, item by item: each is told, and what can be meant is taken."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.record import UNKNOWN, Trouble, integers, rows_of

LARGEST_ID = 2**63 - 1


def link(values: dict[str, Any], images: Any, classes: Any) -> None:
    """Add the row of each box's image and class, and the ids that lead nowhere."""
    values["image_of"] = rows_of(values["image_ids"], images)
    values["class_of"] = rows_of(values["class_ids"], classes)
    values["unknown_images"] = images[values["image_of"] == UNKNOWN]
    values["unknown_classes"] = classes[values["class_of"] == UNKNOWN]


def loose_columns(
    place: str, data: bytes, progress: Progress
) -> tuple[dict[str, Any], list[Trouble]]:
    """The columns of a file with faults: each is told, and what can be meant is taken."""
    loose = Loose(place, progress)
    record: Any = {}
    try:
        record = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        loose.tell("DS010", f"it is no JSON: {error}")
    if not isinstance(record, dict):
        loose.tell("DS012", "it needs the lists images, annotations and categories")
        record = {}
    elif not loose.troubles:
        for key in ("images", "annotations", "categories"):
            if not isinstance(record.get(key), list):
                loose.tell("DS012", f"it has no list {key}")
    return loose.columns(record)


class Loose:
    """Takes items one by one and tells what is wrong with them."""

    def __init__(self, place: str, progress: Progress = silent) -> None:
        self.place = place
        self.progress = progress
        self.troubles: list[Trouble] = []

    def tell(self, code: str, detail: str, lost: bool = True) -> None:
        self.troubles.append(Trouble(code, self.place, detail, lost))

    def columns(self, record: dict[str, Any]) -> tuple[dict[str, Any], list[Trouble]]:
        images = self.items(record, "images", "file_name")
        classes = self.items(record, "categories", "name")
        for _, image in images:
            for key in ("width", "height"):
                image[key] = self.whole(image, f"image {image['id']}", key, lost=False) or 0
        rows = [row for item in self.items(record, "annotations") if (row := self.box_row(*item))]
        values = {
            "image_names": [i["file_name"] for _, i in images],
            "image_ids": integers([i["id"] for _, i in images]),
            "image_items": integers([place for place, _ in images]),
            "widths": integers([i["width"] for _, i in images]),
            "heights": integers([i["height"] for _, i in images]),
            "class_ids": integers([c["id"] for _, c in classes]),
            "class_names": [c["name"] for _, c in classes],
            "box_items": integers([r[0] for r in rows]),
            "box_ids": integers([r[1] for r in rows]),
            "boxes": np.array([r[4] for r in rows], np.float64).reshape(len(rows), 4),
            "area": np.array([r[5] for r in rows], np.float64),
            "crowd": np.array([r[6] for r in rows], np.int8),
            "ignored": np.array([r[7] for r in rows], bool),
            "has_info": "info" in record,
        }
        link(values, integers([r[2] for r in rows]), integers([r[3] for r in rows]))
        return values, self.troubles

    def items(
        self, record: dict[str, Any], kind: str, name: str | None = None
    ) -> list[tuple[int, dict[str, Any]]]:
        """The items of a list that are objects with an id, and a text `name` where one is
        wanted, each with its place in the list."""
        found = record.get(kind)
        kept = []
        items = found if isinstance(found, list) else []
        for place, item in enumerate(items):
            self.progress(f"reading {self.place}", place, len(items))
            if not isinstance(item, dict):
                self.tell("DS011", f"an item of {kind} is {_short(item)}")
            elif item.get("id") is None:
                self.tell("DS021", f"an item of {kind}: {_short(item)}")
            else:
                number = self.whole(item, f"an item of {kind}", "id")
                if number is not None and (name is None or self.is_text(item, kind, name)):
                    kept.append((place, {**item, "id": number}))
        return kept

    def is_text(self, item: dict[str, Any], kind: str, key: str) -> bool:
        value = item.get(key)
        if value is None or value == "":
            self.tell("DS012", f"item {item['id']} of {kind} has no {key}")
        elif not isinstance(value, str) or not _is_unicode(value):
            self.tell("DS011", f"item {item['id']} of {kind} has the {key} {_short(value)}")
            return False
        return bool(value)

    def whole(self, item: dict[str, Any], what: str, key: str, lost: bool = True) -> int | None:
        """A whole number of 63 bits; one that is written as text is told of and taken."""
        value = item.get(key)
        if value is None:
            self.tell("DS012", f"{what} has no {key}", lost)
            return None
        number = _as_number(value)
        if number is None or not math.isfinite(number) or number % 1:
            self.tell("DS011", f"{what} has the {key} {_short(value)}")
            return None
        if abs(number) > LARGEST_ID:
            self.tell("DS022", f"{what} has the {key} {_short(value)}")
            return None
        if isinstance(value, (bool, str)):
            self.tell("DS011", f"{what} has the {key} {_short(value)}", lost=False)
        return int(number)

    def box_row(self, place: int, item: dict[str, Any]) -> tuple[Any, ...] | None:
        """Place, id, image, class, box, area and crowd of an annotation; None where one is lost."""
        what = f"annotation {item['id']}"
        image = self.whole(item, what, "image_id")
        category = self.whole(item, what, "category_id")
        box = self.box(item, what)
        if image is None or category is None or box is None:
            return None
        return (
            place,
            item["id"],
            image,
            category,
            box,
            self.area(item, what),
            self.crowd(item, what),
            bool(item.get("ignore")),
        )

    def area(self, item: dict[str, Any], what: str) -> float:
        if "area" not in item:
            return math.nan
        number = _as_number(item["area"])
        if number is None or isinstance(item["area"], (bool, str)):
            self.tell("DS011", f"{what} has the area {_short(item['area'])}", lost=False)
        return math.nan if number is None else float(number)

    def crowd(self, item: dict[str, Any], what: str) -> int:
        if "iscrowd" not in item:
            return UNKNOWN
        # true and false are read as 1 and 0 by everyone.
        if not isinstance(item["iscrowd"], (int, float)):
            self.tell("DS011", f"{what} has the iscrowd {_short(item['iscrowd'])}", lost=False)
        return int(_as_number(item["iscrowd"]) not in (None, 0, 0.0))

    def box(self, item: dict[str, Any], what: str) -> list[float] | None:
        value = item.get("bbox")
        if value is None or value == []:
            around = _around(item.get("segmentation"))
            told = f"{what} has no bbox" + (", but a polygon" if around else "")
            self.tell("DS012", told, lost=around is None)
            return around
        numbers = [_as_number(v) for v in value] if isinstance(value, list) else []
        taken = [float(v) for v in numbers if v is not None]
        if len(taken) != 4 or len(numbers) != 4:
            self.tell("DS011", f"{what} has the bbox {_short(value)}")
            return None
        if any(isinstance(v, (bool, str)) for v in value):
            self.tell("DS011", f"{what} has the bbox {_short(value)}", lost=False)
        return taken


def _around(segmentation: Any) -> list[float] | None:
    """The box around COCO's polygons, lists of x and y in turn; None where there are none."""
    rings = (
        [r for r in segmentation if isinstance(r, list) and len(r) >= 6]
        if isinstance(segmentation, list)
        else []
    )
    try:
        xs = [float(x) for ring in rings for x in ring[0::2]]
        ys = [float(y) for ring in rings for y in ring[1::2]]
    except (TypeError, ValueError):
        return None
    if not xs or not all(map(math.isfinite, (*xs, *ys))):
        return None
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _as_number(value: Any) -> float | int | None:
    if isinstance(value, (int, float)):
        try:
            float(value)
        except OverflowError:
            return math.inf
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_unicode(text: str) -> bool:
    """Whether a text is without half of a surrogate pair, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
