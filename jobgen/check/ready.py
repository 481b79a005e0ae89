"""What has to be done to a data set before a job can train on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from jobgen.check.dataset import check_dataset
from jobgen.check.rules import rules
from jobgen.datasets.contents import Progress, silent
from jobgen.datasets.fix import FIXES
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.found import EMPTY
from jobgen.datasets.record import DataSet
from jobgen.datasets.split import Division
from jobgen.errors import DatasetError
from jobgen.findings import Findings, Severity

# Warnings whose repair decides something: what a class is, whose boxes an image has.
DECISIONS = frozenset(("DS032", "DS043"))


# Errors that writing the set anew cures.
OF_THE_SPLITS = frozenset(("DS096",))


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
    coco = not _read_by_paddledetection(data)
    unsplit = data.train is None or data.eval is None
    codes: dict[str, Severity] = {}
    texts: dict[str, str] = {}
    findings = _findings(data, path, pick, progress)
    refuse_errors(data, findings)
    for found in findings:
        if found.code in FIXES and found.code not in DECISIONS:
            worst = codes.get(found.code, found.severity)
            codes[found.code] = min(worst, found.severity, key=list(Severity).index)
            texts[found.code] = found.message
    faulty = any(severity is Severity.ERROR for severity in codes.values())
    if not (coco or unsplit or faulty):
        return Needs()
    wanted = [c for c, s in codes.items() if s is not Severity.NOTE]
    own = data.layout.format
    to = "coco" if coco or unsplit else own
    lines = []
    if to != own:
        kind = FORMATS[own].READS.partition(" (")[0] if own in FORMATS else own
        lines.append(f"make COCO of {kind}")
        lines += [f"  {line}" for line in data.losses]
    lines += [f"repair {code}: {texts[code]}" for code in wanted]
    if unsplit:
        empty = [name.rpartition("/")[2] for name in data.contents.memo.get(EMPTY, ())]
        lines += [f"{name} has nothing in it" for name in empty]
        lines.append(_dealt(division))
    return Needs(to, wanted, division if unsplit else None, lines)


def refuse_errors(data: DataSet, findings: Findings) -> None:
    """Raise DatasetError where a set has errors that no repair cures."""
    lasting = [f for f in findings.errors if f.code not in {*FIXES, *OF_THE_SPLITS}]
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
