"""Which package index to use: uv's own settings, then pip's variables, then pip's files.

uv does not read pip.conf, where most people in China keep their mirror. The
addresses may hold credentials: they travel in the environment and are never shown.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from jobgen.text import PIPED

UV_NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")


def index_environment(environ: Mapping[str, str], pip_config: str) -> dict[str, str]:
    """The UV_* variables to add, from the environment and from `pip config list`'s output."""
    if any(environ.get(name) for name in UV_NAMES):
        return {}
    stored = parse_pip_config(pip_config)
    default = environ.get("PIP_INDEX_URL") or stored.get("index-url")
    extra = environ.get("PIP_EXTRA_INDEX_URL") or stored.get("extra-index-url")
    found = {}
    if default:
        found["UV_DEFAULT_INDEX"] = default
    if extra:
        found["UV_INDEX"] = " ".join(extra.split())
        # pip takes the best version of all its indexes; with uv's default the first index
        # that knows a name would hide the others.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    certificate = environ.get("PIP_CERT") or stored.get("cert")
    if certificate and not environ.get("SSL_CERT_FILE"):
        found["SSL_CERT_FILE"] = certificate
    return found


def parse_pip_config(text: str) -> dict[str, str]:
    """`global.index-url='https://...'` lines as a dict; `install.` wins over `global.`."""
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section + "."):
                words = shlex.split(value)
                found[key.removeprefix(section + ".")] = words[0] if words else ""
    return found


def pip_config_list() -> str:
    """What pip's files say; empty without pip."""
    # -I: a pip.py in the current folder is not pip.
    argv = [sys.executable, "-I", "-m", "pip", "config", "list"]
    try:
        answer = subprocess.run(argv, **PIPED, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def uv_environment(wheels: Path | None = None) -> dict[str, str]:
    """The environment for uv on this machine; with `wheels` it takes packages from that folder
    alone."""
    env = dict(os.environ)
    if wheels is not None:
        env.update(UV_FIND_LINKS=str(wheels), UV_NO_INDEX="1")
    env.update(index_environment(env, pip_config_list()))
    env["UV_PYTHON_DOWNLOADS"] = "never"
    env.pop("VIRTUAL_ENV", None)
    return env
