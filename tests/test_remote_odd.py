"""What AI Studio, a network or a folder may do that nobody expects of them."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen.remote.jobs import Jobs
from jobgen.remote.output import JobOutput
from jobgen.remote.records import SUBMITTED, read_records
from jobgen.remote.token import Token
from jobgen.remote.wire import Unreachable
from tests.aistudio import SESSION, TOKEN, AiStudio, Job, Reply, enveloped, remove, said
from tests.conftest import Answer
from tests.remote_world import made, mounted, studio, whole
from tests.test_remote import leaves_result, rotten, submitted
from tests.whole import Whole, heed_interrupt

__all__ = ["made", "studio", "submitted", "whole"]
pytestmark = pytest.mark.waits
Jobgen = Callable[..., Answer]


def a_job(studio: AiStudio, stage: str = "succeeded", number: str = "70000") -> Job:
    """A job that somebody else submitted."""
    body = {"name": f"other-{number}", "dataset": []}
    job = Job(number, body, studio.root / number / "home", created="2026-11-28 05:00:00")
    job.stage, job.outputs = stage, {}
    studio.jobs[number] = job
    return job


# Nothing secret is shown.


def test_words_that_hold_the_token_are_shown_without_it(
    studio: AiStudio, jobgen: Jobgen, tmp_path: Path
) -> None:
    """Also where they are cut in the middle of it, or come from a repository."""
    long = {"errorMsg": f"{'x' * 170} token {TOKEN} end"}
    studio.instead = lambda what, _path: said(long, 400) if what == "list" else None
    shown = jobgen("jobs")
    assert shown.code == 8
    assert not any(TOKEN[:count] in shown.err for count in range(8, 41))
    studio.repositories["me/set"] = {}
    (tmp_path / "set.bin").write_bytes(os.urandom(100))
    error = {"objects": [{"error": {"message": f"bad {TOKEN}"}}]}
    studio.instead = lambda what, _path: said(error) if what == "batch" else None
    refused = jobgen("upload", "set.bin", "me/set", "--no-check")
    assert (refused.code, "bad ***" in refused.err, TOKEN in refused.err) == (8, True, False)


@pytest.mark.parametrize("session", [f"{SESSION}\nabc", "会话SECRETSESSION", f"{SESSION} x"])
def test_a_grant_that_can_not_be_sent_is_none(
    studio: AiStudio, jobgen: Jobgen, submitted: str, session: str
) -> None:
    grant = {"endpoint": studio.address, "bucketName": "b", "fileKey": "/out", "accessKeyId": "a",
             "secretAccessKey": "secret-12345", "sessionToken": session}  # fmt: skip
    studio.instead = lambda what, _path: enveloped(grant) if what == "grant" else None
    for command in ("fetch", "logs"):
        answer = jobgen(command, submitted)
        assert answer.code == 8, answer.err
        assert not {SESSION, "SECRETSESSION", "secret-12345"} & set(answer.err.split())
        assert SESSION not in answer.err + answer.out
    assert studio.counts["objects"] == 0


# Which job is meant, and whether it was started.


def test_a_job_on_another_ai_studio_is_another_one(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It has the same id there."""
    other = AiStudio(tmp_path / "other", leaves_result)
    theirs = a_job(other, "running", submitted)
    monkeypatch.setenv("JOBGEN_AISTUDIO", other.address)
    stopped = jobgen("stop", whole.folder, "--yes")
    assert stopped.code == 8
    assert "was not submitted from this computer to" in stopped.err
    assert theirs.stage == "running"
    assert jobgen("submit", whole.folder, *mounted(other, whole)).code == 0
    remove(other)


