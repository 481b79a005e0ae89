"""Real Paddle, real PaddleDetection, real training on the CPU: what `make demo` and a user see."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from jobgen.catalog import environments
from jobgen.datasets.look import look
from jobgen.deploy.forms import Form
from jobgen.deploy.forms import forms as forms_by_name
from jobgen.deploy.forms.page import find_browser
from jobgen.deploy.make import Workshop, make_forms
from jobgen.deploy.source import source_of_run
from jobgen.errors import RunError
from jobgen.files import sha256
from jobgen.machine.environment import managed_python
from jobgen.machine.interpreters import candidate_pythons, find_python
from jobgen.settings import load_settings
from jobgen_runtime.after.likeness import likeness
from tests.paddle_world import JOBGEN, call, events

pytestmark = [pytest.mark.paddle, pytest.mark.timeout(1500)]

# PicoDet's, as training has it.
NMS = {"score_threshold": 0.025, "nms_threshold": 0.6, "nms_top_k": 1000, "keep_top_k": 100}
# What follows it is shown by the demo.
TRAINING_ALONE = ("-p", "STAGES", "[]")
# Of the demo's twelve epochs: enough to find ships.
EIGHT = ("-p", "EPOCHS", 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo 演示")


def training_process(run: Path) -> int | None:
    """The pid of this run's training."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if "run_tool.py" in command and "train.py" in command and str(run) in command:
                return int(entry.name)
    return None


def wait_for_evaluation(folder: Path, process: subprocess.Popen[str]) -> Path:
    """The run's folder, as soon as its first evaluation is recorded."""
    while process.poll() is None:
        for path in folder.glob("runs/*/home/output/ships/events.jsonl"):
            if events(path.parent, "evaluated"):
                return path.parents[3]
        time.sleep(1)
    raise AssertionError(f"the run ended early: {process.communicate()}")


