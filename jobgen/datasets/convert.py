"""A data set in another format, or repaired in its own: a new archive, in the job's layout."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.fix import FIXES, fix
from jobgen.datasets.formats import FORMATS, coco
from jobgen.datasets.found import job_word, stem_of
from jobgen.datasets.headers import is_image
from jobgen.datasets.look import stops
from jobgen.datasets.package import Entry, check_target, write_zip
from jobgen.datasets.record import EVAL, TRAIN, UNKNOWN, DataSet, Split
from jobgen.datasets.seen import way_out
from jobgen.datasets.split import Division, divided, pooled
from jobgen.datasets.stretch import stretched
from jobgen.errors import DatasetError
from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.data.dataset import DOWNLOADED_NAMES
from jobgen_runtime.data.faults import FAULTS


@dataclass(frozen=True)
class Converted:
    """What was written: images and boxes of each split before and after, the repairs that were
    made, and what else is different, each as a line."""

    before: dict[str, tuple[int, int]]
    after: dict[str, tuple[int, int]]
    repairs: list[str]
    notes: list[str] = field(default_factory=list)
    splits: dict[str, Split] = field(default_factory=dict)
    # Of a division: the images in groups that were kept together.
    held_together: int = 0


def convert(
    data: DataSet,
    target: Path,
    to: str,
    codes: Iterable[str] = (),
    progress: Progress = silent,
    cautious: bool = False,
    division: Division | None = None,
) -> Converted:
    """Write `target`, a zip of the set in the format `to`, repaired by `codes`; `cautious` as in
    fix(). With a `division` its images are dealt out anew.

    Raises DatasetError where the set can't be written as it is, naming the repairs.
    """
    check_target(target)
    before = counts(data)
    codes = list(codes)
    data, repairs = fix(data, codes, cautious)
    refuse_broken(data, codes)
    made, lines = stretched(data, codes, progress)
    repairs += lines
    # What COCO says beyond boxes stays where its own files are written again.
    rewritten = to == data.layout.format == "coco" and all(split.source for split in data)
    if not rewritten:
        refuse_classes(data)
    notes = list(_losses(data, to, rewritten))
    held = 0
    if division is not None:
        data, dealt = divided(data, division, progress)
        held = dealt.held_together
        rewritten = rewritten and all(split.source for split in data)
    root = set_name(data, target)
    placed, copies = FORMATS[to].laid_out(data)
    if division is not None and division.folds:
        texts = _folds(placed)
    else:
        texts = _rewritten(data) if rewritten else FORMATS[to].write(placed)
    entries = _encoded(data, root, texts)
    for name, source in copies.items():
        entries[f"{root}/{name}"] = (source, made[source]) if source in made else source
    write_zip(target, data.contents, entries, progress)
    renamed = sum(
        posixpath.basename(name) != posixpath.basename(source) for name, source in copies.items()
    )
    if renamed:
        notes.append(f"{renamed} images renamed: {to} needs names of their own without spaces")
    return Converted(before, counts(data), repairs, notes, data.splits, held)


def _encoded(data: DataSet, root: str, texts: Iterable[tuple[str, str]]) -> dict[str, Entry]:
    """The text files of a set as entries of its archive. Raises DatasetError for text that is
    none."""
    try:
        return {f"{root}/{name}": text.encode() for name, text in texts}
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{data.contents.name}: a text in its annotations is no valid Unicode: {error.reason}",
            "Export the annotations again as UTF-8.",
        ) from error


def counts(data: DataSet) -> dict[str, tuple[int, int]]:
    return {split.name: (split.images, len(split)) for split in data}


def set_name(data: DataSet, target: Path) -> str:
    """The folder at the top of the new archive; one that PaddleDetection would not download."""
    name = posixpath.basename(data.layout.root) or stem_of(target.name)
    return f"{name}_set" if name.lower() in DOWNLOADED_NAMES else name


def refuse_broken(data: DataSet, repaired: Collection[str] = ()) -> None:
    """Raise DatasetError where what would be written is not the whole set, or could not be."""
    found: Counter[str] = Counter(code for code, _ in data.contents.faults if code == "DS005")
    found.update(trouble.code for trouble in data.all_troubles if stops(trouble))
    for split in data:
        found["DS023"] += int((split.image_of == UNKNOWN).sum())
        found["DS030"] += int((split.class_of == UNKNOWN).sum())
        found["DS050"] += sum(path not in data.contents.sizes for path in split.paths)
        found["DS045"] += int((~np.isfinite(split.boxes).all(axis=1)).sum())
        if not any(stops(t) for t in split.troubles):
            found["DS012"] += int(((split.widths <= 0) | (split.heights <= 0)).sum())
    codes = sorted(code for code, count in found.items() if count)
    if codes:
        titles = (f"{FAULTS.get(code, 'fault')} ({code}): {found[code]}" for code in codes)
        hint = f"See them: jobgen check {data.contents.given}"
        repairs = [code for code in codes if code in FIXES and code not in repaired]
        if repairs:
            given = data.contents.given
            hint += (
                "\nRepair them, or leave them out: "
                f"jobgen dataset convert {given} REPAIRED.zip --fix {','.join(repairs)}"
            )
        raise DatasetError(
            f"{data.contents.name} can't be written as it is: {'; '.join(titles)}", hint
        )
    for split in data:
        if not split.images:
            there = any(map(is_image, data.contents.names))
            none = "" if there else f": {data.contents.name} holds no images"
            raise DatasetError(
                f"nothing would be left of {split.place}{none}",
                f"See what is wrong with it: jobgen check {data.contents.given}"
                if there
                else f"{way_out(data.contents)}.",
            )


def refuse_classes(data: DataSet) -> None:
    """Raise DatasetError where the splits have no list of classes in common."""
    for split in data:
        if len(set(split.class_names)) < len(split.class_names):
            raise DatasetError(
                f"{split.place} has two classes of one name (DS034)", "Join or rename them first."
            )
        if set(split.class_names) != set(data.classes):
            raise DatasetError(
                f"{split.place} has other classes than {next(iter(data)).place} (DS031)",
                "One list for all: --fix DS031",
            )


def _rewritten(data: DataSet) -> Iterator[tuple[str, str]]:
    for split in data:
        yield f"{job_word(split.name)}.json", coco_text(coco.rewrite(data.contents, split))


def _folds(data: DataSet) -> Iterator[tuple[str, str]]:
    """A folder of COCO files for each fold: it is val, the others are train."""
    parts = {name: part for name, part in data.splits.items() if name != "test"}
    for name, fold in parts.items():
        others = pooled([part for other, part in parts.items() if other != name], data.classes)
        names = {TRAIN: replace(others, name=TRAIN), EVAL: replace(fold, name=EVAL)}
        if "test" in data.splits:
            names["test"] = data.splits["test"]
        for path, text in FORMATS["coco"].write(replace(data, splits=names)):
            yield f"fold{name}/{path}", text


def _losses(data: DataSet, to: str, rewritten: bool) -> Iterator[str]:
    """What the new format has no place for."""
    named = {path for split in data for path in split.paths}
    strangers = sum(is_image(name) and name not in named for name in data.contents.names)
    if strangers:
        yield f"{strangers} images that no annotation names are left out"
    if rewritten:
        return
    crowd = sum(int((split.crowd > 0).sum()) for split in data)
    if crowd:
        yield f"{crowd} crowd annotations become plain boxes"
    yield from data.losses
    left_out = getattr(FORMATS.get(data.layout.format), "LEFT_OUT", "")
    if left_out:
        yield left_out
    if to == "voc":
        used = {split.class_names[row] for split in data for row in np.unique(split.class_of)}
        unused = [name for name in data.classes if name not in used]
        if unused:
            yield f"classes without a box have no place in VOC: {', '.join(unused)}"
