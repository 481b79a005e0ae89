"""Local runs with a real kernel and a stand-in for Paddle: what surrounds the training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.errors import BundleError, DatasetError, RunError, SpecError
from jobgen.job.bundle import read_bundle
from jobgen.job.notebook import INJECTED_TAG, Cell, cell_source, cell_tags, notebook_text
from jobgen.machine.index import index_environment, parse_pip_config
from jobgen.machine.locks import MARK, make_once
from jobgen.machine.mirror import Mirror, mirror_address, write_git_config
from jobgen.run.kernel import execute, inject, parameter_defaults
from jobgen.run.progress import event_line, read_events, steps_done
from jobgen.run.verdict import judged
from jobgen.run.workspace import (
    Workspace,
    check_parameters,
    held,
    kernel_environment,
    match_archives,
    open_workspace,
)
from tests.conftest import ROOT, Answer

UPLOAD = ROOT / "bundles" / "ssdd" / "upload"


def test_a_run_adds_one_cell_and_changes_none() -> None:
    notebook = read_bundle(UPLOAD).notebook
    injected = inject(notebook, {"EPOCHS": 1, "HOME_DIR": "/h 船"})
    added = [c for c in injected["cells"] if c not in notebook["cells"]]
    assert [c for c in injected["cells"] if c not in added] == notebook["cells"]
    (cell,) = added
    assert cell_tags(cell) == [INJECTED_TAG]
    assert cell_source(cell) == '# Parameters\nEPOCHS = 1\nHOME_DIR = "/h 船"\n'
    at = injected["cells"].index(cell)
    assert cell_tags(injected["cells"][at - 1]) == ["parameters"]


def test_an_unknown_parameter_is_refused_with_the_nearest() -> None:
    known = parameter_defaults(read_bundle(UPLOAD).notebook)
    assert known["EPOCHS"] == 100
    assert known["CLONE_TIMEOUT"] == 900
    assert "JOB" not in known
    with pytest.raises(SpecError) as caught:
        check_parameters(known, {"EPOCH": 3})
    assert caught.value.message == "the notebook has no parameter EPOCH"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean EPOCHS? There are: EPOCHS, BATCH_SIZE,")
    with pytest.raises(SpecError, match="HOME_DIR is the run's own"):
        check_parameters(known, {"HOME_DIR": "/x"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("EPOCHS = 100", "EPOCHS = 3 * 2", "the cell tagged parameters: line 2 is no plain value"),
        ("EPOCHS = 100", "EPOCHS = = 3", "the cell tagged parameters is broken in line 2"),
        ("SETTINGS = {", "SETTING = {", "the cell tagged settings sets no SETTINGS"),
    ],
)
def test_values_that_somebody_has_changed_are_told(old: str, new: str, said: str) -> None:
    notebook = read_bundle(UPLOAD).notebook
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace(old, new)
    with pytest.raises(BundleError) as caught:
        parameter_defaults(notebook)
    assert said in caught.value.message


SOURCES = [{"archive": "a.zip", "folder": None}, {"archive": None, "folder": "b"}]


def test_archives_are_matched_by_name(tmp_path: Path) -> None:
    one, other = tmp_path / "a.zip", tmp_path / "b"
    one.write_text("x")
    other.mkdir()
    assert match_archives(SOURCES, [other, one]) == [one, other]
    renamed = tmp_path / "my copy.zip"
    renamed.write_text("x")
    assert match_archives(SOURCES[:1], [renamed]) == [renamed]
    with pytest.raises(DatasetError, match="the job has 2 data source"):
        match_archives(SOURCES, [one])
    with pytest.raises(DatasetError, match="is not there"):
        match_archives(SOURCES[:1], [tmp_path / "none.zip"])
    with pytest.raises(DatasetError, match=r"no --archive is named a\.zip"):
        match_archives(SOURCES, [renamed, other])
    with pytest.raises(DatasetError, match=r"is a folder, but the job unpacks the archive a\.zip"):
        match_archives(SOURCES[:1], [other])
    (tmp_path / "q").mkdir()
    same = tmp_path / "q" / "a.zip"
    same.write_text("y")
    assert match_archives([SOURCES[0]] * 2, [one, same]) == [one, same]


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "s")
    with held(workspace), pytest.raises(RunError) as caught, held(workspace):
        pass
    assert caught.value.message == f"{tmp_path} is at work already (process {os.getpid()})"
    with held(workspace):
        pass


def test_a_smoke_run_has_a_record_of_its_own(tmp_path: Path) -> None:
    bundle = read_bundle(UPLOAD)
    assert open_workspace(bundle, tmp_path, {"SMOKE": True}, True)[0].name == "ssdd-smoke"
    assert open_workspace(bundle, tmp_path, {}, True)[0].name == "ssdd"


def result(workspace: Workspace, status: str) -> None:
    workspace.output.mkdir(parents=True, exist_ok=True)
    stage = {"name": "train", "status": "running" if status == "running" else "ok"}
    stages = [{**stage, "seconds": 1.0, "exit_status": None, "text": ""}]
    text = json.dumps({"schema": 1, "status": status, "stages": stages, "failure": None})
    (workspace.output / "result.json").write_text(text, encoding="utf-8")


def test_a_run_that_did_not_end_well_is_resumed(tmp_path: Path) -> None:
    bundle = read_bundle(UPLOAD)
    first, resumed = open_workspace(bundle, tmp_path, {"SMOKE": True}, False)
    assert not resumed
    result(first, "failed")
    assert open_workspace(bundle, tmp_path, {"SMOKE": True}, False) == (first, True)
    other, resumed = open_workspace(bundle, tmp_path, {}, False)
    assert not resumed
    assert other != first
    fresh, resumed = open_workspace(bundle, tmp_path, {"SMOKE": True}, True)
    assert not resumed
    result(fresh, "ok-smoke")
    assert open_workspace(bundle, tmp_path, {"SMOKE": True}, False)[1] is False


def test_a_result_that_still_runs_is_corrected(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "s")
    result(workspace, "running")
    verdict = judged(workspace, "the notebook's kernel died", {})
    assert not verdict.good
    assert workspace.result()["status"] == "failed"
    assert workspace.result()["failure"]["message"] == (
        "the notebook's kernel died while train was running"
    )
    assert "failed" in verdict.lines(workspace)[0]
    stale = workspace.result()
    fresh = judged(workspace, "NameError: x", stale)
    assert fresh.status == "failed"
    assert fresh.result["failure"]["message"] == "NameError: x"
    assert judged(Workspace(tmp_path / "none", "s"), None, {}).status == "failed"


def test_the_kernel_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISTUDIO_ACCESS_TOKEN", "s3cret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    env = kernel_environment(Workspace(tmp_path, "s"), Path("/env/bin/python"))
    assert "AISTUDIO_ACCESS_TOKEN" not in env
    assert env["CUDA_VISIBLE_DEVICES"] == "0"
    assert env["HOME"] == str(tmp_path / "kernel-home")
    assert env["PATH"].startswith("/env/bin:")


def test_things_in_the_cache_are_made_once_and_never_used_half_made(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> str:
        folder.mkdir()
        made.append(folder)
        return "said"

    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "half").write_text("left by a kill")
    assert make_once(folder, make) == ("said", True)
    assert not (folder / "half").exists()
    assert make_once(folder, make) == ("said", False)
    assert len(made) == 1

    def fail(folder: Path) -> str:
        folder.mkdir()
        raise RunError("no network")

    with pytest.raises(RunError):
        make_once(tmp_path / "other", fail)
    assert not (tmp_path / "other").exists()
    assert (folder / MARK).is_file()


@pytest.mark.parametrize(
    ("environ", "config", "expected"),
    [
        ({}, "", {}),
        ({"UV_DEFAULT_INDEX": "https://u"}, "global.index-url='https://p'", {}),
        (
            {"PIP_INDEX_URL": "https://e"},
            "global.index-url='https://p'",
            {"UV_DEFAULT_INDEX": "https://e"},
        ),
        (
            {},
            "global.index-url='https://p'\ninstall.index-url='https://i'",
            {"UV_DEFAULT_INDEX": "https://i"},
        ),
        (
            {},
            "global.extra-index-url='https://a https://b'",
            {"UV_INDEX": "https://a https://b", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
    ],
)
def test_the_package_index(environ: dict[str, str], config: str, expected: dict[str, str]) -> None:
    assert index_environment(environ, config) == expected


def test_pip_config_lines() -> None:
    text = ":env:.cert='/x'\nglobal.index-url='https://u:p@h/simple'\n"
    assert parse_pip_config(text) == {"index-url": "https://u:p@h/simple"}


def test_git_takes_every_address_from_the_mirror(tmp_path: Path) -> None:
    urls = ["https://gitee.com/x/y.git", "https://github.com/x/y.git"]
    address = mirror_address(str(tmp_path))
    assert address == f"file://{tmp_path}"
    write_git_config(tmp_path / "home", Mirror(address, "test", False), urls)
    env = {**os.environ, "HOME": str(tmp_path / "home")}
    for url in (*urls, "https://gitee.com/x/y"):
        answer = subprocess.run(
            ["git", "ls-remote", "--get-url", url],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == address
    with pytest.raises(RunError, match="is no folder"):
        mirror_address("/no/such/folder")


def test_events_become_lines(tmp_path: Path) -> None:
    step = {
        "event": "step",
        "stage": "train",
        "epoch": 2,
        "epochs": 40,
        "step": 6,
        "steps": 10,
        "loss": 3.52,
        "learning_rate": 0.0198,
        "ips": 4.1,
        "left": 1085.0,
        "best": 0.062,
        "figure": "mAP@0.5",
        "memory": 0.31,
        "gpu": {"percent": 97, "memory_mib": 8192},
    }
    assert event_line(step) == (
        "train     epoch 3/40  step 7/10  loss 3.520  lr 0.0198  4.1 img/s  18 min 5 s left  "
        "best mAP@0.5 0.062  memory 31 %  GPU 97 %, 8.0 GB",
        True,
    )
    first = event_line({**step, "left": None, "best": None, "memory": 0.0, "gpu": {}})
    assert first == (
        "train     epoch 3/40  step 7/10  loss 3.520  lr 0.0198  4.1 img/s",
        True,
    )
    assert steps_done(step) == (27, 400)
    assert event_line({"event": "pip", "stage": "install"}) is None
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "a"}\nbroken\n{"event": "b"')
    events, offset = read_events(path, 0)
    assert [e["event"] for e in events] == ["a"]
    path.write_bytes(path.read_bytes() + b"}\n")
    assert [e["event"] for e in read_events(path, offset)[0]] == ["b"]


def run_cells(tmp_path: Path, *sources: str) -> tuple[str | None, dict[str, Any]]:
    cells = [Cell("parameters", "code", "X = 1", ("parameters",))]
    cells += [Cell(f"c{i}", "code", source) for i, source in enumerate(sources)]
    saved = tmp_path / "executed.ipynb"
    fault = execute(
        json.loads(notebook_text(cells, {})),
        Path(sys.executable),
        dict(os.environ),
        tmp_path,
        saved,
        settled=lambda: True,
    )
    found: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
    return fault, found


def at_work(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.kernel
@pytest.mark.parametrize("last", ["X", "raise ValueError"])
def test_no_kernel_outlives_the_run(tmp_path: Path, last: str) -> None:
    _, saved = run_cells(tmp_path, "import os; print(os.getpid())", last)
    pid = int(saved["cells"][1]["outputs"][0]["text"][0])
    assert not at_work(pid)


@pytest.mark.kernel
def test_cells_run_and_the_notebook_is_saved(tmp_path: Path) -> None:
    fault, saved = run_cells(tmp_path, "print(X + 1)", "print('船')")
    assert fault is None
    assert [o["text"] for c in saved["cells"] for o in c["outputs"]] == [["2\n"], ["船\n"]]


@pytest.mark.kernel
def test_a_failing_cell_stops_the_notebook_and_is_saved(tmp_path: Path) -> None:
    fault, saved = run_cells(tmp_path, "raise ValueError('no')", "print('never')")
    assert fault == "ValueError: no"
    assert saved["cells"][1]["outputs"][0]["ename"] == "ValueError"
    assert saved["cells"][2]["outputs"] == []


@pytest.mark.kernel
def test_a_dead_kernel_is_told(tmp_path: Path) -> None:
    fault, _ = run_cells(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert fault == "the notebook's kernel died"


@pytest.mark.kernel
def test_twenty_megabytes_of_log_stay_out_of_the_notebook(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from jobgen_runtime.children.processes import run_logged\n"
        "run_logged([sys.executable, '-c', \"for i in range(200000): print('x' * 100)\"], 'x.log')\n"
    )
    fault, _ = run_cells(tmp_path, code)
    assert fault is None
    assert (tmp_path / "x.log").stat().st_size > 20_000_000
    assert (tmp_path / "executed.ipynb").stat().st_size < 1_000_000


SLEEPER = """\
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
sys.path.insert(0, {root!r})
from pathlib import Path
from jobgen.job.notebook import Cell, notebook_text
from jobgen.run.kernel import execute
here = Path({folder!r})
cell = '''
import sys; sys.path.insert(0, {root!r})
from jobgen_runtime.record.outcome import begin, stage
from jobgen_runtime.children.processes import run_logged
begin({folder!r} + "/out", name="x")
with stage("train"):
    run_logged([sys.executable, "-c", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"], "x.log")
'''
cells = [Cell("parameters", "code", "X = 1", ("parameters",)), Cell("a", "code", cell)]
def settled():
    try:
        return json.loads((here / "out" / "result.json").read_text())["status"] != "running"
    except OSError:
        return False
