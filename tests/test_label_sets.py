"""Sets as labelling tools and collections write them: read, checked, converted, made jobs."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobgen.datasets.contents import open_contents
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.formats.gather import around, larger_turned, times_larger
from jobgen.datasets.look import candidates, look
from jobgen.datasets.record import DataSet
from tests.conftest import Answer
from tests.label_sets import (
    LABEL_SETS,
    Files,
    boxes,
    cvat,
    cvat_video,
    dota,
    kitti,
    labelme,
    openimages,
    via_csv,
    visdrone,
    wider,
)
from tests.sets import HEIGHT, WIDTH, picture, write_folder, write_zip, yolo


def boxes_of(data: DataSet) -> dict[str, list[tuple[Any, ...]]]:
    """The boxes of each image, by the number in its name."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for split in data:
        for row in range(split.images):
            number = int(Path(split.image_names[row]).stem.removeprefix("frame_"), 16)
            found[str(number)] = sorted(
                (split.label(box), *(round(v, 2) for v in split.boxes[box].tolist()))
                for box in np.flatnonzero(split.image_of == row).tolist()
            )
    return found


def test_every_format_that_is_only_read_has_a_set() -> None:
    only_read = {name for name, module in FORMATS.items() if not hasattr(module, "write")}
    assert only_read == set(LABEL_SETS)


@pytest.mark.parametrize("kind", LABEL_SETS)
def test_the_boxes_are_those_of_the_labels(kind: str, tmp_path: Path) -> None:
    make, names, split = LABEL_SETS[kind]
    data = look(write_zip(tmp_path / "s.zip", make()))
    assert data.layout.format == kind
    assert set(data.splits) == ({"train", "eval"} if split else {"all"})
    assert data.all_troubles == []
    found = boxes_of(data)
    wanted = {str(n): sorted((names.get(b[0], b[0]), *map(float, b[1:])) for b in boxes(n))
              for n in range(1, 7)}  # fmt: skip
    assert {n: b for n, b in found.items() if b} == {
        n: [(label, *(pytest.approx(v, abs=0.01) for v in sides)) for label, *sides in rows]
        for n, rows in wanted.items()
    }
    folder = look(write_folder(tmp_path / "folder", make()))
    assert boxes_of(folder) == found


