"""Every rule on one tiny set with that one fault, and no other finding."""

from __future__ import annotations

import json
import re
import shlex
import stat
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobgen.check.rules import rules
from jobgen.check.table import rules_page
from jobgen.datasets.fix import FIXES
from jobgen.datasets.look import look
from jobgen.datasets.stretch import STRETCHED
from jobgen_runtime.data.faults import FAULTS
from tests.conftest import JOB, ROOT, Answer, real_data
from tests.label_sets import kitti
from tests.sets import HEIGHT, WIDTH, Coco, Plain, coco_split, picture, voc, write_zip, yolo

Files = dict[str, bytes]
# A zip whose entries have more than a name: (path, target) -> files are written by the case.
Case = Callable[[], Coco | Plain]
CASES: dict[str, Case] = {}


def case(code: str) -> Callable[[Case], Case]:
    def keep(make: Case) -> Case:
        CASES[code] = make
        return make

    return keep


def first_box(made: Coco, **values: Any) -> Coco:
    box = made.train["annotations"][0]
    for key, value in values.items():
        if value is None:
            del box[key]
        else:
            box[key] = value
    return made


@case("DS006")
def nested() -> Coco:
    made = Coco()
    made.files["more.zip"] = b"PK"
    return made


@case("DS008")
def mac_litter() -> Coco:
    made = Coco()
    made.files[".DS_Store"] = b"x"
    return made


@case("DS009")
def many_files() -> Coco:
    made = Coco()
    made.files.update({f"notes/{n}.txt": b"" for n in range(7600)})
    return made


@case("DS010")
def no_json() -> Coco:
    made = Coco(val='{"images": [], "annotations": [')
    for n in (5, 6):
        del made.files[f"images/{n:04d}.jpg"]
    return made


@case("DS011")
def text_for_numbers() -> Coco:
    return first_box(Coco(), bbox=["24", "6", "16", "20"])


@case("DS012")
def no_width() -> Coco:
    made = Coco()
    del made.train["images"][0]["width"]
    return made


@case("DS013")
def no_info() -> Coco:
    made = Coco()
    del made.val["info"]
    return made


@case("DS014")
def no_area() -> Coco:
    return first_box(Coco(), area=None)


@case("DS015")
def no_crowd() -> Coco:
    return first_box(Coco(), iscrowd=None)


@case("DS016")
def flat() -> Coco:
    return first_box(Coco(), area=0)


@case("DS017")
def left_out_of_training() -> Coco:
    return first_box(Coco(), ignore=1)


@case("DS020")
def one_id_twice() -> Coco:
    return first_box(Coco(), id=2)


@case("DS024")
def an_id_of_zero() -> Coco:
    made = Coco()
    made.val["annotations"][0]["id"] = 0
    return made


@case("DS021")
def no_id() -> Coco:
    return first_box(Coco(), id=None)


@case("DS022")
def an_id_of_64_bits() -> Coco:
    return first_box(Coco(), id=2**63)


@case("DS023")
def unlisted() -> Coco:
    made = Coco()
    made.val["annotations"].append({**made.val["annotations"][0], "id": 99, "image_id": 99})
    return made


@case("DS030")
def class_99() -> Coco:
    made = Coco()
    made.val["annotations"].append({**made.val["annotations"][0], "id": 99, "category_id": 99})
    return made


@case("DS031")
def other_order() -> Coco:
    made = Coco()
    made.val["categories"].reverse()
    return made


@case("DS032")
def never_seen() -> Coco:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"].append({"id": 3, "name": "buoy"})
    return made


@case("DS034")
def both_are_ships() -> Coco:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][1]["name"] = "ship"
    return made


@case("DS040")
def no_height() -> Coco:
    return first_box(Coco(), bbox=[24, 6, 16, 0], area=0)


@case("DS041")
def swapped() -> Plain:
    made = voc()
    made.change("Annotations/0001.xml", "<xmin>4</xmin>", "<xmin>21</xmin>")
    return made


@case("DS042")
def over_the_edge() -> Coco:
    return first_box(Coco(), bbox=[54, 6, 16, 20])


@case("DS043")
def beside_the_image() -> Coco:
    return first_box(Coco(), bbox=[WIDTH + 9, 6, 16, 20])


@case("DS044")
def a_speck() -> Coco:
    return first_box(Coco(), bbox=[24, 6, 0.5, 20], area=10)


@case("DS045")
def infinite() -> Coco:
    return first_box(Coco(), bbox=[float("inf"), 6, 16, 20])


