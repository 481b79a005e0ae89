"""Large pictures cut into tiles, so that small objects keep their pixels.

A picture's tiles overlap and are of one size; the last of a row and of a column ends at the edge.
A box is kept in every tile that shows enough of it. What is written depends on the set and the
options alone; a killed run is resumed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import posixpath
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.convert import refuse_broken, refuse_classes, set_name
from jobgen.datasets.cutting import CutJob, Cutting, Tile
from jobgen.datasets.fix import true_sizes
from jobgen.datasets.formats.coco import record_of
from jobgen.datasets.found import job_word
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.record import DataSet, Floats, Ints, Mask, Split
from jobgen.errors import DatasetError
from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.programs.tiles import tiles_of


@dataclass(frozen=True)
class Tiling:
    """Side of a tile in pixels, the share of it that the next one shows again, the share of a
    box's area that a tile must show to have it, tiles without a box as a share of those with one,
    and the seed that chooses them."""

    size: int = 640
    overlap: float = 0.2
    keep: float = 0.4
    empty: float = 0.1
    seed: int = 1


@dataclass(frozen=True)
class Tiled:
    """What was written of a split: pictures and boxes before, tiles and boxes after, of these the
    boxes that were cut, and the boxes that no tile has."""

    pictures: int
    boxes: int
    tiles: int
    tile_boxes: int
    cut: int
    lost: int


@dataclass(frozen=True)
class _Plan:
    """The tiles of a split: of each picture its row and tiles; and the split of all tiles."""

    pictures: list[tuple[int, list[Tile]]]
    split: Split
    sizes: list[tuple[int, int]]
    figures: Tiled


def tile(
    data: DataSet, paths: Sequence[Path], target: Path, tiling: Tiling, processes: int,
    progress: Progress = silent,
) -> dict[str, Tiled]:  # fmt: skip
    """Write `target`, a zip of the set read from `paths` with its pictures in tiles, as COCO.
    Gives the figures of each split by name.

    Raises DatasetError where the set can't be written as it is, or no tile would have a box.
    """
    check_target(target)
    refuse_broken(data)
    refuse_classes(data)
    plans = {name: plan(true_sizes(data, split), tiling) for name, split in data.splits.items()}
    for name, found in plans.items():
        if not len(found.split):
            raise DatasetError(
                f"no tile of {job_word(name)} would have a box",
                "Give a smaller --keep, or larger tiles.",
            )
    root = set_name(data, target)
    entries: dict[str, Entry] = {}
    for name, found in plans.items():
        record = record_of(found.split, data.classes)
        entries[f"{root}/{job_word(name)}.json"] = coco_text(record).encode()
    parts = target.with_name(f".{target.name}.parts")
    pairs = [
        (f"{root}/images/{job_word(name)}", CutJob(path, found.sizes[row], tuple(tiles)))
        for name, found in plans.items()
        for row, tiles in found.pictures
        for path in (data.splits[name].path(row),)
    ]
    # In the order in which the archive is written.
    pairs.sort(key=lambda pair: f"{pair[0]}/{pair[1].tiles[0].name}")
    jobs = [job for _, job in pairs]
    files = data.contents
    facts = [
        asdict(tiling),
        jobs,
        [(job.path, files.sizes[job.path], files.stamp(job.path)) for job in jobs],
    ]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    with _alone(target):
        _write(data, target, entries, pairs, paths, parts / key[:16], processes, progress)
    return {name: found.figures for name, found in plans.items()}


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep others from writing the same archive. Raises DatasetError where one does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DatasetError(
            f"another jobgen is writing {target}", "Wait for it, or give another name."
        ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _write(
    data: DataSet, target: Path, entries: dict[str, Entry], pairs: Sequence[tuple[str, CutJob]],
    paths: Sequence[Path], folder: Path, processes: int, progress: Progress,
) -> None:  # fmt: skip
    """Cut the pictures into `folder`, and write the archive of `entries` and of all tiles."""
    _make_folder(folder)
    with Cutting([job for _, job in pairs], paths, folder, processes) as cutting:
        for number, (place, job) in enumerate(pairs):
            for part in job.tiles:
                entries[f"{place}/{part.name}"] = cutting.reader(number, part.name)
        write_zip(target, data.contents, entries, progress)
    shutil.rmtree(folder.parent, ignore_errors=True)


def plan(split: Split, tiling: Tiling) -> _Plan:
    """Which tiles a split has, with their boxes."""
    order = np.argsort(split.image_of, kind="stable")
    starts = np.searchsorted(split.image_of[order], np.arange(split.images + 1))
    with_box: list[Any] = []
    without: list[Any] = []
    for row in range(split.images):
        rows = order[starts[row] : starts[row + 1]]
        for corners in tiles_of(*split.size(row), tiling.size, tiling.overlap):
            kept, boxes, cut = _inside(split.boxes[rows], corners, tiling.keep)
            found = (row, corners, rows[kept], boxes, cut)
            (with_box if len(boxes) else without).append(found)
    count = min(len(without), round(tiling.empty * len(with_box)))
    chosen = with_box + random.Random(tiling.seed).sample(without, count)
    chosen.sort(key=lambda found: (found[0], found[1][1], found[1][0]))
    return _planned(split, chosen)


def _planned(split: Split, chosen: list[Any]) -> _Plan:
    names: list[str] = []
    pictures: list[tuple[int, list[Tile]]] = []
    images: list[int] = []
    for row, group in itertools.groupby(chosen, key=lambda found: found[0]):
        stem, ending = posixpath.splitext(split.image_names[row])
        tiles = []
        for _, (left, top, right, bottom), rows, _, _ in group:
            whole = (left, top) == (0, 0) and (right, bottom) == split.size(row)
            name = f"{stem}{ending}" if whole else f"{stem}_{left}_{top}{_written(ending)}"
            tiles.append(Tile(left, top, right, bottom, name))
            images += [len(names)] * len(rows)
            names.append(name)
        pictures.append((row, tiles))
    rows = np.concatenate([found[2] for found in chosen] or [np.zeros(0, np.int64)])
    boxes = np.concatenate([found[3] for found in chosen] or [np.zeros((0, 4))])
    sizes = np.array([(t.right - t.left, t.bottom - t.top) for _, ts in pictures for t in ts])
    sizes = sizes.reshape(len(names), 2)
    tiles_split = replace(
        split,
        image_names=names,
        image_ids=np.arange(1, len(names) + 1),
        widths=sizes[:, 0],
        heights=sizes[:, 1],
        box_ids=np.arange(1, len(boxes) + 1),
        image_of=np.array(images, np.int64),
        class_of=split.class_of[rows],
        boxes=boxes,
        area=boxes[:, 2] * boxes[:, 3],
        crowd=split.crowd[rows],
        ignored=split.ignored[rows],
        sources=None,
        image_items=np.zeros(0, np.int64),
        box_items=np.zeros(0, np.int64),
    )
    lost = len(split) - len(np.unique(rows))
    cut = sum(int(found[4].sum()) for found in chosen)
    figures = Tiled(split.images, len(split), len(names), len(boxes), cut, lost)
    sizes_before = [split.size(row) for row in range(split.images)]
    return _Plan(pictures, tiles_split, sizes_before, figures)


def _inside(
    boxes: Floats, corners: tuple[int, int, int, int], keep: float
) -> tuple[Ints, Floats, Mask]:
    """Which boxes (M, 4) a tile shows enough of, they themselves as its pixels have them, and
    which of them it cuts."""
    left, top, right, bottom = corners
    low = np.maximum(boxes[:, :2], (left, top))
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], (right, bottom))
    sides = np.maximum(high - low, 0)
    whole = boxes[:, 2] * boxes[:, 3]
    shown = sides[:, 0] * sides[:, 1]
    with np.errstate(all="ignore"):
        kept = np.flatnonzero((whole > 0) & (shown >= keep * whole) & (shown > 0))
    found = np.concatenate([low[kept] - (left, top), sides[kept]], axis=1)
    return kept, found, np.asarray(shown[kept] < whole[kept] * 0.999)


def _written(ending: str) -> str:
    """The ending of a tile: lossless pictures stay lossless."""
    return ending if ending.lower() in (".jpg", ".jpeg", ".png") else ".png"


def _make_folder(folder: Path) -> None:
    """The folder of what is cut already, of this very tiling; what another left is removed."""
    if folder.parent.is_dir() and not folder.is_dir():
        shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
