"""The figure that people look at first, whatever the task: mAP@0.5 or top-1."""

from typing import Any, Dict, Optional, Tuple

# What a result calls it, and what people do; the first that an evaluation has is the one.
MAIN = (("mAP50", "mAP@0.5"), ("top1", "top-1"))
BESIDE = {"mAP50": ("mAP", "mAP"), "top1": ("top5", "top-5")}


def main_figure(metrics: Dict[str, Any]) -> Optional[Tuple[str, float]]:
    """Title and value, as ("mAP@0.5", 0.61); None where there was no evaluation."""
    for name, title in MAIN:
        if name in metrics:
            return title, float(metrics[name])
    return None


def figure_text(metrics: Dict[str, Any]) -> str:
    """The figure and the epoch it was measured after, as `top-1 0.913 (epoch 4)`; empty where there
    was no evaluation."""
    found = main_figure(metrics)
    if found is None:
        return ""
    return "%s %.3f (epoch %d)" % (found[0], found[1], int(metrics.get("epoch", 0)) + 1)


def evaluation_text(metrics: Dict[str, Any]) -> str:
    """Both figures of an evaluation, as `mAP 0.251, mAP@0.5 0.612`."""
    words = []
    for name, title in MAIN:
        if name in metrics:
            beside, beside_title = BESIDE[name]
            value = metrics.get(beside, -1.0)
            pair = ["%s %.3f" % (title, metrics[name]), "%s %.3f" % (beside_title, value)]
            words = pair if name == "top1" else pair[::-1]
            if beside == "top5" and beside not in metrics:
                words = words[:1]
            break
    return ", ".join(words)


# From here on a detector finds things, whatever its loss did: it may have begun with good weights.
FINDS_MAP50 = 0.3
# Below it a detector has found nothing worth the name; see result statuses in docs/result.md.
UNTRAINED_MAP50 = 0.01


def is_useful(best: Dict[str, Any], most_common: float = 0.0) -> bool:
    """Whether a model finds or tells most of what is there. `most_common` is the share of the
    commonest class: a classifier has to come half of the way from it to always being right."""
    if "top1" in best:
        return bool(best["top1"] >= most_common + 0.5 * (1.0 - most_common))
    return bool(best.get("mAP50", 0.0) >= FINDS_MAP50)


def why_untrained(best: Dict[str, Any], most_common: float = 0.0) -> str:
    """Why a model has learned nothing; empty where it has."""
    if "top1" in best:
        if best["top1"] > most_common or most_common >= 1.0:
            return ""
        said = "always saying the commonest class gives %.3f" % most_common
        return "top-1 is %.3f, and %s" % (best["top1"], said)
    value = best.get("mAP50", 0.0)
    return "mAP@0.5 is %.3f" % value if value < UNTRAINED_MAP50 else ""
