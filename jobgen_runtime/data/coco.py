"""COCO annotation files: read, and refused where PaddleDetection would stumble hours later."""

import json
import os
from typing import Any, Dict, List, Optional, Set, Tuple

from jobgen_runtime.data.faults import data_fault
from jobgen_runtime.record.errors import StageError


def annotation_path(place: Dict[str, Any], split: str) -> str:
    """The annotation file of a split on this machine; `place` as prepare_data gives it."""
    path = str(place[split]["anno_path"])
    if os.path.isabs(path):
        return path
    return os.path.join(str(place["dataset_dir"]), *path.split("/"))


def image_path(place: Dict[str, Any], split: str, name: str) -> str:
    parts = place[split]["image_dir"].split("/") + name.split("/")
    return os.path.join(str(place["dataset_dir"]), *parts)


def coco_text(record: Dict[str, Any]) -> str:
    """A COCO record as text: the same bytes for the same record on any machine."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def read_coco(path: str) -> Dict[str, Any]:
    """A COCO file. Raises StageError where it is none."""
    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8-sig") as stream:
            record = json.load(stream)
    except OSError as error:
        raise StageError(
            "%s can't be read: %s" % (path, error.strerror),
            "Compare dataset.root and the names in job.yaml with what the archive holds.",
            cause="data",
        )
    except (ValueError, RecursionError) as error:
        raise data_fault(name, "DS010", "it is no JSON: %s" % error)
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise data_fault(name, "DS012", "it needs the lists images, annotations and categories")
    return record


def check_coco(
    path: str, record: Dict[str, Any], classes: List[str], labelled: bool = True
) -> Dict[str, int]:
    """Refuse what PaddleDetection would stumble over hours later; give the counts. A set that is
    not `labelled` needs no boxes.

    Checked: that items are objects with whole-number ids, each once; the categories and
    their order; ids that lead nowhere; file names, each once; missing `area` and `iscrowd`; boxes
    that are not four finite numbers.
    """
    place = os.path.basename(path)
    ids = {key: _ids(place, key, record[key]) for key in ("images", "annotations", "categories")}
    names = [category.get("name") for category in record["categories"]]
    if names != classes:
        raise data_fault(
            place,
            "DS033",
            "its categories are %s, the job's are %s: labels would be swapped or lost"
            % (", ".join(map(str, names)), ", ".join(classes)),
        )
    _check_images(place, record["images"])
    for box in record["annotations"]:
        fault = _box_fault(box, ids["images"], ids["categories"])
        if fault:
            raise data_fault(place, fault[0], ("annotation %s %s" % (box["id"], fault[1])).strip())
    boxes = record["annotations"]
    if labelled and not boxes:
        raise data_fault(place, "DS091", "it has no boxes")
    if labelled and not any(_is_trained_on(box) for box in boxes):
        raise data_fault(place, "DS091", "PaddleDetection leaves out all %d" % len(boxes))
    return {"images": len(record["images"]), "boxes": len(record["annotations"])}


def _check_images(place: str, images: List[Dict[str, Any]]) -> None:
    seen: Set[str] = set()
    for image in images:
        if not all(image.get(key) for key in ("file_name", "width", "height")):
            raise data_fault(
                place, "DS012", "image %s lacks file_name, width or height" % image["id"]
            )
        sides = [image["width"], image["height"]]
        if not all(type(side) in (int, float) and side > 0 for side in sides):
            raise data_fault(
                place, "DS011", "image %s has width and height %s" % (image["id"], sides)
            )
        name = image["file_name"]
        if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/"):
            raise data_fault(place, "DS011", "image %s has the file_name %r" % (image["id"], name))
        if name in seen:
            raise data_fault(place, "DS052", name)
        seen.add(name)


def _is_trained_on(box: Dict[str, Any]) -> bool:
    if box.get("ignore") or box["iscrowd"]:
        return False
    return bool(box["bbox"][2] > 0 and box["bbox"][3] > 0)


def boxes_without_area(record: Dict[str, Any]) -> List[str]:
    """The annotations that PaddleDetection drops with a warning, as `file: bbox`."""
    names = {image["id"]: image["file_name"] for image in record["images"]}
    return [
        "%s: %s" % (names[box["image_id"]], box["bbox"])
        for box in record["annotations"]
        if box["bbox"][2] <= 0 or box["bbox"][3] <= 0
    ]


def _ids(place: str, kind: str, items: List[Any]) -> Set[int]:
    found: Set[int] = set()
    for item in items:
        number = item.get("id") if isinstance(item, dict) else None
        if number is None:
            raise data_fault(place, "DS021", "an item of %s has no id: %.60r" % (kind, item))
        if not _is_whole(number):
            raise data_fault(place, "DS011", "an item of %s has the id %.60r" % (kind, number))
        if number in found:
            raise data_fault(place, "DS020", "two items of %s have the id %d" % (kind, int(number)))
        found.add(number)
    return found


def _box_fault(  # noqa: C901 - one fault after the other, in the order of their weight
    box: Dict[str, Any], images: Set[int], categories: Set[int]
) -> Optional[Tuple[str, str]]:
    for key in ("category_id", "image_id", "bbox"):
        if key not in box:
            return "DS012", "has no %s" % key
    for key in ("category_id", "image_id"):
        if not _is_whole(box[key]):
            return "DS011", "has the %s %.60r, not a whole number" % (key, box[key])
    if box["category_id"] not in categories:
        return "DS030", "has the category id %s, which categories lacks" % box["category_id"]
    if box["image_id"] not in images:
        return "DS023", "belongs to image %s" % box["image_id"]
    for code, key in (("DS014", "area"), ("DS015", "iscrowd")):
        if key not in box:
            return code, ""
    if not _is_box(box["bbox"]):
        return "DS011", "has the bbox %.60r, not four numbers" % (box["bbox"],)
    if not all(abs(value) < float("inf") for value in box["bbox"]):
        return "DS045", "has the bbox %r" % (box["bbox"],)
    return None


def _is_whole(value: Any) -> bool:
    """Whole numbers; 1.0 is one too, as pandas writes them and dictionaries find them."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    )


def check_images(folder: str, path: str, record: Dict[str, Any]) -> None:
    """Every image of the annotation file lies in `folder`, else StageError."""
    absent = [
        image["file_name"]
        for image in record["images"]
        if not os.path.isfile(os.path.join(folder, *image["file_name"].split("/")))
    ]
    if absent:
        raise data_fault(
            os.path.basename(path),
            "DS050",
            "%d of its %d images are not in %s: %s%s"
            % (
                len(absent),
                len(record["images"]),
                folder,
                ", ".join(absent[:3]),
                ", ..." if len(absent) > 3 else "",
            ),
            "PaddleDetection would train on the rest without a word. Add the images, or correct "
            "`images:` in job.yaml.",
        )
