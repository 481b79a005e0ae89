"""The same small set as every labelling tool would write it: six images, two boxes each.

The boxes of image n are ship (4, 5, 16, 20) and boat (24, 5, 16, 10 + n), as left, top, width
and height. Images 1 to 4 are train and 5 and 6 val where the format has splits.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from tests.sets import HEIGHT, WIDTH, picture

Files = dict[str, bytes]
NUMBERS = range(1, 7)
SPLITS = {"train": range(1, 5), "val": range(5, 7)}


def boxes(n: int) -> list[tuple[str, int, int, int, int]]:
    return [("ship", 4, 5, 16, 20), ("boat", 24, 5, 16, 10 + n)]


def ring(x: int, y: int, w: int, h: int) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def labelme() -> Files:
    """A rectangle and a polygon; the JSON of image 6 holds its image."""
    files: Files = {}
    for n in NUMBERS:
        (a, x, y, w, h), (b, *other) = boxes(n)
        image = picture(n)
        page: dict[str, Any] = {
            "version": "5.4.1",
            "flags": {},
            "shapes": [
                {"label": a, "points": [[x + w, y], [x, y + h]], "shape_type": "rectangle"},
                {"label": b, "points": ring(*other), "shape_type": "polygon", "flags": {}},
            ],
            "imagePath": f"..\\pictures\\{n}.jpg",
            "imageData": base64.b64encode(image).decode() if n == 6 else None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        files[f"s/{n}.json"] = json.dumps(page, ensure_ascii=False).encode()
        if n != 6:
            files[f"s/{n}.jpg"] = image
    return files


def cvat() -> Files:
    """A task's images: a box, and one that is turned by 90 degrees."""
    items = []
    for n in NUMBERS:
        (a, x, y, w, h), (b, left, top, wide, high) = boxes(n)
        cx, cy = left + wide / 2, top + high / 2
        items.append(
            f'<image id="{n}" name="{n}.jpg" width="{WIDTH}" height="{HEIGHT}">'
            f'<box label="{a}" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}" z_order="0"/>'
            f'<box label="{b}" rotation="90" xtl="{cx - high / 2}" ytl="{cy - wide / 2}"'
            f' xbr="{cx + high / 2}" ybr="{cy + wide / 2}"><attribute name="q">1</attribute></box>'
            "</image>"
        )
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("ship", "boat"))
    head = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
    text = (
        f"<?xml version='1.0' encoding='utf-8'?><annotations>{head}{''.join(items)}</annotations>"
    )
    images = {f"s/images/{n}.jpg": picture(n) for n in NUMBERS}
    return {"s/annotations.xml": text.encode(), **images}


def cvat_video() -> Files:
    """Two tracks; in frame 3 the boat is outside, and frame 6 has nothing."""
    tracks = []
    for place, label in enumerate(("ship", "boat")):
        lines = []
        for n in range(1, 6):
            _, x, y, w, h = boxes(n)[place]
            outside = int(n == 3 and label == "boat")
            lines.append(
                f'<box frame="{n}" outside="{outside}" occluded="0" keyframe="1" xtl="{x}"'
                f' ytl="{y}" xbr="{x + w}" ybr="{y + h}"/>'
            )
        tracks.append(f'<track id="{place}" label="{label}">{"".join(lines)}</track>')
    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    text = f"<annotations><meta><task/>{size}</meta>{''.join(tracks)}</annotations>"
    images = {f"s/images/frame_{n:06d}.png": picture(n, kind="PNG") for n in NUMBERS}
    return {"s/annotations.xml": text.encode(), **images}


def _texts(folder: str, images: str, line: Callable[..., str], head: str = "") -> Files:
    files: Files = {}
    for split, numbers in SPLITS.items():
        for n in numbers:
            lines = "".join(line(*box) for box in boxes(n))
            files[f"s/{split}/{folder}/{n}.txt"] = (head + lines).encode()
            files[f"s/{split}/{images}/{n}.jpg"] = picture(n)
    return files


def visdrone() -> Files:
    """ship is a car here and boat a bus; with a region to ignore, and a box with score 0."""

    def line(label: str, x: int, y: int, w: int, h: int) -> str:
        number = {"ship": 4, "boat": 9}[label]
        more = f"0,0,9,9,1,0,0,0\n3,3,9,9,0,{number},0,0\n" if label == "boat" else ""
        return f"{x},{y},{w},{h},1,{number},0,0\n{more}"

    return _texts("annotations", "images", line)


