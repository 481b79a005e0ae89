import http.server
import os
import pickle
from pathlib import Path
from typing import Iterator

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.train.weights import download_weights, fetch_weights, pretrained_weights
from tests.runtime.conftest import events
from tests.served import served


class Evil:
    def __reduce__(self) -> tuple:
        import os

        return os.system, ("true",)


GOOD = pickle.dumps({"a": [1.0, 2.0], "b": b"\1" * 3000}, protocol=4)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def server() -> Iterator[str]:
    """A loopback server: /good, /torn (cut off), /evil, everything else is a page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/good.pdparams": GOOD, "/evil.pdparams": pickle.dumps(Evil(), 2)}.get(
                self.path, b"<html>"
            )
            self.send_response(200)
            if self.path == "/torn.pdparams":
                self.send_header("Content-Length", str(len(GOOD)))
                body = GOOD[:100]
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as address:
        yield address


def test_weights_are_fetched_once(tmp_path: Path, run: Outcome, server: str) -> None:
    folder = str(tmp_path / "w")
    first = fetch_weights(server + "/good.pdparams", folder, pause=0)
    assert Path(first).read_bytes() == GOOD
    assert fetch_weights(server + "/good.pdparams", folder, pause=0) == first
    assert [e["fetched"] for e in events(run, "weights")] == [True, False]
    with pytest.raises(StageError):  # another address, the same file name
        fetch_weights("http://127.0.0.1:9/good.pdparams", folder, pause=0)
    with pytest.raises(StageError, match="another SHA-256"):
        fetch_weights(server + "/good.pdparams", folder, sha256="0" * 64, pause=0)


def test_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path, run: Outcome) -> None:
    """Bytes that came once are not asked for again."""
    asked = []
    whole = pickle.dumps({"w": os.urandom(300000)}, 4)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Range")
            asked.append(given)
            first = int(given[6:-1]) if given else 0
            self.send_response(206 if given else 200)
            self.send_header("Content-Length", str(len(whole) - first))
            self.end_headers()
            # Breaks off after 100,000 bytes, each time.
            self.wfile.write(whole[first : first + 100000])

        def log_message(self, *_: object) -> None:
            pass

    half = tmp_path / "half"
    told = []
    with served(Handler, http.server.HTTPServer) as address:
        url = address + "/w.pdparams"
        with pytest.raises(StageError, match="300000 of %d bytes came" % len(whole)):
            fetch_weights(url, str(tmp_path / "w"), pause=0)
        assert asked == [None, "bytes=100000-", "bytes=200000-"]
        assert list((tmp_path / "w").iterdir()) == []
        for _ in range(4):
            try:
                download_weights(url, str(half), lambda done, total: told.append((done, total)))
            except ValueError:
                continue
    assert half.read_bytes() == whole
    assert told[-1] == (len(whole), len(whole))


def test_without_a_folder_the_users_cache_is_used(
    tmp_path: Path, run: Outcome, server: str
) -> None:
    path = pretrained_weights(server + "/good.pdparams", str(tmp_path), None, "stop")
    assert path.startswith(os.path.expanduser("~/.cache/jobgen/weights/opened-"))
    assert pickle.loads(Path(path).read_bytes()) == pickle.loads(GOOD)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torn", "100 of %d bytes came" % len(GOOD)),
        ("evil", "what came is no weights file (it would import posix.system)"),
        ("page", "what came is no weights file (torn)"),
    ],
)
def test_what_is_no_weights_file_is_not_kept(
    tmp_path: Path, run: Outcome, server: str, name: str, said: str
) -> None:
    with pytest.raises(StageError) as caught:
        fetch_weights("%s/%s.pdparams" % (server, name), str(tmp_path / "w"), pause=0)
    assert said in caught.value.message
    assert list((tmp_path / "w").iterdir()) == []


def test_another_hash_is_refused(tmp_path: Path, run: Outcome, server: str) -> None:
    with pytest.raises(StageError, match="another SHA-256"):
        fetch_weights(server + "/good.pdparams", str(tmp_path / "w"), sha256="0" * 64, pause=0)


@pytest.mark.waits
def test_missing_weights_stop_or_start_from_scratch(tmp_path: Path, run: Outcome) -> None:
    with pytest.raises(StageError, match="are not there"):
        pretrained_weights("w/x.pdparams", str(tmp_path), str(tmp_path), "stop")
    assert pretrained_weights("w/x.pdparams", str(tmp_path), str(tmp_path), "scratch") == ""
    assert run.data["adjustments"][0]["what"] == "pretrain_weights"
    # A smoke run forgives only an address that does not answer.
    with pytest.raises(StageError, match="are not there"):
        pretrained_weights("w/x.pdparams", str(tmp_path), str(tmp_path), "stop", smoke=True)
    silent = "http://127.0.0.1:9/x.pdparams"
    assert pretrained_weights(silent, str(tmp_path), str(tmp_path), "stop", smoke=True) == ""
    assert "the job itself stops here" in run.data["notes"][0]["text"]
    assert pretrained_weights("", str(tmp_path), str(tmp_path), "stop") == ""
    (tmp_path / "w").mkdir()
    write(tmp_path / "w" / "x.pdparams", GOOD)
    path = pretrained_weights("w/x.pdparams", str(tmp_path), "", "stop")
    assert pickle.loads(Path(path).read_bytes()) == pickle.loads(GOOD)


def test_local_weights_that_would_run_code_are_refused(tmp_path: Path, run: Outcome) -> None:
    write(tmp_path / "x.pdparams", pickle.dumps(Evil(), 2))
    with pytest.raises(StageError, match="is not opened: it would import posix.system"):
        pretrained_weights("x.pdparams", str(tmp_path), "", "stop")
