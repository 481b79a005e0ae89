"""A COCO file of the size of instances_train2017, drawn from a seed: python tests/large_coco.py FILE

118,287 images, 860,001 boxes with polygons, 80 classes, about 390 MB. The shape of the
numbers is COCO's: sizes around 640 x 480, coordinates with two decimals, ids with gaps.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

IMAGES, BOXES, CLASSES = 118_287, 860_001, 80


def write_large_coco(path: Path, images: int = IMAGES, boxes: int = BOXES, seed: int = 7) -> None:
    rng = random.Random(seed)
    sizes = [(640, 480), (480, 640), (640, 427), (500, 375)]
    with path.open("w", encoding="utf-8") as out:
        out.write('{"info": {"description": "drawn"}, "licenses": [], "images": [')
        chosen = []
        for n in range(images):
            number, (width, height) = n * 5 + 9, sizes[n % 4]
            chosen.append((number, width, height))
            image = {
                "license": 3,
                "file_name": f"{number:012d}.jpg",
                "coco_url": f"http://images.example.org/train2017/{number:012d}.jpg",
                "height": height,
                "width": width,
                "date_captured": "2013-11-14 11:18:45",
                "id": number,
            }
            out.write((", " if n else "") + json.dumps(image))
        out.write('], "annotations": [')
        for n in range(boxes):
            number, width, height = chosen[n % images]
            w, h = round(rng.uniform(12, width / 2), 2), round(rng.uniform(12, height / 2), 2)
            x, y = round(rng.uniform(0, width - w), 2), round(rng.uniform(0, height - h), 2)
            points = [f"{x + rng.random() * w:.2f}, {y + rng.random() * h:.2f}" for _ in range(18)]
            out.write(
                f'{", " if n else ""}{{"segmentation": [[{", ".join(points)}]], '
                f'"area": {w * h:.4f}, "iscrowd": 0, "image_id": {number}, '
                f'"bbox": [{x}, {y}, {w}, {h}], "category_id": {n % CLASSES + 1}, '
                f'"id": {n * 3 + 100}}}'
            )
        categories = [
            {"supercategory": "thing", "id": n + 1, "name": f"class {n}"} for n in range(CLASSES)
        ]
        out.write(f'], "categories": {json.dumps(categories)}}}')


if __name__ == "__main__":
    write_large_coco(Path(sys.argv[1]))
