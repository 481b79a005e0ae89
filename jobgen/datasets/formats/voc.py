"""Pascal VOC: one XML an image, with lists under `ImageSets/Main` or folders for the splits."""

from __future__ import annotations

import contextlib
import math
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.voc_writer import CORNERS, divide, laid_out, write
from jobgen.datasets.found import WHOLE, below, filled, group_splits, split_word, stem_of
from jobgen.datasets.record import TRAIN, DataSet, Layout, Split, Trouble, box_columns, integers
from jobgen.errors import DatasetError
from jobgen_runtime.data.voc import IMAGE_ENDINGS, LARGEST_SIDE, parse_xml, read_split_list

__all__ = ["LEFT_OUT", "READS", "TRAINED", "divide", "laid_out", "layouts", "read", "write"]

READS = "Pascal VOC (XML)"
TRAINED = True
LEFT_OUT = "difficult, pose and the like are left out; boxes stay"

LISTS = "/ImageSets/Main/"
# PaddleDetection's own lists: `./images/a.jpg ./annotations/a.xml`.
PAIR = re.compile(rb"^.+\.(jpe?g|png|bmp|tiff?|webp)[ \t]+.+\.xml", re.IGNORECASE)
# PaddleX and PaddleLabel write train_list.txt.
WHOLE_SPLITS = re.compile(r"^(train|val|valid|eval|test)(_list)?$", re.IGNORECASE)
CLASS_LISTS = ("labels.txt", "label_list.txt")
# CVAT's own XML begins with <annotations>.
PAGE = re.compile(rb"<annotation[\s>]")
# So many files of a folder tell whether its boxes are turned.
ROTATED_SAMPLE = 20


def layouts(files: Contents) -> list[Layout]:
    """The VOC sets among the files: by their lists, else by the folders of XML files."""
    if not _xml_files(files):
        return []
    roots: dict[str, list[str]] = {}
    for name in files.names:
        if LISTS in f"/{name}" and name.endswith(".txt"):
            roots.setdefault(f"/{name}".split(LISTS)[0].lstrip("/"), []).append(name)
        elif name.endswith(".txt") and PAIR.match(files.head(name, 1024)):
            roots.setdefault(posixpath.dirname(name), []).append(name)
    found = [_listed(files, root, names) for root, names in sorted(roots.items())]
    return [layout for layout in found if layout is not None] or _unlisted(files)


def _listed(files: Contents, root: str, names: list[str]) -> Layout | None:
    annotations = _annotation_folder(files, root)
    if annotations is None:
        return None
    whole = [name for name in names if WHOLE_SPLITS.match(stem_of(name))]
    whole = filled(files, whole, [name for name in whole if not files.read(name).strip()])
    if not any(split_word(stem_of(name))[0] == TRAIN for name in whole):
        # trainval with test is train and eval; beside train it is the two together.
        whole += [name for name in names if stem_of(name).lower() == "trainval"]
    stems = {stem_of(n) for n in files.names if posixpath.dirname(n) == annotations}
    images = _image_folder(files, root, annotations, stems)
    paths = {"images": below(root, images), "annotations": below(root, annotations)}
    groups = group_splits(whole, {"trainval": TRAIN})
    group = max(groups, key=len) if groups else {WHOLE: ""}
    splits = {}
    for split, name in group.items():
        own = paths
        if name:
            pages = dict.fromkeys(stems, "")
            listed = set(read_split_list(decoded(files.read(name)), pages)) & stems
            # Some sets have a folder of images for each split.
            place = _image_folder(files, root, annotations, listed, split) if listed else images
            own = {**paths, "images": below(root, place), "list": below(root, name)}
        splits[split] = own
    return Layout("voc", root, splits)


def _unlisted(files: Contents) -> list[Layout]:
    """Sets without lists: every folder of XML files is a split, or the whole set."""
    folders = sorted({posixpath.dirname(n) for n in _xml_files(files)})
    found = []
    for group in group_splits(folders):
        parts = {}
        for split, folder in group.items():
            stems = {stem_of(n) for n in _xml_files(files) if posixpath.dirname(n) == folder}
            parts[split] = (folder, _image_folder(files, "", folder, stems))
        tops = [place for pair in parts.values() for place in pair]
        root = posixpath.commonpath(tops) if all(tops) else ""
        splits = {
            split: {"images": below(root, images), "annotations": below(root, folder)}
            for split, (folder, images) in parts.items()
        }
        found.append(Layout("voc", root, splits))
    return found


