"""Smoke runs with a random fault each: python tests/soak.py RUNS SEED

Real Paddle, real training on the CPU. After each run: no process of it is left, its
verdict is true, and what the caches hold is whole. Prints a table; exit status 1 at
the first untruth.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from jobgen.report.read import read_records
from jobgen.run.strays import strays
from tests.whole import heed_interrupt

JOBGEN = [sys.executable, "-m", "jobgen"]
# Who is struck (a word of its command; empty for any), by what, and what may be said of it afterwards. A fault that comes too late
# finds a run that has ended well.
FAULTS = {
    "nothing": ("", 0, {"ok-smoke"}),
    "training SIGKILL": ("run_tool.py", signal.SIGKILL, {"failed", "ok-smoke"}),
    "training SIGTERM": ("run_tool.py", signal.SIGTERM, {"failed", "ok-smoke"}),
    "kernel SIGKILL": ("ipykernel_launcher", signal.SIGKILL, {"failed", "ok-smoke"}),
    "kernel SIGTERM": ("ipykernel_launcher", signal.SIGTERM, {"interrupted", "failed", "ok-smoke"}),
    "jobgen SIGKILL": ("jobgen", signal.SIGKILL, {"interrupted", "ok-smoke"}),
    "jobgen SIGTERM": ("jobgen", signal.SIGTERM, {"interrupted", "ok-smoke"}),
    "jobgen SIGINT": ("jobgen", signal.SIGINT, {"interrupted", "ok-smoke"}),
    "jobgen SIGHUP": ("jobgen", signal.SIGHUP, {"interrupted", "ok-smoke"}),
    "git SIGKILL": ("git", signal.SIGKILL, {"failed", "ok-smoke"}),
    "git SIGTERM": ("git", signal.SIGTERM, {"failed", "ok-smoke"}),
    "any child SIGKILL": ("", signal.SIGKILL, {"failed", "interrupted", "ok-smoke"}),
    "any child SIGTERM": ("", signal.SIGTERM, {"failed", "interrupted", "ok-smoke"}),
}
EXIT = {"ok-smoke": {0}, "failed": {7}, "interrupted": {130, 7, -signal.SIGKILL}}


def strike(process: subprocess.Popen[bytes], runs: Path, who: str, number: int) -> bool:
    """Send the signal; False where nobody of that name is at work."""
    if who == "jobgen":
        process.send_signal(number)
        return process.poll() is None
    for folder in runs.glob("*"):
        for pid in strays(folder):
            with contextlib.suppress(OSError):
                if who.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, number)
                    return True
    return False


def one_run(upload: Path, runs: Path, fault: str, delay: float) -> tuple[str, str]:
    """(status, what is untrue or empty) of one smoke run."""
    who, number, allowed = FAULTS[fault]
    argv = [*JOBGEN, "run", str(upload), "--archive", str(upload.parent / "ships.zip"), "--smoke"]
    argv += ["--device", "cpu", "--yes", "--no-check", "--new", "--runs", str(runs)]
    before = set(runs.glob("*"))
    said = runs.parent / "said.txt"
    with said.open("wb") as stream:
        process = subprocess.Popen(argv, stdout=stream, stderr=stream, preexec_fn=heed_interrupt)
    struck, deadline = not number, time.monotonic() + delay
    while process.poll() is None:
        if not struck and time.monotonic() > deadline:
            struck = strike(process, runs, who, number)
        time.sleep(0.02 if who == "git" else 0.1)
    text = said.read_text("utf-8", "replace")
    if "Traceback" in text:
        return "?", text[text.index("Traceback") :][-300:]
    new = set(runs.glob("*")) - before
    if not new:
        return "not begun", "" if process.returncode else "it ended 0 without a run"
    (folder,) = new
    time.sleep(1.0)
    left = strays(folder)
    if left:
        return "?", f"{len(left)} processes are left: {left}"
    if not list(folder.rglob("result.json")):
        return "no result", "" if process.returncode else "it ended 0 without a result"
    status = str(read_records(folder, folder / "spare")[0].result["status"])
    if status not in allowed:
        return status, f"not one of {sorted(allowed)}"
    if process.returncode not in EXIT[status] and who != "jobgen":
        return status, f"exit status {process.returncode}"
    return status, ""


def main() -> int:
    count, chance = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    table: Counter[tuple[str, str]] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        demo = [*JOBGEN, "demo", "--folder", str(folder), "--prepare-only"]
        subprocess.run(demo, check=True, capture_output=True)
        for number in range(count):
            fault, delay = chance.choice(list(FAULTS)), chance.uniform(0.5, 14)
            status, untrue = one_run(folder / "upload", folder / "runs", fault, delay)
            table[fault, status] += 1
            wrong += bool(untrue)
            print(f"{number + 1:3} {fault:18} {delay:5.1f} s  {status:12} {untrue}", flush=True)
        last = one_run(folder / "upload", folder / "runs", "nothing", 0)
        print(f"    a last run without a fault: {last}")
        wrong += last != ("ok-smoke", "")
    print(json.dumps([{"fault": f, "status": s, "runs": n} for (f, s), n in sorted(table.items())]))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
