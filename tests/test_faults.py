"""Whole runs that are killed, starved, hung and gone on with: the verdict is always true, and
nothing outlives them. Real kernel, real git, real children; a stand-in for Paddle (tests/whole.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.run.strays import strays
from tests.conftest import Answer
from tests.sets import Coco, write_zip
from tests.whole import Whole, make_whole

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
SLOW = {"pause": 0.5}
PATIENCE = 30.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole 船")
    archive = write_zip(folder / "ships.zip", Coco().all_files())
    return make_whole(folder, archive.read_bytes())


@pytest.fixture
def whole(made: Whole, tmp_path: Path) -> Whole:
    """All that a run needs, with runs of its own."""
    for name in ("ships.zip", "upload", "python", "PaddleDetection"):
        (tmp_path / name).symlink_to(made.folder / name)
    return Whole(tmp_path)


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


def process_with(whole: Whole, words: str) -> int | None:
    """The first process of the run whose command line has these words."""
    for folder in whole.folder.glob("runs/*"):
        for pid in strays(folder):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if words.encode() in command:
                return pid
    return None


def second_epoch(whole: Whole) -> bool:
    paths = list(whole.folder.glob("runs/*/home/output/*/events.jsonl"))
    return bool(paths) and '"event": "evaluated"' in paths[0].read_text(encoding="utf-8")


def none_left(whole: Whole) -> bool:
    return not [pid for folder in whole.folder.glob("runs/*") for pid in strays(folder)]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def goes_on_and_ends_ok(whole: Whole) -> dict[str, Any]:
    code, said = whole.run()
    assert code == 0, said
    assert "resuming " in said
    result = whole.result()
    assert result["status"] == "ok"
    rows = (whole.output / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    steps = [row.split(",")[:2] for row in rows if row.split(",")[1]]
    assert steps == [[str(epoch), str(step)] for epoch in range(3) for step in range(2)]
    return result


def test_a_run_that_ends_well(whole: Whole) -> None:
    code, said = whole.run()
    assert code == 0, said
    executed = json.loads(next(whole.folder.glob("runs/*/main.executed.ipynb")).read_bytes())
    (injected,) = [c for c in executed["cells"] if c["id"] == "injected-parameters"]
    assert "CLEANUP = False" in "".join(injected["source"])
    result = whole.result()
    assert result["status"] == "ok"
    assert result["failure"] is None
    assert result["memory_peak"] > 0
    assert none_left(whole)
    page = (whole.output / "report.html").read_text(encoding="utf-8")
    assert "0.400 (epoch 2)" in page
    assert "rule: 0.00125 x 2 x 1" in page


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_training_is_ended_from_outside(whole: Whole, number: signal.Signals) -> None:
    process = whole.start(SLOW)
    until(lambda: second_epoch(whole))
    os.kill(process_with(whole, "tools/train.py") or 0, number)
    code, said = ended(process)
    assert code == 7
    failure = whole.result()["failure"]
    assert failure["stage"] == "train"
    assert failure["cause"] == "killed"
    assert failure["exit_status"] == -number
    assert number.name in failure["message"]
    assert "was killed" in said or "was ended by SIGTERM" in said
    assert none_left(whole)
    # What there was by then is kept, and shown.
    assert (whole.output / "weights" / "best_model.pdparams").is_file()
    assert failure["message"] in (whole.output / "report.html").read_text(encoding="utf-8")
    assert goes_on_and_ends_ok(whole)["resumed_from_epoch"] >= 1


def test_the_kernel_is_killed(whole: Whole) -> None:
    process = whole.start(SLOW)
    until(lambda: second_epoch(whole))
    os.kill(process_with(whole, "ipykernel_launcher") or 0, signal.SIGKILL)
    code, said = ended(process)
    assert code == 7
    assert "the notebook's kernel died while train was running" in said
    assert whole.result()["status"] == "failed"
    assert none_left(whole)
    assert "kernel died" in (whole.output / "report.html").read_text(encoding="utf-8")
    assert goes_on_and_ends_ok(whole)["attempts"][0]["status"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_jobgen_is_asked_to_stop(whole: Whole, number: signal.Signals) -> None:
    process = whole.start(SLOW)
    until(lambda: second_epoch(whole))
    process.send_signal(number)
    assert ended(process)[0] == 130
    result = whole.result()
    assert result["status"] == "interrupted"
    assert result["failure"]["cause"] == "interrupted"
    assert none_left(whole)
    goes_on_and_ends_ok(whole)


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.8, 1.6])
def test_jobgen_is_asked_to_stop_while_its_kernel_starts(whole: Whole, seconds: float) -> None:
    process = whole.start(SLOW)
    until(lambda: list(whole.folder.glob("runs/*/run.json")))
    time.sleep(seconds)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    # Before there is a kernel nothing has to be told.
    assert code in (130, -signal.SIGTERM), said
    assert time.monotonic() - begun < 30
    assert none_left(whole)


def test_what_is_kept_is_kept_whole_after_a_stop(whole: Whole) -> None:
    """Large weights take their time; the kernel is given it."""
    process = whole.start({**SLOW, "megabytes": 60})
    until(lambda: list(whole.folder.glob("runs/*/home/output/*/checkpoints/best_model.json")))
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    result = whole.result()
    assert result["closed"] is True
    weights = {item["path"]: item["bytes"] for item in result["artefacts"]}
    assert weights["weights/best_model.pdparams"] > 60e6
    assert not list((whole.output / "weights").glob("*.tmp"))
    assert (whole.output / "report.html").is_file()


def test_a_failure_before_the_training_shows_nothing_of_an_earlier_run(whole: Whole) -> None:
    assert whole.run()[0] == 0
    assert whole.run("-p", "BATCH_SIZE", "many")[0] == 7
    found = sorted(whole.folder.glob("runs/*/home/output/*/result.json"), key=os.path.getmtime)
    result = json.loads(found[-1].read_bytes())
    assert result["status"] == "failed"
    assert result["artefacts"] == []


def test_jobgen_is_killed(whole: Whole, jobgen: Callable[..., Answer]) -> None:
    process = whole.start(SLOW)
    until(lambda: second_epoch(whole))
    process.kill()
    ended(process)
    until(lambda: none_left(whole))
    assert whole.result()["status"] == "running"
    answer = jobgen("report", whole.folder / "runs", "--json")
    assert answer.json["runs"][0]["status"] == "interrupted"
    assert whole.result()["status"] == "interrupted"
    goes_on_and_ends_ok(whole)


def test_a_second_run_of_the_same_job_is_refused_while_the_first_is_at_work(whole: Whole) -> None:
    process = whole.start(SLOW)
    until(lambda: second_epoch(whole))
    code, said = whole.run()
    assert code == 7
    assert f"is at work already (process {process.pid})" in said
    assert ended(process)[0] == 0


def test_the_jobs_time_is_up(whole: Whole) -> None:
    code, said = whole.run("-p", "TIME_LIMIT_HOURS", "0.002", epochs=3, pause=1.2)
    assert code == 7
    result = whole.result()
    assert result["status"] == "timeout"
    assert "the job's time is up" in said
    assert none_left(whole)
    kept = {item["path"] for item in result["artefacts"]}
    assert "weights/best_model.pdparams" in kept
    assert "timeout" in (whole.output / "report.html").read_text(encoding="utf-8")


def test_a_training_that_hangs(whole: Whole) -> None:
    code, said = whole.run("-p", "STALL_MINUTES", "0.03", hang_in=1)
    assert code == 7
    assert "it hangs" in said
    assert whole.result()["failure"]["cause"] == "stall"
    assert none_left(whole)


@pytest.mark.parametrize(
    ("settings", "cause", "words"),
    [
        ({"losses": [3.0, "nan", "nan"]}, "nan", "the loss is nan since epoch 2"),
        ({"raise_in": 1}, "memory", "memory did not suffice"),
        ({"full_in": 1}, "disk", "the disk is full"),
        ({"most_workers": -1}, "reader", "DataLoader worker"),
    ],
)
def test_faults_of_the_training(
    whole: Whole, settings: dict[str, Any], cause: str, words: str
) -> None:
    code, said = whole.run(**settings)
    assert code == 7
    assert words in said
    assert whole.result()["failure"]["cause"] == cause


def test_a_job_goes_on_from_the_downloaded_output_of_another(whole: Whole, tmp_path: Path) -> None:
    assert whole.run(die_in=2)[0] == 7
    earlier = shutil.make_archive(str(tmp_path / "下载"), "zip", whole.output.parents[1])
    shutil.rmtree(tmp_path / "runs")
    code, said = whole.run("-p", "RESUME_FROM", earlier)
    assert code == 0, said
    result = whole.result()
    assert result["resumed_from_epoch"] == 2
    assert result["metrics"]["best"]["mAP50"] == 0.4


def test_an_earlier_output_that_is_not_there_is_told_at_once(whole: Whole) -> None:
    code, said = whole.run("-p", "RESUME_FROM", "nope.zip")
    assert code == 7
    assert "prepare  failed: RESUME_FROM: " in said
    assert "nope.zip is not there" in said


def test_a_limit_that_is_no_number(whole: Whole) -> None:
    code, said = whole.run("-p", "TIME_LIMIT_HOURS", "many")
    assert code == 7
    assert "TIME_LIMIT_HOURS is 'many', not a number from 0" in said


def test_the_cells_as_a_script_that_stops_between_two_stages(whole: Whole, tmp_path: Path) -> None:
    """The notebook without jobgen, as on the platform: a cell of someone's own fails."""
    cells = cells_of(whole)
    at = next(n for n, cell in enumerate(cells) if 'with stage("data")' in cell)
    home = tmp_path / "home"
    shutil.copytree(whole.folder / "upload", home)
    script = tmp_path / "cells.py"
    script.write_text("\n".join([*cells[:at], "raise ValueError('mine')"]), encoding="utf-8")
    argv = [whole.folder / "python" / "bin" / "python", script]
    edited = script.read_text(encoding="utf-8").replace('DEVICE = "auto"', 'DEVICE = "cpu"')
    script.write_text(edited, encoding="utf-8")
    assert subprocess.run(argv, cwd=home, check=False, capture_output=True).returncode == 1
    result = json.loads((home / "output" / "ships" / "result.json").read_bytes())
    assert result["status"] == "failed"
    assert result["failure"]["cause"] == "notebook"
    assert (home / "output" / "ships" / "report.html").is_file()


