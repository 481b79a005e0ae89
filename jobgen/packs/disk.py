"""What a template pack is on disk: its folder, where packs are looked for, what it may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobgen.errors import TemplateError
from jobgen.resources import templates_dir
from jobgen.settings import settings_file
from jobgen.spec import Augment
from jobgen.yamlio import YamlError, load_file

CELL_FILE = re.compile(r"(\d\d)_([a-z0-9_]{1,60})\.(py|md)\.j2")
# Beside a job.yaml: what this one job has otherwise.
JOB_FOLDER = "templates"
PARTS = ("template.yaml", "notebook", "config", "words", "runtime")
# In it, untouched copies of the files that were ejected from a pack.
EJECTED = ".ejected"
WORDS: dict[type, str] = {str: "text", int: "a whole number"}
KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
KEYS = {"name", "version", "description", "extends", "parameters", "stages", "augment"}


@dataclass(frozen=True)
class StageTemplate:
    """A stage of a pack. An `optional` one stands in the notebook where the job names it."""

    name: str
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
    files: dict[str, str] = field(default_factory=dict)
    words: dict[str, dict[str, Any]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    # A job's own folder: it changes a pack and is none.
    of_job: bool = False


def search_path() -> list[tuple[str, Path]]:
    """(kind, folder) where packs are looked for by name, the first that has one wins: the
    built-in ones, the project's own, the user's. What lies in a folder by chance never takes the
    place of a pack that everybody knows."""
    found = [
        ("built-in", templates_dir()),
        ("project", Path.cwd() / "templates"),
        ("user", settings_file().parent / "templates"),
    ]
    seen: set[Path] = set()
    kept = []
    for kind, folder in found:
        real = folder.resolve()
        if real not in seen and folder.is_dir():
            kept.append((kind, folder))
        seen.add(real)
    return kept


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
    place = (beside or Path()).resolve()
    hint = f"There are: {', '.join(known)} (in {searched}). A path is relative to {place}"
    raise TemplateError(f"there is no template pack {name}", hint)


def read_layer(folder: Path, name: str = "") -> Layer:
    """One folder of templates; `name` where it needs no template.yaml. Raises TemplateError."""
    path = folder / "template.yaml"
    _refuse_links(folder)
    try:
        data = load_file(path).value if path.is_file() or not name else {}
        strange = sorted(set(data) - KEYS)
        if strange:
            old = "Modules need no list: a notebook carries what its cells import."
            raise TemplateError(
                f"{path}: unknown key {strange[0]}; there are {', '.join(sorted(KEYS))}",
                old if strange[0] == "runtime" else None,
            )
        for key, kind in (("name", str), ("version", int), ("description", str), ("extends", str)):
            if type(data.get(key, kind())) is not kind:
                raise TemplateError(f"{path}: {key} is {data[key]!r}, not {WORDS[kind]}")
        paths = sorted((folder / "words").glob("*.yml"))
        words = {p.stem: load_file(p).value or {} for p in paths}
        strange = [key for key, value in words.items() if not isinstance(value, dict)]
        if strange:
            raise TemplateError(f"{folder / 'words' / strange[0]}.yml: words are keys and values")
        files = _texts(folder, "*.j2")
        _refuse_unread(folder, files)
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
            files,
            words,
            _modules(folder),
            bool(name),
        )
    except YamlError as error:
        raise TemplateError(error.message) from error
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TemplateError(f"{folder}: the pack can't be read ({reason})") from error


def _modules(folder: Path) -> dict[str, str]:
    """The pack's own modules, name to source: files in runtime/, none below."""
    found = {}
    for key, text in _texts(folder, "*.py").items():
        place, _, name = key.partition("/")
        if place != "runtime":
            continue
        if not re.fullmatch(r"[A-Za-z]\w*\.py", name):
            raise TemplateError(
                f"{folder / key} can't be imported",
                "A module is runtime/NAME.py: letters, digits and _, and no folder below.",
            )
        found[name.removesuffix(".py")] = text
    return found


def _refuse_unread(folder: Path, files: Iterable[str]) -> None:
    """Raise TemplateError for a template whose name keeps it out of every bundle."""
    for path in files:
        place, _, cell = path.partition("/")
        if not cell or (place == "notebook" and not CELL_FILE.fullmatch(cell)):
            raise TemplateError(
                f"{folder / path} is never read",
                "A cell is notebook/NN_name.py.j2 or .md.j2: two digits, then a-z, 0-9 and _.",
            )


def _refuse_links(folder: Path) -> None:
    """A link could carry any file of this machine into a bundle, which others read."""
    for place, folders, names in os.walk(folder):
        for name in sorted((*folders, *names)):
            path = Path(place, name)
            if path.is_symlink():
                raise TemplateError(
                    f"{path} is a link to {path.readlink()}",
                    "Templates are files of their own: put a copy in its place.",
                )


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


def _stage(name: str, row: dict[str, Any] | None) -> StageTemplate:
    strange = sorted(set(row or {}) - {"optional"})
    if strange:
        raise TemplateError(
            f"stages.{name}.{strange[0]} is no key of a stage",
            "Modules need no list: a notebook carries what its cells import.",
        )
    return StageTemplate(name, (row or {}).get("optional", False))


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
