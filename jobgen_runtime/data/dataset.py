"""The `data` stage: find the mounted archives, unpack them, and see that they are the job's set."""

import codecs
import glob
import hashlib
import os
import shutil
import time
from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

from jobgen_runtime.data.archives import (
    KEPT_APART,
    is_inside,
    remove_unpacked_file,
    unpack,
    unpacked_names,
)
from jobgen_runtime.data.balance import balanced
from jobgen_runtime.data.coco import (
    annotation_path,
    boxes_without_area,
    check_coco,
    check_images,
    coco_text,
    read_coco,
)
from jobgen_runtime.data.faults import data_fault, fault_text
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

# A background task fails over 20 GB or 10,000 files; PaddleDetection's clone alone is 2,100 files.
PLATFORM_FILES = 10000 - 2500
PLATFORM_BYTES = 15 * 2**30
SMOKE_EVAL_IMAGES = 4
# PaddleDetection fetches a data set of its own where a file lacks in a folder of one of these
# names, written in capitals or not (ppdet/utils/download.py: get_dataset_path).
DOWNLOADED_NAMES = frozenset(
    (
        *("coco", "coco_ce", "culane", "fruit", "roadsign_coco", "roadsign_voc"),
        *("spine_coco", "voc", "wider_face"),
    )
)


def find_source(home: str, source: Dict[str, Any]) -> str:
    """The archive or folder of one source, below `data/data<ID>/` or, failing that, any `data*/`.

    Raises StageError where there is none, or more than one.
    """
    name = source.get("archive") or source["folder"]
    mounts = os.path.join(home, "data")
    number = "*" if source["id"] is None else source["id"]
    exact = os.path.join(mounts, "data%s" % number, name)
    if source["id"] is not None and os.path.exists(exact):
        return exact
    found = sorted(glob.glob(os.path.join(glob.escape(mounts), "data*", glob.escape(name))))
    if len(found) == 1:
        return found[0]
    if found:
        raise StageError(
            "%s lies in more than one place: %s" % (name, ", ".join(found)),
            "Set the source's `id:` in job.yaml to the data set's number, and build again.",
            cause="data",
        )
    there = sorted(glob.glob(os.path.join(glob.escape(mounts), "data*", "*")))
    raise StageError(
        "%s was not found (looked for %s)" % (name, exact),
        "Add the data set to the project on AI Studio, then start the job again. Mounted now: %s."
        % (", ".join(os.path.relpath(path, mounts) for path in there[:8]) or "nothing"),
        cause="data",
    )


def place_sources(home: str, sources: List[Dict[str, Any]]) -> str:
    """Unpack (or link) every source below one folder, and give that folder."""
    paths = [find_source(home, source) for source in sources]
    target = os.path.join(home, "datasets")
    for number, (path, source) in enumerate(zip(paths, sources), 1):
        into = os.path.join(target, *source["into"].split("/"))
        if os.path.isdir(path):
            _link(path, os.path.join(into, os.path.basename(path)), target)
            continue
        marker = marker_path(target, number, source)
        facts = unpack(path, into, marker, _Progress(os.path.basename(path)))
        outcome().event("unpacked", archive=os.path.basename(path), **facts)
        if facts["files"] > PLATFORM_FILES or facts["bytes"] > PLATFORM_BYTES:
            note(
                "%s holds %d files, %.1f GB: on AI Studio a background task fails when more than "
                "10,000 files or 20 GB are left behind; CLEANUP = True removes them at the end"
                % (os.path.basename(path), facts["files"], facts["bytes"] / 2.0**30)
            )
    return target


def marker_path(target: str, number: int, source: Dict[str, Any]) -> str:
    """The file that says which archive of this source was unpacked."""
    return os.path.join(target, KEPT_APART, "%d-%s.json" % (number, source["archive"]))


def _link(path: str, link: str, target: str) -> None:
    if KEPT_APART in os.path.relpath(link, target).split(os.sep):
        raise StageError(
            "the mounted folder %s has the name of jobgen's own marks" % path,
            "Rename it, and add it to the project under its new name.",
            cause="data",
        )
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if not is_inside(os.path.dirname(link), target):
        raise StageError(
            "%s would be linked into data that is not this job's" % link,
            "Give the source another `into:` in job.yaml, and build again.",
            cause="data",
        )
    if os.path.islink(link):
        os.remove(link)
    if os.path.exists(link):
        raise StageError(
            "%s is in the way of the mounted folder %s" % (link, path),
            "Two sources fill one folder: give one an `into:` in job.yaml, and build again.",
            cause="data",
        )
    os.symlink(path, link)


