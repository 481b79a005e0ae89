"""What a run did: stage blocks, `result.json` and `events.jsonl`.

`result.json` is replaced whole at every change of stage, so that whatever ends
the run, the file on disk is complete and says how far the run came.
"""

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional

from jobgen_runtime.record.errors import StageError, describe_os_error
from jobgen_runtime.record.figures import is_useful, main_figure
from jobgen_runtime.record.identity import children_memory, hold_folder, process_identity
from jobgen_runtime.record.text import (
    duration_text,
    read_json_object,
    recordable,
    redacted,
    utc_now,
    write_text_atomically,
)

RESULT_SCHEMA = 1
# Kept for gathering the weights and writing the result before the platform's own end.
MARGIN = 15 * 60.0
GO_ON = (
    "Run the same job again: what is done is kept, training resumes from its last whole checkpoint."
)
LITTLE = (
    "It trained, but finds little: mAP@0.5 is under 0.3. Try more epochs, pretrained weights, a "
    "larger model or input, and look at the boxes: jobgen check DATA, jobgen dataset preview DATA."
)
OFTEN_WRONG = (
    "It trained, but is often wrong: its top-1 is nearer to always saying the commonest class than "
    "to being right. Try more epochs, pretrained weights or a larger model, and look at the "
    "confusion matrix and at the images: jobgen check DATA."
)
BETWEEN = "A cell between the stages has failed: the executed notebook shows it."
# Causes that have a status of their own; everything else has failed.
STATUS_OF_CAUSE = {"untrained": "untrained", "time": "timeout", "interrupted": "interrupted"}


def finds_little(result: Dict[str, Any]) -> bool:
    """Whether a run has trained a model that is mostly wrong."""
    return bool(weak_text(result))


def weak_text(result: Dict[str, Any]) -> str:
    """What to say of a run whose model trained, and is mostly wrong; empty for any other."""
    best = (result.get("metrics") or {}).get("best") or {}
    if result.get("smoke") or "weights" in result or main_figure(best) is None:
        return ""
    most_common = (result.get("dataset") or {}).get("most_common", 0.0)
    if is_useful(best, most_common):
        return ""
    return OFTEN_WRONG if "top1" in best else LITTLE


