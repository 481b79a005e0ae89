"""A detector as a web service: python app.py [--host 127.0.0.1] [--port 8000] [--token WORD]

Beside it lie model.onnx, infer_cfg.yml, detect.py and page.html. POST a picture to /detect, or some
in a form, field `images`; the answer has boxes with class, score and x1, y1, x2, y2 in pixels.
/docs describes everything. It listens on this machine alone unless --host says otherwise, and
keeps nothing of what it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MOST_BYTES = int(os.environ.get("DETECTOR_MOST_MB", "20")) * 2**20
MOST_PIXELS = int(os.environ.get("DETECTOR_MOST_PIXELS", "50000000"))
MOST_PICTURES = 16
MOST_DROPPED = 100 * 2**20
# How long a sender may take, how many requests may be worked on
# or wait before the next is refused, and how many pictures are looked at at a time.
BODY_SECONDS = 30.0
MOST_AT_ONCE = 32
MOST_CORES = 4
STOP_SECONDS = 5
# OpenCV reads it once, at its import: a picture that declares more is not decoded.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MOST_PIXELS)

import cv2  # noqa: E402
import detect  # noqa: E402
import numpy as np  # noqa: E402
import uvicorn  # noqa: E402
import yaml  # noqa: E402
from fastapi import FastAPI, HTTPException, Request, Response  # noqa: E402
from fastapi.responses import FileResponse, JSONResponse  # noqa: E402
from prometheus_client import (  # noqa: E402
    CONTENT_TYPE_LATEST,
    Counter,
    Histogram,
    generate_latest,
)
from starlette.formparsers import MultiPartParser  # noqa: E402
from starlette.requests import ClientDisconnect  # noqa: E402

# Parts of a form stay in memory: nothing that is sent touches the disk.
MultiPartParser.spool_max_size = MOST_BYTES * 2
FOLDER = Path(__file__).resolve().parent
Row = list[float]
ANSWERS = Counter("detector_answers_total", "Answers by address and status", ["path", "status"])
SECONDS = Histogram("detector_seconds", "Seconds of a request for boxes, waiting included")
PICTURES = Counter("detector_pictures_total", "Pictures looked at")
COUNTED = ("/detect", "/health", "/version", "/metrics", "/", "/v2")


class Detector:
    """The model, and as many threads as there are cores to run it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "model.onnx"
        self.settings = yaml.safe_load((folder / "infer_cfg.yml").read_text(encoding="utf-8"))
        self.nms = json.loads((folder / "nms.json").read_text(encoding="utf-8"))
        self.classes: list[str] = self.settings["label_list"]
        self.version = hashlib.sha256(path.read_bytes()).hexdigest()
        # In a container os.cpu_count() is the whole machine's.
        allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        cores = min(MOST_CORES, len(allowed))
        cv2.setNumThreads(1)
        # One picture is found fastest by all cores together, several by a core each.
        self.alone = detect.OnnxForm(str(path), cores)
        self.beside = detect.OnnxForm(str(path), 1)
        self.threads = ThreadPoolExecutor(cores, "detector")
        self.asked = 0

    def find(self, data: bytes, threshold: float) -> tuple[list[int], list[Row]]:
        """Width and height of a picture, and what is found in it with a score of at least
        `threshold`. Raises HTTPException 413 or 415."""
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"a picture has more than {MOST_BYTES // 2**20} MB")
        if is_cut_short(data):
            raise HTTPException(415, "the picture is cut short: send it again")
        try:
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            if "MAX_IMAGE" in str(error):
                text = f"the picture has more than {MOST_PIXELS // 10**6} million pixels"
                raise HTTPException(413, text) from None
            image = None
        if image is None:
            raise HTTPException(415, "this is no picture that OpenCV can read (JPEG, PNG, ...)")
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
        # A box is suppressed by higher scores alone: lower ones need not be looked at.
        least = max(self.nms["score_threshold"], threshold - 1e-9)
        nms = {**self.nms, "score_threshold": least}
        try:
            model = self.alone if self.asked <= 1 else self.beside
            rows = detect.find(model, image, self.settings, nms)
        except cv2.error:
            raise HTTPException(415, "a picture of this shape can't be resized") from None
        PICTURES.inc()
        # A model that suppresses by itself has a threshold of its own.
        return [image.shape[1], image.shape[0]], [row for row in rows if row[1] > least]

    async def found(self, data: bytes, threshold: float = 0.0) -> tuple[list[int], list[Row]]:
        """The same, on a core when there is one."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.find, data, threshold)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """A request's turn, before its body is read. Raises HTTPException 503 where there are too
        many."""
        if self.asked >= MOST_AT_ONCE:
            raise HTTPException(503, "too many requests at once", {"Retry-After": "1"})
        self.asked += 1
        try:
            yield
        finally:
            self.asked -= 1


def is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: OpenCV would fill up a JPEG with grey."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    place = 2
    if not data.startswith(b"\xff\xd8"):
        return False
    # Segments before the picture itself, one of which may hold a small picture with an end.
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        if data[place + 1] == 0xFF:  # a marker may have more of them before it
            place += 1
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data.find(b"\xff\xd9", place) < 0


async def body_of(request: Request, most: int = MOST_BYTES) -> bytes:
    """A request's body. Raises HTTPException 400, 408 or 413: empty, too slow, too long."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS) if hasattr(asyncio, "timeout") else _patience():
            async for part in request.stream():
                size += len(part)
                # What is too long is read on and dropped: a sender that is cut off in the middle
                # would not see why.
                if size <= most:
                    parts.append(part)
                else:
                    parts.clear()
                if size > most + MOST_DROPPED:
                    break
    except ClientDisconnect:
        raise HTTPException(400, "the sender went away") from None
    except TimeoutError:
        raise HTTPException(408, f"no whole picture within {BODY_SECONDS:.0f} s") from None
    if size > most:
        raise HTTPException(413, f"more than {most // 2**20} MB")
    if not size:
        raise HTTPException(400, "the body is empty: send a picture")
    return b"".join(parts)


