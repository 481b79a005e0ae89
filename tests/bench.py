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
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from jobgen.datasets.contents import open_contents
from jobgen.datasets.headers import Header, read_headers
from jobgen.job.notebook import Cell, notebook_text
from jobgen.run.kernel import execute

sys.path.insert(0, str(Path(__file__).parent.parent))
from jobgen_runtime.children.processes import program_path
from tests.bench_reader import reader_speed_rows
from tests.bench_server import page_rows, server_rows
from tests.bench_sets import reader_rows, tiles_row
from tests.large_coco import write_large_coco
from tests.load_server import load_rows
from tests.sets import picture

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


def rules_rows(folder: Path) -> list[Row]:
    """All annotation rules on a COCO file of the size of instances_train2017, beside
    pycocotools reading it: seconds and peak memory of whole processes."""
    path = folder / "instances_train2017.json"
    write_large_coco(path)
    code = "import sys; from pycocotools.coco import COCO; COCO(sys.argv[1])"
    peer = [sys.executable, "-c", code, str(path)]
    ours = [*JOBGEN, "check", str(path)]
    pairs = [(cost(ours), cost(peer)) for _ in range(2)]
    path.unlink()
    rows: list[Row] = []
    for place, (what, unit, budget) in enumerate((("time", "s", 0.25), ("memory", "MB", 0.5))):
        a, b = (statistics.median(pair[side][place] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[0][place] / pair[1][place] for pair in pairs)
        name = f"860,001 boxes checked / pycocotools, {what}"
        rows.append((name, f"{a:.1f} {unit}", f"{b:.1f} {unit}", ratio, budget))
    return rows


def cost(argv: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak MB of a process that ends well."""
    started = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv)
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def headers_row(folder: Path) -> Row:
    """The headers of 4,000 JPEG files in a zip, beside Pillow opening each from the same zip."""
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        pictures = [picture(seed, size=(640 + seed, 480)) for seed in range(20)]
        for number in range(4000):
            archive.writestr(f"{number:06d}.jpg", pictures[number % 20])
    pairs = [(ours_headers(path), pillow_headers(path)) for _ in range(5)]
    assert pairs[0][0][1] == pairs[0][1][1]
    a, b = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(pair[0][0] / pair[1][0] for pair in pairs)
    return "4,000 image headers / Pillow", f"{a:.3f} s", f"{b:.3f} s", ratio, 1 / 3


def ours_headers(path: Path) -> tuple[float, set[tuple[int, int]]]:
    started = time.perf_counter()
    files = open_contents(path)
    found = read_headers(files, files.names)
    passed = time.perf_counter() - started
    return passed, {h.shown for h in found.values() if isinstance(h, Header)}


def pillow_headers(path: Path) -> tuple[float, set[tuple[int, int]]]:
    started = time.perf_counter()
    found = set()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as stream, Image.open(stream) as image:
                found.add(image.size)
    return time.perf_counter() - started, found


def output_row(folder: Path) -> Row:
    """What 20 MB of training log add to the executed notebook."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from jobgen_runtime.children.processes import run_logged\n"
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


def train_row(folder: Path) -> Row:
    """The train stage of a run on the CPU beside the same tools/train.py by hand: after its five
    seconds at most 2 % more. The fixed cost of the other stages is a row of its own."""
    seconds([*JOBGEN, "demo", "--folder", str(folder / "t"), "--prepare-only"], folder)
    run = [*JOBGEN, "run", str(folder / "t" / "upload"), "--archive", str(folder / "t/ships.zip")]
    run += ["--device", "cpu", "--yes", "--new", "--runs", str(folder / "t" / "runs")]
    pairs = []
    for number in range(2):
        # A training of two epochs has learned too little for an `ok`.
        argv = [*run, "-p", "EPOCHS", "2"]
        subprocess.run(argv, cwd=folder, check=False, capture_output=True)
        home = (
            max((folder / "t" / "runs").iterdir(), key=lambda path: path.stat().st_mtime) / "home"
        )
        result = json.loads((home / "output" / "ships" / "result.json").read_bytes())
        stages = {stage["name"]: stage["seconds"] for stage in result["stages"]}
        pairs.append((stages.pop("train"), by_hand(home, number), sum(stages.values())))
    ours, peer = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    print(f"the other stages: {statistics.median(pair[2] for pair in pairs):.1f} s")
    ratio = statistics.median((a - 5) / b for a, b, _ in pairs)
    return (
        "train stage less 5 s / tools/train.py by hand",
        f"{ours:.1f} s",
        f"{peer:.1f} s",
        ratio,
        1.02,
    )


def by_hand(home: Path, number: int) -> float:
    """Seconds of the training that the run made, started without jobgen's watch."""
    clone = home / "PaddleDetection"
    (config,) = (clone / "configs" / "picodet").glob("*.run.yml")
    text = config.read_text(encoding="utf-8").replace("/checkpoints", f"/by-hand-{number}")
    mine = config.with_name(f"by_hand_{number}.yml")
    mine.write_text(text, encoding="utf-8")
    rows = (home / "output" / "ships" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    python = next(row["python"] for row in map(json.loads, rows) if row["event"] == "environment")
    runner = program_path("run_tool")
    env = {**os.environ, "PYTHONPATH": str(clone), "JOBGEN_PARENT": str(os.getpid())}
    argv = [python, runner, str(clone / "tools" / "train.py"), "-c", str(mine), "--eval"]
    started = time.perf_counter()
    subprocess.run(argv, cwd=clone, env=env, check=True, capture_output=True)
    return time.perf_counter() - started


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
        check = [*JOBGEN, "check", str(SSDD / "job.yaml")]
        click = [sys.executable, "-c", "import click"]
        rows = [
            process_row("jobgen --help / import click", [*JOBGEN, "--help"], click, 3.0, folder),
            # docs/decisions/build-time.md says why not 1.0.
            process_row("jobgen build / papermill --prepare-only", build, papermill, 2.0, folder),
            process_row("jobgen check of a job / the same", check, papermill, 1.5, folder),
            *rules_rows(folder),
            headers_row(folder),
            *reader_rows(folder),
            tiles_row(folder),
            *reader_speed_rows(folder),
            *server_rows(folder / "service"),
            *load_rows(folder / "load", 60.0),
            *page_rows(folder / "page"),
            output_row(folder),
            second_run_row(folder),
            train_row(folder),
        ]
    print(f"{'what':<48}{'ours':>12}{'peer':>14}{'ratio':>8}{'budget':>8}")
    for what, ours, peer, ratio, budget in rows:
        print(f"{what:<48}{ours:>12}{peer:>14}{ratio:>8.2f}{budget:>8.2f}")
    return int(any(ratio > budget for *_, ratio, budget in rows))


if __name__ == "__main__":
    sys.exit(main())
