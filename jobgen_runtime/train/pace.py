"""How fast a training goes: its steps, what it waits for, and what it does between them."""

import time
from typing import Any, Callable, Dict, List, Optional

# Of a step, the share that is spent waiting for pictures from which on it is worth a word.
MUCH_WAITING = 1 / 3.0
LINES_WANTED = 10


def median(values: List[float]) -> Optional[float]:
    rows = sorted(values)
    return rows[len(rows) // 2] if rows else None


class Pace:
    """Follows the lines of a training's log by the clock.

    A line tells of the last step only, so that steps which have no line are reckoned at the pace
    of those that have one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.started = clock()
        self.last: Dict[str, Any] = {}
        # When the last line of an epoch, or the evaluation after it, was done.
        self.at = self.started
        self.lines: List[Dict[str, Any]] = []
        self.start: Optional[float] = None
        self.restarts: List[float] = []
        self.evaluations: List[float] = []

    def step(self, said: Dict[str, Any]) -> None:
        """A logged step, as parse_train_line gives it."""
        now, cost = self.clock(), said["batch_cost"]
        if not self.last:
            self.start = max(0.0, now - self.started - cost * (said["step"] + 1))
        elif said["epoch"] != self.last["epoch"]:
            between = now - self.at - cost * (said["step"] + 1) - self._unlogged()
            self.restarts.append(max(0.0, between))
        # The first step of an epoch waits for the reader's processes to start.
        if said["step"]:
            self.lines.append(said)
        self.last, self.at = said, now

    def evaluated(self) -> None:
        """An evaluation was logged."""
        now = self.clock()
        self.evaluations.append(max(0.0, now - self.at - self._unlogged()))
        if self.last:
            self.last = dict(self.last, step=self.last["steps"] - 1)
        self.at = now

    def _unlogged(self) -> float:
        """Seconds of the steps after the last logged one of its epoch."""
        if not self.last:
            return 0.0
        return float((self.last["steps"] - 1 - self.last["step"]) * self.last["batch_cost"])

    def waiting(self) -> Optional[float]:
        """The share of its steps that training waits for pictures; None while too little is
        known."""
        if len(self.lines) < LINES_WANTED:
            return None
        recent = self.lines[-LINES_WANTED:]
        steps = sum(line["batch_cost"] for line in recent)
        return sum(line["data_cost"] for line in recent) / steps if steps else None

    def facts(self) -> Dict[str, Any]:
        """What is kept in the result: images/s of a process, and seconds of the start, of an
        epoch's start and of an evaluation, each the median; empty of what was not seen."""
        found = {
            "images_per_second": median([line["ips"] for line in self.lines]),
            "start": self.start,
            "epoch_start": median(self.restarts),
            "evaluation": median(self.evaluations),
        }
        return {name: round(value, 3) for name, value in found.items() if value is not None}
