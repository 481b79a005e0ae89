"""What has to be done to a data set before a job can train on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobgen.check.dataset import check_dataset
from jobgen.check.rules import rules
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.convert import refuse_broken
from jobgen.datasets.fix import FIXES, fix
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.found import EMPTY
from jobgen.datasets.record import DataSet
from jobgen.datasets.split import Division
from jobgen.errors import DatasetError
from jobgen.findings import Findings, Severity

# Warnings whose repair decides something: what a class is, whose boxes an image has, at what scale.
DECISIONS = frozenset(("DS032", "DS043", "DS057"))


# Errors that writing the set anew cures.
OF_THE_SPLITS = frozenset(("DS096",))
# Entries that are not read, and that a new archive does not hold.
OF_THE_ARCHIVE = frozenset(("DS001", "DS002", "DS003"))


@dataclass(frozen=True)
class Needs:
    """The format to write, the codes to repair, how to deal the images out, and all of it in
    words; without words nothing is needed."""

    to: str = ""
    codes: list[str] = field(default_factory=list)
    division: Division | None = None
    lines: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lines)


def needs_of(
    data: DataSet, path: Path, division: Division, pick: int | None, progress: Progress = silent
) -> Needs:
    """What a set that was read from `path` needs. Where it is written anew, the safe repairs of
    its warnings come along."""
    anew = not _read_by_paddledetection(data) or data.train is None or data.eval is None
    findings = _findings(data, path, pick, progress)
    repaired = {f.code for f in findings if f.code in FIXES and f.code not in DECISIONS}
    errors = {finding.code for finding in findings.errors}
    if not (anew or errors & repaired):
        refuse_errors(data, findings)
        return Needs()
    refuse_errors(data, findings, OF_THE_SPLITS | (OF_THE_ARCHIVE if anew else frozenset()))
    notes = {f.code for f in findings if f.severity is Severity.NOTE}
    codes = [code for code in FIXES if code in repaired - notes]
    own = data.layout.format
    to = own if _read_by_paddledetection(data) and data.train and data.eval else "coco"
    lines = []
    if to != own:
        kind = FORMATS[own].READS.partition(" (")[0] if own in FORMATS else own
        lines = [f"make COCO of {kind}", *(f"  {line}" for line in data.losses)]
    lines += _tried(data, codes)
    lines += [
        f"{f.code} stays: {f.place}: {f.message}"
        for f in findings
        if f.severity is Severity.WARNING and f.code not in codes
    ]
    unsplit = data.train is None or data.eval is None
    if unsplit:
        _need_two(data)
        empty = [name.rpartition("/")[2] for name in data.contents.memo.get(EMPTY, ())]
        lines += [f"{name} has nothing in it" for name in empty]
        lines.append(_dealt(division))
    return Needs(to, codes, division if unsplit else None, lines)


def _need_two(data: DataSet) -> None:
    """Raise DatasetError for a set of which train and val can't both have an image."""
    images = sum(len(np.unique(split.image_of[split.image_of >= 0])) for split in data)
    if images < 2:
        raise DatasetError(
            f"{data.contents.name} has {images} image(s) with boxes; train and val need one each",
            "Label more images.",
        )


def _tried(data: DataSet, codes: list[str]) -> list[str]:
    """What the repairs would do. Raises DatasetError where they do not suffice, so that nothing
    is promised that can't be done."""
    fixed, lines = fix(data, codes, cautious=True)
    alone = [line for line in lines if "left alone" in line]
    try:
        refuse_broken(fixed, codes)
    except DatasetError as error:
        if not alone:
            raise
        asked = ",".join(dict.fromkeys(line.split()[0] for line in alone))
        raise DatasetError(
            f"too much of {data.contents.name} would be left out:\n" + "\n".join(alone),
            f"See what is wrong: jobgen check {data.contents.given}\nTo leave it out all the same: "
            f"jobgen dataset convert {data.contents.given} REPAIRED.zip --fix {asked}, then "
            "jobgen init with REPAIRED.zip",
        ) from error
    return [f"repair {line}" for line in lines if line not in alone]


def refuse_errors(
    data: DataSet, findings: Findings, cured: frozenset[str] = frozenset(("DS096",))
) -> None:
    """Raise DatasetError where a set has errors that neither a repair cures nor the way in which
    it is `cured` in any case."""
    lasting = [f for f in findings.errors if f.code not in {*FIXES, *cured}]
    if lasting:
        first = lasting[0]
        where = f"{first.place}: " if first.place else ""
        name, given = data.contents.name, data.contents.given
        more = f" ({len(lasting)} errors in all)" if len(lasting) > 1 else ""
        raise DatasetError(
            f"no job can train on {name}: {where}{first.message} ({first.code}){more}",
            f"{first.hint}\nAll of it: jobgen check {given}",
        )


def need_ready(data: DataSet, path: Path, progress: Progress = silent) -> None:
    """Raise DatasetError where a set that was made still has errors."""
    findings = _findings(data, path, None, progress)
    refuse_errors(data, findings)
    for found in findings.errors:
        raise DatasetError(
            f"{path}: {found.message} ({found.code})", f"See all of it: jobgen check {path}"
        )


def _findings(data: DataSet, path: Path, pick: int | None, progress: Progress) -> Findings:
    chosen = [rule for rule in rules().values() if rule.scope in ("set", "split")]
    return check_dataset([path], chosen, None, pick, progress=progress, files=data.contents)


def _dealt(division: Division) -> str:
    together = f", together where {division.group} finds the same" if division.group else ""
    return (
        f"deal the images out: {division.val:.0%} of each class to val, the rest to train{together}"
    )


def _read_by_paddledetection(data: DataSet) -> bool:
    module = FORMATS.get(data.layout.format)
    if module is None or not hasattr(module, "TRAINED"):
        return False
    return data.layout.format != "voc" or all("list" in split.files for split in data)
