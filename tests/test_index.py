"""Environments from a package index on loopback, sound and with faults."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from jobgen.catalog import environments, indexed_build, pins
from jobgen.errors import RunError, SpecError
from jobgen.machine.environment import environment_folder, make_environment
from jobgen.machine.gpu import choose_build
from jobgen.machine.longwork import run_with_progress
from jobgen.settings import load_settings
from tests.served import served
from tests.test_check_machine import CARD

pytestmark = pytest.mark.waits

HERE = environments()["paddle3.0_py3.10"]
CU126 = "https://example.org/packages/stable/cu126/"


def wheel(name: str, version: str, needs: str = "", filler: int = 0) -> bytes:
    """A wheel with one module in it."""
    base = f"{name}-{version}.dist-info"
    rows = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    rows += [f"Requires-Dist: {needs}\n"] if needs else []
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{name}.bin", bytes(filler))
        archive.writestr(f"{base}/METADATA", "".join(rows))
        tag = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{base}/WHEEL", tag)
        names = (f"{name}.py", f"{name}.bin", f"{base}/METADATA", f"{base}/WHEEL", f"{base}/RECORD")
        archive.writestr(f"{base}/RECORD", "".join(f"{each},,\n" for each in names))
    return sink.getvalue()


@dataclass
class Index:
    """What the server has and how it misbehaves: `cut` ends each file in its midst, `wrong` alters
    it, `slow` are the seconds it lets pass before a file."""

    address: str = ""
    wheels: dict[str, bytes] = field(default_factory=dict)
    cut: bool = False
    wrong: bool = False
    slow: float = 0.0
    asked: list[str] = field(default_factory=list)

    def page(self, package: str) -> bytes:
        rows = [
            f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
            for name, data in self.wheels.items()
            if name.split("-")[0].replace("_", "-") == package
        ]
        return ("<!doctype html><html><body>" + "\n".join(rows) + "</body></html>").encode()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    found = Index()
    for name, version in (("pip", "26.0"), ("setuptools", "80.0"), ("wheel", "0.45"), ("a", "1.0")):
        found.wheels[f"{name}-{version}-py3-none-any.whl"] = wheel(name, version)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            found.asked.append(self.path)
            body = found.page(parts[-1]) if "simple" in parts else found.wheels.get(parts[-1], b"")
            kind = "text/html" if "simple" in parts else "application/octet-stream"
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if "simple" not in parts:
                time.sleep(found.slow)
                body = body[: len(body) // 2] if found.cut else body
                body = body[::-1] if found.wrong else body
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with served(Handler) as found.address:
        for name, value in (
            ("UV_DEFAULT_INDEX", found.address + "/simple"),
            ("UV_HTTP_RETRIES", "1"),
            ("UV_HTTP_TIMEOUT", "2"),
            ("UV_CACHE_DIR", str(tmp_path / "uv")),
        ):
            monkeypatch.setenv(name, value)
        yield found


def module_version(place: Path, name: str) -> str:
    argv = [str(place / "bin" / "python"), "-c", f"import {name}; print({name}.version)"]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_an_environment_is_made_of_its_pins(index: Index, tmp_path: Path) -> None:
    make_environment(tmp_path / "env", "a==1.0\n", sys.executable, print)
    assert module_version(tmp_path / "env", "a") == "1.0"


@pytest.mark.parametrize(
    "fault",
    [{"cut": True}, {"wrong": True}, {"slow": 20.0}],
    ids=["cut off", "wrong bytes", "slow"],
)
def test_a_faulty_index_leaves_nothing_taken_for_whole(
    index: Index, tmp_path: Path, fault: dict[str, object]
) -> None:
    from jobgen.machine.locks import MARK, make_once

    for name, value in fault.items():
        setattr(index, name, value)
    place = tmp_path / "envs" / "one"

    def make(folder: Path) -> str:
        make_environment(folder, "a==1.0\n", sys.executable, print)
        return "made"

    with pytest.raises(RunError, match="could not be made: ") as caught:
        make_once(place, make)
    print(caught.value.message)
    assert str(place) + ".log" in str(caught.value.hint)
    assert not place.exists()
    index.cut, index.wrong, index.slow = False, False, 0.0
    assert make_once(place, make) == ("made", True)
    assert (place / MARK).is_file()


def test_paddles_own_index_brings_the_build_and_what_it_needs(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paddle's other index has the build; the pins beside it hold what it may bring."""
    for name, version, needs in (
        ("paddlepaddle_gpu", "3.3.1", "nvidia-cuda-cu12==12.6"),
        ("nvidia_cuda_cu12", "12.6", ""),
        ("a", "2.0", ""),
    ):
        index.wheels[f"{name}-{version}-py3-none-any.whl"] = wheel(name, version, needs)
    said: list[str] = []
    address = index.address.replace("://", "://user:pass@") + "/cu126/simple"
    make_environment(
        tmp_path / "env", "a==1.0\npaddlepaddle-gpu==3.3.1\n", sys.executable, said.append, address
    )
    assert module_version(tmp_path / "env", "paddlepaddle_gpu") == "3.3.1"
    assert module_version(tmp_path / "env", "nvidia_cuda_cu12") == "12.6"
    assert module_version(tmp_path / "env", "a") == "1.0"
    assert any(path.startswith("/cu126/simple/") for path in index.asked)
    log = (tmp_path / "env.log").read_text()
    assert "pass" not in log + "".join(said)


