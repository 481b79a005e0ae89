"""Classification: sets of class folders and lists, their rules, plan and bundle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from jobgen.catalog import CLASSIFICATION, classifiers, environments, suggested_classifier
from jobgen.check.classes import check_classes
from jobgen.check.rules import CLASSES, chosen_rules, rules
from jobgen.datasets.classes import find_class_set
from jobgen.datasets.contents import open_contents
from jobgen.datasets.shapes import SHAPES, make_shapes
from jobgen.errors import SpecError
from jobgen.job.bundle import read_bundle
from jobgen.job.classification import ClassificationPlan
from jobgen.job.tasks import plan_any
from jobgen.spec import parse_any
from jobgen.yamlio import load
from jobgen_runtime.classify.after import figures_of
from jobgen_runtime.classify.export import compare_scores
from jobgen_runtime.data.faults import CLASS_FAULTS
from jobgen_runtime.record import outcome as outcome_module
from jobgen_runtime.record.outcome import begin
from tests.conftest import ROOT, Answer
from tests.sets import Coco, write_zip
from tests.test_check import first_box

Jobgen = Callable[..., Answer]


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    yield
    outcome_module._current[:] = []


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 32), (shade, 255 - shade, shade // 2)).save(buffer, "JPEG")
    return buffer.getvalue()


def folders(**more: bytes) -> dict[str, bytes]:
    """A sound set of two classes in folders; `more` are files to add."""
    found = {}
    shade = 0
    for split, count in (("train", 12), ("val", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                shade += 7
                found[f"pets/{split}/{name}/{number:02d}.jpg"] = picture(shade % 250)
    return {**found, **more}


def lists(train: str, val: str, labels: str | None = None) -> dict[str, bytes]:
    """The images of folders() with list files in place of the split folders."""
    found = {f"pets/images/{n}.jpg": picture(9 * n) for n in range(24)}
    found["pets/train_list.txt"], found["pets/val_list.txt"] = train.encode(), val.encode()
    if labels is not None:
        found["pets/labels.txt"] = labels.encode()
    return found


def rows(numbers: range, classes: tuple[str, str] = ("0", "1"), space: str = " ") -> str:
    return "".join(f"images/{n}.jpg{space}{classes[n % 2]}\n" for n in numbers)


def packed(tmp_path: Path, files: dict[str, bytes], name: str = "pets.zip") -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in files.items():
            archive.writestr(entry, data)
    return path


def codes(path: Path, deep: bool = False) -> dict[str, str]:
    found = check_classes([path], chosen_rules(family=CLASSES), deep=deep)
    return {finding.code: finding.text() for finding in found}


# --- what is found ---------------------------------------------------------------------------


def test_class_folders_are_found(tmp_path: Path) -> None:
    data = find_class_set(open_contents(packed(tmp_path, folders())))
    assert data is not None
    assert (data.root, data.form, data.classes) == ("pets", "folders", ["cat", "dog"])
    assert {split.name: len(split.rows) for split in data} == {"train": 24, "eval": 6}
    assert data.splits["eval"].keys == {"folder": "val"}


@pytest.mark.parametrize(
    ("train", "val", "labels", "classes"),
    [
        (rows(range(20)), rows(range(20, 24)), None, ["0", "1"]),
        (rows(range(20)), rows(range(20, 24)), "cat\ndog\n", ["cat", "dog"]),
        (rows(range(20)), rows(range(20, 24)), "0 cat\n1 dog\n", ["cat", "dog"]),
        (
            rows(range(20), ("猫", "狗"), "\t"),
            rows(range(20, 24), ("猫", "狗"), "\t"),
            None,
            ["狗", "猫"],
        ),
        (rows(range(20), space=","), rows(range(20, 24), space=","), None, ["0", "1"]),
        ("\ufeff" + rows(range(20)), rows(range(20, 24)), None, ["0", "1"]),
        # Paths from the folder of the images, as some tools write them.
        (
            rows(range(20)).replace("images/", ""),
            rows(range(20, 24)).replace("images/", ""),
            None,
            ["0", "1"],
        ),
    ],
)
def test_lists_are_found(
    tmp_path: Path, train: str, val: str, labels: str | None, classes: list[str]
) -> None:
    path = packed(tmp_path, lists(train, val, labels))
    data = find_class_set(open_contents(path))
    assert data is not None
    assert (data.form, data.classes) == ("lists", classes)
    assert {split.name: len(split.rows) for split in data} == {"train": 20, "eval": 4}
    assert not {"CL020", "CL021", "CL026"} & set(codes(path))


def test_names_with_spaces_are_no_trouble(tmp_path: Path) -> None:
    """PaddleClas's own delimiter is a space: the notebook writes lists with tabs."""
    files = {f"pets/a b {n}.jpg": picture(9 * n) for n in range(24)}
    listed = "".join(f"a b {n}.jpg {n % 2}\n" for n in range(24))
    files["pets/train.txt"], files["pets/val.txt"] = listed[:220].encode(), listed[220:].encode()
    data = find_class_set(open_contents(packed(tmp_path, files)))
    assert data is not None
    assert data.splits["train"].rows[0] == ("a b 0.jpg", 0)


