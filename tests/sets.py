"""Tiny data sets with real images, for tests to break in one place."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 64, 48
CLASSES = ("ship", "boat")


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), kind: str = "JPEG",
            **options: Any) -> bytes:  # fmt: skip
    """An image file whose pixels nobody else's are."""
    image = Image.new("RGB", size)
    image.putdata([((x * seed) % 256, (x * 7) % 256, seed % 256) for x in range(size[0] * size[1])])
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def coco_split(first: int, count: int) -> dict[str, Any]:
    """A sound COCO record of `count` images from number `first`, two boxes each."""
    numbers = range(first, first + count)
    boxes = [(n, c, [4 + 20 * c, 5 + n, 16, 20]) for n in numbers for c in (1, 2)]
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": n, "file_name": f"{n:04d}.jpg", "width": WIDTH, "height": HEIGHT}
            for n in numbers
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, (image, label, box) in enumerate(boxes, 1)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)],
    }


@dataclass
class Coco:
    """A COCO set: two records, and all other files by their path."""

    root: str = "ships"
    train: Any = field(default_factory=lambda: coco_split(1, 4))
    val: Any = field(default_factory=lambda: coco_split(5, 2))
    files: dict[str, bytes] = field(
        default_factory=lambda: {f"images/{n:04d}.jpg": picture(n) for n in range(1, 7)}
    )

    def all_files(self) -> dict[str, bytes]:
        found = dict(self.files)
        for name, record in (("train.json", self.train), ("val.json", self.val)):
            if record is not None:
                text = record if isinstance(record, str) else json.dumps(record)
                found[name] = text.encode()
        return {f"{self.root}/{name}": data for name, data in found.items()}


@dataclass
class Plain:
    """A set of files by their path: VOC and YOLO."""

    files: dict[str, bytes]
    root: str = "cells"

    def all_files(self) -> dict[str, bytes]:
        return {f"{self.root}/{name}": data for name, data in self.files.items()}

    def change(self, name: str, old: str, new: str) -> None:
        text = self.files[name].decode()
        assert old in text
        self.files[name] = text.replace(old, new, 1).encode()


def voc_page(name: str, *boxes: tuple[str, float, float, float, float]) -> bytes:
    keys = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{label}</name><bndbox>"
        + "".join(f"<{k}>{v}</{k}>" for k, v in zip(keys, corners, strict=True))
        + "</bndbox></object>"
        for label, *corners in boxes
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>".encode()


def voc() -> Plain:
    files: dict[str, bytes] = {}
    for n in range(1, 7):
        files[f"JPEGImages/{n:04d}.jpg"] = picture(n)
        boxes = (("ship", 4, 5, 20, 25 + n), ("boat", 24, 5, 40, 30))
        files[f"Annotations/{n:04d}.xml"] = voc_page(f"{n:04d}.jpg", *boxes)
    files["ImageSets/Main/train.txt"] = b"0001\n0002\n0003\n0004\n"
    files["ImageSets/Main/val.txt"] = b"0005\n0006\n"
    return Plain(files)


def yolo() -> Plain:
    files: dict[str, bytes] = {
        "data.yaml": b"train: images/train\nval: images/val\nnc: 2\nnames: [ship, boat]\n"
    }
    for n in range(1, 7):
        split = "train" if n < 5 else "val"
        files[f"images/{split}/{n:04d}.jpg"] = picture(n)
        lines = f"0 0.25 0.25 0.25 0.5\n1 0.5 0.5 0.25 0.{n}\n"
        files[f"labels/{split}/{n:04d}.txt"] = lines.encode()
    return Plain(files)


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return path
