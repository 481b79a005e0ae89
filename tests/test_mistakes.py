"""What each kind of mistake costs. The figures of the random sets are tidecv 1.0.1's own, which gave
them for the same files; where tidecv is installed, more sets are compared with it itself."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobgen.language import spoken
from jobgen.report.mistakes import KINDS, by_size, find_mistakes, listed, truth_of
from jobgen.report.mistakes_page import Judged, mistakes_page
from jobgen.report.suspects import suspects, write_suspects

# seed: AP@0.5, then class, place, both, duplicate, background, missed.
TIDECV: dict[int, tuple[float, ...]] = {
    0: (0.202050091, 0.08627784, 0.119980324, 0.008773895, 0.009659309, 0.09048561, 0.038044288),
    1: (0.396372532, 0.0, 0.023491329, 0.0, 0.026894795, 0.279238507, 0.108085809),
    2: (0.273213772, 0.0, 0.171512147, 0.0, 0.031004025, 0.089266303, 0.053547703),
    3: (0.369615267, 0.055177896, 0.115365022, 0.0, 0.013902522, 0.107247084, 0.044332632),
    4: (0.426912068, 0.14117585, 0.046644455, 0.006368294, 0.034721564, 0.058129826, 0.05528534),
    5: (0.228173815, 0.045364028, 0.064416913, 0.014716799, 0.016730561, 0.119771489, 0.074250796),
    6: (0.276733067, 0.0, 0.07280562, 0.0, 0.03643162, 0.137059366, 0.086192187),
    7: (0.308714122, 0.018628866, 0.15912656, 0.0, 0.009932941, 0.106238774, 0.075318567),
}  # fmt: skip
NAMES = {"Cls": "class", "Loc": "place", "Both": "both", "Dupe": "duplicate", "Bkg": "background",
         "Miss": "missed"}  # fmt: skip


def some_set(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Images with boxes, a few of them crowds, and finds of every kind."""
    dice = random.Random(seed)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 300, "height": 200}
              for n in range(1, dice.randint(3, 30))]  # fmt: skip
    boxes: list[dict[str, Any]] = []
    finds: list[dict[str, Any]] = []
    classes = dice.randint(1, 4)

    def somewhere() -> list[float]:
        return [
            dice.uniform(0, 220),
            dice.uniform(0, 150),
            dice.uniform(5, 80),
            dice.uniform(5, 60),
        ]

    for image in images:
        for _ in range(dice.randint(0, 6)):
            x, y, w, h = box = somewhere()
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            number = dice.randint(1, classes)
            boxes.append({"id": len(boxes) + 1, "image_id": image["id"], "category_id": number,
                          "bbox": box, "area": w * h, "iscrowd": int(dice.random() < 0.05),
                          "segmentation": [corners]})  # fmt: skip
            for _ in range(dice.randint(0, 4)):
                off = dice.choice([0.02, 0.1, 0.3, 0.6])
                moved = [x + dice.uniform(-off, off) * w, y + dice.uniform(-off, off) * h,
                         w * (1 + dice.uniform(-off, off)), h * (1 + dice.uniform(-off, off))]  # fmt: skip
                of = number if dice.random() < 0.7 else dice.randint(1, classes)
                score = round(dice.random(), 2 if seed % 2 else 9)  # equal scores, too
                finds.append({"image_id": image["id"], "category_id": of, "bbox": moved,
                              "score": score})  # fmt: skip
        for _ in range(dice.randint(0, 5)):
            finds.append({"image_id": image["id"], "category_id": dice.randint(1, classes),
                          "bbox": somewhere(), "score": dice.random()})  # fmt: skip
    categories = [{"id": n, "name": str(n)} for n in range(1, classes + 1)]
    return {"images": images, "annotations": boxes, "categories": categories}, finds


@pytest.mark.parametrize("seed", sorted(TIDECV))
def test_the_costs_are_tidecvs(seed: int) -> None:
    found = find_mistakes(*some_set(seed))
    assert [found.ap, *found.costs.values()] == pytest.approx(TIDECV[seed], abs=1e-8)


def test_more_sets_beside_tidecv(tmp_path: Path) -> None:
    tidecv = pytest.importorskip("tidecv", reason="tidecv is not installed")
    for seed in range(100, 140):
        truth, finds = some_set(seed)
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        (tmp_path / "finds.json").write_text(json.dumps(finds))
        tide = tidecv.TIDE()
        there = tidecv.datasets.COCO(str(tmp_path / "truth.json"), name="truth")
        said = tidecv.datasets.COCOResult(str(tmp_path / "finds.json"))
        run = tide.evaluate(there, said, mode="bbox")
        (theirs,) = tide.get_main_errors().values()
        found = find_mistakes(truth, finds)
        assert found.ap == pytest.approx(run.ap / 100, abs=1e-9)
        for name, kind in NAMES.items():
            assert found.costs[kind] == pytest.approx(theirs[name] / 100, abs=1e-9)


