"""Every local page in a real browser: accessible in light and dark, on a phone, and what its script
does. axe-core comes from the npm registry; where that or Chromium is not there, nothing is shown."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.report.comparison import comparison_page
from jobgen.report.mistakes_page import mistakes_page
from jobgen.run.page import report_page
from jobgen_runtime.record.measured import RunRecord
from tests.conftest import Answer
from tests.sets import Coco, write_zip
from tests.test_mistakes import a_judged_set
from tests.test_report import FAILURE, result

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
AXE = "axe-core@4.10.3"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
LIKE_A_PHONE, LIKE_A_DESK = 500, 1300


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here")
    asked = subprocess.run([npm, "pack", AXE, "--pack-destination", str(folder)],
                           capture_output=True, check=False, timeout=120)  # fmt: skip
    if asked.returncode:
        pytest.skip("axe-core can't be had here")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def opened(page: Path, spare: Path, width: int, *options: str) -> str:
    """The page as the browser has it after its scripts."""
    argv = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", f"--user-data-dir={spare}",
            f"--window-size={width},900", "--virtual-time-budget=60000", *options, "--dump-dom",
            page.as_uri()]  # fmt: skip
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout


def asked_of(page: Path, script: str, spare: Path, width: int, *options: str) -> Any:
    """What a script says of the page: it is let in past the page's policy, and calls tell()."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    tell = "const tell = (found) => { document.title = 'TOLD' + JSON.stringify(found); };"
    end = f"<script>{tell}\n{script.replace('</script', chr(92) + '/script')}</script></body>"
    changed = spare / f"{page.stem}.html"
    changed.write_text(text.replace("</body>", end), encoding="utf-8")
    dom = opened(changed, spare / "profile", width, *options)
    found = re.search(r"<title>TOLD(.*?)</title>", dom, re.DOTALL)
    assert found, dom[-500:]
    return json.loads(html.unescape(found[1]))


ROWS: list[dict[str, Any]] = [
    row
    for epoch in range(12)
    for row in (
        {"epoch": float(epoch), "step": 0.0, "steps": 2.0, "loss": 4.0 - epoch / 9, "loss_vfl": 1.0,
         "learning_rate": 0.01, "ips": 30.0, "batch_cost": 0.5, "data_cost": 0.1},
        {"epoch": float(epoch), "mAP50": 0.02 * epoch, "mAP": 0.01 * epoch},
    )
]  # fmt: skip


def full_result(**changes: Any) -> dict[str, Any]:
    classes = [{"class": name, "AP": 0.4, "AP50": 0.7, "boxes": 80} for name in ("ship", "boat")]
    metrics = {
        **result()["metrics"],
        "evaluation": {"mAP": 0.4, "mAP50": 0.7, "AR100": 0.5, "boxes": 9, "images": 3,
                       "weights": "w"},
        "best_f1": {"f1": 0.7, "threshold": 0.4, "precision": 0.8, "recall": 0.6},
        "f1": [[n / 50, 0.5 + n / 100, 0.9 - n / 60, 0.6] for n in range(45)],
        "per_class": classes,
        "precision_recall": {name: [1 - n / 150 for n in range(101)] for name in ("ship", "boat")},
        "confusion": {"threshold": 0.4, "rows": [[60, 5, 15], [4, 60, 16], [9, 2, 0]]},
        "found_by_size": [{"upto": 0.025, "boxes": 60, "missed": 40},
                          {"upto": 1.0, "boxes": 100, "missed": 10}],
    }  # fmt: skip
    job = {"model": {"config": "picodet_s_320_coco_lcnet", "pretrained": "none"}, "train": {}}
    return result(metrics=metrics, job=job, **changes)


@pytest.fixture
def pages(tmp_path: Path, jobgen: Callable[..., Answer]) -> dict[str, Path]:
    """Every local page, one with all its parts."""
    record = RunRecord("ships", full_result(), ROWS, str(tmp_path))
    failed = RunRecord("boats", result(status="failed", failure=FAILURE), [], str(tmp_path))
    made = Coco()
    made.train["annotations"][0]["bbox"] = [24, 6, -10, 9]
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    texts = {
        "report": report_page(record, "zh"),
        "failed": report_page(failed),
        "comparison": comparison_page([record, failed, record]),
        "mistakes": mistakes_page(a_judged_set(tmp_path / "images")),
    }
    found = {name: tmp_path / f"{name}.html" for name in (*texts, "data")}
    for name, text in texts.items():
        found[name].write_text(text, encoding="utf-8")
    assert jobgen("dataset", "inspect", path, "--html", found["data"]).code == 0
    return found


@pytest.mark.waits
@pytest.mark.parametrize("name", ["report", "failed", "comparison", "mistakes", "data"])
def test_axe_has_nothing_to_say(
    pages: dict[str, Path], axe: str, tmp_path: Path, name: str
) -> None:
    """Contrast, labels, landmarks, focus; and nothing wider than a phone's window."""
    ask = """
    axe.run(document, { resultTypes: ["violations"] }).then((found) => tell({
      faults: found.violations.map((fault) => [fault.id, fault.nodes[0].html.slice(0, 150)]),
      over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    }));
    """
    dark = "--blink-settings=preferredColorScheme=0"
    for width, options in ((LIKE_A_DESK, ()), (LIKE_A_PHONE, (dark,))):
        told = asked_of(pages[name], f"{axe}\n{ask}", tmp_path, width, *options)
        assert told == {"faults": [], "over": 0}, (width, options)


@pytest.mark.waits
def test_the_gallerys_menus_choose_pictures(pages: dict[str, Path], tmp_path: Path) -> None:
    dom = opened(pages["data"], tmp_path / "one", LIKE_A_DESK)
    (shown,) = re.findall(r"<output[^>]*>(\d+ / \d+)</output>", dom)  # under the page's own policy
    count = int(shown.split(" / ")[1])
    assert shown == f"{count} / {count}"
    choose = """
    const menu = document.querySelector("select[name=finding]");
    menu.value = "DS040";
    menu.dispatchEvent(new Event("change"));
    tell([...document.querySelectorAll(".choice + .pictures > figure")]
      .filter((picture) => picture.offsetParent).map((picture) => picture.dataset.finding));
    """
    assert asked_of(pages["data"], choose, tmp_path, LIKE_A_DESK) == ["DS040"]


@pytest.mark.waits
def test_a_click_on_a_head_sorts_the_table(pages: dict[str, Path], tmp_path: Path) -> None:
    click = """
    const names = () => [...document.querySelectorAll("table.sorted tbody td:first-child")]
      .map((cell) => cell.textContent);
    const button = document.querySelector("table.sorted th button");
    button.click(); const one = names(); button.click(); tell([one, names()]);
    """
    down, up = asked_of(pages["comparison"], click, tmp_path, LIKE_A_DESK)
    assert down == sorted(up, reverse=True)
    assert up == sorted(up) != down
