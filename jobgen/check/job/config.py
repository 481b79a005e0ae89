"""Rules about the resolved config: what PaddleDetection takes without a word and should not."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from jobgen.catalog import Family, layer_texts, models, trainer_keys
from jobgen.catalog.augment import MIXERS
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, job
from jobgen.check.upload import JobFacts
from jobgen.ppconfig import dotted, flat
from jobgen.spec import nearest
from jobgen.yamlio import YamlPath
from jobgen_runtime.data.dataset import DOWNLOADED_NAMES
from jobgen_runtime.train.schedule import part_of, turn_epoch

# Only with an exponent: plain digits may well be a folder's name.
NUMBER_AS_TEXT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
# Further from the linear rule than this, one of the two is a mistake.
LR_FACTOR = 2.0
WARMUPS = ("LinearWarmup", "ExpWarmup")


@job(
    "CF005",
    NOTE,
    "config that was not looked at",
    why="The rules of configs know the models of `jobgen models`, and one model YAML with _BASE_.",
    remedy="To see all of its values: jobgen explain on the file in a clone, with --full.",
)
def not_looked_at(facts: JobFacts) -> Iterator[Hit]:
    if facts.files and facts.plan is None and facts.config is None:
        names = [facts.model_file] if facts.training and facts.model_file else facts.model_files
        unread = ", ".join(facts.partial.unread) if facts.partial else ""
        why = f"the catalogue does not have {unread}" if unread else ""
        yield Hit(1, names, "", why if names else "no YAML has _BASE_")


@job(
    "CF020",
    WARNING,
    "learning rate that is not scaled to the batch",
    why="The published rates are for 4 or 8 cards: on one the loss becomes NaN or never falls.",
    remedy="Use the rate that the linear rule gives; in a job.yaml leave base_lr: auto.",
)
def unscaled_rate(facts: JobFacts) -> Iterator[Hit]:
    rate, batch = facts.value("LearningRate", "base_lr"), facts.value("TrainReader", "batch_size")
    # What the notebook gives with -o replaces the YAML's.
    given = facts.training is None and any("LearningRate.base_lr=" in c for c in facts.code)
    numbers = isinstance(rate, (int, float)) and isinstance(batch, int) and not given
    if numbers and batch > 0 and rate > 0:
        gpus = facts.plan.spec.train.gpus if facts.plan else cards_by_hand(facts)
        if facts.model is None:
            return
        linear = facts.model.base_lr_per_image * batch * gpus
        if not 1 / LR_FACTOR <= rate / linear <= LR_FACTOR:
            detail = f"{rate:g}; the linear rule gives {linear:g} for {batch} images a step"
            yield from facts.hit(("LearningRate", "base_lr"), detail)


def cards_by_hand(facts: JobFacts) -> int:
    """The cards that a notebook made by hand names with --gpus; 1 where it names none."""
    given = r"--gpus[\"',= ]+([\d,]+)"
    found = [m for source in facts.code for m in re.findall(given, source)]
    return max((len(cards.strip(",").split(",")) for cards in found), default=1)


@job(
    "CF021",
    WARNING,
    "decay that does not go with the length of the training",
    why="The learning rate is still high when training ends, or is 0 long before.",
    remedy="Set CosineDecay.max_epochs, or PiecewiseDecay.milestones, to the epochs named.",
)
def decay_and_length(facts: JobFacts) -> Iterator[Hit]:
    epoch, found = facts.value("epoch"), facts.scheduler
    if facts.family is None or not isinstance(epoch, int):
        return
    rows = {row["name"]: row for row in facts.family.schedule}
    end = found.get("CosineDecay", {}).get("max_epochs")
    wanted = part_of(epoch, rows.get("CosineDecay", {}).get("max_epochs", [1, 1]))
    if isinstance(end, int) and not min(epoch, wanted) - 1 <= end <= max(epoch, wanted) + 1:
        detail = f"max_epochs: {end}; for {epoch} epochs {wanted}"
        yield from facts.hit(("LearningRate", "schedulers"), detail)
    steps = found.get("PiecewiseDecay", {})
    parts = rows.get("PiecewiseDecay", {}).get("milestones", [[4, 5], [9, 10]])
    lasts = [n for n in steps.get("milestones") or [] if isinstance(n, int)]
    expected = part_of(epoch, parts)
    if lasts and steps.get("gamma") != 1 and not near(max(lasts), expected[-1]):
        detail = f"milestones: {lasts}; for {epoch} epochs {expected}"
        yield from facts.hit(("LearningRate", "schedulers"), detail)


def near(found: int, wanted: int) -> bool:
    """Whether an epoch is the wanted one, give or take a tenth."""
    return abs(found - wanted) <= max(1, wanted // 10)


@job(
    "CF022",
    WARNING,
    "warm-up of more than a tenth of the training",
    why="The learning rate is hardly ever the one that was set; a short run never reaches it.",
    remedy="Set the warm-up's steps to a tenth of the steps, and take its epochs out.",
)
def long_warmup(facts: JobFacts) -> Iterator[Hit]:
    warmup = next((facts.scheduler[name] for name in WARMUPS if name in facts.scheduler), {})
    epochs, epoch = warmup.get("epochs"), facts.value("epoch")
    if isinstance(epochs, int) and isinstance(epoch, int) and epochs > max(1, epoch // 10):
        detail = f"{epochs} of {epoch} epochs"
        yield from facts.hit(("LearningRate", "schedulers"), detail)
    steps = warmup.get("steps") if epochs is None else None
    whole = whole_steps(facts)
    if whole is not None and isinstance(steps, int) and whole and steps > max(1, whole // 10):
        detail = f"{steps} of {whole} steps"
        yield from facts.hit(("LearningRate", "schedulers"), detail)


def whole_steps(facts: JobFacts) -> int | None:
    """The steps of the whole training; None where the number of images is not known."""
    if facts.plan is not None:
        values = facts.plan.values
        return int(values["steps_per_epoch"].value * values["epochs"].value)
    epoch, batch = facts.value("epoch"), facts.value("TrainReader", "batch_size")
    if facts.train_images is None or not isinstance(epoch, int) or not isinstance(batch, int):
        return None
    repeat = facts.value("TrainDataset", "repeat")
    images = facts.train_images * (repeat if isinstance(repeat, int) else 1)
    return epoch * (images // max(1, batch))


@job(
    "CF033",
    ERROR,
    "batch larger than the data",
    why="PaddleDetection trains nothing at all, saves an untrained net, and ends 0.",
    remedy="Set TrainReader.batch_size to a tenth of the images or less.",
)
def batch_over_data(facts: JobFacts) -> Iterator[Hit]:
    batch, images = facts.value("TrainReader", "batch_size"), facts.train_images
    if facts.plan is not None or images is None or not isinstance(batch, int):
        return
    repeat = facts.value("TrainDataset", "repeat")
    if batch > images * (repeat if isinstance(repeat, int) else 1):
        yield from facts.hit(("TrainReader", "batch_size"), f"{batch} images, the set has {images}")


@job(
    "CF023",
    WARNING,
    "change in mid-training that never comes",
    why="What was published was trained in both ways, as with ATSS first and then TaskAligned.",
    remedy="Set it to the epoch named.",
)
def one_way_only(facts: JobFacts) -> Iterator[Hit]:
    epoch = facts.value("epoch")
    for turn in facts.model.turns().values() if facts.model else ():
        at = facts.value(*turn.path)
        never = isinstance(epoch, int) and isinstance(at, int) and 1 < epoch <= at
        if never:
            wanted = turn_epoch(epoch, turn.carried())
            detail = f"at epoch {at} of {epoch}; as published it would be {wanted}"
            yield from facts.hit(turn.path, f"{turn.path[-1]}: {detail}")


@job(
    "CF024",
    WARNING,
    "one evaluation in the whole training",
    why="A checkpoint and an mAP are made at the very end only: a stop before loses all.",
    remedy="Set snapshot_epoch to a tenth of the epochs.",
)
def one_evaluation(facts: JobFacts) -> Iterator[Hit]:
    epoch, every = facts.value("epoch"), facts.value("snapshot_epoch")
    if isinstance(epoch, int) and isinstance(every, int) and 1 < epoch <= every:
        yield from facts.hit(("snapshot_epoch",), f"every {every} of {epoch} epochs")


@job(
    "CF025",
    ERROR,
    "num_classes that is not the number of classes",
    why="On a GPU an assertion of CUDA, on a CPU nothing: labels are lost in silence.",
    remedy="Set num_classes to the number of classes of the data set.",
)
def class_count(facts: JobFacts) -> Iterator[Hit]:
    count = facts.value("num_classes") if facts.plan else facts.known("num_classes")
    wanted = len(facts.plan.spec.dataset.classes) if facts.plan else facts.classes
    if count is not None and wanted is not None and count != wanted:
        whose = "the job" if facts.plan else "the data"
        yield from facts.hit(("num_classes",), f"{count}, {whose} has {wanted}")


@job(
    "CF026",
    ERROR,
    "input sizes that differ",
    why="Evaluation and the exported model see other images than training does.",
    remedy="Set model.input_size, which moves all places together; in a YAML set each to one size.",
)
def sizes_differ(facts: JobFacts) -> Iterator[Hit]:
    sizes: dict[str, Any] = {}
    for reader in ("EvalReader", "TestReader"):
        for step in facts.items(reader, "sample_transforms"):
            if isinstance(step, dict) and isinstance(step.get("Resize"), dict):
                sizes[f"{reader} {step['Resize'].get('target_size')}"] = step["Resize"]
            if isinstance(step, dict) and isinstance(step.get("Pad"), dict):
                sizes[f"{reader} pad {step['Pad'].get('size')}"] = {
                    "target_size": step["Pad"].get("size")
                }
    shape = facts.value("TestReader", "inputs_def", "image_shape")
    sizes["eval_size"] = {"target_size": facts.value("eval_size")}
    lists = [resize.get("target_size") for resize in sizes.values()]
    lists += [shape[-2:]] if isinstance(shape, list) else []
    targets = [
        (found[0], found[1])
        for found in lists
        if isinstance(found, list) and len(found) == 2 and all(isinstance(n, int) for n in found)
    ]
    if len(set(targets)) > 1:
        detail = ", ".join(f"{h} x {w}" for h, w in dict.fromkeys(targets))
        yield from facts.hit(("TestReader", "inputs_def"), detail)


@job(
    "CF027",
    ERROR,
    "input size that is no multiple of 32",
    why="The levels of the neck need not fit together: training can stop at its first step.",
    remedy="Take multiples of 32.",
)
def odd_size(facts: JobFacts) -> Iterator[Hit]:
    for number, step in enumerate(facts.items("TrainReader", "batch_transforms")):
        resize = step.get("BatchRandomResize") if isinstance(step, dict) else None
        sizes = resize.get("target_size") if isinstance(resize, dict) else None
        odd = [s for s in sizes if isinstance(s, int) and s % 32] if isinstance(sizes, list) else []
        if odd:
            path = ("TrainReader", "batch_transforms", number)
            yield from facts.hit(path, ", ".join(map(str, odd)))


@job(
    "CF028",
    WARNING,
    "data loader on shared memory",
    why="PaddleDetection only looks for 1 GB: a large batch over that dies with a bus error.",
    remedy="Write in the model's YAML: TrainReader: {use_shared_memory: false}",
)
def shared_memory(facts: JobFacts) -> Iterator[Hit]:
    if facts.value("TrainReader", "use_shared_memory") is True:
        yield from facts.hit(("TrainReader", "use_shared_memory"), "true")


@job(
    "CF030",
    ERROR,
    "data folder that PaddleDetection would download",
    why="It knows this folder's name, and fetches its own data set where something is missing.",
    remedy="Rename the folder, such as ships_coco.",
)
def downloaded_folder(facts: JobFacts) -> Iterator[Hit]:
    for split in ("TrainDataset", "EvalDataset"):
        folder = facts.known(split, "dataset_dir")
        # A slash at the end makes the base name empty, and the download does not begin.
        if isinstance(folder, str) and posixpath.basename(folder).lower() in DOWNLOADED_NAMES:
            yield from facts.hit((split, "dataset_dir"), folder)


@job(
    "CF031",
    ERROR,
    "number that is text",
    why="In YAML 1.1 a number as 1e-3 is text: training stops, or computes with a word.",
    remedy="Write 0.001 or 1.0e-3, without quotes.",
)
def number_as_text(facts: JobFacts) -> Iterator[Hit]:
    for path, value in flat(facts.config.config if facts.config else {}):
        if isinstance(value, str) and NUMBER_AS_TEXT.fullmatch(value):
            yield from facts.hit(path, f"{dotted(path)} is {value!r}")


@job(
    "CF032",
    WARNING,
    "key that no config of the model's family has",
    why="PaddleDetection takes any key without a word, and a typing error does nothing.",
    remedy="Correct it, or take it out.",
)
def unknown_key(facts: JobFacts) -> Iterator[Hit]:
    known = known_keys(facts.family)
    of_bases = {posixpath.basename(path) for path in layer_texts()}
    for key in facts.config.config if facts.config else {}:
        path: YamlPath = (key,)
        if key not in known and facts.line(key).rpartition(":")[0] not in of_bases:
            yield from facts.hit(path, f"{key}{nearest(str(key), sorted(known))}")


def known_keys(family: Family | None) -> frozenset[str]:
    """The keys of a family's configs, and those that PaddleDetection reads beside them."""
    of_family = (model.config() for model in models().values() if model.family is family)
    return trainer_keys(newer=True).union(*of_family)


