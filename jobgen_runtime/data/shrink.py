"""Pictures much larger than training can use, made smaller once instead of in every epoch.

A reader decodes, crops and colours a picture at its full size, epoch after epoch, before it makes
it as small as the model's input: 0.4 s for 12 megapixels, of which a card would take 40 a second.
"""

import os
import re
import shutil
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.children.exchange import ask_child, exchange_files, read_answer
from jobgen_runtime.children.processes import memory_facts, program_path, python_command
from jobgen_runtime.data.coco import annotation_path, coco_text, image_path, read_coco
from jobgen_runtime.data.dataset import made_folder
from jobgen_runtime.record.outcome import adjust, note, outcome
from jobgen_runtime.record.text import count_text, write_text_atomically
from jobgen_runtime.setup.machine import core_count

# A crop of half the picture is still as large as the largest input of training.
ROOM_TO_CROP = 2
# Below this a picture loses under a third of its pixels, which saves a tenth of the reading.
WORTH_IT = 1.25
# The most grain of pictures that `auto` makes smaller: photographs have about 0.2, speckle of a
# pixel's size 1 (docs/decisions/shrinking.md).
MOST_GRAIN = 0.5
# What a pixel takes as JPEG of quality 95 and as PNG, and as decoded beside its smaller copy.
BYTES_A_PIXEL = {".jpg": 1.0, ".jpeg": 1.0}
LOSSLESS_BYTES = 3.0
DECODED_BYTES = 8.0
DISK_LEFT = 2 * 2**30
PROGRESS = re.compile(r"shrunk (\d+) of (\d+)")


class Limits(NamedTuple):
    """Pictures whose short side is over `over` pixels are made smaller, to a short side of `to`."""

    over: int
    to: int


def shrink_limits(wanted: Any, largest_side: int) -> Optional[Limits]:
    """What `dataset.shrink` (auto, off or pixels) means for a model that trains on inputs of up to
    `largest_side` pixels; None: nothing is made smaller."""
    if wanted == "off":
        return None
    if wanted == "auto":
        to = ROOM_TO_CROP * largest_side
        return Limits(int(to * WORTH_IT), to)
    return Limits(wanted, wanted)


def shrink(
    home: str,
    name: str,
    place: Dict[str, Any],
    limits: Limits,
    most_grain: Optional[float] = None,
) -> Dict[str, Any]:
    """The place whose pictures training reads: `place` with smaller copies of its large training
    pictures, and their boxes with them; `place` itself where none is large, or where the pictures
    have more grain than `most_grain` (None: any). What averaging takes away is different in each
    epoch then, as the crop falls, and a copy would freeze it. With large pictures that may be
    copied it has `shrink`, the limits, also where the disk has no room: a training that goes on is
    the same.

    Evaluation stays with the pictures themselves, in training too: the mAP of copies would be
    another (0.22 instead of 0.15 has been seen). They lie in the job's own folder under the hash of
    what they were made of, so that a second run makes none twice.
    """
    record = read_coco(annotation_path(place, "train"))
    paths = {
        image["file_name"]: image_path(place, "train", image["file_name"])
        for image in record["images"]
    }
    large = {
        paths[image["file_name"]]: image
        for image in record["images"]
        if min(image["width"], image["height"]) > limits.over
    }
    made = made_folder(os.path.join(home, "datasets"), name)
    folder = os.path.join(made, "small")
    if not large:
        return place
    marked = dict(place, shrink=list(limits))
    if not _has_room(folder, large, limits):
        return marked
    wanted = sorted(large)
    copied = _copies(folder, wanted, limits, _threads(large), most_grain)
    if copied is None:
        return place
    copies = dict(zip(wanted, copied))
    small = smaller_record(record, {name: copies.get(path) for name, path in paths.items()})
    # A smoke run and the job itself share the copies, and train on other pictures of them.
    path = os.path.join(folder, os.path.basename(outcome().folder) + ".json")
    write_text_atomically(path, coco_text(small))
    _tell(large, copies, limits)
    return dict(marked, train=dict(place["train"], anno_path=path))


