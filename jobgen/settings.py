"""Settings of this machine: flag, then environment variable, then settings file, then default."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobgen.errors import SpecError

KNOWN = ("cache", "mirror", "paddle_index", "aistudio", "aistudio_git", "project", "language")


@dataclass(frozen=True)
class Settings:
    """`cache` is the folder for environments, mirrors and weights; `mirror` a git address or path
    of PaddleDetection to clone from, or None to find one; `paddle_index` the address of a package
    index that has builds of Paddle with CUDA, empty for PyPI's; `aistudio` and `aistudio_git` the
    addresses of AI Studio and of its repositories, empty for the usual ones; `project` the number
    of the user's project there, empty where none is named."""

    cache: Path
    mirror: str | None
    paddle_index: str = ""
    aistudio: str = ""
    aistudio_git: str = ""
    project: str = ""


def home_folder() -> Path | None:
    """The user's home; None where a container has neither HOME nor an entry for the user."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_home(folder: Path) -> bool:
    home = home_folder()
    return home is not None and folder.resolve() == home.resolve()


def settings_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    home = home_folder()
    if not base and home is None:
        return Path(os.devnull) / "settings.yaml"  # there is none
    return Path(base or f"{home}/.config") / "jobgen" / "settings.yaml"


def default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    home = home_folder()
    if not base and home is None:
        return Path(tempfile.gettempdir()) / f"jobgen-cache-{os.getuid()}"
    return Path(base or f"{home}/.cache") / "jobgen"


def load_settings(
    cache: Path | None = None, mirror: str | None = None, paddle_index: str | None = None
) -> Settings:
    """Settle every setting. Raises SpecError where the settings file can't be meant."""
    stored = _stored(settings_file())
    cache_text = str(cache or "") or os.environ.get("JOBGEN_CACHE") or stored.get("cache")
    chosen = mirror or os.environ.get("JOBGEN_MIRROR") or stored.get("mirror")
    folder = Path(cache_text).expanduser() if cache_text else default_cache()
    index = paddle_index or os.environ.get("JOBGEN_PADDLE_INDEX") or stored.get("paddle_index")
    if index and not index.startswith(("http://", "https://", "file://")):
        raise SpecError(f"the index of Paddle is {index!r}, not an http, https or file address")
    aistudio = os.environ.get("JOBGEN_AISTUDIO") or stored.get("aistudio") or ""
    git = os.environ.get("JOBGEN_AISTUDIO_GIT") or stored.get("aistudio_git") or ""
    project = os.environ.get("JOBGEN_PROJECT") or stored.get("project") or ""
    if project and not project.isdigit():
        raise SpecError(f"the project is {project!r}: its number stands in its page's address")
    return Settings(folder.absolute(), chosen, index or "", aistudio, git, project)


def stored_language() -> str:
    """The settings' `language`; empty where it says none, or the file can't be meant: a command
    that needs it says so."""
    with contextlib.suppress(SpecError, OSError):
        return _stored(settings_file()).get("language", "")
    return ""


def _stored(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    # Every call asks for the language: most have no settings, and should not wait for YAML.
    from jobgen.yamlio import load_file

    document = load_file(path)
    values = document.value or {}
    if not isinstance(values, dict):
        raise SpecError(f"{path}:1: settings are keys and values")
    for key, value in values.items():
        if key not in KNOWN or not isinstance(value, str):
            known = ", ".join(KNOWN)
            raise SpecError(f"{path}:{document.line([key])}: {key}: known settings are {known}")
    return values
