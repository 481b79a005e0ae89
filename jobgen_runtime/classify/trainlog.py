"""PaddleClas's training log, line by line, as its branch develop of 2024-10 writes it."""

import re
from typing import Any, Dict, Optional

from jobgen_runtime.train.trainlog import NUMBER, READER_SIGNS, TrainLine

LOG_LINE = re.compile(r"\[[^\]]*\] ppcls (?P<level>[A-Z]+): (?P<text>.*)")
STEP = re.compile(
    r"\[Train\]\[Epoch (?P<epoch>\d+)/\d+\]\[Iter: (?P<step>\d+)/(?P<steps>\d+)\]"
    r"lr\(\w+\): (?P<learning_rate>" + NUMBER + r"), (?P<meters>.*?), "
    r"batch_cost: (?P<batch_cost>" + NUMBER + r")s, reader_cost: (?P<data_cost>" + NUMBER + r"), "
    r"ips: (?P<ips>" + NUMBER + r") samples/s, eta: (?P<eta>[^,]*(?:day[^,]*, [^,]*)?)"
)
EVALUATED = re.compile(r"\[Eval\]\[Epoch (?P<epoch>\d+)\]\[Avg\](?P<meters>.*)")
BAD_IMAGE = re.compile(r"Exception occured when parse line: (?P<image>.*?) with msg: ")
METER = re.compile(r"(\w+): (" + NUMBER + r")")


def parse_line(line: str) -> Optional[TrainLine]:
    """What a line of the log says: a dict with `kind`, or None for everything else.

    `step` as PaddleDetection's (trainlog.py: parse_train_line), epochs counted from 0; `evaluated`:
    top1 and, of five classes or more, top5, from 0 to 1, and eval_loss.
    """
    logged = LOG_LINE.match(line)
    if not logged:
        reads = any(sign in line for sign in READER_SIGNS)
        return {"kind": "reader", "line": line} if reads else None
    text = logged.group("text")
    found = STEP.match(text)
    if found:
        return _step(found)
    found = EVALUATED.match(text)
    if found:
        meters = {name: float(value) for name, value in METER.findall(found.group("meters"))}
        return {"kind": "evaluated", "epoch": int(found.group("epoch")) - 1, "meters": meters}
    if text.startswith("Already save model in "):
        return {"kind": "checkpoint", "line": text}
    found = BAD_IMAGE.match(text)
    if found:
        return {"kind": "bad_image", "line": text, "image": found.group("image")}
    return None


def _step(found: "re.Match[str]") -> Dict[str, Any]:
    step: Dict[str, Any] = {"kind": "step", "eta": found.group("eta")}
    step["epoch"] = int(found.group("epoch")) - 1
    for key in ("step", "steps"):
        step[key] = int(found.group(key))
    for key in ("learning_rate", "batch_cost", "data_cost", "ips"):
        step[key] = float(found.group(key))
    # Its top-1 is of the training images so far, and no evaluation.
    meters = METER.findall(found.group("meters"))
    step["meters"] = {key: float(value) for key, value in meters if not key.startswith("top")}
    return step