def test_all_cells_may_be_run_again_in_the_same_kernel(whole: Whole, tmp_path: Path) -> None:
    """As a person does who has corrected something: the second time it comes to its end."""
    home = tmp_path / "home"
    shutil.copytree(whole.folder / "upload", home)
    once = "\n".join(cells_of(whole))
    for old, new in (('DEVICE = "auto"', 'DEVICE = "cpu"'),
                     ('"ALLOW_UNPINNED": False', '"ALLOW_UNPINNED": True')):  # fmt: skip
        assert old in once
        once = once.replace(old, new)
    clone = (whole.folder / "PaddleDetection").as_uri()
    once = re.sub(
        r'"PADDLEDETECTION_URLS": \[[^]]*\]', f'"PADDLEDETECTION_URLS": ["{clone}"]', once
    )
    first = "try:\n    exec(compile(CELLS, 'cells', 'exec'), globals())\nexcept Exception as e:\n    print('FIRST', e)\n"
    script = tmp_path / "cells.py"
    script.write_text(
        f"CELLS = {once!r}\n{first}import os, shutil\nos.makedirs('data/data1', exist_ok=True)\n"
        f"shutil.copy({str(whole.folder / 'ships.zip')!r}, 'data/data1')\n"
        "exec(compile(CELLS, 'cells', 'exec'), globals())\n",
        encoding="utf-8",
    )
    argv = [str(whole.folder / "python" / "bin" / "python"), str(script)]
    env = {**os.environ, "FLAGS_standin": "{}"}
    answer = subprocess.run(argv, cwd=home, env=env, check=False, capture_output=True, text=True)
    assert "FIRST" in answer.stdout  # there was no data yet
    assert answer.returncode == 0, answer.stdout + answer.stderr
    result = json.loads((home / "output" / "ships" / "result.json").read_bytes())
    assert result["status"] == "ok"
    assert [attempt["status"] for attempt in result["attempts"]] == ["failed"]


