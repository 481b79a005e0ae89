"""Rows of the bench about data sets: readers of labelling tools, and tiling."""

from __future__ import annotations

import io
import json
import os
import random
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from jobgen.datasets.look import look
from jobgen.datasets.tile import Tiling, tile
from tests.sets import picture, write_zip

Row = tuple[str, str, str, float, float]
Files = dict[str, bytes]
IMAGES, BOXES = 300, 40
SCENES = 60


def boxes(n: int) -> list[tuple[str, int, int, int, int]]:
    """The boxes of an image: class, left, top, width, height."""
    return [
        ("ship" if i % 2 else "boat", (i + n) % 30, (i * 7) % 20, 10 + i % 7, 9 + i % 5)
        for i in range(BOXES)
    ]


def with_images(files: Files) -> Files:
    return {**files, **{f"s/{n}.jpg": picture(1) for n in range(1, IMAGES + 1)}}


def coco() -> Files:
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for n in range(1, IMAGES + 1):
        images.append({"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48})
        for label, x, y, w, h in boxes(n):
            found.append(
                {"id": len(found) + 1, "image_id": n, "category_id": 1 + (label == "boat"),
                 "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "segmentation": []}
            )  # fmt: skip
    classes = [{"id": 1, "name": "ship"}, {"id": 2, "name": "boat"}]
    record = {"info": {}, "images": images, "annotations": found, "categories": classes}
    return with_images({"s/all.json": json.dumps(record).encode()})


def labelme() -> Files:
    files: Files = {}
    for n in range(1, IMAGES + 1):
        shapes: list[dict[str, Any]] = [
            {"label": label, "points": [[x, y], [x + w, y + h]], "group_id": None,
             "shape_type": "rectangle", "flags": {}}
            for label, x, y, w, h in boxes(n)
        ]  # fmt: skip
        page: dict[str, Any] = {"version": "5", "flags": {}, "shapes": shapes, "imagePath": f"{n}.jpg",
                "imageData": None, "imageHeight": 48, "imageWidth": 64}  # fmt: skip
        files[f"s/{n}.json"] = json.dumps(page).encode()
    return with_images(files)


def cvat() -> Files:
    pages = []
    for n in range(1, IMAGES + 1):
        rows = "".join(
            f'<box label="{label}" occluded="0" xtl="{x}.0" ytl="{y}.0" xbr="{x + w}.0"'
            f' ybr="{y + h}.0" z_order="0"></box>'
            for label, x, y, w, h in boxes(n)
        )
        pages.append(f'<image id="{n}" name="{n}.jpg" width="64" height="48">{rows}</image>')
    text = f"<annotations><meta><task/></meta>{''.join(pages)}</annotations>"
    return with_images({"s/annotations.xml": text.encode()})


def texts(line: Callable[..., str]) -> Files:
    return with_images(
        {f"s/{n}.txt": "".join(line(*box) for box in boxes(n)).encode()
         for n in range(1, IMAGES + 1)}
    )  # fmt: skip


def visdrone() -> Files:
    return texts(lambda _label, x, y, w, h: f"{x},{y},{w},{h},1,4,0,0\n")


def dota() -> Files:
    return texts(
        lambda label, x, y, w, h: (
            f"{x}.0 {y}.0 {x + w}.0 {y}.0 {x + w}.0 {y + h}.0 {x}.0 {y + h}.0 {label} 0\n"
        )
    )


def csv() -> Files:
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for n in range(1, IMAGES + 1):
        lines += [f"{n}.jpg,64,48,{c},{x},{y},{x + w},{y + h}" for c, x, y, w, h in boxes(n)]
    return with_images({"s/boxes.csv": "\n".join(lines).encode()})


def via() -> Files:
    pages = {}
    for n in range(1, IMAGES + 1):
        regions = [
            {"shape_attributes": {"name": "rect", "x": x, "y": y, "width": w, "height": h},
             "region_attributes": {"type": label}}
            for label, x, y, w, h in boxes(n)
        ]  # fmt: skip
        pages[str(n)] = {"filename": f"{n}.jpg", "regions": regions, "file_attributes": {}}
    return with_images({"s/via.json": json.dumps({"_via_img_metadata": pages}).encode()})


def reader_rows(folder: Path) -> list[Row]:
    """A set of 12,000 boxes in each format beside the same in COCO: the time of a reading."""
    peer = write_zip(folder / "coco.zip", coco())
    rows = []
    for make in (labelme, cvat, visdrone, dota, csv, via):
        name = make.__name__
        path = write_zip(folder / f"{name}.zip", make())
        pairs = [(reading(path, name), reading(peer, "coco")) for _ in range(7)]
        a, b = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(one / other for one, other in pairs)
        times = (f"{a * 1e6:.1f} us", f"{b * 1e6:.1f} us")
        # docs/decisions/format-readers.md says why not 3 for a file an image.
        budget = 5.0 if name in ("labelme", "cvat", "visdrone", "dota") else 4.0
        rows.append((f"a box of {name} read / of COCO", *times, ratio, budget))
    return rows


def reading(path: Path, kind: str) -> float:
    """Seconds for a box."""
    started = time.perf_counter()
    data = look(path)
    passed = time.perf_counter() - started
    assert data.layout.format == kind
    assert sum(map(len, data)) == IMAGES * BOXES
    return passed / (IMAGES * BOXES)


def tiles_row(folder: Path) -> Row:
    """Pictures of 12 megapixels in tiles, by all cores, beside one process that only decodes
    them: the time of one core for a picture."""
    path = folder / "scenes.zip"
    rng = random.Random(1)
    grey = Image.effect_noise((2000, 1500), 40).resize((4000, 3000))
    buffer = io.BytesIO()
    Image.merge("RGB", [grey, grey, grey]).save(buffer, "JPEG", quality=90)
    record = {"info": {}, "categories": [{"id": 1, "name": "ship"}]}
    names = [f"{number}.jpg" for number in range(1, SCENES + 1)]
    found = [
        {"image_id": number, "category_id": 1, "area": 600, "iscrowd": 0,
         "bbox": [rng.uniform(0, 3950), rng.uniform(0, 2950), 30, 20]}
        for number in range(1, SCENES + 1) for _ in range(6)
    ]  # fmt: skip
    images = [
        {"id": number, "file_name": name, "width": 4000, "height": 3000}
        for number, name in enumerate(names, 1)
    ]
    boxes_ = [{**box, "id": number} for number, box in enumerate(found, 1)]
    text = json.dumps({**record, "images": images, "annotations": boxes_}).encode()
    files = {f"s/images/{name}": buffer.getvalue() for name in names}
    write_zip(path, {**files, "s/all.json": text})
    pairs = [(cutting(path, folder / f"t{n}.zip"), decoding(path)) for n in range(3)]
    cores = os.cpu_count() or 1
    a, b = (statistics.median(pair[side] for pair in pairs) / SCENES for side in (0, 1))
    ratio = statistics.median(one * cores / other for one, other in pairs)
    what = f"tiling, {cores} cores / decoding, one"
    # docs/decisions/tiling-speed.md says why not 1.25.
    return what, f"{a * cores * 1e3:.0f} ms", f"{b * 1e3:.0f} ms", ratio, 1.6


def cutting(path: Path, target: Path) -> float:
    """Seconds of all cores."""
    started = time.perf_counter()
    tile(look(path), [path], target, Tiling(), os.cpu_count() or 1)
    return time.perf_counter() - started


def decoding(path: Path) -> float:
    """Seconds of one process that decodes every picture."""
    started = time.perf_counter()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    image.load()
    return time.perf_counter() - started
