"""Pascal VOC with `ImageSets/Main`."""

from __future__ import annotations

import posixpath

from jobgen.datasets.contents import Contents
from jobgen.datasets.found import FoundSet, FoundSplit, below, pick_splits, stem_of
from jobgen.files import sha256
from jobgen.runtime.voc import (
    IMAGE_ENDINGS,
    VocImage,
    coco_record,
    coco_text,
    parse_voc_image,
    read_split_list,
)

WHOLE_SPLITS = ("train", "val", "valid", "eval", "test")


def find(files: Contents) -> FoundSet | None:
    """The set, or None where this is no VOC. Raises ValueError and DatasetError."""
    lists = [n for n in files.names if "/ImageSets/Main/" in f"/{n}" and n.endswith(".txt")]
    roots = {f"/{name}".split("/ImageSets/Main/")[0].lstrip("/") for name in lists}
    if len(roots) != 1:
        return None
    (root,) = roots
    chosen = pick_splits([n for n in lists if stem_of(n) in WHOLE_SPLITS])
    stems = {s: read_split_list(files.read(n).decode("utf-8-sig")) for s, n in chosen.items()}
    folder, images = _voc_images(files, root, [stem for part in stems.values() for stem in part])
    parsed = {
        split: [(images[stem], _annotation(files, root, stem)) for stem in part]
        for split, part in stems.items()
    }
    classes = sorted({b.label for pairs in parsed.values() for _, i in pairs for b in i.boxes})
    found = {}
    for split, pairs in parsed.items():
        record, _ = coco_record(pairs, classes)
        paths = {
            "images": below(root, folder),
            "annotations": "Annotations",
            "list": below(root, chosen[split]),
        }
        found[split] = FoundSplit(paths, sha256(coco_text(record).encode()), record)
    return FoundSet("voc", root, classes, found["train"], found["eval"])


def _voc_images(files: Contents, root: str, stems: list[str]) -> tuple[str, dict[str, str]]:
    """The one folder that has an image of every stem, and their file names. A segmentation
    mask of the same stem lies in another folder and does not count."""
    folders: dict[str, dict[str, str]] = {}
    for name in files.names:
        if name.endswith(IMAGE_ENDINGS) and name.startswith(root):
            names = folders.setdefault(posixpath.dirname(name), {})
            names[stem_of(name)] = posixpath.basename(name)
    usual = posixpath.join(root, "JPEGImages")
    order = sorted(folders, key=lambda folder: (folder != usual, folder))
    for folder in order:
        if set(stems) <= set(folders[folder]):
            return folder, folders[folder]
    missing = [stem for stem in stems if stem not in folders.get(usual, {})]
    raise ValueError(f"no folder has an image of every listed stem; {missing[0]} is missing first")


def _annotation(files: Contents, root: str, stem: str) -> VocImage:
    name = posixpath.join(root, "Annotations", f"{stem}.xml")
    if name not in files.names:
        raise ValueError(f"{name} is not there")
    try:
        return parse_voc_image(files.read(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
