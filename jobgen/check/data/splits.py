"""Rules about splits, and about the set as the job's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jobgen.check.facts import DataFacts, images_hit
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, each_split, names_hit, whole_set
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.found import EMPTY
from jobgen.datasets.job import expected
from jobgen.datasets.record import EVAL, TRAIN, Split
from jobgen.datasets.seen import seen, way_out


@each_split(
    "DS072",
    NOTE,
    "image without a box",
    why="PaddleDetection drops it from training; in val it counts as background.",
    remedy="If it should have boxes, annotate it; else leave it.",
)
def background(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    if len(split):
        yield from images_hit(
            split, np.flatnonzero(split.boxes_per_image == 0), f"of {split.images:,}"
        )


@whole_set(
    "DS075",
    WARNING,
    "image that is in two splits",
    why="Val measures what was trained on: the mAP is too good to be true.",
    remedy="Take it out of one of them.",
)
def overlap(facts: DataFacts) -> Iterator[Hit]:
    splits = facts.splits
    for place, first in enumerate(splits):
        own = set(first.paths)
        for other in splits[place + 1 :]:
            shared = [name for name, path in zip(other.image_names, other.paths, strict=True)
                      if path in own]  # fmt: skip
            yield from names_hit(shared, f"{first.place} and {other.place}")


@each_split(
    "DS076",
    ERROR,
    "split without images",
    why="There is nothing to train on, or nothing to measure.",
    remedy="Fill the split, with images that no other split has.",
)
def empty_split(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    if not split.images and not split.troubles:
        yield Hit(1, (), split.place)


@whole_set(
    "DS090",
    ERROR,
    "fewer images with boxes than a batch",
    why="PaddleDetection trains nothing at all, and ends 0.",
    remedy="Set a smaller train.batch_size in job.yaml.",
)
def smaller_than_batch(facts: DataFacts) -> Iterator[Hit]:
    if facts.plan is None:
        return
    train = facts.plan.spec.train
    step = facts.plan.numbers()["batch_size"] * train.gpus
    for split in facts.splits:
        if split.name == TRAIN and len(split):
            images = len(np.unique(split.image_of[split.trained]))
            if images < step:
                yield Hit(1, (), split.place, f"{images} images, {step} a step")


@each_split(
    "DS091",
    ERROR,
    why="There is nothing to learn, or nothing to measure.",
    remedy="Annotate its images, or exchange them for others of the set.",
)
def no_boxes(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    if not split.images or split.troubles:
        return
    if not len(split):
        yield Hit(1, (), split.place, f"{split.images:,} images")
    elif (left_out(split) | ~split.solid).all():
        yield Hit(1, (), split.place, f"PaddleDetection leaves out all {len(split):,}")


def left_out(split: Split) -> npt.NDArray[np.bool_]:
    """The boxes that are marked as none to train on, bool (M,)."""
    return np.asarray((split.crowd > 0) | split.ignored)


@each_split(
    "DS017",
    WARNING,
    "annotation that training leaves out",
    why="PaddleDetection drops one with ignore: 1, and trains on none with iscrowd: 1, silently.",
    remedy="If they are objects like the others, set ignore and iscrowd to 0 in the file.",
)
def not_trained_on(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    crowd, ignored = int((split.crowd > 0).sum()), int(split.ignored.sum())
    if crowd or ignored:
        detail = f"{crowd:,} with iscrowd 1, {ignored:,} with ignore 1; {split.trained.sum():,} of "
        gone = int(left_out(split).sum())
        yield Hit(gone, (), split.place, detail + f"{len(split):,} boxes are left")


@whole_set(
    "DS095",
    ERROR,
    "no data set that jobgen knows",
    why="The data stage would find no annotations.",
    remedy="jobgen init and dataset read what docs/datasets.md lists.",
)
def no_data_set(facts: DataFacts) -> Iterator[Hit]:
    if facts.data is None and not facts.refused:
        files = facts.files
        yield Hit(1, files.names[:5], files.name, seen(files), remedy=f"{way_out(files)}.")


@whole_set(
    "DS096",
    ERROR,
    "set without a train and a val split",
    why="A job trains on one and measures on the other.",
    remedy="jobgen dataset split SRC DST.zip",
)
def unsplit(facts: DataFacts) -> Iterator[Hit]:
    there = {split.name for split in facts.splits}
    if facts.data is not None and facts.has_images and not {TRAIN, EVAL} <= there:
        empty = ", ".join(name.rpartition("/")[2] for name in facts.files.memo.get(EMPTY, ()))
        detail = f"{empty} has nothing in it" if empty else ""
        yield Hit(1, [split.place for split in facts.splits], "", detail)


@whole_set(
    "DS079",
    NOTE,
    "test split that is left out",
    why="No job uses a test split; one without annotations is usual.",
    remedy="Nothing.",
)
def unused_test(facts: DataFacts) -> Iterator[Hit]:
    if facts.data is not None:
        yield from names_hit(facts.data.set_aside)


@whole_set(
    "DS078",
    NOTE,
    "annotation file that no split uses",
    why="Its image is neither trained on nor measured, though somebody has annotated it.",
    remedy="Add its name to a list of the set, or leave it: it does no harm.",
)
def unused_pages(facts: DataFacts) -> Iterator[Hit]:
    if facts.data is None or facts.data.layout.format != "voc":
        return
    used = {place for split in facts.splits for place in split.sources or ()}
    root = f"{facts.data.layout.root}/" if facts.data.layout.root else ""
    unused = [n for n in facts.files.memo.get(" xml", ()) if n.startswith(root) and n not in used]
    by_folder = Counter(name.rpartition("/")[0] for name in unused)
    detail = ", ".join(f"{count:,} in {folder}" for folder, count in by_folder.most_common(3))
    if unused:
        yield Hit(len(unused), [name.rpartition("/")[2] for name in unused[:5]], "", detail)


@whole_set(
    "DS097",
    NOTE,
    "set that needs another format",
    why="PaddleDetection reads COCO, and VOC with lists.",
    remedy="jobgen init NAME --archive SRC --yes makes COCO of it, and the job; or: "
    "jobgen dataset convert SRC DST.zip",
)
def other_format(facts: DataFacts) -> Iterator[Hit]:
    kind = facts.data.layout.format if facts.data else ""
    unlisted = any("list" not in split.files for split in facts.splits)
    module = FORMATS.get(kind)
    if module is not None and not hasattr(module, "TRAINED"):
        yield Hit(1, (module.READS,))
    elif kind == "voc" and len(facts.splits) > 1 and unlisted:
        yield Hit(1, ("voc without ImageSets/Main",))


@each_split(
    "DS098",
    ERROR,
    why="The data stage stops: the job was made from other data.",
    remedy="Mount the right data, or make the job anew with jobgen init.",
)
def unexpected(facts: DataFacts, split: Split) -> Iterator[Hit]:
    expect = facts.plan.spec.dataset.expect if facts.plan else None
    if expect is None or facts.data is None or split.name not in (TRAIN, EVAL) or split.troubles:
        return
    wanted = (expect.train if split.name == TRAIN else expect.eval).model_dump()
    # The data stage numbers the classes of a VOC set in the job's order.
    classes = list(facts.plan.spec.dataset.classes) if facts.plan else []
    if not set(split.class_names) <= set(classes):
        return
    found = expected(replace(facts.data, classes=classes), split)
    for key in ("images", "boxes"):
        if found[key] != wanted[key]:
            yield Hit(1, (), split.place, f"{found[key]} {key}, not {wanted[key]}")
            return
    if wanted["sha256"] and wanted["sha256"] != found["sha256"]:
        yield Hit(1, (), split.place, "the same counts with other content")


@whole_set(
    "DS099",
    ERROR,
    "image to draw that is not in the set, or there twice",
    why="The stage infer stops, after the whole training.",
    remedy="Correct infer.images in job.yaml; where two have one name, give the folder too.",
)
def no_such_picture(facts: DataFacts) -> Iterator[Hit]:
    plan = facts.plan
    if plan is None or "infer" not in plan.stages or not {TRAIN, EVAL} <= set(_names(facts)):
        return
    named = plan.spec.infer.images
    for name in named if isinstance(named, list) else ():
        # As the stage looks: the evaluation's images, then the training's, then the folder.
        for names in (_names(facts)[EVAL], _names(facts)[TRAIN]):
            fitting = [n for n in names if n == name] or [
                n for n in names if n.rpartition("/")[2] == name
            ]
            if fitting:
                break
        else:
            fitting = [path for path in facts.image_files if path.endswith("/" + name)][:1]
        if len(fitting) != 1:
            there = ", ".join(fitting[:2]) or "nowhere"
            yield Hit(1, (), "job.yaml", f"{name}: {there}")


def _names(facts: DataFacts) -> dict[str, list[str]]:
    return {split.name: split.image_names for split in facts.splits}
