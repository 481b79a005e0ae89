"""An exported model as ONNX."""

import os
import re
from typing import List

from jobgen_runtime.children.exchange import ask_child
from jobgen_runtime.children.processes import (
    child_environment,
    exit_text,
    last_words,
    program_path,
    python_command,
    run_logged,
)
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.record.text import write_text_atomically

ONNX_OPSET = "14"


def to_onnx(folder: str, form: str, weights: str = "model.pdiparams") -> str:
    """Convert with paddle2onnx, which ends 0 and leaves an empty file where it fails: the model's
    file `form` and its `weights` in `folder`. Gives the path."""
    goal = os.path.join(folder, "model.onnx")
    log = outcome().log_path("export")
    code = "import sys; from paddle2onnx.command import main; sys.argv[0] = 'paddle2onnx'; main()"
    runner = os.path.join(outcome().path("scripts"), "to_onnx.py")
    write_text_atomically(runner, code + "\n")
    argv = python_command(program_path("run_tool"), runner, "--model_dir", folder)
    argv += ["--model_filename", form, "--params_filename", weights]
    argv += ["--save_file", goal, "--opset_version", ONNX_OPSET]
    finished = run_logged(
        argv, log, env=child_environment(JOBGEN_PARENT=str(os.getpid())), quiet=True
    )
    if finished.exit_status != 0 or not os.path.isfile(goal) or not os.path.getsize(goal):
        if os.path.isfile(goal):
            os.remove(goal)
        raise StageError(
            "paddle2onnx %s without a model: %s" % (exit_text(finished), _complaint(finished.tail)),
            "The weights and inference/ are kept. Leave out export.onnx to do without it.",
            cause="export",
            log=log,
            exit_status=finished.exit_status,
            tail=finished.tail,
        )
    return goal


def take_time(model: str) -> None:
    """Measure how long an ONNX model takes for a picture, into `metrics.latency`."""
    run = outcome()
    argv = python_command(program_path("run_tool"), program_path("onnx_speed"), model)
    found = ask_child(argv, "export", "the time of the ONNX model", run.folder)
    run.data["metrics"]["latency"] = found


def _complaint(tail: List[str]) -> str:
    """paddle2onnx's own words, without the colours it gives them for a terminal."""
    plain = [re.sub("\x1b[[][0-9;]*m", "", line) for line in tail]
    told = [line for line in plain if "ERROR" in line or "Failed" in line]
    return told[0].rpartition("]")[2].strip() if told else last_words(plain)
