"""Template packs: a folder of Jinja2 notebook cells and YAML files, and how they are rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from jobgen.errors import TemplateError
from jobgen.literals import to_source
from jobgen.resources import templates_dir
from jobgen.yamlio import YamlError, dump_block, dump_scalar, load_file

CELL_FILE = re.compile(r"(\d\d)_([a-z0-9_]+)\.(py|md)\.j2")


@dataclass(frozen=True)
class StageTemplate:
    """A stage of a pack: the runtime modules its cell calls and the child scripts they start. An
    `optional` one stands in the notebook where the job names it."""

    name: str
    runtime: tuple[str, ...]
    scripts: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Pack:
    """A template pack, read whole: rendering needs no disk."""

    name: str
    version: int
    stages: tuple[StageTemplate, ...]
    files: dict[str, str]
    words: dict[str, dict[str, Any]]

    @cached_property
    def _jinja(self) -> jinja2.Environment:
        environment = jinja2.sandbox.SandboxedEnvironment(
            loader=jinja2.DictLoader(self.files),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        environment.filters.update(py=to_source, yaml=dump_scalar, yaml_block=dump_block)
        return environment

    def render(self, name: str, values: dict[str, Any]) -> str:
        """One file of the pack with `values`. Raises TemplateError with file, line and reason."""
        try:
            return self._jinja.get_template(name).render(values)
        except jinja2.TemplateSyntaxError as error:
            place = f"{self.name}/{name}:{error.lineno}"
            raise TemplateError(f"{place}: {error.message}") from error
        except (jinja2.TemplateError, TypeError) as error:
            hint = f"A template here may use: {', '.join(sorted(values))}"
            raise TemplateError(f"{self.name}/{name}: {error}", hint) from error

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


def find_pack(name: str, beside: Path | None = None) -> Path:
    """The folder of a pack: a built-in name, or a path (relative to `beside`)."""
    builtin = templates_dir() / name
    if re.fullmatch(r"[\w-]+", name) and builtin.is_dir():
        return builtin
    path = (beside or Path()) / Path(name).expanduser()
    if (path / "template.yaml").is_file():
        return path
    known = sorted(p.name for p in templates_dir().iterdir() if (p / "template.yaml").is_file())
    raise TemplateError(f"there is no template pack {name}", f"Built in: {', '.join(known)}")


def load_pack(folder: Path) -> Pack:
    """Read a pack. Raises TemplateError where its template.yaml or a file can't be meant."""
    try:
        data = load_file(folder / "template.yaml").value
        stages = tuple(
            StageTemplate(
                name,
                tuple(row["runtime"]),
                tuple(row.get("scripts", ())),
                row.get("optional", False),
            )
            for name, row in data["stages"].items()
        )
        texts = {
            path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(folder.rglob("*.j2"))
        }
        words = {p.stem: load_file(p).value for p in sorted((folder / "words").glob("*.yml"))}
        return Pack(data["name"], data["version"], stages, texts, words)
    except YamlError as error:
        raise TemplateError(error.message) from error
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TemplateError(f"{folder}: the pack can't be read ({reason})") from error
