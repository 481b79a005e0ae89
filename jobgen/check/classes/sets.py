"""Rules of classification sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from jobgen.check.classes import ClassFacts
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, classes, names_hit
from jobgen.datasets.classes import ClassSplit, expected_classes
from jobgen.datasets.headers import open_raster
from jobgen_runtime.classify.lists import OTHER_PICTURES

FEW_IMAGES = 10
UNEVEN = 20


@classes(
    "CL001",
    ERROR,
    "no classification set is found",
    why="A set has a folder for each class below train/ and val/, or lists with `image class` in "
    "each line; what else there is can't be trained on.",
    remedy="Lay it out as train/CLASS/image and val/CLASS/image, or correct dataset in job.yaml.",
)
def set_is_there(facts: ClassFacts) -> Iterator[Hit]:
    if facts.data is None and not _lacks_split(facts):
        found = facts.refused or f"{len(facts.files.names)} files"
        yield Hit(1, (), facts.files.name, found)


@classes(
    "CL002",
    ERROR,
    "classes whose names differ only in capitals or spaces",
    why="On Windows they are one folder, and for people one class: the model learns to tell apart "
    "what is the same.",
    remedy="Put their images into one folder, and upload the set anew.",
)
def names_alike(facts: ClassFacts) -> Iterator[Hit]:
    by_word: dict[str, list[str]] = defaultdict(list)
    for name in facts.classes:
        by_word["".join(name.lower().split())].append(name)
    for names in by_word.values():
        if len(names) > 1:
            yield Hit(len(names), names, "", " and ".join(repr(name) for name in names))


@classes(
    "CL003",
    ERROR,
    "one image in two classes",
    why="Whatever the model says of it is wrong for one of the two.",
    remedy="Leave it in the class it is of.",
)
def two_classes(facts: ClassFacts) -> Iterator[Hit]:
    owners = _owners(facts)
    for paths in facts.same:
        found = {number for path in paths for _, number in owners[path]}
        if len(found) > 1:
            names = " and ".join(facts.classes[number] for number in sorted(found))
            yield Hit(len(paths), paths, "", names)
    for path, places in owners.items():
        found = {number for _, number in places}
        if len(found) > 1 and not any(path in paths for paths in facts.same):
            names = " and ".join(facts.classes[number] for number in sorted(found))
            yield Hit(1, [path], "", names)


@classes(
    "CL004",
    WARNING,
    "image in train and in val",
    why="Val measures what was trained on: the accuracy is too good to be true.",
    remedy="Leave it in one of the two; to divide the set anew: jobgen dataset split SRC NEW.zip",
)
def in_two_splits(facts: ClassFacts) -> Iterator[Hit]:
    owners = _owners(facts)
    pairs = [paths for paths in facts.same if len({s for p in paths for s, _ in owners[p]}) > 1]
    alone = [path for path, places in owners.items() if len({split for split, _ in places}) > 1]
    names = [paths[0] for paths in pairs]
    names += [path for path in alone if not any(path in paths for paths in pairs)]
    yield from names_hit(names)


def _owners(facts: ClassFacts) -> dict[str, list[tuple[str, int]]]:
    """(split, class) of each image by its path."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for split in facts.splits:
        for row in split.rows:
            found[split.path(row)].append((split.name, row.number))
    return found