@pytest.mark.parametrize(
    "files",
    [
        {"a/x.jpg": picture(1)},
        {"a/x.jpg": picture(1), "b/y.jpg": picture(2), "a/x.json": b"{}", "b/y.json": b"{}"},
        {"a.txt": b"x", "b.txt": b"y"},
        {"s/images/a.png": picture(1), "s/masks/a.png": picture(2)},
        {"train/cat.0.jpg": picture(1), "test/1.jpg": picture(2)},
        # Several classes in one image.
        {"train.txt": b"images/0.jpg\t0,1,0\n", "images/0.jpg": picture(1)},
        # PaddleX's lists of boxes: the second word is a file, not a class.
        {"s/train_list.txt": b"JPEGImages/a.jpg Annotations/a.xml\n", "s/JPEGImages/a.jpg": b""},
    ],
)
def test_what_is_no_classification_set(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert find_class_set(open_contents(packed(tmp_path, files))) is None


# --- rules ------------------------------------------------------------------------------------

LISTS = (rows(range(20)), rows(range(20, 24)))
FAULTS: dict[str, dict[str, bytes]] = {
    "CL001": {"a/x.jpg": picture(1)},
    "CL002": folders(**{f"pets/train/Cat /{n}.jpg": picture(n) for n in range(12)}),
    "CL003": folders(**{"pets/train/dog/same.jpg": picture(7)}),
    "CL004": folders(**{"pets/val/cat/same.jpg": picture(7)}),
    "CL005": lists(rows(range(0, 20, 2)) + rows(range(2, 4, 2)), LISTS[1]),
    "CL006": folders(**{f"pets/train/eel/{n}.jpg": picture(200 + n) for n in range(12)}),
    "CL007": folders(**{f"pets/train/cat/m{n}.png": picture(n % 250) for n in range(260)}),
    "CL008": folders(**{"pets/train/eel/1.jpg": picture(3), "pets/val/eel/2.jpg": picture(5)}),
    "CL009": {name: data for name, data in folders().items() if "/train/" in name},
    "CL010": lists(rows(range(20), ("a", "a")), rows(range(20, 24), ("a", "a"))),
    "CL011": folders(**{"pets/train/cat/broken.jpg": b"\xff\xd8\xff no image"}),
    "CL012": lists(LISTS[0] + rows(range(1)), LISTS[1]),
    "CL013": folders(**{"../outside.jpg": picture(1)}),
    "CL014": folders(**{"pets/train/cat/a.gif": picture(1)}),
    "CL020": lists(LISTS[0] + "images/3.jpg\n", LISTS[1]),
    "CL021": lists(LISTS[0] + "images/3.jpg 7\n", LISTS[1], "cat\ndog\n"),
    "CL022": folders(**{"pets/val/bird/1.jpg": picture(1)}),
    "CL023": folders(**{"pets/train/loose.jpg": picture(1)}),
    "CL026": lists(LISTS[0] + "images/99.jpg 1\n", LISTS[1]),
}
# What only a job can say of a set.
OF_A_JOB = {
    "CL027": lists(LISTS[0], "\n"),
    "CL024": lists(*LISTS),
    "CL025": lists(rows(range(18)), LISTS[1]),
}


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_one_fault_one_finding(code: str, tmp_path: Path) -> None:
    found = codes(packed(tmp_path, FAULTS[code]))
    assert code in found, found
    sound = codes(packed(tmp_path, folders(), "sound.zip"))
    assert code not in sound


def test_a_sound_set_has_no_findings(tmp_path: Path) -> None:
    assert codes(packed(tmp_path, folders()), deep=True) == {}
    make_shapes(tmp_path / "shapes.zip", 10, 3)
    assert codes(tmp_path / "shapes.zip", deep=True) == {}


def test_every_rule_of_sets_has_its_fault() -> None:
    known = {code for code, rule in rules(CLASSES).items() if rule.scope == "classes"}
    assert known == {*FAULTS, *OF_A_JOB}


def test_a_torn_image_is_found_by_decoding(tmp_path: Path) -> None:
    whole = picture(50)
    path = packed(tmp_path, folders(**{"pets/train/cat/torn.jpg": whole[: len(whole) // 2]}))
    assert "CL011" not in codes(path)
    assert "torn.jpg" in codes(path, deep=True)["CL011"]


# --- jobs ---------------------------------------------------------------------------------------


@pytest.fixture
def job(jobgen: Jobgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    packed(tmp_path, folders())
    assert jobgen("init", "pets", "--archive", "pets.zip", "--folder", "pets").code == 0
    return tmp_path / "pets" / "job.yaml"


def test_from_a_set_to_a_bundle(jobgen: Jobgen, job: Path) -> None:
    text = job.read_text(encoding="utf-8")
    assert 'task: "classification"' in text
    assert jobgen("check", job, "--archive", "pets.zip").code == 0
    assert jobgen("build", job).code == 0
    bundle = read_bundle(job.parent / "upload")
    assert sorted(bundle.files) == ["PPLCNet_x1_0_pets.yaml", "main.ipynb"]
    config = load(bundle.files["PPLCNet_x1_0_pets.yaml"].decode(), "x", "yaml11").value
    assert config["Arch"] == {"name": "PPLCNet_x1_0", "class_num": 2}
    assert config["DataLoader"]["Train"]["dataset"]["delimiter"] == "\t"
    assert config["Metric"]["Eval"] == [{"TopkAcc": {"topk": [1, 2]}}]
    assert jobgen("check", job.parent / "upload", "--archive", "pets.zip").code == 0
    assert jobgen("build", job, "--check").code == 0


def test_rules_of_jobs_need_no_data(jobgen: Jobgen, job: Path) -> None:
    text = job.read_text(encoding="utf-8").replace('pretrained: "imagenet"', "pretrained: none")
    job.write_text(text.replace("epochs: 50", "epochs: 4\n  base_lr: 1.0"), encoding="utf-8")
    found = {finding["code"] for finding in jobgen("check", job, "--json").json["findings"]}
    assert found == {"CL040", "CL041", "CL042"}
    assert "CL041" in jobgen("build", job).err


def test_another_set_is_told(jobgen: Jobgen, job: Path, tmp_path: Path) -> None:
    files = {n: d for n, d in folders().items() if "00" not in n}
    other = packed(tmp_path, files, "other.zip")
    answer = jobgen("check", job, "--archive", other, "--json")
    assert "CL025" in {finding["code"] for finding in answer.json["findings"]}
    gone = packed(tmp_path, {n: d for n, d in folders().items() if "/val/" not in n}, "gone.zip")
    answer = jobgen("check", job, "--archive", gone, "--json")
    assert "CL024" in {finding["code"] for finding in answer.json["findings"]}


def said_by_the_stage(home: Path, files: dict[str, bytes], dataset: dict[str, Any]) -> str:
    from jobgen_runtime.classify.dataset import place_classes
    from jobgen_runtime.record.errors import StageError

    mount = home / "data" / "data1"
    mount.mkdir(parents=True)
    packed(mount, files)
    record = begin(str(home / "output"), name="test")
    record.start("data")
    try:
        place_classes(str(home), dataset, "pets")
    except StageError as error:
        return error.message
    return "\n".join(note["text"] for note in record.data["notes"])


FOLDERS = {"train": {"folder": "train"}, "eval": {"folder": "val"}, "classes": ["cat", "dog"]}
LISTED = {
    "train": {"list": "train_list.txt"},
    "eval": {"list": "val_list.txt"},
    "classes": ["cat", "dog"],
}


@pytest.mark.parametrize("code", sorted(CLASS_FAULTS))
def test_the_stage_and_the_rules_agree(code: str, tmp_path: Path) -> None:
    """Of one set both say the same, by the same code."""
    form = FOLDERS if code in ("CL022", "CL023", "CL024") else LISTED
    files = FAULTS.get(code) or OF_A_JOB[code]
    data = job_data(form)
    if form is LISTED:
        data["dataset"]["expect"] = {"train": {"images": 20}, "eval": {"images": 4}}
    plan = plan_any(*parse_any(load(json.dumps(data), "job.yaml")))
    assert isinstance(plan, ClassificationPlan)
    said = said_by_the_stage(tmp_path / "home", files, plan.spec.dataset.model_dump())
    assert f"({code})" in said
    chosen = chosen_rules(family=CLASSES)
    found = check_classes([packed(tmp_path, files)], chosen, plan)
    assert code in {finding.code for finding in found.errors}


def job_data(form: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "pets",
        "task": "classification",
        "environment": "paddle2.6_py3.10",
        "dataset": {
            "sources": [{"archive": "pets.zip"}],
            "root": "pets",
            **form,
            "expect": {"train": {"images": 24}, "eval": {"images": 6}},
        },
        "model": {"config": "PPLCNet_x0_25"},
        **more,
    }


def planned(**more: Any) -> ClassificationPlan:
    data = job_data(FOLDERS, **more)
    plan = plan_any(*parse_any(load(json.dumps(data), "job.yaml")))
    assert isinstance(plan, ClassificationPlan)
    return plan


def test_the_rate_follows_the_batch() -> None:
    values = planned(train={"epochs": 20, "batch_size": 8}).values
    assert values["base_lr"].value == pytest.approx(0.8 / 2048 * 8)
    assert values["warmup_epochs"].value == 2
    assert values["steps_per_epoch"].value == 3
    assert planned().values["batch_size"].value == 2


def test_an_override_is_checked_and_counts() -> None:
    plan = planned(overrides={"Global": {"save_interval": 3}, "Optimizer": {"momentum": 0.8}})
    assert plan.config["Optimizer"]["momentum"] == 0.8
    assert plan.values["snapshot_epoch"].value == 3
    assert plan.numbers()["overridden"] == ["snapshot_epoch"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"overrides": {"Optimiser": {}}}, "did you mean Optimizer?"),
        ({"overrides": {"Global": {"epochs": 3}}}, "is said by train.epochs"),
        ({"overrides": {"Optimizer": 3}}, "keys should stand below it"),
        ({"model": {"config": "picodet_s_320_coco_lcnet"}}, "is no classifier"),
        ({"model": {"config": "pplcnet_x1"}}, "PPLCNet_x1_0"),
        ({"environment": "paddle3.0_py3.10"}, "is not for classification"),
        ({"environment": "paddle9"}, "paddle9"),
        ({"stages": ["compress"]}, "stages.0: 'compress' is not known"),
        ({"train": {"batch_size": 99}}, "more than the 24"),
        ({"task": "segmentation"}, "task: 'segmentation' is not known"),
        ({"model": {"config": "ResNet50", "pretrained": "coco"}}, "it is none of imagenet, none"),
        ({"train": {"repeat": 3}}, "unknown key repeat"),
        ({"overrides": {"AMP": {"use_amp": True}}}, "is said by train.amp"),
        ({"overrides": {"Infer": {"transforms": []}}}, "is said by model.input_size"),
    ],
)
def test_what_can_not_be_meant(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        planned(**more)
    assert message in caught.value.message


def test_the_missing_task_is_named(jobgen: Jobgen, job: Path) -> None:
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace('task: "classification"\n', ""), encoding="utf-8")
    assert "Write a line: task: classification" in jobgen("build", job).err


def test_boxes_are_not_for_classification(jobgen: Jobgen, job: Path) -> None:
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace('{"folder": "train"}', '{"annotations": "a.json"}'), "utf-8")
    assert "unknown key annotations" in jobgen("build", job).err


def test_commands_of_detection_say_so(jobgen: Jobgen, job: Path) -> None:
    answer = jobgen("templates", "diff", job)
    assert answer.code != 0
    assert "the task of pets is classification" in answer.err


def test_the_plan_is_explained(jobgen: Jobgen, job: Path) -> None:
    answer = jobgen("explain", job, "--json")
    rows = {row["name"]: row for row in answer.json["values"]}
    assert rows["PaddleClas"]["value"] == "develop"
    assert rows["epochs"]["origin"].startswith("job.yaml:")


def test_splitting_keeps_what_is_the_same_together(jobgen: Jobgen, tmp_path: Path) -> None:
    files = {
        f"all/{c}/{n}.jpg": picture(5 * n + 90 * k) for k, c in enumerate("ab") for n in range(15)
    }
    files.update({f"all/a/copy{n}.jpg": picture(0) for n in range(3)})
    path, goal = packed(tmp_path, files), tmp_path / "new.zip"
    answer = jobgen("dataset", "split", path, goal, "--json")
    assert answer.code == 0
    assert answer.json["held_together"] == 4
    data = find_class_set(open_contents(goal))
    assert data is not None
    assert {split.name for split in data} == {"train", "eval"}
    assert "CL004" not in codes(goal)
    # Dealt out once more: every image is there, whichever half it was in.
    again = tmp_path / "again.zip"
    assert jobgen("dataset", "split", goal, again, "--seed", 2, "--val", 0.4).code == 0
    data = find_class_set(open_contents(again))
    assert data is not None
    assert sum(len(split.rows) for split in data) == 33


def test_a_set_with_train_alone_is_split_beside_it(jobgen: Jobgen, tmp_path: Path) -> None:
    files = {name: data for name, data in folders().items() if "/train/" in name}
    path, goal = packed(tmp_path, files), tmp_path / "new.zip"
    assert jobgen("dataset", "split", path, goal).code == 0
    data = find_class_set(open_contents(goal))
    assert data is not None
    assert (data.root, data.classes, set(data.splits)) == (
        "pets",
        ["cat", "dog"],
        {"train", "eval"},
    )


def test_lists_are_split_as_lists(jobgen: Jobgen, tmp_path: Path) -> None:
    files = lists(rows(range(24)), "", "cat\ndog\n")
    del files["pets/val_list.txt"]
    path, goal = packed(tmp_path, files), tmp_path / "new.zip"
    assert jobgen("dataset", "split", path, goal).code == 0
    data = find_class_set(open_contents(goal))
    assert data is not None
    assert (data.form, data.classes) == ("lists", ["cat", "dog"])
    assert {split.name: len(split.rows) for split in data} == {"train": 20, "eval": 4}
    assert codes(goal).keys() <= {"CL008"}


def test_names_and_numbers_of_classes(tmp_path: Path) -> None:
    """Numbers are numbers, whatever the classes are called; names that count from 1 are names."""
    names = ["0", "1", "10", "2"]
    files = lists("", "", "".join(f"{name}\n" for name in names))
    files["pets/train_list.txt"] = "".join(f"images/{n}.jpg {n % 4}\n" for n in range(20)).encode()
    files["pets/val_list.txt"] = "".join(
        f"images/{n}.jpg {n % 4}\n" for n in range(20, 24)
    ).encode()
    data = find_class_set(open_contents(packed(tmp_path, files)))
    assert data is not None
    assert [row.number for row in data.splits["train"].rows[:4]] == [0, 1, 2, 3]
    one = {"pets/train_list.txt": rows(range(20), ("1", "2")).encode()}
    # A val list that lacks a class reads the same.
    two = {"pets/val_list.txt": rows(range(20, 24), ("1", "1")).encode()}
    data = find_class_set(open_contents(packed(tmp_path, {**lists("", ""), **one, **two}, "b.zip")))
    assert data is not None
    assert data.classes == ["1", "2"]
    assert not any(split.troubles for split in data)
    assert {row.number for row in data.splits["eval"].rows} == {0}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ("1\t香蕉\n0\t苹果\n", ["苹果", "香蕉"]),
        ("苹果 0\n香蕉 1\n", ["苹果", "香蕉"]),
        ("3 D printer\n2 D plot\n", ["3 D printer", "2 D plot"]),
        ("cat\ncat\n", ["0", "1"]),
    ],
)
def test_files_of_labels(tmp_path: Path, labels: str, classes: list[str]) -> None:
    path = packed(tmp_path, lists(rows(range(20)), rows(range(20, 24)), labels))
    data = find_class_set(open_contents(path))
    assert data is not None
    assert data.classes == classes


