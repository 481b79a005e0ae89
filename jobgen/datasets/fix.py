"""The repairs that are safe, by the code of the rule that they answer; each tells what it did.

They work on the record in memory: the set itself is never changed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from jobgen.datasets.geometry import (
    TOLERANCE,
    beyond_the_edge,
    duplicates,
    edges,
    image_sizes,
    outside,
    swapped_corners,
    without_area,
)
from jobgen.datasets.headers import Header, known_headers
from jobgen.datasets.image_names import elsewhere, meant_path
from jobgen.datasets.record import UNKNOWN, DataSet, Ints, Mask, Split, Trouble

# Formats whose boxes are a corner and sides, and people write two corners there.
AS_CORNERS = ("coco", "csv", "coco_pages")
# When boxes are taken for two corners: of so many boxes, nearly all fit as corners, and a fifth
# or more reach out of their image as corner and size.
FEWEST_CORNERS = 4
ALL_BUT_FEW = 0.99
MANY_BEYOND = 0.2
# A repair that leaves out a larger share, and more than so many, is made only where it is asked
# for by its code.
FEW = 0.05
FEW_THINGS = 3
# The repaired split, how many things were changed, and what was done to them.
Repair = tuple[Split, int, str]


def fix(data: DataSet, codes: Iterable[str], cautious: bool = False) -> tuple[DataSet, list[str]]:
    """Repair what `codes` name, in the order of this file; the lines say what was done. A
    `cautious` one leaves a split alone of which more than FEW would be left out."""
    wanted = set(codes)
    done = []
    for code, repair in FIXES.items():
        if code in wanted:
            fixed = {}
            for name, split in data.splits.items():
                with np.errstate(all="ignore"):  # coordinates may be anything, NaN too
                    fixed[name], count, what = repair(data, split)
                lost = _share_lost(split, fixed[name]) if cautious else 0.0
                if lost > FEW:
                    done.append(
                        f"{code}  {split.place}: left alone, it would leave out {lost:.0%} of it; "
                        f"look at what is wrong first, or ask for it by name: --fix {code}"
                    )
                    fixed[name] = split
                    continue
                if count:
                    done.append(f"{code}  {split.place}: {count} {what}")
                left, line = _without_lost(data, split, code, cautious)
                done += [line] if line else []
                fixed[name] = replace(fixed[name], troubles=left)
            first = next(iter(fixed.values()))
            data = replace(data, splits=fixed, classes=list(first.class_names))
    return data, done


def _share_lost(before: Split, after: Split) -> float:
    """The larger share of images and boxes that are gone."""
    pairs = ((before.images, after.images), (len(before), len(after)))
    shares = (1 - new / old for old, new in pairs if old - new > FEW_THINGS)
    return max(shares, default=0.0)


def _without_lost(
    data: DataSet, split: Split, code: str, cautious: bool
) -> tuple[list[Trouble], str]:
    """The troubles that are left once a code's repair is made, and what there is to say of boxes
    that a labelling tool's file could not give."""
    lost = [t for t in split.troubles if t.code == code and t.lost]
    others = [t for t in split.troubles if t.code != code]
    if code in LEFT_OUT or not lost:
        return others, ""
    if code not in LOST_BOXES or data.layout.format in WITH_IMAGES:
        return [*others, *lost], ""
    if cautious and len(lost) > max(FEW_THINGS, FEW * (len(split) + len(lost))):
        return [*others, *lost], (
            f"{code}  {split.place}: left alone, it would leave out {len(lost)} boxes; look at "
            f"what is wrong first, or ask for it by name: --fix {code}"
        )
    return others, f"{code}  {split.place}: {len(lost)} boxes that could not be read left out"


def nothing_else(_data: DataSet, split: Split) -> Repair:
    """A fault whose box was left out already."""
    return split, 0, ""


def plain_types(_data: DataSet, split: Split) -> Repair:
    taken = [t for t in split.troubles if t.code == "DS011" and not t.lost]
    return split, len(taken), "values written as the numbers they mean"


