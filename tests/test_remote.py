"""AI Studio from the shell, against a loopback AI Studio that runs what is submitted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.job.bundle import read_bundle
from jobgen.remote.program import package, program_text
from jobgen.remote.records import read_records
from tests.aistudio import TOKEN, AiStudio, Job, Seen
from tests.conftest import ROOT, Answer
from tests.remote_world import made, mounted, studio, whole
from tests.whole import Whole

__all__ = ["made", "studio", "whole"]
pytestmark = pytest.mark.waits
UPLOAD = ROOT / "bundles" / "ssdd" / "upload"
Jobgen = Callable[..., Answer]


def leaves_result(home: Path) -> None:
    """In place of a job's command: what a good run leaves, as far as `wait` reads it."""
    output = home / "output" / "ships"
    output.mkdir(parents=True)
    (output / "result.json").write_text(
        json.dumps({"started": "2026-01-01T00:00:00Z", "status": "ok", "closed": True,
                    "metrics": {"best": {"mAP": 0.5}}})
    )  # fmt: skip
    (home / "output" / "main.log").write_text("prepare ok\ntrain ok\n")


# The program.


@pytest.mark.parametrize("name", ["ssdd", "bccd", "bccd-yolov3", "digits"])
def test_the_program_is_the_notebooks_cells(name: str) -> None:
    bundle = read_bundle(ROOT / "bundles" / name / "upload")
    text = program_text(bundle)
    sources = [
        "".join(cell["source"]).strip("\n")
        for cell in bundle.notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    place = 0
    for source in sources:
        found = text.find(source, place)
        assert found >= place, source[:60]
        place = found + len(source)


def test_the_package_has_the_same_bytes_anywhere(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jobgen.job.bundle import read_bundle; "
        "from jobgen.remote.program import package; "
        "sys.stdout.buffer.write(package(read_bundle(Path(sys.argv[1]))))"
    )
    env = {**os.environ, "TZ": "Asia/Shanghai", "PYTHONHASHSEED": "5"}
    argv = [sys.executable, "-c", code, str(UPLOAD)]
    other = subprocess.run(argv, env=env, cwd=ROOT, check=True, capture_output=True).stdout
    assert other == package(read_bundle(UPLOAD))
    (tmp_path / "code.zip").write_bytes(other)
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        assert set(archive.namelist()) == {*read_bundle(UPLOAD).files, "main.py"} - {"main.ipynb"}


def test_no_name_of_the_programs_own_is_the_notebooks() -> None:
    """main.py puts functions between the cells: none may take the place of one of the cells'."""
    from jobgen.job.carrier import bound, runtime_text, unpacking

    own = bound(runtime_text("arguments.py", {})) - {"ast", "os", "shutil", "sys"}
    own -= {"Any", "Dict", "List", "TextIO"}
    for path in (ROOT / "bundles").glob("*/upload"):
        for cell in read_bundle(path).notebook["cells"]:
            if cell["cell_type"] == "code":
                assert not own & bound("".join(cell["source"])), cell["id"]
    assert not own & bound(unpacking())


def test_the_program_says_which_words_it_takes(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(program_text(read_bundle(UPLOAD)), encoding="utf-8")
    argv = [sys.executable, "main.py", "EPOCH=3"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'EPOCH=3' is no NAME=VALUE" in done.stdout
    assert "EPOCHS" in done.stdout


# The whole way, with a stand-in for Paddle.


def test_submit_wait_fetch(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    words = mounted(studio, whole)
    sent = jobgen("submit", whole.folder, *words, "--json")
    assert sent.code == 0, sent.err
    number = sent.json["id"]
    assert studio.jobs[number].body["gpus"] == 1
    assert studio.jobs[number].body["payment"] == "coupon"
    waited = jobgen("wait", whole.folder)
    log = (studio.root / number / "platform.log").read_text()
    assert waited.code == 0, waited.err + waited.out + log
    assert "ok" in waited.out
    shown = jobgen("logs", number)
    assert "train" in shown.out
    assert jobgen("jobs").out.splitlines()[1].split()[:3:2] == [number, "succeeded"]
    fetched = jobgen("fetch", whole.folder, "-o", "out", "--json")
    output = Path("out") / "ships"
    assert json.loads((output / "result.json").read_bytes())["status"] == "ok"
    assert (output / "report.html").is_file()
    assert [(row["folder"], row["faults"]) for row in fetched.json["outputs"]] == [
        ("out/ships", [])
    ]
    files = {p.relative_to("out") for p in Path("out").rglob("*") if p.is_file()}
    there = studio.jobs[number].home / "output"
    assert {p.relative_to(there) for p in there.rglob("*") if p.is_file()} <= files
    assert not (Path("out") / ".jobgen-fetch").exists()
    studio.jobs[number].outputs = {"ships/log.txt/..": b"x"}
    again = jobgen("fetch", whole.folder, "-o", "out")
    assert (again.code, "left out: ships/log.txt/.." in again.err) == (1, True)


def test_a_run_that_fails_is_told_with_its_remedy(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    words = [word for word in mounted(studio, whole) if word not in ("ALLOW_UNPINNED", "true")]
    words = [w for n, w in enumerate(words) if not (w == "-p" and words[n + 1 : n + 2] == ["-p"])]
    assert jobgen("submit", whole.folder, *words).code == 0
    waited = jobgen("wait", whole.folder, "--json")
    assert waited.code == 7
    assert waited.json["status"] == "failed"
    assert waited.json["result"]["failure"]["stage"] == "source"


def test_a_stopped_job_says_interrupted(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    words = mounted(studio, whole)
    studio.env["FLAGS_standin"] = json.dumps({"pause": 5.0})
    number = jobgen("submit", whole.folder, *words, "--json").json["id"]
    log = studio.jobs[number].home / "output" / "ships" / "logs" / "train.log"
    deadline = time.monotonic() + 60
    while not log.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    stopped = jobgen("stop", whole.folder, "--yes")
    assert "stopped" in stopped.out
    studio.wait()
    waited = jobgen("wait", number)
    assert waited.code == 7
    assert "interrupted" in waited.out


# Submitting.


def test_the_dry_run_shows_every_request_and_sends_none(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AISTUDIO_ACCESS_TOKEN")  # none is needed to look
    shown = jobgen("submit", whole.folder, *mounted(studio, whole), "--dry-run")
    assert shown.code == 0, shown.err
    assert not studio.seen
    assert not (whole.folder / "submitted").exists()
    for part in ("sdk/create\n", '"cmd":"python main.py HOME_DIR=/home/aistudio', "source=SDK",
                 "PUT https://", "create/callback", "Authorization: ***"):  # fmt: skip
        assert part in shown.out, part
    monkeypatch.setenv("AISTUDIO_ACCESS_TOKEN", TOKEN)
    sent = jobgen("submit", whole.folder, *mounted(studio, whole))
    assert sent.code == 0, sent.err
    methods = [(s.method, s.path.split("?")[0].rsplit("/", 1)[1]) for s in studio.seen]
    said = [line.split() for line in shown.out.splitlines() if line[:4] in ("POST", "GET ", "PUT ")]
    asked = [(row[0], row[1].rsplit("/", 1)[1]) for row in said]
    kept = [(m, p) for m, p in methods if m != "PUT"]
    assert kept == [(m, p) for m, p in asked if m != "PUT"]


def test_the_same_is_not_submitted_twice(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    held = threading.Event()
    studio.work = lambda _home: str(held.wait(60)) and None
    words = mounted(studio, whole)
    first = jobgen("submit", whole.folder, *words, "--json").json["id"]
    again = jobgen("submit", whole.folder, *words)
    assert again.code == 8
    assert f"just this was submitted before: {first}" in again.err
    assert jobgen("submit", whole.folder, *words, "--again").code == 0
    held.set()
    studio.wait()
    assert len(studio.jobs) == 2
    assert jobgen("submit", whole.folder, *words).code == 0  # both have ended


def test_it_asks_and_takes_no_answer_for_no(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    words = [word for word in mounted(studio, whole) if word != "--yes"]
    assert jobgen("submit", whole.folder, *words, given="n\n").code == 8
    assert jobgen("submit", whole.folder, *words, given="").code == 8
    assert not studio.jobs
    studio.work = lambda home: leaves_result(home)
    assert jobgen("submit", whole.folder, *words, given="y\n").code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-p", "EPOCH", "3"], "Did you mean EPOCHS?"),
        (["--dataset", "1", "--dataset", "2", "--dataset", "3"], "at most 3 data sets, not 4"),
        (["-p", "GPUS", "2"], "a job has 1, 4, 8 cards, not 2"),
        (["-p", "HOME_DIR", "x"], "HOME_DIR is the run's own"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_any_request(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, more: list[str], said: str
) -> None:
    answer = jobgen("submit", whole.folder, *mounted(studio, whole), *more)
    assert answer.code == 3
    assert said in answer.err
    assert not studio.seen


def test_a_job_without_data_is_refused(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    answer = jobgen("submit", whole.folder, "--no-check", "--yes")
    assert answer.code == 3
    assert "--dataset ID" in answer.err


def test_errors_of_the_check_stop_it(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    name = "coco_detection_ships.yml"
    text = (whole.folder / "upload" / name).read_text()
    (whole.folder / "upload" / name).write_text(text.replace("images", "pictures"))
    answer = jobgen("submit", whole.folder, "--dataset", "1", "--yes")
    assert answer.code in (1, 6)
    assert not studio.seen


def test_the_cards_reach_job_and_command(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    studio.work = leaves_result
    words = mounted(studio, whole)
    number = jobgen("submit", whole.folder, *words, "--gpus", "4", "--payment", "acoin", "--smoke",
                    "--json").json["id"]  # fmt: skip
    body = studio.jobs[number].body
    assert (body["gpus"], body["payment"], body["dataset"]) == (4, "acoin", [{"datasetId": 264241}])
    assert "GPUS=4" in body["cmd"]
    assert "SMOKE=True" in body["cmd"]
    assert body["name"].startswith("ships-smoke-")


@pytest.mark.parametrize("fault", ["refuse", "502", "drop", "html", "502-after", "lost", "cut"])
@pytest.mark.parametrize("what", ["create", "list", "grant", "put-object", "confirm"])
def test_a_submission_that_breaks_off_is_finished_and_never_doubled(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, fault: str, what: str
) -> None:
    if fault == "refuse" and what == "put-object":
        pytest.skip("the storage has no errorCode")
    studio.work = leaves_result
    words = mounted(studio, whole)
    studio.fault = lambda kind, _number: fault if kind == what else None
    broken = jobgen("submit", whole.folder, *words)
    # What was carried out all the same is found by asking back; an answer of no bytes is never cut.
    may_pass = what in ("create", "confirm") or (what, fault) == ("put-object", "cut")
    assert broken.code in ((0, 8) if may_pass else (8,)), broken.err
    studio.fault = lambda _kind, _number: None
    if broken.code:
        again = jobgen("submit", whole.folder, *words)
        assert again.code == 0, again.err
    studio.wait()
    assert [job.starts for job in studio.jobs.values()] == [1]
    assert jobgen("wait", whole.folder).code == 0
    states = [record.state for record in read_records(whole.folder / "submitted")]
    assert states.count("submitted") == 1
    assert set(states) <= {"submitted", "dropped"}


def test_a_job_that_was_started_is_left_alone(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    """The network is lost after the confirmation; then another job of the same folder is made."""
    held = threading.Event()
    studio.work = lambda _home: str(held.wait(60)) and None
    words = mounted(studio, whole)
    counted = iter(range(100))
    studio.fault = lambda kind, _n: (
        "502" if kind == "list" and studio.counts["confirm"] and next(counted) < 20 else None
    )
    assert jobgen("submit", whole.folder, *words, "--smoke").code == 8
    studio.fault = lambda _kind, _n: None
    refused = jobgen("submit", whole.folder, *[w for w in words if w != "--yes"], given="n\n")
    assert refused.code == 8
    (first,) = studio.jobs.values()
    assert first.stage == "running"
    assert jobgen("submit", whole.folder, *words).code == 0
    assert first.stage == "running"
    held.set()


def test_a_job_that_ended_before_it_began_is_made_anew(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    words = mounted(studio, whole)
    studio.fault = lambda kind, _n: "502" if kind == "put-object" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    studio.fault = lambda _kind, _n: None
    studio.jobs["70000"].stage = "expired"
    assert jobgen("submit", whole.folder, *words).code == 0
    studio.wait()
    assert [job.starts for job in studio.jobs.values()] == [0, 1]
    assert jobgen("wait", whole.folder).code == 0  # of the one that ran


def test_an_upload_that_moves_the_stage_is_no_start(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    studio.stage_of_code = "uploaded"
    assert jobgen("submit", whole.folder, *mounted(studio, whole)).code == 0
    assert studio.jobs["70000"].starts == 1


def test_a_job_that_is_gone_does_not_hold_up_the_next(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    words = mounted(studio, whole)
    studio.fault = lambda kind, _n: "502" if kind == "put-object" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    studio.fault = lambda _kind, _n: None
    del studio.jobs["70000"]
    # So that no other job gets its number.
    studio.jobs["69999"] = Job("69999", {"name": "other", "dataset": []}, studio.root / "x")
    assert jobgen("submit", whole.folder, *words).code == 0


def test_an_answer_that_was_carried_out_all_the_same(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    """A gateway's own status after the job was made: nobody knows, so AI Studio is asked."""
    studio.work = leaves_result
    studio.fault = lambda kind, n: "524-after" if kind == "create" and n == 0 else None
    assert jobgen("submit", whole.folder, *mounted(studio, whole)).code == 0
    assert len(studio.jobs) == 1


def test_a_submission_of_other_files_is_ended_before_a_new_one(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    words = mounted(studio, whole)
    studio.fault = lambda kind, _number: "502" if kind == "put-object" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    studio.fault = lambda _kind, _number: None
    answer = jobgen("submit", whole.folder, *words, "-p", "EPOCHS", "2")
    assert answer.code == 0, answer.err
    assert "of other files or options: it is ended" in answer.err
    studio.wait()
    first, second = studio.jobs.values()
    assert (first.stage, first.starts, second.starts) == ("failed", 0, 1)


def test_two_calls_at_once_submit_once(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    import filelock

    words = mounted(studio, whole)
    (whole.folder / "submitted").mkdir()
    with filelock.FileLock(whole.folder / "submitted" / ".lock"):
        answer = jobgen("submit", whole.folder, *words)
    assert answer.code == 8
    assert "another call of jobgen submits" in answer.err


def test_a_record_that_is_spoilt_stops_it(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    folder = whole.folder / "submitted"
    folder.mkdir()
    (folder / "ships-00.json").write_text('{"version": 1')
    answer = jobgen("submit", whole.folder, *mounted(studio, whole))
    assert answer.code == 8
    assert "no record of a submitted job" in answer.err
    assert not studio.jobs


# Waiting.


@pytest.fixture
def submitted(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> str:
    """The id of a job that ran, or runs."""
    studio.work = studio.work or leaves_result
    found = jobgen("submit", whole.folder, *mounted(studio, whole), "--json")
    return str(found.json["id"])


def test_a_stage_that_nobody_knows_is_shown_and_taken_for_running(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    studio.jobs[submitted].stage = "archived-2027"
    waited = jobgen("wait", submitted)
    assert waited.code == 0  # what the run left says that it ended
    assert "archived-2027" in waited.err


def test_a_platform_that_says_success_of_a_run_without_a_result(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = lambda _home: None
    number = jobgen("submit", whole.folder, *mounted(studio, whole), "--json").json["id"]
    waited = jobgen("wait", number)
    assert waited.code == 7
    assert "left no result" in waited.out


def test_a_network_that_is_lost_is_waited_for(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    before = studio.counts["list"]
    studio.fault = lambda kind, n: "drop" if kind == "list" and n < before + 14 else None
    waited = jobgen("wait", submitted)
    assert waited.code == 0
    assert "the wait continues" in waited.err
    assert "answers again" in waited.err


def test_a_refusal_ends_the_wait(studio: AiStudio, jobgen: Jobgen, submitted: str) -> None:
    assert jobgen("wait", "1").code == 8
    studio.fault = lambda kind, _n: "refuse" if kind == "list" else None
    waited = jobgen("wait", submitted)
    assert waited.code == 8
    assert "errorCode 7" in waited.err


def test_what_is_typed_is_an_id_unless_a_job_is_there(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(submitted).mkdir()
    assert jobgen("wait", submitted).code == 0
    monkeypatch.chdir(whole.folder)
    empty = jobgen("stop", "", "--yes")
    assert empty.code == 8
    assert "no job is named" in empty.err
    assert jobgen("wait", "x" * 300).code == 8
    assert jobgen("wait", ".").code == 0


@pytest.mark.parametrize(
    "answer", [None, {"total": 0, "list": None}, {"rows": []}, [None, 3, {"pipelineId": None}]]
)
def test_an_empty_list_in_any_form(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(studio, "listed", lambda _body: answer)
    assert jobgen("jobs").out == "no jobs\n"


@pytest.mark.parametrize("answer", [5, "none", {"a": 1}, {"a": [], "b": []}])
def test_a_list_that_is_none(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(studio, "listed", lambda _body: answer)
    assert jobgen("jobs").code == 8


@pytest.mark.parametrize(
    "created", ["1700000000", "1700000000000", "1700000000000000", "9" * 30, "²", "", "yesterday"]
)
def test_any_time_is_shown(studio: AiStudio, jobgen: Jobgen, submitted: str, created: str) -> None:
    studio.jobs[submitted].created = created
    assert jobgen("jobs").code == 0
    assert jobgen("doctor", "--remote").code in (0, 1)


@pytest.mark.parametrize(
    "rows",
    [[None], [{}], [{"key": 1, "size": 1}], [{"key": "k", "size": None}], {"a": 1}, "x",
     [{"key": "k", "size": -1}]],
)  # fmt: skip
def test_a_list_of_files_that_is_none(
    studio: AiStudio, jobgen: Jobgen, submitted: str, rows: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import aistudio

    studio.wait()
    text = json.dumps({"contents": rows, "isTruncated": False}).encode()
    monkeypatch.setattr(aistudio.Handler, "list_objects", lambda *_: (200, text, {}))
    for word in ("fetch", "logs"):
        assert jobgen(word, submitted).code == 8


# Fetching.


def rotten(studio: AiStudio, number: str, files: dict[str, bytes]) -> None:
    studio.wait()
    studio.jobs[number].outputs = files


@pytest.mark.parametrize("fault", ["cut", "drop", "502", "wrong-length", "wrong-bytes", "html"])
def test_a_torn_download_is_never_taken_for_whole(
    studio: AiStudio, jobgen: Jobgen, submitted: str, fault: str
) -> None:
    data = os.urandom(300_000)
    rotten(studio, submitted, {"weights.bin": data})
    studio.fault = lambda kind, _n: fault if kind == "get-object" else None
    answer = jobgen("fetch", submitted, "-o", "out")
    assert answer.code == 8, answer.err
    assert not Path("out/weights.bin").exists()
    studio.fault = lambda _kind, _n: None
    assert jobgen("fetch", submitted, "-o", "out").code != 8
    assert Path("out/weights.bin").read_bytes() == data


def test_what_is_here_is_not_fetched_again_and_a_half_is_resumed(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    data = os.urandom(3_000_000)
    rotten(studio, submitted, {"a.bin": data, "z.bin": data[::-1]})
    cuts = iter(["cut", "drop", "drop", "drop", "drop"])
    studio.fault = lambda _kind, _n: next(cuts) if "a.bin" in studio.seen[-1].path else None
    assert jobgen("fetch", submitted, "-o", "out").code == 8
    studio.seen.clear()
    studio.fault = lambda _kind, _n: None
    assert jobgen("fetch", submitted, "-o", "out").code != 8
    ranges = [s.headers.get("range") for s in studio.seen if s.what == "get-object"]
    assert any(r and r != "bytes=0-" for r in ranges)
    assert Path("out/a.bin").read_bytes() == data
    studio.seen.clear()
    jobgen("fetch", submitted, "-o", "out")
    assert not [s for s in studio.seen if s.what == "get-object" and "a.bin" in s.path]


def test_every_page_of_the_list_is_read(studio: AiStudio, jobgen: Jobgen, submitted: str) -> None:
    studio.page = 100
    rotten(studio, submitted, {f"many/{n:05}.txt": b"%d" % n for n in range(350)})
    jobgen("fetch", submitted, "-o", "out")
    assert len(list(Path("out/many").iterdir())) == 350


@pytest.mark.parametrize("name", ["../out.txt", "/etc/x", "a/../../b", "a\\..\\b", "C:/x", "a//b"])
def test_a_name_that_leads_outside_is_left_out(
    studio: AiStudio, jobgen: Jobgen, submitted: str, tmp_path: Path, name: str
) -> None:
    rotten(studio, submitted, {name: b"x"})
    studio.jobs[submitted].outputs["good.txt"] = b"good"
    answer = jobgen("fetch", submitted, "-o", "out")
    assert answer.code == 7, answer.err  # there is no result among them
    assert f"left out: {name}: its name leads outside" in answer.err
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {path for path in there if path.startswith("out")} - {
        *("out/good.txt", "out/main.log", "out/ships/result.json")
    }
    assert Path("out/good.txt").read_bytes() == b"good"
    assert all(".jobgen-fetch" in path for path in kept), kept


def test_a_folder_with_other_things_is_left_alone(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("a year")
    answer = jobgen("fetch", submitted, "-o", "mine")
    assert answer.code == 8
    assert Path("mine/thesis.txt").read_text() == "a year"


def test_a_folder_holds_one_job(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    assert jobgen("fetch", submitted, "-o", "out").code != 8
    other = jobgen("submit", whole.folder, *mounted(studio, whole), "--smoke", "--json").json["id"]
    studio.wait()
    answer = jobgen("fetch", other, "-o", "out")
    assert answer.code == 8
    assert f"the output of another job, {submitted}" in answer.err


def test_a_file_without_an_md5_is_fetched_once(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    """Large files are put together of parts, and their ETag is no MD5."""
    studio.etag = lambda digest: f"-{digest}"
    rotten(studio, submitted, {"a.bin": os.urandom(2_000_000)})
    jobgen("fetch", submitted, "-o", "out")
    studio.seen.clear()
    jobgen("fetch", submitted, "-o", "out")
    assert not [seen for seen in studio.seen if "a.bin" in seen.path]


def test_leave_to_read_that_ended_is_asked_for_again(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    from jobgen.remote.jobs import open_jobs
    from jobgen.remote.output import JobOutput
    from jobgen.remote.token import find_token
    from jobgen.settings import load_settings

    studio.wait()
    jobs = open_jobs(load_settings(), find_token())
    output = JobOutput(jobs, submitted)
    assert output.files()
    import tests.aistudio as served

    old, served.SESSION = served.SESSION, "session/2"
    try:
        assert output.files()
    finally:
        served.SESSION = old
        output.close()
        jobs.close()


def test_nothing_left_yet_is_said(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    held = threading.Event()
    studio.work = lambda _home: str(held.wait(60)) and None
    number = jobgen("submit", whole.folder, *mounted(studio, whole), "--json").json["id"]
    answer = jobgen("fetch", number)
    held.set()
    assert answer.code == 8
    assert "has left nothing yet" in answer.err
    shown = jobgen("logs", number)
    assert f"{studio.address}/pipeline/{number}/detail" in shown.err


# The token.


def everything_written(place: Path, studio: AiStudio) -> str:
    """All text that was written below a folder, but for the platform's own."""
    files = [p for p in place.rglob("*") if p.is_file() and studio.root not in p.parents]
    return "\n".join(p.read_bytes().decode("latin-1") for p in files)


def stored_requests(studio: AiStudio) -> list[Seen]:
    return [s for s in studio.seen if s.what.endswith("object") or s.what in ("objects", "put-lfs")]


def test_the_token_is_nowhere(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, tmp_path: Path
) -> None:
    said = ""
    for words in (
        ["submit", whole.folder, *mounted(studio, whole)],
        ["--debug", "jobs"],
        ["wait", whole.folder],
        ["logs", whole.folder],
        ["fetch", whole.folder, "-o", "out"],
        ["doctor", "--remote"],
        ["wait", "1"],
    ):
        if words[0] == "--debug":
            answer = jobgen(*words)
        else:
            answer = jobgen(*words)
        said += answer.out + answer.err
    assert TOKEN not in said
    assert TOKEN not in everything_written(tmp_path, studio)
    assert stored_requests(studio)
    for seen in stored_requests(studio):
        assert TOKEN not in str(seen.headers) + seen.path


def test_where_the_token_is_found(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AISTUDIO_ACCESS_TOKEN")
    monkeypatch.setenv("AISTUDIO_CACHE_HOME", str(tmp_path))
    nothing = jobgen("jobs")
    assert nothing.code == 8
    assert "read -rs AISTUDIO_ACCESS_TOKEN" in nothing.err
    file = tmp_path / ".cache/aistudio/.auth/token"
    file.parent.mkdir(parents=True)
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    open_file = jobgen("jobs")
    assert open_file.code == 8
    assert f"chmod 600 {file}" in open_file.err
    assert not studio.seen
    file.chmod(0o600)
    assert jobgen("jobs").code == 0
    file.write_text("two words\n")
    torn = jobgen("jobs")
    assert torn.code == 8
    assert "two words" not in torn.err


def test_the_keyring_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobgen.errors import RemoteError
    from jobgen.remote.token import find_token

    found = find_token(lambda: TOKEN)
    assert found.origin == "the keyring"
    assert TOKEN not in repr(found)
    with pytest.raises(RemoteError, match="no access token"):
        find_token(lambda: None)


@pytest.mark.parametrize(
    "address", ["http://aistudio.baidu.com", "ftp://x", "aistudio", "https://a:b@c"]
)
def test_a_token_is_sent_over_https_only(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("JOBGEN_AISTUDIO", address)
    answer = jobgen("jobs")
    assert answer.code == 8
    assert "is no https address" in answer.err


def test_a_proxy_that_can_not_be_meant(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBGEN_AISTUDIO", "https://aistudio.invalid")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    answer = jobgen("jobs")
    assert answer.code == 8
    assert "HTTPS_PROXY" in answer.err
    assert jobgen("jobs").code == 8


def test_this_computer_needs_no_proxy(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert jobgen("jobs").code == 0


def test_doctor_asks_and_changes_nothing(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    studio.seen.clear()
    answer = jobgen("doctor", "--remote")
    assert {seen.what for seen in studio.seen} <= {"list", "grant", "objects", "unknown"}
    assert "found in AISTUDIO_ACCESS_TOKEN" in answer.out
    assert "lists 1 of yours" in answer.out


# Killed, and called again.

# The requests of a whole way, and whether jobgen is killed before or after AI Studio has done it.
POINTS = [
    *(("create", "before"), ("create", "after"), ("list", "after"), ("grant", "before")),
    *(("put-object", "before"), ("put-object", "after"), ("confirm", "before")),
    *(("confirm", "after"), ("objects", "after"), ("get-object", "before"), ("get-object", "cut")),
]


def killed_at(studio: AiStudio, what: str, when: str, words: list[object]) -> int:
    """Call jobgen, and kill it with SIGKILL at a request; its exit code."""
    place: list[subprocess.Popen[bytes]] = []
    begun = threading.Event()

    def fault(kind: str, _number: int) -> str | None:
        if kind != what or not begun.wait(10):
            return None
        if when == "before":
            place[0].kill()
            place[0].wait()
            return "drop"
        # Once the request is carried out, or the answer half sent.
        threading.Timer(0.15, place[0].kill).start()
        return "cut" if when == "cut" else "slow-after"

    studio.fault = fault
    argv = [sys.executable, "-m", "jobgen", *map(str, words)]
    place.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    begun.set()
    code = place[0].wait(120)
    studio.fault = lambda _kind, _number: None
    return code


def test_killed_at_every_request_and_called_again(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    submit: list[object] = ["submit", whole.folder, *mounted(studio, whole)]
    fetch: list[object] = ["fetch", whole.folder, "-o", "out"]
    codes = []
    for what, when in POINTS:
        words = fetch if what in ("objects", "get-object") else submit
        codes.append(killed_at(studio, what, when, words))
        if (what, when) == ("confirm", "after"):
            assert jobgen(*submit).code == 0
            assert jobgen("wait", whole.folder).code == 0
    assert codes.count(-9) >= 10, codes
    assert jobgen(*fetch).code != 8
    assert [job.starts for job in studio.jobs.values() if job.starts] == [1]
    there = next(iter(studio.jobs.values())).home / "output"
    for path in (p for p in there.rglob("*") if p.is_file()):
        assert (Path("out") / path.relative_to(there)).read_bytes() == path.read_bytes()
