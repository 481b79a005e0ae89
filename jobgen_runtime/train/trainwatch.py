"""Follows a training by its log: curves, best mAP, time left, and what must stop it."""

import math
import time
from typing import Any, Dict, List, Optional, Sequence

from jobgen_runtime.children.guard import Guard
from jobgen_runtime.children.processes import memory_in_use
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.figures import (
    evaluation_text,
    figure_text,
    main_figure,
    why_untrained,
)
from jobgen_runtime.record.outcome import note, outcome
from jobgen_runtime.record.text import duration_text, write_text_atomically
from jobgen_runtime.setup.machine import gpu_use
from jobgen_runtime.train.checkpoints import mark_best, score
from jobgen_runtime.train.pace import MUCH_WAITING, Pace
from jobgen_runtime.train.trainlog import (
    FIGURES,
    TrainLine,
    metric_columns,
    metrics_row,
    parse_train_line,
)

NAN_STEPS = 3
# The cause of an end that train.patience asks for.
STOOD = "patience"
# A loss of ten times the lowest so far, in three logged steps, is worth a word.
EXPLODED = 10.0
SHOW_EVERY = 10.0
GPU_EVERY = 60.0
# Once the reader has failed, PaddleDetection may wait for it for ever.
READER_PATIENCE = 60.0


