"""Forms of a model: how alike they find, and what is written beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jobgen.cli import main
from jobgen.deploy.forms import forms
from jobgen.deploy.make import Judged
from jobgen.deploy.pages import model_card, preprocess_lines
from jobgen.deploy.serving import find_service
from jobgen.deploy.source import Source
from jobgen.errors import RunError
from jobgen.files import sha256
from jobgen_runtime.after.likeness import likeness

SHIP, PLANE = 0.0, 1.0
FIRST = [SHIP, 0.9, 10.0, 10.0, 50.0, 40.0]
SECOND = [SHIP, 0.6, 100.0, 100.0, 140.0, 130.0]


def moved(row: list[float], by: float, score: float | None = None) -> list[float]:
    return [row[0], row[1] if score is None else score, *(value + by for value in row[2:])]


def test_the_same_boxes_are_alike() -> None:
    found = likeness([[FIRST, SECOND]], [[SECOND, FIRST]])
    assert found.as_dict() == {"boxes": 2, "lost": 0, "gained": 0, "largest_px": 0, "mean_px": 0,
                               "largest_score": 0, "mean_score": 0}  # fmt: skip


def test_distances_are_of_edges() -> None:
    found = likeness([[FIRST, SECOND]], [[moved(FIRST, 1.0), moved(SECOND, 3.0)]])
    assert (found.largest_px, found.mean_px) == (3.0, 2.0)


def test_a_box_that_is_not_there_is_lost_and_one_of_another_class_gained() -> None:
    found = likeness([[FIRST, SECOND]], [[[PLANE, *FIRST[1:]], SECOND]])
    assert (found.boxes, found.lost, found.gained) == (2, 1, 1)


def test_a_score_that_falls_below_the_bound_loses_no_box() -> None:
    found = likeness([[moved(FIRST, 0, 0.31)]], [[moved(FIRST, 0, 0.29)]])
    assert (found.boxes, found.lost, found.gained) == (1, 0, 0)


def test_two_boxes_do_not_share_a_fellow() -> None:
    found = likeness([[FIRST, moved(FIRST, 0.5, 0.8)]], [[FIRST]])
    assert (found.lost, found.gained) == (1, 0)


def test_as_many_pictures_on_both_sides() -> None:
    with pytest.raises(ValueError, match="0 pictures beside 1"):
        likeness([[FIRST]], [])


def test_every_form_says_what_it_is() -> None:
    found = forms()
    assert {"onnx-int8", "mnn", "server"} <= set(found)
    for name, form in found.items():
        assert form.name == name
        assert form.words
        assert form.path.is_file()


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ["224 x 160 px", "INTER_CUBIC", "[0.4, 0.5, 0.6]"]), ("zh", ["224 x 160 像素"])],
)
def test_the_steps_before_a_model_are_in_words(language: str, words: list[str]) -> None:
    steps: list[dict[str, Any]] = [
        {"type": "Resize", "target_size": [160, 224], "interp": 2, "keep_ratio": False},
        {"type": "NormalizeImage", "is_scale": True, "mean": [0.4, 0.5, 0.6], "std": [1, 1, 1]},
        {"type": "Permute"},
        {"type": "Pad", "size": [224, 224]},
    ]
    text = "\n".join(preprocess_lines(steps, language))
    assert all(word in text for word in words)
    # What has no sentence of its own names where it is done.
    assert "Pad" in text.splitlines()[-1]


def test_an_unknown_form_is_refused_with_those_there_are(tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        main, ["export", str(tmp_path), "--archive", str(tmp_path), "--to", "tensorrt"]
    )
    assert answer.exit_code == 2
    assert (
        "tensorrt is no form; there are lite, mnn, ncnn, onnx-int8, paddle-int8, page, server"
        in answer.output
    )


def service_in(place: Path, model: bytes = b"a model") -> Path:
    place.mkdir(parents=True)
    for name, data in (("model.onnx", model), ("infer_cfg.yml", b"{}"), ("nms.json", b"{}")):
        (place / name).write_bytes(data)
    record = {"sha256": {"model.onnx": sha256(b"a model")}}
    record["sha256"].update({name: sha256(b"{}") for name in ("infer_cfg.yml", "nms.json")})
    (place / "form.json").write_text(json.dumps(record), encoding="utf-8")
    return place


def test_a_service_is_found_below(tmp_path: Path) -> None:
    place = service_in(tmp_path / "model" / "forms" / "server")
    assert find_service(tmp_path / "model", tmp_path / "spare") == place


def test_another_model_than_the_proven_one_is_not_served(tmp_path: Path) -> None:
    service_in(tmp_path / "server", b"somebody's")
    answer = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert answer.exit_code == 7
    assert "model.onnx is not what form.json was written for" in answer.output


def test_a_folder_without_a_service_says_how_to_make_one(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert answer.exit_code == 7
    assert "jobgen export OUTPUT --archive DATA --to server" in answer.output


def run_output(place: Path, *, proven: bool = True) -> Path:
    """What a run leaves that exported to ONNX, with its own suppression."""
    (place / "inference").mkdir(parents=True)
    files = {"model.onnx": b"a model", "infer_cfg.yml": b"label_list: [ship]"}
    for name, data in files.items():
        (place / "inference" / name).write_bytes(data)
    listed = [{"path": f"inference/{name}", "sha256": sha256(data)} for name, data in files.items()]
    result = {
        "schema": 1,
        "stages": {},
        "status": "ok",
        "artefacts": listed,
        "metrics": {"parity": {"onnx": {"largest_px": 0.0}} if proven else {}},
    }
    (place / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return place


@pytest.mark.parametrize("zipped", [False, True])
def test_a_run_that_exported_to_onnx_is_served(tmp_path: Path, zipped: bool) -> None:
    output = run_output(tmp_path / "output" / "ships")
    given = tmp_path / "output"
    if zipped:
        given = Path(shutil.make_archive(str(tmp_path / "output"), "zip", output.parent))
    place = find_service(given, tmp_path / "spare")
    assert (place / "model.onnx").read_bytes() == b"a model"
    assert json.loads((place / "nms.json").read_bytes())["score_threshold"] == 0
    if not zipped:
        (output / "inference" / "model.onnx").write_bytes(b"another")
        with pytest.raises(RunError, match=r"model.onnx is not what result.json was written for"):
            find_service(given, tmp_path / "other")


@pytest.mark.parametrize(
    "changed",
    [{"metrics": 5}, {"metrics": {"parity": []}}, {"artefacts": [1]}, {"artefacts": {"a": 1}},
     {"artefacts": 7}],
)  # fmt: skip
def test_a_record_of_another_shape_is_told(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = run_output(tmp_path / "output") / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**result, **changed}), encoding="utf-8")
    with pytest.raises(RunError, match=r"is not as a run|no run that exported"):
        find_service(tmp_path / "output", tmp_path / "spare")


def test_a_run_whose_onnx_was_not_proven_is_not_served(tmp_path: Path) -> None:
    run_output(tmp_path / "output", proven=False)
    with pytest.raises(RunError, match="no run that exported to ONNX") as refused:
        find_service(tmp_path / "output", tmp_path / "spare")
    assert refused.value.hint is not None
    assert "jobgen export OUTPUT --archive DATA --to server" in refused.value.hint


def test_scores_that_are_others_are_seen() -> None:
    found = likeness([[FIRST]], [[moved(FIRST, 0, 0.45)]])
    assert (found.lost, found.largest_px) == (0, 0)
    assert found.largest_score == pytest.approx(0.45)


def test_a_service_beside_another_is_chosen_by_hand(tmp_path: Path) -> None:
    first = service_in(tmp_path / "a")
    service_in(tmp_path / "b")
    # Half made when its export was killed.
    service_in(tmp_path / ".jobgen-x" / "server")
    answer = CliRunner().invoke(main, ["serve", str(tmp_path)])
    assert (answer.exit_code, "2 services" in answer.output) == (7, True)
    assert find_service(first, tmp_path / "spare") == first


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("known", [True, False])
def test_the_card_claims_of_training_what_is_known(language: str, known: bool) -> None:
    result = {
        "job": {"name": "ships", "model": {"config": "picodet_s_320"}},
        "dataset": {"counts": {"train": {"images": 8000, "boxes": 9000},
                               "eval": {"images": 30, "boxes": 85}}, "sha256": {"eval": "1"}},
    }  # fmt: skip
    trained = {
        "source": {"revision": "v2.6.0"},
        "smoke": False,
        "dataset": {"sha256": {"eval": "1"}},
    }
    folder = Path(__file__).parent
    source = Source(
        folder, folder, [], [], [], [1], ["ship"], {}, {}, 640, False,
        {"largest_px": 0.001, "boxes": 9}, result, trained if known else {},
    )  # fmt: skip
    judged = [Judged("mnn", "its mAP is 0.1", {}, None)]
    figures = {"mAP": 0.5, "mAP50": 0.9}
    rows = [{"AP50": 0.9, "boxes": 7}]
    page = model_card(source, judged, figures, rows, 3.2, 2_000_000, language)
    assert ("8000" in page) == known
    assert ("v2.6.0" in page) == known
    assert "its mAP is 0.1" in page