def remove_unpacked(home: str, name: str, sources: List[Dict[str, Any]]) -> List[str]:
    """Remove what this job's sources left in datasets/, and what was made of it; mounts stay."""
    target = os.path.join(home, "datasets")
    removed = []
    for number, source in enumerate(sources, 1):
        if not source.get("archive"):
            continue
        into = os.path.join(target, *source["into"].split("/"))
        marker = marker_path(target, number, source)
        folders = set()
        for entry in unpacked_names(marker):
            if remove_unpacked_file(into, entry):
                folders.add(os.path.dirname(os.path.join(into, *entry.split("/"))))
        for folder in sorted(folders, key=len, reverse=True):
            while (
                folder.startswith(target + os.sep)
                and os.path.isdir(folder)
                and not os.listdir(folder)
            ):
                os.rmdir(folder)
                folder = os.path.dirname(folder)
        if os.path.isfile(marker):
            os.remove(marker)
            removed.append("the files of " + source["archive"])
    made = made_folder(target, name)
    if os.path.isdir(made):
        shutil.rmtree(made)
        removed.append("the annotation files made of them")
    return removed


def made_folder(target: str, name: str) -> str:
    """Where annotation files are written that this job makes: no source can reach there."""
    return os.path.join(target, KEPT_APART, name)


class _Progress:
    """Tells of a long unpacking every few seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= 2:
            self.last = time.monotonic()
            outcome().event("unpacking", archive=self.name, done=done, total=total)


def file_sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def compare_with_expect(
    split: str, found: Dict[str, int], sha256: str, expect: Optional[Dict[str, Any]]
) -> None:
    """Stop where the mounted data is another set than the one the job was made from."""
    if not expect:
        note(
            "%s: %d images, %d boxes; the job expects nothing to compare with"
            % (split, found["images"], found["boxes"])
        )
        return
    differs = [key for key in ("images", "boxes") if expect.get(key) not in (None, found[key])]
    wanted = expect.get("sha256")
    if differs or (wanted and sha256 != wanted):
        raise data_fault(
            split,
            "DS098",
            "it has %d images and %d boxes, expected were %s and %s%s"
            % (
                found["images"],
                found["boxes"],
                expect.get("images"),
                expect.get("boxes"),
                "" if differs else " with other content",
            ),
            "Mount the data set that the job was made from, or correct dataset.expect in job.yaml "
            "and build again.",
        )


def root_folder(folder: str, name: str) -> str:
    """The set's own folder below all that was unpacked. Raises StageError where it is missing."""
    root = os.path.join(folder, *name.split("/")) if name else folder
    if not os.path.isdir(root):
        raise StageError(
            "the data holds no folder %r (there are: %s)"
            % (name, ", ".join(sorted(os.listdir(folder))[:8]) or "none"),
            "Correct dataset.root in job.yaml, and build again.",
            cause="data",
        )
    return root


def prepare_data(
    home: str,
    dataset: Dict[str, Any],
    name: str,
    smoke_images: int = 0,
    balance: bool = False,
) -> Dict[str, Any]:
    """The whole stage. Gives the data's place on this machine:

    `{"dataset_dir": path, "train": {"image_dir", "anno_path"}, "eval": {...},
    "train_images": n, "most_boxes": of one training image, "sha256": {"train", "eval"}}`, the
    splits' paths as PaddleDetection wants them: relative to `dataset_dir`, or absolute for a file
    that was made here.
    With `smoke_images` the annotation files are small ones made from the real ones; with `balance`
    that of training repeats the images of rare classes.
    """
    folder = place_sources(home, dataset["sources"])
    root = root_folder(folder, dataset["root"])
    root = renamed_root(root, made_folder(folder, name))
    place: Dict[str, Any] = {"dataset_dir": root, "sha256": {}}
    counts = {}
    for split in ("train", "eval"):
        counts[split] = _place_split(place, root, folder, dataset, name, split, smoke_images)
    if balance and not smoke_images:
        _balance(place, folder, name)
    outcome().data["dataset"] = dict(place, counts=counts)
    summary(
        "%d + %d images, %d + %d boxes%s"
        % (
            counts["train"]["images"],
            counts["eval"]["images"],
            counts["train"]["boxes"],
            counts["eval"]["boxes"],
            ", as expected" if dataset.get("expect") else "",
        )
    )
    return place


