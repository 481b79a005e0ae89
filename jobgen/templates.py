"""Template packs: folders of Jinja2 notebook cells and YAML files, one over the other.

A pack may extend another, and a job may lay a folder of its own over its pack: of each file the
topmost is rendered, and `{% extends "base/..." %}` in it means the same file one layer down.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
import tokenize
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
from pydantic import ValidationError

from jobgen.errors import TemplateError
from jobgen.literals import to_source
from jobgen.resources import templates_dir
from jobgen.settings import settings_file
from jobgen.spec import Augment
from jobgen.yamlio import YamlError, dump_block, dump_scalar, load_file

CELL_FILE = re.compile(r"(\d\d)_([a-z0-9_]{1,60})\.(py|md)\.j2")
# Modules and child scripts are named, never reached by a path.
MODULE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# Beside a job.yaml: what this one job has otherwise.
JOB_FOLDER = "templates"
PARTS = ("template.yaml", "notebook", "config", "words", "runtime")
BASE = "base/"
# In it, untouched copies of the files that were ejected from a pack.
EJECTED = ".ejected"
WORDS: dict[type, str] = {str: "text", int: "a whole number"}
KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
# From 3.12 on a formatted string is several tokens.
STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
KEYS = {"name", "version", "description", "extends", "parameters", "stages", "augment", "runtime"}


@dataclass(frozen=True)
class StageTemplate:
    """A stage of a pack: the runtime modules its cell calls and the child scripts they start. An
    `optional` one stands in the notebook where the job names it."""

    name: str
    runtime: tuple[str, ...]
    scripts: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Parameter:
    """What a job may set of its pack: `kind` is text, integer, number or boolean; the limits are
    None, and `choices` empty, where there are none."""

    name: str
    kind: str
    default: Any
    help: str = ""
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    pattern: str | None = None

    def fault(self, value: Any) -> str | None:
        """Why a value can't be taken, or None."""
        if type(value) not in KINDS[self.kind]:
            return f"{value!r} is no {self.kind}"
        if self.choices and value not in self.choices:
            return f"{value!r} is none of {', '.join(map(str, self.choices))}"
        if self.least is not None and value < self.least:
            return f"{value!r} is less than {self.least:g}"
        if self.most is not None and value > self.most:
            return f"{value!r} is more than {self.most:g}"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return f"{value!r} is not like {self.pattern}"
        return None

    def corners(self) -> list[Any]:
        """The values at which a template is most likely to break."""
        if self.kind == "boolean":
            return [False, True]
        if self.choices:
            return list(self.choices)
        ends = [end for end in (self.least, self.most) if end is not None]
        if self.kind == "integer":
            ends = [int(end) for end in ends]
        awkward = []
        if self.kind == "text" and self.pattern is None:
            awkward = ["\"'\\{{ x }} {% y %} 中文"]
        return list(dict.fromkeys([self.default, *ends, *awkward]))


