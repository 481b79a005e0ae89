"""A folder that runs as a web service without jobgen: FastAPI, uvicorn and onnxruntime."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = Path(__file__).resolve().parent.parent / "server"
WORDS = {"en": "a web service: pip install, one command", "zh": "网络服务：pip install 加一条命令"}
NEEDS = tuple((FILES / "requirements.txt").read_text(encoding="utf-8").split())
EXACT = True
HAS_ENGINE = False
FILE = "app.py"
MODEL = ("model.onnx", "infer_cfg.yml", "detect.py", "tiles.py")
START_SECONDS = 60.0
# urllib asks a proxy even for this machine.
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def make(source: Path, folder: Path, given: Any) -> None:
    # The threshold comes with each request: the service starts from as low a score as training.
    (folder / "nms.json").write_text(json.dumps(given.nms), encoding="utf-8")
    for name in MODEL:
        shutil.copyfile(source / name, folder / name)
    for path in FILES.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


@contextlib.contextmanager
def open_finder(folder: str) -> Iterator[Any]:
    """The service, started on this machine; finds rows of class number, score and box in the
    picture of a path, over the wire. Raises RuntimeError where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "app.py", "--port", str(port)]
    # Pictures of the evaluation's may be larger than a stranger's may, and nobody else asks here.
    env = {**os.environ, "DETECTOR_TOKEN": "", "DETECTOR_MOST_MB": "4000"}
    env["DETECTOR_MOST_PIXELS"] = str(2**31 - 1)
    server = subprocess.Popen(
        argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        classes = _wait_for(address, server)["classes"]

        def find(path: str) -> list[list[float]]:
            data = Path(path).read_bytes()
            request = urllib.request.Request(f"{address}/detect?threshold=0", data)
            try:
                with NO_PROXY.open(request, timeout=60) as answer:
                    boxes = json.load(answer)["boxes"]
            except urllib.error.HTTPError as error:
                said = error.read().decode("utf-8", "replace")
                raise RuntimeError(f"the service refuses {path}: {said}") from None
            return [[classes.index(each["class"]), each["score"], *each["box"]] for each in boxes]

        yield find
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> Any:
    begun = time.monotonic()
    while time.monotonic() - begun < START_SECONDS and server.poll() is None:
        try:
            with NO_PROXY.open(f"{address}/version", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    server.kill()
    said = (server.stdout.read() if server.stdout else b"").decode("utf-8", "replace")
    raise RuntimeError(f"the service did not start: {' '.join(said.splitlines()[-3:])}")
