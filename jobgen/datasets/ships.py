"""A small data set to try things on: bright ships on a dark, speckled sea, as SAR shows them.

Drawn from a seed, in the layout of the tutorial's SSDD archive: JPEGImages/,
train.json, val.json. One file name is Chinese, as real archives have them.
"""

from __future__ import annotations

import io
import json
import math
import random
import zipfile
from pathlib import Path
from typing import Any

from jobgen.errors import DatasetError
from jobgen.files import sha256, write_atomically

SIZE = 224
Splits = dict[str, dict[str, Any]]


def make_ships(archive: Path, train: int = 80, val: int = 20, seed: int = 20) -> Splits:
    """Write the archive; give images, boxes and the annotation file's SHA-256 of each split."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            "drawing needs Pillow", "Install jobgen with its extra `run`, as README says."
        ) from error
    rng = random.Random(seed)
    found: Splits = {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for split, count in (("train", train), ("val", val)):
            record = _empty_record()
            for number in range(count):
                name = f"{split}_{number:04d}.jpg"
                if split == "train" and number == 1:
                    name = "船_0001.jpg"
                boxes, data = _draw(rng)
                _add_image(record, name, boxes)
                target.writestr(zip_entry(f"ships/JPEGImages/{name}"), data)
            text = json.dumps(record, ensure_ascii=False).encode()
            target.writestr(zip_entry(f"ships/{split}.json"), text)
            boxes_in_all = len(record["annotations"])
            found[split] = {"images": count, "boxes": boxes_in_all, "sha256": sha256(text)}
    write_atomically(archive, buffer.getvalue())
    return found


def zip_entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))


def _empty_record() -> dict[str, Any]:
    categories = [{"id": 1, "name": "ship"}]
    return {"info": {}, "images": [], "annotations": [], "categories": categories}


def _add_image(record: dict[str, Any], name: str, boxes: list[tuple[int, int, int, int]]) -> None:
    image_id = len(record["images"]) + 1
    size = {"width": SIZE, "height": SIZE}
    record["images"].append({"id": image_id, "file_name": name, **size})
    for x, y, width, height in boxes:
        record["annotations"].append(
            {
                "id": len(record["annotations"]) + 1,
                "image_id": image_id,
                "category_id": 1,
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )


def _draw(rng: random.Random) -> tuple[list[tuple[int, int, int, int]], bytes]:
    from PIL import Image, ImageDraw, ImageFilter

    speckle = bytes(min(255, int(rng.expovariate(1 / 22))) for _ in range(SIZE * SIZE))
    image = Image.frombytes("L", (SIZE, SIZE), speckle)
    draw = ImageDraw.Draw(image)
    boxes: list[tuple[int, int, int, int]] = []
    wanted = rng.randint(1, 3)
    while len(boxes) < wanted:
        hull, box = _ship(rng)
        if not any(_overlap(box, other) for other in boxes):
            boxes.append(box)
            draw.polygon(hull, fill=rng.randint(190, 255))
    image = image.filter(ImageFilter.GaussianBlur(0.7)).convert("RGB")
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return boxes, stream.getvalue()


def _ship(
    rng: random.Random,
) -> tuple[list[tuple[float, float]], tuple[int, int, int, int]]:
    """A hull, pointed at the bow, and the box around it as x, y, width, height in pixels."""
    length, angle = rng.uniform(40, 90), rng.uniform(0, math.pi)
    beam = length * rng.uniform(0.28, 0.4)
    margin = length / 2 + 4
    cx, cy = rng.uniform(margin, SIZE - margin), rng.uniform(margin, SIZE - margin)
    outline = ((-0.5, -0.5), (0.25, -0.5), (0.5, 0.0), (0.25, 0.5), (-0.5, 0.5))
    hull = []
    for along, across in outline:
        x, y = along * length, across * beam
        hull.append(
            (
                cx + x * math.cos(angle) - y * math.sin(angle),
                cy + x * math.sin(angle) + y * math.cos(angle),
            )
        )
    left, top = math.floor(min(p[0] for p in hull)), math.floor(min(p[1] for p in hull))
    right, bottom = math.ceil(max(p[0] for p in hull)), math.ceil(max(p[1] for p in hull))
    return hull, (left, top, right - left + 1, bottom - top + 1)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return (
        a[0] < b[0] + b[2] + 4
        and b[0] < a[0] + a[2] + 4
        and a[1] < b[1] + b[3] + 4
        and b[1] < a[1] + a[3] + 4
    )
