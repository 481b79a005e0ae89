"""How long a job will take, as commands say it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobgen.job.hours import Expected
    from jobgen.job.tasks import AnyPlan


def expected_at_both(plan: AnyPlan) -> list[Expected]:
    """On AI Studio, and on this computer where a run of it is remembered; nothing for a
    classification."""
    from jobgen.job.hours import AI_STUDIO, expect
    from jobgen.job.plan import Plan
    from jobgen.machine.speeds import here, seen_runs
    from jobgen.settings import load_settings

    if not isinstance(plan, Plan):
        return []
    seen, own = seen_runs(load_settings().cache), here()
    places = [AI_STUDIO, *([own] if any(own.has(run) for run in seen) else [])]
    return [expect(plan, place, seen) for place in places]


def hours_line(plan: AnyPlan) -> str:
    """One line about AI Studio; empty for a classification."""
    found = expected_at_both(plan)
    return f"expected: {found[0].text()}" if found else ""


def as_data(expected: Expected) -> dict[str, Any]:
    """For --json."""
    return {
        "place": expected.place.title,
        "seconds": round(expected.seconds),
        "least": round(expected.least),
        "most": round(expected.most),
        "parts": [asdict(part) for part in expected.parts],
    }