class Outcome:
    """The record of one run, kept on disk at every step.

    `folder` is `output/<name>/`. A record that is there already belongs to an
    earlier attempt: its verdict is kept under `attempts`.
    """

    def __init__(self, folder: str, facts: Dict[str, Any], time_limit: float = 0.0) -> None:
        self.folder = folder
        self.time_limit = time_limit
        self._closing: List[Callable[[], None]] = []
        # Whether the training's folders are this run's, and whether it was asked to stop.
        self.claimed = False
        self.stopped = False
        self.unsaved = False
        self._clock = time.monotonic()
        self._stage_clock = self._clock
        os.makedirs(os.path.join(folder, "logs"), exist_ok=True)
        self.data: Dict[str, Any] = {
            "schema": RESULT_SCHEMA,
            "status": "running",
            "started": utc_now(),
            "ended": None,
            "seconds": 0.0,
            "process": process_identity(os.getpid()),
            "stages": [],
            "machine": {},
            "versions": {},
            "source": {},
            "adjustments": [],
            "notes": [],
            "metrics": {},
            "artefacts": [],
            "failure": None,
            "closed": False,
            "memory_peak": 0,
            "attempts": self._earlier_attempts(),
        }
        self.data.update(facts)
        self.save()
        self.event("begin", name=self.data.get("name"), attempt=len(self.data["attempts"]) + 1)

    def _earlier_attempts(self) -> List[Dict[str, Any]]:
        earlier = read_json_object(self.path("result.json"))
        if not earlier:
            return []
        attempts = list(earlier.get("attempts") or [])
        failure = earlier.get("failure") or {}
        status = earlier.get("status")
        attempts.append(
            {
                "status": "interrupted" if status == "running" else status,
                "started": earlier.get("started"),
                "seconds": earlier.get("seconds"),
                "stage": failure.get("stage"),
                "message": failure.get("message"),
            }
        )
        return attempts

    @property
    def deadline(self) -> Optional[float]:
        """When the last child must have ended, on the clock of `time.monotonic`."""
        if not self.time_limit:
            return None
        return self._clock + self.time_limit - min(MARGIN, self.time_limit / 10)

    def seconds_left(self) -> Optional[float]:
        """Seconds until the last child must have ended; None where there is no limit."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def log_path(self, name: str) -> str:
        return self.path("logs", name + ".log")

    def save(self) -> None:
        self.data["seconds"] = round(time.monotonic() - self._clock, 3)
        data = recordable(self.data)
        text = json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False)
        write_text_atomically(self.path("result.json"), text + "\n")

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to `events.jsonl`; a full disk here must not hide the first fault."""
        stage_name = self.data["stages"][-1]["name"] if self.data["stages"] else None
        line = {"time": utc_now(), "event": kind, "stage": stage_name}
        line.update(facts)
        try:
            with open(self.path("events.jsonl"), "a", encoding="utf-8", newline="\n") as stream:
                stream.write(
                    json.dumps(recordable(line), ensure_ascii=False, sort_keys=True) + "\n"
                )
        except OSError as error:
            print("events.jsonl: %s" % error, file=sys.stderr)

    def start(self, name: str) -> None:
        if self.data["status"] != "running":
            raise StageError(
                "the run has ended already (%s); %s is not started" % (self.data["status"], name),
                "Restart the notebook's kernel and run it from the first cell.",
                cause="order",
            )
        self._stage_clock = time.monotonic()
        self.data["stages"].append(
            {"name": name, "status": "running", "seconds": 0.0, "exit_status": None, "text": ""}
        )
        self.save()
        self.event("start")

    def end(self, status: str) -> Dict[str, Any]:
        record: Dict[str, Any] = self.data["stages"][-1]
        record["status"] = status
        record["seconds"] = round(time.monotonic() - self._stage_clock, 3)
        self.save()
        self.event("end", status=status, seconds=record["seconds"], text=record["text"])
        seconds = duration_text(record["seconds"])
        text = redacted(record["text"])
        print("%-10s%-12s%-12s%s" % (record["name"], status, seconds, text), flush=True)
        return record

    def fail(self, error: StageError, status: str = "failed") -> None:
        record = self.data["stages"][-1]
        record["exit_status"] = error.exit_status
        record["text"] = error.message
        self.data["failure"] = {
            "stage": record["name"],
            "cause": error.cause,
            "message": error.message,
            "remedy": error.remedy,
            "exit_status": error.exit_status,
            "log": error.log,
            "tail": error.tail[-20:],
        }
        try:
            self.finish(status)
            self.end(status)
        except OSError as fault:
            # What follows may free the disk; the record is written once more after it.
            print("result.json: %s" % fault, file=sys.stderr)
        for line in (error.remedy, error.log):
            if line:
                print(" " * 10 + line, flush=True)
        self.close()

    def finish(self, status: str) -> None:
        self.data["status"] = status
        self.data["ended"] = utc_now()
        self.data["memory_peak"] = children_memory()
        self.save()

    def close(self) -> None:
        """Do what `at_end` asked for; a fault there is told and changes no verdict."""
        for function in self._closing:
            try:
                function()
            except Exception as error:
                text = "%s: %s" % (type(error).__name__, error)
                self.data["notes"].append({"stage": None, "text": text})
                print("%-10s%s" % ("", redacted(text)), flush=True)
        self._closing = []
        self.data["closed"] = True
        try:
            self.save()
        except OSError as fault:
            self.unsaved = True
            print("result.json: %s" % fault, file=sys.stderr)


_current: List[Outcome] = []