def test_a_killed_training_ends_with_7_and_says_how(folder: Path) -> None:
    argv = [
        *JOBGEN,
        "demo",
        "--folder",
        str(folder),
        "--language",
        "en",
        *map(str, EIGHT),
        "--json",
    ]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = wait_for_evaluation(folder, process)
    pid = training_process(run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 7
    failure = json.loads(out)["result"]["failure"]
    assert failure["stage"] == "train"
    assert "the training process was killed (SIGKILL)" in failure["message"]
    assert failure["remedy"].startswith("Its last whole checkpoint is epoch ")
    assert Path(failure["log"]).is_file()
    assert training_process(run) is None


def test_the_next_run_resumes_and_ends_ok(folder: Path) -> None:
    code, answer, said = call("demo", "--folder", folder, *EIGHT, cwd=folder)
    assert code == 0
    result = answer["result"]
    assert result["status"] == "ok"
    assert "resuming " in said
    assert result["resumed_from_epoch"] >= 1
    assert result["attempts"][0]["stage"] == "train"
    assert result["metrics"]["best"]["mAP50"] >= 0.50
    assert result["metrics"]["loss"]["last"] < result["metrics"]["loss"]["first"]
    weights = {item["path"]: item for item in result["artefacts"]}["weights/best_model.pdparams"]
    assert weights["bytes"] > 1_000_000
    assert len(weights["sha256"]) == 64
    assert result["source"]["verified"] in ("commit", "content")
    assert result["source"]["fixes"][0]["state"] in ("applied", "there already")
    output = Path(answer["run"]) / "home" / "output" / "ships"
    rows = (output / "metrics.csv").read_text(encoding="utf-8").splitlines()
    epochs = [int(row.split(",")[0]) for row in rows[1:]]
    assert epochs == sorted(epochs)
    assert set(epochs) == set(range(8))
    assert not events(output, "unpacked")[-1]["done"]


def test_what_followed_training_is_proven(folder: Path) -> None:
    """The demo's evaluation, pictures, exported model and ONNX."""
    (path,) = folder.glob("runs/*/home/output/ships/result.json")
    metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    assert metrics["evaluation"]["mAP50"] == pytest.approx(metrics["best"]["mAP50"], abs=0.001)
    assert metrics["evaluation"]["mAP"] == pytest.approx(metrics["best"]["mAP"], abs=0.001)
    assert metrics["inference"]["images"] == 12
    for form in ("paddle", "onnx"):
        assert metrics["parity"][form]["images"] == 20
        assert metrics["parity"][form]["alone"] == 0
        assert metrics["parity"][form]["largest_px"] < 0.01
        assert metrics["parity"][form]["mAP"] < 0.001
    assert 1 < metrics["latency"]["milliseconds"] < 1000
    names = {entry.name for entry in (path.parent / "inference").iterdir()}
    assert {"model.pdmodel", "model.pdiparams", "infer_cfg.yml", "model.onnx"} <= names
    page = (path.parent / "report.html").read_text(encoding="utf-8")
    assert "ms a picture" in page
    # Twelve predictions, by turns wrong and right, and eight pictures as the training gets them.
    assert page.count("data:image/jpeg;base64,") == 12 + 8
    kinds = json.loads((path.parent / "predictions" / "predictions.json").read_text("utf-8"))
    assert {row["kind"] for row in kinds["images"]} >= {"best"}
    code, answer, _ = call("collect", path.parent, "--run", cwd=folder)
    assert (code, answer["outputs"][0]["faults"], answer["outputs"][0]["export"]) == (0, [], "runs")


def test_downloaded_weights_are_measured_drawn_and_exported(folder: Path, tmp_path: Path) -> None:
    """From the zip; and from a lone .pdparams of no run of jobgen's."""
    (output,) = folder.glob("runs/*/home/output")
    (folder / "exported").mkdir()
    zipped = shutil.make_archive(str(tmp_path / "download"), "zip", output.parent, "output")
    archive = folder / "ships.zip"
    tiles = ("--tiles", 160)
    code, answer, said = call("evaluate", zipped, "--archive", archive, *tiles, cwd=tmp_path)
    assert code == 0, said
    metrics = answer["result"]["metrics"]
    whole = metrics["evaluation"]["whole"]["mAP50"]
    assert whole == pytest.approx(metrics["claimed_mAP50"], abs=0.001)
    # The tiles show the ships larger than training did.
    assert metrics["evaluation"]["mAP50"] > 0.2
    arguments = (zipped, "--archive", archive, "--to", "onnx-int8,mnn,ncnn,server")
    code, answer, said = call("export", *arguments, cwd=folder / "exported")
    assert code == 0, said
    assert answer["result"]["metrics"]["parity"]["paddle"]["largest_px"] < 0.01
    forms = {form["name"]: form for form in answer["forms"]}
    assert [form["fault"] for form in forms.values()] == [""] * 4
    for exact in ("mnn", "ncnn", "server"):
        assert forms[exact]["measured"]["largest_px"] < 0.01
        assert forms[exact]["measured"]["lost"] == forms[exact]["measured"]["gained"] == 0
    small, whole = forms["onnx-int8"]["measured"], forms["mnn"]["measured"]
    assert small["bytes"] < whole["bytes"] / 2
    assert small["mAP"] >= small["model_mAP"] - 0.02
    (card,) = (folder / "exported").glob("runs/*/home/output/*/inference/forms/MODEL_CARD.md")
    rows = card.read_text(encoding="utf-8").splitlines()
    assert [name for name in forms if any(row.startswith(f"| {name} |") for row in rows)] == [
        *forms
    ]
    lone = tmp_path / "picodet_xs_320_mine_lcnet.pdparams"
    shutil.copy(output / "ships" / "weights" / "best_model.pdparams", lone)
    code, answer, said = call("infer", lone, "--archive", archive, "--threshold", 0.2, cwd=tmp_path)
    assert code == 0, said
    assert answer["result"]["metrics"]["inference"]["threshold"] == 0.2
    photos = tmp_path / "照片"
    photos.mkdir()
    with zipfile.ZipFile(archive) as ships:
        names = [name for name in ships.namelist() if name.endswith(".jpg")][:2]
        for number, name in enumerate(names):
            (photos / f"{number}.jpg").write_bytes(ships.read(name))
    found = tmp_path / "found"
    asked = ("--images", photos, "--as", "labelme", "-o", found)
    code, answer, said = call("infer", zipped, *asked, cwd=tmp_path)
    assert code == 0, said
    boxes = json.loads((found / "boxes.json").read_text(encoding="utf-8"))
    assert {box["image_id"] for box in boxes} == {1, 2}
    labelled = look(found / "labels")
    assert labelled.layout.format == "labelme"
    assert len(labelled.splits["all"]) == answer["result"]["metrics"]["inference"]["boxes"]
    wrong = ("--model", "picodet_s_320_coco_lcnet")
    code, answer, _ = call("evaluate", lone, "--archive", archive, *wrong, cwd=tmp_path)
    assert code == 7
    assert answer["result"]["failure"]["cause"] == "weights"
    assert "the weights are another model's: " in answer["result"]["failure"]["message"]


def test_a_spoilt_form_is_not_left_behind(folder: Path, tmp_path: Path) -> None:
    (output,) = (folder / "exported").glob("runs/*/home/output/*")
    result = json.loads((output / "result.json").read_text(encoding="utf-8"))
    source = source_of_run(output, result, NMS)
    spoilt = [
        Form(name, {"en": name}, (), exact, False, Path(__file__).parent / "spoilt_forms" / file)
        for name, exact, file in
        (("nan", True, "not_a_number.py"), ("blind", False, "blind_int8.py"))
    ]  # fmt: skip
    # Of an earlier export, whose model was another.
    (tmp_path / "forms" / "blind").mkdir(parents=True)
    found = make_forms(
        spoilt, source, tmp_path / "forms", Workshop(load_settings().cache, "en", print)
    )
    assert "is no number" in found[0].fault
    assert "its scores are others" in found[1].fault
    assert [path.name for path in (tmp_path / "forms").iterdir()] == ["MODEL_CARD.md"]


def test_a_form_runs_by_what_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    """As its README says, for somebody who got this folder alone."""
    (forms,) = (folder / "exported").glob("runs/*/home/output/*/inference/forms")
    with zipfile.ZipFile(folder / "ships.zip") as ships:
        name = next(name for name in ships.namelist() if name.endswith(".jpg"))
        (tmp_path / "photo.jpg").write_bytes(ships.read(name))
    for name in ("mnn", "ncnn", "onnx-int8"):
        form, place = forms_by_name()[name], tmp_path / name
        shutil.copytree(forms / name, place)
        page = (place / "README.md").read_text(encoding="utf-8")
        (line,) = [row for row in page.splitlines() if row.startswith("    python ")]
        python = Workshop(load_settings().cache, "en", print).python(form)
        argv = [str(python), *line.split()[1:-1], str(tmp_path / "photo.jpg")]
        answer = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr[-2000:]
        # Nothing but its lines of JSON: an engine may say what else it likes elsewhere.
        assert "boxes" in json.loads(answer.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["page", "lite", "paddle-int8"])
def test_a_form_that_needs_more_is_proven_too(folder: Path, tmp_path: Path, name: str) -> None:
    """A browser and npm, an old Python, another Paddle: where this machine has them."""
    (output,) = (folder / "exported").glob("runs/*/home/output/*")
    result = json.loads((output / "result.json").read_text(encoding="utf-8"))
    source, form = source_of_run(output, result, NMS), forms_by_name()[name]
    workshop = Workshop(load_settings().cache, "en", print)
    # What is there has to work: only what is not may be passed over.
    if name == "page":
        if shutil.which("npm") is None:
            pytest.skip("no npm here")
        try:
            find_browser()
        except RuntimeError as error:
            pytest.skip(str(error))
    if form.pythons:
        try:
            find_python(candidate_pythons(form.pythons), form.pythons)
        except RunError as error:
            pytest.skip(error.message)
    (judged,) = make_forms([form], source, tmp_path / "forms", workshop)
    assert judged.fault == ""
    assert judged.measured["lost"] == judged.measured["gained"] == 0
    assert judged.measured["largest_px"] < (0.01 if form.exact else 40)


@pytest.mark.parametrize("name", ["mnn", "ncnn"])
def test_the_example_in_cpp_finds_the_same(folder: Path, tmp_path: Path, name: str) -> None:
    """Compiled and run: JOBGEN_MNN and JOBGEN_NCNN name where the libraries are installed."""
    prefix = os.environ.get(f"JOBGEN_{name.upper()}")
    if prefix is None:
        pytest.skip(f"JOBGEN_{name.upper()} names no library")
    (forms,) = (folder / "exported").glob("runs/*/home/output/*/inference/forms")
    place = tmp_path / name
    shutil.copytree(forms / name, place)
    for argv in (["cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}"],
                 ["cmake", "--build", "build"]):  # fmt: skip
        subprocess.run(argv, cwd=place / "cpp", check=True)
    with zipfile.ZipFile(folder / "ships.zip") as ships:
        photos = [name for name in ships.namelist() if name.endswith(".jpg")][:8]
        ships.extractall(tmp_path, photos)
    argv = [str(place / "cpp" / "build" / "detect"), *photos]
    env = {**os.environ, "LD_LIBRARY_PATH": f"{prefix}/lib"}
    for each in place.glob("model.*"):
        shutil.copyfile(each, tmp_path / each.name)
    told = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    # MNN says there what the processor can.
    found = [row.split("\t") for row in told.stdout.splitlines() if "\t" in row]
    form = forms_by_name()[name]
    python = Workshop(load_settings().cache, "en", print).python(form)
    argv = [str(python), "detect.py", form.file, *(str(tmp_path / photo) for photo in photos)]
    argv += ["--threshold", "0"]
    told = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=True)
    wanted = [box for line in told.stdout.splitlines() for box in json.loads(line)["boxes"]]
    assert len(found) == len(wanted) > 5
    for row, box in zip(found, wanted, strict=True):
        assert row[1] == box["class"]
        assert [float(edge) for edge in row[3:]] == pytest.approx(box["box"], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnn", "ncnn", "server"])
def test_a_form_finds_the_same_on_arm64(folder: Path, tmp_path: Path, name: str) -> None:
    """In an emulator: JOBGEN_ARM64 names what tests/arm64_root.sh has laid out."""
    root = os.environ.get("JOBGEN_ARM64")
    if root is None:
        pytest.skip("JOBGEN_ARM64 names no ARM64 Python")
    (forms,) = (folder / "exported").glob("runs/*/home/output/*/inference/forms")
    with zipfile.ZipFile(folder / "ships.zip") as ships:
        photos = [name for name in ships.namelist() if name.endswith(".jpg")][:8]
        ships.extractall(tmp_path, photos)
    (tmp_path / "photos.json").write_text(json.dumps([str(tmp_path / each) for each in photos]))
    form, found = forms_by_name()[name], []
    own = str(Workshop(load_settings().cache, "en", print).python(form))
    emulated = ["qemu-aarch64-static", "-L", root, "-E", f"PYTHONPATH={root}/site"]
    for program in ([own], [*emulated, f"{root}/usr/bin/python3.11"]):
        argv = [*program, "detect.py", "model.onnx" if name == "server" else form.file,
                "--images", str(tmp_path / "photos.json"), "--nms", json.dumps(NMS),
                "--answer", str(tmp_path / "answer.json")]  # fmt: skip
        subprocess.run(argv, cwd=forms / name, check=True)
        found.append(json.loads((tmp_path / "answer.json").read_text(encoding="utf-8")))
    alike = likeness(*found)
    assert alike.boxes > 5
    assert (alike.lost, alike.gained) == (0, 0)
    # OpenCV for ARM rounds the weights of INTER_CUBIC.
    assert alike.largest_px < 0.5


@pytest.mark.slow
def test_a_model_is_compressed_in_the_notebook(folder: Path, tmp_path: Path) -> None:
    text = (folder / "job.yaml").read_text(encoding="utf-8")
    text = re.sub(r"stages: .*\n|export:\n(?:  .*\n)+", "", text)
    text += "stages: [export, compress]\nexport: {onnx: true, nms: false}\n"
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    assert call("build", tmp_path / "job.yaml", cwd=tmp_path)[0] == 0
    (weights,) = folder.glob("runs/*/home/output/ships/weights/best_model.pdparams")
    code, answer, said = call(
        "run", tmp_path / "upload", "--archive", folder / "ships.zip", "--device", "cpu",
        "-p", "TRAINED_WEIGHTS", weights, cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, said
    measured = answer["result"]["metrics"]["forms"]["onnx-int8"]
    assert measured["fault"] == ""
    assert measured["bytes"] < measured["model_bytes"] / 2
    assert measured["mAP"] > measured["model_mAP"] - 0.02
    (record,) = tmp_path.glob("runs/*/home/output/*/inference/forms/onnx-int8/form.json")
    digest = json.loads(record.read_text(encoding="utf-8"))["sha256"]["model.onnx"]
    assert digest == sha256((record.parent / "model.onnx").read_bytes())
    page = (record.parents[3] / "report.html").read_text(encoding="utf-8")
    assert "<td>onnx-int8</td>" in page


def test_the_mirrors_own_infer_draws(folder: Path, tmp_path: Path) -> None:
    """The one of its tools that no stage calls."""
    (home,) = (path.parents[1] for path in folder.glob("runs/*/home/output/ships"))
    python, _ = managed_python(environments()["paddle2.6_py3.10"], load_settings().cache, print)
    image = next((home / "datasets").rglob("*.jpg"))
    tool = home / "PaddleDetection" / "tools" / "infer.py"
    config = next((home / "PaddleDetection" / "configs" / "picodet").glob("*ships*.run.yml"))
    argv = [python, "-c", "import cv2, runpy, sys; sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')", tool, "-c", config,
            "--infer_img", image, "--output_dir", tmp_path, "--save_results", "True",
            "--draw_threshold", "0.01"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{tool.parent}:{tool.parents[1]}"}
    answer = subprocess.run(
        [str(word) for word in argv],
        env=env,
        cwd=tool.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert (tmp_path / image.name).stat().st_size > 1000
