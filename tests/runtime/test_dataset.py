import json
import os
import zipfile
from pathlib import Path
from typing import Any, Dict

import pytest

from jobgen_runtime.data.dataset import DOWNLOADED_NAMES, file_sha256, prepare_data, remove_unpacked
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from tests.runtime.conftest import events


def coco(images: int = 3) -> dict:
    return {
        "images": [
            {"id": i, "file_name": "%d.jpg" % i, "width": 10, "height": 10} for i in range(images)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 0,
                "bbox": [1, 1, 2, 2],
                "area": 4,
                "iscrowd": 0,
            }
            for i in range(images)
        ],
        "categories": [{"id": 0, "name": "ship"}],
    }


class Mount:
    """A mounted COCO set and the job that goes with it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.train, self.val = coco(3), coco(2)
        self.images = ["0.jpg", "1.jpg", "2.jpg"]
        self.folder = "data7"
        self.root = "s"
        self.before = ""
        self.job: Dict[str, Any] = {
            "sources": [{"id": 7, "archive": "s.zip", "folder": None, "into": ""}],
            "root": "s",
            "format": "coco",
            "train": {"images": "img", "annotations": "train.json", "list": None},
            "eval": {"images": "img", "annotations": "val.json", "list": None},
            "classes": ["ship"],
            "expect": {"train": {"images": 3, "boxes": 3}, "eval": {"images": 2, "boxes": 2}},
        }

    def mount(self) -> None:
        folder = self.home / "data" / self.folder
        folder.mkdir(parents=True)
        with zipfile.ZipFile(str(folder / "s.zip"), "w") as archive:
            archive.writestr(self.root + "/train.json", self.before + json.dumps(self.train))
            archive.writestr(self.root + "/val.json", self.before + json.dumps(self.val))
            for name in self.images:
                archive.writestr(self.root + "/img/" + name, b"jpeg")

    def prepare(self, few: int = 0) -> dict:
        self.mount()
        return prepare_data(str(self.home), self.job, "ships", few)


@pytest.fixture
def mount(tmp_path: Path, run: Outcome) -> Mount:
    return Mount(tmp_path / "home 船")


def fault(mount: Mount) -> str:
    with pytest.raises(StageError) as caught:
        mount.prepare()
    assert caught.value.remedy
    return caught.value.message


def test_the_set_is_found_unpacked_and_compared(mount: Mount, run: Outcome) -> None:
    place = mount.prepare()
    assert place["dataset_dir"] == str(mount.home / "datasets" / "s")
    assert place["train"] == {"image_dir": "img", "anno_path": "train.json"}
    assert place["train_images"] == 3
    assert run.data["stages"][-1]["text"] == "3 + 2 images, 3 + 2 boxes, as expected"
    prepare_data(str(mount.home), mount.job, "ships")
    assert [e["done"] for e in events(run, "unpacked")] == [True, False]


def test_another_number_of_the_mount_is_found_too(mount: Mount) -> None:
    mount.folder = "data99"
    assert mount.prepare()["train_images"] == 3


def test_two_candidates_are_refused(mount: Mount) -> None:
    mount.folder = "data8"
    mount.mount()
    mount.folder = "data9"
    assert "s.zip lies in more than one place" in fault(mount)


def test_nothing_mounted(mount: Mount) -> None:
    with pytest.raises(StageError) as caught:
        prepare_data(str(mount.home), mount.job, "ships")
    place = mount.home / "data" / "data7" / "s.zip"
    assert caught.value.message == "s.zip was not found (looked for %s)" % place
    assert "Mounted now: nothing" in caught.value.remedy


def test_an_unpacked_folder_is_used_where_it_lies(mount: Mount) -> None:
    mount.mount()
    folder = mount.home / "data" / "data7" / "s"
    with zipfile.ZipFile(str(mount.home / "data" / "data7" / "s.zip")) as archive:
        archive.extractall(str(folder.parent))
    mount.job["sources"] = [{"id": 7, "archive": None, "folder": "s", "into": ""}]
    place = prepare_data(str(mount.home), mount.job, "ships")
    assert os.path.realpath(place["dataset_dir"]) == os.path.realpath(str(folder))


def test_another_set_stops_the_job(mount: Mount) -> None:
    mount.train = coco(2)
    assert fault(mount) == (
        "train: another data set than the job's (DS098): it has 2 images and 2 boxes, "
        "expected were 3 and 3"
    )


def test_another_content_of_the_same_size_stops_the_job(mount: Mount) -> None:
    mount.job["expect"]["train"]["sha256"] = "0" * 64
    assert fault(mount).endswith("expected were 3 and 3 with other content")


def test_the_right_hash_passes(mount: Mount) -> None:
    place = mount.prepare()
    digest = file_sha256(os.path.join(place["dataset_dir"], "train.json"))
    mount.job["expect"]["train"]["sha256"] = digest
    prepare_data(str(mount.home), mount.job, "ships")


def test_a_missing_image_stops_the_job(mount: Mount) -> None:
    mount.images.remove("1.jpg")
    folder = mount.home / "datasets" / "s" / "img"
    assert (
        fault(mount)
        == "train.json: missing image (DS050): 1 of its 3 images are not in %s: 1.jpg" % folder
    )


def test_categories_in_another_order_stop_the_job(mount: Mount) -> None:
    mount.job["classes"] = ["boat", "ship"]
    assert fault(mount) == (
        "train.json: classes that are not the job's (DS033): its categories are ship, the job's are "
        "boat, ship: labels would be swapped or lost"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"category_id": 9},
            "train.json: annotation of an unknown class (DS030): annotation 0 has the category id 9, which categories lacks",
        ),
        (
            {"image_id": 9},
            "train.json: annotation of an image that is not listed (DS023): annotation 0 belongs to image 9",
        ),
        (
            {"image_id": [1]},
            "train.json: value of the wrong type (DS011): annotation 0 has the image_id [1], not a whole number",
        ),
        ({"area": None}, "train.json: annotation without area (DS014): annotation 0"),
        ({"iscrowd": None}, "train.json: annotation without iscrowd (DS015): annotation 0"),
        (
            {"bbox": [1, 2, 3]},
            "train.json: value of the wrong type (DS011): annotation 0 has the bbox [1, 2, 3], not four numbers",
        ),
        (
            {"bbox": ["1", 2, 3, 4]},
            "train.json: value of the wrong type (DS011): annotation 0 has the bbox ['1', 2, 3, 4], not four numbers",
        ),
    ],
)
def test_annotations_that_would_stop_training_hours_later(
    mount: Mount, change: dict, message: str
) -> None:
    box = mount.train["annotations"][0]
    for key, value in change.items():
        if value is None:
            del box[key]
        else:
            box[key] = value
    assert fault(mount) == message


def test_what_is_no_coco_file(mount: Mount) -> None:
    mount.train = [1]  # type: ignore[assignment]
    assert (
        fault(mount)
        == "train.json: missing value (DS012): it needs the lists images, annotations and categories"
    )


def test_a_wrong_root_names_what_is_there(mount: Mount) -> None:
    mount.job["root"] = "elsewhere"
    assert fault(mount) == "the data holds no folder 'elsewhere' (there are: .jobgen, s)"


def test_a_smoke_run_takes_a_few_images_that_have_boxes(mount: Mount, run: Outcome) -> None:
    del mount.train["annotations"][0]
    mount.job["expect"] = None
    place = mount.prepare(1)
    small = json.loads(Path(place["dataset_dir"], place["train"]["anno_path"]).read_text())
    assert [i["file_name"] for i in small["images"]] == ["1.jpg"]
    assert [a["image_id"] for a in small["annotations"]] == [1]
    assert small["info"] == {}
    assert place["train_images"] == 1
    assert ("train images", 3, 1) in [
        (a["what"], a["planned"], a["used"]) for a in run.data["adjustments"]
    ]


@pytest.mark.parametrize(
    ("kind", "items", "message"),
    [
        ("images", [1], "train.json: item without id (DS021): an item of images has no id: 1"),
        (
            "categories",
            ["ship"],
            "train.json: item without id (DS021): an item of categories has no id: 'ship'",
        ),
        (
            "annotations",
            [{"id": "a"}],
            "train.json: value of the wrong type (DS011): an item of annotations has the id 'a'",
        ),
        (
            "categories",
            [{"id": 0, "name": "ship"}] * 2,
            "train.json: id used twice (DS020): two items of categories have the id 0",
        ),
        (
            "images",
            [{"id": 0}],
            "train.json: missing value (DS012): image 0 lacks file_name, width or height",
        ),
        (
            "images",
            [{"id": 0, "file_name": "../x.jpg", "width": 1, "height": 1}],
            "train.json: value of the wrong type (DS011): image 0 has the file_name '../x.jpg'",
        ),
    ],
)
def test_items_of_the_wrong_shape(mount: Mount, kind: str, items: list, message: str) -> None:
    mount.train[kind] = items
    assert fault(mount) == message


def test_two_sources_of_one_name_do_not_remove_each_other(mount: Mount) -> None:
    mount.mount()
    other = mount.home / "data" / "data8"
    other.mkdir()
    with zipfile.ZipFile(str(other / "s.zip"), "w") as archive:
        archive.writestr("s/more.txt", "x")
    mount.job["sources"].append({"id": 8, "archive": "s.zip", "folder": None, "into": ""})
    place = prepare_data(str(mount.home), mount.job, "ships")
    assert Path(place["dataset_dir"], "train.json").is_file()
    assert Path(place["dataset_dir"], "more.txt").is_file()


def test_a_folder_does_not_fill_what_an_archive_filled(mount: Mount) -> None:
    mount.mount()
    (mount.home / "data" / "data7" / "s").mkdir()
    mount.job["sources"].append({"id": 7, "archive": None, "folder": "s", "into": ""})
    with pytest.raises(StageError, match="is in the way of the mounted folder"):
        prepare_data(str(mount.home), mount.job, "ships")


def test_cleaning_up_leaves_what_is_not_this_jobs(mount: Mount, run: Outcome) -> None:
    mount.prepare(1)
    datasets = mount.home / "datasets"
    (datasets / "other").mkdir()
    (datasets / "other" / "keep.txt").write_text("x")
    (datasets / "s" / "mine.txt").write_text("x")
    removed = remove_unpacked(str(mount.home), "ships", mount.job["sources"])
    assert removed == ["the files of s.zip", "the annotation files made of them"]
    left = sorted(p.relative_to(datasets).as_posix() for p in datasets.rglob("*") if p.is_file())
    assert left == ["other/keep.txt", "s/mine.txt"]
    assert (mount.home / "data" / "data7" / "s.zip").is_file()


def test_cleaning_up_removes_the_whole_of_an_ordinary_set(mount: Mount) -> None:
    mount.prepare(1)
    remove_unpacked(str(mount.home), "ships", mount.job["sources"])
    assert [p.name for p in (mount.home / "datasets").iterdir()] == [".jobgen"]
    assert not any(p.is_file() for p in (mount.home / "datasets").rglob("*"))


def test_files_that_are_made_never_meet_a_source(mount: Mount) -> None:
    """A set of the user's may be named as anything, also `<job>_smoke`."""
    mount.mount()
    folder = mount.home / "data" / "data7" / "ships_smoke"
    with zipfile.ZipFile(str(mount.home / "data" / "data7" / "s.zip")) as archive:
        archive.extractall(str(folder))
    before = (folder / "s" / "train.json").read_text()
    mount.job["sources"] = [{"id": 7, "archive": None, "folder": "ships_smoke", "into": ""}]
    mount.job["root"] = "ships_smoke/s"
    place = prepare_data(str(mount.home), mount.job, "ships", 1)
    assert (folder / "s" / "train.json").read_text() == before
    made = os.path.join(place["dataset_dir"], place["train"]["anno_path"])
    assert os.path.isfile(made)
    assert os.path.realpath(made).startswith(os.path.realpath(str(mount.home / "datasets")))


