"""What runs took, kept in the cache, so that the next one's hours are known beforehand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobgen.catalog import full_name, models
from jobgen.job.hours import Place, Seen
from jobgen_runtime.setup.machine import core_count

# Old runs say little of a machine that has changed since.
KEPT = 200
# A training that came to its end, whatever it has learned, took its time.
ENDED = ("ok", "untrained")


def speeds_file(cache: Path) -> Path:
    return cache / "speeds.jsonl"


def seen_runs(cache: Path) -> list[Seen]:
    """The runs that are remembered, the oldest first; a line that can't be meant is left out."""
    found = []
    try:
        lines = speeds_file(cache).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        try:
            run = Seen(**{k: v for k, v in json.loads(line).items() if k != "run"})
            if run.model in models() and run.images_per_second > 0:
                found.append(run)
        except (ValueError, TypeError, AttributeError):
            continue
    return found


def remember(cache: Path, result: dict[str, Any]) -> None:
    """Keep what a run took, each run once. A run that was no training, or an odd record, is
    nothing to remember; a cache that can't be written forgets."""
    row = seen_of(result)
    if row is None:
        return
    mark = str(result.get("started"))
    path = speeds_file(cache)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if any(f'"run": "{mark}"' in line for line in lines):
            return
        lines.append(json.dumps({**asdict(row), "run": mark}))
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        beside.write_text("\n".join(lines[-KEPT:]) + "\n", encoding="utf-8")
        beside.replace(path)
    except (OSError, ValueError):
        return


def seen_of(result: dict[str, Any]) -> Seen | None:
    """What result.json tells of a training's pace; None where it tells nothing."""
    try:
        pace = result["metrics"]["pace"]
        job, machine = result["job"], result["machine"]
        model = models()[full_name(job["model"]["config"])]
        size = job["model"].get("input_size", "auto")
        on_card = result["device"] == "gpu"
        device = str(machine["gpus"][0]["name"]) if on_card else "cpu"
        step = result.get("smoke_step") or {}
        steps = (step.get("reading") or {}).get("steps") or {}
        speed = float(pace["images_per_second"])
        if result["smoke"] or "weights" in result or result["status"] not in ENDED or speed <= 0:
            return None
        others = {
            stage["name"]: float(stage["seconds"])
            for stage in result["stages"]
            if stage["name"] != "train" and stage["status"] == "ok"
        }
        return Seen(
            device=device,
            cores=int(machine["cores"]),
            model=model.name,
            size=model.size if size == "auto" else int(size),
            images_per_second=speed,
            reading_ms=float(sum(steps.values())),
            start=float(pace.get("start", 0.0)),
            epoch_start=float(pace.get("epoch_start", 0.0)),
            evaluation=float(pace.get("evaluation", 0.0)),
            eval_images=int(result["dataset"]["counts"]["eval"]["images"]),
            stages=others,
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def here() -> Place:
    """This computer without its cards."""
    cores = core_count()
    return Place(f"this machine's {cores} cores", "cpu", cores)