@pytest.mark.parametrize("kind", LABEL_SETS)
def test_one_command_makes_a_job_that_passes(
    kind: str, jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, _, split = LABEL_SETS[kind]
    write_folder(tmp_path / "from the tool", make())
    checked = jobgen("check", "from the tool/s", "--json")
    codes = {f["code"] for f in checked.json["findings"] if f["severity"] == "error"}
    assert codes <= (set() if split else {"DS096"})
    made = jobgen("init", "ships", "--archive", "from the tool/s", "--yes")
    assert made.code == 0, made.err
    assert "make COCO of" in made.err
    archive = tmp_path / "from the tool" / "ships.zip"
    job = jobgen("check", "bundles/ships/job.yaml", "--archive", archive, "--json")
    assert job.code == 0, job.out
    assert jobgen("build", "bundles/ships/job.yaml").code == 0


def test_what_a_box_cannot_say_is_counted(tmp_path: Path) -> None:
    losses = {
        kind: look(write_zip(tmp_path / f"{kind}.zip", make())).losses
        for kind, make in (("labelme", labelme), ("cvat", cvat), ("visdrone", visdrone),
                           ("kitti", kitti), ("wider", wider), ("openimages", openimages))
    }  # fmt: skip
    assert losses == {
        "labelme": ["polygons: 6, each becomes the box around it, 1 times as large (median)"],
        "cvat": ["rotated boxes: 6, each becomes an upright box, 1 times as large (median)"],
        "visdrone": ["ignored regions (category 0): 6 left out",
                     "boxes with score 0, which the evaluation ignores: 6 left out"],
        "kitti": ["regions that nobody annotated (DontCare): 1 left out"],
        "wider": ["faces that are marked invalid: 1 left out"],
        "openimages": ["boxes around groups (IsGroupOf): 2 left out",
                       "1 images that train-annotations-bbox.csv lists are not there",
                       "1 images that validation-annotations-bbox.csv lists are not there"],
    }  # fmt: skip


def test_losses_are_told_by_every_command(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", kitti())
    line = "regions that nobody annotated (DontCare): 1 left out"
    for command in (("check", path), ("dataset", "inspect", path),
                    ("dataset", "convert", path, tmp_path / "n.zip")):  # fmt: skip
        assert line in jobgen(*command).out


def test_a_turned_box_says_how_much_larger_the_upright_one_is() -> None:
    angle = math.radians(45)
    side = 50 / math.sqrt(2)
    assert around((0, 0, 40, 10), angle) == pytest.approx((20 - side / 2, 5 - side / 2, side, side))
    assert larger_turned(40, 10, angle) == pytest.approx(side**2 / 400)
    assert math.isnan(larger_turned(0, 10, angle))
    assert times_larger([(0, 0), (4, 0), (0, 4)]) == pytest.approx(2)
    assert math.isnan(times_larger([(1, 1), (2, 2)]))


def test_a_video_of_cvat(tmp_path: Path) -> None:
    """A track's box where it is outside is none, and a frame without a box stays."""
    data = look(write_zip(tmp_path / "s.zip", cvat_video()))
    found = boxes_of(data)
    assert len(found["3"]) == 1
    assert found["6"] == []
    assert [len(found[str(n)]) for n in (1, 2, 4, 5)] == [2, 2, 2, 2]


def test_via_as_csv(tmp_path: Path) -> None:
    data = look(write_zip(tmp_path / "s.zip", via_csv()))
    assert (data.layout.format, data.classes) == ("via", ["boat", "ship"])
    assert len(data.splits["all"]) == 12


def test_an_image_that_its_json_holds_is_taken_from_there(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", labelme())
    assert jobgen("dataset", "convert", path, tmp_path / "n.zip").code == 0
    with zipfile.ZipFile(tmp_path / "n.zip") as made:
        assert made.read("s/images/6.jpg") == picture(6)


def test_no_base64_is_an_image_that_cannot_be_read(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    files = labelme()
    page = json.loads(files["s/6.json"])
    files["s/6.json"] = json.dumps({**page, "imageData": "!"}).encode()
    answer = jobgen("check", write_zip(tmp_path / "s.zip", files))
    assert "DS056" in answer.out


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("img_path;tag;l;t;r;b\n1.jpg;ship;4;5;20;25\n", "image=img_path,label=tag,x1=l,y1=t,x2=r,y2=b"),
        ("image_id,bbox,label\n1,\"[4, 5, 16, 20]\",ship\n", ""),
        ("图片,类别,x,y,w,h\n1.jpg,ship,4,5,16,20\n", ""),
        ("image,label,x_center,y_center,width,height\n1.jpg,ship,12,15,16,20\n", ""),
        ("image,label,xmin,ymin,xmax,ymax\n1.jpg,ship,0.0625,0.104167,0.3125,0.520833\n", ""),
        ("some/where/1.jpg,4,5,20,25,ship\n", ""),
        ("1.jpg,ship,4,5,20,25\n", ""),
        ("TRAIN,gs://bucket/1.jpg,ship,0.0625,0.104167,,,0.3125,0.520833,,\n", ""),
    ],
)  # fmt: skip
def test_columns_are_found_by_name_or_said(
    text: str, columns: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", {"s/b.csv": text.encode(), "s/1.jpg": picture(1)})
    option = ("--columns", columns) if columns else ()
    target = tmp_path / "n.zip"
    made = jobgen("dataset", "convert", path, target, *option)
    assert made.code == 0, made.err
    split = look(target).splits["all"]
    assert split.label(0) == "ship"
    assert split.boxes[0] == pytest.approx([4, 5, 16, 20], abs=0.01)


def test_a_column_that_is_not_there_is_an_error(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", {"s/b.csv": b"a,b,c\n1,2,3\n", "s/1.jpg": picture(1)})
    answer = jobgen("dataset", "inspect", path, "--columns", "image=a,label=z,bbox=c")
    assert answer.code == 4
    assert "b.csv has no column z; it begins with: a,b,c" in answer.err
    half = jobgen("dataset", "inspect", path, "--columns", "image=a,label=b,x1=c")
    assert "image, label, x1 do not suffice for a box" in half.err
    assert jobgen("dataset", "inspect", path, "--columns", "image").code == 2


def test_a_column_of_splits_makes_them(tmp_path: Path) -> None:
    text = "image,label,x1,y1,x2,y2,split\n" + "".join(
        f"{n}.jpg,ship,4,5,20,25,{'train' if n < 5 else 'validation'}\n" for n in range(1, 7)
    )
    files = {"s/b.csv": text.encode(), **{f"s/{n}.jpg": picture(n) for n in range(1, 7)}}
    data = look(write_zip(tmp_path / "s.zip", files))
    assert {name: split.images for name, split in data.splits.items()} == {"train": 4, "eval": 2}


def test_two_label_folders_of_dota_are_two_sets(tmp_path: Path) -> None:
    """Version 1.0 and 1.5 of the labels lie side by side, for the same images."""
    files = dota()
    for name, data in list(files.items()):
        if "/labelTxt/" in name:
            files[name.replace("/labelTxt/", "/labelTxt-v1.5/")] = data
    found = candidates(open_contents(write_zip(tmp_path / "s.zip", files)))
    assert [layout.format for layout in found] == ["dota", "dota"]


def test_a_yolo_set_is_no_other(tmp_path: Path) -> None:
    found = candidates(open_contents(write_zip(tmp_path / "s.zip", yolo().all_files())))
    assert [layout.format for layout in found] == ["yolo"]


BAD: dict[str, tuple[str, bytes, bytes, str]] = {
    "labelme": ("s/1.json", b'"rectangle"', b'"rectangle", "points": "x"', "DS011"),
    "cvat": ("s/annotations.xml", b'xtl="4"', b'xtl="inf"', "DS045"),
    "visdrone": ("s/train/annotations/1.txt", b"1,4,0,0", b"1,44,0,0", "DS081"),
    "dota": ("s/train/labelTxt/1.txt", b"ship 0", b"", "DS081"),
    "kitti": ("s/train/label_2/1.txt", b"-1.5 4", b"-1.5 x", "DS081"),
    "rolabelimg": ("s/1.xml", b"</w>", b"e999</w>", "DS045"),
    "wider": ("s/wider_face_split/wider_face_train_bbx_gt.txt", b"4 5 16 20 0 0 0 0 0 0", b"4 5 6",
              "DS081"),
    "via": ("s/via_project.json", b'"shape_attributes"', b'"shape"', "DS012"),
    "csv": ("s/train/_annotations.csv", b"ship,4,5", b"ship,4,", "DS011"),
    "createml": ("s/train/_annotations.createml.json", b'"label": "ship"', b'"label": null',
                 "DS012"),
    "openimages": ("s/train-annotations-bbox.csv", b"/m/01,1,0.0625", b"/m/01,1,nan", "DS045"),
    "easydl": ("s/1.json", b'"x1": 4', b'"x1": "4px"', "DS045"),
    "coco_pages": ("s/1.json", b'"bbox": [4, 5, 16, 20]', b'"bbox": [4, 5]', "DS011"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABEL_SETS)
def test_one_bad_box_is_told_and_the_others_stay(kind: str, tmp_path: Path) -> None:
    name, old, new, code = BAD[kind]
    files: Files = LABEL_SETS[kind][0]()
    assert old in files[name]
    whole = sum(len(split) for split in look(write_zip(tmp_path / "a.zip", files)))
    files[name] = files[name].replace(old, new, 1)
    data = look(write_zip(tmp_path / "b.zip", files))
    assert {trouble.code for trouble in data.all_troubles} == {code}
    assert all(trouble.lost for trouble in data.all_troubles)
    assert sum(len(split) for split in data) == whole - 1


def test_an_image_is_named_as_it_is_there(tmp_path: Path) -> None:
    """LabelMe's imagePath is of the labeller's machine, and images may have other endings."""
    files = labelme()
    files["s/1.png"] = picture(1, kind="PNG")
    del files["s/1.jpg"]
    split = look(write_zip(tmp_path / "s.zip", files)).splits["all"]
    assert split.image_names[0] == "1.png"
    assert split.size(0) == (WIDTH, HEIGHT)


def test_a_folder_for_each_class_is_one_set(tmp_path: Path) -> None:
    """Files of one name in two folders are of two images, each beside its own."""
    files = {}
    for label in ("cat", "dog"):
        for name, data in labelme().items():
            files[name.replace("s/", f"s/{label}/")] = data
    split = look(write_zip(tmp_path / "s.zip", files)).splits["all"]
    assert (split.images, len(split)) == (12, 24)


def test_a_page_that_names_itself_has_the_image_of_its_stem(tmp_path: Path) -> None:
    files = labelme()
    page = json.loads(files["s/1.json"])
    files["s/1.json"] = json.dumps({**page, "imagePath": "1.json"}).encode()
    assert look(write_zip(tmp_path / "s.zip", files)).splits["all"].image_names[0] == "1.jpg"


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", "x".encode("utf-16")])
def test_a_damaged_page_is_told(damage: bytes, tmp_path: Path) -> None:
    files = labelme()
    files["s/2.json"] = damage
    data = look(write_zip(tmp_path / "s.zip", files))
    assert {trouble.code for trouble in data.all_troubles} <= {"DS010", "DS012"}
    assert [trouble.place for trouble in data.all_troubles] == ["2.json"]


def test_the_class_of_a_region_is_said_and_can_be_chosen(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    regions = [{"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 9, "height": 9},
                "region_attributes": {"occluded": "no", "species": species}}
               for species in ("cat", "dog")]  # fmt: skip
    pages = {"1": {"filename": "1.jpg", "size": 1, "regions": regions, "file_attributes": {}}}
    files = {"s/v.json": json.dumps(pages).encode(), "s/1.jpg": picture(1)}
    path = write_zip(tmp_path / "s.zip", files)
    answer = jobgen("dataset", "inspect", path)
    assert "its attribute species, not occluded" in answer.out
    assert "class dog" in answer.out
    assert "class no" in jobgen("dataset", "inspect", path, "--columns", "label=occluded").out


def test_frames_between_key_frames_get_their_boxes(tmp_path: Path) -> None:
    rows = "".join(
        f'<box frame="{n}" outside="{out}" keyframe="1" xtl="{x}" ytl="4" xbr="{x + 8}" ybr="12"/>'
        for n, x, out in ((0, 0, 0), (4, 8, 0), (5, 8, 1), (7, 30, 0))
    )
    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    text = f'<annotations><meta>{size}</meta><track label="car">{rows}</track></annotations>'
    files = {f"s/images/frame_{n:06d}.png": picture(n + 1, kind="PNG") for n in range(8)}
    data = look(write_zip(tmp_path / "s.zip", {**files, "s/a.xml": text.encode()}))
    found = boxes_of(data)
    assert [found[str(n)][0][1] for n in range(5)] == [0, 2, 4, 6, 8]
    assert found["5"] == found["6"] == []
    assert data.losses == ["boxes between two key frames of a track: 3, in a straight line"]


def test_rows_of_no_known_split_are_told(tmp_path: Path) -> None:
    def losses(*words: str) -> list[str]:
        text = "image,label,x1,y1,x2,y2,split\n" + "".join(
            f"{n}.jpg,ship,20,25,4,5,{word}\n" for n, word in enumerate(words, 1)
        )
        files = {"s/b.csv": text.encode(), **{f"s/{n}.jpg": picture(n) for n in range(1, 5)}}
        data = look(write_zip(tmp_path / f"{len(words)}{words[0]}.zip", files))
        # Corners in any order are two corners.
        assert next(iter(data)).boxes[0].tolist() == [4, 5, 16, 20]
        return data.losses

    assert losses("train", "val", "", "holdout") == ["b.csv: 2 rows of no known split are left out"]
    assert losses("0", "1", "0") == ["b.csv: its column of splits names no two that are known"]


@pytest.mark.parametrize(
    "text",
    [
        b"sep=;\nimage;label;x1;y1;x2;y2\n1.jpg;ship;4;5;20;25\n",
        "image\tlabel\tx1\ty1\tx2\ty2\n1.jpg\tship\t4\t5\t20\t25\n".encode("utf-16"),
        "图片名;类别名称;左上角x;左上角y;右下角x;右下角y\n1.jpg;ship;4,0;5,0;20,0;25,0\n".encode(
            "gbk"
        ),
        b"image,label,class_name,x1,y1,x2,y2\n1.jpg,0,ship,4,5,20,25\n",
    ],
)
def test_csv_as_excel_and_others_write_it(text: bytes, tmp_path: Path) -> None:
    files = {"s/b.csv": text, "s/1.jpg": picture(1)}
    split = look(write_zip(tmp_path / "s.zip", files)).splits["all"]
    assert (split.label(0), split.boxes[0].tolist()) == ("ship", [4, 5, 16, 20])


def test_corners_in_place_of_sides_are_found_before_anything_is_written(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    rows = "".join(f'{n}.jpg,ship,"[{30 + n}, 20, 60, 44]"\n' for n in range(1, 7))
    files = {"s/b.csv": b"image,label,bbox\n" + rows.encode()}
    files |= {f"s/{n}.jpg": picture(n) for n in range(1, 7)}
    path = write_zip(tmp_path / "s.zip", files)
    answer = jobgen("init", "x", "--archive", path, "--folder", tmp_path / "j", "--yes")
    assert answer.code == 0, answer.err
    assert "repair DS047" in answer.err
    boxes = [row for s in look(tmp_path / "x.zip") for row in s.boxes.tolist()]
    assert sorted(boxes)[0] == [31, 20, 29, 24]


def test_global_wheat_has_all_boxes_of_an_image_in_a_cell(tmp_path: Path) -> None:
    text = b"image_name,BoxesString,domain\n1,4 5 20 25;24 5 40 16,A\n2,no_box,A\n"
    files = {"s/b.csv": text, "s/1.png": picture(1, kind="PNG"), "s/2.png": picture(2, kind="PNG")}
    data = look(write_zip(tmp_path / "s.zip", files))
    assert data.classes == ["object"]
    assert boxes_of(data) == {
        "1": [("object", 4, 5, 16, 20), ("object", 24, 5, 16, 11)],
        "2": [],
    }


def test_flags_alone_are_for_classification(tmp_path: Path) -> None:
    page: dict[str, Any] = {"flags": {"cat": True}, "shapes": [], "imageData": None}
    files = {f"s/{n}.json": json.dumps({**page, "imagePath": f"{n}.jpg"}).encode()
             for n in (1, 2)}  # fmt: skip
    data = look(write_zip(tmp_path / "s.zip", {**files, "s/1.jpg": picture(1)}))
    assert "for classification" in data.losses[-1]


def test_a_class_of_dota_may_have_blanks(tmp_path: Path) -> None:
    files = {n: d.replace(b" ship 0", b" large ship 0") for n, d in dota().items()}
    assert look(write_zip(tmp_path / "s.zip", files)).classes == ["boat", "large ship"]


def test_two_exports_of_one_split_are_two_sets(tmp_path: Path) -> None:
    """And not one in which every box is there twice."""
    files: Files = {}
    for split, numbers in (("train", range(1, 5)), ("val", range(5, 7))):
        rows = "".join(f"{n}.jpg,ship,4,5,20,25\n" for n in numbers)
        for own in ("labels.csv", "labels_old.csv"):
            files[f"s/{split}/{own}"] = f"image,label,x1,y1,x2,y2\n{rows}".encode()
        files |= {f"s/{split}/{n}.jpg": picture(n) for n in numbers}
    found = open_contents(write_zip(tmp_path / "s.zip", files))
    assert [sorted(layout.splits) for layout in candidates(found)] == [["eval", "train"]] * 2


def test_a_class_of_two_lines_is_one_that_a_job_can_have(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    files = labelme()
    for name in [name for name in files if name.endswith(".json")]:
        files[name] = files[name].replace(b'"boat"', b'"a\\n \'b\\" \\u001b[31m"')
    path = write_zip(tmp_path / "s.zip", files)
    answer = jobgen("init", "x", "--archive", path, "--folder", tmp_path / "j", "--yes")
    assert answer.code == 0, answer.err
    assert look(tmp_path / "x.zip").classes == ["a 'b\" [31m", "ship"]
