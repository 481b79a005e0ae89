"""The `train` stage: tools/train.py, watched, logged, and resumed where it stopped."""

import json
import os
import re
import shutil
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from jobgen_runtime.children.exchange import exchange_files
from jobgen_runtime.children.guard import job_guard
from jobgen_runtime.children.processes import (
    TAIL_LINES,
    Finished,
    child_environment,
    exit_text,
    json_from_child,
    last_words,
    program_path,
    python_command,
    run_logged,
)
from jobgen_runtime.data.coco import annotation_path, image_path, read_coco
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import count_text, duration_text, write_text_atomically
from jobgen_runtime.setup.machine import Nodes
from jobgen_runtime.train.checkpoints import (
    HALVED_FILE,
    Checkpoint,
    find_weights,
    keep_best_before_resume,
    newest_checkpoint,
    put_aside_from,
)
from jobgen_runtime.train.cures import ReaderCures, halve_batch
from jobgen_runtime.train.trainwatch import STOOD, TrainWatch, best_text

ALONE = Nodes()
# What PaddleDetection only logs, and a reader of the result should know.
SIGN_NOTES = (
    ("empty_eval", "PaddleDetection logged %d time(s) that an evaluation found nothing at all"),
    ("bad_image", "PaddleDetection left out %d image(s) that it could not find"),
    (
        "mismatch",
        "%d pretrained weights do not fit this model and start anew, as a class head does",
    ),
)


class Ways(NamedTuple):
    """How a training is done here. `on_oom` is "halve" or "stop"; `patience` are the seconds after
    which a silent, idle training is taken for hung, 0 for never."""

    device: str
    gpus: int
    amp: bool
    on_oom: str = "stop"
    patience: float = 1800.0
    nodes: Nodes = ALONE
    # Evaluations without a better one after which a training is ended; 0: never.
    stop_after: int = 0
    # What to do where training waits for its pictures.
    slow_reading: str = ""


def train_command(
    clone_dir: str, run_config: str, ways: Ways, resume: Optional[str] = None
) -> List[str]:
    """The command line of one training of PaddleDetection."""
    argv = launched(ways) + [os.path.join(clone_dir, "tools", "train.py")]
    argv += ["-c", run_config, "--eval"]
    if ways.amp:
        argv.append("--amp")
    if resume:
        argv += ["-r", resume]
    return argv


def launched(ways: Ways) -> List[str]:
    """The command line before the tool: through the launcher where it takes several processes, one
    for each card, or, to try it, as many on the CPU."""
    runner, gpus, nodes = program_path("run_tool"), ways.gpus, ways.nodes
    argv = python_command(runner)
    if gpus > 1 or nodes.count > 1:
        cards = ["--gpus", ",".join(str(number) for number in range(gpus))]
        many = cards if ways.device == "gpu" else ["--nproc_per_node", str(gpus)]
        if nodes.count > 1:
            many += ["--nnodes", str(nodes.count), "--rank", str(nodes.rank)]
            many += ["--master", str(nodes.master)]
        argv += ["-m", "paddle.distributed.launch", "--log_dir", ranks_folder(), *many, runner]
    return argv


class How(NamedTuple):
    """What differs between suites in a training: what reads the log, the command line, how a batch
    is halved, what cures a reader, and what is done once all epochs are trained."""

    watch: Any
    command: Callable[[str, str, Ways, Optional[str]], List[str]]
    halve: Callable[[str, Dict[str, Any], str], Dict[str, Any]]
    cures: Any
    at_end: Callable[[str], None]


def ranks_folder() -> str:
    """Where the launcher keeps what each process says: workerlog.0, workerlog.1, ..."""
    return outcome().path("logs", "ranks")


def death_of_a_rank() -> Optional[str]:
    """A process of several that failed, and its words; None where none did. The launcher ends the
    others with SIGTERM, so that most often only one has a fault to tell."""
    folder = ranks_folder()
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if not name.startswith("workerlog."):
            continue
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
            tail = stream.read().splitlines()[-TAIL_LINES:]
        if any(line.startswith("Traceback") or "Error" in line for line in tail):
            return "process %s: %s" % (name.rpartition(".")[2], last_words(tail))
    return None


def training_identity(
    values: Dict[str, Any], place: Dict[str, Any], dataset: Dict[str, Any], **more: Any
) -> str:
    """What a checkpoint was trained on and how, as text: only a training of the same identity
    resumes from it. Paths, device and worker processes don't shape a training."""
    beside = ("worker_num", "family")
    shaping = {key: value for key, value in values.items() if key not in beside}
    facts = dict(more, values=shaping, data=place["sha256"], classes=dataset["classes"])
    # A mirror's commit is another one, its content the same: `pinned` is what was verified.
    source = outcome().data["source"]
    facts["source"] = source.get("pinned") or source.get("commit")
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
    outcome().claimed = True


def _nothing_more(_save_dir: str) -> None:
    """PaddleDetection itself writes model_final."""


