"""Every rule on one tiny set with that one fault, and no other finding."""

from __future__ import annotations

import json
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
from jobgen.runtime.faults import FAULTS
from tests.conftest import JOB, ROOT, Answer, real_data
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
def empty_list() -> Plain:
    made = voc()
    made.files["ImageSets/Main/val.txt"] = b"\n"
    for n in (5, 6):
        del made.files[f"JPEGImages/{n:04d}.jpg"]
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
BESIDE = {"DS080": {"DS097"}, "DS081": {"DS097"}, "DS083": {"DS097"}}


def found(answer: Answer) -> set[str]:
    return {finding["code"] for finding in answer.json["findings"]}


def test_every_rule_has_its_set() -> None:
    known = {code for code, rule in rules().items() if rule.scope in ("set", "split")}
    assert {*CASES, *ARCHIVES, *JOBS} == known


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


REPAIRED = [code for code in FIXES if code in CASES]


def test_every_repair_is_tried() -> None:
    assert set(REPAIRED) == set(FIXES)


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
