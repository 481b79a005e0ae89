"""The `infer` stage: what the trained model finds in chosen images, as pictures and as JSON."""

import csv
import json
import os
import shutil
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from jobgen_runtime.after.telling import telling_images
from jobgen_runtime.after.trained import as_coco, category_ids, find_boxes, spread, trained_weights
from jobgen_runtime.children.exchange import ask_child, exchange_files
from jobgen_runtime.children.processes import program_path, python_command
from jobgen_runtime.data.coco import annotation_path, image_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import finds_little, note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

INFER_IMAGES = 12
# Of images that are all looked at, so many are drawn.
DRAWN_IMAGES = 100
ALL = "all"
# Without an evaluation there is nothing to choose a threshold from.
USUAL_THRESHOLD = 0.5
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")


class Chosen(NamedTuple):
    """An image to look at: its name below the split's folder, its path, and its boxes as rows of
    class number and corners, None where nobody has drawn any."""

    name: str
    path: str
    truth: Optional[List[List[float]]]
    # Its id in the evaluation's file, None for one that is not in it.
    number: Optional[int] = None
    # Why it was chosen, as telling.py has it; empty where nobody can say.
    kind: str = ""


class Wanted(NamedTuple):
    """What is looked for: images by name (none: some of the evaluation's; `all`), the lowest score
    that is drawn (None: the evaluation's of the best F1), in what tiles larger images are read, and
    whether somebody has drawn boxes at all."""

    names: Union[str, List[str]]
    threshold: Optional[float] = None
    tiles: Optional[Dict[str, Any]] = None
    labelled: bool = True


def choose_images(
    place: Dict[str, Any], names: Union[str, List[str]], telling: Sequence[Tuple[str, str]] = ()
) -> List[Chosen]:
    """The named images, wherever in the set they are, or some of the evaluation's, the `telling`
    ones (kind, name) where these are known, or `all` of these. Raises StageError for a name that is
    not there, or is there twice."""
    records = {split: read_coco(annotation_path(place, split)) for split in ("eval", "train")}
    known = {
        split: {image["file_name"]: image for image in record["images"]}
        for split, record in records.items()
    }
    if not names or names == ALL:
        found = sorted(known["eval"])
        kinds = {name: kind for kind, name in telling} if names != ALL else {}
        found = list(kinds) or (found if names == ALL else spread(found, INFER_IMAGES))
        boxes = _boxes_by_image(records["eval"])
        chosen = [_chosen(place, "eval", boxes, known["eval"][name]) for name in found]
        return [image._replace(kind=kinds.get(image.name, "")) for image in chosen]
    by_image = {split: _boxes_by_image(record) for split, record in records.items()}
    chosen = []
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
                chosen.append(_chosen(place, split, by_image[split], image))
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


def _boxes_by_image(record: Dict[str, Any]) -> Dict[int, List[List[float]]]:
    """Of each image id its boxes, as rows of class number and corners."""
    numbers = {category["id"]: number for number, category in enumerate(record["categories"])}
    found: Dict[int, List[List[float]]] = {}
    for box in record["annotations"]:
        if not box.get("iscrowd"):
            x, y, width, height = box["bbox"]
            row = [numbers[box["category_id"]], x, y, x + width, y + height]
            found.setdefault(box["image_id"], []).append(row)
    return found


def _chosen(
    place: Dict[str, Any], split: str, boxes: Dict[int, List[List[float]]], image: Dict[str, Any]
) -> Chosen:
    name, number = image["file_name"], image["id"]
    return Chosen(name, image_path(place, split, name), boxes.get(number, []), number)


def infer(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    place: Dict[str, Any],
    classes: List[str],
    device: str,
    wanted: Wanted,
) -> None:
    """Draw ground truth beside prediction into predictions/, which keeps the set's folders, and
    write predictions.json; and all boxes, whatever their score, as COCO's results (boxes.json) and
    as a table (boxes.csv)."""
    run = outcome()
    weights = trained_weights(save_dir)
    threshold = wanted.threshold
    if threshold is None:
        best = run.data["metrics"].get("best_f1") or {}
        threshold = best["threshold"] if best.get("f1") else USUAL_THRESHOLD
    telling = telling_images(run.path("evaluation"), INFER_IMAGES)
    chosen = choose_images(place, wanted.names, telling if wanted.labelled else ())
    paths = [image.path for image in chosen]
    if not wanted.labelled:
        chosen = [image._replace(truth=None) for image in chosen]
    ask = (clone_dir, run_config, weights.path, paths, device, "infer")
    boxes = find_boxes(*ask, tiles=wanted.tiles)
    folder = run.path("predictions")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    _write_all_boxes(folder, chosen, boxes, classes, category_ids(place))
    boxes = [[row for row in rows if row[1] >= threshold] for rows in boxes]
    pictures, record = _to_draw(chosen, boxes, folder, classes)
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


def _to_draw(
    chosen: List[Chosen], boxes: List[List[List[float]]], folder: str, classes: List[str]
) -> Tuple[List[Any], List[Any]]:
    """What is drawn into the folder, of very many images some; and what predictions.json says."""
    drawn = {image.name for image in spread(chosen, DRAWN_IMAGES)}
    pictures: List[Any] = []
    record = []
    for image, rows in zip(chosen, boxes):
        picture = None
        if image.name in drawn:
            fits = image.name.lower().endswith(PICTURE_ENDINGS)
            picture = image.name if fits else image.name + ".jpg"
            goal = os.path.join(folder, *picture.split("/"))
            asked = {"image": image.path, "goal": goal, "truth": image.truth, "boxes": rows}
            pictures.append(asked)
        record.append(_recorded(image, picture, rows, classes))
    return pictures, record


def _write_all_boxes(
    folder: str,
    chosen: List[Chosen],
    boxes: List[List[List[float]]],
    classes: List[str],
    categories: List[int],
) -> None:
    """boxes.json in COCO's form of results, and boxes.csv, a row a box."""
    known = [(image, rows) for image, rows in zip(chosen, boxes) if image.number is not None]
    found = as_coco([rows for _, rows in known], [i.number or 0 for i, _ in known], categories)
    with open(os.path.join(folder, "boxes.json"), "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    # With a mark, by which Excel knows it for UTF-8.
    with open(os.path.join(folder, "boxes.csv"), "w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "class", "score", "xmin", "ymin", "xmax", "ymax"])
        for image, rows in zip(chosen, boxes):
            for row in rows:
                corners = ["%.2f" % value for value in row[2:]]
                writer.writerow([image.name, classes[int(row[0])], "%.4f" % row[1]] + corners)


def _recorded(
    image: Any, picture: Optional[str], rows: List[Any], classes: List[str]
) -> Dict[str, Any]:
    """What predictions.json says of one image."""
    truth = image.truth
    return {
        "image": image.name,
        "picture": picture,
        "kind": image.kind,
        "boxes": [{"class": classes[int(row[0])], "score": row[1], "box": row[2:]} for row in rows],
        "truth": None
        if truth is None
        else [{"class": classes[int(row[0])], "box": row[1:]} for row in truth],
    }
