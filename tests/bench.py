"""The budgets as ratios, each against a peer in the same run: python tests/bench.py

Wall time of whole processes, interleaved A B A B, the median of the pairs' ratios:
a noisy machine slows both. Ends with exit status 1 where a budget is exceeded.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
SSDD = ROOT / "bundles" / "ssdd"
ROUNDS = 7


def seconds(argv: Sequence[str], cwd: Path) -> float:
    started = time.perf_counter()
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - started


def ratio(ours: Sequence[str], peer: Sequence[str], cwd: Path) -> tuple[float, float, float]:
    """Median seconds of ours and of the peer's, and the median of the pairs' ratios."""
    seconds(ours, cwd), seconds(peer, cwd)
    pairs = [(seconds(ours, cwd), seconds(peer, cwd)) for _ in range(ROUNDS)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def main() -> int:
    python = sys.executable
    jobgen = [python, "-m", "jobgen"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        papermill = [python, "-m", "papermill", "--prepare-only", "--no-progress-bar"]
        papermill += [str(SSDD / "upload" / "main.ipynb"), str(folder / "out.ipynb")]
        rows = [
            (
                "jobgen --help / import click",
                [*jobgen, "--help"],
                [python, "-c", "import click"],
                3.0,
            ),
            (
                "jobgen build (SSDD) / papermill --prepare-only",
                [*jobgen, "build", str(SSDD / "job.yaml"), "-o", str(folder / "upload")],
                papermill,
                1.0,
            ),
        ]
        print(f"{'what':<48}{'ours':>9}{'peer':>9}{'ratio':>8}{'budget':>8}")
        exceeded = False
        for what, ours, peer, budget in rows:
            a, b, found = ratio(ours, peer, folder)
            exceeded |= found > budget
            print(f"{what:<48}{a:>7.3f} s{b:>7.3f} s{found:>8.2f}{budget:>8.2f}")
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
