"""What the rules of data sets look at, each fact gathered once and only when a rule asks."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from jobgen.check.rules import SHOWN, Hit, each_split, names_hit
from jobgen.datasets.contents import Contents, LoneFile, Progress, silent
from jobgen.datasets.fix import AS_CORNERS, FIXES, LEFT_OUT, corners_meant, true_sizes
from jobgen.datasets.headers import Header, is_image, known_headers, open_raster
from jobgen.datasets.record import DataSet, Split
from jobgen.errors import DatasetError
from jobgen.findings import Severity
from jobgen.job.plan import Plan

BEYOND_REPAIR = (
    "Correct it in the tool that wrote the file, and export the file again: nobody but its maker "
    "knows what was meant."
)


@dataclass(frozen=True, eq=False)
class DataFacts:
    """A data set, the plan of its job where there is one, and what reading it further tells.

    `files` is there even where no data set was found in it: then `data` is None.
    """

    files: Contents
    data: DataSet | None
    plan: Plan | None = None
    deep: bool = False
    # Why the files could not be opened at all; then there are none.
    refused: str = ""
    progress: Progress = silent

    @property
    def splits(self) -> list[Split]:
        return list(self.data) if self.data else []

    @property
    def classes(self) -> list[str]:
        return self.data.classes if self.data else []

    @cached_property
    def has_images(self) -> bool:
        """False for an annotation file that was given alone."""
        return not isinstance(self.files, LoneFile)

    @cached_property
    def image_files(self) -> list[str]:
        return [name for name in self.files.names if is_image(name)]

    @cached_property
    def named(self) -> list[str]:
        """The images that annotations name and that are there."""
        paths = dict.fromkeys(path for split in self.splits for path in split.paths)
        return [path for path in paths if path in self.files.sizes]

    @cached_property
    def headers(self) -> dict[str, Header | str]:
        """The header of each named image, or what is wrong with it."""
        return known_headers(self.files, self.named, self.progress) if self.has_images else {}

    def sound_headers(self, split: Split) -> Iterator[tuple[int, Header]]:
        """(row, header) of a split's images that have one."""
        if not self.headers:
            return
        for row, path in enumerate(split.paths):
            header = self.headers.get(path)
            if isinstance(header, Header):
                yield row, header

    def true_sizes(self, split: Split) -> Split:
        """The split with the sizes that its images really have."""
        if self.data is None or not self.has_images:
            return split
        if split.name not in self._true:
            self._true[split.name] = true_sizes(self.data, split)
        return self._true[split.name]

    def corners(self, split: Split) -> bool:
        """Whether a split's boxes are two corners each where they should be corner and sides."""
        fits = self.data is not None and self.data.layout.format in AS_CORNERS
        return fits and corners_meant(self.true_sizes(split))

    @cached_property
    def _true(self) -> dict[str, Split]:
        return {}

    @cached_property
    def undecodable(self) -> dict[str, str]:
        """Images whose header is sound and whose pixels are not, where `deep` asks for it."""
        if not self.deep:
            return {}
        wanted = [path for path in self.named if isinstance(self.headers[path], Header)]
        found: dict[str, str] = {}
        faults = self.files.each(wanted, lambda name: _decoding_fault(self.files, name))
        for done, (name, fault) in enumerate(faults, 1):
            if fault:
                found[name] = fault
            if done % 64 == 0:
                self.progress("decoding images", done, len(wanted))
        return found

    @cached_property
    def same_bytes(self) -> list[list[str]]:
        """Groups of named images that are the same file, found by size and checksum first."""
        if not self.has_images:
            return []
        alike: dict[tuple[int, int | None], list[str]] = defaultdict(list)
        for path in self.named:
            alike[self.files.sizes[path], self.files.crc(path)].append(path)
        suspects = [path for group in alike.values() if len(group) > 1 for path in group]
        groups: dict[str, list[str]] = defaultdict(list)
        for number, (path, digest) in enumerate(
            self.files.each(suspects, lambda name: _digest(self.files, name)), 1
        ):
            groups[digest or path].append(path)
            if number % 256 == 0:
                self.progress("comparing images", number, len(suspects))
        return [group for group in groups.values() if len(group) > 1]


def _digest(files: Contents, name: str) -> str:
    try:
        return hashlib.sha256(files.read(name)).hexdigest()
    except DatasetError:
        return ""


def _decoding_fault(files: Contents, name: str) -> str:
    """What Pillow stops at in an image; empty for a sound one."""
    try:
        data = files.read(name)
        with warnings.catch_warnings():
            # A large image is no fault; a bomb is an error of its own.
            warnings.simplefilter("ignore")
            with open_raster(data) as image:
                image.load()
    except DatasetError as error:
        return error.message
    except Exception as error:  # whatever a decoder raises at damaged bytes
        return str(error) or type(error).__name__
    return ""


def boxes_hit(split: Split, mask: npt.ArrayLike, detail: str = "") -> Iterator[Hit]:
    """One hit for the boxes of a mask, (M,); nothing where it is empty."""
    rows = np.flatnonzero(np.asarray(mask))
    if len(rows):
        examples = [split.box_place(int(row)) for row in rows[:SHOWN]]
        images = np.unique(split.image_of[rows])
        yield Hit(len(rows), examples, split.place, detail, images[images >= 0].tolist())


def images_hit(
    split: Split, rows: Iterable[int], detail: str = "", what: Mapping[int, str] | None = None
) -> Iterator[Hit]:
    """One hit for the images of some rows, each with `what` is the matter; nothing for none."""
    found = [int(row) for row in rows]
    if found:
        said = {row: (what or {}).get(row, "") for row in found[:SHOWN]}
        examples = [f"{split.image_names[row]}{text}" for row, text in said.items()]
        yield Hit(len(found), examples, split.place, detail, found)


def told(split: Split, code: str) -> Iterator[Hit]:
    """What the reader of a split told under this code."""
    found = [t for t in split.troubles if t.code == code]
    same = all(t.place == split.place for t in found)
    # What a reader had to leave out no repair can bring back.
    beyond = [t for t in found if t.lost and code in FIXES and code not in LEFT_OUT]
    for part, remedy in (([t for t in found if t not in beyond], ""), (beyond, BEYOND_REPAIR)):
        texts = [t.detail if same else f"{t.place}: {t.detail}" for t in part]
        for hit in names_hit(texts, split.place):
            yield replace(hit, remedy=remedy)


def from_reader(
    code: str, severity: Severity, title: str = "", *, why: str, remedy: str, name: str
) -> None:
    """A rule of this name that only passes on what the reader of a split said."""

    def find(_: DataFacts, split: Split) -> Iterator[Hit]:
        return told(split, code)

    find.__name__ = name
    each_split(code, severity, title, why=why, remedy=remedy)(find)