def test_lists_in_a_folder_beside_the_images(tmp_path: Path) -> None:
    files = {f"s/images/{n}.jpg": picture(9 * n) for n in range(24)}
    files["s/lists/train.txt"] = rows(range(20)).encode()
    files["s/lists/val.txt"] = rows(range(20, 24)).encode()
    data = find_class_set(open_contents(packed(tmp_path, files)))
    assert data is not None
    assert (data.root, data.splits["train"].keys) == ("s", {"list": "lists/train.txt"})


def test_a_set_of_classes_is_looked_at(jobgen: Jobgen, tmp_path: Path) -> None:
    path = packed(tmp_path, folders())
    shown = jobgen("dataset", "inspect", path, "--json").json
    assert shown["splits"] == {"train": {"cat": 12, "dog": 12}, "eval": {"cat": 3, "dog": 3}}
    sheet = tmp_path / "sheet.png"
    assert jobgen("dataset", "preview", path, "-o", sheet).code == 0
    with Image.open(sheet) as image:
        assert image.width > 300


def test_the_catalogue_of_classifiers(jobgen: Jobgen) -> None:
    assert len(classifiers()) == 22
    for purpose in ("phone", "server", "accuracy"):
        assert suggested_classifier(purpose) in classifiers()
    assert list(environments(CLASSIFICATION)) == ["paddle2.6_py3.10"]
    listed = jobgen("models", "--task", "classification", "resnet", "--json").json["models"]
    assert {row["name"] for row in listed} == {"ResNet18", "ResNet34", "ResNet50", "ResNet101"}
    assert jobgen("models", "--task", "classification", "vgg").code == 2


