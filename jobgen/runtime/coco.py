"""COCO annotation files: read, and refused where PaddleDetection would stumble hours later."""

import json
import os
from typing import Any, Dict, List, Optional, Set

from jobgen.runtime.outcome import StageError


def read_coco(path: str) -> Dict[str, Any]:
    """A COCO file. Raises StageError where it is none."""
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
        raise data_fault(path, "it is no JSON: %s" % error)
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise data_fault(path, "it needs the lists images, annotations and categories")
    return record


def data_fault(path: str, message: str) -> StageError:
    return StageError(
        "%s: %s" % (os.path.basename(path), message),
        "Correct the file, and upload it as a new version of the data set.",
        cause="data",
    )


def check_coco(path: str, record: Dict[str, Any], classes: List[str]) -> Dict[str, int]:
    """Refuse what PaddleDetection would stumble over hours later; give the counts.

    Checked: that items are objects with whole-number ids, each once; the categories and
    their order; ids that lead nowhere; file names; missing `area` and `iscrowd`; boxes
    that are not four finite numbers.
    """
    ids = {key: _ids(path, key, record[key]) for key in ("images", "annotations", "categories")}
    names = [category.get("name") for category in record["categories"]]
    if names != classes:
        raise data_fault(
            path,
            "its categories are %s, the job's classes are %s: labels would be swapped or lost"
            % (", ".join(map(str, names)), ", ".join(classes)),
        )
    for image in record["images"]:
        if not all(image.get(key) for key in ("file_name", "width", "height")):
            raise data_fault(path, "image %s lacks file_name, width or height" % image["id"])
        name = image["file_name"]
        if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/"):
            raise data_fault(path, "image %s has the file_name %r" % (image["id"], name))
    for box in record["annotations"]:
        fault = _box_fault(box, ids["images"], ids["categories"])
        if fault:
            raise data_fault(path, "annotation %s %s" % (box["id"], fault))
    if not record["annotations"]:
        raise data_fault(path, "it has no boxes")
    return {"images": len(record["images"]), "boxes": len(record["annotations"])}


def _ids(path: str, kind: str, items: List[Any]) -> Set[int]:
    found: Set[int] = set()
    for item in items:
        number = item.get("id") if isinstance(item, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise data_fault(path, "an item of %s has no whole number as id: %.60r" % (kind, item))
        if number in found:
            raise data_fault(path, "two items of %s have the id %d" % (kind, number))
        found.add(number)
    return found


def _box_fault(box: Dict[str, Any], images: Set[int], categories: Set[int]) -> Optional[str]:
    for key in ("category_id", "image_id"):
        if not isinstance(box.get(key), int):
            return "has the %s %.60r, not a whole number" % (key, box.get(key))
    if box.get("category_id") not in categories:
        return "has the category id %s, which categories does not have" % box.get("category_id")
    if box.get("image_id") not in images:
        return "belongs to image %s, which is not listed" % box.get("image_id")
    missing = [key for key in ("area", "iscrowd", "bbox") if key not in box]
    if missing:
        return "has no %s" % " and no ".join(missing)
    if not _is_box(box["bbox"]):
        return "has the bbox %r, not four numbers" % (box["bbox"],)
    return None


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, (int, float)) and abs(v) < 1e9 for v in value)
    )


def check_images(folder: str, path: str, record: Dict[str, Any]) -> None:
    """Every image of the annotation file lies in `folder`, else StageError."""
    absent = [
        image["file_name"]
        for image in record["images"]
        if not os.path.isfile(os.path.join(folder, *image["file_name"].split("/")))
    ]
    if absent:
        raise StageError(
            "%d of the %d images of %s are not in %s: %s%s"
            % (
                len(absent),
                len(record["images"]),
                os.path.basename(path),
                folder,
                ", ".join(absent[:3]),
                ", ..." if len(absent) > 3 else "",
            ),
            "PaddleDetection would train on the rest without a word. Add the images, or correct "
            "`images:` in job.yaml.",
            cause="data",
        )
