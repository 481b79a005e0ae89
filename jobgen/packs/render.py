"""Template packs: folders of Jinja2 notebook cells and YAML files, one over the other.

A pack may extend another, and a job may lay a folder of its own over its pack: of each file the
topmost is rendered, and `{% extends "base/..." %}` in it means the same file one layer down.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import linecache
import sys
import threading
import tokenize
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from jobgen.errors import TemplateError
from jobgen.literals import to_source
from jobgen.packs.disk import (
    CELL_FILE,
    EJECTED,
    JOB_FOLDER,
    PARTS,
    Layer,
    Parameter,
    StageTemplate,
    find_pack,
    read_layer,
)
from jobgen.yamlio import dump_block, dump_scalar

BASE = "base/"
# The longest of jobgen's own takes some milliseconds.
RENDER_SECONDS = 20.0
# From 3.12 on a formatted string is several tokens.
STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@dataclass(frozen=True)
class Pack:
    """A pack as a job uses it: its layers, the lowest first."""

    layers: tuple[Layer, ...]

    @property
    def top(self) -> Layer:
        """The pack that the job names: a folder of the job's own is no pack."""
        return next(layer for layer in reversed(self.layers) if not layer.of_job)

    @property
    def has_job_layer(self) -> bool:
        return self.layers[-1].of_job

    @property
    def name(self) -> str:
        return self.top.name

    @property
    def version(self) -> int:
        return self.top.version

    @cached_property
    def stages(self) -> tuple[StageTemplate, ...]:
        found: dict[str, StageTemplate] = {}
        for layer in self.layers:
            found.update(layer.stages)
        return tuple(found.values())

    @property
    def optional(self) -> tuple[str, ...]:
        """The stages that a job may name, in the order of the notebook."""
        order = [name for _, name, _ in self.cells()]
        names = [stage.name for stage in self.stages if stage.optional]
        lost = sorted(set(names) - set(order))
        if lost:
            raise TemplateError(
                f"the pack {self.name} has the stage {lost[0]}, but no notebook/NN_{lost[0]}.py.j2"
            )
        return tuple(sorted(names, key=order.index))

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for layer in self.layers:
            found.update(layer.parameters)
        return found

    @property
    def augment(self) -> dict[str, Any]:
        """What the packs set of the job's `augment`, where the job does not."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            found.update(layer.augment)
        return found

    @cached_property
    def modules(self) -> dict[str, str]:
        """The runtime modules that packs bring: Python 3.7, name to source."""
        found: dict[str, str] = {}
        for layer in self.layers:
            found.update(layer.modules)
        return found

    @cached_property
    def files(self) -> dict[str, str]:
        """The topmost text of each file."""
        found: dict[str, str] = {}
        for layer in self.layers:
            found.update(layer.files)
        return found

    def words(self, language: str) -> dict[str, Any]:
        """The words of a language, those of upper layers over those of lower. Raises
        TemplateError where no layer has any."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            found = _over(found, layer.words.get(language, {}))
        if not found:
            raise TemplateError(f"the pack {self.name} has no words in {language}")
        return found

    def faults(self, given: dict[str, Any]) -> dict[str, str]:
        """Of the parameters that a job gives, those that can't be taken, and why."""
        known = ", ".join(self.parameters) or "none"
        found = {}
        for name, value in given.items():
            fault: str | None = f"the pack {self.name} has no such parameter; it has {known}"
            if name in self.parameters:
                fault = self.parameters[name].fault(value)
            if fault:
                found[name] = fault
        return found

    def with_defaults(self, given: dict[str, Any]) -> dict[str, Any]:
        """The value of every parameter, the given ones being sound."""
        return {name: given.get(name, row.default) for name, row in self.parameters.items()}

    def origin(self, path: str) -> Layer:
        """The layer whose text of a file is rendered."""
        return next(layer for layer in reversed(self.layers) if path in layer.files)

    @cached_property
    def _jinja(self) -> jinja2.Environment:
        environment = _Layered(
            self.layers,
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        environment.filters.update(
            py=to_source, yaml=dump_scalar, yaml_block=dump_block, inside=inside
        )
        return environment

    def render(self, name: str, values: dict[str, Any]) -> str:
        """One file of the pack with `values`. Raises TemplateError with pack, file, line, the line
        itself, and for an unknown variable those that there are."""
        try:
            self._refuse_strange_blocks(name)
            template = self._jinja.get_template(self._topmost(name))
            return within(RENDER_SECONDS, lambda: template.render(values))
        except TimeoutError as error:
            raise TemplateError(
                f"{self.name}/{name}: it was not rendered within {RENDER_SECONDS:.0f} s",
                "It loops over too much, or for ever.",
            ) from error
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                _placed(error.filename or name, error.lineno, str(error.message))
            ) from error
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"{self.name}/{name}: there is no template {error}") from error
        except RENDER_FAULTS as error:
            hint = f"A template here may use: {', '.join(sorted(values))}"
            frames = traceback.extract_tb(sys.exc_info()[2])
            found = [frame for frame in frames if frame.filename.endswith(".j2")]
            if not found:
                raise TemplateError(f"{self.name}/{name}: {error}", hint) from error
            said = str(error) or type(error).__name__
            place = _placed(found[-1].filename, found[-1].lineno or 1, said)
            raise TemplateError(place, hint) from error

    def _topmost(self, name: str) -> str:
        """A file by the layer that has it, so that it is compiled once under one name. Raises
        TemplateNotFound."""
        holders = [n for n, layer in enumerate(self.layers, 1) if name in layer.files]
        if not holders:
            raise jinja2.TemplateNotFound(name)
        return f"{holders[-1]}//{name}"

    def _refuse_strange_blocks(self, name: str) -> None:
        """A block that no layer below has is rendered nowhere. Raises TemplateError."""
        holders = [n for n, layer in enumerate(self.layers) if name in layer.files]
        known: set[str] = set()
        for number in holders:
            text = self.layers[number].files[name]
            blocks = self._jinja.get_template(f"{number + 1}//{name}").blocks
            strange = sorted(set(blocks) - known)
            if known and strange and "extends" in text:
                line = next(
                    (n for n, row in enumerate(text.splitlines(), 1) if strange[0] in row), 1
                )
                close = difflib.get_close_matches(strange[0], sorted(known), 1)
                hint = f"Did you mean {close[0]}? " if close else ""
                raise TemplateError(
                    _placed(
                        str(self.layers[number].folder / name), line,
                        f"no layer below has a block {strange[0]}, so it would stand nowhere",
                    ),
                    f"{hint}There are: {', '.join(sorted(known))}",
                )  # fmt: skip
            known |= set(blocks)

    def cells(self) -> list[tuple[str, str, str]]:
        """(file, name, `py` or `md`) of the notebook's templates, in their order."""
        found = []
        for path in self.files:
            folder, _, name = path.rpartition("/")
            match = CELL_FILE.fullmatch(name)
            if folder == "notebook" and match:
                # The text of a stage stands above its code.
                order = (match[1], match[3] == "py", match[2])
                found.append((order, (path, match[2], match[3])))
        return [row for _, row in sorted(found)]