def kind_of(facts: JobFacts, split: str) -> str:
    """The class of a split's data set, as COCODataSet."""
    found = facts.partial.config.get(split) if facts.partial else None
    return str(facts.known(split, "name") or getattr(found, "tag", "")).lstrip("!")


@job(
    "CF035",
    ERROR,
    "annotation file that is no .json",
    why="COCODataSet stops with an assertion at any other ending.",
    remedy="Name the COCO file train.json.",
)
def not_json(facts: JobFacts) -> Iterator[Hit]:
    for split in ("TrainDataset", "EvalDataset"):
        name = facts.value(split, "anno_path")
        if (
            kind_of(facts, split) == "COCODataSet"
            and isinstance(name, str)
            and not name.endswith(".json")
        ):
            yield from facts.hit((split, "anno_path"), name)


@job(
    "CF037",
    ERROR,
    "metric VOC without map_type",
    why="The trainer reads map_type as it starts, and stops with an AttributeError.",
    remedy="Write `map_type: integral` beside metric.",
)
def no_map_type(facts: JobFacts) -> Iterator[Hit]:
    if facts.known("metric") == "VOC" and facts.known("map_type") is None:
        yield from facts.hit(("metric",), "map_type is not set")


@job(
    "CF038",
    ERROR,
    "training set that loads no boxes",
    why="Without data_fields only the pictures are read: training stops, or learns that there is "
    "nothing.",
    remedy="Write data_fields: ['image', 'gt_bbox', 'gt_class', 'is_crowd'] in TrainDataset.",
)
def no_boxes_loaded(facts: JobFacts) -> Iterator[Hit]:
    fields = facts.known("TrainDataset", "data_fields")
    kind = kind_of(facts, "TrainDataset")
    loads = isinstance(fields, list) and "gt_bbox" in fields
    if kind in ("COCODataSet", "VOCDataSet") and not loads:
        yield from facts.hit(("TrainDataset",), f"data_fields is {fields or 'not set'}")


