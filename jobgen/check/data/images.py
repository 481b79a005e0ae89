"""Rules about images."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from jobgen.check.facts import DataFacts, images_hit, told
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, each_split, names_hit, repair, whole_set
from jobgen.datasets.found import job_word
from jobgen.datasets.headers import ENDINGS, Header, is_image
from jobgen.datasets.image_names import elsewhere, folded, meant_path
from jobgen.datasets.record import Split
from jobgen.datasets.stretch import can_be_stretched

UNUSUAL = ("CMYK", "palette", "unknown")
# OpenCV turns an image by its EXIF tag; these values mirror it or turn it by half.
TURNED_BY_HALF = (2, 3, 4)


@each_split(
    "DS050",
    ERROR,
    why="PaddleDetection trains on the rest without a word.",
    remedy="Add the images, or leave their entries out: " + repair("DS050"),
)
def missing_image(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if facts.has_images:
        gone = [row for row, path in enumerate(split.paths) if path not in facts.files.sizes]
        there = elsewhere(facts.files, split)
        lacking = [row for row in gone
                   if meant_path(facts.files, split, row) is None and row not in there]  # fmt: skip
        stems = _other_files(facts) if lacking else {}
        said = {row: f" (there is {posixpath.basename(stems[stem])})" for row in lacking
                if (stem := _stem(split.paths[row])) in stems}  # fmt: skip
        detail = f"of {split.images:,}" if len(lacking) > 1 else ""
        if lacking and len(lacking) == split.images:
            detail = f"all {split.images:,}; no image of the set has one of their names"
        yield from images_hit(split, lacking, detail, said)


def _other_files(facts: DataFacts) -> dict[str, str]:
    """What has an image's name and is none that is read, such as DICOM, by its stem."""
    texts = (".xml", ".txt", ".json", ".yaml", ".yml", ".csv")
    return {_stem(name): name for name in facts.files.names
            if not is_image(name) and not name.lower().endswith(texts)}  # fmt: skip


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


