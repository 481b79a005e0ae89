"""The types of what may stand in a job.yaml, whatever its task."""

from __future__ import annotations

import difflib
import re
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jobgen_runtime.data.archives import KEPT_APART

RESERVED_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))]
)


def job_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", value):
        raise ValueError("use a-z, 0-9, _ and - only, at most 40 characters")
    if value in RESERVED_NAMES:
        raise ValueError("Windows reserves this name")
    return value


def _printable(value: str) -> str:
    if any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in value):
        raise ValueError("control characters and line breaks are not allowed")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("it is no valid Unicode text") from error
    return value


def _relative(value: str) -> str:
    _printable(value)
    path = PurePosixPath(value)
    if "\\" in value or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", value):
        raise ValueError("give a path inside the data set, with / and without ..")
    for part in path.parts:
        if part.split(".")[0].lower() in RESERVED_NAMES:
            raise ValueError(f"Windows reserves the name {part}")
    return "" if value in ("", ".") else str(path)


def _not_kept_apart(value: str) -> str:
    if value.split("/")[0] == KEPT_APART:
        raise ValueError(f"{KEPT_APART} is jobgen's own folder")
    return value


def _file_name(value: str) -> str:
    if "/" in _relative(value) or not value:
        raise ValueError("give a file name without folders")
    return value


def pretrained_weights(value: str, published: tuple[str, ...]) -> str:
    """The name of published weights, `none`, or a path or address of weights, checked."""
    _printable(value)
    known = (*published, "none")
    if value.lower() in known:
        return value.lower()
    if "://" not in value:
        if not value.endswith(".pdparams"):
            close = difflib.get_close_matches(value.lower(), known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"it is none of {', '.join(known)}, and a path of weights ends in .pdparams{hint}"
            )
        return _relative(value) if not value.startswith("/") else value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https"):
        raise ValueError("only http and https addresses are fetched")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address with user, password or query would be stored in the bundle")
    if not parts.path.endswith(".pdparams"):
        raise ValueError("the address of weights ends in .pdparams")
    return parts.geturl()


Text = Annotated[str, AfterValidator(_printable)]
RelativePath = Annotated[str, AfterValidator(_relative)]
FileName = Annotated[str, AfterValidator(_file_name)]
Count = Annotated[int, Field(ge=1)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(Part):
    """A data set mounted on AI Studio: an archive, or a folder that is unpacked already."""

    id: Annotated[int, Field(ge=1)] | None = None
    archive: FileName | None = None
    folder: FileName | None = None
    into: Annotated[RelativePath, AfterValidator(_not_kept_apart)] = ""

    @model_validator(mode="after")
    def _one_of(self) -> Source:
        if (self.archive is None) == (self.folder is None):
            raise ValueError("give either archive: or folder:")
        return self