def scene(*finds: tuple[int, list[float], float]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One image with a box of class 1 and one of class 2."""
    boxes = [{"id": n, "image_id": 1, "category_id": n, "bbox": [100.0 * n, 10, 50, 50], "iscrowd": 0}
             for n in (1, 2)]  # fmt: skip
    truth = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": boxes}
    return truth, [{"image_id": 1, "category_id": c, "bbox": b, "score": s} for c, b, s in finds]


@pytest.mark.parametrize(
    ("find", "kind"),
    [
        ((1, [125, 10, 50, 50], 0.9), "place"),
        ((2, [100, 10, 50, 50], 0.9), "class"),
        ((2, [125, 10, 50, 50], 0.9), "both"),
        ((1, [300, 150, 50, 50], 0.9), "background"),
    ],
)
def test_each_kind_is_told_by_itself(find: tuple[int, list[float], float], kind: str) -> None:
    found = find_mistakes(*scene(find))
    assert [mistake.kind for mistake in found.found if mistake.find >= 0] == [kind]


def test_a_second_find_of_a_box_is_one_too_many() -> None:
    found = find_mistakes(*scene((1, [100, 10, 50, 50], 0.9), (1, [101, 10, 50, 50], 0.8)))
    assert [mistake.kind for mistake in found.found] == ["duplicate", "missed"]
    assert found.ap == pytest.approx(0.5)
    assert found.costs["missed"] == pytest.approx(0.5)  # class 2 has no box then, and no AP


def test_a_perfect_detector_makes_none() -> None:
    found = find_mistakes(*scene((1, [100, 10, 50, 50], 0.9), (2, [200, 10, 50, 50], 0.8)))
    assert found.found == []
    assert found.ap == pytest.approx(1.0)
    assert set(found.costs) == set(KINDS)
    assert max(found.costs.values()) == 0


def test_no_finds_at_all() -> None:
    found = find_mistakes(*scene())
    assert [mistake.kind for mistake in found.found] == ["missed", "missed"]
    assert found.ap == 0


def test_the_record_names_image_find_and_box() -> None:
    truth, finds = scene((1, [125, 10, 50, 50], 0.9))
    record = listed(find_mistakes(truth, finds), truth, finds)
    first = record["mistakes"][0]
    assert (first["kind"], first["image"], first["score"]) == ("place", "a.jpg", 0.9)
    assert first["truth"]["bbox"] == [100.0, 10, 50, 50]
    assert json.loads(json.dumps(record)) == record


def test_only_a_coco_file_is_a_truth(tmp_path: Path) -> None:
    assert truth_of({}) is None
    place = {"dataset_dir": str(tmp_path), "anno_path": "val.json"}
    assert truth_of({"run_config": {"EvalDataset": place}}) is None
    (tmp_path / "val.json").write_text("{}")
    assert truth_of({"run_config": {"EvalDataset": place}}) == tmp_path / "val.json"


def seen(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Forty images with two boxes each, and a good detector's finds: nearly all, some faint ones
    on background."""
    dice = random.Random(seed)
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(40)]
    boxes: list[dict[str, Any]] = []
    finds: list[dict[str, Any]] = []
    for image in images:
        for part in range(2):
            bbox = [
                20.0 + 150 * part,
                dice.uniform(10, 80),
                dice.uniform(30, 60),
                dice.uniform(30, 60),
            ]
            number = dice.randint(1, 2)
            boxes.append({"id": len(boxes), "image_id": image["id"], "category_id": number,
                          "bbox": bbox, "iscrowd": 0})  # fmt: skip
            near = [side + dice.uniform(-2, 2) for side in bbox]
            finds.append({"image_id": image["id"], "category_id": number, "bbox": near,
                          "score": dice.uniform(0.6, 0.95)})  # fmt: skip
        finds.append({"image_id": image["id"], "category_id": 1, "score": dice.uniform(0.02, 0.2),
                      "bbox": [dice.uniform(100, 120), 150, 20, 20]})  # fmt: skip
    return {"images": images, "annotations": boxes}, finds


