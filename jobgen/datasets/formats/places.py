"""Where the files of a labelling tool lie: its annotation files by split, and each one's image."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.found import WHOLE, below, split_word, stem_of
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import EVAL, Layout
from jobgen.errors import DatasetError

# How much of a file tells what it is.
HEAD = 4096
# So many files of a folder tell what all of them are.
SAMPLE = 5
# A folder with more files holds one for each image, not one for many.
MANY = 100


def layouts_of(
    kind: str, files: Contents, groups: Iterable[Mapping[str, list[str]]]
) -> list[Layout]:
    """A layout for each set, given as its annotation files by split."""
    found = []
    for group in groups:
        splits = _usual_order(group)
        names = [name for part in splits.values() for name in part]
        root = _common([posixpath.dirname(name) for name in names])
        paths = {}
        for split, part in splits.items():
            folder = _common([posixpath.dirname(name) for name in part])
            place = part[0] if len(part) == 1 else folder
            paths[split] = {"images": below(root, folder), "annotations": below(root, place)}
        layout = Layout(kind, root, paths)
        files.memo[kind, layout.title] = splits
        found.append(layout)
    return found


def files_of(files: Contents, layout: Layout) -> dict[str, list[str]]:
    """The annotation files of each split of a layout that `layouts_of` made."""
    found: dict[str, list[str]] = files.memo[layout.format, layout.title]
    return found


def by_folder(files: Contents, names: Iterable[str]) -> list[dict[str, list[str]]]:
    """Files of one image each as sets: what folders named as splits hold, and all the rest. Where
    two folders of a split have files of the same images, they are two sets."""
    known = list(names)
    groups = _grouped(known, lambda name: split_word(posixpath.dirname(name))[0])
    found = images_of(files)
    images = [
        [found.of_stem(stem_of(name), name) or name for name in part]
        for group in groups
        for part in group.values()
    ]
    if all(len(set(part)) == len(part) for part in images):
        return groups
    return _apart(known, lambda name: split_word(posixpath.dirname(name)))


def by_name(names: Iterable[str]) -> list[dict[str, list[str]]]:
    """Files of many images each as sets: those named as splits, and each of the others. Where a
    split would have several, those belong together whose names differ in the split's word only."""
    named: list[str] = []
    others: list[str] = []
    for name in names:
        (named if split_word(name)[0] else others).append(name)
    groups = _grouped(named, lambda name: split_word(name)[0])
    if any(len(part) > 1 for group in groups for part in group.values()):
        groups = _apart(named, lambda name: split_word(name))
    return [*groups, *({WHOLE: [name]} for name in others)]


def _apart(
    names: Iterable[str], word: Callable[[str], tuple[str | None, str]]
) -> list[dict[str, list[str]]]:
    """A set for each pattern that is left of a name without the split's word."""
    apart: dict[str, list[str]] = {}
    for name in names:
        apart.setdefault(word(name)[1], []).append(name)
    return [g for part in apart.values() for g in _grouped(part, lambda name: word(name)[0])]


def _grouped(names: Iterable[str], word: Callable[[str], str | None]) -> list[dict[str, list[str]]]:
    splits: dict[str, list[str]] = {}
    for name in names:
        splits.setdefault(word(name) or WHOLE, []).append(name)
    rest = splits.pop(WHOLE, None)
    return [group for group in (splits, {WHOLE: rest} if rest else {}) if group]


