"""What a check has to say: a code, a severity, a place, a message and a remedy."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class Severity(enum.Enum):
    """How much a finding weighs: an error stops, a warning and a note don't."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found. `place` is `file:line`, a file or a key."""

    code: str
    severity: Severity
    message: str
    place: str = ""
    hint: str = ""

    def text(self) -> str:
        """One line, and the hint below it."""
        where = f"{self.place}: " if self.place else ""
        line = f"{self.severity.value:<8}{self.code}  {where}{self.message}"
        return f"{line}\n{'':<15}{self.hint}" if self.hint else line


class Findings:
    """Findings in the order they were made."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._all = list(findings)

    def add(self, finding: Finding) -> None:
        self._all.append(finding)

    def error(self, code: str, message: str, place: str = "", hint: str = "") -> None:
        self.add(Finding(code, Severity.ERROR, message, place, hint))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self._all if finding.severity is Severity.ERROR]

    def text(self) -> str:
        return "\n".join(finding.text() for finding in self._all)
