"""Where the files that ship with jobgen lie: the only module that knows.

In a wheel the templates are `jobgen/_data/templates`; in a checkout (also an
editable install) they are `templates/` at the top, beside pyproject.toml.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jobgen_runtime
from jobgen.errors import TemplateError

PACKAGE = Path(__file__).resolve().parent


@cache
def templates_dir() -> Path:
    """The folder of the built-in template packs. Raises TemplateError where there is none."""
    inside = PACKAGE / "_data" / "templates"
    if inside.is_dir():
        return inside
    beside = PACKAGE.parent / "templates"
    if beside.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file():
        return beside
    raise TemplateError(
        f"the built-in templates are not at {inside}", "Install jobgen again, as README says."
    )


def catalog_file(name: str) -> Path:
    return PACKAGE / "catalog" / "data" / name


@cache
def runtime_dir() -> Path:
    """The folder of `jobgen_runtime`, the package that a notebook carries."""
    return Path(jobgen_runtime.__file__).resolve().parent


def mirror_tools_dir() -> Path:
    return PACKAGE / "machine" / "tools"