def test_the_demo_is_prepared(jobgen: Jobgen, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    answer = jobgen("demo", "--task", "classification", "--folder", folder, "--prepare-only")
    assert answer.code == 0
    data = find_class_set(open_contents(folder / "shapes.zip"))
    assert data is not None
    assert data.classes == list(SHAPES)
    assert any("星 形" in row.path for row in data.splits["train"].rows)


def test_a_task_that_does_not_fit_the_data(jobgen: Jobgen, tmp_path: Path) -> None:
    path = packed(tmp_path, folders())
    for arguments in (
        ("init", "x", "--archive", path, "--task", "detection", "--folder", tmp_path / "x"),
        ("dataset", "convert", path, tmp_path / "coco.zip"),
    ):
        answer = jobgen(*arguments)
        assert answer.code == 4
        assert "it is a set for classification, of 2 classes" in answer.err
        assert f"jobgen init NAME --archive {path}" in answer.err
    boxes = write_zip(tmp_path / "ships.zip", first_box(Coco()).all_files())
    where = ("--folder", tmp_path / "y")
    answer = jobgen("init", "y", "--archive", boxes, "--task", "classification", *where)
    assert (answer.code, "Leave out --task classification" in answer.err) == (4, True)


def test_what_is_measured_is_as_the_schema_says() -> None:
    """The figures of a classification, as the stages put them together."""
    schema = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
    scores = [[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]]
    found = figures_of([0, 1, 1], scores, ["cat", "dog"])
    metrics = {
        "best": {"top1": 0.5, "eval_loss": 0.7, "epoch": 3},
        "evaluation": {"top1": found["top1"], "images": 3, "weights": "best_model.pdparams"},
        "per_class": found["per_class"],
        "confusion": {"rows": found["confusion"]},
        "inference": {"images": 3, "wrong": 1},
        "parity": {"onnx": compare_scores(scores, scores)},
    }
    part = {**schema["properties"]["metrics"], "$defs": schema["$defs"]}
    jsonschema.validate(metrics, part)
    metrics["evaluation"] = {"images": 3, "weights": "best_model.pdparams"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metrics, part)