def test_a_start_that_was_refused_is_no_start(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    """Also where the job is then stopped by hand."""
    words = mounted(studio, whole)
    studio.work = leaves_result
    studio.fault = lambda what, _n: "refuse" if what == "confirm" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    studio.fault = lambda _what, _n: None
    waited = jobgen("wait", whole.folder)
    assert "broke off before its start" in waited.err
    assert "70000" in waited.err
    assert jobgen("stop", "70000", "--yes").code == 0
    again = jobgen("submit", whole.folder, *words)
    # What was ended before its start is told, and the next call makes a new one.
    if again.code != 0:
        assert "before it was started" in again.err
        again = jobgen("submit", whole.folder, *words)
    assert again.code == 0, again.err
    studio.wait()
    assert [(job.stage, job.starts) for job in studio.jobs.values()] == [
        ("stopped", 0),
        ("succeeded", 1),
    ]


def test_a_half_made_job_that_can_not_be_ended_is_not_forgotten(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    words = mounted(studio, whole)
    studio.work = leaves_result
    studio.fault = lambda what, _n: "502" if what == "put-object" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    faults = {"stop": "refuse"}
    confirms = iter([True, False, True])
    studio.fault = lambda what, _n: (
        "refuse" if what in faults or (what == "confirm" and next(confirms)) else None
    )
    answer = jobgen("submit", whole.folder, *words, "-p", "EPOCHS", "2")
    assert answer.code == 0, answer.err
    assert "could not be ended" in answer.err
    first, second = read_records(whole.folder / "submitted")
    assert (first.open, second.state) == (True, SUBMITTED)
    studio.fault = lambda _what, _n: None
    studio.wait()
    assert jobgen("submit", whole.folder, *words, "-p", "EPOCHS", "3").code == 0
    assert studio.jobs["70000"].stage == "failed"
    assert not read_records(whole.folder / "submitted")[0].open


def test_a_link_to_the_upload_is_the_same_job(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, tmp_path: Path
) -> None:

    def works(_home: Path) -> None:
        time.sleep(3)

    studio.work = works
    words = mounted(studio, whole)
    assert jobgen("submit", whole.folder, *words).code == 0
    (tmp_path / "mine").symlink_to(whole.folder / "upload")
    answer = jobgen("submit", "mine", *words)
    assert (answer.code, "just this was submitted before" in answer.err) == (8, True)
    assert len(studio.jobs) == 1


def test_the_dry_run_of_one_that_broke_off_is_what_the_next_call_sends(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    words = mounted(studio, whole)
    studio.work = leaves_result
    studio.fault = lambda what, _n: "502" if what == "put-object" else None
    assert jobgen("submit", whole.folder, *words).code == 8
    studio.fault = lambda _what, _n: None
    before = sorted((p.name, p.read_bytes()) for p in (whole.folder / "submitted").iterdir())
    studio.seen.clear()
    dry = jobgen("submit", whole.folder, *words, "--dry-run", "--json")
    assert not studio.seen
    assert before == sorted(
        (p.name, p.read_bytes()) for p in (whole.folder / "submitted").iterdir()
    )
    assert jobgen("submit", whole.folder, *words).code == 0
    asked = [(request.split()[0], request.split()[1].partition("//")[2].partition("/")[2])
             for request in dry.json["requests"]]  # fmt: skip
    sent = [(seen.method, seen.path.partition("?")[0].lstrip("/")) for seen in studio.seen]
    assert [method for method, _ in asked] == [method for method, _ in sent]
    own = [path for _, path in asked if path.startswith("paddlex")]
    assert own == [path for _, path in sent if path.startswith("paddlex")]


def test_the_newest_is_the_last_one_made_whatever_the_clock_says(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    (record,) = (whole.folder / "submitted").glob("*.json")
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "created": "2036-01-01T00:00:00Z"}))
    sent = jobgen("submit", whole.folder, *mounted(studio, whole), "-p", "EPOCHS", "2", "--json")
    waited = jobgen("wait", whole.folder, "--json")
    assert waited.json["id"] == sent.json["id"] != submitted


def test_a_number_is_an_id_whatever_lies_here(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    Path(submitted).write_text("notes")
    assert jobgen("wait", submitted).code == 0


# Waiting.


@pytest.mark.parametrize(
    "nothing", [("grant", {}), ("grant", None), ("list", []), ("list", None), ("list", "away")]
)
def test_an_answer_that_is_none_does_not_end_the_wait(
    studio: AiStudio, jobgen: Jobgen, submitted: str, nothing: tuple[str, object]
) -> None:
    studio.wait()
    studio.jobs[submitted].stage = "running"
    kind, result = nothing
    left = iter([False] * 3 + [True] * 4)
    away = (302, b"", {"Location": "https://login.example/"})
    studio.live = False

    def instead(what: str, _path: str) -> Reply | None:
        if what != kind:
            return None
        odd = next(left, None)
        if odd is None:  # it has been asked often enough
            studio.jobs[submitted].stage, studio.live = "succeeded", True
        return (away if result == "away" else enveloped(result)) if odd else None

    studio.instead = instead
    waited = jobgen("wait", submitted)
    assert waited.code == 0, waited.err
    assert next(left, None) is None


def test_a_job_that_is_gone_for_good_ends_the_wait(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    studio.jobs[submitted].stage = "running"
    studio.live = False
    counts = iter(range(1000))
    studio.instead = lambda what, _path: (
        enveloped([]) if what == "list" and next(counts) > 3 else None
    )
    waited = jobgen("wait", submitted)
    assert (waited.code, f"knows no job {submitted}" in waited.err) == (8, True)


def test_results_that_are_none_of_ours(studio: AiStudio, jobgen: Jobgen, submitted: str) -> None:
    """One of 17 MB, one of another shape, one with a number that is none."""
    studio.wait()
    shutil.rmtree(studio.jobs[submitted].home / "output")
    good = {"started": "2026-01-01T00:00:00Z", "closed": True, "status": "ok"}
    studio.jobs[submitted].outputs = {"result.json": b" " * (17 * 2**20)}
    waited = jobgen("wait", submitted)
    assert (waited.code, "left no result" in waited.out) == (7, True)
    odd = {**good, "metrics": {"best": [1, 2]}}
    studio.jobs[submitted].outputs = {"ships/result.json": json.dumps(odd).encode()}
    assert jobgen("wait", submitted).code == 0
    nan = {**good, "metrics": {"best": {"mAP": float("nan")}}}
    studio.jobs[submitted].outputs = {"ships/result.json": json.dumps(nan).encode()}
    assert jobgen("wait", submitted, "--json").json["result"]["metrics"]["best"]["mAP"] is None


def test_a_server_that_names_a_time_is_given_it(studio: AiStudio) -> None:
    pauses: list[float] = []
    studio.instead = lambda what, _path: (
        said({"errorMsg": "slower"}, 429, **{"Retry-After": "12"}) if len(pauses) < 2 else None
    )
    jobs = Jobs(studio.address, Token(TOKEN, "here"), pauses.append)
    assert jobs.list() == []
    assert pauses == [12.0, 12.0]
    jobs.close()


# Fetching.


def test_ctrl_c_ends_a_fetch_that_waits_for_an_answer(
    studio: AiStudio, submitted: str, tmp_path: Path
) -> None:
    rotten(studio, submitted, {"main.log": os.urandom(3_000_000)})
    asked, answers = threading.Event(), threading.Event()

    def stalls(what: str, _path: str) -> None:
        if what == "get-object":
            asked.set()
            answers.wait(30)

    studio.instead = stalls
    process = subprocess.Popen(
        [sys.executable, "-m", "jobgen", "fetch", submitted, "-o", "stalled"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=heed_interrupt,
    )  # fmt: skip
    assert asked.wait(20)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    code = process.wait(30)
    took = time.monotonic() - began
    answers.set()
    time.sleep(0.2)  # the server's threads see that nobody is there
    assert (code, took < 4) == (130, True)


def test_files_that_can_not_be_brought_leave_the_others_whole(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    """One that vanished, names of the fetching itself, a file where a folder is, a name that is too
    long, half a character."""
    studio.wait()
    odd = {".jobgen-fetched.json": b"{}", ".jobgen-fetch/abc": b"1", ".jobgen-fetched.lock": b"2",
           "weights": b"3", "weights/x": b"4", f"{'n' * 300}.txt": b"5", "gone.bin": b"6",
           "half\ud800.txt": b"7", "全 角　.txt": b"8"}  # fmt: skip
    studio.jobs[submitted].outputs = dict(odd)
    missing: Reply = (404, b'{"code": "NoSuchKey", "message": "NoSuchKey"}', {})
    studio.instead = lambda what, path: (
        missing if what == "get-object" and path.endswith("gone.bin") else None
    )
    answer = jobgen("fetch", submitted, "-o", "out")
    assert Path("out/ships/result.json").is_file(), answer.err
    assert Path("out/全 角　.txt").read_bytes() == b"8"
    left_out = [line for line in answer.err.splitlines() if line.startswith("left out")]
    assert len(left_out) == 7, answer.err
    assert "gone.bin: it is listed, and not there any longer" in answer.err
    studio.instead = lambda _what, _path: None
    again = jobgen("fetch", submitted, "-o", "out")
    assert "gone.bin" not in again.err
    assert Path("out/gone.bin").read_bytes() == b"6"


def test_a_list_that_names_files_again_and_in_other_letters(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    """Each row three times; the MD5 in capitals there and small ones in the answer."""
    big = {f"{name}.bin": os.urandom(1_500_000) for name in "abc"}
    rotten(studio, submitted, big)
    own = studio.objects

    def instead(what: str, _path: str) -> Reply | None:
        if what != "objects":
            return None
        rows = [{"key": key, "size": len(data), "eTag": hashlib.md5(data).hexdigest().upper()}
                for key, data in own().items() if isinstance(data, bytes) and key[:3] == "out"]  # fmt: skip
        return said({"contents": [row for row in rows for _ in range(3)], "isTruncated": False})

    studio.instead = instead
    answer = jobgen("fetch", submitted, "-o", "out")
    assert "left out" not in answer.err, answer.err
    assert {path.name: path.read_bytes() for path in Path("out").glob("*.bin")} == big


def test_a_list_without_an_end_ends(studio: AiStudio, jobgen: Jobgen, submitted: str) -> None:
    pages = iter(range(10**6))
    studio.instead = lambda what, _path: (
        said({"contents": [], "isTruncated": True, "nextMarker": f"z{next(pages):09}"})
        if what == "objects" else None
    )  # fmt: skip
    answer = jobgen("fetch", submitted, "-o", "out")
    assert (answer.code, "does not come to its end" in answer.err) == (8, True)


def test_a_fetch_that_was_killed_at_its_first_mark_is_made_again(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    studio.wait()
    Path("out").mkdir()
    Path("out/..jobgen-fetched.json.qbt8vz7y").write_bytes(b"")
    assert "holds other things" not in jobgen("fetch", submitted, "-o", "out").err
    assert Path("out/ships/result.json").is_file()


def test_a_full_disk_is_said_with_its_place(
    studio: AiStudio, jobgen: Jobgen, submitted: str, small_disk: Path
) -> None:
    rotten(studio, submitted, {"a.bin": os.urandom(4_000_000)})
    answer = jobgen("fetch", submitted, "-o", small_disk / "out")
    assert answer.code == 8
    assert "4.0 MB are to come" in answer.err


# The log.


def test_a_log_that_is_written_anew_is_shown_anew(
    studio: AiStudio, jobgen: Jobgen, submitted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.wait()
    job = studio.jobs[submitted]
    job.stage, studio.live = "running", True
    texts = iter([b"old 1\nold 2\n", b"new 1\nnew 2\nnew 3\nnew 4\n"])
    job.outputs = {"main.log": next(texts), "domain.log": b"nobody's\n"}

    def later(_seconds: float) -> None:
        text = next(texts, None)
        if text is None:
            job.stage = "succeeded"
        else:
            job.outputs = {**(job.outputs or {}), "main.log": text}

    monkeypatch.setattr("jobgen.cli.logs.time.sleep", later)
    shown = jobgen("logs", submitted, "--follow")
    lines = [line for line in shown.out.splitlines() if line[:3] in ("old", "new", "nob")]
    assert lines == ["old 1", "old 2", "new 1", "new 2", "new 3", "new 4"]


def test_another_part_than_was_asked_for_is_not_taken(
    studio: AiStudio, jobgen: Jobgen, submitted: str
) -> None:
    rotten(studio, submitted, {"main.log": b"0123456789"})
    wrong = (206, b"0123456789", {"Content-Range": "bytes 0-9/10"})
    studio.instead = lambda what, _path: wrong if what == "get-object" else None
    jobs = Jobs(studio.address, Token(TOKEN, "here"), lambda _seconds: None)
    output = JobOutput(jobs, submitted)
    file = next(file for file in output.files() if file.path == "main.log")
    with pytest.raises(Unreachable, match="another part of main.log"):
        output.read(file, start=4)
    output.close()
    jobs.close()


# Publishing, asking, settings.


def test_a_link_out_of_the_folder_is_not_published(
    studio: AiStudio, jobgen: Jobgen, tmp_path: Path
) -> None:
    (tmp_path / "exp" / "mnn").mkdir(parents=True)
    (tmp_path / "exp" / "MODEL_CARD.md").write_text("# Ships")
    (tmp_path / "exp" / "mnn" / "model.mnn").write_bytes(b"m")
    (tmp_path / "exp" / "again.mnn").symlink_to(tmp_path / "exp" / "mnn" / "model.mnn")
    (tmp_path / "exp" / "link.bin").symlink_to("/etc/passwd")
    assert jobgen("publish", "exp", "me/detector", "--yes").code == 0
    assert set(studio.repositories["me/detector"]) == {"README.md", "again.mnn", "mnn/model.mnn"}


def test_an_upload_needs_no_cache(
    studio: AiStudio, jobgen: Jobgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.sts = True
    studio.repositories["me/set"] = {}
    monkeypatch.setenv("JOBGEN_CACHE", "/proc/none")
    (tmp_path / "set.bin").write_bytes(os.urandom(9_000_000))
    answer = jobgen("upload", "set.bin", "me/set", "--no-check")
    assert answer.code == 0, answer.err


def test_doctor_asks_on_where_one_answer_is_no_good(studio: AiStudio, jobgen: Jobgen) -> None:
    a_job(studio)
    studio.instead = lambda what, path: (
        enveloped(None, 7, "quota exceeded") if what == "grant"
        else said({"version": "1.20"}) if path == "/api/v1/version" else None
    )  # fmt: skip
    answer = jobgen("doctor", "--remote")
    assert answer.code == 1
    assert "quota exceeded" in answer.out + answer.err
    assert "gitea 1.20" in answer.out + answer.err
    assert "--payment" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://user:pw@127.0.0.1:notaport"),
        ("JOBGEN_AISTUDIO", f"https://{'a' * 70}.example"),
    ],
)
def test_an_address_that_is_none_is_told(
    jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("AISTUDIO_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv(name, value)
    answer = jobgen("jobs")
    assert answer.code == 8, answer.err
    assert "pw" not in answer.err.replace("HTTPS_PROXY", "")


def test_jobs_are_a_line_each(studio: AiStudio, jobgen: Jobgen) -> None:
    a_job(studio).body["name"] = "two\nlines"
    assert len(jobgen("jobs").out.splitlines()) == 2


def test_what_pays_is_named_where_a_job_is_refused_for_it(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.fault = lambda what, _n: "refuse" if what == "create" else None
    assert "--payment acoin" in jobgen("submit", whole.folder, *mounted(studio, whole)).err
    studio.fault = lambda what, _n: "refuse" if what == "list" else None
    assert "--payment" not in jobgen("jobs").err


def test_a_header_of_the_storage_that_can_not_be_sent(
    studio: AiStudio, jobgen: Jobgen, tmp_path: Path
) -> None:
    studio.repositories["me/set"] = {}
    (tmp_path / "set.bin").write_bytes(b"x" * 100)
    name = base64.b64encode(b"x").decode()
    upload = {"href": f"{studio.address}/store/{'0' * 64}", "header": {name: "会话-secret"}}
    row = {"objects": [{"actions": {"upload": upload}}]}
    studio.instead = lambda what, _path: said(row) if what == "batch" else None
    answer = jobgen("upload", "set.bin", "me/set", "--no-check")
    assert (answer.code, "会话" in answer.err) == (8, False)


def at_a_terminal() -> None:
    heed_interrupt()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_ctrl_c_at_a_question_is_no_answer(studio: AiStudio, whole: Whole) -> None:
    words = [word for word in mounted(studio, whole) if word != "--yes"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobgen", "submit", str(whole.folder), *words],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=at_a_terminal,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"?" not in shown:
        shown += os.read(ours, 1000)
    try:
        # Python loses a Ctrl-C that comes just before it begins to read: press it again.
        for _attempt in range(5):
            os.write(ours, b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break
        assert process.poll() == 130
    finally:
        process.kill()
        process.wait()
    shown += os.read(ours, 10_000)
    os.close(ours)
    assert b"stopped" in shown.splitlines()[-1]
    assert not studio.jobs
