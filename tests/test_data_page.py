"""The page of a data set: its plots, its findings, its pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jobgen.pages.plots import CELLS, coverage, histogram
from jobgen_runtime.record.charts import HEIGHT, INSET
from tests.conftest import Answer
from tests.sets import Coco, write_zip


def test_the_page_shows_everything_and_runs_nothing(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][0]["name"] = "<script>alert(1)</script>船"
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("dataset", "inspect", path, "--html", tmp_path / "out" / "ships.html")
    assert answer.code == 0, answer.err
    text = (tmp_path / "out" / "ships.html").read_text(encoding="utf-8")
    assert text.count("<script") == 1  # its own, which the policy names by its hash
    assert "&lt;script&gt;alert(1)&lt;/script&gt;船" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,)', text)
    # Each histogram is drawn to the full height of its tallest bar, for both splits.
    plots = re.findall(r"<figure><figcaption>.*?</figure>", text, re.DOTALL)
    assert len(plots) == 7
    for plot in plots[:1] + plots[3:]:
        heights = [float(h) for h in re.findall(r'<rect [^>]*height="([0-9.]+)"', plot)]
        assert max(heights) == HEIGHT - INSET[1] - INSET[3]


def test_the_page_of_a_set_has_its_faults_and_its_repairs(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    made.train["annotations"][0]["bbox"] = [24, 6, -10, 9]
    made.val["categories"][0]["name"] = made.train["categories"][0]["name"] = "<b>ship"
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    page = tmp_path / "page.html"
    assert jobgen("dataset", "inspect", path, "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<b>ship" not in text
    assert "&lt;b&gt;ship" in text
    assert text.count('data-finding="DS040"') == 1
    assert '<option value="DS040">DS040 ' in text
    assert text.count("before the repair") == text.count("after it") == 1
    # Of the four classes and splits, each has its pictures; every box is drawn over its picture.
    assert {*re.findall(r'data-split="(\w+)"', text)} == {"train", "eval"}
    assert text.count("<rect class=") >= 8
    assert 'class="k0 off"' in text
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text).replace("http-equiv", "")


def test_where_boxes_lie_is_counted_cell_by_cell() -> None:
    rng = np.random.default_rng(3)
    first = rng.random((50, 2)) * 0.9
    boxes = np.concatenate([first, np.minimum(1.0, first + 0.01 + rng.random((50, 2)) * 0.4)], 1)
    counts = np.zeros((CELLS, CELLS), int)
    for left, top, right, bottom in boxes * CELLS:
        for row in range(int(top), min(CELLS, int(np.ceil(bottom)))):
            for column in range(int(left), min(CELLS, int(np.ceil(right)))):
                counts[row, column] += 1
    assert (coverage(boxes) == counts).all()
    assert coverage(np.array([[1.0, 1.0, 1.0, 1.0], [-3.0, 0.0, 9.0, 1.0]])).max() == 2


@given(st.dictionaries(st.sampled_from("ab"), st.lists(st.floats(), max_size=40)))
def test_no_value_breaks_a_plot(series: dict[str, list[float]]) -> None:
    text = histogram("t", "px", series, [(8.0, "mark")])
    assert "nan" not in text
    assert "inf" not in text