@pytest.mark.parametrize("seed", range(10))
def test_a_label_that_was_removed_moved_or_renamed_is_in_doubt(seed: int) -> None:
    truth, finds = seen(seed)
    assert suspects(find_mistakes(truth, finds), truth, finds)[0]["doubt"] < 0.3
    dice = random.Random(seed)
    gone, moved, renamed = dice.sample(range(len(truth["annotations"])), 3)
    boxes = truth["annotations"]
    boxes[moved] = {**boxes[moved], "bbox": [*[side + 70 for side in boxes[moved]["bbox"][:2]],
                                             *boxes[moved]["bbox"][2:]]}  # fmt: skip
    boxes[renamed] = {**boxes[renamed], "category_id": 3 - boxes[renamed]["category_id"]}
    wanted = {f"{boxes[n]['image_id']}.jpg" for n in (gone, moved, renamed)}
    del boxes[gone]
    first = suspects(find_mistakes(truth, finds), truth, finds)[:6]
    assert wanted <= {row["image"] for row in first}
    reasons = {row["reason"] for row in first}
    assert {"no label", "label of another class"} <= reasons


@pytest.mark.parametrize("seed", range(8))
def test_the_costs_of_the_classes_make_those_of_all(seed: int) -> None:
    found = find_mistakes(*some_set(seed))
    for kind, cost in found.costs.items():
        own = [costs[kind] for costs in found.by_class.values()]
        assert max(0.0, sum(own) / len(own)) == pytest.approx(cost, abs=1e-9)


def test_mistakes_are_counted_by_the_size_of_the_box() -> None:
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": box} for box in
                        ([0, 0, 31, 31], [100, 0, 60, 60], [300, 0, 100, 100])],
    }  # fmt: skip
    finds = [{"image_id": 1, "category_id": 1, "bbox": [0, 200, 40, 40], "score": 0.9},
             {"image_id": 1, "category_id": 1, "bbox": [200, 200, 10, 10], "score": 0.1}]  # fmt: skip
    counts = by_size(find_mistakes(truth, finds), truth, finds, 0.5)
    assert counts["missed"] == [1, 1, 1]
    assert counts["background"] == [0, 1, 0]


def a_judged_set(folder: Path) -> Judged:
    """Two images: a ship that is found, one without a label, and a label that nothing finds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (320, 200), (40, 60, 80)).save(folder / name)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 320, "height": 200} for n in (1, 2)]
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 30]},
             {"image_id": 1, "category_id": 1, "bbox": [150, 90, 40, 30]},
             {"image_id": 2, "category_id": 1, "bbox": [60, 20, 50, 40]}]  # fmt: skip
    truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "<ship>"}]}
    finds = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 30], "score": 0.9},
             {"image_id": 2, "category_id": 1, "bbox": [60, 20, 50, 40], "score": 0.8},
             {"image_id": 2, "category_id": 1, "bbox": [200, 100, 50, 40], "score": 0.95}]  # fmt: skip
    mistakes = find_mistakes(truth, finds)
    doubtful = suspects(mistakes, truth, finds)
    return Judged("ships", truth, finds, mistakes, doubtful, 0.5, folder)


def test_suspects_open_in_labelme_beside_all_other_labels(tmp_path: Path) -> None:
    judged = a_judged_set(tmp_path / "images")
    assert [(row["reason"], row["label"]) for row in judged.suspects] == [
        ("no label", -1), ("label that nothing finds", 1)
    ]  # fmt: skip
    assert write_suspects(judged, tmp_path / "suspects")
    shown = {path.name for path in (tmp_path / "suspects").iterdir()}
    assert shown == {"1.jpg", "1.json", "2.jpg", "2.json"}
    labels = {}
    for number in (1, 2):
        page = json.loads((tmp_path / "suspects" / f"{number}.json").read_text(encoding="utf-8"))
        assert page["imagePath"] == f"{number}.jpg"
        assert (page["imageWidth"], page["imageHeight"]) == (320, 200)
        labels[number] = sorted(shape["label"] for shape in page["shapes"])
    assert labels == {1: ["<ship>", "<ship> ?"], 2: ["<ship>", "<ship> ?"]}
    assert not write_suspects(replace(judged, suspects=[]), tmp_path / "suspects")
    assert not (tmp_path / "suspects").exists()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_of_mistakes_shows_each_kind(tmp_path: Path, language: str) -> None:
    judged = a_judged_set(tmp_path / "images")
    with spoken(language):
        page = mistakes_page(judged)
    assert "<ship>" not in page
    assert page.count("data:image/jpeg") == 4  # one on background, one missed, two suspects
    assert page.count('class="k0 truth"') == 2
    assert ("背景" in page) == (language == "zh")
    assert "<script" not in page
    (tmp_path / "images" / "1.jpg").write_bytes(b"no picture")
    assert mistakes_page(judged).count("data:image/jpeg") == 2
