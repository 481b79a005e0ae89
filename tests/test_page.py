"""The page that finds objects by itself: its own arithmetic, and the whole of it in a browser."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from PIL import Image

from jobgen.deploy.forms import forms
from jobgen.deploy.forms.page import find_browser, make, open_finder
from jobgen.deploy.make import Workshop
from jobgen.errors import RunError
from jobgen.files import sha256
from jobgen.machine.npm import NpmPackage, npm_files
from jobgen.settings import load_settings
from jobgen_runtime.children.processes import program_path
from tests.server_world import MODEL, NMS, SETTINGS, service_python

PAGE = Path(__file__).parents[1] / "jobgen" / "deploy" / "page"
NODE, NPM = shutil.which("node"), shutil.which("npm")
CLASSES = ["light", '</script><b>"暗']
# Of another environment, as JOBGEN_JUPYTER=/path/to/venv/bin: with playwright.
BROWSING = Path(os.environ.get("JOBGEN_JUPYTER", Path(sys.executable).parent)) / "python"
in_node = pytest.mark.skipif(NODE is None, reason="no Node.js here")

RESIZE = """
const vm = require("vm"), fs = require("fs");
vm.runInThisContext(fs.readFileSync(process.argv[2], "utf8"));
for (const { file, width, height, fx, fy, interp, goal } of JSON.parse(process.argv[3])) {
  const found = resize({ data: fs.readFileSync(file), width, height }, fx, fy, interp);
  fs.writeFileSync(goal, found.data);
}
"""
SUPPRESS = """
const vm = require("vm"), fs = require("fs");
vm.runInThisContext(fs.readFileSync(process.argv[2], "utf8"));
const { boxes, scores, scale, nms } = JSON.parse(process.argv[3]);
console.log(JSON.stringify(suppress(Float32Array.from(boxes), Float32Array.from(scores), scale, nms)));
"""


def in_javascript(code: str, given: Any) -> str:
    argv = [str(NODE), "-e", code, "-", str(PAGE / "detector.js"), json.dumps(given)]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


@in_node
@pytest.mark.parametrize("interp", [1, 2], ids=["linear", "cubic"])
def test_a_picture_is_resized_as_opencv_does(interp: int, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    random = np.random.default_rng(3)
    shapes = [(480, 640), (640, 448), (50, 60), (448, 448), (100, 1000)]
    asked, wanted = [], []
    for number, (height, width) in enumerate(shapes):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        file, goal = tmp_path / f"{number}.in", tmp_path / f"{number}.out"
        image.tofile(file)
        fx, fy = 224 / width, 320 / height
        asked.append({"file": str(file), "width": width, "height": height, "fx": fx, "fy": fy,
                      "interp": interp, "goal": str(goal)})  # fmt: skip
        wanted.append(cv2.resize(image, None, None, fx=fx, fy=fy, interpolation=interp))
    in_javascript(RESIZE, asked)
    for ask, resized in zip(asked, wanted, strict=True):
        found = np.fromfile(str(ask["goal"]), dtype=np.uint8).astype(int).reshape(resized.shape)
        apart = np.abs(found - resized)
        # OpenCV's builds differ by as much among themselves.
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.06


@in_node
def test_boxes_are_suppressed_as_detect_py_does() -> None:
    import numpy as np

    sys.path.insert(0, str(Path(program_path("detect")).parent))
    try:
        import detect
    finally:
        sys.path.pop(0)
    random = np.random.default_rng(5)
    corner = random.uniform(0, 150, (300, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 80, (300, 2))], 1)
    boxes = boxes.astype(np.float32)
    scores = random.random((3, 300)).astype(np.float32)
    nms = {"score_threshold": 0.2, "nms_threshold": 0.5, "nms_top_k": 100, "keep_top_k": 60}
    given = {"boxes": boxes.ravel().tolist(), "scores": scores.ravel().tolist(), "scale": [0.5, 2],
             "nms": nms}  # fmt: skip
    found = json.loads(in_javascript(SUPPRESS, given))
    wanted = detect.suppress(boxes / np.array([2, 0.5, 2, 0.5], np.float32), scores, nms)
    assert len(found) == len(wanted) == 60
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_steps_that_the_page_does_not_know_are_refused(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [{"type": "Resize", "target_size": [64, 64], "interp": 3}]
    for found in (steps, [{"type": "Pad", "size": [64, 64]}]):
        settings = {**SETTINGS, "Preprocess": found}
        (tmp_path / "infer_cfg.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        with pytest.raises(RuntimeError, match=r"infer_cfg.yml (wants Pad|resizes with inter)"):
            make(tmp_path, tmp_path, SimpleNamespace(nms=NMS, parts=tmp_path))


def test_without_a_browser_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBGEN_BROWSER", "no-such-browser")
    with pytest.raises(RuntimeError, match="JOBGEN_BROWSER names no-such-browser"):
        find_browser()
    monkeypatch.delenv("JOBGEN_BROWSER")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="install Chromium, Chrome or Edge"):
        find_browser()


WANTED = NpmPackage(
    "parts", "1.0.0", "sha512-none",
    {"dist/a.js": sha256(b"a")}, "--parts",
)  # fmt: skip


def archive_of(place: Path, text: bytes) -> Path:
    """As `npm pack` writes it, with a member that would lie elsewhere."""
    path = place / "parts-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as written:
        for name in ("package/dist/a.js", "../../escaped.js"):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            written.addfile(member, io.BytesIO(text))
    return path


def test_files_of_npm_are_given_by_hand(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, b"a")
    place = npm_files(WANTED, tmp_path / "cache", archive, print)
    assert (place / "a.js").read_bytes() == b"a"
    assert not list(tmp_path.rglob("escaped.js"))
    # What was changed since is taken anew.
    (place / "a.js").write_bytes(b"b")
    (tmp_path / "folder" / "node_modules").mkdir(parents=True)
    (tmp_path / "folder" / "node_modules" / "a.js").write_bytes(b"a")
    npm_files(WANTED, tmp_path / "cache", tmp_path / "folder", print)
    assert (place / "a.js").read_bytes() == b"a"


@pytest.mark.parametrize(
    ("text", "words"), [(b"b", "dist/a.js has another content"), (None, "is no archive of npm")]
)
def test_other_files_are_refused(text: bytes | None, words: str, tmp_path: Path) -> None:
    archive = archive_of(tmp_path, text or b"a")
    if text is None:
        archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(RunError, match=words) as refused:
        npm_files(WANTED, tmp_path / "cache", archive, print)
    assert refused.value.hint == "Give a folder or .tgz that has it: --parts PATH"
    assert not (tmp_path / "cache" / "npm" / "parts-1.0.0").exists()


def test_without_npm_it_says_how_to_give_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="npm is not there to fetch it") as refused:
        npm_files(WANTED, tmp_path / "cache", None, print)
    assert refused.value.hint is not None
    assert "--parts PATH" in refused.value.hint


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small model, as an export makes it."""
    try:
        find_browser()
    except RuntimeError as error:
        pytest.skip(str(error))
    if NPM is None:
        pytest.skip("no npm here")
    place = tmp_path_factory.mktemp("page 网页")
    settings = {**SETTINGS, "label_list": CLASSES}
    (place / "infer_cfg.yml").write_text(json.dumps(settings), encoding="utf-8")
    subprocess.run([service_python(), "-c", MODEL, place / "model.onnx"], check=True)
    form = forms()["page"]
    parts = Workshop(load_settings().cache, "en", print).parts(form)
    make(place, place, SimpleNamespace(nms=NMS, parts=parts))
    return place / "page.html"


