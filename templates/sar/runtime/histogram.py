"""The `histogram` stage: how many boxes each class has, before they are trained on."""

import os
from typing import Any, Dict, List

from jobgen_runtime.data.coco import read_coco
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically


def histogram(place: Dict[str, Any], classes: List[str], few: int) -> None:
    """Write class_histogram.csv beside the result, and note classes with fewer than `few` boxes
    to train on. `place` is the data's, as prepare_data gives it."""
    counts = {}
    for split in ("train", "eval"):
        path = os.path.join(place["dataset_dir"], place[split]["anno_path"])
        record = read_coco(path)
        names = {category["id"]: category["name"] for category in record["categories"]}
        counts[split] = dict.fromkeys(classes, 0)
        for box in record["annotations"]:
            counts[split][names[box["category_id"]]] += 1
    rows = ["class,train,eval"]
    rows += ['"%s",%d,%d' % (name.replace('"', '""'), counts["train"][name], counts["eval"][name])
             for name in classes]  # fmt: skip
    write_text_atomically(outcome().path("class_histogram.csv"), "\n".join(rows) + "\n")
    rare = [name for name in classes if counts["train"][name] < few]
    # A smoke run has a few images only.
    if rare and not outcome().data.get("smoke"):
        note("few boxes to train on: %s" % ", ".join(rare))
    most = max(classes, key=lambda name: counts["train"][name])
    summary("%d classes; most boxes: %s, %d" % (len(classes), most, counts["train"][most]))
