"""The budgets, each against a peer in the same run: python tests/bench.py

Wall time of whole processes, interleaved A B A B, the median of the pairs' ratios:
a noisy machine slows both. Ends with exit status 1 where a budget is exceeded.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobgen.notebook import Cell, notebook_text
from jobgen.run.kernel import execute

ROOT = Path(__file__).parent.parent
SSDD = ROOT / "bundles" / "ssdd"
ROUNDS = 9
JOBGEN = [sys.executable, "-m", "jobgen"]
Row = tuple[str, str, str, float, float]


def seconds(argv: Sequence[str], cwd: Path) -> float:
    started = time.perf_counter()
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - started


def process_row(
    what: str, ours: Sequence[str], peer: Sequence[str], budget: float, cwd: Path
) -> Row:
    """Median seconds of ours and of the peer's, and the median of the pairs' ratios."""
    seconds(ours, cwd), seconds(peer, cwd)
    pairs = [(seconds(ours, cwd), seconds(peer, cwd)) for _ in range(ROUNDS)]
    a, b = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    return what, f"{a:.3f} s", f"{b:.3f} s", statistics.median(a / b for a, b in pairs), budget


def output_row(folder: Path) -> Row:
    """What 20 MB of training log add to the executed notebook."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from jobgen.runtime.processes import run_logged\n"
        "run_logged([sys.executable, '-c', \"for i in range(200000): print('x' * 100)\"], 'x.log')"
    )
    cells = [Cell("parameters", "code", "X = 1", ("parameters",)), Cell("a", "code", code)]
    saved = folder / "executed.ipynb"
    notebook = json.loads(notebook_text(cells, {}))
    execute(notebook, Path(sys.executable), dict(os.environ), folder, saved, lambda: True)
    log, size = (folder / "x.log").stat().st_size, saved.stat().st_size
    return "notebook after 20 MB of log / 1 MB", f"{size} B", f"{log} B", size / 1e6, 1.0


def second_run_row(folder: Path) -> Row:
    """How much of environment, mirror, packages and weights a second run makes or fetches again."""
    made = []
    prepare = [*JOBGEN, "demo", "--folder", str(folder / "demo"), "--prepare-only"]
    smoke = [*JOBGEN, "run", str(folder / "demo" / "upload"), "--archive"]
    smoke += [str(folder / "demo" / "ships.zip"), "--device", "cpu", "--smoke", "--json", "--new"]
    subprocess.run(prepare, check=True, capture_output=True)
    for _ in range(2):
        answer = subprocess.run(smoke, cwd=folder, check=True, capture_output=True, text=True)
        home = Path(json.loads(answer.stdout)["run"]) / "home"
        made.append(sum(1 for event in events(home) if made_or_fetched(event)))
    return "second run: made or fetched again / 1", str(made[1]), "0", float(made[1]), 0.0


def events(home: Path) -> Iterator[dict[str, object]]:
    for path in home.glob("output/*/events.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def made_or_fetched(event: dict[str, object]) -> bool:
    return bool(event.get("made") or event.get("fetched") or event.get("installed"))


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        papermill = [sys.executable, "-m", "papermill", "--prepare-only", "--no-progress-bar"]
        papermill += [str(SSDD / "upload" / "main.ipynb"), str(folder / "out.ipynb")]
        build = [*JOBGEN, "build", str(SSDD / "job.yaml"), "-o", str(folder / "upload")]
        click = [sys.executable, "-c", "import click"]
        rows = [
            process_row("jobgen --help / import click", [*JOBGEN, "--help"], click, 3.0, folder),
            process_row("jobgen build / papermill --prepare-only", build, papermill, 1.0, folder),
            output_row(folder),
            second_run_row(folder),
        ]
    print(f"{'what':<44}{'ours':>12}{'peer':>14}{'ratio':>8}{'budget':>8}")
    for what, ours, peer, ratio, budget in rows:
        print(f"{what:<44}{ours:>12}{peer:>14}{ratio:>8.2f}{budget:>8.2f}")
    return int(any(ratio > budget for *_, ratio, budget in rows))


if __name__ == "__main__":
    sys.exit(main())
