"""Images that nobody has labelled, as a set in which a trained model looks for objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobgen.datasets.contents import Contents, Progress, open_contents
from jobgen.datasets.headers import Header, is_image, known_headers
from jobgen.datasets.sources import source_of
from jobgen.errors import DatasetError
from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.data.voc import coco_image, empty_record

# The folder of the list of images, which no set of images has.
FOLDER = "jobgen-images"
LIST = "images.json"


def with_images(
    job: dict[str, Any], images: Path, spare: Path, progress: Progress
) -> tuple[dict[str, Any], list[Path], Contents]:
    """A detection's job with the images of a folder or archive in place of its set, the sources of
    that, and the files; the list of the images is written into `spare`.

    Raises DatasetError where there is no image, or one can't be read.
    """
    files = open_contents(images)
    files.progress = progress
    names = [name for name in files.names if is_image(name)]
    if not names:
        raise DatasetError(f"{images} holds no images", "Give a folder or an archive with images.")
    headers = known_headers(files, names, progress)
    faults = [f"{name}: {headers[name]}" for name in names if isinstance(headers[name], str)]
    if faults:
        raise DatasetError(
            f"{images} has images that can't be read: {'; '.join(faults[:3])}",
            "Take them out, or save them again as JPEG or PNG.",
        )
    classes = job["dataset"]["classes"]
    record = empty_record(classes)
    for number, name in enumerate(sorted(names), 1):
        header = headers[name]
        assert isinstance(header, Header)
        record["images"].append(coco_image(number, name, *header.shown))
    folder = spare / FOLDER
    folder.mkdir()
    (folder / LIST).write_text(coco_text(record), encoding="utf-8")
    place = {"images": "", "annotations": f"{FOLDER}/{LIST}"}
    counts = {"images": len(names), "boxes": 0}
    sources = [images.absolute(), folder]
    dataset = {
        "sources": [source_of(path, None) for path in sources],
        "root": "",
        "format": "coco",
        "train": place,
        "eval": place,
        "classes": classes,
        "expect": {"train": counts, "eval": counts},
        "labelled": False,
    }
    # One image a step: nothing is trained, and there may be no more.
    train = {**job["train"], "batch_size": 1, "base_lr": "auto", "repeat": 1, "gpus": 1}
    return {**job, "dataset": dataset, "train": train}, sources, files


def predictions(made: Path) -> dict[str, Any]:
    """What a run found, of predictions.json."""
    found: dict[str, Any] = json.loads((made / "predictions.json").read_text(encoding="utf-8"))
    return found
