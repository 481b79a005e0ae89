"""The page of a run: read back from folders and zips, drawn, and looked at in a browser."""

from __future__ import annotations

import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobgen.language import chinese
from jobgen.report.comparison import comparison_page
from jobgen.run.advice import advice
from jobgen.run.page import report_page
from jobgen_runtime.record.charts import Axes, Series, chart, nice_ticks
from jobgen_runtime.record.identity import process_identity
from jobgen_runtime.record.measured import RunRecord
from jobgen_runtime.record.page_words import STATUS_TEXT, ZH
from jobgen_runtime.train.trainlog import metric_columns, metrics_row, parse_train_line
from tests.conftest import ROOT, Answer
from tests.served import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
HOSTILE = "</pre><script>fetch('http://127.0.0.1:PORT/x')</script><img src=http://127.0.0.1:PORT/y>"


def result(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "schema": 1,
        "name": "ships",
        "language": "en",
        "status": "ok",
        "started": "2026-11-23T04:00:00Z",
        "process": {"pid": 1, "boot": "", "started": 0},
        "stages": [{"name": "train", "status": "ok", "seconds": 75.2, "text": "2 epochs"}],
        "metrics": {
            "best": {"mAP": 0.31, "mAP50": 0.612, "epoch": 1},
            "loss": {"first": 4.0, "last": 2.0},
            "train_seconds": 75.2,
        },
        "plan": {"epochs": 2, "batch_size": 16, "base_lr": 0.02},
        "origins": {"base_lr": "rule: 0.00125 x 16 x 1"},
        "adjustments": [{"what": "worker_num", "planned": 4, "used": 2, "why": "cores"}],
        "notes": [{"stage": "train", "text": "a note"}],
        "machine": {"cores": 2},
        "versions": {"paddle": "2.6.2"},
        "source": {"commit": "93e2d43"},
        "artefacts": [
            {"path": "weights/best_model.pdparams", "bytes": 1234567, "sha256": "ab" * 32}
        ],
        "failure": None,
        "attempts": [],
        "memory_peak": 3 * 2**30,
    }
    return {**found, **changes}


FAILURE = {
    "stage": "train",
    "cause": "killed",
    "message": "the training process was killed (SIGKILL)",
    "remedy": "Run again to resume from epoch 9.",
    "log": "logs/train.log",
    "exit_status": -9,
    "tail": ["last words"],
}