def stated_sizes(data: DataSet, split: Split) -> Repair:
    """Missing sizes, from the images themselves."""
    missing = np.flatnonzero((split.widths <= 0) | (split.heights <= 0))
    widths, heights, count = _real_sizes(data, split, missing.tolist())
    rings = sum(t.code == "DS012" and not t.lost and "polygon" in t.detail for t in split.troubles)
    what = "sizes taken from the images" if count or not rings else "boxes made of their polygons"
    return replace(split, widths=widths, heights=heights), count + rings, what


def real_sizes(data: DataSet, split: Split) -> Repair:
    """Stated sizes that differ from the image's, where all its boxes fit the real one."""
    widths, heights, _ = _real_sizes(data, split, list(range(split.images)))
    right = np.zeros(split.images)
    bottom = np.zeros(split.images)
    known = split.image_of >= 0
    np.maximum.at(right, split.image_of[known], split.boxes[known, 0] + split.boxes[known, 2])
    np.maximum.at(bottom, split.image_of[known], split.boxes[known, 1] + split.boxes[known, 3])
    differ = (widths != split.widths) | (heights != split.heights)
    good = differ & (split.widths > 0) & (right <= widths) & (bottom <= heights)
    fixed = replace(
        split,
        widths=np.where(good, widths, split.widths),
        heights=np.where(good, heights, split.heights),
    )
    return fixed, int(good.sum()), "sizes taken from the images, whose boxes fit them"


def _real_sizes(data: DataSet, split: Split, rows: list[int]) -> tuple[Ints, Ints, int]:
    widths, heights = split.widths.copy(), split.heights.copy()
    there = [row for row in rows if split.path(row) in data.contents.sizes]
    headers = known_headers(data.contents, (split.path(row) for row in there))
    count = 0
    for row in there:
        header = headers[split.path(row)]
        if isinstance(header, Header) and not header.agrees(split.size(row)):
            widths[row], heights[row] = header.shown
            count += 1
    return widths, heights, count


def true_sizes(data: DataSet, split: Split) -> Split:
    """The split with the sizes that its images really have, where they state another."""
    widths, heights, count = _real_sizes(data, split, list(range(split.images)))
    return replace(split, widths=widths, heights=heights) if count else split


def with_info(_data: DataSet, split: Split) -> Repair:
    return replace(split, has_info=True), int(not split.has_info), "info added"


def nearest_names(data: DataSet, split: Split) -> Repair:
    """File names that mean an image of the set and are written otherwise."""
    names, count = list(split.image_names), 0
    for row in range(split.images):
        real = meant_path(data.contents, split, row)
        if real is not None:
            names[row] = real[len(split.folder) + 1 if split.folder else 0 :]
            count += 1
    return replace(split, image_names=names), count, "names written as the images have them"


def where_they_are(data: DataSet, split: Split) -> Repair:
    """File names with the folder in which the images really lie."""
    found = elsewhere(data.contents, split)
    if not found:
        return split, 0, ""
    paths = [found.get(row, path) for row, path in enumerate(split.paths)]
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths] or [split.folder])
    names = [posixpath.relpath(path, folder or ".") for path in paths]
    files = {**split.files, "images": posixpath.relpath(folder or ".", data.layout.root or ".")}
    fixed = replace(split, folder=folder, image_names=names, files=files)
    # The paths that were worked out before are those of the old names.
    fixed.__dict__.pop("paths", None)
    return fixed, len(found), "names given the folder in which the images lie"


def without_missing(data: DataSet, split: Split) -> Repair:
    explained = elsewhere(data.contents, split)
    keep = np.array(
        [path in data.contents.sizes or row in explained for row, path in enumerate(split.paths)],
        bool,
    )
    return split.take_images(keep), int((~keep).sum()), "missing images left out, with their boxes"


def known_images(_data: DataSet, split: Split) -> Repair:
    keep = split.image_of != UNKNOWN
    return split.take_boxes(keep), int((~keep).sum()), "boxes of unlisted images left out"


def known_classes(_data: DataSet, split: Split) -> Repair:
    keep = split.class_of != UNKNOWN
    return split.take_boxes(keep), int((~keep).sum()), "boxes of unknown classes left out"


def unique_ids(_data: DataSet, split: Split) -> Repair:
    """Annotations counted from 1 where an id is there twice."""
    twice = len(split) - len(np.unique(split.box_ids))
    ids = np.arange(1, len(split) + 1) if twice else split.box_ids
    return replace(split, box_ids=ids), twice, "annotations that shared an id; all are renumbered"


