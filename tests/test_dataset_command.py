from __future__ import annotations

import io
import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobgen.datasets.look import look
from jobgen.datasets.preview import Fonts, Wanted, choose_images, open_picture
from jobgen.datasets.record import DataSet
from jobgen.datasets.ships import make_ships
from tests.conftest import Answer, real_data
from tests.sets import Coco, Plain, picture, voc, write_zip, yolo

Files = dict[str, bytes]


def boxes_of(data: DataSet) -> list[tuple[str, str, list[float]]]:
    """Every box as (image, class, place and size to a thousandth of a pixel)."""
    return sorted(
        (
            split.image_names[split.image_of[row]].rpartition("/")[2],
            split.label(row),
            [round(float(v), 3) + 0.0 for v in split.boxes[row]],
        )
        for split in data
        for row in range(len(split))
    )


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
    assert f"then: jobgen init NAME --archive {path}" in answer.err


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
    assert answer.err.startswith("error: x.zip: archive that can't be read (DS004): it is no zip")


ROUND = [("coco", "voc"), ("coco", "yolo"), ("voc", "coco"), ("voc", "yolo"), ("yolo", "coco")]


@pytest.mark.parametrize(("first", "second"), ROUND)
def test_there_and_back_the_boxes_are_the_same(
    jobgen: Callable[..., Answer], tmp_path: Path, first: str, second: str
) -> None:
    made: dict[str, Coco | Plain] = {"coco": Coco(), "voc": voc(), "yolo": yolo()}
    files = made[first].all_files()
    paths = [write_zip(tmp_path / "0.zip", files), tmp_path / "1.zip", tmp_path / "2.zip"]
    for source, target, to in ((0, 1, second), (1, 2, first)):
        answer = jobgen("dataset", "convert", paths[source], paths[target], "--to", to, "--json")
        assert answer.code == 0, answer.err
        assert answer.json["before"] == answer.json["after"]
    sets = [look(path) for path in paths]
    assert boxes_of(sets[0]) == boxes_of(sets[1]) == boxes_of(sets[2])
    assert sorted(sets[0].classes) == sorted(sets[2].classes)
    assert list(sets[0].splits) == list(sets[2].splits)
    for data in sets:
        for split in data:
            assert all(path in data.contents.sizes for path in split.paths)