import os
print(execute(json.loads(notebook_text(cells, {{}})), Path(sys.executable), dict(os.environ), here, here / "e.ipynb", settled))
"""


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_ends_its_children_and_says_interrupted(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLEEPER.format(root=str(ROOT), folder=str(tmp_path)), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (pid.is_file() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    child = int(pid.read_text())
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert "the run was stopped" in out
    found = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert found["status"] == "interrupted"
    assert found["failure"]["stage"] == "train"
    time.sleep(0.5)
    assert not Path(f"/proc/{child}").exists()


def test_a_bundle_that_was_not_built_here_is_asked_about(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    answer = jobgen("run", UPLOAD, "--archive", tmp_path / "none.zip", given="n\n")
    assert "This bundle was not built on this machine" in answer.err
    assert answer.code == 7
    assert "error: the bundle was not run\n       To agree without being asked: --yes" in answer.err
    assert jobgen("run", UPLOAD, "--archive", tmp_path / "none.zip").code == 7
    agreed = jobgen("run", UPLOAD, "--archive", tmp_path / "none.zip", "--yes")
    assert agreed.code == 4
    assert "none.zip is not there" in agreed.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-p", "EPOCH", "3"], 3, "error: the notebook has no parameter EPOCH\n"),
        ([], 4, "error: the job has 1 data source(s), 0 given\n"),
        (["--archive", "none.zip"], 4, "error: none.zip is not there\n"),
    ],
)
def test_a_run_that_can_not_start(
    jobgen: Callable[..., Answer], arguments: list[str], code: int, message: str
) -> None:
    answer = jobgen("run", UPLOAD, "--yes", *arguments)
    assert answer.code == code
    assert message in answer.err
    assert answer.out == ""


def test_an_edited_bundle_is_refused(jobgen: Callable[..., Answer], job: Path) -> None:
    jobgen("build", job)
    edited = job.parent / "upload" / "picodet_xs_320_ships_lcnet.yml"
    edited.write_text("epoch: 3\n", encoding="utf-8")
    answer = jobgen("run", job.parent / "upload", "--yes")
    assert answer.code == 6
    assert f"{edited} was edited after the build" in answer.err
    edited.unlink()
    assert "has no picodet_xs_320_ships_lcnet.yml" in jobgen("run", job.parent / "upload").err
    assert "has no picodet_xs_320_ships_lcnet.yml" in jobgen("run", job.parent).err


@pytest.mark.parametrize(
    ("missing", "what", "lacks"),
    [
        ("stop", "pretrain_weights", True),
        ("scratch", "pretrain_weights", False),
        ("stop", "worker_num", False),
    ],
)
def test_a_smoke_run_without_weights_that_the_job_needs(
    missing: str, what: str, lacks: bool
) -> None:
    from jobgen.cli.run import lacks_weights

    result = {"job": {"model": {"pretrained_missing": missing}}, "adjustments": [{"what": what}]}
    assert lacks_weights(result) == lacks
    assert not lacks_weights({})
