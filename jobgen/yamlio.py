"""YAML in and out: strict, with line numbers, and never constructing an object.

Two dialects are read. `yaml12` is job.yaml's: only `true` and `false` are
booleans and `1e-3` is a number, as people expect. `yaml11` reads PaddleDetection's
files as PyYAML reads them there, where `1e-3` is text and `no` is False.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from jobgen.errors import SpecError
from jobgen.yamlwords import TOO_DEEP, full_width_near, in_words
from jobgen_runtime.train.configure import yaml_block, yaml_scalar

Dialect = Literal["yaml12", "yaml11"]
YamlPath = tuple[str | int, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS_12 = (
    (re.compile(r"(?:|~|null|Null|NULL)"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?\d+"), int),
    (re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?"), float),
)
_MAX_DEPTH = 60
# Aliases of aliases multiply; PaddleDetection's largest config has some thousand nodes.
_MAX_NODES = 200_000
# A config of PaddleDetection has some kilobytes, a data.yaml with 10,000 classes 300.
LARGEST_YAML = 4 * 2**20


class YamlError(SpecError):
    """A file is no YAML, or YAML that jobgen does not take. `line` counts from 1."""

    def __init__(self, source: str, line: int, message: str) -> None:
        super().__init__(f"{source}:{line}: {message}")
        self.line = line


@dataclass(frozen=True)
class Tagged:
    """A value with a YAML tag of its own, kept as data: `!CosineDecay {...}`."""

    tag: str
    value: Any


@dataclass(frozen=True)
class Document:
    """A YAML document: its value, and the line (from 1) of every key and item."""

    value: Any
    lines: dict[YamlPath, int]
    source: str
    # What a lenient reading took all the same: (line, message).
    faults: tuple[tuple[int, str], ...] = ()

    def line(self, path: Iterable[str | int]) -> int:
        """The line of `path`, or of the nearest thing around it."""
        parts = tuple(path)
        while parts and parts not in self.lines:
            parts = parts[:-1]
        return self.lines.get(parts, 1)


def load(text: str, source: str, dialect: Dialect = "yaml12", lenient: bool = False) -> Document:
    """Read one document. Raises YamlError with the line.

    Refused: duplicate keys, keys that are no text, tags that would construct an
    object (`!!python/...`), aliases that contain themselves. `lenient` takes the first two
    as PyYAML does, the last of equal keys winning, and lists them among the faults.
    """
    loader = None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise YamlError(
            source, line, "half of a letter stands there, which no file can hold"
        ) from error
    if len(text) > LARGEST_YAML:
        raise YamlError(source, 1, f"it has {len(text):,} characters, more than any config")
    try:
        _check_depth(text, source)
        loader = _Loader(text)
        node = loader.get_single_node()
        reader = _Reader(source, dialect, loader, lenient)
        value = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        line, problem = in_words(error, text)
        raise YamlError(source, line, problem + full_width_near(text, line)) from error
    except yaml.YAMLError as error:
        raise YamlError(source, 1, str(error).replace("\n", " ")) from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(value, reader.lines, source, tuple(reader.faults))


def _check_depth(text: str, source: str) -> None:
    """Composing recurses, so the depth is bounded on the flat stream of events before."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise YamlError(source, line, TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def load_file(path: Path, dialect: Dialect = "yaml12", lenient: bool = False) -> Document:
    """Read a file in UTF-8. Raises YamlError; OSError where it can't be read."""
    try:
        # A device or a pipe would never end.
        if path.exists() and not path.is_file():
            raise YamlError(str(path), 1, "it is no file")
        if path.stat().st_size > LARGEST_YAML:
            raise YamlError(
                str(path), 1, f"it has {path.stat().st_size:,} bytes, more than any config"
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(str(path), 1, "it is not in UTF-8") from error
    except ValueError as error:  # a name that no file can have
        raise YamlError(repr(str(path)), 1, str(error)) from error
    return load(text, str(path), dialect, lenient)


class _Reader:
    """Turns the nodes of one document into plain data."""

    def __init__(self, source: str, dialect: Dialect, loader: Any, lenient: bool) -> None:
        self.lenient = lenient
        self.faults: list[tuple[int, str]] = []
        # An alias is the same object as its anchor, as PyYAML makes it.
        self.made: dict[int, Any] = {}
        self.sizes: dict[int, int] = {}
        self.merged: dict[int, int] = {}
        self.source = source
        self.dialect = dialect
        self.loader = loader
        self.lines: dict[YamlPath, int] = {}
        self.open: list[yaml.Node] = []
        self.nodes = 0

    def fault(self, node: yaml.Node, message: str) -> YamlError:
        return YamlError(self.source, node.start_mark.line + 1, message)

    def value(self, node: yaml.Node, path: YamlPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node in self.open:
            raise self.fault(node, "an alias contains itself")
        if self.lenient and id(node) in self.made:
            # Whoever walks it walks all of it again.
            self._count(node, self.sizes[id(node)])
            return self.made[id(node)]
        self._count(node, 1)
        before = self.nodes
        self.open.append(node)
        try:
            found = self._tagged(node, path)
        finally:
            self.open.pop()
        self.made[id(node)] = found
        self.sizes[id(node)] = self.nodes - before + 1
        return found

    def _count(self, node: yaml.Node, more: int) -> None:
        self.nodes += more
        if self.nodes > _MAX_NODES:
            raise self.fault(node, "it holds, or its aliases make, more than a config can need")

    def _merged_pairs(self, node: yaml.Node) -> int:
        """How many pairs a mapping has once what it merges (`<<`) is copied into it."""
        if id(node) in self.merged:
            return self.merged[id(node)]
        self.merged[id(node)] = 0  # what merges itself is PyYAML's to refuse
        total = 0
        if isinstance(node, yaml.SequenceNode):
            total = sum(map(self._merged_pairs, node.value))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                merges = key.tag == "tag:yaml.org,2002:merge"
                total += self._merged_pairs(value) if merges else 1
        if total > _MAX_NODES:
            raise self.fault(node, "the merges multiply to more than a config can need")
        self.merged[id(node)] = total
        return total

    def _tagged(self, node: yaml.Node, path: YamlPath) -> Any:
        if node.tag.startswith("!"):
            plain = self._plain(node, path, "!")
            return Tagged(node.tag[1:], plain)
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            raise self.fault(node, f"the tag {node.tag} would construct an object")
        return self._plain(node, path, node.tag.rsplit(":", 1)[1])

    def _plain(self, node: yaml.Node, path: YamlPath, kind: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, kind)

    def _mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, Any]:
        if self.dialect == "yaml11":
            self._merged_pairs(node)
            _Loader.flatten_mapping(self.loader, node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node, (*path, "?"))
            if not isinstance(key, str) and not (self.lenient and isinstance(key, (int, float))):
                raise self.fault(key_node, f"the key {key!r} is not text; put it in quotes")
            if key in found:
                fault = self.fault(key_node, f"the key {key!r} is there twice")
                if not self.lenient:
                    raise fault
                self.faults.append((fault.line, f"the key {key!r} is there twice; the last counts"))
            here = (*path, key)
            self.lines[here] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, here)
        return found

    def _scalar12(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        for pattern, make in _SCALARS_12:
            if pattern.fullmatch(text):
                try:
                    value = make(text)
                except ValueError as error:
                    raise self.fault(node, f"{text:.20}... is too long a number") from error
                if isinstance(value, float) and not math.isfinite(value):
                    raise self.fault(node, f"{text} is too large a number")
                return value
        return text

    def _scalar(self, node: yaml.ScalarNode, kind: str) -> Any:
        text: str = node.value
        if kind in ("str", "!"):
            if kind == "str" and self.dialect == "yaml12" and not node.style:
                return self._scalar12(node)
            return text
        if self.dialect == "yaml12":
            return self._scalar12(node) if not node.style else text
        constructor = _Loader.yaml_constructors.get(node.tag)
        try:
            return constructor(self.loader, node)
        except Exception as error:  # PyYAML's constructors take sound texts for granted
            raise self.fault(node, f"{text[:60]!r} can't be read as {kind}") from error


def plain(value: Any) -> Any:
    """A config as JSON has it: a tagged value becomes `{"!Name": {...}}`."""
    if isinstance(value, Tagged):
        return {f"!{value.tag}": plain(value.value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def dump_scalar(value: Any) -> str:
    """A value in flow style, the same for PyYAML and for this module."""
    return yaml_scalar(value)


def dump_block(values: dict[str, Any], indent: int = 0) -> str:
    """Nested dicts in block style, everything else in flow style, in the order given."""
    return yaml_block(values, indent)
