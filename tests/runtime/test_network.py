"""Networks as they are: addresses that refuse, hang or break off, and an index that is down."""

import hashlib
import io
import socket
import subprocess
import sys
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Iterator

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.setup.install import install_missing
from jobgen_runtime.setup.source import clone
from tests.runtime.conftest import events, git_repository
from tests.served import served

pytestmark = pytest.mark.waits

FILES = {"ppdet/a.py": "x = 1\n" * 1000, "tools/train.py": "print(1)\n"}


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes a connection and never says a word."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(8)
    yield "https://127.0.0.1:%d/x.git" % server.getsockname()[1]
    server.close()


def test_three_addresses_fail_each_in_its_way_and_the_fourth_gives_it(
    tmp_path: Path, run: Outcome, silent: str
) -> None:
    git_repository(tmp_path / "whole", FILES)
    git_repository(tmp_path / "torn", FILES)
    subprocess.run(["git", "gc", "-q"], cwd=str(tmp_path / "torn"), check=True)
    (pack,) = (tmp_path / "torn" / ".git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:100])
    urls = [
        "https://127.0.0.1:9/x.git",
        silent,
        "file://%s" % (tmp_path / "torn"),
        "file://%s" % (tmp_path / "whole"),
    ]
    folder = tmp_path / "PaddleDetection"
    assert clone(urls, "v1", str(folder), timeout=3, pause=0) == urls[3]
    assert (folder / "tools" / "train.py").is_file()
    faults = [(event["url"], event["fault"]) for event in events(run, "clone")]
    assert [url for url, _ in faults] == [urls[0]] * 2 + [urls[1]] * 2 + [urls[2]] * 2 + [urls[3]]
    assert "did not end within" in faults[2][1]
    assert faults[-1][1] is None
    assert not (tmp_path / "PaddleDetection.cloning").exists()


def wheel(name: str) -> bytes:
    sink = io.BytesIO()
    info = "%s-1.0.dist-info" % name
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name + "/__init__.py", "")
        archive.writestr(
            info + "/METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % name
        )
        text = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(info + "/WHEEL", text)
        archive.writestr(info + "/RECORD", "")
    return sink.getvalue()


class Index:
    """A package index that is down for the first requests, and knows one package."""

    def __init__(self, down_for: int) -> None:
        self.left = down_for
        self.asked: list = []
        data = wheel("probe_x")
        digest = hashlib.sha256(data).hexdigest()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                if index.left > 0:
                    index.left -= 1
                    self.send_error(404 if "probe" not in self.path else 503)
                elif self.path.endswith(".whl"):
                    self.answer(data, "application/octet-stream")
                elif "probe-x" in self.path:
                    row = '<a href="/probe_x-1.0-py3-none-any.whl#sha256=%s">' % digest
                    row += "probe_x-1.0-py3-none-any.whl</a>"
                    self.answer(row.encode(), "text/html")
                else:
                    self.send_error(404)

            def answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.handler = Handler


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, with pip."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def settings(monkeypatch: pytest.MonkeyPatch, python: Path, address: str) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", address + "/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    # As AI Studio's images have it; pip refuses it inside a virtual environment.
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "prefix", str(python.parent.parent))


def test_an_index_that_is_down_for_two_tries(
    python: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(Index(down_for=2).handler) as address:
        settings(monkeypatch, python, address)
        installed = install_missing([{"module": "probe_x", "pip": "probe-x"}], pause=0)
    assert installed == ["probe-x"]
    tries = [event["exit_status"] for event in events(run, "pip")]
    assert tries[-1] == 0
    assert all(tries[:-1])
    assert len(tries) == 3
    assert subprocess.call([str(python), "-c", "import probe_x"]) == 0


def test_a_package_that_no_index_has(
    python: Path, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(Index(down_for=0).handler) as address:
        settings(monkeypatch, python, address)
        with pytest.raises(StageError) as caught:
            install_missing([{"module": "no_such_y", "pip": "no-such-y"}], pause=0)
    assert caught.value.cause == "install"
    assert "No matching distribution found for no-such-y" in caught.value.message
    assert caught.value.log == run.log_path("install")