class TrainWatch:
    """Reads the training log as it is written: curves, best mAP, and what must stop the run."""

    FIGURES: Sequence[str] = FIGURES

    def __init__(
        self,
        csv_path: str,
        save_dir: str,
        epochs: int,
        first_epoch: int,
        best: Dict[str, Any],
        guard: Guard,
        losses: Sequence[str] = (),
    ) -> None:
        self.guard = guard
        self.columns = metric_columns(losses, self.FIGURES)
        self.started = time.monotonic()
        self.gpu: Dict[str, Any] = {}
        self.gpu_asked = 0.0
        self.lowest_loss = math.inf
        self.high = 0
        self.csv_path = csv_path
        self.save_dir = save_dir
        self.epochs = epochs
        self.first_epoch = first_epoch
        self.best = best
        # PaddleDetection's own best, which it forgets at a resume.
        self.best_of_attempt: Dict[str, Any] = {}
        # An evaluation whose weights are about to be saved as best_model.
        self.pending: Dict[str, Any] = {}
        self.last_step: Dict[str, Any] = {}
        self.evaluation: Dict[str, float] = {}
        self.steps_seen = 0
        self.not_finite = 0
        self.first_bad_epoch = 0
        self.signs: Dict[str, int] = {}
        self.shown_at = 0.0
        # End after so many evaluations without a better one; 0: never.
        self.stop_after = 0
        self.pace = Pace()
        # What to do where training waits for pictures.
        self.slow_reading = ""
        self.not_better = 0
        self._start_csv()

    def _start_csv(self) -> None:
        rows = [",".join(self.columns) + "\n"]
        for values in read_metrics(self.csv_path):
            if values["epoch"] < self.first_epoch:
                rows.append(metrics_row(values, self.columns))
        write_text_atomically(self.csv_path, "".join(rows))

    def _append(self, values: Dict[str, Any]) -> None:
        with open(self.csv_path, "a", encoding="utf-8", newline="\n") as stream:
            stream.write(metrics_row(values, self.columns))

    def parse(self, text: str) -> Optional[TrainLine]:
        """What a line of this suite's log says."""
        return parse_train_line(text)

    def line(self, text: str) -> None:
        """One line of the log. Raises StageError where going on is of no use."""
        said = self.parse(text)
        if said is None:
            return
        if said["kind"] == "step":
            self._step(said)
        elif said["kind"] == "metric":
            self._metric(said["name"], said["value"])
        elif said["kind"] == "loaded":
            outcome().event("loaded", valid=said["valid"], invalid=said["invalid"])
        else:
            self.signs[said["kind"]] = self.signs.get(said["kind"], 0) + 1
            if said["kind"] == "reader":
                self.guard.hurry(READER_PATIENCE)
            if said["kind"] == "checkpoint" and self.pending:
                mark_best(self.save_dir, self.pending)
                self.pending = {}
            if said["kind"] == "too_small":
                raise StageError(
                    "the training set has fewer images than one batch, so nothing would be trained",
                    "Set train.batch_size in job.yaml to a smaller number, and build again.",
                    cause="data",
                )

    def _step(self, said: Dict[str, Any]) -> None:
        self.steps_seen += 1
        self.pending = {}
        self.last_step = said
        self._append(dict(said["meters"], **said))
        loss = said["meters"].get("loss", 0.0)
        self._judge(loss, said["epoch"])
        self._follow(said)
        left, best = self._seconds_left(said), main_figure(self.best)
        outcome().event(
            "step",
            epoch=said["epoch"],
            epochs=self.epochs,
            step=said["step"],
            steps=said["steps"],
            loss=loss,
            learning_rate=said["learning_rate"],
            ips=said["ips"],
            left=left,
            best=best[1] if best else None,
            figure=best[0] if best else None,
            memory=memory_in_use(),
            gpu=self._gpu(),
        )
        if time.monotonic() - self.shown_at >= SHOW_EVERY:
            self.shown_at = time.monotonic()
            print(step_text(said, self.epochs, self.best, left), flush=True)

    def _follow(self, said: Dict[str, Any]) -> None:
        """Say once that much of the time goes by waiting for pictures."""
        self.pace.step(said)
        waiting = self.pace.waiting()
        if self.slow_reading and waiting is not None and waiting > MUCH_WAITING:
            note(
                "training waits for pictures %.0f %% of its time: %s"
                % (100 * waiting, self.slow_reading)
            )
            self.slow_reading = ""

    def _judge(self, loss: float, epoch: int) -> None:
        """Stop at a loss that is no number; say once that one has exploded."""
        if not math.isfinite(loss):
            if self.not_finite == 0:
                self.first_bad_epoch = epoch
            self.not_finite += 1
            if self.not_finite >= NAN_STEPS:
                raise StageError(
                    "the loss is %s since epoch %d" % (loss, self.first_bad_epoch + 1),
                    "Lower train.base_lr, or look for boxes of no or tiny size in the data.",
                    cause="nan",
                )
            return
        self.not_finite = 0
        self.lowest_loss = min(self.lowest_loss, loss)
        self.high = self.high + 1 if loss > EXPLODED * max(self.lowest_loss, 0.1) else 0
        if self.high == NAN_STEPS:
            note(
                "the loss has risen to %.3g in epoch %d, from %.3g: the learning rate is most "
                "likely too high" % (loss, epoch + 1, self.lowest_loss)
            )

    def _seconds_left(self, said: Dict[str, Any]) -> Optional[float]:
        """Seconds to the end at the pace of this attempt, its evaluations included."""
        done = int((said["epoch"] - self.first_epoch) * said["steps"] + said["step"])
        to_do = int((self.epochs - said["epoch"]) * said["steps"] - said["step"])
        if done < 1:
            return None
        return round((time.monotonic() - self.started) / done * to_do, 1)

    def _gpu(self) -> Dict[str, Any]:
        """Use and memory of the card, asked once a minute; empty on a CPU."""
        due = not self.gpu_asked or time.monotonic() - self.gpu_asked > GPU_EVERY
        if due and outcome().data.get("device") == "gpu":
            self.gpu_asked, self.gpu = time.monotonic(), gpu_use()
        return self.gpu

    def _metric(self, name: str, value: float) -> None:
        self.evaluation[name] = value
        if name != "mAP_large" and not (name == "mAP50" and "mAP" not in self.evaluation):
            return
        self.evaluated()

    def evaluated(self) -> None:
        """An evaluation is complete: keep it, and see whether it is the best."""
        self.pace.evaluated()
        epoch = self.last_step.get("epoch", self.first_epoch)
        values = dict(self.evaluation, epoch=epoch)
        self.evaluation = {}
        self._append(values)
        if score(values) >= score(self.best_of_attempt):
            self.best_of_attempt = values
            self.pending = values
        self.not_better = 0 if score(values) > score(self.best) else self.not_better + 1
        if score(values) >= score(self.best):
            self.best.clear()
            self.best.update(values)
        run = outcome()
        run.data["metrics"]["best"] = dict(self.best)
        run.data["metrics"]["last"] = values
        run.save()
        run.event("evaluated", **values)
        print("%-10sepoch %d: %s" % ("", epoch + 1, evaluation_text(values)), flush=True)
        # A model that has learned nothing yet may only be slow to begin.
        learned = not why_untrained(self.best)
        if self.stop_after and self.not_better >= self.stop_after and learned:
            raise StageError("the best has stood for %d evaluations" % self.not_better, cause=STOOD)


def step_text(
    said: Dict[str, Any], epochs: int, best: Dict[str, Any], left: Optional[float]
) -> str:
    """A step of the training as one line for people."""
    text = "%-10sepoch %d/%d  step %d/%d  loss %.3f  lr %.4g  %.1f img/s" % (
        "",
        said["epoch"] + 1,
        epochs,
        said["step"] + 1,
        said["steps"],
        said["meters"].get("loss", float("nan")),
        said["learning_rate"],
        said["ips"],
    )
    if left is not None:
        text += "  %s left" % duration_text(left)
    return text + best_text(best)


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """The rows of a metrics.csv as numbers; an unreadable row, as a kill leaves it, is dropped."""
    rows = []
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return []
    columns = lines[0].split(",") if lines else []
    for line in lines[1:]:
        cells = line.split(",")
        if len(cells) != len(columns):
            continue
        try:
            values = {k: float(v) for k, v in zip(columns, cells) if v}
        except ValueError:
            continue
        if "epoch" in values:
            rows.append(values)
    return rows


def best_text(best: Dict[str, Any]) -> str:
    """The best evaluation as the end of a line; empty where there is none."""
    text = figure_text(best)
    return ", best %s" % text if text else ""
