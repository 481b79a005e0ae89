"""Rows of the bench about the service: beside a plain endpoint of FastAPI and onnxruntime."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from jobgen.deploy.forms import forms
from jobgen.deploy.forms.page import find_browser, open_finder
from jobgen.deploy.forms.page import make as make_page
from jobgen.deploy.make import Workshop
from jobgen.errors import RunError
from jobgen.settings import load_settings
from tests.server_world import NMS, running, service_folder, service_python

Row = tuple[str, str, str, float, float]
SECONDS = 6.0
ROUNDS = 3
# The same model behind what anybody would write first.
PLAIN = """
import sys
import cv2, numpy as np, onnxruntime, uvicorn, yaml
from fastapi import FastAPI, File, HTTPException
import detect
app = FastAPI()
settings = yaml.safe_load(open("infer_cfg.yml"))
model = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
nms = dict(settings["NMS"])

@app.post("/detect")
def find(image: bytes = File()):
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise HTTPException(415, "no picture")
    ready, scale = detect.prepare(picture[:, :, ::-1], settings["Preprocess"])
    outputs = model.run(None, {"image": ready})
    rows = detect.boxes_of(outputs, scale, nms)
    return [{"class": settings["label_list"][int(r[0])], "score": r[1], "box": r[2:]} for r in rows]

@app.get("/health")
def health():
    return {}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


def photo() -> bytes:
    """640 x 480, with detail."""
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((640, 480)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    argv = [str(service_python()), "-c", PLAIN, str(port)]
    process = subprocess.Popen(argv, cwd=folder)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                line.request("GET", "/health")
                if line.getresponse().status == 200:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def load(port: int, data: bytes, kind: str, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each request that clients who keep their lines made in this time."""
    took: list[float] = []
    end = time.monotonic() + seconds

    def ask() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < end:
            begun = time.perf_counter()
            line.request("POST", "/detect", data, {"Content-Type": kind})
            answer = line.getresponse()
            answer.read()
            assert answer.status == 200
            took.append((time.perf_counter() - begun) * 1000)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def server_rows(folder: Path) -> list[Row]:
    """Requests/s with one client and with four, as the plain endpoint's share of ours, and the
    median of one client's waiting."""
    place = service_folder(folder)
    data = photo()
    body = (b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + data + b"\r\n--edge--\r\n")  # fmt: skip
    found: dict[int, list[tuple[list[float], list[float]]]] = {1: [], 4: []}
    with running(place) as service, plain(place) as port:
        for clients, rounds in found.items():
            for _ in range(ROUNDS):
                ours = load(service.port, data, "image/jpeg", clients, SECONDS)
                peer = load(port, body, "multipart/form-data; boundary=edge", clients, SECONDS)
                rounds.append((ours, peer))
    rows = []
    for clients, rounds in found.items():
        a, b = (statistics.median(len(r[side]) for r in rounds) / SECONDS for side in (0, 1))
        ratio = statistics.median(len(peer) / len(ours) for ours, peer in rounds)
        what = f"service, {clients} client{'s' * (clients > 1)} / plain, seconds a request"
        rows.append((what, f"{a:.0f}/s", f"{b:.0f}/s", ratio, 1.0))
    pairs = [(statistics.median(o), statistics.median(p)) for o, p in found[1]]
    a, b = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(o / p for o, p in pairs)
    return [
        *rows,
        ("service, median of one client / plain", f"{a:.1f} ms", f"{b:.1f} ms", ratio, 1.1),
    ]


# What a page does with a picture, natively and on one thread.
NATIVE = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import detect, yaml
model = detect.OnnxForm("model.onnx", 1)
detect.cv2.setNumThreads(1)
settings, nms = yaml.safe_load(open("infer_cfg.yml")), json.loads(sys.argv[3])
took = []
for _ in range(30):
    begun = time.perf_counter()
    detect.find(model, detect.read_image(sys.argv[1]), settings, nms)
    took.append((time.perf_counter() - begun) * 1000)
print(sorted(took)[15])
"""


def page_rows(folder: Path) -> list[Row]:
    """A whole picture in the page beside the same natively; nothing where there is no browser."""
    try:
        find_browser()
        parts = Workshop(load_settings().cache, "en", print).parts(forms()["page"])
    except (RuntimeError, RunError) as error:
        print(f"no row for the page: {error}")
        return []
    place = service_folder(folder)
    (place / "photo.jpg").write_bytes(photo())
    make_page(place, place, SimpleNamespace(nms=NMS, parts=parts))
    took = []
    with open_finder(str(place)) as find:
        for _ in range(30):
            begun = time.perf_counter()
            find(str(place / "photo.jpg"))
            took.append((time.perf_counter() - begun) * 1000)
    argv = [str(service_python()), "-c", NATIVE, "photo.jpg", str(place), json.dumps(NMS)]
    told = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=True)
    ours, peer = statistics.median(took), float(told.stdout)
    return [("page, a picture / natively, one thread", f"{ours:.0f} ms", f"{peer:.0f} ms",
             ours / peer, 8.0)]  # fmt: skip
