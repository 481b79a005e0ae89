"""What a JSON file is, by the keys in its first lines, and JSON as it is read."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats.places import HEAD
from jobgen.errors import DatasetError

# A key, as it stands before its colon.
KEY = re.compile(rb'"([A-Za-z_]\w{0,30})"\s*:')
SEEN = " keys of JSON"


def json_marks(files: Contents, name: str) -> frozenset[str]:
    """The keys in the first lines of a JSON file; none where it can't be read."""
    known: dict[str, frozenset[str]] = files.memo.setdefault(SEEN, {})
    if name not in known:
        try:
            known[name] = frozenset(k.decode() for k in KEY.findall(files.head(name, HEAD)))
        except DatasetError:
            known[name] = frozenset()
    return known[name]


def json_files(files: Contents) -> list[str]:
    return [name for name in files.names if name.lower().endswith(".json")]


def plain_utf8(data: bytes) -> bytes:
    """JSON as UTF-8 without a mark; GBK is decoded first, as Chinese Windows writes it."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace").encode()
    return data


def read_json(files: Contents, name: str, kind: Any = Any) -> Any:
    """What a JSON file holds. Raises DatasetError with the reason where it can't be read."""
    try:
        return msgspec.json.decode(plain_utf8(files.read(name)), type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DatasetError(f"it is no JSON of this kind: {error}") from error
