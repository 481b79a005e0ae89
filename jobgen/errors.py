"""Every error that jobgen shows to a person, with its exit code.

    JobgenError
    |- SpecError        3   job.yaml or the settings
    |- DatasetError     4   the data set
    |- TemplateError    5   a template pack
    |- BundleError      6   the files of a bundle
    |- RunError         7   a run, or the machine it needs
    '- RemoteError      8   AI Studio refuses, or can't be reached

0 is success, 1 a check that found errors, 2 wrong usage (click's own), 130 interrupted, and
INTERNAL a fault of jobgen's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

INTERNAL = 70
# What the data of others, of a shape that nobody thought of, makes code raise.
MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(OSError, MemoryError),
)


class JobgenError(Exception):
    """An error that is shown as it stands: what, where, and in `hint` what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(JobgenError):
    """job.yaml or a setting says what can't be meant; `findings` are its faults as Finding."""

    exit_code = 3

    def __init__(self, message: str, hint: str | None = None, findings: Iterable[Any] = ()) -> None:
        super().__init__(message, hint)
        self.findings = list(findings)


class DatasetError(JobgenError):
    """The data set can't be used as it is."""

    exit_code = 4


class TemplateError(JobgenError):
    """A template pack is missing something or renders something broken."""

    exit_code = 5


class BundleError(JobgenError):
    """The files of a bundle are missing, foreign or edited."""

    exit_code = 6


class RunError(JobgenError):
    """A run failed, or this machine can't run it."""

    exit_code = 7


class RemoteError(JobgenError):
    """AI Studio refuses a request, or can't be reached."""

    exit_code = 8