# Root without its powers: an owner of these files whom permissions bind, as anyone else.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def powerless(argv: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not here")
        argv = [*POWERLESS, *argv]
    options.update(capture_output=True, text=True, check=False)
    return subprocess.run(argv, **options)


def test_a_user_without_root_and_without_home(whole: Whole) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "JOBGEN_CACHE", "USER")}
    env["JOBGEN_CACHE"] = str(whole.folder / "cache")
    answer = powerless(whole.argv(), cwd=whole.folder, env=env)
    assert answer.returncode == 0, answer.stderr
    assert whole.result()["status"] == "ok"


def test_a_home_that_can_not_be_written_to(whole: Whole, tmp_path: Path) -> None:
    cells = cells_of(whole)
    home = tmp_path / "home"
    shutil.copytree(whole.folder / "upload", home)
    script = tmp_path / "cells.py"
    script.write_text("\n".join(cells), encoding="utf-8")
    home.chmod(0o555)
    answer = powerless([whole.folder / "python" / "bin" / "python", script], cwd=home)
    home.chmod(0o755)
    assert answer.returncode == 1
    assert "Permission denied" in answer.stderr.splitlines()[-1]


def cells_of(whole: Whole) -> list[str]:
    notebook = json.loads((whole.folder / "upload" / "main.ipynb").read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