def dota() -> Files:
    def line(label: str, x: int, y: int, w: int, h: int) -> str:
        return " ".join(f"{v:.1f}" for point in ring(x, y, w, h) for v in point) + f" {label} 0\n"

    return _texts("labelTxt", "images", line, "imagesource:GoogleEarth\ngsd:0.14\n")


def kitti() -> Files:
    def line(label: str, x: int, y: int, w: int, h: int) -> str:
        return f"{label} 0.00 0 -1.5 {x} {y} {x + w} {y + h} 1.5 1.6 3.2 1.0 1.7 13.2 -1.6\n"

    files = _texts("label_2", "image_2", line)
    files["s/train/label_2/1.txt"] += b"DontCare -1 -1 -10 3 3 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n"
    return files


def rolabelimg() -> Files:
    """The ship upright, the boat as a box of its own shape turned by a right angle."""
    files: Files = {}
    for n in NUMBERS:
        (a, x, y, w, h), (b, left, top, wide, high) = boxes(n)
        files[f"s/{n}.xml"] = (
            f"<annotation verified='no'><filename>{n}</filename><size><width>{WIDTH}</width>"
            f"<height>{HEIGHT}</height></size><object><type>bndbox</type><name>{a}</name><bndbox>"
            f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox>"
            f"</object><object><type>robndbox</type><name>{b}</name><robndbox>"
            f"<cx>{left + wide / 2}</cx><cy>{top + high / 2}</cy><w>{high}</w><h>{wide}</h>"
            f"<angle>{math.pi / 2}</angle></robndbox></object></annotation>"
        ).encode()
        files[f"s/{n}.jpg"] = picture(n)
    return files


def wider() -> Files:
    """Both boxes are faces; image 1 has one more that is invalid, and image 7 has none."""
    files: Files = {}
    for split, numbers in SPLITS.items():
        text = ""
        for n in numbers:
            rows = "".join(f"{x} {y} {w} {h} 0 0 0 0 0 0 \n" for _, x, y, w, h in boxes(n))
            rows += "1 1 5 5 0 0 0 1 0 0 \n" if n == 1 else ""
            text += f"0--Parade/{n}.jpg\n{rows.count(chr(10))}\n{rows}"
            files[f"s/WIDER_{split}/images/0--Parade/{n}.jpg"] = picture(n)
        if split == "train":
            text += "0--Parade/7.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
            files["s/WIDER_train/images/0--Parade/7.jpg"] = picture(7)
        files[f"s/wider_face_split/wider_face_{split}_bbx_gt.txt"] = text.encode()
    return files


def via_regions(n: int) -> list[dict[str, object]]:
    (a, x, y, w, h), (b, *other) = boxes(n)
    xs, ys = zip(*ring(*other), strict=True)
    rect = {"name": "rect", "x": x, "y": y, "width": w, "height": h}
    polygon = {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}
    return [
        {"shape_attributes": rect, "region_attributes": {"quality": "good", "type": a}},
        {"shape_attributes": polygon, "region_attributes": {"quality": "", "type": {b: True}}},
    ]


def via() -> Files:
    """A project of VIA 2."""
    metadata = {
        f"{n}.jpg{n}": {
            "filename": f"{n}.jpg", "size": n, "regions": via_regions(n), "file_attributes": {},
        }
        for n in NUMBERS
    }  # fmt: skip
    project = {"_via_settings": {"ui": {}}, "_via_img_metadata": metadata, "_via_attributes": {}}
    images = {f"s/{n}.jpg": picture(n) for n in NUMBERS}
    return {"s/via_project.json": json.dumps(project).encode(), **images}


def via_csv() -> Files:
    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
             "region_attributes"]  # fmt: skip
    for n in NUMBERS:
        for number, region in enumerate(via_regions(n)):
            cells = [json.dumps(region[key]).replace('"', '""') for key in
                     ("shape_attributes", "region_attributes")]  # fmt: skip
            lines.append(f'{n}.jpg,{n},"{{}}",2,{number},"{cells[0]}","{cells[1]}"')
    images = {f"s/{n}.jpg": picture(n) for n in NUMBERS}
    return {"s/via_region_data.csv": "\n".join(lines).encode(), **images}


