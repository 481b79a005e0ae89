"""PaddleDetection's configs: a YAML and its `_BASE_` chain, resolved as PaddleDetection does it.

What `ppdet/core/workspace.py` (v2.6.0 to develop) does, found by reading and by comparing with
it: every file is merged into one dict in the order in which the chain is read, bases before the
file that names them; dicts merge key by key, anything else replaces; an alias is the same dict
as its anchor. Nothing is constructed: a tagged value such as `!CosineDecay` stays data.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobgen.errors import SpecError
from jobgen.findings import Findings
from jobgen.yamlio import Document, Tagged, YamlError, YamlPath, load, load_file, plain

BASE_KEY = "_BASE_"


@dataclass(frozen=True)
class Origin:
    """Where a value was set: a file, and a line from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Resolved:
    """A config: its values, the origin of each by its path, and the files in their order; `unread`
    are bases that are there and whose text is not known.

    `findings` are what PaddleDetection takes without a word: a key that is there twice. What it
    would stop at is an error among them: a missing base, a cycle, a tag that constructs.
    """

    config: dict[str, Any] = field(default_factory=dict)
    origins: dict[YamlPath, Origin] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def origin(self, path: Iterable[str | int]) -> Origin | None:
        """The origin of a value, or of the nearest thing around it."""
        parts = tuple(path)
        while parts and parts not in self.origins:
            parts = parts[:-1]
        return self.origins.get(parts)


def resolve(
    path: Path, texts: Mapping[str, str] | None = None, there: Collection[str] = ()
) -> Resolved:
    """Resolve a config. Faults are among its findings; only an unreadable `path` itself raises.

    With `texts` the files are those, by their posix path, and no disk is read; `there` are paths of
    files that exist without their text being known. Raises OSError and SpecError.
    """
    found = Resolved()
    _read(_Chain(found, texts, there), path, ())
    return found


@dataclass
class _Chain:
    """Reads a file after the files that it names."""

    found: Resolved
    texts: Mapping[str, str] | None
    there: Collection[str]

    def document(self, path: Path) -> Document:
        if self.texts is None:
            return load_file(path, "yaml11", lenient=True)
        name = posixpath.normpath(path.as_posix())
        if name not in self.texts:
            raise FileNotFoundError(errno.ENOENT, "it is not there", name)
        return load(self.texts[name], name, "yaml11", lenient=True)

    def key(self, path: Path) -> str:
        """The same for one file, however it is named."""
        if self.texts is None:
            return str(path.resolve())
        return posixpath.normpath(path.as_posix())


def _read(files: _Chain, path: Path, chain: tuple[str, ...]) -> None:
    found = files.found
    document = files.document(path)
    found.files.append(path)
    for line, message in document.faults:
        found.findings.warning("CF010", message, f"{path}:{line}")
    own = document.value
    if not isinstance(own, dict):
        found.findings.error("CF011", "the file holds no keys and values", f"{path}:1")
        return
    for number, base in enumerate(_bases(own, document, found)):
        place = f"{path}:{document.line((BASE_KEY, number))}"
        target = _base_path(path, base)
        try:
            if files.key(target) in (*chain, files.key(path)):
                text = f"{base} leads back to a file that is being read"
                found.findings.error("CF012", text, place)
                continue
            _read(files, target, (*chain, files.key(path)))
        except YamlError as error:
            found.findings.error("CF011", error.message, place)
        except (OSError, ValueError) as error:
            if files.key(target) in files.there:
                found.unread.append(base)
                continue
            said = error.strerror if isinstance(error, OSError) else error
            found.findings.error("CF013", f"the base {base} can't be read: {said}", place)
    own.pop(BASE_KEY, None)
    _merge(found, found.config, own, (), document)


def _bases(own: dict[str, Any], document: Document, found: Resolved) -> list[str]:
    bases = own.get(BASE_KEY, [])
    if isinstance(bases, list) and all(isinstance(base, str) for base in bases):
        return bases
    place = f"{document.source}:{document.line((BASE_KEY,))}"
    found.findings.error("CF011", f"{BASE_KEY} is a list of file names, got {bases!r}", place)
    return []


def _base_path(path: Path, base: str) -> Path:
    # As the shell's: of a user whom nobody knows it stays what it is.
    return path.parent / os.path.expanduser(base)  # noqa: PTH111


def _merge(
    found: Resolved, into: dict[str, Any], values: dict[str, Any], path: YamlPath, source: Document
) -> None:
    for key, value in values.items():
        here = (*path, key)
        if isinstance(into.get(key), dict) and isinstance(value, dict):
            _merge(found, into[key], value, here, source)
            continue
        into[key] = value
        for old in [known for known in found.origins if known[: len(here)] == here]:
            del found.origins[old]
        found.origins.update(_origins(value, here, source))


def _origins(value: Any, path: YamlPath, source: Document) -> dict[YamlPath, Origin]:
    """The origin of a value and of everything in it."""
    found = {path: Origin(source.source, source.line(path))}
    inner = value.value if isinstance(value, Tagged) else value
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(inner, dict):
        items = inner.items()
    elif isinstance(inner, list):
        items = enumerate(inner)
    for key, item in items:
        found.update(_origins(item, (*path, key), source))
    return found


def flat(config: Any, path: YamlPath = ()) -> Iterator[tuple[YamlPath, Any]]:
    """Every value of a config that holds no others, with its path; a tagged one is one value."""
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from flat(value, (*path, key))
    elif isinstance(config, list) and any(isinstance(item, dict) for item in config):
        for number, item in enumerate(config):
            yield from flat(item, (*path, number))
    else:
        yield path, plain(config) if isinstance(config, Tagged) else config


def dotted(path: YamlPath) -> str:
    return ".".join(map(str, path))


def is_config(path: Path) -> bool:
    """Whether a YAML is a config of PaddleDetection by itself, not job.yaml."""
    try:
        value = load_file(path, "yaml11", lenient=True).value
    except (OSError, SpecError):
        return False
    keys = [str(key) for key in value] if isinstance(value, dict) else []
    ours = {"environment", "dataset", "model"} & set(keys)
    theirs = {BASE_KEY, "architecture", "metric"} & set(keys)
    return bool(theirs or not ours) and bool(keys)
