"""Child processes: streamed, logged, timed, and ended with all they started."""

import codecs
import contextlib
import ctypes
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
import uuid
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from jobgen_runtime.children.guard import Guard, job_guard
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.record.text import redacted

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|ACCESS_?KEY|CREDENTIAL|AUTH", re.IGNORECASE)
SHOWN_LINES = 60
TAIL_LINES = 40


class Finished(NamedTuple):
    """How a child ended. `exit_status` is negative for a signal, as subprocess has it."""

    exit_status: int
    seconds: float
    tail: List[str]
    memory: float
    timed_out: bool


def _libc() -> Any:
    """The C library where it can tie a child's life to its parent's: on Linux."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


LIBC = _libc()


def _die_with_this_process() -> None:
    """In the child, before it becomes the program: whatever kills the notebook kills it too."""
    set_parent_death_signal = 1
    LIBC.prctl(set_parent_death_signal, signal.SIGKILL)


# For the start of a child; None where only Linux could do it.
DIE_WITH_PARENT = _die_with_this_process if LIBC is not None else None


def child_environment(**extra: str) -> Dict[str, str]:
    """This process's environment without secrets, made predictable for tools."""
    env = {key: value for key, value in os.environ.items() if not SECRET_NAME.search(key)}
    env.update(
        PYTHONUTF8="1", PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", GIT_TERMINAL_PROMPT="0"
    )
    env.update(extra)
    return env


class LineSplitter:
    """Bytes in, lines out; what a carriage return overwrites is left out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, chunk: bytes, final: bool = False) -> List[str]:
        text = self._rest + self._decoder.decode(chunk, final)
        lines = text.replace("\r\n", "\n").split("\n")
        self._rest = "" if final else lines.pop()
        if "\r" in self._rest[:-1]:
            self._rest = self._rest[self._rest.rindex("\r", 0, len(self._rest) - 1) :]
        found = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines]
        return found if not final or found[-1] else found[:-1]


def memory_in_use() -> float:
    """Share of this machine's (or container's) memory in use, 0 to 1; 0 where it can't be read."""
    for used_file, limit_file in (
        ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max"),
        (
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ),
    ):
        try:
            with open(used_file) as used, open(limit_file) as limit:
                bytes_used, bytes_limit = int(used.read()), int(limit.read())
            if bytes_limit < 1 << 50:
                return bytes_used / float(bytes_limit)
        except (OSError, ValueError):
            continue
    facts = memory_facts()
    if not facts:
        return 0.0
    return 1.0 - facts["available"] / float(facts["total"])


def memory_facts() -> Dict[str, int]:
    """`total` and `available` memory of the machine in bytes, from /proc/meminfo."""
    try:
        with open("/proc/meminfo") as stream:
            rows = dict(line.split(":", 1) for line in stream)
        return {
            "total": int(rows["MemTotal"].split()[0]) * 1024,
            "available": int(rows["MemAvailable"].split()[0]) * 1024,
        }
    except (OSError, ValueError, KeyError):
        return {}


