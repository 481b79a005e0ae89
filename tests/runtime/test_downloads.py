"""Servers that break off, talk nonsense, never end, or say a byte a second."""

import contextlib
import gc
import socket
import threading
import time
import warnings
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from jobgen_runtime.train import downloads
from jobgen_runtime.train.downloads import download, half_file

# A server's thread may be ended in the middle of a word.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """An address on loopback that answers each connection as told, and the connections."""
    servers: List[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        servers.append(server)

        def work() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    with contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=work, daemon=True).start()
        return "http://127.0.0.1:%d/w.pdparams" % server.getsockname()[1]

    yield start
    for server in servers:
        server.close()
    # What a thread has left is found here, where it is known, and not by another test.
    gc.collect()


def send(*parts: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def dribble(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.1)


def dribble_headers(connection: socket.socket) -> None:
    for number in range(6000):
        connection.sendall((OK + b"X: y\r\n" * 9000)[number : number + 1])
        time.sleep(0.1)


def silent(connection: socket.socket) -> None:
    time.sleep(60)


def endless(connection: socket.socket) -> None:
    connection.sendall(OK + b"\r\n")
    while True:
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (send(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10\r\nonly a few"), "broke off"),
        (send(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nx\r\n"), "nonsense"),
        (send(b"\x16\x03\x01 what is this\r\n\r\n"), "nonsense"),
        (send(b""), "broke off|Remote end closed"),
        (send(OK + b"Content-Length: 100\r\n\r\n", b"few"), "3 of 100 bytes came"),
        (send(OK + b"Content-Length: x\r\n\r\n", b"few"), "invalid literal"),
        (send(OK + b"Content-Length: 9999999\r\n\r\n"), "it is larger than"),
        (send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "HTTP Error 500"),
        (send(OK + b"X: " + b"y" * 70000 + b"\r\n\r\n"), "nonsense"),
        (endless, "it is larger than"),
        (dribble, "less than 1000 bytes a second came"),
        (dribble_headers, "less than 1000 bytes a second came"),
        (silent, "less than 1000 bytes a second came"),
    ],
)
@pytest.mark.waits
def test_a_bad_server_is_told_in_words(
    tmp_path: Path,
    serve: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket], None],
    said: str,
) -> None:
    monkeypatch.setattr(downloads, "SLOW_FOR", 1.0)
    started = time.monotonic()
    with pytest.raises((ValueError, OSError), match=said):
        download(serve(answer), str(tmp_path / "w"), 1000000)
    assert time.monotonic() - started < 20
    half = Path(half_file(str(tmp_path / "w")))
    assert not half.exists() or half.stat().st_size <= 1000000


@pytest.mark.waits
@pytest.mark.filterwarnings("error")
def test_a_refusal_leaves_no_connection_open(
    serve: Callable[[Callable[[socket.socket], None]], str], tmp_path: Path
) -> None:
    refusal = send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nx")
    with pytest.raises(ValueError, match="404"):
        download(serve(refusal), str(tmp_path / "w"), 10**6)
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(each.message) for each in left if "unclosed" in str(each.message)] == []


def test_what_comes_late_is_not_written(
    tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer that was given up may still be at work when the next try begins."""
    monkeypatch.setattr(downloads, "SLOW_FOR", 0.5)

    def late(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: 10\r\n\r\n12345")
        time.sleep(1.5)
        connection.sendall(b"67890")

    with pytest.raises(ValueError, match="bytes a second"):
        download(serve(late), str(tmp_path / "w"), 100)
    time.sleep(1.5)
    half = Path(half_file(str(tmp_path / "w")))
    assert not half.exists() or len(half.read_bytes()) <= 5


def test_an_address_with_a_password_stays_out_of_the_words(tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        download("http://me:T0KEN@127.0.0.1:9/x?sig=T0KEN", str(tmp_path / "w"), 100)
    assert "T0KEN" not in str(caught.value)