@case("DS046")
def twice() -> Coco:
    made = Coco()
    made.train["annotations"].append({**made.train["annotations"][0], "id": 99})
    return made


@case("DS050")
def lost_image() -> Coco:
    made = Coco()
    del made.files["images/0005.jpg"]
    return made


@case("DS051")
def extra_image() -> Coco:
    made = Coco()
    made.files["images/0099.jpg"] = picture(99)
    return made


@case("DS052")
def listed_under_two_ids() -> Coco:
    made = Coco()
    made.train["images"][1]["file_name"] = "0001.jpg"
    del made.files["images/0002.jpg"]
    return made


@case("DS053")
def leaked() -> Coco:
    made = Coco()
    made.files["images/0005.jpg"] = made.files["images/0001.jpg"]
    return made


@case("DS054")
def other_letters() -> Coco:
    made = Coco()
    made.files["images/Café.jpg"] = made.files.pop("images/0001.jpg")
    made.train["images"][0]["file_name"] = unicodedata.normalize("NFD", "Café.jpg")
    return made


@case("DS055")
def a_png_called_jpg() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = picture(1, kind="PNG")
    return made


@case("DS056")
def a_page_called_jpg() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = b"<html>not found</html>"
    return made


@case("DS057")
def resized() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = picture(1, size=(2 * WIDTH, 2 * HEIGHT))
    return made


@case("DS058")
def turned() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = with_orientation(6)
    return made


def with_orientation(value: int) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = value
    return picture(1, exif=exif)


@case("DS059")
def printed() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = picture(1, mode="CMYK")
    return made


@case("DS060")
def torn() -> Coco:
    made = Coco()
    made.files["images/0001.jpg"] = made.files["images/0001.jpg"][:-300]
    return made


@case("DS061")
def sixteen_bits() -> Coco:
    made = Coco()
    made.files["images/0001.png"] = picture(1, mode="I;16", kind="PNG")
    del made.files["images/0001.jpg"]
    made.train["images"][0]["file_name"] = "0001.png"
    return made


@case("DS063")
def floats() -> Coco:
    made = Coco()
    made.files["images/0001.tif"] = picture(1, mode="F", kind="TIFF")
    del made.files["images/0001.jpg"]
    made.train["images"][0]["file_name"] = "0001.tif"
    return made


@case("DS070")
def misnamed() -> Plain:
    made = voc()
    made.change("Annotations/0001.xml", "0001.jpg", "IMG_1.jpg")
    return made


@case("DS071")
def named_as_another() -> Plain:
    made = voc()
    made.change("Annotations/0001.xml", "0001.jpg", "0002.jpg")
    return made


@case("DS072")
def empty_image() -> Coco:
    made = Coco()
    boxes = made.train["annotations"]
    made.train["annotations"] = [box for box in boxes if box["image_id"] != 1]
    return made


@case("DS074")
def listed_twice() -> Plain:
    made = voc()
    made.files["ImageSets/Main/train.txt"] += b"0001\n"
    return made


@case("DS075")
def in_both_lists() -> Plain:
    made = voc()
    made.files["ImageSets/Main/val.txt"] += b"0001\n"
    return made


@case("DS076")
def nothing_in_any_split() -> Coco:
    """One of them alone is no split at all: see below."""
    made = Coco(files={})
    for record in (made.train, made.val):
        record["images"] = record["annotations"] = []
    return made


@case("DS047")
def two_corners() -> Coco:
    made = Coco()
    for record in (made.train, made.val):
        for box in record["annotations"]:
            box["bbox"] = [box["bbox"][0], box["bbox"][1], 60, 44]
    return made


@case("DS062")
def images_elsewhere() -> Coco:
    made = Coco()
    made.files = {name.replace("images/", "pictures/more/"): d for name, d in made.files.items()}
    for record in (made.train, made.val):
        for image in record["images"]:
            image["file_name"] = "x/" + image["file_name"]
    return made


@case("DS078")
def annotated_and_in_no_list() -> Plain:
    made = voc()
    made.files["Annotations/backup/0001.xml"] = made.files["Annotations/0001.xml"]
    return made


@case("DS079")
def third_split_without_boxes() -> Coco:
    made = Coco()
    made.files["test.json"] = json.dumps({**made.val, "annotations": []}).encode()
    return made


@case("DS084")
def val_named_and_not_there() -> Plain:
    made = yolo()
    made.change("data.yaml", "val: images/val", "val: ../valid/images")
    return made


