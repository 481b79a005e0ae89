"""Whether this machine's cards can be used, decided from facts and said in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobgen.catalog import Environment, GpuBuild, indexed_build
from jobgen.errors import RunError

NO_CARD = "no GPU was found (nvidia-smi names none)"
WAYS_OUT = (
    "A CPU is enough to try the job: --device cpu --smoke. A Python with another Paddle: --python."
)


@dataclass(frozen=True)
class Choice:
    """`device` is gpu or cpu; `why` says in a sentence what decided it, empty where it was asked
    for."""

    device: str
    why: str = ""


def card_fault(card: dict[str, Any], build: GpuBuild, paddle: str) -> str | None:
    """Why a build of Paddle can't use a card, or None."""
    capability = card["compute_capability"]
    if capability and build.capabilities and capability not in build.capabilities:
        known = ", ".join(build.capabilities)
        return (
            f"{card['name']} has compute capability {capability}; Paddle {paddle} from PyPI has "
            f"code for {known} only"
        )
    if _numbers(card["driver"]) < _numbers(build.driver):
        return f"the driver is {card['driver']}; this CUDA needs {build.driver} or later"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def card_text(card: dict[str, Any]) -> str:
    """A card in words, with what of its memory is free."""
    free = (card["memory_mib"] - card["used_mib"]) / 1024
    return f"{card['name']} ({free:.1f} of {card['memory_mib'] / 1024:.1f} GB free)"


def choose_build(
    cards: list[dict[str, Any]],
    environment: Environment,
    device: str,
    smoke: bool,
    paddle_index: str = "",
) -> Choice:
    """Which build of Paddle a run gets: with CUDA where a card can use it, from PyPI or from
    `paddle_index`. A CPU only where it was asked for, or for a smoke run. Raises RunError with the
    one reason otherwise."""
    if device == "cpu":
        return Choice("cpu")
    fault = None
    build = indexed_build(paddle_index) if paddle_index else environment.gpu
    if not cards:
        fault = NO_CARD
    elif build is None:
        fault = f"PyPI has no Paddle {environment.paddle} with CUDA; --paddle-index names another"
    else:
        faults = [card_fault(card, build, environment.paddle) for card in cards]
        fault = next((text for text in faults if text), None)
    if fault is None:
        return Choice("gpu", ", ".join(map(card_text, cards)))
    if device == "auto" and smoke:
        return Choice("cpu", fault)
    raise RunError(fault, WAYS_OUT)
