"""PaddleDetection's training log, line by line, as 2.5 to develop write it."""

import re
from typing import Any, Dict, List, Optional, Sequence

TrainLine = Dict[str, Any]
NUMBER = r"[-+]?(?:nan|inf|\d+(?:\.\d*)?(?:e[-+]?\d+)?)"
STEP_LINE = re.compile(
    r"Epoch: \[(?P<epoch>\d+)\] \[\s*(?P<step>\d+)/(?P<steps>\d+)\] "
    r"learning_rate: (?P<learning_rate>" + NUMBER + r") (?P<meters>.*?) ?"
    r"eta: (?P<eta>.+?) batch_cost: (?P<batch_cost>" + NUMBER + r") "
    r"data_cost: (?P<data_cost>" + NUMBER + r") ips: (?P<ips>" + NUMBER + r") images/s"
)
METER = re.compile(r"(\w+): (" + NUMBER + r")")
COCO_LINE = re.compile(
    r"\s*Average (?P<what>Precision|Recall)\s+\(A[PR]\) @\[ IoU=(?P<iou>[\d.:]+)\s*\|"
    r" area=\s*(?P<area>\w+)\s*\| maxDets=\s*(?P<dets>\d+) \] = (?P<value>-?[\d.]+)"
)
VOC_LINE = re.compile(r"mAP\((?P<iou>[\d.]+), \w+\) = (?P<value>[\d.]+)%")
LOADED_LINE = re.compile(r"Load \[(?P<valid>\d+) samples valid, (?P<invalid>\d+) samples invalid\]")
# Where a line is from decides what it may say: names of weights and files, which stand inside of
# lines, are anybody's.
LOG_LINE = re.compile(r"\[[^\]]*\] (?P<module>ppdet[\w.]*) [A-Z]+: (?P<text>.*)")
# (kind, the logger, how its message begins)
SIGNS = (
    ("too_small", "ppdet.engine", "Samples in dataset are less than batch_size"),
    ("checkpoint", "ppdet.utils.checkpoint", "Save checkpoint:"),
    ("resumed", "ppdet.utils.checkpoint", "Finish resuming model weights:"),
    ("empty_eval", "ppdet.engine", "Evaluation results empty"),
    ("bad_image", "ppdet.data.source", "Illegal image file:"),
    ("mismatch", "ppdet.utils.checkpoint", "The shape "),  # "... is unmatched with the shape"
)
# What Paddle itself and Python write when the reader dies: in no line of a logger.
READER_SIGNS = (
    "data reader raises an exception",
    "DataLoader worker",
    "insufficient shared memory",
    "Exception in thread",
)
# Of an evaluation.
FIGURES = ("mAP", "mAP50")
COCO_NAMES = {
    ("Precision", "0.50:0.95", "all"): "mAP",
    ("Precision", "0.50", "all"): "mAP50",
    ("Precision", "0.75", "all"): "mAP75",
    ("Precision", "0.50:0.95", "small"): "mAP_small",
    ("Precision", "0.50:0.95", "medium"): "mAP_medium",
    ("Precision", "0.50:0.95", "large"): "mAP_large",
}


def parse_train_line(line: str) -> Optional[Dict[str, Any]]:
    """What a line of the log says: a dict with `kind`, or None for everything else.

    `step`: epoch (from 0), step, steps, learning_rate, eta (text), batch_cost and
    data_cost in seconds, ips in images/s, and every meter (loss, loss_vfl, ...).
    `metric`: name and value, 0 to 1, or -1 where there is no such ground truth.
    """
    logged = LOG_LINE.match(line)
    module, text = logged.group("module", "text") if logged else ("", line)
    found = STEP_LINE.match(text) if module.startswith("ppdet.engine") else None
    if found:
        return _step(found)
    found = COCO_LINE.match(line)
    if found:
        name = COCO_NAMES.get((found.group("what"), found.group("iou"), found.group("area")))
        if name is None:
            return None
        return {"kind": "metric", "name": name, "value": float(found.group("value"))}
    found = VOC_LINE.match(text)
    if found:
        value = round(float(found.group("value")) / 100, 6)
        return {"kind": "metric", "name": "mAP50", "value": value}
    found = LOADED_LINE.match(text) if module.startswith("ppdet.data.source") else None
    if found:
        return {
            "kind": "loaded",
            "valid": int(found.group("valid")),
            "invalid": int(found.group("invalid")),
        }
    for kind, owner, sign in SIGNS:
        said = module.startswith(owner) and text.startswith(sign)
        if said and (kind != "mismatch" or "is unmatched with the shape" in text):
            return {"kind": kind, "line": line}
    if not logged and any(sign in line for sign in READER_SIGNS):
        return {"kind": "reader", "line": line}
    return None


def _step(found: "re.Match[str]") -> Dict[str, Any]:
    step: Dict[str, Any] = {"kind": "step", "eta": found.group("eta")}
    for key in ("epoch", "step", "steps"):
        step[key] = int(found.group(key))
    for key in ("learning_rate", "batch_cost", "data_cost", "ips"):
        step[key] = float(found.group(key))
    step["meters"] = {k: float(v) for k, v in METER.findall(found.group("meters"))}
    return step


def metric_columns(losses: Sequence[str], figures: Sequence[str] = FIGURES) -> List[str]:
    """The columns of metrics.csv for a model whose loss is the sum of these, and whose evaluations
    have these figures."""
    first = ["epoch", "step", "steps", "learning_rate", "loss"]
    return first + list(losses) + ["ips", "batch_cost", "data_cost"] + list(figures)


def metrics_row(values: Dict[str, Any], columns: Sequence[str]) -> str:
    """One line of metrics.csv; what is not known stays empty."""
    cells: List[str] = []
    for column in columns:
        value = values.get(column)
        cells.append("" if value is None else ("%g" % value))
    return ",".join(cells) + "\n"
