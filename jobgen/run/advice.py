"""What to try next: advice that a run's own figures bear out, each with the change of job.yaml.

The figures from which on something is advised are jobgen's own choice; each piece of advice says
what it goes by, so that its reader can judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobgen_runtime.record.charts import Points, curve
from jobgen_runtime.record.figures import MAIN, main_figure

# An accuracy that rises by so much from one evaluation to the next still rises; one that fell by so
# much has fallen.
RISES, FELL = 0.003, 0.02
# A cell of the finest level: a box below it can hardly be placed.
CELL = 8
# The share of the misses that lies below it, and how many there have to be.
MANY, ENOUGH = 0.4, 10
SIZES = (320, 416, 640)
# A class that is found half as well as the others, and has so few boxes beside the commonest.
WEAK, RARE = 0.5, 0.2
# A learning rate is too high where the loss ends above this share of where it began.
NOT_FALLEN = 0.95
# Better than this needs no other beginning.
GOOD = 0.8
JUDGED = ("ok", "untrained", "timeout")


@dataclass(frozen=True)
class Advice:
    """What the figures say, and what job.yaml would have: path to value."""

    text: str
    changes: dict[str, Any]

    @property
    def change_text(self) -> str:
        """The changes as people read them: `train.epochs: 150`."""
        return ", ".join(f"{path}: {_plain(value)}" for path, value in self.changes.items())


def advice(result: dict[str, Any], rows: list[dict[str, Any]]) -> list[Advice]:
    """What a run's result and its rows of metrics.csv speak for, the weightiest first; nothing for
    one that was not trained to its end, or is a smoke run."""
    job = result.get("job") or {}
    tried = result.get("smoke") or "weights" in result
    if tried or not job or result.get("status") not in JUDGED:
        return []
    found = [_of_loss(result), _of_scratch(result, job), _of_curve(rows, result, job)]
    found += [_of_small(result), _of_classes(result, job)]
    return [each for each in found if each is not None]


def _of_loss(result: dict[str, Any]) -> Advice | None:
    trend = (result.get("metrics") or {}).get("loss") or {}
    rate = (result.get("plan") or {}).get("base_lr")
    if not trend or not rate or trend["last"] < NOT_FALLEN * trend["first"]:
        return None
    return Advice(
        f"The loss has not fallen: {trend['first']:.3f} at the beginning, {trend['last']:.3f} at "
        "the end. A lower learning rate.",
        {"train.base_lr": float(f"{rate / 4:.2g}")},
    )


def _of_scratch(result: dict[str, Any], job: dict[str, Any]) -> Advice | None:
    figure = main_figure((result.get("metrics") or {}).get("best") or {})
    if figure is None or job["model"].get("pretrained") != "none" or figure[1] >= GOOD:
        return None
    title, value = figure
    usual = "imagenet" if job.get("task") == "classification" else "coco"
    return Advice(
        f"Trained from scratch, {title} is {value:.3f}. Weights that know other pictures learn "
        "faster.",
        {"model.pretrained": usual},
    )


def _of_curve(
    rows: list[dict[str, Any]], result: dict[str, Any], job: dict[str, Any]
) -> Advice | None:
    """Whether the accuracy still rises at the end, or has fallen while the loss still fell."""
    known = [(title, curve(rows, name)) for name, title in MAIN]
    title, points = next((each for each in known if len(each[1]) >= 4), ("", []))
    if not points:
        return None
    epochs = (result.get("plan") or {}).get("epochs") or 1
    # An epoch of training is several of the job's where it goes through a small set repeatedly.
    asked = ((job.get("train") or {}).get("epochs") or epochs) / epochs
    whole = points[-1][0] >= epochs and not (result.get("metrics") or {}).get("ended_early")
    end, best = points[-1], max(points, key=lambda point: point[1])
    tail = points[-max(3, len(points) // 4) :]
    slope = (tail[-1][1] - tail[0][1]) / (len(tail) - 1)
    if best == end and slope >= RISES and whole:
        return Advice(
            f"{title} still rises by {slope:.3f} an evaluation at the end. More epochs.",
            {"train.epochs": _rounder(1.5 * asked * epochs)},
        )
    if best[1] - end[1] >= FELL and best[0] <= 0.7 * end[0] and _falls(curve(rows, "loss"), best):
        return Advice(
            f"{title} fell from {best[1]:.3f} to {end[1]:.3f} since epoch {best[0]:.0f}, while the "
            "loss still fell: the model learns the pictures by heart. Fewer epochs, or more "
            "varied pictures.",
            {"train.epochs": max(1, _rounder(asked * best[0]))},
        )
    return None


def _falls(losses: Points, best: tuple[float, float]) -> bool:
    after = [loss for epoch, loss in losses if epoch > best[0]]
    if len(after) < 4:
        return False
    third = max(1, len(after) // 3)
    return sum(after[-third:]) < sum(after[:third])


def _of_small(result: dict[str, Any]) -> Advice | None:
    """Whether most of what was missed is too small for the model at its input size."""
    metrics = result.get("metrics") or {}
    sizes, side = metrics.get("found_by_size") or [], input_size(result)
    if not sizes or not side or (metrics.get("evaluation") or {}).get("tiles"):
        return None
    missed = sum(row["missed"] for row in sizes)
    small = sum(row["missed"] for row in sizes if row["upto"] * side <= CELL * 1.05)
    if small < ENOUGH or small < MANY * missed:
        return None
    larger = [size for size in SIZES if size > side]
    change: dict[str, Any] = {"model.input_size": larger[0]} if larger else {}
    if not larger:
        change = {"tiles": {"size": side, "overlap": 0.2}}
    share = 100 * small / missed
    return Advice(
        f"{share:.0f} % of what was missed is under {CELL} px at the input size of {side}. "
        f"{'A larger input.' if larger else 'Large pictures read in tiles.'}",
        change,
    )


def _of_classes(result: dict[str, Any], job: dict[str, Any]) -> Advice | None:
    """Whether a class that is rare is found worse than the others."""
    rows = [row for row in (result.get("metrics") or {}).get("per_class") or []
            if row.get("AP50", -1) >= 0 and row.get("boxes")]  # fmt: skip
    if len(rows) < 2 or (job.get("train") or {}).get("balance") == "auto":
        return None
    mean = sum(row["AP50"] for row in rows) / len(rows)
    most = max(row["boxes"] for row in rows)
    weak = [row for row in rows if row["AP50"] < WEAK * mean and row["boxes"] < RARE * most]
    if not weak:
        return None
    worst = min(weak, key=lambda row: row["AP50"])
    name, value, boxes = worst["class"], worst["AP50"], worst["boxes"]
    total = sum(row["boxes"] for row in rows)
    return Advice(
        f"The class {name} has AP@0.5 {value:.3f}, all have {mean:.3f} on average, and it is rare: "
        f"{boxes} boxes of {total}. Its pictures more often.",
        {"train.balance": "auto"},
    )


def input_size(result: dict[str, Any]) -> int:
    """The side in pixels that the model's input has; 0 where that is not known."""
    model = (result.get("job") or {}).get("model") or {}
    if isinstance(model.get("input_size"), int):
        return int(model["input_size"])
    named = str(model.get("config", "")).split("_")
    return next((int(word) for word in named if word.isdigit() and int(word) % 32 == 0), 0)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return str(value)


def _rounder(epochs: float) -> int:
    """A number of epochs that people would write."""
    step = 10 if epochs >= 60 else 5 if epochs >= 20 else 1
    return step * round(epochs / step)