def ids_from_one(data: DataSet, split: Split) -> Repair:
    """Annotations counted from 1 where one has the id 0."""
    zero = int(np.count_nonzero(split.box_ids == 0)) if data.layout.format == "coco" else 0
    ids = np.arange(1, len(split) + 1) if zero else split.box_ids
    return replace(split, box_ids=ids), zero, "annotations with the id 0; all are renumbered"


def same_classes(data: DataSet, split: Split) -> Repair:
    """The categories of every split in the order of the first, then those it lacks; two classes
    of one name are nobody's to join."""
    if any(len(set(other.class_names)) < len(other.class_names) for other in data):
        return split, 0, ""
    names = list(dict.fromkeys(name for other in data for name in other.class_names))
    ids = {
        name: number
        for other in reversed(list(data))
        for name, number in zip(other.class_names, other.class_ids.tolist(), strict=True)
    }
    if len(set(ids.values())) < len(ids):
        ids = {name: number for number, name in enumerate(names, 1)}
    rows = np.array([names.index(name) for name in split.class_names] + [UNKNOWN])
    fixed = replace(
        split,
        class_names=names,
        class_ids=np.array([ids[name] for name in names], np.int64),
        class_of=rows[split.class_of],
    )
    return fixed, int(names != split.class_names), "list of categories made that of all splits"


def used_classes(data: DataSet, split: Split) -> Repair:
    """The categories without those that have a box in no split."""
    names = [name for other in data for name in other.class_names]
    used = {other.class_names[row] for other in data for row in np.unique(other.class_of)
            if row != UNKNOWN}  # fmt: skip
    if data.layout.format != "coco" or not used or used >= set(names):
        return split, 0, ""
    keep = [row for row, name in enumerate(split.class_names) if name in used]
    rows = np.full(len(split.class_names) + 1, UNKNOWN)
    rows[keep] = np.arange(len(keep))
    fixed = replace(
        split,
        class_names=[split.class_names[row] for row in keep],
        class_ids=split.class_ids[keep],
        class_of=rows[split.class_of],
    )
    return fixed, len(split.class_names) - len(keep), "classes without a box in any split left out"


def straight_corners(data: DataSet, split: Split) -> Repair:
    """Corners that were swapped, put right."""
    boxes = split.boxes.copy()
    swapped = swapped_corners(data, split)
    boxes[:, :2] += np.minimum(boxes[:, 2:], 0)
    boxes[:, 2:] = np.abs(boxes[:, 2:])
    return replace(split, boxes=boxes), int(swapped.sum()), "boxes with their corners put right"


def inside(data: DataSet, split: Split) -> Repair:
    """Boxes that reach outside, cut at the image's edge; see DS043 for those wholly outside."""
    if corners_meant(split):
        return split, 0, ""
    real = true_sizes(data, split)
    width, height, _ = image_sizes(real)
    left, top, right, bottom = edges(split.boxes)
    low, high = np.zeros(len(split)), np.stack([width, height], axis=1)
    corner = np.stack([np.maximum(left, low), np.maximum(top, low)], axis=1)
    far = np.minimum(np.stack([right, bottom], axis=1), high)
    changed = beyond_the_edge(real) > 0
    boxes = np.where(changed[:, None], np.concatenate([corner, far - corner], axis=1), split.boxes)
    area = np.where(changed, boxes[:, 2] * boxes[:, 3], split.area)
    fixed = replace(split, boxes=boxes, area=area)
    return fixed, int(changed.sum()), "boxes cut at the image's edge"


def not_outside(data: DataSet, split: Split) -> Repair:
    if corners_meant(split):
        return split, 0, ""
    gone = outside(true_sizes(data, split))
    return split.take_boxes(~gone), int(gone.sum()), "boxes outside their image left out"


