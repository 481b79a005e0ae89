"""The secrets of this call: nothing that is shown has them in it, whoever's words they stand in."""

from __future__ import annotations

# Shorter ones would take pieces out of ordinary words.
SHORTEST = 8
_SECRETS: set[str] = set()


def keep_secret(*texts: str) -> None:
    """Have these texts never shown."""
    _SECRETS.update(text for text in texts if len(text) >= SHORTEST)


def without_secrets(text: str) -> str:
    """A text with *** in place of every secret."""
    for secret in sorted(_SECRETS, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