def begin(folder: str, time_limit: float = 0.0, **facts: Any) -> Outcome:
    """Start the record of a run in `folder`; later calls of `outcome()` give it.

    `time_limit` are the seconds that the whole job may take, 0 for no limit. From here
    on SIGTERM, with which a platform ends a job, is told like Ctrl-C: the running stage
    ends its children and writes the result.
    """
    hold_folder(folder)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
        # As a closed terminal ends it.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, _stop)
    atexit.unregister(_close_between_stages)
    atexit.register(_close_between_stages)
    try:
        _current[:] = [Outcome(folder, facts, time_limit)]
    except OSError as error:
        raise describe_os_error(error) from error
    return _current[0]


def _close_between_stages() -> None:
    """The process ends without a verdict: a cell outside of the stages has failed."""
    run = running_outcome()
    if run is None or run.data["process"] != process_identity(os.getpid()):
        return  # nothing begun, or a fork of the notebook's process
    try:
        if run.unsaved:
            run.save()
        if run.data["status"] != "running":
            return
        run.start("end")
        text, remedy, cause = "the notebook ended before its last stage", BETWEEN, "notebook"
        if run.stopped:
            text, remedy, cause = "the run was stopped between two stages", GO_ON, "interrupted"
        run.fail(StageError(text, remedy, cause=cause), STATUS_OF_CAUSE.get(cause, "failed"))
    except OSError as error:
        print("result.json: %s" % error, file=sys.stderr)


def at_end(function: Callable[..., None], *arguments: Any) -> None:
    """Call `function` when the run ends, whichever way, once its verdict is written."""
    outcome()._closing.append(lambda: function(*arguments))


def _stop(number: int, _frame: Any) -> None:
    run = running_outcome()
    if run is not None:
        run.stopped = True
    raise KeyboardInterrupt("signal %d" % number)


def running_outcome() -> Optional[Outcome]:
    """The record of the run, None where none was begun."""
    return _current[0] if _current else None


def outcome() -> Outcome:
    if not _current:
        raise StageError("no run was begun", "Run the notebook from its first cell.", cause="order")
    return _current[0]


def summary(text: str) -> None:
    """The one line that says what the running stage found or did."""
    stages = outcome().data["stages"]
    if stages:  # a cell between the first and the stages has nothing to be the line of
        stages[-1]["text"] = text


def note(text: str) -> None:
    """Something the reader of the result should know, though nothing failed."""
    run = outcome()
    stages = run.data["stages"]
    run.data["notes"].append({"stage": stages[-1]["name"] if stages else None, "text": text})
    run.event("note", text=text)
    print("%-10s%s" % ("", redacted(text)), flush=True)


def adjust(what: str, planned: Any, used: Any, why: str) -> Any:
    """Record that this machine makes the run use another value than the bundle's; give it back."""
    if planned != used:
        run = outcome()
        record = {"what": what, "planned": planned, "used": used, "why": why}
        run.data["adjustments"].append(record)
        run.event("adjust", **record)
        print("%-10s%s: %s instead of %s (%s)" % ("", what, used, planned, why), flush=True)
    return used


@contextlib.contextmanager
def stage(name: str) -> Iterator[Outcome]:
    """One step of the job: timed, recorded, and the end of the notebook where it fails."""
    run = outcome()
    run.start(name)
    try:
        yield run
        run.end("ok")
    except StageError as error:
        run.fail(error, STATUS_OF_CAUSE.get(error.cause, "failed"))
        raise
    except KeyboardInterrupt:
        run.fail(
            StageError(
                "%s was stopped from outside" % name,
                GO_ON,
                cause="interrupted",
            ),
            "interrupted",
        )
        raise
    except OSError as error:
        run.fail(describe_os_error(error))
        raise
    except Exception as error:
        last = traceback.format_exc().splitlines()
        run.fail(
            StageError(
                "%s: %s" % (type(error).__name__, error),
                "This is a fault of jobgen: please report it with result.json.",
                cause="internal",
                tail=last,
            )
        )
        raise
