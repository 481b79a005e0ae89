"""One HTML file that finds objects by itself: onnxruntime-web and the model lie inside.

It is proven in a browser of this machine, which is asked over loopback; the file itself asks
nobody, and its Content-Security-Policy lets it ask nobody.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).resolve().parent.parent
WORDS = {
    "en": "one HTML file for any browser, phones included, without a network",
    "zh": "单个 HTML 文件，任何浏览器（含手机）打开即用，无需网络",
}
NEEDS: tuple[str, ...] = ()
EXACT = True
# Its own resizing gives one value in 40,000 the next whole number where OpenCV's is nearly between
# two; that moved edges by up to 0.09 px on BCCD's photos (640 x 480 to 256 px, 1573 boxes).
PIXELS = 0.25
HAS_ENGINE = False
FILE = "page.html"
NPM = {
    "name": "onnxruntime-web",
    "version": "1.30.0",
    "integrity": "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02V"
    "b7QmRMDs1SigqR4CXAfKYQ==",
    "files": {
        "dist/ort.wasm.bundle.min.mjs": (
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"
        ),
        "dist/ort-wasm-simd-threaded.wasm": (
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
        ),
    },
    "option": "--ort-web",
}
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src blob: data:; media-src blob: mediastream:"
)
# What detector.js can do to a picture: OpenCV's INTER_LINEAR and INTER_CUBIC, no fixed padding.
STEPS = ("Resize", "NormalizeImage", "Permute", "PadStride")
INTERPOLATIONS = (1, 2)
BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "microsoft-edge", "msedge",
)  # fmt: skip
BROWSERS_ELSEWHERE = (
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%ProgramFiles(x86)%\Microsoft\Edge\Application\msedge.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
# A picture, its model opened on a slow machine included.
PATIENCE = 120.0


def make(source: Path, folder: Path, given: Any) -> None:
    import yaml

    settings = yaml.safe_load((source / "infer_cfg.yml").read_text(encoding="utf-8"))
    _need_known(settings["Preprocess"])
    own = {"steps": settings["Preprocess"], "nms": given.nms, "classes": settings["label_list"]}
    scripts = [(DEPLOY / "page" / name).read_text("utf-8") for name in ("detector.js", "finder.js")]
    parts = [
        # "<" would let a class's name end the element.
        f'<script type="application/json" id="settings">{_inside(json.dumps(own))}</script>',
        _packed("runtime", given.parts / "ort.wasm.bundle.min.mjs"),
        _packed("wasm", given.parts / "ort-wasm-simd-threaded.wasm"),
        _packed("model", source / "model.onnx"),
        *(f"<script>{script}</script>" for script in scripts),
    ]
    page = (DEPLOY / "server" / "page.html").read_text(encoding="utf-8")
    page, once = re.subn(
        r'<script data-part="finder">.*?</script>', lambda _: "\n".join(parts), page, flags=re.S
    )
    page, label = re.subn(r'<label data-part="token">.*?</label>\n', "", page)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    page, head = re.subn(r'(<meta charset="utf-8">\n)', rf"\1{policy}\n", page)
    assert once == label == head == 1
    (folder / "page.html").write_text(page, encoding="utf-8")


def _need_known(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        if step["type"] not in STEPS:
            raise RuntimeError(f"infer_cfg.yml wants {step['type']}, which the page does not know")
        if step["type"] == "Resize" and step.get("interp", 1) not in INTERPOLATIONS:
            raise RuntimeError(
                f"infer_cfg.yml resizes with interpolation {step['interp']}; the page knows 1 and 2"
            )


def _inside(text: str) -> str:
    return text.replace("<", "\\u003c")


def _packed(name: str, path: Path) -> str:
    data = base64.b64encode(gzip.compress(path.read_bytes(), 9, mtime=0)).decode("ascii")
    return f'<script type="application/octet-stream" id="{name}">{data}</script>'


# Asks for a picture, answers with what the page finds in it, until there is none.
ASKING = """<script>(async () => {
  for (;;) {
    const next = await fetch("next");
    if (next.status !== 200) break;
    let answer;
    try { answer = await findBoxes(await next.blob()); }
    catch (error) { answer = { fault: String(error) }; }
    await fetch("found", { method: "POST", body: JSON.stringify(answer) });
  }
})();</script>"""


@contextlib.contextmanager
def open_finder(folder: str) -> Iterator[Any]:
    """The page in a browser without a window; finds rows of class number, score and box in the
    picture of a path. Raises RuntimeError where there is no browser, or it does not answer."""
    browser = find_browser()
    page = (Path(folder) / "page.html").read_text(encoding="utf-8")
    classes = json.loads(re.findall(r'id="settings">(.*?)</script>', page)[0])["classes"]
    asked: queue.Queue[str | None] = queue.Queue()
    found: queue.Queue[Any] = queue.Queue()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(page, asked, found))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Windows holds the profile's files for a moment after the browser has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *_flags(profile), f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        def find(path: str) -> list[list[float]]:
            asked.put(path)
            answer = _answer(found, process, browser)
            if "fault" in answer:
                raise RuntimeError(f"the page fails on {path}: {answer['fault']}")
            return [
                [classes.index(each["class"]), each["score"], *each["box"]]
                for each in answer["boxes"]
            ]

        try:
            yield find
        finally:
            asked.put(None)
            server.shutdown()
            server.server_close()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _answer(found: queue.Queue[Any], process: subprocess.Popen[bytes], browser: str) -> Any:
    """What the page found. Raises RuntimeError where the browser has failed, or says nothing."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(queue.Empty):
            return found.get(timeout=0.5)
        # With 0 it may have handed the page to another process of its own.
        if process.poll():
            raise RuntimeError(f"{browser} ended with exit code {process.returncode}")
    raise RuntimeError(f"{browser} gave no answer within {PATIENCE:.0f} s")


def _handler(page: str, asked: queue.Queue[str | None], found: queue.Queue[Any]) -> Any:
    loopback = page.replace("default-src 'none'", "default-src 'none'; connect-src 'self'")
    loopback = loopback.replace("</html>", f"{ASKING}</html>")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self.answer(200, loopback.encode(), "text/html; charset=utf-8")
            elif self.path == "/next" and (path := asked.get()) is not None:
                self.answer(200, Path(path).read_bytes(), "application/octet-stream")
            else:
                self.answer(404, b"", "text/plain")

        def do_POST(self) -> None:
            found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(204, b"", "text/plain")

        def answer(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _flags(profile: str) -> list[str]:
    flags = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += ["--no-proxy-server"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # which Chromium can't have for root
    return flags


def find_browser() -> str:
    """The program of a browser of Chromium's kind. Raises RuntimeError where there is none."""
    named = os.environ.get("JOBGEN_BROWSER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise RuntimeError(f"JOBGEN_BROWSER names {named}, which is no program")
        return found
    places = (os.path.expandvars(place) for place in BROWSERS_ELSEWHERE)
    for program in (*BROWSERS, *places):
        found = shutil.which(program)
        if found:
            return found
    raise RuntimeError(
        "no browser is here to prove it in: install Chromium, Chrome or Edge, or name the program "
        "of one in JOBGEN_BROWSER"
    )
