from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobgen.datasets.ships import make_ships
from tests.conftest import Answer


def test_inspect_shows_figures_and_what_they_mean(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = tmp_path / "ships.zip"
    counts = make_ships(path, 6, 3)
    answer = jobgen("dataset", "inspect", path)
    assert answer.code == 0, answer.err
    lines = {line.split("  ")[0].strip(): line for line in answer.out.splitlines()}
    assert lines["images"].split()[1:] == ["6", "3"]
    boxes = [str(counts["train"]["boxes"]), str(counts["val"]["boxes"])]
    assert lines["boxes"].split()[1:] == boxes
    assert lines["class ship"].split()[2:] == boxes
    assert "Suggested model: picodet_s_320_coco_lcnet" in answer.out
    assert (
        answer.err == f"Next: jobgen init NAME --archive {path} --model picodet_s_320_coco_lcnet\n"
    )


def test_inspect_answers_programs(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "ships.zip"
    make_ships(path, 6, 3)
    found = jobgen("dataset", "inspect", path, "--json").json
    assert (found["format"], found["root"], found["classes"]) == ("coco", "ships", ["ship"])
    assert found["splits"]["train"]["images"] == 6
    assert found["suggestion"]["model"] == "picodet_s_320_coco_lcnet"


def test_inspect_of_what_is_no_data_set(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK nothing")
    answer = jobgen("dataset", "inspect", path)
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err.startswith("error: x.zip: it is no zip or tar file")