def _place_split(
    place: Dict[str, Any],
    root: str,
    folder: str,
    dataset: Dict[str, Any],
    name: str,
    split: str,
    smoke_images: int,
) -> Dict[str, Any]:
    """Check one split and add it to `place`; gives its counts."""
    files = dataset[split]
    path, record = _annotations(root, folder, dataset, name, split)
    used_path = path
    counts = check_coco(path, record, dataset["classes"], dataset.get("labelled", True))
    _note_flat(split, boxes_without_area(record), "dropped by PaddleDetection")
    check_images(os.path.join(root, *files["images"].split("/")), path, record)
    used = counts["images"]
    if dataset["format"] == "coco":
        used_path = _as_pycocotools_reads(path, folder, name, split)
    place["sha256"][split] = file_sha256(path)
    made = bool(smoke_images) or dataset["format"] != "coco"
    expect = (dataset.get("expect") or {}).get(split)
    compare_with_expect(split, counts, place["sha256"][split], expect)
    if smoke_images:
        wanted = smoke_images if split == "train" else SMOKE_EVAL_IMAGES
        used_path, used = _smoke_file(folder, name, split, record, wanted)
    if split == "train":
        place["train_images"] = used
        owners = Counter(box["image_id"] for box in record["annotations"])
        place["most_boxes"] = max(owners.values()) if owners else 0
    place[split] = {
        "image_dir": files["images"],
        # Absolute where it was made here: `..` from a linked root leads elsewhere.
        "anno_path": used_path if made or used_path != path else files["annotations"],
    }
    return counts


def _balance(place: Dict[str, Any], folder: str, name: str) -> None:
    """Have training read a file in which images of rare classes are repeated."""
    record = read_coco(annotation_path(place, "train"))
    more = balanced(record)
    before, after = len(record["images"]), len(more["images"])
    if after == before:
        note("train.balance: the classes have images enough, none is repeated")
        return
    path = os.path.join(made_folder(folder, name), "balanced", "train.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_text_atomically(path, coco_text(more))
    place["train"]["anno_path"] = path
    place["train_images"] = after
    adjust("train images", before, after, "train.balance: those of rare classes are repeated")


def renamed_root(root: str, made: str) -> str:
    """The set's folder, under another name where PaddleDetection would download that of its own."""
    if os.path.basename(root).lower() not in DOWNLOADED_NAMES:
        return root
    os.makedirs(made, exist_ok=True)
    link = os.path.join(made, "set")
    if os.path.islink(link):
        os.remove(link)
    os.symlink(os.path.realpath(root), link)
    return link


def _annotations(
    root: str, folder: str, dataset: Dict[str, Any], name: str, split: str
) -> Tuple[str, Dict[str, Any]]:
    files = dataset[split]
    if dataset["format"] == "coco":
        path = os.path.join(root, *files["annotations"].split("/"))
        return path, read_coco(path)
    # A COCO job carries no VOC reader.
    from jobgen_runtime.data.voc import convert_voc_split

    record, left_out = convert_voc_split(
        root, files["images"], files["annotations"], files["list"], dataset["classes"]
    )
    _note_flat(split, left_out, "left out")
    path = os.path.join(made_folder(folder, name), "coco", split + ".json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_text_atomically(path, coco_text(record))
    return path, record


def _as_pycocotools_reads(path: str, folder: str, name: str, split: str) -> str:
    """The file itself, or a copy of ours without the byte-order mark that only we read past."""
    with open(path, "rb") as stream:
        data = stream.read()
    if not data.startswith(codecs.BOM_UTF8):
        return path
    copy = os.path.join(made_folder(folder, name), "coco", split + ".json")
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    write_text_atomically(copy, data[len(codecs.BOM_UTF8) :].decode("utf-8"))
    note(
        "%s begins with a byte-order mark, which pycocotools can't read: a copy without it is "
        "used" % os.path.basename(path)
    )
    return copy


def _note_flat(split: str, flat: List[str], fate: str) -> None:
    if flat:
        found = "%d, %s: %s" % (len(flat), fate, ", ".join(flat[:3]))
        note("%s: %s" % (split, fault_text("DS040", found)))


def _smoke_file(
    folder: str, name: str, split: str, record: Dict[str, Any], wanted: int
) -> Tuple[str, int]:
    """A small annotation file, and its count: the first images that have boxes."""
    with_boxes = {box["image_id"] for box in record["annotations"] if not box["iscrowd"]}
    images = [image for image in record["images"] if image["id"] in with_boxes][:wanted]
    ids = {image["id"] for image in images}
    small = dict(
        record,
        info=record.get("info", {}),
        images=images,
        annotations=[box for box in record["annotations"] if box["image_id"] in ids],
    )
    path = os.path.join(made_folder(folder, name), "smoke", split + ".json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_text_atomically(path, coco_text(small))
    adjust("%s images" % split, len(record["images"]), len(images), "smoke run")
    return path, len(images)