def csv_files() -> Files:
    """As Roboflow writes it for TensorFlow: a CSV in the folder of each split."""
    files: Files = {}
    for split, numbers in SPLITS.items():
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for n in numbers:
            lines += [
                f"{n}.jpg,{WIDTH},{HEIGHT},{label},{x},{y},{x + w},{y + h}"
                for label, x, y, w, h in boxes(n)
            ]
            files[f"s/{split}/{n}.jpg"] = picture(n)
        files[f"s/{split}/_annotations.csv"] = "\r\n".join(lines).encode("utf-8-sig")
    return files


def createml() -> Files:
    files: Files = {}
    for split, numbers in SPLITS.items():
        items = []
        for n in numbers:
            found = [
                {"label": label,
                 "coordinates": {"x": x + w / 2, "y": y + h / 2, "width": w, "height": h}}
                for label, x, y, w, h in boxes(n)
            ]  # fmt: skip
            items.append({"image": f"{n}.jpg", "annotations": found})
            files[f"s/{split}/{n}.jpg"] = picture(n)
        files[f"s/{split}/_annotations.createml.json"] = json.dumps(items).encode()
    return files


def openimages() -> Files:
    """With an image that is not there, and a box around a group."""
    files: Files = {"s/metadata/class-descriptions-boxable.csv": b"/m/01,ship\n/m/02,boat\n"}
    codes = {"ship": "/m/01", "boat": "/m/02"}
    for split, numbers in (("train", range(1, 5)), ("validation", range(5, 7))):
        lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"]
        for n in numbers:
            for label, x, y, w, h in boxes(n):
                sides = (x / WIDTH, (x + w) / WIDTH, y / HEIGHT, (y + h) / HEIGHT)
                cells = ",".join(f"{side:.6f}" for side in sides)
                lines.append(f"{n:016x},xclick,{codes[label]},1,{cells},0,0")
            files[f"s/{split}/{n:016x}.jpg"] = picture(n)
        lines += ["ffffffffffffffff,xclick,/m/01,1,0,1,0,1,0,0"]
        lines += [f"{numbers[0]:016x},xclick,/m/01,1,0,1,0,1,0,1"]
        files[f"s/{split}-annotations-bbox.csv"] = "\n".join(lines).encode()
    return files


def easydl() -> Files:
    files: Files = {}
    for n in NUMBERS:
        found = [
            {"name": label, "x1": x, "y1": y, "x2": x + w, "y2": y + h}
            for label, x, y, w, h in boxes(n)
        ]
        files[f"s/{n}.json"] = json.dumps({"labels": found}).encode()
        files[f"s/{n}.jpg"] = picture(n)
    return files


def coco_pages() -> Files:
    """COCO with a JSON for each image, its ids its own."""
    files: Files = {}
    for n in NUMBERS:
        found = boxes(n)
        order = found[::-1] if n % 2 else found
        page: dict[str, Any] = {
            "images": [{"id": 1, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT}],
            "categories": [{"id": i, "name": b[0]} for i, b in enumerate(order)],
            "annotations": [],
        }
        ids = {c["name"]: c["id"] for c in page["categories"]}
        page["annotations"] = [
            {"id": i, "image_id": 1, "category_id": ids[label], "bbox": [x, y, w, h],
             "area": w * h, "iscrowd": 0}
            for i, (label, x, y, w, h) in enumerate(found)
        ]  # fmt: skip
        files[f"s/{n}.json"] = json.dumps(page).encode()
        files[f"s/{n}.jpg"] = picture(n)
    return files


# By the name of the format: the set, what its classes are called, and whether it has splits.
LABEL_SETS: dict[str, tuple[Callable[[], Files], dict[str, str], bool]] = {
    "labelme": (labelme, {}, False),
    "cvat": (cvat, {}, False),
    "visdrone": (visdrone, {"ship": "car", "boat": "bus"}, True),
    "dota": (dota, {}, True),
    "kitti": (kitti, {}, True),
    "rolabelimg": (rolabelimg, {}, False),
    "wider": (wider, {"ship": "face", "boat": "face"}, True),
    "via": (via, {}, False),
    "csv": (csv_files, {}, True),
    "createml": (createml, {}, True),
    "openimages": (openimages, {}, True),
    "easydl": (easydl, {}, False),
    "coco_pages": (coco_pages, {}, False),
}
