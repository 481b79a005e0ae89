"""How jobgen itself calls git: without prompts, and with nobody's settings."""

from __future__ import annotations

import os


def git_environment() -> dict[str, str]:
    """No prompt, no user or system settings: the same repository on every machine."""
    kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
    env = {k: v for k, v in os.environ.items() if k in kept or k.lower().endswith("_proxy")}
    env.update(GIT_TERMINAL_PROMPT="0", GIT_CONFIG_NOSYSTEM="1")
    return env
