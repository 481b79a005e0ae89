"""What a job that runs as a program, `python main.py`, has where a notebook has its kernel: values
from the command line, the job's files in the home folder, and a log beside the results."""

import ast
import os
import shutil
import sys
from typing import Any, Dict, List, TextIO

LOG = "main.log"


class Copied:
    """A stream that is also written into a file: of what a job printed, its output is all that is
    left."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream = stream
        self.log = log

    def write(self, text: str) -> int:
        self.log.write(text)
        self.log.flush()
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def take_arguments(words: List[str], known: List[str], names: Dict[str, Any]) -> None:
    """Set parameters and settings from words as EPOCHS=20 or DEVICE=cpu. Ends the program with
    exit code 2 at one that the job does not have."""
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in known:
            print("%r is no NAME=VALUE with a name of these: %s" % (word, ", ".join(known)))
            sys.exit(2)
        try:
            names[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            names[name] = text


def settle_in(home: str, files: List[str]) -> None:
    """Work in the home folder with the job's files in it, wherever the program was unpacked, and
    keep what is printed in output/main.log."""
    home = os.path.abspath(home)
    place = os.path.dirname(os.path.abspath(__file__))
    os.makedirs(os.path.join(home, "output"), exist_ok=True)
    if not os.path.samefile(place, home):
        for name in files:
            shutil.copyfile(os.path.join(place, name), os.path.join(home, name))
    os.chdir(home)
    path = os.path.join(home, "output", LOG)
    log = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stdout = Copied(sys.stdout, log)
    sys.stderr = Copied(sys.stderr, log)


def end_plainly(kind: Any, error: BaseException, trace: Any) -> None:
    """The last line of a program that stops: a fault that was foreseen needs no traceback."""
    if kind.__name__ == "StageError" or isinstance(error, KeyboardInterrupt):
        print("stopped: %s" % error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = end_plainly