def _xml_files(files: Contents) -> list[str]:
    if " xml" not in files.memo:
        files.memo[" xml"] = [n for n in files.names if n.lower().endswith(".xml")]
        # Other tools keep XML of their own; three of a folder tell what all of it is.
        folders: dict[str, list[str]] = {}
        for name in files.memo[" xml"]:
            folders.setdefault(posixpath.dirname(name), []).append(name)
        pages = {
            folder for folder, names in folders.items()
            if any(PAGE.search(files.head(name, 2048)) for name in names[:3])
        }  # fmt: skip
        own = [n for n in files.memo[" xml"] if posixpath.dirname(n) in pages]
        turned = {
            folder for folder, names in folders.items()
            if any(b"<robndbox>" in files.head(name, 4096) for name in names[:ROTATED_SAMPLE])
        }  # fmt: skip
        files.memo[" rotated xml"] = [n for n in own if posixpath.dirname(n) in turned]
        files.memo[" xml"] = [n for n in own if posixpath.dirname(n) not in turned]
    found: list[str] = files.memo[" xml"]
    return found


def rotated_pages(files: Contents) -> list[str]:
    """The XML of folders in which a box is turned, which PaddleDetection can't read."""
    _xml_files(files)
    found: list[str] = files.memo[" rotated xml"]
    return found


def _annotation_folder(files: Contents, root: str) -> str | None:
    """The folder below `root` with most XML files, `Annotations` first."""
    counts = Counter(posixpath.dirname(n) for n in _xml_files(files) if _is_below(n, root))
    usual = posixpath.join(root, "Annotations")
    if usual in counts:
        return usual
    return counts.most_common(1)[0][0] if counts else None


def _is_below(name: str, root: str) -> bool:
    return not root or name.startswith(f"{root}/")


