"""The `infer` stage: what the trained model finds in chosen images, as pictures and as JSON."""

import json
import os
import shutil
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.after.trained import (
    ask_child,
    exchange_files,
    find_boxes,
    image_path,
    spread,
    trained_weights,
)
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.data.coco import annotation_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import finds_little, note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

INFER_IMAGES = 12
# Without an evaluation there is nothing to choose a threshold from.
USUAL_THRESHOLD = 0.5
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")


class Chosen(NamedTuple):
    """An image to look at: its name below the split's folder, its path, and its boxes as rows of
    class number and corners, None where nobody has drawn any."""

    name: str
    path: str
    truth: Optional[List[List[float]]]


def choose_images(place: Dict[str, Any], names: List[str]) -> List[Chosen]:
    """The named images, wherever in the set they are, or some of the evaluation's. Raises
    StageError for a name that is not there, or is there twice."""
    records = {split: read_coco(annotation_path(place, split)) for split in ("eval", "train")}
    known = {
        split: {image["file_name"]: image for image in record["images"]}
        for split, record in records.items()
    }
    if not names:
        found = spread(sorted(known["eval"]), INFER_IMAGES)
        return [_chosen(place, "eval", records["eval"], known["eval"][name]) for name in found]
    chosen: List[Chosen] = []
    for name in dict.fromkeys(names):
        for split in ("eval", "train"):
            fitting = [name] if name in known[split] else []
            fitting = fitting or [n for n in known[split] if n.rpartition("/")[2] == name]
            if len(fitting) > 1:
                raise StageError(
                    "infer.images: %s is there %d times: %s"
                    % (name, len(fitting), ", ".join(fitting[:3])),
                    "Name it with its folder.",
                    cause="data",
                )
            if fitting:
                image = known[split][fitting[0]]
                chosen.append(_chosen(place, split, records[split], image))
                break
        else:
            path = image_path(place, "eval", name)
            if not os.path.isfile(path):
                raise StageError(
                    "infer.images: %s is no image of this set" % name,
                    "Correct the name in job.yaml, and build again.",
                    cause="data",
                )
            chosen.append(Chosen(name, path, None))
    # One image may be named with its folder and without.
    return list({image.path: image for image in chosen}.values())


def _chosen(
    place: Dict[str, Any], split: str, record: Dict[str, Any], image: Dict[str, Any]
) -> Chosen:
    numbers = {category["id"]: number for number, category in enumerate(record["categories"])}
    truth = []
    for box in record["annotations"]:
        if box["image_id"] == image["id"] and not box.get("iscrowd"):
            x, y, width, height = box["bbox"]
            truth.append([numbers[box["category_id"]], x, y, x + width, y + height])
    name = image["file_name"]
    return Chosen(name, image_path(place, split, name), truth)


def infer(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    place: Dict[str, Any],
    classes: List[str],
    device: str,
    names: List[str],
    threshold: Optional[float],
) -> None:
    """Draw ground truth beside prediction into predictions/, which keeps the set's folders, and
    write predictions.json. `threshold` None: the evaluation's of the best F1."""
    run = outcome()
    weights = trained_weights(save_dir)
    chosen = choose_images(place, names)
    if threshold is None:
        best = run.data["metrics"].get("best_f1") or {}
        threshold = best["threshold"] if best.get("f1") else USUAL_THRESHOLD
    paths = [image.path for image in chosen]
    boxes = find_boxes(clone_dir, run_config, weights.path, paths, device, "infer")
    boxes = [[row for row in rows if row[1] >= threshold] for rows in boxes]
    folder = run.path("predictions")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    pictures, record = [], []
    for image, rows in zip(chosen, boxes):
        name = image.name
        if not name.lower().endswith(PICTURE_ENDINGS):
            name += ".jpg"
        goal = os.path.join(folder, *name.split("/"))
        pictures.append({"image": image.path, "goal": goal, "truth": image.truth, "boxes": rows})
        record.append(_recorded(image, name, rows, classes))
    request_path, _ = exchange_files("draw", {"classes": classes, "pictures": pictures})
    argv = python_command(program_path("draw_boxes"), request_path)
    drawn = ask_child(argv, "infer", "drawing the boxes", clone_dir)
    if not drawn["legible"]:
        listed = ", ".join("%d %s" % row for row in enumerate(classes))
        note("no font here shows all class names, so the pictures have numbers: %s" % listed)
    text = {"threshold": threshold, "classes": classes, "images": record}
    write_text_atomically(
        os.path.join(folder, "predictions.json"),
        json.dumps(text, indent=1, ensure_ascii=False) + "\n",
    )
    count = sum(map(len, boxes))
    metrics = run.data["metrics"]
    metrics["inference"] = {"images": len(chosen), "boxes": count, "threshold": threshold}
    if finds_little(run.data):
        note("this model finds little: most boxes in these pictures are wrong")
    summary("%d images, %d boxes with a score of %.2f or more" % (len(chosen), count, threshold))


def _recorded(image: Any, picture: str, rows: List[Any], classes: List[str]) -> Dict[str, Any]:
    """What predictions.json says of one image."""
    truth = image.truth
    return {
        "image": image.name,
        "picture": picture,
        "boxes": [{"class": classes[int(row[0])], "score": row[1], "box": row[2:]} for row in rows],
        "truth": None
        if truth is None
        else [{"class": classes[int(row[0])], "box": row[1:]} for row in truth],
    }