def write_output(folder: Path, found: dict[str, Any]) -> Path:
    """An output folder as a run leaves it: two epochs of ten steps."""
    (folder / "logs").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    columns = metric_columns(["loss_vfl"])
    rows = [",".join(columns) + "\n"]
    for step in range(20):
        values = {"epoch": step // 10, "step": step % 10, "steps": 10, "loss": 4.0 - step / 10}
        values.update(learning_rate=0.02, ips=40.0, batch_cost=0.5, data_cost=0.1)
        rows.append(metrics_row(values, columns))
        if step % 10 == 9:
            evaluated = {"epoch": step // 10, "mAP": 0.2, "mAP50": 0.3 + step / 60}
            rows.append(metrics_row(evaluated, columns))
    (folder / "metrics.csv").write_text("".join(rows), encoding="utf-8")
    (folder / "logs" / "train.log").write_text("line\n" * 100 + "the end\n", encoding="utf-8")
    return folder


def page_of(folder: Path, jobgen: Callable[..., Answer], *more: object) -> str:
    answer = jobgen("report", folder, *more)
    assert answer.code == 0, answer.err
    (line,) = [line for line in answer.out.splitlines() if line.startswith("report: ")]
    return Path(line.removeprefix("report: ")).read_text(encoding="utf-8")


class Shape(html.parser.HTMLParser):
    """The elements of a page, and whether each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "path", "circle", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "line", "circle"):
            assert self.open.pop() == tag


def shape(text: str) -> Shape:
    found = Shape()
    found.feed(text)
    assert found.open == []
    return found


def test_a_page_of_a_run(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    text = page_of(write_output(tmp_path / "out", result()), jobgen)
    assert (tmp_path / "out" / "report.html").is_file()
    for words in (
        *("0.612 (epoch 2)", "0.310", "4.000 → 2.000", "1 min 15 s", "40.0", "20 %", "3.0 GB"),
        *("rule: 0.00125 x 16 x 1", "a note", "cores", "1,234,567", "the end", "93e2d43"),
    ):
        assert words in text, words
    seen = shape(text).seen
    assert len([tag for tag, _ in seen if tag == "svg"]) == 5
    assert not [tag for tag, _ in seen if tag in ("script", "link", "iframe")]


def test_the_verdict_of_a_failure_stands_above_all(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    text = page_of(write_output(tmp_path, result(status="failed", failure=FAILURE)), jobgen)
    assert text.index("was killed") < text.index("Run again to resume") < text.index("last words")
    assert text.index("last words") < text.index("<svg")


def test_both_languages_have_the_same_parts(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_output(tmp_path, result(status="timeout", failure=FAILURE))
    one, other = (page_of(folder, jobgen, "--language", lang) for lang in ("en", "zh"))
    assert [tag for tag, _ in shape(one).seen] == [tag for tag, _ in shape(other).seen]
    assert 'lang="zh-CN"' in other
    assert "怎么办" in other
    assert "What to do" not in other
    assert all(english in ZH for english in ("What to do", "Curves", *STATUS_TEXT.values()))


def test_a_zip_of_any_layout(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_output(tmp_path / "x" / "PaddleDetection" / "output" / "ships", result())
    (folder / "weights").mkdir()
    (folder / "weights" / "best_model.pdparams").write_bytes(b"w" * 1000)
    path = shutil.make_archive(str(tmp_path / "下载输出"), "zip", tmp_path / "x")
    answer = jobgen("report", path, "--json")
    assert answer.json["runs"][0]["mAP50"] == 0.612
    assert Path(answer.json["report"]) == tmp_path / "下载输出.html"


def test_a_torn_zip_and_nothing_at_all(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_output(tmp_path / "x", result())
    path = Path(shutil.make_archive(str(tmp_path / "out"), "zip", folder))
    path.write_bytes(path.read_bytes()[:300])
    for wrong, words in ((path, "archive that can't be read"), (tmp_path / "none", "is not there")):
        answer = jobgen("report", wrong)
        assert answer.code == 7
        assert words in answer.err
    (tmp_path / "empty").mkdir()
    assert "no result.json of a jobgen run" in jobgen("report", tmp_path / "empty").err


def test_a_record_of_a_killed_process_is_told_as_interrupted(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    stages = [{"name": "train", "status": "running", "seconds": 0.0, "text": ""}]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    running = result(status="running", stages=stages, process=process_identity(child.pid))
    folder = write_output(tmp_path, running)
    assert jobgen("report", folder, "--json").json["runs"][0]["status"] == "running"
    child.kill()
    child.communicate()
    row = jobgen("report", folder, "--json").json["runs"][0]
    assert row["status"] == "interrupted"
    assert row["message"] == "the process was killed while train was running"
    assert "resumes from its last whole checkpoint" in row["remedy"]
    kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert kept["status"] == "interrupted"
    assert kept["stages"][0]["status"] == "interrupted"


def test_another_process_of_the_same_number_is_not_taken_for_it(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    process = {**process_identity(os.getpid()), "started": 1}
    folder = write_output(tmp_path, result(status="running", process=process))
    assert jobgen("report", folder, "--json").json["runs"][0]["status"] == "interrupted"


@pytest.mark.parametrize(
    "process",
    [
        {"pid": 1, "boot": "another machine", "started": 7},
        {"pid": 1, "boot": "", "started": 0},
        None,
    ],
)
def test_a_run_that_this_machine_can_not_see_is_not_overwritten(
    jobgen: Callable[..., Answer], tmp_path: Path, process: Any
) -> None:
    folder = write_output(tmp_path, result(status="running", process=process))
    events = folder / "events.jsonl"
    events.write_text("", encoding="utf-8")
    assert jobgen("report", folder, "--json").json["runs"][0]["status"] == "running"
    os.utime(events, (1, 1))
    assert jobgen("report", folder, "--json").json["runs"][0]["status"] == "interrupted"
    kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert kept["status"] == "running"


@pytest.mark.parametrize(
    "damage",
    [
        {"stages": 1},
        {"stages": [{}]},
        {"plan": [1]},
        {"failure": "x"},
        {"metrics": {"best": {"mAP50": 0.5, "epoch": 1e400}}},
        {"status": "running", "process": {"started": 1}},
        {"artefacts": [{"path": "x"}]},
    ],
)
def test_a_damaged_result_is_told_without_a_traceback(
    jobgen: Callable[..., Answer], tmp_path: Path, damage: dict[str, Any]
) -> None:
    answer = jobgen("report", write_output(tmp_path, result(**damage)))
    assert answer.code in (0, 7)
    assert answer.code == 0 or "is not as jobgen writes it" in answer.err


def test_damage_in_every_file(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_output(tmp_path / "x", result())
    table = folder / "metrics.csv"
    table.write_bytes(table.read_bytes() + b"\xff\xfe,1\n0,,10,5e-324,5e-324,,,,,,,,\n")
    assert jobgen("report", folder, "--png", tmp_path / "c.png").code == 0
    path = Path(shutil.make_archive(str(tmp_path / "out"), "zip", folder))
    data = bytearray(path.read_bytes())
    at = data.index(b"result.json") + 40
    data[at : at + 60] = b"\xff" * 60
    path.write_bytes(bytes(data))
    assert "archive that can't be read" in jobgen("report", path).err
    (folder / "result.json").write_text("[" * 200000, encoding="utf-8")
    assert jobgen("report", folder).code == 7


def test_several_runs_side_by_side(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_output(tmp_path / "one", result())
    other = write_output(tmp_path / "other", result(name="boats", started="2026-11-24T00:00:00Z"))
    text = page_of(one, jobgen, other, "--png", "curves.png")
    assert text.index("Runs side by side") < text.index("<svg")
    assert text.count('<span class="k1">boats</span>') == 6  # in the table and above five charts
    assert '<span class="k0">ships</span>' in text
    assert "script-src 'sha256-" in text
    assert (tmp_path / "report.html").is_file()
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (900, 1200)
        assert len(image.getcolors(1 << 20) or []) > 4


def test_runs_of_one_name_are_told_apart_and_show_what_they_used(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_output(tmp_path / "one", result())
    changed = [{"what": "TrainReader.batch_size", "planned": 16, "used": 2, "why": "smoke"}]
    later = result(started="2026-11-24T09:30:00Z", adjustments=changed)
    other = write_output(tmp_path / "other", later)
    (tmp_path / "empty").mkdir()
    answer = jobgen("report", one, tmp_path / "empty", other)
    assert answer.code == 0
    assert "left out: no result.json of a jobgen run" in answer.err
    assert "ships 2026-11-23 04:00  ok" in answer.out
    assert "ships 2026-11-24 09:30  ok" in answer.out
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<td>train.batch_size: 2</td>" in text
    assert "<td>train.batch_size: 16</td>" in text


def test_what_is_neither_folder_nor_zip(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("name: x\n", encoding="utf-8")
    assert "is no folder and no zip" in jobgen("report", tmp_path / "notes.txt").err


def test_a_job_stands_for_its_newest_run(
    jobgen: Callable[..., Answer], job: Path, tmp_path: Path
) -> None:
    """However the job is given; a job whose name begins alike is another."""
    runs = tmp_path / "my runs"
    missing = jobgen("report", job, "--runs", runs)
    assert (missing.code, "no run of ships is in" in missing.err) == (7, True)
    assert jobgen("build", job).code == 0
    for number, name in enumerate(
        ["ships-1124-093000", "ships-1123-093000", "ships-2-1125-093000"]
    ):
        write_output(runs / name / "home" / "output" / "ships", result(name=name))
        state = json.dumps({"started": 100 - number})
        (runs / name / "run.json").write_text(state, encoding="utf-8")
    upload = job.parent / "upload"
    for path in (job, job.parent, upload, upload / "main.ipynb"):
        answer = jobgen("report", path, "--runs", runs, "--json")
        assert answer.code == 0, answer.err
        assert "ships-1124-093000" in answer.json["report"]
    executed = runs / "ships-1123-093000" / "main.executed.ipynb"
    executed.write_text("{}", encoding="utf-8")
    assert "ships-1123-093000" in jobgen("report", executed, "--json").json["report"]


def test_a_run_without_curves(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_output(tmp_path, result(status="failed", failure=FAILURE, metrics={}))
    (folder / "metrics.csv").unlink()
    assert "<svg" not in page_of(folder, jobgen, "--png", tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 100


def hostile(folder: Path, port: int) -> Path:
    """An output in which every text tries to be more than text."""
    bad = HOSTILE.replace("PORT", str(port))
    found = result(
        name=bad,
        failure={**FAILURE, "message": bad, "remedy": bad, "tail": [bad]},
        notes=[{"stage": bad, "text": bad}],
        plan={bad: bad},
        machine={bad: bad},
        artefacts=[{"path": bad, "bytes": 1, "sha256": bad}],
    )
    found["metrics"]["per_class"] = [{"class": bad, "AP": 0.5, "AP50": 0.7}]
    write_output(folder, found)
    (folder / "logs" / "train.log").write_text(bad, encoding="utf-8")
    (folder / "predictions").mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "predictions" / "<script>1'.png")
    return folder


def test_names_and_logs_stay_text(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    seen = shape(page_of(hostile(tmp_path, 1), jobgen)).seen
    assert not [tag for tag, _ in seen if tag == "script"]
    images = [attributes["src"] or "" for tag, attributes in seen if tag == "img"]
    assert len(images) == 1
    assert images[0].startswith("data:image/png;base64,")
    policy = next(a["content"] or "" for tag, a in seen if "http-equiv" in a)
    assert policy.startswith("default-src 'none';")


def browse(page: Path, picture: Path, *options: str) -> str:
    """Open a page in Chromium, photograph it, and give what the browser had to say."""
    assert CHROMIUM is not None
    argv = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    argv += [f"--user-data-dir={picture.with_suffix('')}", f"--screenshot={picture}", *options]
    answer = subprocess.run(
        [*argv, page.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert picture.is_file(), answer.stderr
    return "\n".join(line for line in answer.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("options", [(), ("--blink-settings=preferredColorScheme=0",)])
@pytest.mark.waits
def test_a_browser_shows_the_page_and_nothing_leaves_it(
    jobgen: Callable[..., Answer], tmp_path: Path, options: tuple[str, ...]
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with served(Handler) as address:
        page_of(hostile(tmp_path / "out", int(address.rpartition(":")[2])), jobgen)
        said = browse(
            tmp_path / "out" / "report.html", tmp_path / "p.png", "--window-size=600,2000", *options
        )
    assert said == ""
    assert asked == []
    with Image.open(tmp_path / "p.png") as image:
        colours = image.convert("RGB").getcolors(1 << 24) or []
        background = max(colours)[1]
        assert len(colours) > 50
    assert isinstance(background, tuple)
    assert (sum(background) < 200) == bool(options)


def test_ticks_are_round_and_few() -> None:
    assert nice_ticks(0, 1) == [0.0, 0.5, 1.0]
    assert nice_ticks(0, 40) == [0, 10, 20, 30, 40]
    assert nice_ticks(3, 3) == [3]


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=30))
def test_no_number_breaks_a_chart(points: list[tuple[float, float]]) -> None:
    text = chart("t", [Series("a", [(abs(x), y) for x, y in points], 0)], Axes("x", "y"))
    assert "nan" not in text
    assert "inf" not in text
    shape(text)


@given(st.text() | st.floats().map(str))
def test_nothing_in_a_log_stops_the_parser(text: str) -> None:
    parse_train_line(text)
    line = "Epoch: [0] [ 2/10] learning_rate: 0.1 loss: %s eta: 0:09:09 batch_cost: 2.0 "
    parse_train_line(line % text + "data_cost: 0.0004 ips: 3.9620 images/s")


def test_the_published_schema_knows_every_cause() -> None:
    schema = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"]["failure"]["anyOf"][1]["properties"]["cause"]["enum"]
    used = set()
    for path in (ROOT / "jobgen_runtime").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r'cause ?= ?"([a-z]+)"', text))
        used |= set(re.findall(r'cause="[a-z]+" if .* else "([a-z]+)"', text))
    assert used <= set(known), used - set(known)
    statuses = schema["properties"]["status"]["enum"]
    assert {*STATUS_TEXT} == set(statuses)


def test_a_page_needs_no_field_of_the_result(tmp_path: Path) -> None:
    for status in ("ok", "failed", "new word"):
        record = RunRecord("x", {"status": status}, [], str(tmp_path))
        shape(report_page(record, "zh"))
    rows = [{"epoch": 0.0, "step": 0.0, "steps": 3.0, "loss": math.nan}]
    shape(report_page(RunRecord("x", {}, rows, str(tmp_path))))


def test_forms_of_the_model_stand_in_one_table() -> None:
    kept = {"fault": "", "bytes": 1_050_000, "mAP": 0.58, "mAP50": 0.984, "milliseconds": 23.4,
            "lost": 0, "gained": 1, "largest_px": 9.04, "model_bytes": 2_850_000,
            "model_mAP": 0.591, "model_mAP50": 0.989, "model_milliseconds": 24.2}  # fmt: skip
    refused = {"fault": "its scores are others, by <0.4>"}
    found = result(metrics={"forms": {"onnx-int8": kept, "mnn": refused}})
    for language, words in (("en", "not kept: its scores"), ("zh", "未保留: its scores")):
        page = report_page(RunRecord("ships", found, [], ""), language)
        rows = re.findall(r"<tr><td>(ONNX|onnx-int8|mnn)</td>(.*?)</tr>", page)
        assert [name for name, _ in rows] == ["ONNX", "onnx-int8", "mnn"]
        assert '2.85</td><td class="n">0.591' in rows[0][1]
        assert "0, 1" in rows[1][1]
        assert words in page
        assert "&lt;0.4&gt;" in rows[2][1]


def test_a_run_without_curves_is_in_no_legend(tmp_path: Path) -> None:
    rows = [{"epoch": 0.0, "mAP50": 0.1}, {"epoch": 1.0, "mAP50": 0.2}]
    records = [RunRecord("a", {}, rows, str(tmp_path)), RunRecord("b", {}, [], str(tmp_path)),
               RunRecord("c", {}, rows, str(tmp_path))]  # fmt: skip
    page = comparison_page(records)
    legends = re.findall(r'</figcaption><div class="key">(.*?)</div>', page)
    assert legends == ['<span class="k0">a</span><span class="k2">c</span>']
    shape(page.split("<script>")[0] + page.split("</script>")[1])


RISING = [{"epoch": float(n), "mAP50": 0.1 + 0.02 * n} for n in range(10)]
FALLING = [{"epoch": float(n), "mAP50": 0.5 - 0.03 * abs(n - 3)} for n in range(10)]
LOSSES = [{"epoch": float(n), "step": 0.0, "steps": 1.0, "loss": 4.0 - 0.3 * n} for n in range(10)]


def advised(rows: list[dict[str, float]], **changes: Any) -> list[dict[str, Any]]:
    job = {"model": {"config": "picodet_xs_320_coco_lcnet", "pretrained": "coco"}, "train": {}}
    job = {**job, **changes.pop("job", {})}
    found = advice(result(job=job, **changes), rows)
    assert all(chinese(each.text) != each.text for each in found)
    return [each.changes for each in found]


def test_advice_goes_by_the_figures() -> None:
    metrics = {"best": {"mAP50": 0.28}, "loss": {"first": 4.0, "last": 2.0}}
    plan = {"epochs": 10, "base_lr": 0.02}
    assert advised(RISING, plan=plan, metrics=metrics) == [{"train.epochs": 15}]
    # Where a small set was repeated, an epoch was several of the job's.
    twice = {"train": {"epochs": 20}}
    assert advised(RISING, plan=plan, metrics=metrics, job=twice) == [{"train.epochs": 30}]
    assert advised(FALLING + LOSSES, plan=plan, metrics=metrics, job=twice) == [{"train.epochs": 8}]
    assert advised(RISING[:6], plan=plan, metrics=metrics) == []  # it ended early: why is unknown
    assert advised(FALLING, plan=plan, metrics=metrics) == []
    assert advised(FALLING + LOSSES, plan=plan, metrics=metrics) == [{"train.epochs": 4}]
    flat = {**metrics, "loss": {"first": 4.0, "last": 3.9}}
    assert advised([], plan=plan, metrics=flat) == [{"train.base_lr": 0.005}]
    scratch = {"model": {"config": "picodet_xs_320_coco_lcnet", "pretrained": "none"}}
    assert advised([], plan=plan, metrics=metrics, job=scratch) == [{"model.pretrained": "coco"}]


def test_advice_on_small_objects_and_rare_classes() -> None:
    sizes = [{"upto": 1 / 40, "boxes": 40, "missed": 30}, {"upto": 1.0, "boxes": 60, "missed": 12}]
    metrics: dict[str, Any] = {"best": {"mAP50": 0.6}, "found_by_size": sizes}
    (small,) = advice(
        result(job={"model": {"config": "x_320_y"}, "train": {}}, metrics=metrics), []
    )
    assert small.text.startswith("71 % of what was missed is under 8 px at the input size of 320")
    assert small.changes == {"model.input_size": 416}
    large = {"model": {"config": "x_320_y", "input_size": 640}}
    assert advised([], metrics=metrics, job=large) == []  # there they are 16 px
    sizes[0]["upto"] = 1 / 80
    assert advised([], metrics=metrics, job=large) == [{"tiles": {"size": 640, "overlap": 0.2}}]
    tiled = {**metrics, "evaluation": {"tiles": {"size": 640}}}
    assert advised([], metrics=tiled, job=large) == []
    classes = [{"class": "a", "AP50": 0.8, "boxes": 500}, {"class": "b", "AP50": 0.1, "boxes": 20}]
    rare = {"best": {"mAP50": 0.6}, "per_class": classes}
    assert advised([], metrics=rare) == [{"train.balance": "auto"}]
    assert advised([], metrics=rare, job={"train": {"balance": "auto"}}) == []
    assert advised([], metrics=rare, status="failed") == advised([], metrics=rare, smoke=True) == []
