"""The `train` stage: tools/train.py, watched, logged, and gone on with where it stopped."""

import json
import math
import os
import shutil
import time
from typing import Any, Dict, List, Optional

from jobgen.runtime.checkpoints import (
    Checkpoint,
    find_weights,
    keep_best_before_resume,
    mark_best,
    newest_checkpoint,
    score,
)
from jobgen.runtime.outcome import (
    StageError,
    count_text,
    duration_text,
    note,
    outcome,
    summary,
    write_text_atomically,
)
from jobgen.runtime.processes import (
    Finished,
    child_environment,
    child_script,
    exit_text,
    last_words,
    python_command,
    run_logged,
)
from jobgen.runtime.trainlog import METRIC_COLUMNS, metrics_row, parse_train_line

NAN_STEPS = 3
SHOW_EVERY = 10.0
# What PaddleDetection only logs, and a reader of the result should know.
SIGN_NOTES = (
    ("empty_eval", "PaddleDetection logged %d time(s) that an evaluation found nothing at all"),
    ("bad_image", "PaddleDetection left out %d image(s) that it could not find"),
    (
        "mismatch",
        "%d pretrained weights do not fit this model and start anew, as a class head does",
    ),
)


class TrainWatch:
    """Reads the training log as it is written: curves, best mAP, and what must stop the run."""

    def __init__(
        self, csv_path: str, save_dir: str, epochs: int, first_epoch: int, best: Dict[str, Any]
    ) -> None:
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
        self.signs: Dict[str, int] = {}
        self.shown_at = 0.0
        self._start_csv()

    def _start_csv(self) -> None:
        rows = [",".join(METRIC_COLUMNS) + "\n"]
        for values in read_metrics(self.csv_path):
            if values["epoch"] < self.first_epoch:
                rows.append(metrics_row(values))
        write_text_atomically(self.csv_path, "".join(rows))

    def _append(self, values: Dict[str, Any]) -> None:
        with open(self.csv_path, "a", encoding="utf-8", newline="\n") as stream:
            stream.write(metrics_row(values))

    def line(self, text: str) -> None:
        """One line of the log. Raises StageError where going on is of no use."""
        said = parse_train_line(text)
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
        self.not_finite = 0 if math.isfinite(loss) else self.not_finite + 1
        if self.not_finite >= NAN_STEPS:
            raise StageError(
                "the loss is %s since epoch %d" % (loss, said["epoch"] + 1),
                "Lower train.base_lr, or look for boxes of no or tiny size in the data.",
                cause="nan",
            )
        outcome().event(
            "step",
            epoch=said["epoch"],
            epochs=self.epochs,
            step=said["step"],
            steps=said["steps"],
            loss=loss if math.isfinite(loss) else str(loss),
            learning_rate=said["learning_rate"],
            ips=said["ips"],
            eta=said["eta"],
            best=self.best.get("mAP50"),
        )
        if time.monotonic() - self.shown_at >= SHOW_EVERY:
            self.shown_at = time.monotonic()
            print(step_text(said, self.epochs, self.best), flush=True)

    def _metric(self, name: str, value: float) -> None:
        self.evaluation[name] = value
        if name != "mAP_large" and not (name == "mAP50" and "mAP" not in self.evaluation):
            return
        self.evaluated()

    def evaluated(self) -> None:
        """An evaluation is complete: keep it, and see whether it is the best."""
        epoch = self.last_step.get("epoch", self.first_epoch)
        values = dict(self.evaluation, epoch=epoch)
        self.evaluation = {}
        self._append(values)
        if score(values) >= score(self.best_of_attempt):
            self.best_of_attempt = values
            self.pending = values
        if score(values) >= score(self.best):
            self.best.clear()
            self.best.update(values)
        run = outcome()
        run.data["metrics"]["best"] = dict(self.best)
        run.data["metrics"]["last"] = values
        run.save()
        run.event("evaluated", **values)
        print(
            "%-10sepoch %d: mAP %.3f, mAP@0.5 %.3f"
            % ("", epoch + 1, values.get("mAP", -1.0), values["mAP50"]),
            flush=True,
        )


def step_text(said: Dict[str, Any], epochs: int, best: Dict[str, Any]) -> str:
    """A step of the training as one line for people."""
    text = "%-10sepoch %d/%d  step %d/%d  loss %.3f  lr %.4g  %.1f img/s  %s left" % (
        "",
        said["epoch"] + 1,
        epochs,
        said["step"] + 1,
        said["steps"],
        said["meters"].get("loss", float("nan")),
        said["learning_rate"],
        said["ips"],
        said["eta"],
    )
    return text + best_text(best)


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """The rows of a metrics.csv as numbers; an unreadable row, as a kill leaves it, is dropped."""
    rows = []
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().splitlines()[1:]
    except OSError:
        return []
    for line in lines:
        cells = line.split(",")
        if len(cells) != len(METRIC_COLUMNS):
            continue
        try:
            values = {k: float(v) for k, v in zip(METRIC_COLUMNS, cells) if v}
        except ValueError:
            continue
        if "epoch" in values:
            rows.append(values)
    return rows


def train_command(
    clone_dir: str, run_config: str, device: str, gpus: int, amp: bool, resume: Optional[str]
) -> List[str]:
    """The command line of one training, through the launcher where there is more than one GPU."""
    runner = child_script("run_tool.py")
    argv = python_command(runner)
    if device == "gpu" and gpus > 1:
        cards = ",".join(str(number) for number in range(gpus))
        argv += ["-m", "paddle.distributed.launch", "--gpus", cards, runner]
    argv.append(os.path.join(clone_dir, "tools", "train.py"))
    argv += ["-c", run_config, "--eval"]
    if amp:
        argv.append("--amp")
    if resume:
        argv += ["-r", resume]
    return argv