def smaller_record(record: Dict[str, Any], copies: Dict[str, Any]) -> Dict[str, Any]:
    """A COCO record that names the copies by their whole paths, its boxes scaled as they were.
    `copies` has for a file name `{"path", "size": [width, height], "was": [width, height]}` in
    pixels, or None for a picture that stayed."""
    scales: Dict[Any, List[float]] = {}
    images = []
    for image in record["images"]:
        copy = copies.get(image["file_name"])
        if copy:
            (width, height), (old_width, old_height) = copy["size"], copy["was"]
            scales[image["id"]] = [width / float(old_width), height / float(old_height)]
            image = dict(image, file_name=copy["path"], width=width, height=height)
        images.append(image)
    boxes = []
    for box in record["annotations"]:
        if box["image_id"] in scales:
            x, y = scales[box["image_id"]]
            scaled = [value * by for value, by in zip(box["bbox"], (x, y, x, y))]
            box = dict(box, bbox=scaled, area=box["area"] * x * y)
            # Outlines and points, which a detection does not read, would be those of the original.
            for key in ("segmentation", "keypoints", "num_keypoints"):
                box.pop(key, None)
        boxes.append(box)
    return dict(record, images=images, annotations=boxes)


def _copies(
    folder: str, paths: List[str], limits: Limits, threads: int, most_grain: Optional[float]
) -> Optional[List[Any]]:
    """Have the smaller copies made; for each path its copy, or None for one that stayed. None
    where the pictures have too much grain."""
    os.makedirs(folder, exist_ok=True)
    request: Dict[str, Any] = {"images": paths, "folder": folder, "threads": threads}
    request.update(limits._asdict(), most_grain=most_grain)
    request_path, answer_path = exchange_files("shrink", request)
    argv = python_command(program_path("shrink_images"), request_path, answer_path)
    said = ask_child(argv, "shrink", "making large pictures smaller", outcome().folder, _progress)
    if "grain" in said:
        note(
            "%d large pictures are not made smaller: at full size they are mostly grain (%.2f of "
            "their contrast), as radar's speckle is, and a copy would be the same grain in every "
            "epoch; dataset.shrink: %d in job.yaml makes them smaller all the same"
            % (len(paths), said["grain"], limits.to)
        )
        return None
    answer = list(read_answer(answer_path))
    return [dict(row, path=os.path.join(folder, row["name"])) if row else None for row in answer]


def _progress(line: str) -> None:
    found = PROGRESS.match(line)
    if found:
        done, total = map(int, found.groups())
        outcome().event("shrinking", done=done, total=total)


def _has_room(folder: str, large: Dict[str, Any], limits: Limits) -> bool:
    """Whether the disk has room for the copies; says so where it has not."""
    wanted = 0.0
    for path, image in large.items():
        sides = sorted((image["width"], image["height"]))
        pixels = limits.to**2 * sides[1] / float(sides[0])
        wanted += pixels * BYTES_A_PIXEL.get(os.path.splitext(path)[1].lower(), LOSSLESS_BYTES)
    there = os.path.dirname(os.path.dirname(folder))
    os.makedirs(there, exist_ok=True)
    made = os.listdir(folder) if os.path.isdir(folder) else []
    wanted -= sum(os.path.getsize(os.path.join(folder, name)) for name in made)
    if wanted <= shutil.disk_usage(there).free - DISK_LEFT:
        return True
    note(
        "%d large pictures are not made smaller, since their copies would take %.1f GB and leave "
        "too little of the disk: every epoch reads them at full size" % (len(large), wanted / 1e9)
    )
    return False


def _threads(large: Dict[str, Any]) -> int:
    """As many pictures at once as there are cores, and half of the free memory has room for."""
    most = max(image["width"] * image["height"] for image in large.values())
    free = memory_facts().get("available", 1 << 32) / 2
    return int(max(1, min(core_count(), free // (most * DECODED_BYTES))))


def _tell(large: Dict[str, Any], copies: Dict[str, Any], limits: Limits) -> None:
    done = [copy for copy in copies.values() if copy]
    if len(done) < len(copies):
        note(
            "%d of %d large pictures stayed as they are: they can't be read, or are smaller than "
            "the annotations say" % (len(copies) - len(done), len(copies))
        )
    if done:
        most = max(large.values(), key=lambda image: image["width"] * image["height"])
        adjust(
            "the short side of %s"
            % count_text(len(done), "%d training picture", "%d training pictures"),
            "up to %d px" % min(most["width"], most["height"]),
            "%d px" % limits.to,
            "dataset.shrink: training reads copies, everything else the pictures themselves",
        )