@classes(
    "CL005",
    ERROR,
    "class without training images",
    why="The model can never say it.",
    remedy="Add images, or take the class out of the set.",
)
def empty_class(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        if split.name != "eval":
            yield from names_hit(_without(facts, split), split.name)


@classes(
    "CL006",
    WARNING,
    "class that the evaluation has no image of",
    why="Nothing is measured of it.",
    remedy="Move some of its images to val, or: jobgen dataset split SRC NEW.zip",
)
def unmeasured_class(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        if split.name == "eval":
            yield from names_hit(_without(facts, split), split.name)


def _without(facts: ClassFacts, split: ClassSplit) -> list[str]:
    there = {row.number for row in split.rows}
    return [name for number, name in enumerate(facts.classes) if number not in there]


@classes(
    "CL007",
    WARNING,
    "classes of very different size",
    why="A model that always says the commonest class is right most of the time, and learns that.",
    remedy="Add images of the rare classes, or repeat them in the list.",
)
def uneven(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        counts = Counter(row.number for row in split.rows)
        if split.name != "eval" and len(counts) > 1:
            (most, top), (least, few) = counts.most_common()[0], counts.most_common()[-1]
            if top > UNEVEN * few:
                names = facts.classes
                detail = f"{names[most]} has {top:,} images, {names[least]} {few:,}"
                yield Hit(1, (), split.name, detail)


@classes(
    "CL008",
    NOTE,
    "class with few training images",
    why="From fewer than ten images little is learned of a class.",
    remedy="Add images where you can.",
)
def few_images(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        counts = Counter(row.number for row in split.rows)
        few = [f"{facts.classes[n]} ({c})" for n, c in sorted(counts.items()) if c < FEW_IMAGES]
        if split.name != "eval":
            yield from names_hit(few, split.name)


@classes(
    "CL009",
    ERROR,
    "set without an evaluation",
    why="Nothing would say which epoch was the best, or what the model is worth.",
    remedy="Divide it: jobgen dataset split SRC NEW.zip",
)
def no_split(facts: ClassFacts) -> Iterator[Hit]:
    if facts.data is not None and "eval" not in facts.data.splits:
        there = ", ".join(f"{split.name}: {len(split.rows)} images" for split in facts.splits)
        yield Hit(1, (), facts.files.name, there)


@classes(
    "CL010",
    ERROR,
    "fewer than two classes",
    why="There is nothing to tell apart.",
    remedy="Give each class its folder below train/ and val/.",
)
def one_class(facts: ClassFacts) -> Iterator[Hit]:
    if facts.data is not None and len(facts.classes) < 2:
        yield Hit(1, (), facts.files.name, ", ".join(facts.classes) or "none")


@classes(
    "CL011",
    ERROR,
    "image that can't be read",
    why="PaddleClas takes another image at random in its place, with that one's class, and says so "
    "only in its log.",
    remedy="Take it out of the set, or save it again as JPEG.",
)
def unreadable(facts: ClassFacts) -> Iterator[Hit]:
    wrong = {}
    for path, header in facts.headers.items():
        fault = header if isinstance(header, str) else header.unread
        if fault:
            wrong[path] = fault
    yield from names_hit(f"{path} ({fault})" for path, fault in wrong.items())
    if facts.deep:
        sound = [path for path in facts.paths if path not in wrong]
        done = facts.files.each(sound, lambda name: _damage(facts, name))
        yield from names_hit(f"{path} ({fault})" for path, fault in done if fault)


def _damage(facts: ClassFacts, name: str) -> str:
    try:
        open_raster(facts.files.read(name)).load()
    except Exception as error:  # whatever a damaged image brings a decoder to
        return str(error) or type(error).__name__
    return ""


@classes(
    "CL012",
    WARNING,
    "image that a list names twice",
    why="It counts twice, in training and in what is measured.",
    remedy="Name it once.",
)
def named_twice(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        counts = Counter(row.path for row in split.rows)
        yield from names_hit((path for path, count in counts.items() if count > 1), split.name)


@classes(
    "CL013",
    ERROR,
    "entry of the archive that no job would unpack",
    why="The notebook stops at it.",
    remedy="Pack the set anew, without links and with plain names.",
)
def archive_faults(facts: ClassFacts) -> Iterator[Hit]:
    yield from names_hit(detail for _, detail in facts.files.faults)


@classes(
    "CL014",
    WARNING,
    "picture that is not counted",
    why="OpenCV, with which PaddleClas reads, does not know its kind; so it is left out.",
    remedy="Save it as JPEG or PNG.",
)
def other_pictures(facts: ClassFacts) -> Iterator[Hit]:
    if facts.data is not None and facts.data.form == "folders":
        names = [name for name in facts.files.names if name.lower().endswith(OTHER_PICTURES)]
        prefixes = tuple(split.prefix for split in facts.splits)
        yield from names_hit(name for name in names if name.startswith(prefixes))


def _troubles(facts: ClassFacts, code: str) -> Iterable[Hit]:
    for split in facts.splits:
        yield from names_hit((t.place for t in split.troubles if t.code == code), split.name)


CORRECT_LISTS = (
    "Correct the list: an image's path, a tab, and the class by its name or its number from 0."
)


@classes("CL020", ERROR, why="The notebook stops at it.", remedy=CORRECT_LISTS)
def broken_line(facts: ClassFacts) -> Iterable[Hit]:
    return _troubles(facts, "CL020")


@classes("CL021", ERROR, why="The notebook stops at it.", remedy=CORRECT_LISTS)
def unknown_label(facts: ClassFacts) -> Iterable[Hit]:
    return _troubles(facts, "CL021")


@classes(
    "CL022",
    ERROR,
    why="The notebook stops at it: training has no number for such a class.",
    remedy="Give train and val the same class folders.",
)
def foreign_folder(facts: ClassFacts) -> Iterable[Hit]:
    return _troubles(facts, "CL022")


@classes(
    "CL023",
    ERROR,
    why="The notebook stops at it: nothing says of which class it is.",
    remedy="Put it into the folder of its class, or take it away.",
)
def outside(facts: ClassFacts) -> Iterable[Hit]:
    return _troubles(facts, "CL023")


def _lacks_split(facts: ClassFacts) -> bool:
    return facts.plan is not None and facts.data is None and bool(facts.files.names)


@classes(
    "CL024",
    ERROR,
    why="The notebook stops before it trains.",
    remedy="Mount the set that the job was made from, or let jobgen init write job.yaml anew.",
)
def split_lacks(facts: ClassFacts) -> Iterator[Hit]:
    if _lacks_split(facts):
        yield Hit(1, (), facts.files.name, facts.refused)


@classes(
    "CL025",
    ERROR,
    why="The notebook stops before it trains.",
    remedy="Mount the set that the job was made from, or let jobgen init write job.yaml anew.",
)
def another_set(facts: ClassFacts) -> Iterator[Hit]:
    expect = facts.plan.spec.dataset.expect if facts.plan else None
    for split in facts.splits:
        wanted = getattr(expect, split.name, None)
        if wanted is None or split.troubles:
            continue
        found = expected_classes(split)
        if (found["images"], found["sha256"]) != (wanted.images, wanted.sha256 or found["sha256"]):
            differs = "with other names or classes" if found["images"] == wanted.images else ""
            detail = f"{found['images']} images, expected were {wanted.images} {differs}"
            yield Hit(1, (), split.name, detail.strip())


@classes(
    "CL026",
    ERROR,
    why="PaddleClas stops before it trains.",
    remedy="Add the image to the archive, or take its line out of the list; a path begins at the "
    "root of the set, and is not absolute.",
)
def absent_image(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        gone = (split.path(row) for row in split.rows)
        yield from names_hit((path for path in gone if path not in facts.files.sizes), split.name)


@classes(
    "CL027",
    ERROR,
    why="There is nothing to train on or to measure.",
    remedy="Correct dataset in job.yaml, or let jobgen init write it anew.",
)
def split_without_images(facts: ClassFacts) -> Iterator[Hit]:
    for split in facts.splits:
        if not split.rows and not split.troubles:
            yield Hit(1, (), split.name)
