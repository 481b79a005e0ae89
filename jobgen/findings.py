"""What a check has to say: a code, a severity, a place, a message and a remedy."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jobgen.language import label, translated
from jobgen.text import one_line, wide


class Severity(enum.Enum):
    """How much a finding weighs: an error stops, a warning and a note don't."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    `place` is `file:line`, a file or a key. `count` is how often it is there, `examples` the
    first few places; `why` what training would make of it, `hint` what to do.
    """

    code: str
    severity: Severity
    message: str
    place: str = ""
    hint: str = ""
    why: str = ""
    count: int = 1
    examples: tuple[str, ...] = ()

    def text(self, explain: bool = True) -> str:
        """One line, with examples at its end; the reason and the remedy below it."""
        where = f"{self.place}: " if self.place else ""
        weight = label(self.severity.value)
        line = f"{weight:<{8 - wide(weight)}}{self.code}  {where}{translated(self.message)}"
        if self.examples:
            more = ", ..." if self.count > len(self.examples) else ""
            line += f"    {', '.join(self.examples)}{more}"
        # A class or file name may hold anything, escape sequences of a terminal too.
        line = one_line(line)
        why, hint = translated(self.why), translated(self.hint)
        fix = label("Fix: {hint}").replace("{hint}", hint)
        below = [why, fix if why and hint else hint]
        below = below if explain else []
        return "\n".join([line, *(f"{'':<15}{text}" for text in below if text)])


class Findings:
    """Findings in the order they were made."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._all = list(findings)

    def add(self, finding: Finding) -> None:
        self._all.append(finding)

    def error(self, code: str, message: str, place: str = "", hint: str = "") -> None:
        self.add(Finding(code, Severity.ERROR, message, place, hint))

    def warning(self, code: str, message: str, place: str = "", hint: str = "") -> None:
        self.add(Finding(code, Severity.WARNING, message, place, hint))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self._all if finding.severity is Severity.ERROR]

    def text(self) -> str:
        """All of them; what one code means and needs is said once."""
        told: set[tuple[str, str]] = set()
        lines = []
        for finding in self._all:
            lines.append(finding.text(explain=(finding.code, finding.hint) not in told))
            told.add((finding.code, finding.hint))
        return "\n".join(lines)

    def summary(self) -> str:
        """`2 errors, 1 note`; `nothing found` for none."""
        counts = [(s, sum(f.severity is s for f in self._all)) for s in Severity]
        said = [f"{n} {s.value}{'s' if n > 1 else ''}" for s, n in counts if n]
        return ", ".join(said) or "nothing found"
