"""Is a download what its job promised: each thing that can be missing or torn, by name."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.cli.after import known_best
from jobgen.errors import RunError, SpecError
from jobgen.run.output import job_of, model_named, open_output, weights_below
from jobgen_runtime.data.dataset import file_sha256
from tests.conftest import Answer
from tests.sets import Coco, write_zip
from tests.whole import Whole, make_whole

pytestmark = pytest.mark.waits


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a whole run with a stand-in for Paddle."""
    folder = tmp_path_factory.mktemp("done 船")
    archive = write_zip(folder / "ships.zip", Coco().all_files())
    whole: Whole = make_whole(folder, archive.read_bytes())
    code, said = whole.run()
    assert code == 0, said
    return whole.output


@pytest.fixture
def output(done: Path, tmp_path: Path) -> Path:
    """The output as a user downloads it, with what the later stages leave."""
    place = tmp_path / "download" / "output" / "ships"
    shutil.copytree(done, place)
    shutil.rmtree(place / "checkpoints")
    result = read(place)
    result["job"].update(stages=["evaluate", "infer", "export"], export={"onnx": True})
    for name in ("evaluate", "infer", "export"):
        row = {"name": name, "status": "ok", "seconds": 1, "exit_status": None, "text": ""}
        result["stages"].append(row)
    result["metrics"]["evaluation"] = {
        "mAP": 0.2, "mAP50": 0.4, "images": 2, "boxes": 3, "weights": "best_model.pdparams",
    }  # fmt: skip
    result["metrics"]["per_class"] = []
    for name in ("model.pdmodel", "model.pdiparams", "infer_cfg.yml", "model.onnx"):
        (place / "inference").mkdir(exist_ok=True)
        (place / "inference" / name).write_bytes(b"m" * 10)
    (place / "predictions" / "a").mkdir(parents=True)
    (place / "predictions" / "a" / "1.jpg").write_bytes(b"jpeg")
    text = json.dumps({"images": [{"picture": "a/1.jpg"}]})
    (place / "predictions" / "predictions.json").write_text(text)
    result["artefacts"] = [
        {
            "path": path.relative_to(place).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": file_sha256(str(path)),
        }
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in ("result.json", "events.jsonl", "report.html")
    ]
    write(place, result)
    return place


def read(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "result.json").read_text(encoding="utf-8"))
    return found


def write(place: Path, result: dict[str, Any]) -> None:
    (place / "result.json").write_text(json.dumps(result), encoding="utf-8")


def collect(jobgen: Callable[..., Answer], place: Path) -> tuple[int, list[str]]:
    answer = jobgen("collect", place, "--no-run", "--json")
    return answer.code, answer.json["outputs"][0]["faults"] if answer.out else []


def test_a_whole_download_is_said_to_be_whole(jobgen: Callable[..., Answer], output: Path) -> None:
    assert collect(jobgen, output) == (0, [])
    assert (output / "report.html").is_file()
    answer = jobgen("collect", output.parents[1], "--no-run")
    assert "ships: all " in answer.out
    assert "files are there and as promised; export: not run" in answer.out


def weights(place: Path) -> Path:
    return place / "weights" / "best_model.pdparams"


def change(**keys: Any) -> Callable[[Path], None]:
    return lambda place: write(place, {**read(place), **keys})


def without_pictures(place: Path) -> None:
    shutil.rmtree(place / "predictions")


def without_model(place: Path) -> None:
    (place / "inference" / "model.pdmodel").unlink()


def without_the_stage(place: Path) -> None:
    result = read(place)
    result["stages"] = [row for row in result["stages"] if row["name"] != "infer"]
    write(place, result)


def another_best(place: Path) -> None:
    result = read(place)
    result["metrics"]["best"]["mAP50"] = 0.99
    write(place, result)