def _usual_order(group: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The splits as train, eval, test; a test split stands in for a missing eval."""
    splits = dict(group)
    if EVAL not in splits and "test" in splits and len(splits) > 1:
        splits[EVAL] = splits.pop("test")
    order = ["train", EVAL, "test", WHOLE]
    return {split: splits[split] for split in order if split in splits}


def _common(folders: list[str]) -> str:
    return posixpath.commonpath(folders) if all(folders) else ""


class Images:
    """The images of a set, found by what annotation files call them."""

    def __init__(self, files: Contents) -> None:
        self.files = files
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in filter(is_image, files.names):
            self._by_name.setdefault(posixpath.basename(path).lower(), []).append(path)
            self._by_stem.setdefault(stem_of(path), []).append(path)

    def of_stem(self, stem: str, source: str) -> str | None:
        """The image with this stem that is nearest to its annotation file."""
        return self._nearest(self._by_stem.get(stem, []), source)

    def named(self, name: str, source: str) -> str:
        """The image that `source` calls so: the path from its folder, else the end of a path that
        another machine had. One that is nowhere keeps the path from the folder."""
        plain = name.strip().replace("\\", "/")
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(source), plain))
        if beside in self.files.sizes:
            return beside
        own = posixpath.basename(plain)
        same = self._by_name.get(own.lower(), [])
        exact = [path for path in same if posixpath.basename(path) == own] or same
        longest = max((_shared_end(path, plain) for path in exact), default=0)
        best = [path for path in exact if _shared_end(path, plain) == longest]
        found = self._nearest(best, source)
        return found or posixpath.join(posixpath.dirname(source), own or plain or "unnamed")

    def _nearest(self, paths: list[str], source: str) -> str | None:
        if len(paths) < 2:
            return paths[0] if paths else None
        folder, split = posixpath.dirname(source), split_word(source)[0]

        def rank(path: str) -> tuple[Any, ...]:
            own = posixpath.dirname(path)
            same_split = split is not None and split_word(own)[0] == split
            return (own != folder, not same_split, -_shared_start(own, folder), path)

        return min(paths, key=rank)


def images_of(files: Contents) -> Images:
    if " images by name" not in files.memo:
        files.memo[" images by name"] = Images(files)
    found: Images = files.memo[" images by name"]
    return found


def pages_like(files: Contents, kind: str, fits: Callable[[str], bool]) -> list[str]:
    """The txt files, one an image, of the folders in which one of the first fits a format."""
    if (kind, "pages") not in files.memo:
        stems = images_of(files)
        found = []
        for names in _by_their_folder(files, (".txt",)):
            filled = [name for name in names if files.sizes[name]][:SAMPLE]
            if any(fits(head_of(files, name)) for name in filled):
                found += [
                    n for n in names if stems.of_stem(stem_of(n), n) or fits(head_of(files, n))
                ]
        files.memo[kind, "pages"] = found
    pages: list[str] = files.memo[kind, "pages"]
    return pages


def texts_like(
    files: Contents, kind: str, endings: tuple[str, ...], fits: Callable[[str], bool]
) -> list[str]:
    """The files, one for many images, whose first lines fit a format."""
    if (kind, "texts") not in files.memo:
        folders = [part for part in _by_their_folder(files, endings) if len(part) <= MANY]
        filled = [name for part in folders for name in part if files.sizes[name]]
        files.memo[kind, "texts"] = [name for name in filled if fits(head_of(files, name))]
    found: list[str] = files.memo[kind, "texts"]
    return found


def _by_their_folder(files: Contents, endings: tuple[str, ...]) -> list[list[str]]:
    folders: dict[str, list[str]] = {}
    for name in files.names:
        if name.lower().endswith(endings):
            folders.setdefault(posixpath.dirname(name), []).append(name)
    return list(folders.values())


def head_of(files: Contents, name: str) -> str:
    """The first lines of a text file, empty where it can't be read."""
    try:
        return decoded(files.head(name, HEAD)).replace("\r\n", "\n")
    except DatasetError:
        return ""


def _shared_end(path: str, other: str) -> int:
    count = 0
    for one, two in zip(reversed(path.split("/")), reversed(other.split("/")), strict=False):
        if one != two:
            break
        count += 1
    return count


def _shared_start(path: str, other: str) -> int:
    count = 0
    for one, two in zip(path.split("/"), other.split("/"), strict=False):
        if one != two:
            break
        count += 1
    return count