def test_a_build_from_another_index_is_told_by_its_address() -> None:
    assert indexed_build(CU126).driver == "525.60.13"
    assert indexed_build("https://example.org/simple").driver == ""
    row = pins(HERE, gpu=True, indexed=True)
    assert "\npaddlepaddle-gpu==3.0.0\n" in row
    assert "\npaddlepaddle==" not in row
    new = {**CARD, "compute_capability": "8.9", "driver": "550.54"}
    assert choose_build([new], HERE, "gpu", False, CU126).device == "gpu"
    with pytest.raises(RunError, match=r"the driver is 470\.1; this CUDA needs 525\.60\.13"):
        choose_build([CARD], HERE, "gpu", False, CU126)
    with pytest.raises(RunError, match="--paddle-index names another"):
        choose_build([CARD], HERE, "gpu", False)


def test_the_index_is_a_setting_and_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().paddle_index == ""
    monkeypatch.setenv("JOBGEN_PADDLE_INDEX", CU126)
    assert load_settings().paddle_index == CU126
    with pytest.raises(SpecError, match="not an http, https or file address"):
        load_settings(paddle_index="gopher://x")
    try:
        plain = environment_folder(HERE, tmp_path)
    except RunError:
        pytest.skip("the managed environment needs an installed Python 3.10 to 3.12")
    first = environment_folder(HERE, tmp_path, True, CU126)[0]
    second = environment_folder(HERE, tmp_path, True, CU126.replace("126", "129"))[0]
    assert len({plain[0], first, second}) == 3
    # Without a card the address decides nothing.
    assert environment_folder(HERE, tmp_path, False, CU126) == plain


def test_long_work_says_how_many_bytes_it_has_written(tmp_path: Path) -> None:
    code = """
import sys, time
with open(sys.argv[1], "wb") as stream:
    for _ in range(12):
        stream.write(bytes(2000000))
        stream.flush()
        time.sleep(0.1)
"""
    out = str(tmp_path / "out")
    said: list[str] = []
    with (tmp_path / "log").open("w") as log:
        status = run_with_progress(
            [sys.executable, "-c", code, out], {}, log, said.append, every=0.2
        )
        assert status == 0
        assert said
        assert all(line.endswith(" MB so far") for line in said)
        with pytest.raises(subprocess.TimeoutExpired):
            run_with_progress(
                ["sleep", "60"], {"PATH": "/usr/bin:/bin"}, log, said.append, 0.3, 0.1
            )