DETECTION = How(TrainWatch, train_command, halve_batch, ReaderCures, _nothing_more)


def train(
    clone_dir: str,
    run_config: str,
    save_dir: str,
    values: Dict[str, Any],
    ways: Ways,
    how: How = DETECTION,
) -> None:
    """Train, from a checkpoint where there is one, until all epochs of `values` are done.

    What can be cured is cured once and recorded: a reader that dies gets no shared
    memory, then fewer processes, then none; a batch that does not fit the card is halved where
    the ways say so. Raises StageError when the training ends otherwise; its checkpoints stay.
    """
    if _finished_before(save_dir, values["epochs"]):
        return
    if os.path.exists(os.path.join(save_dir, HALVED_FILE)):
        values = how.halve(run_config, values, "an earlier attempt ran out of memory")
    cures = how.cures(values["worker_num"])
    while True:
        try:
            _attempt(clone_dir, run_config, save_dir, values, ways, how)
            return
        except StageError as error:
            halves = error.cause == "memory" and ways.on_oom == "halve" and values["batch_size"] > 1
            halves = halves and not os.path.exists(os.path.join(save_dir, HALVED_FILE))
            if halves and newest_checkpoint(save_dir) is None:
                write_text_atomically(os.path.join(save_dir, HALVED_FILE), "1\n")
                values = how.halve(run_config, values, error.message)
                continue
            if error.cause != "reader":
                raise
            if not cures.next(run_config, error.message):
                error.remedy = what_the_reader_stopped_at()
                raise


def _attempt(
    clone_dir: str, run_config: str, save_dir: str, values: Dict[str, Any], ways: Ways, how: How
) -> None:
    """One process of training, from the newest whole checkpoint to the end."""
    run, epochs, nodes = outcome(), values["epochs"], ways.nodes
    start = newest_checkpoint(save_dir)
    best = _resume(start, save_dir) if start else {}
    first_epoch = start.epochs if start else 0
    guard = job_guard(ways.patience or None)
    places = (run.path("metrics.csv"), save_dir)
    watch = how.watch(*places, epochs, first_epoch, best, guard, values["family"]["losses"])
    watch.stop_after, watch.slow_reading = ways.stop_after, ways.slow_reading
    argv = how.command(clone_dir, run_config, ways, start and start.prefix)
    log = run.log_path("train")
    environment = child_environment(JOBGEN_PARENT=str(os.getpid()))
    shutil.rmtree(ranks_folder(), ignore_errors=True)
    try:
        finished = run_logged(
            argv, log, cwd=clone_dir, env=environment, on_line=watch.line, guard=guard
        )
    except StageError as error:
        if error.cause == STOOD:
            run.data["metrics"]["pace"] = _pace(watch, values)
            _end_early(watch, error.message, how, save_dir)
            return
        error.log = log
        _name_the_cause(error, watch, save_dir)
        raise
    run.data["metrics"]["pace"] = _pace(watch, values)
    seconds = run.data["metrics"].get("train_seconds", 0.0) + finished.seconds
    run.data["metrics"]["train_seconds"] = round(seconds, 1)
    if finished.exit_status != 0:
        raise _died(finished, log, save_dir, bool(watch.signs.get("reader")))
    if nodes.rank > 0:
        # Only machine 0 logs steps, evaluates and keeps weights.
        words = death_of_a_rank()
        if words:
            raise StageError("the training ended: %s" % words, cause="killed", log=log)
        lasted = duration_text(finished.seconds)
        summary("machine %d of %d, in %s" % (nodes.rank, nodes.count, lasted))
        return
    _refuse_early_end(watch, epochs, log, finished.tail)
    for sign, text in SIGN_NOTES:
        if watch.signs.get(sign):
            note(text % watch.signs[sign])
    how.at_end(save_dir)
    write_text_atomically(os.path.join(save_dir, "finished"), "%d\n" % epochs)
    done = count_text(epochs - first_epoch, "%d epoch", "%d epochs")
    summary("%s in %s%s" % (done, duration_text(finished.seconds), best_text(best)))


def _pace(watch: TrainWatch, values: Dict[str, Any]) -> Dict[str, Any]:
    """What the log has told of the training's speed; of one of its cards."""
    return dict(watch.pace.facts(), cards=values["gpus"])


def _end_early(watch: TrainWatch, why: str, how: How, save_dir: str) -> None:
    """A training that train.patience ends: well, and to be resumed by a job without it."""
    run, seconds = outcome(), time.monotonic() - watch.started
    total = run.data["metrics"].get("train_seconds", 0.0) + seconds
    run.data["metrics"]["train_seconds"] = round(total, 1)
    epoch = int(watch.last_step["epoch"]) + 1
    run.data["metrics"]["ended_early"] = {"epoch": epoch, "epochs": watch.epochs}
    how.at_end(save_dir)
    note(
        "ended after epoch %d of %d: %s; without train.patience the same job resumes here"
        % (epoch, watch.epochs, why)
    )
    done = count_text(epoch - watch.first_epoch, "%d epoch", "%d epochs")
    summary(
        "%s of %d in %s%s" % (done, watch.epochs, duration_text(seconds), best_text(watch.best))
    )


