"""The service that an export leaves, in an environment of its own: answers, bad input, its stop."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.server_world import Service, running, service_folder

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(600)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Of another environment, as JOBGEN_JUPYTER=/path/to/venv/bin: with playwright.
BROWSING = Path(os.environ.get("JOBGEN_JUPYTER", Path(sys.executable).parent)) / "python"


def picture(size: tuple[int, int] = (320, 240), colour: int = 230, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (colour,) * 3).save(stream, kind)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares a size, with little in it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def form(*files: tuple[str, bytes], name: str = "images") -> tuple[bytes, str]:
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for file, data in files
    ]
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return service_folder(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with running(folder, code="app.BODY_SECONDS = 1.5") as found:
        yield found


def test_a_picture_is_answered_with_boxes_in_its_own_pixels(service: Service) -> None:
    answer = service.ask("/detect", picture())
    assert answer.status == 200
    assert (answer.json["width"], answer.json["height"]) == (320, 240)
    left, right = sorted(answer.json["boxes"], key=lambda box: box["box"][0])
    assert left["class"] == right["class"] == "light"
    assert left["score"] == pytest.approx(230 / 255, abs=0.01)
    assert left["box"] == pytest.approx([0, 0, 160, 240])
    assert right["box"] == pytest.approx([160, 0, 320, 240])


def test_the_threshold_chooses(service: Service) -> None:
    assert service.ask("/detect?threshold=0.95", picture()).json["boxes"] == []
    assert len(service.ask("/detect?threshold=0.05", picture()).json["boxes"]) == 4
    assert service.ask("/detect?threshold=much", picture()).status == 422


def test_a_picture_is_turned_as_its_tag_says(service: Service) -> None:
    image, stream = Image.new("RGB", (320, 240), (230,) * 3), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(stream, "JPEG", exif=exif)
    answer = service.ask("/detect", stream.getvalue())
    assert (answer.json["width"], answer.json["height"]) == (240, 320)


def test_several_pictures_come_in_a_form(service: Service) -> None:
    data, kind = form(("a.jpg", picture()), ("../../etc/passwd", picture((64, 48), 20, "PNG")))
    answer = service.ask("/detect", data, content_type=kind)
    assert answer.status == 200
    first, second = answer.json["images"]
    assert (first["width"], second["width"]) == (320, 64)
    assert {box["class"] for box in second["boxes"]} == {"dark"}
    # The name that a file came with is never used.
    assert b"passwd" not in answer.body


@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (b"", 400, "empty"),
        (b"hello, this is text", 415, "no picture"),
        (picture((800, 600), 90)[:-400], 415, "cut short"),
        (picture(kind="PNG")[:-20], 415, "cut short"),
        (bomb(60000, 60000), 413, "million pixels"),
        (bomb(9000, 9000), 413, "million pixels"),
        (b"\xff\xd8\xff", 415, ""),
        (b"\0" * (21 * 2**20), 413, "20 MB"),
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "bomb", "smaller bomb", "three bytes", "too long"],
)  # fmt: skip
def test_what_is_no_picture_is_told_why(
    service: Service, data: bytes, status: int, word: str
) -> None:
    answer = service.ask("/detect", data)
    assert (answer.status, word in answer.json["detail"]) == (status, True)
    assert "Traceback" not in answer.body.decode()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (form(("a.jpg", picture()), name="other")[0], "multipart/form-data; boundary=edge"),
        (b"no form at all", "multipart/form-data; boundary=edge"),
        (b"--edge", "multipart/form-data"),
        (form(*((f"{n}.jpg", b"x") for n in range(40)))[0], "multipart/form-data; boundary=edge"),
    ],
    ids=["another field", "no form", "no boundary", "too many files"],
)
def test_a_form_that_is_none_is_refused(service: Service, data: bytes, kind: str) -> None:
    answer = service.ask("/detect", data, content_type=kind)
    assert answer.status == 400
    assert answer.json["detail"]


def test_kserve_asks_and_is_answered(service: Service) -> None:
    described = service.ask("/v2/models/detector").json
    assert described["outputs"][0]["shape"] == [-1, 7]
    data = [base64.b64encode(picture()).decode()] * 2
    tensor = {"name": "images", "datatype": "BYTES", "shape": [2], "data": data}
    answer = service.ask("/v2/models/detector/infer", json.dumps({"inputs": [tensor]}).encode())
    (boxes,) = answer.json["outputs"]
    assert boxes["shape"] == [8, 7]
    assert len(boxes["data"]) == 56
    assert {boxes["data"][place] for place in range(0, 56, 7)} == {0.0, 1.0}
    for wrong in (b"{}", b"no JSON", b'{"inputs": [{"datatype": "FP32", "data": [1]}]}',
                  b"[" * 100_000, b'{"inputs": [{"datatype": "BYTES", "data": ["%%"]}]}'):  # fmt: skip
        assert service.ask("/v2/models/detector/infer", wrong).status == 400


def test_it_says_what_it_is(service: Service) -> None:
    assert service.ask("/health").json == {"status": "ok"}
    version = service.ask("/version").json
    assert version["classes"] == ["light", "dark"]
    assert len(version["model"]) == 64
    assert b"<canvas" in service.ask("/").body
    assert "/detect" in service.ask("/openapi.json").json["paths"]
    metrics = service.ask("/metrics").body.decode()
    assert 'detector_answers_total{path="/detect",status="200"}' in metrics
    assert service.ask("/other/address").status == 404


def test_a_slow_sender_is_not_waited_for(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        line.sendall(b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc")
        begun = time.monotonic()
        said = line.recv(4096)
    assert b" 408 " in said.splitlines()[0]
    assert 1 < time.monotonic() - begun < 10


def test_a_hundred_at_once_are_all_answered(service: Service) -> None:
    data = picture()
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda _: service.ask("/detect", data).status, range(200)))
    assert set(found) <= {200, 503}
    assert found.count(200) >= 32
    assert service.ask("/detect", data).status == 200


def test_a_token_guards_it(folder: Path) -> None:
    with running(folder, "--token", "秘密") as service:
        assert service.ask("/detect", picture()).status == 401
        assert service.ask("/v2/models/detector/infer", b"{}").status == 401
        wrong = service.ask("/detect", picture(), authorization="Bearer other")
        assert wrong.status == 401
        right = "Bearer " + "秘密".encode().decode("latin-1")
        assert service.ask("/detect", picture(), authorization=right).status == 200
        assert service.ask("/health").status == 200


def test_a_stop_cuts_nothing(folder: Path) -> None:
    with running(folder) as service:
        data = picture((3000, 2000))
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(service.ask, "/detect", data) for _ in range(6)]
            time.sleep(0.2)
            service.process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert [each.result().status for each in asked] == [200] * 6
        service.process.wait(6)
        assert time.monotonic() - begun < 6
        assert service.process.returncode in (0, -signal.SIGTERM)


BROWSE = """
import sys
from playwright.sync_api import sync_playwright
address, chromium, photo, text = sys.argv[1:]
with sync_playwright() as player:
    browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(locale="zh-CN")
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    title = page.inner_text("h1")
    page.set_input_files("#file", photo)
    page.wait_for_selector("#json:not([hidden])", timeout=20000)
    found = page.inner_text("#said")
    pixel = page.evaluate("[...document.getElementById('canvas').getContext('2d').getImageData(0, 100, 1, 1).data]")
    page.evaluate("() => { const t = document.getElementById('threshold'); t.value = 0.95; t.oninput(); }")
    none = page.inner_text("#said")
    page.click("#language")
    other = page.inner_text("h1")
    page.set_input_files("#file", text)
    page.wait_for_function("document.getElementById('fault').textContent")
    print("|".join([title, found, none, other, page.inner_text("#fault"), str(pixel), str(faults)]))
    browser.close()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_draws_boxes(service: Service, tmp_path: Path) -> None:
    look = subprocess.run([BROWSING, "-c", "import playwright"], capture_output=True, check=False)
    if look.returncode:
        pytest.skip("no playwright here")
    (tmp_path / "photo.jpg").write_bytes(picture())
    (tmp_path / "text.jpg").write_text("no picture")
    argv = [str(BROWSING), "-c", BROWSE, f"http://127.0.0.1:{service.port}/", str(CHROMIUM),
            str(tmp_path / "photo.jpg"), str(tmp_path / "text.jpg")]  # fmt: skip
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    title, found, none, other, fault, pixel, faults = answer.stdout.strip().split("|")
    assert (title, other) == ("目标检测", "Detector")
    assert found.startswith("2 个框")
    assert none.startswith("0 个框")
    assert "no picture" in fault
    # The left box's edge, in no grey.
    assert len(set(json.loads(pixel)[:3])) > 1
    assert faults == "[]"