def end_group(process: "subprocess.Popen[bytes]", mark: str, patience: float = 10.0) -> None:
    """End a child and everything in its process group: SIGTERM, then SIGKILL; then whatever else
    has its `mark` in the environment.

    A second Ctrl-C or SIGTERM meanwhile does not leave the work half done.
    """
    with _signals_held():
        _end_group(process, patience)
        # Those with a session of their own, as Paddle's launcher starts them, are in no group.
        for pid in marked_processes("JOBGEN_CHILD=" + mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_group(process: "subprocess.Popen[bytes]", patience: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def marked_processes(mark: str) -> List[int]:
    """The processes that have this in the environment they were started with."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open("/proc/%s/environ" % name, "rb") as stream:
                    if mark.encode("ascii") in stream.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue
    return found


def run_logged(
    argv: List[str],
    log: str,
    cwd: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    timeout: Optional[float] = None,
    on_line: Optional[Callable[[str], None]] = None,
    quiet: bool = False,
    guard: Optional[Guard] = None,
) -> Finished:
    """Run `argv` in a session of its own, its output added to the file `log`.

    Without `on_line` the first lines are shown too, unless `quiet`. An exception out of `on_line`
    or of `guard`, by default the running job's, ends the child and is passed on. A child that
    can't be started raises OSError.
    """
    guard = guard or job_guard()
    started = time.monotonic()
    tail: List[str] = []
    handle = on_line or _shower(log, quiet)
    with open(log, "a", encoding="utf-8", newline="\n") as stream:
        stream.write(redacted("$ %s\n" % " ".join(argv)))
        stream.flush()
        mark = uuid.uuid4().hex
        whole = dict(child_environment() if env is None else env, JOBGEN_CHILD=mark)
        process = _started(argv, cwd, whole)

        def take(lines: List[str]) -> None:
            guard.heard()
            for line in map(redacted, lines):
                stream.write(line + "\n")
                tail.append(line)
                del tail[:-TAIL_LINES]
                handle(line)
            stream.flush()

        try:
            memory, timed_out = _pump(process, take, started, timeout, guard)
        except StageError as error:
            error.tail = error.tail or tail
            raise
        finally:
            end_group(process, mark)
            if process.stdout is not None:
                process.stdout.close()
    seconds = time.monotonic() - started
    return Finished(process.returncode, seconds, tail, memory, timed_out)


def _shower(log: str, quiet: bool) -> Callable[[str], None]:
    """What shows a child's first lines, and then where the rest is."""
    shown = [0]

    def show(line: str) -> None:
        shown[0] += 1
        if quiet:
            return
        if shown[0] <= SHOWN_LINES:
            print(line, flush=True)
        elif shown[0] == SHOWN_LINES + 1:
            print("... the rest is in %s" % log, flush=True)

    return show


def _started(argv: List[str], cwd: Optional[str], env: Dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=DIE_WITH_PARENT,
    )


def _pump(
    process: "subprocess.Popen[bytes]",
    take: Callable[[List[str]], None],
    started: float,
    timeout: Optional[float],
    guard: Guard,
) -> Any:
    """Pass the child's lines on until it ends; also watch the clock and the memory."""
    splitter = LineSplitter()
    assert process.stdout is not None
    highest, quiet, measured = 0.0, 0, started
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(1.0):
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                take(splitter.feed(chunk, final=not chunk))
                quiet = 0
                if not chunk:
                    break
            else:
                # A grandchild may hold the pipe open after the child has ended.
                quiet = quiet + 1 if process.poll() is not None else 0
                if quiet >= 3:
                    break
            now = time.monotonic()
            if now - measured >= 1.0:
                highest, measured = max(highest, memory_in_use()), now
                guard.look(process.pid)
            if timeout is not None and now - started > timeout:
                return highest, True
    # A closed pipe is not yet an ended child: without this a slow exit would look like a kill.
    while process.poll() is None:
        if timeout is not None and time.monotonic() - started > timeout:
            return highest, True
        guard.look(process.pid)
        time.sleep(0.05)
    return highest, False


def exit_text(finished: Finished) -> str:
    """How a child ended, in words."""
    if finished.timed_out:
        return "did not end within %.0f s" % finished.seconds
    status = finished.exit_status
    if status >= 0:
        return "ended with exit status %d" % status
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "signal %d" % -status
    if name != "SIGKILL":
        return "was ended by %s" % name
    if finished.memory < 0.85:
        return "was killed (SIGKILL)"
    facts = memory_facts()
    total = facts.get("total", 0) / 2.0**30
    return "was killed (SIGKILL), most likely out of memory: %.1f of %.1f GB were in use" % (
        finished.memory * total,
        total,
    )


def program_path(name: str) -> str:
    """The file of a program of this package, which runs in a process of its own."""
    return os.path.join(PACKAGE, "programs", name + ".py")


def json_from_child(argv: List[str], log_name: str, what: str, **options: Any) -> Any:
    """Run a child whose last words are a JSON object, and give what it says; a process that the
    child left at work may write into the same line.

    Raises StageError with the child's last lines when it ends otherwise.
    """
    log = outcome().log_path(log_name)
    finished = run_logged(argv, log, **options)
    if finished.exit_status == 0 and not finished.timed_out:
        for line in reversed(finished.tail):
            try:
                return json.JSONDecoder().raw_decode(line, line.index('{"'))[0]
            except ValueError:
                continue
    raise StageError(
        "%s %s: %s" % (what, exit_text(finished), last_words(finished.tail)),
        "The lines before it are in the log.",
        cause="killed" if finished.exit_status < 0 else "child",
        log=log,
        exit_status=finished.exit_status,
        tail=finished.tail,
    )


def last_words(tail: List[str]) -> str:
    """The line of a child's output that most likely says why it ended."""
    for line in reversed(tail):
        if re.match(r"\s*(\w+\.)*\w*(Error|Exception|fatal|ERROR)\b", line):
            return line.strip()
    said = [line.strip() for line in tail if line.strip()]
    return said[-1] if said else "it said nothing"


def python_command(*arguments: str) -> List[str]:
    return [sys.executable] + list(arguments)