BROWSE = r"""
import json, sys, time
from playwright.sync_api import sync_playwright
page_at, chromium, photo, text = sys.argv[1:]
with sync_playwright() as engine:
    browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(locale="zh-CN")
    faults, asked = [], []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.goto(page_at)
    page.set_input_files("#file", photo)
    # Not wait_for_function, which the page's policy would not let in.
    page.wait_for_selector("#json:not([hidden])", timeout=60000)
    found = page.inner_text("#said")
    answer = json.loads(page.inner_text("#json"))
    page.evaluate("const t = document.getElementById('threshold'); t.value = 0.01; t.oninput()")
    many = len(json.loads(page.inner_text("#json"))["boxes"])
    page.click("#language")
    other = page.inner_text("h1")
    page.set_input_files("#file", text)
    page.wait_for_selector("#fault:not(:empty)")
    print(json.dumps({"found": found, "answer": answer, "other": other, "many": many,
                      "token": page.locator("#token").count(), "bold": page.locator("b").count(),
                      "fault": page.inner_text("#fault"), "faults": faults,
                      "asked": sorted(set(asked))}))
    browser.close()
"""


@pytest.mark.paddle
@pytest.mark.timeout(600)
def test_the_page_finds_from_a_file_and_asks_nobody(page: Path, tmp_path: Path) -> None:
    look = subprocess.run([BROWSING, "-c", "import playwright"], capture_output=True, check=False)
    if look.returncode:
        pytest.skip("no playwright here")
    image = Image.new("RGB", (320, 240), (230, 230, 230))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.jpg", exif=exif)
    (tmp_path / "text.jpg").write_text("no picture")
    argv = [str(BROWSING), "-c", BROWSE, page.as_uri(), find_browser(),
            str(tmp_path / "photo.jpg"), str(tmp_path / "text.jpg")]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["found"].startswith("2 个框")
    answer = said["answer"]
    # Turned, as its EXIF tag says.
    assert (answer["width"], answer["height"]) == (240, 320)
    left, right = sorted(answer["boxes"], key=lambda box: box["box"][0])
    assert left["class"] == right["class"] == "light"
    assert left["box"] == pytest.approx([0, 0, 120, 320], abs=0.01)
    assert right["box"] == pytest.approx([120, 0, 240, 320], abs=0.01)
    assert left["score"] == pytest.approx(230 / 255, abs=0.005)
    assert (said["many"], said["other"], said["token"], said["bold"]) == (4, "Detector", 0, 0)
    assert said["fault"] == "This is no picture that the browser can read"
    assert said["faults"] == []
    assert set(said["asked"]) <= {"file", "blob", "data"}


def test_a_browser_that_ends_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBGEN_BROWSER", shutil.which("false") or "false")
    page = '<html><script id="settings">{"classes": []}</script></html>'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "photo.jpg").write_bytes(b"")
    with (
        open_finder(str(tmp_path)) as find,
        pytest.raises(RuntimeError, match="false ended with exit code 1"),
    ):
        find(str(tmp_path / "photo.jpg"))