def within(seconds: float, work: Callable[[], str]) -> str:
    """What `work` gives. Raises TimeoutError after so many seconds: then its thread goes on until
    the process ends, since nothing can stop it."""
    found: list[str] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            faults.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError
    if faults:
        raise faults[0]
    return found[0]


# Whatever a template can bring about while it is rendered.
RENDER_FAULTS = (
    *(jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError),
    *(AttributeError, RecursionError, MemoryError),
)


class _Layered(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Names are `N//path` inside, N the number of the layer."""

    def __init__(self, layers: tuple[Layer, ...], **options: Any) -> None:
        super().__init__(loader=jinja2.FunctionLoader(self._load), **options)
        self._layers = layers

    def _load(self, name: str) -> tuple[str, str, Any] | None:
        below, path = len(self._layers), name
        if "//" in name:
            number, _, path = name.partition("//")
            below = int(number)
        for layer in reversed(self._layers[:below]):
            if path in layer.files:
                shown = f"{layer.folder / path}"
                # Jinja's traceback shows no text of its own.
                text = layer.files[path]
                linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
                return text, shown, lambda: True
        return None

    def join_path(self, template: str, parent: str) -> str:
        if not template.startswith(BASE):
            return template
        below = int(parent.partition("//")[0]) if "//" in parent else len(self._layers)
        own = parent.partition("//")[2] or parent
        while template.startswith(BASE):
            # The layer that this is said in is the topmost below the number that has the file.
            below = max((n for n in range(below) if own in self._layers[n].files), default=0)
            template = template.removeprefix(BASE)
        return f"{below}//{template}"


def inside(text: str, steps: int = 1) -> str:
    """A block's lines as they stand in a stage: so many steps in, however they were written."""
    if not text.strip():
        return ""
    lines = text.strip("\n").splitlines()
    held = _inside_strings("\n".join(lines))
    own = [line for n, line in enumerate(lines) if n not in held and line.strip()]
    spare = min(len(line) - len(line.lstrip(" ")) for line in own)
    put = [
        line if n in held else ("    " * steps + line[spare:] if line.strip() else "")
        for n, line in enumerate(lines)
    ]
    return "\n".join(put) + "\n"


def _inside_strings(text: str) -> set[int]:
    """The lines of a piece of Python that begin inside a string of several lines: what stands
    there is the string's, and is not moved. None where the piece can't be read yet."""
    if not any(sign in text for sign in ('"""', "'''", "\\\n")):
        return set()
    # A piece that stands in a stage is indented, which Python takes below an `if` only.
    reader = io.StringIO("if True:\n" + text if text[:1] == " " else text).readline
    first = 2 if text[:1] == " " else 1
    found: set[int] = set()
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(reader):
            if token.type in STRINGS:
                found.update(range(token.start[0] + 1 - first, token.end[0] + 1 - first))
    return found


def _placed(file: str, line: int, message: str) -> str:
    text = linecache.getline(file, line).rstrip()
    parts = Path(file).parts
    start = max((n for n, part in enumerate(parts) if part in ("notebook", "config")), default=-1)
    shown = "/".join(parts[max(0, start - 1) :]) if start >= 0 else file
    return f"{shown}:{line}: {message}" + (f"\n    {text.strip()}" if text else "")


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _over(found[key], value) if both else value
    return found


def load_pack(folder: Path) -> Pack:
    """Read a pack and those it extends. Raises TemplateError where a template.yaml or a file
    can't be meant."""
    layers: list[Layer] = []
    seen: list[Path] = []
    while True:
        if folder.resolve() in seen:
            raise TemplateError(f"{folder}: the pack extends itself")
        seen.append(folder.resolve())
        layer = read_layer(folder)
        layers.insert(0, layer)
        if not layer.extends:
            return Pack(tuple(layers))
        folder = find_pack(layer.extends, folder, seen)


def load_job_pack(name: str, beside: Path) -> Pack:
    """The pack of a job, with the job's own `templates/` over it where there is one."""
    pack = load_pack(find_pack(name, beside))
    own = beside / JOB_FOLDER
    if own.is_symlink():
        raise TemplateError(
            f"{own} is a link to {own.readlink()}",
            "Put a copy in its place, or name that folder in job.yaml: template: PATH",
        )
    if not any((own / part).exists() for part in PARTS):
        return pack
    return Pack((*pack.layers, read_layer(own, JOB_FOLDER)))


def stale_files(pack: Pack) -> list[str]:
    """Of the files that a job ejected those that its pack has changed since, or has no more."""
    if not pack.has_job_layer:
        return []
    own, below = pack.layers[-1], Pack(pack.layers[:-1])
    found = []
    for path in own.files:
        before = own.folder / EJECTED / path
        if before.is_file() and below.files.get(path) != before.read_text(encoding="utf-8"):
            found.append(path)
    return found