def _image_folder(
    files: Contents, root: str, annotations: str, stems: set[str], of: str = ""
) -> str:
    """The folder whose images have most of the stems: JPEGImages first, then that of the XML
    files, then the one nearest to it."""
    counts: Counter[str] = Counter()
    for name in files.names:
        if (
            name.lower().endswith(IMAGE_ENDINGS)
            and _is_below(name, root)
            and stem_of(name) in stems
        ):
            counts[posixpath.dirname(name)] += 1
    usual = (posixpath.join(root, "JPEGImages"), annotations)
    split = of or split_word(annotations)[0]

    def rank(folder: str) -> tuple[float, ...]:
        near = len(posixpath.commonprefix([folder, annotations]))
        named = split is not None and split_word(folder)[0] == split
        place = usual.index(folder) if folder in usual else len(usual)
        return (-counts[folder], place, not named, -near)

    if counts:
        most = max(counts.values())
        # A mask of the same stem lies in another folder; a lacking image or two is told later.
        close = [folder for folder, count in counts.items() if count >= 0.9 * most]
        return min(sorted(close), key=lambda f: (*rank(f)[1:], *rank(f)[:1]))
    return usual[0] if any(n.startswith(usual[0] + "/") for n in files.names) else annotations


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout. Classes are in alphabetical order. Troubles are told, not raised."""
    readers = {name: _Reader(files, layout, paths) for name, paths in layout.splits.items()}
    for reader in readers.values():
        reader.read()
    classes = sorted({label for reader in readers.values() for label in reader.labels})
    classes = _listed_classes(files, layout.root, classes)
    splits = {name: reader.split(name, classes) for name, reader in readers.items()}
    return DataSet(files, layout, classes, splits)


def _listed_classes(files: Contents, root: str, found: list[str]) -> list[str]:
    """The classes in the order of a list that names them all, else as they are."""
    for own in CLASS_LISTS:
        name = posixpath.join(root, own)
        if name in files.sizes:
            lines = [line.strip() for line in decoded(files.read(name)).splitlines()]
            named = list(dict.fromkeys(filter(None, lines)))
            if set(found) <= set(named):
                return [label for label in named if label in found]
    return found


@dataclass
class _Reader:
    """Reads one split, image by image."""

    files: Contents
    layout: Layout
    paths: dict[str, str]
    image_names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def tell(self, code: str, place: str, detail: str, lost: bool = False) -> None:
        self.troubles.append(Trouble(code, place, detail, lost))

    def folder(self, kind: str) -> str:
        found = posixpath.normpath(posixpath.join(self.layout.root, self.paths[kind]))
        return "" if found == "." else found

    def read(self) -> None:
        images = self.images_by_stem()
        pages = self.pages_by_stem()
        stems = self.stems(pages)
        for number, stem in enumerate(stems, 1):
            self.files.progress(f"reading {self.place}", number, len(stems))
            place = pages.get(stem)
            if place is None:
                self.tell("DS077", self.place, stem, lost=True)
                continue
            row = len(self.image_names)
            # An image that is nowhere keeps its usual name, for the rule that looks for it.
            self.image_names.append(images.get(stem, [f"{stem}.jpg"])[0])
            self.sources.append(place)
            self.sizes.append(self.annotation(place, row))
            if len(images.get(stem, ())) > 1:
                self.choose_image(row, images[stem], place)

    @property
    def place(self) -> str:
        return posixpath.basename(self.paths.get("list") or self.paths["annotations"])

    def pages_by_stem(self) -> dict[str, str]:
        folder = self.folder("annotations")
        inside = (name for name in _xml_files(self.files) if posixpath.dirname(name) == folder)
        return {stem_of(name): name for name in inside}

    def stems(self, pages: Mapping[str, str]) -> list[str]:
        if "list" not in self.paths:
            return list(pages)
        name = posixpath.join(self.layout.root, self.paths["list"])
        if name not in self.files.sizes:
            raise DatasetError(
                f"{self.files.name} holds no {name}",
                "Is this the job's archive? Else correct the paths under dataset: in job.yaml.",
            )
        try:
            stems = read_split_list(self.files.read(name).decode("utf-8-sig"), pages)
        except (UnicodeDecodeError, DatasetError) as error:
            self.tell("DS010", self.place, str(error))
            return []
        counts = Counter(stems)
        for stem in [stem for stem, count in counts.items() if count > 1]:
            self.tell("DS074", self.place, stem)
        return list(counts)

    def choose_image(self, row: int, names: list[str], place: str) -> None:
        """Of several images with the stem of an XML file the one that it names."""
        with contextlib.suppress(ValueError, LookupError, DatasetError):
            root = parse_xml(self.files.read(place))
            wanted = (root.findtext("filename") or "").strip().replace("\\", "/")
            if posixpath.basename(wanted) in names:
                self.image_names[row] = posixpath.basename(wanted)
                return
        self.tell("DS052", self.folder("images"), " and ".join(names[:3]))

    def images_by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        folder = self.folder("images")
        for name in self.files.names:
            if posixpath.dirname(name) != folder or not name.lower().endswith(IMAGE_ENDINGS):
                continue
            found.setdefault(stem_of(name), []).append(posixpath.basename(name))
        return found

    def annotation(self, place: str, row: int) -> tuple[int, int]:
        """One XML file: takes its boxes and gives its width and height, 0 where it has none."""
        own = posixpath.basename(place)
        try:
            root = parse_xml(self.files.read(place))
        except (ValueError, LookupError, DatasetError) as error:
            self.tell("DS010", own, str(error).partition(": ")[2] or str(error), lost=True)
            return 0, 0
        for item in root.iter("object"):
            self.box(own, item, row)
        name = (root.findtext("filename") or "").strip()
        if name and stem_of(name.replace("\\", "/")) != stem_of(own):
            self.wrong_name(own, name)
        size = [self.number(own, root, f"size/{key}") for key in ("width", "height")]
        width, height = (int(value) if value is not None else 0 for value in size)
        if max(width, height) > LARGEST_SIDE or (None not in size and min(width, height) <= 0):
            self.tell("DS012", own, f"<size> says {width:g} x {height:g} pixels")
            return 0, 0
        return width, height

    def wrong_name(self, own: str, name: str) -> None:
        other = posixpath.join(self.folder("images"), name)
        exists = other in self.files.sizes
        self.tell("DS071" if exists else "DS070", own, f"<filename> is {name}")

    def box(self, place: str, item: Element, row: int) -> None:
        label = (item.findtext("name") or "").strip()
        if not label:
            self.tell("DS012", place, "an <object> has no <name>", lost=True)
        corners = [self.number(place, item, f"bndbox/{key}", lost=True) for key in CORNERS]
        if not label or None in corners:
            return
        xmin, ymin, xmax, ymax = (value for value in corners if value is not None)
        self.images.append(row)
        self.labels.append(label)
        self.boxes.append((xmin, ymin, xmax - xmin, ymax - ymin))

    def number(self, place: str, element: Element, path: str, lost: bool = False) -> float | None:
        text, tag = element.findtext(path), path.rpartition("/")[2]
        if text is None or not text.strip():
            self.tell("DS012", place, f"there is no <{tag}>", lost)
            return None
        try:
            value = float(text)
        except ValueError:
            self.tell("DS011", place, f"<{tag}> is {text!r}, not a number", lost)
            return None
        if not math.isfinite(value):
            self.tell("DS045", place, f"<{tag}> is {text!r}", lost)
            return None
        return value

    def split(self, name: str, classes: list[str]) -> Split:
        rows = {label: row for row, label in enumerate(classes)}
        count = len(self.image_names)
        return Split(
            name=name,
            place=self.place,
            files=self.paths,
            folder=self.folder("images"),
            image_names=self.image_names,
            image_ids=integers(range(1, count + 1)),
            widths=integers([width for width, _ in self.sizes]),
            heights=integers([height for _, height in self.sizes]),
            class_names=classes,
            class_ids=integers(range(1, len(classes) + 1)),
            troubles=self.troubles,
            sources=self.sources,
            **box_columns(self.images, [rows[label] for label in self.labels], self.boxes),
        )