def test_the_same_set_gives_the_same_bytes(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    files = voc().all_files()
    (tmp_path / "other").mkdir()
    sources = [
        write_zip(tmp_path / "cells.zip", files),
        write_zip(tmp_path / "other" / "cells.zip", dict(reversed(list(files.items())))),
    ]
    made = [tmp_path / "0.zip", tmp_path / "1.zip"]
    for source, target in zip(sources, made, strict=True):
        assert jobgen("dataset", "convert", source, target, "--to", "coco").code == 0
    assert made[0].read_bytes() == made[1].read_bytes()


def test_the_real_set_there_and_back(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    source = real_data("bccd.zip")
    assert jobgen("dataset", "convert", source, tmp_path / "c.zip", "--to", "coco").code == 0
    assert jobgen("dataset", "convert", tmp_path / "c.zip", tmp_path / "v.zip", "--to", "voc").code == 0  # fmt: skip
    before, coco, after = look(source), look(tmp_path / "c.zip"), look(tmp_path / "v.zip")
    assert boxes_of(before) == boxes_of(coco) == boxes_of(after)
    assert len(boxes_of(after)) == 4888
    assert before.classes == coco.classes == after.classes == ["Platelets", "RBC", "WBC"]


def test_a_converted_set_is_the_one_the_data_stage_makes(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """The same counts, class order and SHA-256, whether the job gets VOC or COCO made of it."""
    source = write_zip(tmp_path / "cells.zip", voc().all_files())
    assert jobgen("dataset", "convert", source, tmp_path / "c.zip", "--to", "coco").code == 0
    texts = []
    for number, path in enumerate((source, tmp_path / "c.zip")):
        folder = tmp_path / str(number)
        assert jobgen("init", "cells", "--archive", path, "--folder", folder).code == 0
        text = (folder / "job.yaml").read_text(encoding="utf-8")
        texts.append(text[text.index("  classes:") : text.index("model:")])
    assert texts[0] == texts[1]


def test_names_that_voc_can_not_have_are_changed(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    for number, name in ((1, "a/1 x.jpg"), (2, "b/1 x.jpg")):
        made.train["images"][number - 1]["file_name"] = name
        made.files[f"images/{name}"] = made.files.pop(f"images/{number:04d}.jpg")
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("dataset", "convert", path, tmp_path / "v.zip", "--to", "voc")
    assert "2 images renamed" in answer.out
    names = look(tmp_path / "v.zip").splits["train"].image_names
    assert names[:2] == ["1_x.jpg", "b_1_x.jpg"]


@pytest.mark.parametrize(
    ("target", "arguments", "code", "message"),
    [
        ("new.tar", [], 4, "is not named .zip"),
        ("there.zip", [], 4, "is there already"),
        ("new.zip", ["--fix", "DS053"], 2, "--fix DS053: no safe repair"),
        ("new.zip", [], 4, "missing image (DS050): 1"),
    ],
)
def test_what_is_not_converted(
    jobgen: Callable[..., Answer], tmp_path: Path, target: str, arguments: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    made = Coco()
    del made.files["images/0005.jpg"]
    path = write_zip(tmp_path / "there.zip", made.all_files())
    answer = jobgen("dataset", "convert", path, tmp_path / target, "--to", "voc", *arguments)
    assert answer.code == code
    assert message in answer.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there.zip"]


def test_what_coco_items_hold_besides_stays(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco()
    made.train["annotations"][3]["segmentation"] = [[1, 2, 3, 4, 5, 6]]
    made.train["annotations"][0]["bbox"] = [24, 6, 0, 9]
    made.train["categories"][0]["supercategory"] = "vessel"
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("dataset", "convert", path, tmp_path / "new.zip", "--fix", "all")
    assert answer.code == 0, answer.err
    assert "DS040  train.json: 1 boxes without area left out" in answer.out
    with zipfile.ZipFile(tmp_path / "new.zip") as archive:
        record = json.loads(archive.read("ships/train.json"))
    assert record["annotations"] == made.train["annotations"][1:]
    assert record["categories"] == made.train["categories"]
    assert record["images"] == made.train["images"]


def test_the_sheet_draws_the_faulty_first(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco()
    made.train["annotations"][5]["bbox"] = [24, 6, 0, 9]
    made.files["images/0004.jpg"] = b"no picture"
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("dataset", "preview", path, "-o", tmp_path / "sheet.png", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["images"] == 6
    assert answer.json["faulty"] == 2
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 328 + 8, 2 * (240 + 48) + 8)  # tiles of the pictures' shape
        pixels = np.asarray(sheet)
    # The box of the second tile, at the place that its numbers say: 24 px of 64, so 5 times.
    first = pixels[8 : 8 + 240, 8 : 8 + 320]
    assert (first == (229, 62, 62)).all(axis=2).any()
    order = choose_images(look(path), {"ships/images/0003.jpg": ["DS040"]}, Wanted(3))
    assert [split.image_names[row] for split, row in order] == ["0003.jpg", "0001.jpg", "0004.jpg"]


def test_a_label_that_no_font_writes_is_a_number(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    fonts = Fonts()
    assert fonts.can_write("ship 1")
    assert not fonts.can_write("\U0010fffd")
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][1]["name"] = "\U0010fffd"
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("dataset", "preview", path, "-o", tmp_path / "sheet.png")
    assert "  1 = \\U0010fffd" in answer.out
    assert "--font FILE" in answer.err
    refused = jobgen("dataset", "preview", path, "-o", tmp_path / "b.png", "--font", path)
    assert refused.code == 4


def test_pictures_are_shown_as_opencv_decodes_them() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_picture(picture(1, exif=exif)).size == (48, 64)
    deep = Image.new("I;16", (2, 1))
    deep.putdata([1000, 1001])
    buffer = io.BytesIO()
    deep.save(buffer, "PNG")
    stretched = open_picture(buffer.getvalue())
    assert stretched.getpixel((0, 0)) == (0, 0, 0)
    assert stretched.getpixel((1, 0)) == (255, 255, 255)


def converted(jobgen: Callable[..., Answer], folder: Path, files: Files, codes: str) -> Answer:
    path = write_zip(folder / "set.zip", files)
    return jobgen("dataset", "convert", path, folder / "new.zip", "--fix", codes)


def test_a_box_that_can_not_be_read_is_never_dropped(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = voc()
    made.change("Annotations/0001.xml", "<xmin>4</xmin>", "<xmin>four</xmin>")
    made.change("Annotations/0002.xml", "<name>ship</name>", "<name></name>")
    answer = converted(jobgen, tmp_path, made.all_files(), "all")
    assert answer.code == 4
    assert "value of the wrong type (DS011): 1; missing value (DS012): 1" in answer.err
    assert not (tmp_path / "new.zip").exists()


def test_a_turned_image_keeps_its_warning(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """The size that EXIF hides is not made the stated one: the boxes were drawn on the other."""
    exif = Image.Exif()
    exif[0x0112] = 6
    made = Coco()
    made.files["images/0001.jpg"] = picture(1, exif=exif)
    assert converted(jobgen, tmp_path, made.all_files(), "all").code == 0
    found = jobgen("check", tmp_path / "new.zip", "--json").json["findings"]
    assert [finding["code"] for finding in found] == ["DS058"]


def test_two_classes_of_one_name_are_not_joined(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][1]["name"] = "ship"
    assert converted(jobgen, tmp_path, made.all_files(), "all").code == 0
    found = jobgen("check", tmp_path / "new.zip", "--json").json["findings"]
    assert {finding["code"] for finding in found} == {"DS034"}


def test_names_of_another_machine_are_repaired(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    made.train["images"][0]["file_name"] = "images\\0001.jpg"
    made.train["images"][1]["file_name"] = "D:\\data\\images\\0002.jpg"
    made.train["images"][2]["file_name"] = "0003.JPG"
    path = write_zip(tmp_path / "set.zip", made.all_files())
    answer = jobgen("check", path)
    assert "image whose name is written otherwise: 3" in answer.out
    assert "(backslashes)" in answer.out
    assert "(letter case)" in answer.out
    fixed = jobgen("dataset", "convert", path, tmp_path / "new.zip", "--fix", "DS054")
    assert fixed.code == 0, fixed.err
    assert jobgen("check", tmp_path / "new.zip").out.startswith("nothing found")


def test_the_edge_is_cut_where_the_rule_finds_it(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    made.train["annotations"][0].update(bbox=[-0.5, 5, 16, 20])
    made.train["annotations"][2].update(bbox=[-4, 5, 16, 20])
    answer = converted(jobgen, tmp_path, made.all_files(), "DS042")
    assert "DS042  train.json: 1 boxes cut at the image's edge" in answer.out
    boxes = look(tmp_path / "new.zip").splits["train"].boxes.tolist()
    assert boxes[0] == [-0.5, 5, 16, 20]
    assert boxes[2] == [0, 5, 12, 20]


@pytest.mark.parametrize("command", [["inspect", "--html"], ["preview", "-o"]])
def test_the_set_itself_is_never_replaced(
    jobgen: Callable[..., Answer], tmp_path: Path, command: list[str]
) -> None:
    path = write_zip(tmp_path / "set.zip", Coco().all_files())
    before = path.read_bytes()
    answer = jobgen("dataset", command[0], path, command[1], path)
    assert answer.code == 4
    assert path.read_bytes() == before


def test_nothing_left_is_an_error(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco(files={})
    answer = converted(jobgen, tmp_path, made.all_files(), "DS050")
    assert answer.code == 4
    assert "nothing would be left of train.json" in answer.err


def test_hints_can_be_pasted(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    folder = tmp_path / "数据 (1)"
    folder.mkdir()
    made = Coco()
    del made.train["annotations"][0]["area"]
    path = write_zip(folder / "my set.zip", made.all_files())
    answer = jobgen("check", path)
    assert f"Fix: jobgen dataset convert '{path}' DST.zip --fix DS014" in answer.out
    (line,) = [line for line in answer.out.splitlines() if "Fix:" in line]
    words = shlex.split(
        line.partition("Fix: jobgen ")[2].replace("DST.zip", str(tmp_path / "d.zip"))
    )
    assert jobgen(*words).code == 0
    assert jobgen("check", tmp_path / "d.zip").out.startswith("nothing found")


def sheet_of(jobgen: Callable[..., Answer], path: Path, *more: str) -> Answer:
    return jobgen("dataset", "preview", path, "-o", path.with_suffix(".png"), "--json", *more)


def test_a_sheet_of_some_images(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco()
    made.train["annotations"][0]["bbox"] = [24, 6, 0, 9]
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    data = look(path)
    boats = {name for split in data for name in split.image_names
             if "boat" in [split.label(int(n)) for n in range(len(split))]}  # fmt: skip
    assert sheet_of(jobgen, path, "--split", "eval").json["images"] == data.splits["eval"].images
    assert sheet_of(jobgen, path, "--finding", "ds04").json == {
        "version": 1, "output": str(path.with_suffix(".png")), "images": 1, "faulty": 1,
        "numbered": {},
    }  # fmt: skip
    assert 0 < sheet_of(jobgen, path, "--class", "boat").json["images"] <= len(boats)
    with_labels = path.with_suffix(".png").read_bytes()
    assert sheet_of(jobgen, path, "--class", "boat", "--no-labels").code == 0
    assert path.with_suffix(".png").read_bytes() != with_labels
    wrong = sheet_of(jobgen, path, "--class", "boot")
    assert (wrong.code, "has no class 'boot'" in wrong.err) == (4, True)
    none = sheet_of(jobgen, path, "--finding", "DS050")
    assert (none.code, "no such image to draw" in none.err) == (4, True)


def test_a_small_box_is_shown_enlarged_and_not_hidden(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """Its frame is drawn twice: at its place, where no label covers it, and in a corner."""
    made = Coco()
    for box in made.train["annotations"]:
        box.update(bbox=[30, 22, 3, 2], category_id=1)
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    assert sheet_of(jobgen, path, "--split", "train", "--count", "1").code == 0
    with Image.open(path.with_suffix(".png")) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))[8:248, 8:328]
    green = (pixels == (56, 161, 105)).all(axis=2)
    at_its_place = green[22 * 5 - 1 : 24 * 5 + 2, 30 * 5 - 1 : 33 * 5 + 2]
    assert at_its_place.sum() > 30
    assert green[:112, -112:].sum() > 100
    white = (pixels == (255, 255, 255)).all(axis=2)
    assert white[0, -112:].all()