def corners_meant(split: Split) -> bool:
    """Whether `bbox` holds two corners (x1 y1 x2 y2) where COCO has corner and size: read so all
    boxes lie in their images, read as COCO many reach far out."""
    width, height, known = image_sizes(split)
    good = known & split.solid
    if good.sum() < FEWEST_CORNERS:
        return False
    x, y, third, fourth = split.boxes[good].T
    wide, tall = width[good], height[good]
    ordered = (third > x) & (fourth > y)
    within = ordered & (third <= wide + TOLERANCE) & (fourth <= tall + TOLERANCE)
    beyond = (x + third > wide + TOLERANCE) | (y + fourth > tall + TOLERANCE)
    return bool(within.mean() >= ALL_BUT_FEW and beyond.mean() >= MANY_BEYOND)


def corners_to_sizes(data: DataSet, split: Split) -> Repair:
    """Boxes written as two corners, as corner and size."""
    if data.layout.format not in AS_CORNERS or not corners_meant(split):
        return split, 0, ""
    boxes = split.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    area = np.where(np.isnan(split.area), split.area, boxes[:, 2] * boxes[:, 3])
    return replace(split, boxes=boxes, area=area), len(split), "boxes made of their two corners"


def with_area(_data: DataSet, split: Split) -> Repair:
    return _new_areas(split, np.isnan(split.area))


def true_area(_data: DataSet, split: Split) -> Repair:
    return _new_areas(split, np.asarray(split.solid & (split.area <= 0)))


def _new_areas(split: Split, where: Mask) -> Repair:
    sides = split.boxes[:, 2] * split.boxes[:, 3]
    fixed = replace(split, area=np.where(where, sides, split.area))
    return fixed, int(where.sum()), "areas computed from the box"


def with_crowd(_data: DataSet, split: Split) -> Repair:
    missing = split.crowd == UNKNOWN
    fixed = replace(split, crowd=np.where(missing, 0, split.crowd).astype(np.int8))
    return fixed, int(missing.sum()), "annotations given iscrowd 0"


def finite(_data: DataSet, split: Split) -> Repair:
    keep = np.asarray(np.isfinite(split.boxes).all(axis=1))
    lost = sum(t.code == "DS045" for t in split.troubles)
    return split.take_boxes(keep), int((~keep).sum()) + lost, "boxes that are not finite left out"


def not_empty(data: DataSet, split: Split) -> Repair:
    gone = without_area(data, split)
    return split.take_boxes(~gone), int(gone.sum()), "boxes without area left out"


def unlike(_data: DataSet, split: Split) -> Repair:
    gone = duplicates(split)
    return split.take_boxes(~gone), int(gone.sum()), "boxes that were there twice left out"


def written_anew(code: str, what: str) -> Callable[[DataSet, Split], Repair]:
    """A fault that is gone as soon as the files are written again."""

    def repair(_data: DataSet, split: Split) -> Repair:
        return split, sum(t.code == code for t in split.troubles), what

    return repair


# In the order in which they are made: a box is only judged once its numbers and names are right.
FIXES: dict[str, Callable[[DataSet, Split], Repair]] = {
    "DS011": plain_types,
    "DS012": stated_sizes,
    "DS081": nothing_else,
    "DS013": with_info,
    "DS054": nearest_names,
    "DS062": where_they_are,
    "DS050": without_missing,
    "DS057": real_sizes,
    "DS070": written_anew("DS070", "<filename> written as the image's own"),
    "DS071": written_anew("DS071", "<filename> written as the image's own"),
    "DS074": written_anew("DS074", "names left out that the list had already"),
    "DS077": written_anew("DS077", "listed names without annotation file left out"),
    "DS020": unique_ids,
    "DS024": ids_from_one,
    "DS023": known_images,
    "DS030": known_classes,
    "DS031": same_classes,
    "DS032": used_classes,
    "DS045": finite,
    "DS047": corners_to_sizes,
    "DS041": straight_corners,
    "DS042": inside,
    "DS043": not_outside,
    "DS040": not_empty,
    "DS046": unlike,
    "DS014": with_area,
    "DS016": true_area,
    "DS015": with_crowd,
}
# Faults whose item a reader left out: writing what is left is the repair.
LEFT_OUT = frozenset(("DS045", "DS074", "DS077"))
# What the reader of a labelling tool's files tells of a single box, which may be left out; in COCO
# and VOC it may be an image.
LOST_BOXES = frozenset(("DS011", "DS012", "DS081"))
WITH_IMAGES = frozenset(("coco", "voc"))
