"""The access token: where it is found."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jobgen.catalog import platform
from jobgen.errors import RemoteError
from jobgen.files import shown
from jobgen.hidden import keep_secret
from jobgen.settings import home_folder

VARIABLE = "AISTUDIO_ACCESS_TOKEN"
# The SDK's: it puts the file below AISTUDIO_CACHE_HOME, else below HOME.
SDK_HOME, SDK_FILE = "AISTUDIO_CACHE_HOME", Path(".cache/aistudio/.auth/token")
SERVICE, USER = "jobgen", "aistudio"
READABLE_BY_OTHERS = 0o077


@dataclass(frozen=True)
class Token:
    """`secret` is in no text of this object; `origin` says where it was found."""

    secret: str = field(repr=False)
    origin: str


def find_token(stored: Callable[[], str | None] | None = None) -> Token:
    """From the environment, the SDK's file, then the system's keyring (`stored` in its place).
    Raises RemoteError where there is none, or others can read it."""
    from_variable = os.environ.get(VARIABLE, "").strip()
    if from_variable:
        return Token(_sound(from_variable, VARIABLE), VARIABLE)
    file = sdk_file()
    if file is not None and file.is_file():
        _refuse_readable(file)
        text = file.read_bytes().decode("utf-8", "replace")
        return Token(_sound(text.strip(), str(file)), str(file))
    kept = (stored or _from_keyring)()
    if kept:
        return Token(_sound(kept.strip(), "the keyring"), "the keyring")
    raise RemoteError(
        "there is no access token of AI Studio",
        f"Copy yours from {platform().tokens_page}, then for this shell, without it in the "
        f"history:\n         read -rs {VARIABLE} && export {VARIABLE}\n       "
        "or for good, into the system's keyring:\n"
        f"         pip install keyring && keyring set {SERVICE} {USER}",
    )


def sdk_file() -> Path | None:
    """Where `aistudio config` writes the token; None where there is no home."""
    base = os.environ.get(SDK_HOME) or home_folder()
    return Path(base) / SDK_FILE if base else None


def _refuse_readable(file: Path) -> None:
    if os.name == "nt":  # its file modes say nothing of who may read
        return
    mode = file.stat().st_mode
    if mode & READABLE_BY_OTHERS:
        raise RemoteError(
            f"{file} holds your access token, and others on this computer can read it "
            f"({mode & 0o777:o})",
            f"chmod 600 {shown(file)}",
        )


def _sound(secret: str, origin: str) -> str:
    # What can't stand in a header would be shown by the error about it.
    if not re.fullmatch(r"[!-~]{8,512}", secret):
        raise RemoteError(
            f"what is in {origin} is no access token",
            f"A token is one word of letters and digits; copy it again from "
            f"{platform().tokens_page}",
        )
    keep_secret(secret)
    return secret


def _from_keyring() -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    try:
        found = keyring.get_password(SERVICE, USER)
    except Exception:  # backends raise what they like where no desktop runs
        return None
    return found if isinstance(found, str) else None