@contextlib.asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """asyncio.timeout, which Python 3.10 has not."""
    task = asyncio.current_task()
    assert task
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        task.cancel()

    handle = asyncio.get_running_loop().call_later(BODY_SECONDS, end)
    try:
        yield
    except asyncio.CancelledError:
        if late:
            raise TimeoutError from None
        raise
    finally:
        handle.cancel()


async def pictures_of(request: Request) -> list[bytes]:
    """The pictures of a request: its body, or the field `images` of a form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [await body_of(request)]
    data = await body_of(request, MOST_BYTES * 2)

    async def again() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    whole = Request(request.scope, again)
    async with whole.form(max_files=MOST_PICTURES, max_fields=MOST_PICTURES) as form:
        found = [await each.read() for each in form.getlist("images") if hasattr(each, "read")]
    if not found:
        raise HTTPException(400, "the form has no file in its field `images`")
    return found


def shown(classes: list[str], size: list[int], rows: list[Row]) -> dict[str, Any]:
    boxes = [
        {"class": classes[int(row[0])], "score": round(row[1], 6), "box": row[2:]} for row in rows
    ]
    return {"width": size[0], "height": size[1], "boxes": boxes}


class Counted:
    """Every answer is counted, by address and status."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), ["500"]

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                status[0] = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            path = scope["path"]
            known = path if path in COUNTED else "/v2" if path.startswith("/v2/") else "other"
            ANSWERS.labels(known, status[0]).inc()
            if scope["method"] == "POST":
                SECONDS.observe(time.perf_counter() - begun)


def make_app(detector: Detector, token: str = "") -> FastAPI:
    """The service. With a `token` every request for boxes has to bring it as a bearer's."""
    app = FastAPI(title="Detector", version=detector.version[:12])
    app.add_middleware(Counted)

    def guard(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if token and not secrets.compare_digest(
            given.encode("latin-1"), f"Bearer {token}".encode()
        ):
            raise HTTPException(
                401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"}
            )

    @app.post("/detect")
    async def detect_objects(request: Request, threshold: float = 0.5) -> JSONResponse:
        """Boxes in a picture (the body) or in some (a form's field `images`), with a score of at
        least `threshold`."""
        guard(request)
        with detector.admitted():
            pictures = await pictures_of(request)
            found = [await detector.found(data, threshold) for data in pictures]
        answers = [shown(detector.classes, size, rows) for size, rows in found]
        whole = request.headers.get("content-type", "").startswith("multipart/form-data")
        return JSONResponse({"images": answers} if whole else answers[0])

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/version")
    async def version() -> dict[str, Any]:
        return {"model": detector.version, "classes": detector.classes}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(FOLDER / "page.html", media_type="text/html")

    add_kserve(app, detector, guard)
    return app


def add_kserve(app: FastAPI, detector: Detector, guard: Any) -> None:
    """The same as KServe's Open Inference Protocol 2 has it: a picture is an element of a BYTES
    tensor, in base64; the answer a row for each box: picture, class, score, x1, y1, x2, y2."""
    model = {
        "name": "detector",
        "versions": [detector.version[:12]],
        "platform": "onnxruntime",
        "inputs": [{"name": "images", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "boxes", "datatype": "FP32", "shape": [-1, 7]}],
    }

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "detector", "version": detector.version[:12], "extensions": []}

    @app.get("/v2/health/live")
    @app.get("/v2/health/ready")
    @app.get("/v2/models/detector/ready")
    async def ready() -> dict[str, bool]:
        return {"live": True, "ready": True}

    @app.get("/v2/models/detector")
    async def describe() -> dict[str, Any]:
        return model

    @app.post("/v2/models/detector/infer")
    async def infer(request: Request) -> dict[str, Any]:
        guard(request)
        rows: list[Row] = []
        with detector.admitted():
            body = await body_of(request, MOST_BYTES * 2)
            pictures = await asyncio.to_thread(tensor_pictures, body)
            for number, data in enumerate(pictures):
                _, found = await detector.found(data)
                rows += [[float(number), *row] for row in found]
        values = [value for row in rows for value in row]
        boxes = {"name": "boxes", "datatype": "FP32", "shape": [len(rows), 7], "data": values}
        return {
            "model_name": "detector", "model_version": detector.version[:12], "outputs": [boxes]
        }  # fmt: skip


def tensor_pictures(body: bytes) -> list[bytes]:
    """The pictures of an inference request. Raises HTTPException 400 where it is none."""
    try:
        (tensor,) = json.loads(body)["inputs"]
        data = tensor["data"]
        if tensor["datatype"] != "BYTES" or not 0 < len(data) <= MOST_PICTURES:
            raise ValueError
        return [base64.b64decode(each, validate=True) for each in data]
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        text = f"one input of datatype BYTES is expected, 1 to {MOST_PICTURES} pictures in base64"
        raise HTTPException(400, text) from None


def main() -> None:
    parser = argparse.ArgumentParser(description="A detector as a web service")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to the network")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token", default=os.environ.get("DETECTOR_TOKEN", ""))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the model lies")
    given = parser.parse_args()
    print(f"http://{given.host}:{given.port}  (Ctrl-C stops it)", flush=True)
    uvicorn.run(
        make_app(Detector(given.folder), given.token),
        host=given.host,
        port=given.port,
        log_level="warning",
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=30,
    )


if __name__ == "__main__":
    main()