@case("DS077")
def stranger() -> Plain:
    made = voc()
    del made.files["Annotations/0001.xml"]
    made.files["JPEGImages/0001.jpg"] = made.files.pop("JPEGImages/0001.jpg")
    del made.files["JPEGImages/0001.jpg"]
    return made


@case("DS080")
def pixels() -> Plain:
    made = yolo()
    made.change("labels/train/0001.txt", "0 0.25 0.25 0.25 0.5", "0 16 12 16 24")
    return made


@case("DS081")
def malformed() -> Plain:
    made = yolo()
    made.change("labels/train/0001.txt", "0 0.25 0.25 0.25 0.5", "ship 0.25 0.25 0.25 0.5")
    return made


@case("DS035")
def ship_and_SHIP() -> Coco:
    made = Coco()
    for record in (made.train, made.val):
        record["categories"][1]["name"] = "SHIP"
    return made


@case("DS085")
def regions_without_annotation() -> Plain:
    return Plain({name.removeprefix("s/"): data for name, data in kitti().items()}, "s")


@case("DS083")
def nameless() -> Plain:
    made = yolo()
    del made.files["data.yaml"]
    return made


@case("DS091")
def no_boxes() -> Coco:
    made = Coco()
    made.val["annotations"] = []
    return made


@case("DS092")
def one_of_hundreds() -> Coco:
    made = Coco()
    boxes = [box for box in made.train["annotations"] if box["category_id"] == 1]
    many = [
        {**boxes[n % 4], "id": n + 100, "bbox": [n % 40, n // 40 * 3, 16, 20], "area": 320}
        for n in range(300)
    ]
    made.train["annotations"] = [*many, made.train["annotations"][1]]
    return made


@case("DS093")
def specks() -> Coco:
    made = Coco()
    made.files = {f"images/{n:04d}.jpg": picture(n, size=(640, 480)) for n in range(1, 7)}
    for record in (made.train, made.val):
        for image in record["images"]:
            image.update(width=640, height=480)
        for box in record["annotations"]:
            box.update(bbox=[*box["bbox"][:2], 5, 5], area=25)
    made.val["annotations"] = [
        {**box, "bbox": [*box["bbox"][:2], 20, 20], "area": 400} for box in made.val["annotations"]
    ]
    return made


@case("DS094")
def a_set_called_coco() -> Coco:
    return Coco(root="coco")


@case("DS095")
def no_set() -> Plain:
    return Plain({"readme.md": b"nothing here"})


@case("DS096")
def one_split() -> Coco:
    made = Coco(val=None)
    made.train = coco_split(1, 6)
    return made


@case("DS097")
def for_another_tool() -> Plain:
    return yolo()


# Faults of the archive itself: what is written in its place.
def an_entry(name: str, mode: int = 0, flag: int = 0) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_zip(path, Coco().all_files())
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"target")
        if flag:
            raw = bytearray(path.read_bytes())
            place = raw.rfind(b"PK\1\2")
            raw[place + 8] |= flag
            path.write_bytes(bytes(raw))

    return write


def gbk(path: Path) -> None:
    write_zip(path, {**Coco().all_files(), "ships/XXXX.txt": b""})
    path.write_bytes(path.read_bytes().replace(b"XXXX", "说明".encode("gbk")))


ARCHIVES: dict[str, Callable[[Path], Any]] = {
    "DS001": an_entry("../evil.txt"),
    "DS002": an_entry("ships/link", stat.S_IFLNK | 0o777),
    "DS003": an_entry("ships/secret.txt", flag=1),
    "DS004": lambda path: path.write_bytes(b"Rar!\x1a\x07\x01\x00 and so on"),
    "DS005": an_entry("ships/train.json/inner.txt"),
    "DS007": gbk,
}

# Faults against the job: what job.yaml says otherwise.
JOBS: dict[str, tuple[str, str]] = {
    "DS033": ("classes: [ship, boat]", "classes: [boat, ship]"),
    "DS090": ("epochs: 40", "epochs: 40\n  batch_size: 5"),
    "DS098": ("images: 4, boxes: 8", "images: 4, boxes: 9"),
    "DS099": ("epochs: 40", "epochs: 40\nstages: [infer]\ninfer: {images: [no.jpg, 0001.jpg]}"),
}
SOUND_JOB = (
    JOB.replace("images: JPEGImages", "images: images")
    .replace("classes: [ship]", "classes: [ship, boat]")
    .replace("images: 160, boxes: 300", "images: 4, boxes: 8")
    .replace("images: 48, boxes: 90", "images: 2, boxes: 4")
)
# What two faults can't help sharing.
BESIDE = {
    "DS085": {"DS097"},
    "DS084": {"DS097"},
    "DS080": {"DS097"},
    "DS081": {"DS097"},
    "DS083": {"DS097"},
}


def found(answer: Answer) -> set[str]:
    return {finding["code"] for finding in answer.json["findings"]}


def test_every_rule_has_its_set() -> None:
    known = {code for code, rule in rules().items() if rule.scope in ("set", "split")}
    assert {*CASES, *ARCHIVES, *JOBS, *LARGE} == known


def test_a_sound_set_has_no_findings(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    sets: list[Coco | Plain] = [Coco(), voc()]
    for number, made in enumerate(sets):
        answer = jobgen("check", write_zip(tmp_path / f"{number}.zip", made.all_files()), "--deep")
        assert answer.code == 0
        assert answer.out.startswith("nothing found, ")


@pytest.mark.parametrize("code", sorted(CASES))
def test_one_fault_one_finding(code: str, jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "ships.zip", CASES[code]().all_files())
    answer = jobgen("check", path, "--json", "--deep")
    assert found(answer) == {code} | BESIDE.get(code, set())
    severe = any(f["severity"] == "error" for f in answer.json["findings"])
    assert answer.code == int(severe)
    if code in FAULTS:
        title = next(f for f in answer.json["findings"] if f["code"] == code)["message"]
        assert title.startswith(FAULTS[code])


@pytest.mark.parametrize("code", sorted(ARCHIVES))
def test_one_fault_of_the_archive(code: str, jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "ships.zip"
    ARCHIVES[code](path)
    assert found(jobgen("check", path, "--json")) == {code}


@pytest.mark.parametrize("code", [None, *JOBS])
def test_one_fault_against_the_job(
    code: str | None, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    text, made = SOUND_JOB, Coco()
    if code:
        assert JOBS[code][0] in text
        text = text.replace(*JOBS[code], 1)
    if code == "DS090":
        # The job counts five images; one of them has no box.
        text = text.replace("images: 4, boxes: 8", "images: 5, boxes: 8")
        made.train["images"].append({**made.train["images"][0], "id": 9, "file_name": "9.jpg"})
        made.files["images/9.jpg"] = picture(9)
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("check", tmp_path / "job.yaml", "--archive", path, "--json")
    assert found(answer) - {"DS072"} == ({code} if code else set()), answer.out


# What a job finds in large pictures: with dataset.shrink and without.
LARGE = {"DS064": "", "DS065": "  shrink: off\n"}


@pytest.mark.parametrize("code", LARGE)
def test_large_pictures(code: str, jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = Coco()
    made.files = dict.fromkeys(made.files, picture(1, size=(4000, 3000)))
    for record in (made.train, made.val):
        for image in record["images"]:
            image.update(width=4000, height=3000)
        for box in record["annotations"]:
            box.update(bbox=[value * 60 for value in box["bbox"]], area=box["area"] * 3600)
    text = SOUND_JOB.replace("dataset:\n", f"dataset:\n{LARGE[code]}", 1)
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("check", tmp_path / "job.yaml", "--archive", path, "--select", "DS06", "--json")
    (finding,) = answer.json["findings"]
    assert finding["code"] == code
    wanted = {"DS064": "12 megapixels take 154 ms to read", "DS065": "waits about 74 % of the time"}
    assert wanted[code] in finding["message"]


REPAIRED = [code for code in (*FIXES, *STRETCHED) if code in CASES]


def test_every_repair_is_tried() -> None:
    assert set(REPAIRED) == {*FIXES, *STRETCHED}


@pytest.mark.parametrize("code", REPAIRED)
def test_a_repair_leaves_nothing_to_find(
    code: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "ships.zip", CASES[code]().all_files())
    before = path.read_bytes()
    answer = jobgen("dataset", "convert", path, tmp_path / "fixed.zip", "--fix", code.lower())
    assert answer.code == 0, answer.err
    assert answer.out.startswith(code)
    assert path.read_bytes() == before
    left = found(jobgen("check", tmp_path / "fixed.zip", "--json"))
    # Without its missing image, or its boxes, nothing else is wrong with it.
    assert left <= {"DS072"}, answer.out


def test_findings_are_grouped_and_all_told(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = first_box(Coco(), area=None)
    for box in made.train["annotations"][1:6]:
        del box["area"]
    del made.val["annotations"][0]["iscrowd"]
    made.train["annotations"][7]["bbox"] = [24, 6, 16, 0]
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("check", path)
    assert answer.code == 1
    lines = [line for line in answer.out.splitlines() if not line.startswith(" ")]
    assert lines[0] == (
        "error   DS014  train.json: annotation without area: 6    0001.jpg: ship [24 6 16 20], "
        "0001.jpg: boat [44 6 16 20], 0002.jpg: ship [24 7 16 20], ..."
    )
    assert [line[8:13] for line in lines[1:3]] == ["DS015", "DS040"]
    assert lines[3].startswith("2 errors, 1 warning, ")
    assert f"Fix: jobgen dataset convert {path} DST.zip --fix DS014" in answer.out


def test_names_can_not_write_on_the_terminal(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = first_box(Coco(), bbox=[24, 6, 16, 0])
    for record in (made.train, made.val):
        record["categories"][0]["name"] = "船\n\x1b[31m"
    answer = jobgen("check", write_zip(tmp_path / "ships.zip", made.all_files()))
    assert "0001.jpg: 船\\n\\x1b[31m [24 6 16 0]" in answer.out
    assert "\x1b" not in answer.out


def test_select_and_ignore(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    made = first_box(Coco(), area=None, iscrowd=None)
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    assert found(jobgen("check", path, "--json", "--select", "DS014")) == {"DS014"}
    assert found(jobgen("check", path, "--json", "--ignore", "ds014,DS02")) == {"DS015"}
    refused = jobgen("check", path, "--select", "DX")
    assert refused.code == 2
    assert "no rule begins with 'DX'" in refused.err


def test_the_rules_are_listed(jobgen: Callable[..., Answer]) -> None:
    listed = jobgen("check", "--rules", "--json").json["rules"]
    assert [rule["code"] for rule in listed] == list(rules())
    assert len({rule["name"] for rule in listed}) == len(listed)
    for rule in listed:
        assert rule["why"].endswith(".")
        assert rule["remedy"]
    assert "DS031  error   categories that differ between splits" in jobgen("check", "--rules").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give a job.yaml or a data set"),
        (["none.zip"], 4, "none.zip is not there"),
        (["none.zip", "--archive", "x.zip"], 2, "--archive goes with a job"),
    ],
)
def test_what_can_not_be_checked(
    jobgen: Callable[..., Answer], arguments: list[str], code: int, message: str
) -> None:
    answer = jobgen("check", *arguments)
    assert answer.code == code
    assert message in answer.err


def test_a_lone_annotation_file(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "instances_train2017.json"
    path.write_bytes(first_box(Coco(), area=None).all_files()["ships/train.json"])
    assert found(jobgen("check", path, "--json")) == {"DS014"}


def test_a_job_without_its_data(jobgen: Callable[..., Answer], job: Path) -> None:
    answer = jobgen("check", job)
    assert answer.code == 0
    assert "give it with --archive" in answer.err
    two = jobgen("check", job, "--archive", "a.zip", "--archive", "b.zip")
    assert two.code == 2
    assert "the job has 1 source(s)" in two.err


def test_the_real_sets(jobgen: Callable[..., Answer]) -> None:
    ssdd = jobgen("check", real_data("ssdd.zip"), "--json", "--deep")
    assert ssdd.code == 0
    assert found(ssdd) == {"DS013", "DS053"}
    bccd = jobgen("check", real_data("bccd.zip"), "--json", "--deep")
    assert bccd.code == 0
    places = [f["examples"][0] for f in bccd.json["findings"]]
    assert places == [
        "BloodImage_00343.jpg: RBC [181 329 0 0]",
        "BloodImage_00338.jpg: RBC [504 337 0 0]",
    ]


def test_several_sources_lie_side_by_side(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    files = Coco().all_files()
    images = {n: d for n, d in files.items() if n.endswith(".jpg")}
    records = {n: d for n, d in files.items() if n.endswith(".json")}
    text = SOUND_JOB.replace(
        "- {archive: ships.zip}", "- {archive: a.zip}\n    - {archive: b.zip, into: ships}"
    )
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    inner = {name.removeprefix("ships/"): data for name, data in records.items()}
    first, second = write_zip(tmp_path / "a.zip", images), write_zip(tmp_path / "b.zip", inner)
    answer = jobgen("check", tmp_path / "job.yaml", "--archive", first, "--archive", second)
    assert answer.code == 0, answer.out + answer.err
    assert answer.out.startswith("nothing found")


def test_the_page_of_rules_is_made_from_them() -> None:
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert page == rules_page(), "make docs"


@pytest.mark.parametrize("harm", ["crowd", "flat", "lost"])
def test_a_batch_counts_images_that_can_be_trained_on(
    jobgen: Callable[..., Answer], tmp_path: Path, harm: str
) -> None:
    """Four images, all in one step; PaddleDetection drops the one whose only boxes are no use."""
    made = Coco()
    rows = [row for row in made.train["annotations"] if row["image_id"] == 1]
    for row in rows:
        if harm == "crowd":
            row["iscrowd"] = 1
        elif harm == "flat":
            row["bbox"][2] = row["area"] = 0
        else:
            row["image_id"] = 77
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    job = tmp_path / "job.yaml"
    for size, told in ((4, True), (3, False)):
        text = SOUND_JOB.replace("epochs: 40", f"epochs: 40\n  batch_size: {size}")
        job.write_text(text, encoding="utf-8")
        codes = found(jobgen("check", job, "--archive", path, "--json"))
        assert ("DS090" in codes) == told


def test_a_stated_size_is_kept_where_the_boxes_do_not_fit_the_image(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """Then the image is the wrong one, or the boxes were drawn on a larger one."""
    made = Coco()
    for image in made.train["images"][:2]:
        image["width"], image["height"] = 640, 480
    box = next(row for row in made.train["annotations"] if row["image_id"] == 1)
    box["bbox"], box["area"] = [300, 200, 100, 100], 10000
    path = write_zip(tmp_path / "s.zip", made.all_files())
    target = tmp_path / "t.zip"
    assert jobgen("dataset", "convert", path, target, "--fix", "DS057").code == 0
    with zipfile.ZipFile(target) as archive:
        name = next(n for n in archive.namelist() if n.endswith("train.json"))
        images = json.loads(archive.read(name))["images"]
    assert [(i["width"], i["height"]) for i in images[:2]] == [(640, 480), (64, 48)]


def test_boxes_of_an_image_in_no_list_stop_a_conversion(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    made.train["annotations"][0]["image_id"] = 99
    path = write_zip(tmp_path / "s.zip", made.all_files())
    answer = jobgen("dataset", "convert", path, tmp_path / "t.zip", "--to", "coco")
    assert answer.code == 4
    assert "annotation of an image that is not listed (DS023): 1" in answer.err
    assert not (tmp_path / "t.zip").exists()


HINTED = re.compile(r"jobgen dataset (?:convert|split) [^;,]*?DST\.zip(?: --to \w+| --fix \w+)*")


@pytest.mark.parametrize("code", sorted(CASES))
def test_what_a_hint_says_works_as_it_is_printed(
    code: str, jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """Pasted, the command runs, what it was for is gone, and no image or box is lost that the
    hint does not speak of."""
    path = write_zip(tmp_path / "a set (1).zip", CASES[code]().all_files())
    (finding,) = [f for f in jobgen("check", path, "--deep", "--json").json["findings"]
                  if f["code"] == code][:1]  # fmt: skip
    commands = HINTED.findall(finding["hint"])
    assert commands or finding["hint"].strip(), finding
    for number, command in enumerate(commands):
        target = tmp_path / f"{number}.zip"
        words = shlex.split(command.replace("DST.zip", shlex.quote(str(target))))
        assert jobgen(*words[1:]).code == 0, command
        left = {f["code"] for f in jobgen("check", target, "--json").json["findings"]}
        assert code not in left, command


def test_a_hint_names_the_set_that_was_picked(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    one, other = first_box(Coco(root="one"), area=None), first_box(Coco(root="two"), area=None)
    path = write_zip(tmp_path / "s.zip", {**one.all_files(), **other.all_files()})
    answer = jobgen("check", path)
    assert "holds 2 data sets" in answer.err
    assert "4 images, 8 boxes; 2 images, 4 boxes" in answer.err
    (finding,) = jobgen("check", path, "--pick", "2", "--json").json["findings"]
    command = HINTED.findall(finding["hint"])[0]
    assert "--pick 2" in command
    target = str(tmp_path / "d.zip")
    assert jobgen(*shlex.split(command.replace("DST.zip", target))[1:]).code == 0
    assert jobgen("check", target).out.startswith("nothing found")


def test_an_empty_val_is_no_val(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = voc()
    made.files["ImageSets/Main/val.txt"] = b"\n"
    path = write_zip(tmp_path / "s.zip", made.all_files())
    answer = jobgen("check", path)
    assert "val.txt has nothing in it" in answer.out
    refused = jobgen("init", "ships", "--archive", path)
    assert "val.txt has nothing in it" in refused.err
    assert jobgen("init", "ships", "--archive", path, "--yes").code == 0
    assert jobgen("check", tmp_path / "ships.zip").code == 0


def test_images_without_a_box_are_dealt_to_both_halves(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco(val=None)
    images = [{**made.train["images"][0], "id": n, "file_name": f"{n}.jpg"} for n in range(1, 31)]
    box = made.train["annotations"][0]
    made.train["images"] = images
    made.train["annotations"] = [{**box, "id": n, "image_id": n} for n in range(1, 21)]
    made.files = {f"images/{n}.jpg": picture(n) for n in range(1, 31)}
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert jobgen("dataset", "split", path, tmp_path / "d.zip").code == 0
    val = look(tmp_path / "d.zip").splits["eval"]
    assert val.images == 6
    assert int((val.boxes_per_image == 0).sum()) == 2


def test_of_two_images_with_one_stem_the_named_one_is_taken(tmp_path: Path) -> None:
    made = voc()
    made.files["JPEGImages/0001.png"] = picture(1, size=(640, 480))
    found = look(write_zip(tmp_path / "s.zip", made.all_files()))
    assert "0001.jpg" in found.splits["train"].image_names
    assert not found.splits["train"].troubles
    made.change("Annotations/0001.xml", "<filename>0001.jpg</filename>", "")
    found = look(write_zip(tmp_path / "t.zip", made.all_files()))
    assert [t.code for t in found.splits["train"].troubles] == ["DS052"]
    assert not [t for t in found.splits["eval"].troubles if t.code == "DS052"]


def test_a_folder_of_images_for_each_split(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = voc()
    for n in (5, 6):
        data = made.files.pop(f"JPEGImages/{n:04d}.jpg")
        made.files[f"JPEGImages-val/{n:04d}.jpg"] = data
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert jobgen("check", path).out.startswith("nothing found")
    assert jobgen("init", "ships", "--archive", path).code == 0


def test_lists_as_paddlex_and_paddlelabel_write_them(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = voc()
    for split, numbers in (("train", range(1, 5)), ("val", (5, 6))):
        del made.files[f"ImageSets/Main/{split}.txt"]
        rows = [f"JPEGImages/a {n}.jpg Annotations/a {n}.xml" for n in numbers]
        made.files[f"{split}_list.txt"] = "\n".join(rows).encode()
    for n in range(1, 7):
        made.files[f"JPEGImages/a {n}.jpg"] = made.files.pop(f"JPEGImages/{n:04d}.jpg")
        text = made.files.pop(f"Annotations/{n:04d}.xml").replace(b"%04d.jpg" % n, b"a %d.jpg" % n)
        made.files[f"Annotations/a {n}.xml"] = text
    made.files["labels.txt"] = b"ship\nboat\n"
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert jobgen("check", path).out.startswith("nothing found")
    found = look(path)
    assert found.classes == ["ship", "boat"]
    assert {name: split.images for name, split in found.splits.items()} == {"train": 4, "eval": 2}


def test_a_file_without_its_annotations_is_no_other_set(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    del made.train["annotations"]
    path = write_zip(tmp_path / "s.zip", made.all_files())
    answer = jobgen("check", path)
    assert "train.json: missing value    it has no list annotations" in answer.out
    assert "export the file again" in answer.out
    assert jobgen("dataset", "split", path, tmp_path / "d.zip").code == 4


@pytest.mark.parametrize(
    "polygon", [[[1, 1, 30, 1, 30, 20]], [[1, 1, 30, 1, 30, 20], [5, 5, 9, 9, 9, 5]]]
)
@pytest.mark.parametrize("box", [None, []])
def test_a_polygon_gives_its_box(
    jobgen: Callable[..., Answer], tmp_path: Path, polygon: object, box: object
) -> None:
    made = Coco()
    row = made.train["annotations"][0]
    row["segmentation"] = polygon
    if box is None:
        del row["bbox"]
    else:
        row["bbox"] = box
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert found(jobgen("check", path, "--json")) == {"DS012"}
    assert jobgen("dataset", "convert", path, tmp_path / "d.zip", "--fix", "DS012").code == 0
    fixed = look(tmp_path / "d.zip").splits["train"]
    assert fixed.boxes[0].tolist() == [1, 1, 29, 19]


def test_sizes_the_wrong_way_round_cost_no_box(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """A box is judged by the image that it was drawn on."""
    made = Coco()
    for image in made.train["images"]:
        image["width"], image["height"] = HEIGHT, WIDTH
    for box in made.train["annotations"]:
        box["bbox"] = [50, 4, 12, 12]
    path = write_zip(tmp_path / "s.zip", made.all_files())
    assert not found(jobgen("check", path, "--json")) & {"DS042", "DS043"}
    for code in ("DS042", "DS043"):
        target = tmp_path / f"{code}.zip"
        assert jobgen("dataset", "convert", path, target, "--fix", code).code == 0
        assert len(look(target).splits["train"]) == 8


def test_all_repairs_at_once_leave_out_little(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = Coco()
    for box in made.train["annotations"][:4]:
        box["bbox"] = [500, 500, 10, 10]
    path = write_zip(tmp_path / "s.zip", made.all_files())
    answer = jobgen("dataset", "convert", path, tmp_path / "d.zip", "--fix", "all")
    assert "DS043  train.json: left alone, it would leave out 50% of it" in answer.out
    assert len(look(tmp_path / "d.zip").splits["train"]) == 8
    answer = jobgen("dataset", "convert", path, tmp_path / "e.zip", "--fix", "DS043")
    assert len(look(tmp_path / "e.zip").splits["train"]) == 4


def test_what_is_no_image_is_named_where_the_image_is_missing(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    made = voc()
    made.files["JPEGImages/0001.dcm"] = b"\0" * 128 + b"DICM"
    del made.files["JPEGImages/0001.jpg"]
    answer = jobgen("check", write_zip(tmp_path / "s.zip", made.all_files()))
    assert "0001.jpg (there is 0001.dcm)" in answer.out


def test_names_that_info_zip_wrote_are_plain(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    files = {name.replace("0001", "船1"): data for name, data in Coco().all_files().items()}
    text = files["ships/train.json"].replace(b"0001.jpg", "船1.jpg".encode())
    files["ships/train.json"] = text
    path = write_zip(tmp_path / "s.zip", files)
    raw = bytearray(path.read_bytes())
    name = "ships/images/船1.jpg".encode()
    place = 0
    while (place := raw.find(name, place)) >= 0:
        # The flag of UTF-8 lies before the name, here and in the directory.
        for head, at in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
            start = raw.rfind(head, max(0, place - 50), place)
            if start >= 0:
                raw[start + at] &= ~8
        place += 1
    path.write_bytes(bytes(raw))
    assert "DS007" not in jobgen("check", path).out


@pytest.mark.parametrize(
    ("files", "said", "way"),
    [
        (
            {"a.tfrecord": b"x", "b.jpg": b"x"},
            "1 TFRecord files, 1 images",
            "Export the set as COCO",
        ),
        ({"a.csv": b"a,b\n1,2\n"}, "1 CSV, a.csv begins with: a,b", "--columns image=NAME"),
        ({"a.jpg": b"x"}, "1 images", "Label the images"),
    ],
)
def test_what_is_no_data_set_is_named_with_a_way_out(
    jobgen: Callable[..., Answer], tmp_path: Path, files: dict[str, bytes], said: str, way: str
) -> None:
    path = write_zip(tmp_path / "s.zip", {f"s/{name}": data for name, data in files.items()})
    for command in (("check", path), ("dataset", "inspect", path)):
        answer = jobgen(*command)
        assert said in answer.out + answer.err
        assert way in answer.out + answer.err


def test_a_folder_with_a_notebook_is_still_a_data_set(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    for name, data in Coco().all_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "ships" / "look.ipynb").write_text('{"cells": [], "metadata": {}}')
    answer = jobgen("check", tmp_path / "ships", "--json")
    assert answer.json["checked"] == ["data set"]


def test_a_hidden_folder_hides_no_data_set(tmp_path: Path) -> None:
    made = voc()
    for name in ("misc", "modules", "vcs"):
        made.files[f".idea/{name}.xml"] = b"<project version='4'></project>"
    made.files["0tool/a.xml"] = made.files["0tool/b.xml"] = b"<project></project>"
    found = look(write_zip(tmp_path / "s.zip", made.all_files()))
    assert {name: split.images for name, split in found.splits.items()} == {"train": 4, "eval": 2}