def an_artefact_outside(place: Path) -> None:
    result = read(place)
    result["artefacts"] = [{"path": "../../x", "bytes": 1, "sha256": "0" * 64}]
    write(place, result)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda p: weights(p).unlink(), "weights/best_model.pdparams is missing"),
        (lambda p: weights(p).write_bytes(weights(p).read_bytes()[:-4]), "best_model.pdparams is torn"),
        (lambda p: weights(p).write_bytes(pickle.dumps(print)), "can't be opened safely: it would import builtins.print"),
        (lambda p: shutil.rmtree(p / "weights"), "no weights: neither weights/best_model.pdparams"),
        (lambda p: (p / "metrics.csv").unlink(), "metrics.csv is missing"),
        (lambda p: (p / "metrics.csv").write_text("epoch\n"), "metrics.csv has no rows"),
        (another_best, "mAP@0.5 0.990 of the best weights is not in metrics.csv"),
        (change(status="failed", failure={"stage": "train", "message": "no luck"}), "the run is failed: no luck"),
        (change(status="ok-smoke"), "it is a smoke run: nothing was learned"),
        (change(artefacts=[]), "its result lists no files"),
        (an_artefact_outside, "../../x leads out of the folder"),
        (without_pictures, "predictions/predictions.json can't be read"),
        (lambda p: (p / "predictions/a/1.jpg").unlink(), "predictions/a/1.jpg is missing"),
        (without_model, "no exported model: inference/model.pdmodel or inference/model.json"),
        (lambda p: (p / "inference/model.onnx").write_bytes(b""), "model.onnx is missing or empty"),
        (without_the_stage, "the job's stage infer was not done"),
        (lambda p: (p / "inference/infer_cfg.yml").write_bytes(b"n" * 10), "other content (SHA-256)"),
    ],
)  # fmt: skip
def test_each_broken_promise_is_named(
    jobgen: Callable[..., Answer], output: Path, fault: Callable[[Path], None], message: str
) -> None:
    fault(output)
    code, faults = collect(jobgen, output)
    assert code == 1
    assert any(message in text for text in faults), faults