def test_a_folder_is_not_linked_into_another_mount(mount: Mount) -> None:
    for name in ("x", "y"):
        (mount.home / "data" / "data7" / name).mkdir(parents=True)
    mount.job["sources"] = [
        {"id": 7, "archive": None, "folder": "x", "into": ""},
        {"id": 7, "archive": None, "folder": "y", "into": "x"},
    ]
    with pytest.raises(StageError, match="would be linked into data that is not this job's"):
        prepare_data(str(mount.home), mount.job, "ships")
    assert list((mount.home / "data" / "data7" / "x").iterdir()) == []


@pytest.mark.parametrize("into", ["", "a/.jobgen"])
def test_a_mounted_folder_is_not_taken_for_jobgens_own_marks(mount: Mount, into: str) -> None:
    """Its files would say what is removed."""
    (mount.home / "data" / "data7" / ".jobgen").mkdir(parents=True)
    (mount.home / "data" / "data7" / "x").mkdir()
    name = "x" if into else ".jobgen"
    mount.job["sources"] = [{"id": 7, "archive": None, "folder": name, "into": into}]
    with pytest.raises(StageError, match="the name of jobgen's own marks"):
        prepare_data(str(mount.home), mount.job, "ships")


def test_a_byte_order_mark_is_taken_out_for_pycocotools(mount: Mount, run: Outcome) -> None:
    """We read past it, and PaddleDetection dies of it at the first evaluation: in a smoke run and
    in the job itself it gets a file without."""
    mount.before = "\ufeff"
    mount.mount()
    for few in (0, 1):
        place = prepare_data(str(mount.home), mount.job, "ships", few)
        path = os.path.join(place["dataset_dir"], place["eval"]["anno_path"])
        json.loads(Path(path).read_text(encoding="utf-8"))
    assert any("byte-order mark" in note["text"] for note in run.data["notes"])


@pytest.mark.parametrize("name", ["coco", "COCO", "Voc"])
def test_a_root_that_paddledetection_would_download(mount: Mount, name: str) -> None:
    """It is trained on under another name."""
    mount.root = mount.job["root"] = name
    place = mount.prepare()
    assert os.path.basename(place["dataset_dir"]).lower() not in DOWNLOADED_NAMES
    assert os.path.isfile(os.path.join(place["dataset_dir"], place["train"]["anno_path"]))


@pytest.mark.parametrize("mark", [{"ignore": 1}, {"iscrowd": 1}])
def test_boxes_that_are_all_left_out_are_none(mount: Mount, mark: dict) -> None:
    for box in mount.train["annotations"]:
        box.update(mark)
    with pytest.raises(StageError, match="PaddleDetection leaves out all"):
        mount.prepare()