@job(
    "CF039",
    ERROR,
    "VOC set without a list of its classes",
    why="PaddleDetection then takes the 20 classes of Pascal VOC, and stops at any other name.",
    remedy="Write label_list: label_list.txt, a file with one class a line.",
)
def no_label_list(facts: JobFacts) -> Iterator[Hit]:
    for split in ("TrainDataset", "EvalDataset"):
        if kind_of(facts, split) == "VOCDataSet" and not facts.known(split, "label_list"):
            yield from facts.hit((split,), f"{split} has no label_list")


@job(
    "CF036",
    NOTE,
    "training from scratch",
    why="Without pretrained weights a detector needs many more epochs.",
    remedy="Set model.pretrained: coco, in a YAML pretrain_weights, unless that is what you want.",
)
def from_scratch(facts: JobFacts) -> Iterator[Hit]:
    if facts.config is not None and not facts.value("pretrain_weights"):
        yield from facts.hit(("pretrain_weights",), "no weights to begin with")


@job(
    "CF040",
    ERROR,
    "images that are handed out to be mixed, and nothing mixes them",
    why="Until that epoch the data set gives several images at once; the next step stops at them.",
    remedy="Put the transform named into TrainReader.sample_transforms, or set the epoch to -1.",
)
def mixed_by_nothing(facts: JobFacts) -> Iterator[Hit]:
    steps = facts.items("TrainReader", "sample_transforms")
    there = {name for step in steps if isinstance(step, dict) for name in step}
    for transform, key in MIXERS.items():
        until = facts.value("TrainReader", key)
        if isinstance(until, int) and until >= 0 and transform not in there:
            yield from facts.hit(("TrainReader", key), f"{key}: {until} without {transform}")