def _name_the_cause(error: StageError, watch: TrainWatch, save_dir: str) -> None:
    """What the log has shown of why a training was ended here."""
    if error.cause == "nan":
        put_aside_from(save_dir, watch.first_bad_epoch)
    if error.cause == "stall" and watch.signs.get("reader"):
        error.cause = "reader"
        error.message = "the data reader failed (%s), and training hung" % last_words(error.tail)


def _refuse_early_end(watch: TrainWatch, epochs: int, log: str, tail: List[str]) -> None:
    """Raise StageError where a training that ended 0 has not trained all its epochs."""
    if watch.steps_seen == 0:
        raise StageError(
            "the training ended without a single logged step",
            "See the log.",
            cause="data",
            log=log,
            tail=tail,
        )
    last_epoch = int(watch.last_step["epoch"]) + 1
    if last_epoch < epochs:
        # The launcher ends 0 when one of its processes was killed.
        words = death_of_a_rank() or "exit status 0 and no word"
        raise StageError(
            "the training ended in epoch %d of %d: %s" % (last_epoch, epochs, words),
            "Its last whole checkpoint stays; run again to resume there.",
            cause="killed",
            log=log,
            tail=tail,
        )


def what_the_reader_stopped_at() -> str:
    """What to do once no cure is left: most often an image can't be decoded, and is named."""
    place = outcome().data.get("dataset") or {}
    try:
        record = read_coco(annotation_path(place, "train"))
        paths = [image_path(place, "train", image["file_name"]) for image in record["images"]]
        request, _ = exchange_files("decode", paths)
        argv = python_command(program_path("decode_images"), request)
        found = json_from_child(argv, "train", "decoding the images", timeout=1800, quiet=True)
    except (StageError, LookupError, OSError):
        return "See the log; jobgen check --deep on the data names images that can't be read."
    names = [os.path.basename(path) for path in found["unread"]]
    if not names:
        return (
            "All %d training images can be decoded, so it is not they: see the log."
            % found["looked_at"]
        )
    return "OpenCV can't decode %s%s: take it out of the set, or save it again." % (
        ", ".join(names[:5]),
        ", ..." if len(names) > 5 else "",
    )


def _resume(start: Checkpoint, save_dir: str) -> Dict[str, Any]:
    """Record where training goes on, and put the best so far in safety; gives its metrics."""
    run = outcome()
    kept = keep_best_before_resume(save_dir)
    best = dict(kept.metrics) if kept else {}
    note("resuming from the checkpoint of epoch %d" % start.epochs)
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
    summary("trained already, %s" % count_text(epochs, "%d epoch", "%d epochs"))
    return True


def first_to_die(finished: Finished) -> Tuple[Finished, str]:
    """How the first process ended, and its name: of several, the launcher tells only in its log."""
    for line in finished.tail:
        match = re.search(r"rank (\d+) status failed .* code (-?\d+) log", line)
        if match:
            who = "process %s of the training" % match.group(1)
            return finished._replace(exit_status=int(match.group(2))), who
    return finished, "the training process"


def _died(finished: Finished, log: str, save_dir: str, reader: bool) -> StageError:
    """The training process ended on its own: say how, and where to resume."""
    last = newest_checkpoint(save_dir)
    remedy = "No checkpoint was written yet; run again to start anew."
    if last:
        remedy = "Its last whole checkpoint is epoch %d; run again to resume there." % last.epochs
    finished, who = first_to_die(finished)
    text = "%s %s" % (who, exit_text(finished))
    text = "after %s %s" % (duration_text(finished.seconds), text)
    words = death_of_a_rank() or last_words(finished.tail)
    cause = "killed" if finished.exit_status < 0 else "training"
    joined = "\n".join(finished.tail)
    if finished.exit_status == -9 and finished.memory >= 0.85:
        cause = "memory"
        remedy += " Set train.batch_size in job.yaml to a smaller number first."
    elif "out of memory" in joined.lower() or "ResourceExhausted" in joined:
        cause = "memory"
        text += ": the GPU's memory did not suffice"
        remedy += " Set train.batch_size in job.yaml to a smaller number first."
    elif "no space left on device" in joined.lower():
        cause = "disk"
        text += ": the disk is full"
        remedy += " Free some space first; a larger snapshot_epoch keeps fewer checkpoints."
    elif reader:
        cause = "reader"
        text += ": %s" % words
        remedy += " jobgen check --deep looks for images that can't be read."
    elif finished.exit_status > 0:
        text += ": %s" % words
    return StageError(
        text, remedy, cause=cause, log=log, exit_status=finished.exit_status, tail=finished.tail
    )