def training_identity(
    values: Dict[str, Any], place: Dict[str, Any], dataset: Dict[str, Any], **more: Any
) -> str:
    """What a checkpoint was trained on and how, as text: only a training of the same identity
    goes on from it. Paths, device and worker processes don't shape a training."""
    shaping = {key: value for key, value in values.items() if key != "worker_num"}
    facts = dict(more, values=shaping, data=place["sha256"], classes=dataset["classes"])
    facts["source"] = outcome().data["source"].get("commit")
    return json.dumps(facts, sort_keys=True, ensure_ascii=False)


def claim_save_dir(save_dir: str, identity: str, fresh: bool = False) -> None:
    """Put checkpoints of another identity aside; with `fresh` remove what is there."""
    mark = os.path.join(save_dir, "identity.json")
    try:
        with open(mark, encoding="utf-8") as stream:
            earlier = stream.read().strip()
    except OSError:
        earlier = ""
    if fresh:
        shutil.rmtree(save_dir, ignore_errors=True)
    elif os.path.isdir(save_dir) and os.listdir(save_dir) and earlier != identity:
        number = 1
        while os.path.exists("%s-old-%d" % (save_dir, number)):
            number += 1
        aside = "%s-old-%d" % (save_dir, number)
        os.rename(save_dir, aside)
        note("the checkpoints of an earlier, different job are now in %s" % os.path.basename(aside))
    os.makedirs(save_dir, exist_ok=True)
    write_text_atomically(mark, identity + "\n")


def train(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    epochs: int,
    device: str,
    gpus: int,
    amp: bool,
) -> None:
    """Train, or go on training, until `epochs` epochs are done.

    Raises StageError when the training ends otherwise; its checkpoints stay.
    """
    if _finished_before(save_dir, epochs):
        return
    run = outcome()
    start = newest_checkpoint(save_dir)
    best = _resume(start, save_dir) if start else {}
    first_epoch = start.epochs if start else 0
    watch = TrainWatch(run.path("metrics.csv"), save_dir, epochs, first_epoch, best)
    argv = train_command(clone_dir, run_config, device, gpus, amp, start and start.prefix)
    log = run.log_path("train")
    environment = child_environment(JOBGEN_PARENT=str(os.getpid()))
    try:
        finished = run_logged(argv, log, cwd=clone_dir, env=environment, on_line=watch.line)
    except StageError as error:
        error.log = log
        raise
    run.data["metrics"]["train_seconds"] = round(finished.seconds, 1)
    if finished.exit_status != 0:
        raise _died(finished, log, save_dir)
    if watch.steps_seen == 0:
        raise StageError(
            "the training ended without a single logged step",
            "See the log.",
            cause="data",
            log=log,
            tail=finished.tail,
        )
    for sign, text in SIGN_NOTES:
        if watch.signs.get(sign):
            note(text % watch.signs[sign])
    write_text_atomically(os.path.join(save_dir, "finished"), "%d\n" % epochs)
    done = count_text(epochs - first_epoch, "epoch")
    summary("%s in %s%s" % (done, duration_text(finished.seconds), best_text(best)))


def best_text(best: Dict[str, Any]) -> str:
    """The best evaluation as the end of a line; empty where there is none."""
    if not best:
        return ""
    return ", best mAP@0.5 %.3f (epoch %d)" % (best["mAP50"], best["epoch"] + 1)


def _resume(start: Checkpoint, save_dir: str) -> Dict[str, Any]:
    """Record where training goes on, and put the best so far in safety; gives its metrics."""
    run = outcome()
    kept = keep_best_before_resume(save_dir)
    best = dict(kept.metrics) if kept else {}
    note("going on from the checkpoint of epoch %d" % start.epochs)
    run.event("resume", epochs=start.epochs, checkpoint=start.prefix, best=best)
    run.data["resumed_from_epoch"] = start.epochs
    return best


def _finished_before(save_dir: str, epochs: int) -> bool:
    """An earlier attempt trained to the end; only what follows is still to do."""
    try:
        with open(os.path.join(save_dir, "finished"), encoding="utf-8") as stream:
            done = int(stream.read())
    except (OSError, ValueError):
        return False
    if done != epochs or find_weights(save_dir, "model_final") is None:
        return False
    summary("trained already, %s" % count_text(epochs, "epoch"))
    return True


def _died(finished: Finished, log: str, save_dir: str) -> StageError:
    """The training process ended on its own: say how, and where to go on."""
    last = newest_checkpoint(save_dir)
    remedy = "No checkpoint was written yet; run again to start anew."
    if last:
        remedy = (
            "Its last whole checkpoint is epoch %d; run again to go on from there." % last.epochs
        )
    text = "the training process %s" % exit_text(finished)
    text = "after %s %s" % (duration_text(finished.seconds), text)
    words = last_words(finished.tail)
    cause = "killed" if finished.exit_status < 0 else "training"
    joined = "\n".join(finished.tail)
    if finished.exit_status == -9 and finished.memory >= 0.85:
        cause = "memory"
        remedy += " Set train.batch_size in job.yaml to a smaller number first."
    elif "out of memory" in joined.lower() or "ResourceExhausted" in joined:
        cause = "memory"
        text += ": the GPU's memory did not suffice"
        remedy += " Set train.batch_size in job.yaml to a smaller number first."
    elif finished.exit_status > 0:
        text += ": %s" % words
    return StageError(
        text, remedy, cause=cause, log=log, exit_status=finished.exit_status, tail=finished.tail
    )
