"""The official client (aistudio-sdk 0.3.9) against the same loopback AI Studio: the server is no
wishful thinking. Then its measured faults, one by one, and that jobgen has none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from tests.aistudio import TOKEN, AiStudio
from tests.conftest import Answer
from tests.remote_world import made, mounted, studio, whole
from tests.test_remote import leaves_result, rotten
from tests.whole import Whole

__all__ = ["made", "studio", "whole"]
pytestmark = pytest.mark.waits
Jobgen = Callable[..., Answer]

SDK = """\
import sys
from aistudio_sdk import config
config.STUDIO_MODEL_API_URL_PREFIX_DEFAULT = sys.argv.pop(1)
from aistudio_sdk.cmdline import main
sys.exit(main())
"""


def official(studio: AiStudio, home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A call of the official client."""
    token = home / ".cache/aistudio/.auth/token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(TOKEN)
    env = {**os.environ, "HOME": str(home), "AISTUDIO_CACHE_HOME": str(home)}
    env.update(STUDIO_GIT_HOST=studio.address, STUDIO_MODEL_API_URL_PREFIX=studio.address)
    env.pop("HTTP_PROXY", None)
    argv = [sys.executable, "-c", SDK, studio.address, *map(str, words)]
    return subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True, check=False)


@pytest.fixture
def sdk(studio: AiStudio, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    home = tmp_path / "sdk"
    home.mkdir()
    return lambda *words: official(studio, home, *words)


Sdk = Callable[..., subprocess.CompletedProcess[str]]


def test_the_official_client_submits_lists_fetches_and_stops(
    studio: AiStudio, sdk: Sdk, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "run.sh").write_text("mkdir -p output; echo done > output/said.txt\n")
    words = ("-n", "mine", "-p", code, "-c", "sh run.sh", "-g", "1", "-pay", "coupon")
    done = sdk("submit", "job", *words)
    assert "70000" in done.stdout + done.stderr, done
    studio.wait()
    assert studio.jobs["70000"].stage == "succeeded"
    listed = sdk("jobs")
    assert "succeeded" in listed.stdout + listed.stderr
    seen = sdk("job", "70000", "ls")
    assert "said.txt" in seen.stdout + seen.stderr
    copied = sdk("job", "70000", "cp", "said.txt", tmp_path / "said.txt")
    assert (tmp_path / "said.txt").read_text() == "done\n", copied
    stopped = sdk("stop", "job", "70000", "-f")
    assert "停止成功" in stopped.stdout + stopped.stderr


def test_the_official_client_reads_what_jobgen_submits(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, sdk: Sdk, tmp_path: Path
) -> None:
    studio.work = leaves_result
    number = jobgen("submit", whole.folder, *mounted(studio, whole), "--json").json["id"]
    studio.wait()
    assert number in (listed := sdk("jobs", number)).stdout + listed.stderr
    sdk("job", number, "cp", "main.log", tmp_path / "log")
    assert (tmp_path / "log").read_text() == jobgen("logs", number).out


@pytest.mark.parametrize("sts", [False, True])
def test_the_official_client_uploads_to_the_same_repository(
    studio: AiStudio, sdk: Sdk, tmp_path: Path, sts: bool
) -> None:
    studio.repositories["me/ships"] = {}
    studio.sts = sts
    data = os.urandom(300_000)
    (tmp_path / "ships.zip").write_bytes(data)
    code = (
        "import sys; from aistudio_sdk.hub import upload_file; "
        "upload_file(path_or_fileobj=sys.argv[1], path_in_repo='ships.zip', repo_id='me/ships')"
    )
    env = {
        **os.environ,
        "STUDIO_GIT_HOST": studio.address,
        "STUDIO_MODEL_API_URL_PREFIX": studio.address,
        "AISTUDIO_ACCESS_TOKEN": TOKEN,
    }
    argv = [sys.executable, "-c", code, str(tmp_path / "ships.zip")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert data in studio.lfs.values(), done
    assert "ships.zip" in studio.pointers["me/ships"], done


# What the official client does wrong, by the number in the list of its measured faults.


def test_1_a_refusal_has_an_exit_code(studio: AiStudio, jobgen: Jobgen, sdk: Sdk) -> None:
    studio.fault = lambda _kind, _n: "refuse"
    assert sdk("jobs").returncode == 0  # what theirs does
    answer = jobgen("jobs")
    assert answer.code == 8
    assert "quota exceeded (errorCode 7, logId L1)" in answer.err


@pytest.mark.parametrize("fault", ["502", "drop", "html"])
def test_2_the_true_cause_is_told(studio: AiStudio, jobgen: Jobgen, fault: str) -> None:
    studio.fault = lambda _kind, _n: fault
    answer = jobgen("jobs")
    assert answer.code == 8
    assert any(word in answer.err for word in ("HTTP 502", "broke off", "no JSON"))
    assert "TypeError" not in answer.err


def test_3_wrong_words_have_an_exit_code(jobgen: Jobgen) -> None:
    assert jobgen("submit", "--bogus").code == 2
    assert jobgen("submit").code == 2
    assert jobgen("wait").code == 2


def test_4_to_7_the_archive_holds_the_bundle_and_nothing_else(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.work = leaves_result
    # Whatever lies about, and a folder's name that is part of its own paths.
    (whole.folder / ".git").mkdir()
    (whole.folder / ".env").write_text("TOKEN=1")
    (whole.folder / "upload" / ".ipynb_checkpoints").mkdir()
    (whole.folder / "broken").symlink_to("nowhere")
    monkeypatch.chdir(whole.folder)
    before = {path.name for path in whole.folder.iterdir()}
    jobgen("submit", ".", *mounted(studio, whole))
    jobgen("submit", whole.folder / "upload", *mounted(studio, whole), "--again")
    first, second = studio.code.values()
    assert first == second
    with zipfile.ZipFile(BytesIO(first)) as archive:
        assert set(archive.namelist()) == {
            *("main.py", "coco_detection_ships.yml", "picodet_xs_320_ships_lcnet.yml"),
        }
    assert {path.name for path in whole.folder.iterdir()} - before == {"submitted"}


def test_8_a_torn_download_keeps_the_good_file(
    studio: AiStudio, whole: Whole, jobgen: Jobgen, sdk: Sdk, tmp_path: Path
) -> None:
    studio.work = leaves_result
    number = jobgen("submit", whole.folder, *mounted(studio, whole), "--json").json["id"]
    rotten(studio, number, {"w.bin": b"good" * 1000})
    jobgen("fetch", number, "-o", "out")
    rotten(studio, number, {"w.bin": b"new!" * 1000})
    studio.fault = lambda kind, _n: "cut" if kind == "get-object" else None
    assert jobgen("fetch", number, "-o", "out").code == 8
    assert Path("out/w.bin").read_bytes() == b"good" * 1000


def test_9_a_job_that_is_not_there_has_an_exit_code(studio: AiStudio, jobgen: Jobgen) -> None:
    for words in (["fetch", "9"], ["wait", "9"], ["stop", "9", "--yes"], ["logs", "9"]):
        answer = jobgen(*words)
        assert answer.code == 8
        assert "knows no job 9 of yours" in answer.err


def test_11_the_token_is_not_echoed(studio: AiStudio, jobgen: Jobgen, sdk: Sdk) -> None:
    theirs = sdk("config", "-t", TOKEN)
    assert TOKEN in theirs.stdout + theirs.stderr
    studio.fault = lambda _kind, _n: "html"
    answer = jobgen("--debug", "doctor", "--remote")
    assert TOKEN not in answer.out + answer.err


def test_12_the_variable_counts_for_every_command(
    studio: AiStudio, jobgen: Jobgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    assert jobgen("jobs").code == 0


@pytest.mark.parametrize("fault", ["502", "drop", "html", "cut", "lost"])
def test_13_what_passes_is_tried_again(studio: AiStudio, jobgen: Jobgen, fault: str) -> None:
    studio.fault = lambda _kind, number: fault if number < 3 else None
    assert jobgen("jobs").code == (0 if fault != "html" else 8)


def test_14_no_job_is_left_without_its_id(studio: AiStudio, whole: Whole, jobgen: Jobgen) -> None:
    studio.work = leaves_result
    studio.fault = lambda kind, _n: "502" if kind == "put-object" else None
    assert jobgen("submit", whole.folder, *mounted(studio, whole)).code == 8
    (record,) = (whole.folder / "submitted").glob("*.json")
    assert json.loads(record.read_text())["job"] == "70000"


def test_15_nothing_else_is_asked_of_anybody(
    studio: AiStudio, whole: Whole, jobgen: Jobgen
) -> None:
    studio.work = leaves_result
    jobgen("submit", whole.folder, *mounted(studio, whole))
    jobgen("wait", whole.folder)
    jobgen("fetch", whole.folder, "-o", "out")
    assert {seen.what for seen in studio.seen} == {
        *("create", "list", "grant", "put-object", "confirm", "objects", "get-object"),
    }
