"""Images of rare classes repeated, so that training sees each class often enough."""

import math
from collections import Counter
from typing import Any, Dict, List, Set

# More would be learned by heart.
MOST = 5


def repeats(record: Dict[str, Any]) -> List[int]:
    """How often each image of a COCO record is to be seen: as often as its rarest class asks for.

    A class asks for the root of how many times more images the commonest class has, rounded, at
    most MOST: repeat factor sampling (Gupta, Dollár and Girshick, LVIS, 2019, section 5) with the
    commonest class's share of images as its threshold.
    """
    classes: Dict[int, Set[int]] = {}
    for box in record["annotations"]:
        if not box.get("iscrowd"):
            classes.setdefault(box["image_id"], set()).add(box["category_id"])
    images = Counter(label for found in classes.values() for label in found)
    most = max(images.values()) if images else 1
    asks = {label: min(MOST, round(math.sqrt(most / count))) for label, count in images.items()}
    return [
        max([asks[label] for label in classes.get(image["id"], ())] or [1])
        for image in record["images"]
    ]


def balanced(record: Dict[str, Any]) -> Dict[str, Any]:
    """The record with its images repeated, each copy under ids of its own."""
    times = repeats(record)
    boxes: Dict[int, List[Dict[str, Any]]] = {}
    for box in record["annotations"]:
        boxes.setdefault(box["image_id"], []).append(box)
    images, annotations = list(record["images"]), list(record["annotations"])
    next_image = max([image["id"] for image in images] or [0]) + 1
    next_box = max([box["id"] for box in annotations] or [0]) + 1
    for image, count in zip(record["images"], times):
        for _ in range(count - 1):
            images.append(dict(image, id=next_image))
            for box in boxes.get(image["id"], ()):
                annotations.append(dict(box, id=next_box, image_id=next_image))
                next_box += 1
            next_image += 1
    return dict(record, images=images, annotations=annotations)
