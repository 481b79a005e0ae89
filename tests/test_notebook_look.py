"""What a person sees who opens the notebook: few cells, the tools folded, steps without gaps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from jobgen.job.notebook import cell_source
from tests.conftest import ROOT

UPLOADS = [ROOT / "bundles" / name / "upload" for name in ("ssdd", "bccd")]
MOST_CELLS = 30
MOST_PIXELS = 4500
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Of another environment, as JOBGEN_JUPYTER=/path/to/venv/bin: with jupyterlab and playwright.
JUPYTER = Path(os.environ.get("JOBGEN_JUPYTER", Path(sys.executable).parent))


def cells_of(upload: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((upload / "main.ipynb").read_text("utf-8"))["cells"]
    return found


@pytest.mark.parametrize("upload", UPLOADS, ids=lambda p: p.parent.name)
def test_what_needs_no_reading_is_folded(upload: Path) -> None:
    cells = cells_of(upload)
    assert len(cells) <= MOST_CELLS
    folded = [c["id"] for c in cells if c["metadata"].get("jupyter", {}).get("source_hidden")]
    assert folded == ["job", "tools"]
    ids = [cell["id"] for cell in cells]
    assert ids[:5] == ["title-text", "parameters", "job-text", "job", "tools"]
    code = [cell_source(c) for c in cells if c["cell_type"] == "code" and c["id"] not in folded]
    assert max(text.count("\n") for text in code) < 20
    assert max(len(line) for text in code for line in text.splitlines()) <= 100


@pytest.mark.parametrize("upload", UPLOADS, ids=lambda p: p.parent.name)
def test_the_steps_are_numbered_without_gaps(upload: Path) -> None:
    titles = [cell_source(c) for c in cells_of(upload) if c["cell_type"] == "markdown"]
    numbers = [int(n) for text in titles for n in re.findall(r"^## (\d+)\. ", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 8


WATCH = """
import sys, time
from playwright.sync_api import sync_playwright
address, chromium, picture = sys.argv[1:]
OUTER = "document.querySelector('.jp-WindowedPanel-outer')"
options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
with sync_playwright() as player:
    browser = player.chromium.launch(executable_path=chromium, args=options)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90000)
    page.wait_for_timeout(5000)
    page.screenshot(path=picture)
    place = -1
    while place != (place := page.evaluate(OUTER + ".scrollTop += 700")):
        page.wait_for_timeout(200)
        if page.evaluate(f"{OUTER}.scrollTop + {OUTER}.clientHeight >= {OUTER}.scrollHeight - 2"):
            break
    print(page.evaluate(OUTER + ".scrollHeight"), len(page.query_selector_all(".jp-Cell")))
    browser.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.skipif(not (JUPYTER / "jupyter-lab").is_file(), reason="no JupyterLab here")
def test_it_is_short_as_jupyterlab_opens_it(tmp_path: Path) -> None:
    """The height of the whole page, scrolled through once so that every cell is drawn."""
    shutil.copytree(UPLOADS[0], tmp_path / "home")
    argv = [
        *(str(JUPYTER / "jupyter-lab"), "--allow-root", "--no-browser", "--port", "8899"),
        *("--ServerApp.token=", "--ServerApp.password=", f"--ServerApp.root_dir={tmp_path}/home"),
    ]
    with (tmp_path / "lab.log").open("wb") as log:
        lab = subprocess.Popen(
            argv, stdout=log, stderr=log, env={**os.environ, "HOME": str(tmp_path)}
        )
    try:
        for _ in range(60):
            try:
                urllib.request.urlopen("http://127.0.0.1:8899/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        address = "http://127.0.0.1:8899/lab/tree/main.ipynb?reset"
        watch = [
            str(JUPYTER / "python"),
            "-c",
            WATCH,
            address,
            str(CHROMIUM),
            str(tmp_path / "lab.png"),
        ]
        answer = subprocess.run(watch, capture_output=True, text=True, timeout=240, check=True)
    finally:
        lab.terminate()
        lab.wait()
    pixels, cells = map(int, answer.stdout.split())
    assert cells == len(cells_of(UPLOADS[0]))
    assert 1000 < pixels <= MOST_PIXELS