@dataclass(frozen=True)
class Layer:
    """One folder of templates, read whole: rendering needs no disk."""

    name: str
    version: int
    folder: Path
    description: str = ""
    extends: str = ""
    stages: dict[str, StageTemplate] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)
    runtime: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    words: dict[str, dict[str, Any]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    # A job's own folder: it changes a pack and is none.
    of_job: bool = False


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

    @property
    def runtime(self) -> tuple[str, ...]:
        """The runtime modules that stand in every notebook, whatever its stages."""
        return tuple(dict.fromkeys(name for layer in self.layers for name in layer.runtime))

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

    def settle(self, given: dict[str, Any]) -> dict[str, Any]:
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
            return self._jinja.get_template(name).render(values)
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
                linecache.cache[shown] = (len(text), None, text.splitlines(True), shown)
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


def search_path() -> list[tuple[str, Path]]:
    """(kind, folder) where packs are looked for by name, the first that has one wins: the
    project's own, the user's, the built-in ones."""
    found = [
        ("project", Path.cwd() / "templates"),
        ("user", settings_file().parent / "templates"),
        ("built-in", templates_dir()),
    ]
    seen: set[Path] = set()
    kept = []
    for kind, folder in reversed(found):
        real = folder.resolve()
        if real not in seen and folder.is_dir():
            kept.append((kind, folder))
        seen.add(real)
    return kept[::-1]


def known_packs() -> list[tuple[str, Path]]:
    """(kind, folder) of every pack that a name finds, those that are shadowed too."""
    return [
        (kind, path)
        for kind, folder in search_path()
        for path in sorted(folder.iterdir())
        if (path / "template.yaml").is_file()
    ]


def find_pack(name: str, beside: Path | None = None, seen: Sequence[Path] = ()) -> Path:
    """The folder of a pack: a name on the search path, or a path (relative to `beside`). Folders
    in `seen` are passed over: a pack may extend the one whose name it has."""
    if re.fullmatch(r"[\w-]+", name):
        for _, path in known_packs():
            if path.name == name and path.resolve() not in seen:
                return path
    path = (beside or Path()) / Path(name).expanduser()
    if (path / "template.yaml").is_file():
        return path
    known = sorted({path.name for _, path in known_packs()})
    searched = ", ".join(str(place) for _, place in search_path())
    hint = f"There are: {', '.join(known)} (in {searched}). A path is as seen from {path.parent}."
    raise TemplateError(f"there is no template pack {name}", hint)


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


def read_layer(folder: Path, name: str = "") -> Layer:
    """One folder of templates; `name` where it needs no template.yaml."""
    path = folder / "template.yaml"
    try:
        data = load_file(path).value if path.is_file() or not name else {}
        strange = sorted(set(data) - KEYS)
        if strange:
            raise TemplateError(f"{path}: unknown key {strange[0]}; there are {', '.join(KEYS)}")
        for key, kind in (("name", str), ("version", int), ("description", str), ("extends", str)):
            if type(data.get(key, kind())) is not kind:
                raise TemplateError(f"{path}: {key} is {data[key]!r}, not {WORDS[kind]}")
        paths = sorted((folder / "words").glob("*.yml"))
        words = {p.stem: load_file(p).value or {} for p in paths}
        strange = [key for key, value in words.items() if not isinstance(value, dict)]
        if strange:
            raise TemplateError(f"{folder / 'words' / strange[0]}.yml: words are keys and values")
        files = _texts(folder, "*.j2")
        for path_of in files:
            place, _, cell = path_of.partition("/")
            if not cell or (place == "notebook" and not CELL_FILE.fullmatch(cell)):
                raise TemplateError(
                    f"{folder / path_of} is never read",
                    "A cell is notebook/NN_name.py.j2 or .md.j2: two digits, then a-z, 0-9 and _.",
                )
        return Layer(
            name or data["name"],
            data.get("version", 0) if name else data["version"],
            folder,
            data.get("description", ""),
            data.get("extends", ""),
            {key: _stage(key, row) for key, row in (data.get("stages") or {}).items()},
            {
                key: _parameter(path, key, row)
                for key, row in (data.get("parameters") or {}).items()
            },
            _augment(data.get("augment") or {}),
            _modules(data.get("runtime", ())),
            files,
            words,
            {
                Path(key).stem: text
                for key, text in _texts(folder, "*.py").items()
                if key.startswith("runtime/")
            },
            bool(name),
        )
    except YamlError as error:
        raise TemplateError(error.message) from error
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TemplateError(f"{folder}: the pack can't be read ({reason})") from error


def _texts(folder: Path, pattern: str) -> dict[str, str]:
    """The files of one layer: no hidden ones, and none of a pack that lies in a sub-folder, as
    packs do in a project's own templates/."""
    found = {}
    for path in sorted(folder.rglob(pattern)):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and not (folder / parts[0] / "template.yaml").is_file():
            found["/".join(parts)] = path.read_text(encoding="utf-8-sig")
    return found


def _stage(name: str, row: dict[str, Any]) -> StageTemplate:
    runtime, scripts = _modules(row.get("runtime", ())), tuple(row.get("scripts", ()))
    for script in scripts:
        if not MODULE_NAME.fullmatch(str(script).removesuffix(".py")):
            raise TemplateError(f"stages.{name}.scripts: {script!r} is no name of a child script")
    return StageTemplate(name, runtime, scripts, row.get("optional", False))


def _modules(names: Any) -> tuple[str, ...]:
    for name in names:
        if not MODULE_NAME.fullmatch(str(name)):
            raise TemplateError(f"runtime: {name!r} is no name of a module")
    return tuple(names)


def _augment(values: Any) -> dict[str, Any]:
    try:
        found = Augment.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in ("augment", *fault["loc"][:1]))
        raise TemplateError(f"template.yaml: {place}: {fault['msg']}") from error
    return {key: value for key, value in found.model_dump().items() if value is not None}


def _parameter(path: Path, name: str, row: dict[str, Any]) -> Parameter:
    kind = row.get("type", "text")
    if "default" not in row:
        raise TemplateError(f"{path}: parameters.{name}: its default is missing")
    if kind not in KINDS:
        raise TemplateError(f"{path}: parameters.{name}.type is {kind!r}, not {', '.join(KINDS)}")
    choices = tuple(row.get("choices", ()))
    limits = (row.get("least"), row.get("most"), row.get("pattern"))
    try:
        re.compile(limits[2] or "")
    except re.error as error:
        raise TemplateError(f"{path}: parameters.{name}.pattern: {error}") from error
    found = Parameter(name, kind, row["default"], row.get("help", ""), choices, *limits)
    fault = found.fault(found.default)
    if fault:
        raise TemplateError(f"{path}: parameters.{name}.default: {fault}")
    return found