def test_a_zip_is_unpacked_beside_it_and_a_torn_one_refused(
    jobgen: Callable[..., Answer], output: Path, tmp_path: Path
) -> None:
    base = output.parents[1]
    zipped = Path(shutil.make_archive(str(tmp_path / "given"), "zip", base, "output"))
    answer = jobgen("collect", zipped, "--no-run", "--json")
    assert (answer.code, answer.json["outputs"][0]["faults"]) == (0, [])
    assert (tmp_path / "given" / "output" / "ships" / "report.html").is_file()
    assert jobgen("collect", zipped, "--no-run").code == 0
    torn = tmp_path / "torn.zip"
    torn.write_bytes(zipped.read_bytes()[: -len(zipped.read_bytes()) // 3])
    answer = jobgen("collect", torn)
    assert answer.code == 7
    assert "torn.zip: archive that can't be read" in answer.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    answer = jobgen("collect", zipped, "-o", tmp_path / "other")
    assert (answer.code, "other is there already" in answer.err) == (7, True)


def test_a_zip_that_leads_outside_is_refused(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../result.json", "{}")
    answer = jobgen("collect", path)
    assert answer.code == 7
    assert "DS001" in answer.err
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["evil.zip"]


def test_an_output_without_a_result_has_its_own_word(
    jobgen: Callable[..., Answer], output: Path
) -> None:
    (output / "result.json").unlink()
    answer = jobgen("collect", output)
    assert answer.code == 7
    assert "no result.json of a jobgen run is in" in answer.err
    assert "jobgen evaluate OUTPUT" in answer.err


def test_a_result_that_is_not_as_jobgen_writes_it(
    jobgen: Callable[..., Answer], output: Path
) -> None:
    change(failure={})(output)
    change(status="failed", failure={"message": "no stage"})(output)
    answer = jobgen("collect", output)
    assert answer.code == 7
    assert "is not as jobgen writes it: KeyError: 'stage'" in answer.err


def test_a_zip_of_something_else_is_not_unpacked(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "ships.zip", Coco().all_files())
    answer = jobgen("collect", path)
    assert answer.code == 7
    assert "no result.json of a jobgen run is in" in answer.err
    assert [entry.name for entry in tmp_path.iterdir() if "ships" in entry.name] == ["ships.zip"]


def test_weights_are_found_in_any_layout(output: Path, tmp_path: Path) -> None:
    found = open_output(output.parents[1], tmp_path / "spare")
    assert found.weights == weights(output)
    assert found.result["name"] == "ships"
    spec, _ = job_of(found, [], None, None)
    assert spec.model.config == "picodet_xs_320_coco_lcnet"
    assert spec.stages == ["evaluate", "infer", "export"]
    assert job_of(found, [], None, "paddle3.0_py3.10")[0].environment == "paddle3.0_py3.10"
    for name in ("PaddleDetection/output/9.pdparams", "PaddleDetection/output/10.pdparams",
                 "a/best_model/model.pdparams"):  # fmt: skip
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({"w": 1}))
    order = [
        path.relative_to(tmp_path / "tree").as_posix() for path in weights_below(tmp_path / "tree")
    ]
    assert order == ["a/best_model/model.pdparams", "PaddleDetection/output/10.pdparams",
                     "PaddleDetection/output/9.pdparams"]  # fmt: skip


def test_weights_of_a_training_by_hand(output: Path, tmp_path: Path) -> None:
    """The model from the folder's name, as PaddleDetection 2.6 writes it; the rest from the set."""
    archive = write_zip(tmp_path / "my set.zip", Coco().all_files())
    folder = tmp_path / "output" / "picodet_l_640_ssdd_lcnet"
    folder.mkdir(parents=True)
    (folder / "best_model.pdparams").write_bytes(pickle.dumps({"w": 1}))
    found = open_output(tmp_path / "output", tmp_path / "spare")
    spec, _ = job_of(found, [archive], None, None)
    assert spec.model.config == "picodet_l_640_coco_lcnet"
    assert (spec.name, spec.dataset.classes) == ("my-set", ["ship", "boat"])
    # A run of an earlier jobgen, whose result does not hold its job.
    result = read(output)
    del result["job"]
    write(output, result)
    older = open_output(output, tmp_path / "spare")
    assert job_of(older, [archive], None, None)[0].model.config == "picodet_xs_320_coco_lcnet"
    with pytest.raises(SpecError, match="which model the weights are of can't be told"):
        model_named(["best_model.pdparams", "output"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"w": 1})[:-2], "are torn"),
        (pickle.dumps(print), "is not opened: it would import builtins.print"),
    ],
)
def test_weights_that_must_not_be_opened(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        open_output(path, tmp_path / "spare")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no weights"):
        open_output(tmp_path, tmp_path / "spare")
    with pytest.raises(RunError, match="is not there"):
        open_output(tmp_path / "none", tmp_path / "spare")


def test_a_smoke_run_is_the_last_to_be_taken(output: Path, tmp_path: Path) -> None:
    smoke = output.with_name("ships-smoke")
    shutil.copytree(output, smoke)
    write(smoke, {**read(smoke), "smoke": True, "started": "2999-01-01T00:00:00Z"})
    assert open_output(output.parents[1], tmp_path / "spare").folder == output
    failed = output.with_name("ships-late")
    shutil.copytree(output, failed)
    write(failed, {**read(failed), "status": "failed", "started": "2999-01-01T00:00:00Z"})
    assert open_output(output.parents[1], tmp_path / "spare").folder == output


def test_another_machine_of_several_promised_nothing(
    jobgen: Callable[..., Answer], output: Path
) -> None:
    shutil.rmtree(output / "weights")
    change(node="another", artefacts=[])(output)
    assert collect(jobgen, output) == (0, [])


@pytest.mark.parametrize("image", ["../x.jpg", "/home/me/photo.jpg"])
def test_an_image_from_elsewhere_is_refused_in_words(
    jobgen: Callable[..., Answer], output: Path, tmp_path: Path, image: str
) -> None:
    archive = write_zip(tmp_path / "ships.zip", Coco().all_files())
    answer = jobgen("infer", output, "--archive", archive, "--image", image)
    assert answer.code == 3
    assert "infer.images.0: give a path inside the data set" in answer.err


@pytest.mark.parametrize("metrics", [[1], {"best_f1": [1]}, {"best_f1": {"threshold": "x"}}])
def test_odd_figures_of_a_result_are_not_used(metrics: Any) -> None:
    assert known_best({"metrics": metrics}) == {}
    assert known_best({"metrics": {"best_f1": {"threshold": 0.4, "f1": 0.5}}})["threshold"] == 0.4