@each_split(
    "DS062",
    ERROR,
    "image in another folder than its annotations say",
    why="PaddleDetection looks in one folder only, and trains on what it finds there.",
    remedy=repair("DS062") + ", or write that folder as images: in job.yaml",
)
def another_folder(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if facts.has_images:
        found = elsewhere(facts.files, split)
        folders = Counter(posixpath.dirname(path) or "the top folder" for path in found.values())
        detail = ", ".join(f"{count:,} in {name}" for name, count in folders.most_common(3))
        remedy = ""
        if facts.plan is not None and len(folders) == 1:
            remedy = f"Correct images: in job.yaml: they lie in {next(iter(folders))}"
        for hit in images_hit(split, found, detail):
            yield replace(hit, remedy=remedy)


@whole_set(
    "DS051",
    NOTE,
    "image that no split in use names",
    why="It is not trained on; as background it would need an entry of its own.",
    remedy="Leave the images of a test split, which no job uses; annotate others, or leave them: "
    "they do no harm.",
)
def unreferenced(facts: DataFacts) -> Iterable[Hit]:
    if not facts.image_files:
        return ()
    # What is only spelled otherwise, or has another's stem, is told by the rules of those.
    used = {_plain(path) for split in facts.splits for path in split.paths}
    folders = {posixpath.dirname(path) for split in facts.splits for path in split.paths}
    inside = (name for name in facts.image_files if posixpath.dirname(name) in folders)
    return names_hit(name for name in inside if _plain(name) not in used)


def _plain(path: str) -> str:
    return folded(posixpath.splitext(path)[0])


@each_split(
    "DS052",
    ERROR,
    why="Only one of them is meant, and nobody can say which.",
    remedy="Give one another name, or take one entry out.",
)
def name_twice(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    yield from told(split, "DS052")
    counts = Counter(split.image_names)
    yield from names_hit([name for name, count in counts.items() if count > 1], split.place)


@whole_set(
    "DS053",
    WARNING,
    "same image in two splits",
    why="One measures what the other trained on: the mAP is too good to be true.",
    remedy="Take one of the two out: train's, if val is to stay comparable.",
)
def leak(facts: DataFacts) -> Iterator[Hit]:
    places: dict[str, str] = {}
    for split in facts.splits:
        for path in split.paths:
            places.setdefault(path, split.name)
    shared = [g for g in facts.same_bytes if len({places[path] for path in g}) > 1]
    pairs = []
    for group in shared:
        first = group[0]
        other = next(path for path in group if places[path] != places[first])
        pairs.append(" = ".join(f"{posixpath.basename(path)} ({job_word(places[path])})"
                                for path in (first, other)))  # fmt: skip
    return names_hit(pairs)


@each_split(
    "DS054",
    ERROR,
    "image whose name is written otherwise",
    why="Windows and macOS find it all the same; AI Studio's Linux does not.",
    remedy=repair("DS054"),
)
def other_spelling(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if not facts.has_images:
        return
    found = {}
    for row, path in enumerate(split.paths):
        real = meant_path(facts.files, split, row)
        if real:
            found[row] = f" is {posixpath.basename(real)} ({_difference(path, real)})"
    yield from images_hit(split, found, what=found)


def _difference(path: str, real: str) -> str:
    if "\\" in path:
        return "backslashes"
    if path.lower() == real.lower():
        return "letter case"
    return "Unicode form" if folded(path) == folded(real) else "another machine's path"


@each_split(
    "DS055",
    NOTE,
    "image whose ending names another format",
    why="PaddleDetection reads it by its content; other tools go by the ending.",
    remedy="Rename it, in the annotations too.",
)
def lying_ending(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {
        row: f" is {header.format}"
        for row, header in facts.sound_headers(split)
        if not split.image_names[row].lower().endswith(ENDINGS.get(header.format, ("",)))
    }
    return images_hit(split, found, what=found)


@each_split(
    "DS056",
    ERROR,
    "image that can't be read",
    why="The data loader dies at it in mid-epoch, without naming the file.",
    remedy="Save it again as JPEG or PNG, or take it out.",
)
def unreadable_header(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {}
    for row, path in enumerate(split.paths):
        header = facts.headers.get(path)
        if isinstance(header, str):
            found[row] = f": {header}"
        elif header is not None and header.unread and header.bits <= 8:
            found[row] = f": {header.unread}"
    return images_hit(split, found, what=found)


@each_split(
    "DS063",
    ERROR,
    "image of more than 8 bits that OpenCV can't read",
    why="The data loader dies at it in mid-epoch, without naming the file.",
    remedy="Stretch the values of the set to 8 bits: " + repair("DS063"),
)
def unreadable_depth(facts: DataFacts, split: Split) -> Iterator[Hit]:
    headers = ((row, facts.headers.get(path)) for row, path in enumerate(split.paths))
    found = {row: f": {header.unread}" for row, header in headers
             if isinstance(header, Header) and header.unread and header.bits > 8}  # fmt: skip
    return _with_remedies(facts, split, found)


@each_split(
    "DS057",
    WARNING,
    "stated size that is not the image's",
    why="The boxes may have been drawn on an image of another size.",
    remedy="Look at them (jobgen dataset preview); where the boxes fit the image: "
    + repair("DS057"),
)
def other_size(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {}
    for row, header in facts.sound_headers(split):
        stated, real = split.size(row), (header.width, header.height)
        if 0 not in stated and not header.agrees(stated):
            found[row] = f": {stated[0]} x {stated[1]}, really {real[0]} x {real[1]}"
    return images_hit(split, found, what=found)


@each_split(
    "DS058",
    WARNING,
    "image that EXIF turns",
    why="OpenCV turns the image and not its boxes.",
    remedy="Save it turned and without the tag, such as with jpegtran or mogrify "
    "-auto-orient, and see that the boxes fit.",
)
def turned(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {}
    for row, header in facts.sound_headers(split):
        unturned = header.orientation >= 5 and split.size(row) == (header.width, header.height)
        square = header.orientation >= 5 and header.width == header.height
        if unturned or square or header.orientation in TURNED_BY_HALF:
            found[row] = f" (orientation {header.orientation})"
    return images_hit(split, found, what=found)


@each_split(
    "DS059",
    NOTE,
    "image with unusual pixels",
    why="OpenCV makes plain RGB of palette, CMYK and transparent images.",
    remedy="If colour matters, save them as RGB yourself and look at them.",
)
def unusual_pixels(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {
        row: f" ({header.mode})"
        for row, header in facts.sound_headers(split)
        if header.mode in UNUSUAL or header.mode.endswith("alpha")
    }
    return images_hit(split, found, what=found)


@each_split(
    "DS060",
    ERROR,
    "image whose pixels are damaged",
    why="The data loader dies at it in mid-epoch, without naming the file.",
    remedy="Copy it again from its source, or take it out.",
)
def damaged_pixels(facts: DataFacts, split: Split) -> Iterator[Hit]:
    broken = facts.undecodable
    found = {row: f": {broken[p]}" for row, p in enumerate(split.paths) if p in broken}
    return images_hit(split, found, what=found)


@each_split(
    "DS061",
    WARNING,
    "image with more than 8 bits a channel",
    why="OpenCV keeps the upper 8 bits: faint structures of SAR or X-ray images vanish.",
    remedy="Stretch the values of the set to 8 bits: " + repair("DS061"),
)
def deep_pixels(facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = {
        row: f" ({header.bits} bits)"
        for row, header in facts.sound_headers(split)
        if header.bits > 8 and not header.unread
    }
    return _with_remedies(facts, split, found)


def _with_remedies(facts: DataFacts, split: Split, found: dict[int, str]) -> Iterator[Hit]:
    """Images of many bits: those that `--fix` stretches, and those that a person has to."""
    able = {row for row in found if can_be_stretched(facts.headers[split.paths[row]])}
    yield from images_hit(split, sorted(able), what=found)
    for hit in images_hit(split, sorted(set(found) - able), "colour or another format", found):
        remedy = "Stretch the values to 8 bits in the tool that made them, all images alike."
        yield replace(hit, remedy=remedy)
