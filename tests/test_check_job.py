"""Every rule of jobs on one job or upload with that one fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobgen.authoring import eject
from jobgen.catalog import config_texts
from jobgen.check.rules import rules
from jobgen.packs.render import load_job_pack
from tests.conftest import JOB, ROOT, Answer
from tests.sets import Coco, write_zip

Codes = set[str]
MODEL = "picodet_xs_320_ships_lcnet.yml"
DATA = "coco_detection_ships.yml"
CONFIG = '"TrainReader":'
TRAIN_CELL = "notebook/70_train.py.j2"

# What job.yaml says otherwise: the old text, the new one.
JOBS: dict[str, tuple[str, str]] = {
    "SP001": ("epochs: 40", "epochs: many"),
    "SP002": ("picodet_xs_320_coco_lcnet", "picodet_xs_300"),
    "SP003": ("train:\n  epochs", "export: {format: json}\ntrain:\n  epochs"),
    "SP004": ("train:\n  epochs", "parameters: {speed: 3}\ntrain:\n  epochs"),
    "PL007": ("epochs: 40", "epochs: 40"),
    "PL009": ("picodet_xs_320_coco_lcnet", "rtdetr_r18vd_6x_coco"),
    "PL010": ("picodet_xs_320_coco_lcnet", "yolox_nano_300e_coco\n  pretrained: imagenet"),
    "PL011": ("dataset:\n", "dataset:\n  shrink: 64\n"),
    "PL008": ("lcnet\n", "lcnet\n  pretrained: https://h/picodet_l_640_coco_lcnet.pdparams\n"),
    "PL001": ("  expect:\n    train: {images: 160, boxes: 300}\n    eval: {images: 48, boxes: 90}\n", ""),
    "PL002": ("epochs: 40", "epochs: 40\n  gpus: 8"),
    "PL003": ("epochs: 40", "epochs: 40\n  batch_size: 161"),
    "PL004": ("epochs: 40", "epochs: 40\n  repeat: 3"),
    "PL005": ("epochs: 40", "epochs: 40\n  batch_size: 120"),
    "PL006": ("paddle2.6_py3.10", "paddle2.4_py3.7"),
    "CF001": ("train:\n  epochs", "overrides: {PicoHeadV2: {nms: {nms_treshold: 0.5}}}\ntrain:\n  epochs"),
    "CF002": ("train:\n  epochs", "overrides: {log_iter: often}\ntrain:\n  epochs"),
    "CF040": ("train:\n  epochs", "overrides: {TrainReader: {mixup_epoch: 5}}\ntrain:\n  epochs"),
    "CF003": ("train:\n  epochs", "overrides: {epoch: 5}\ntrain:\n  epochs"),
    "CF004": ("train:\n  epochs", "overrides: {snapshot_epoch: 0}\ntrain:\n  epochs"),
    "CF024": ("train:\n  epochs", "overrides: {snapshot_epoch: 99}\ntrain:\n  epochs"),
    "CF023": ("train:\n  epochs", "overrides: {PicoHeadV2: {static_assigner_epoch: 40}}\ntrain:\n  epochs"),
    "CF020": ("epochs: 40", "epochs: 40\n  base_lr: 0.32"),
    "CF036": ("lcnet\n", "lcnet\n  pretrained: none\n"),
    "OU001": ("train:\n  epochs: 40", "overrides: {snapshot_epoch: 1}\ntrain:\n  epochs: 2000"),
}  # fmt: skip


def change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def notebook(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "main.ipynb"
        found = json.loads(path.read_text(encoding="utf-8"))
        edit(found)
        path.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")

    return apply


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
            "execution_count": None, "id": "added"}  # fmt: skip


def run(code: str) -> Callable[[Path], None]:
    """A notebook made by hand that runs a shell command where a failure is seen."""
    return notebook(lambda n: n.update(cells=[cell(f"%%bash\n{code}")]))


CLONE = "set -e\ngit clone -b release/2.6 https://gitee.com/paddlepaddle/PaddleDetection.git"
HOME_FILES = "/home/aistudio"
CONFIGS = "/home/aistudio/PaddleDetection/configs"
COPY = f"cp {HOME_FILES}/{MODEL} {CONFIGS}/picodet/\ncp {HOME_FILES}/{DATA} {CONFIGS}/datasets/"
TRAIN = f"{COPY}\ncd PaddleDetection\npython tools/train.py -c configs/picodet/{MODEL}"


def both(*edits: Callable[[Path], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        for edit in edits:
            edit(folder)

    return apply


# An upload made by hand (the built files, their notebook without jobgen's mark), edited.
BY_HAND: dict[str, Callable[[Path], object]] = {
    "CF005": change(MODEL, "_BASE_:", "_BASE:"),
    "CF010": change(MODEL, "\nepoch: 10", "\nepoch: 50\nepoch: 10"),
    "CF011": change(DATA, "metric: COCO", "metric: [COCO"),
    "CF012": change(MODEL, '"../runtime.yml"', f'"../runtime.yml", "{MODEL}"'),
    "CF013": change(MODEL, "../runtime.yml", "../runtimes.yml"),
    "CF021": change(MODEL, '"max_epochs": 10', '"max_epochs": 300'),
    "CF026": change(MODEL, "\nepoch: 10", "\nepoch: 10\nTestReader: {inputs_def: {image_shape: [1, 3, 416, 416]}}"),
    "CF027": change(MODEL, "TrainReader:\n", "TrainReader:\n  batch_transforms: [{BatchRandomResize: {target_size: [320, 350]}}]\n"),
    "CF028": change(MODEL, "TrainReader:\n", "TrainReader:\n  use_shared_memory: true\n"),
    "CF030": change(DATA, "/home/aistudio/datasets/ships/", "/home/aistudio/datasets/coco"),
    "CF031": change(MODEL, "use_ema: true", "use_ema: true\nema_decay: 1e-3"),
    "CF032": change(MODEL, "use_ema: true", "use_ema: true\nsnapshot_epochs: 5"),
    "CF035": change(DATA, '"train.json"', '"train.txt"'),
    "BU003": lambda folder: (folder / "main.ipynb").write_text("{}"),
    "BU004": notebook(lambda n: n["metadata"].pop("kernelspec")),
    "BU006": notebook(lambda n: n["cells"].append({**cell("x = 1"), "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]})),
    "BU007": notebook(lambda n: n["cells"].append(cell("!python tools/train.py"))),
    "BU009": change(DATA, "metric: COCO", "metric: COCO\n# token: 'abcdefgh12345678'"),
    "BU010": lambda folder: (folder / "weights.bin").write_bytes(b"#" * 60_000_000),
    "HM001": run("cp a.yml /home/aistudio//configs/datasets/"),
    "HM002": run(f"set -e\ngit clone -b develop https://x.org/P.git\npython tools/eval.py -o weights=output/{MODEL[:-4]}/model_final.pdparams"),
    "HM003": run("git clone https://gitee.com/paddlepaddle/PaddleDetection.git"),
    "HM004": run("git clone -b v2.6.0 https://gitee.com/paddlepaddle/PaddleDetection.git"),
    "HM008": run("python tools/eval.py -c a.yml -o PicoHeadV2.nms.keep_top_k=9 PicoHeadV2.nms.nms_eta=1"),
    "HM009": run("python tools/eval.py -c a.yml -o LearningRate.schedulers.0.max_epochs=10"),
    "HM012": run("python tools/train.py -c a.yml -r output/a/9.pdema"),
    "HM013": run("pip install -r PaddleDetection/requirements.txt"),
    "HM010": run("python tools/train.py -c a.yml --use_vdl=False"),
    "HM011": run("python tools/train.py -c a.yml | tee log.txt"),
    "HM007": run("git clone -b release/2.7 https://gitee.com/paddlepaddle/PaddleDetection.git"),
    "CF037": change(DATA, "metric: COCO", "metric: VOC"),
    "CF038": change(DATA, "data_fields", "fields_of_data"),
    "CF039": change(DATA, "name: COCODataSet", "name: VOCDataSet"),
    "HM014": run(f"{CLONE}\npython tools/train.py"),
    "HM015": run(f"{CLONE}\ncd PaddleDetection\npython tools/train.py -c configs/picodet/{MODEL}"),
    "HM016": both(
        run(f"{CLONE}\nunzip -q data/data1/ships.zip -d Ships\n{TRAIN}"),
        change(DATA, "/home/aistudio/datasets/ships/", "/home/aistudio/ships"),
    ),
    "HM017": run(f"{CLONE}\ncd PaddleDetection\npython tools/train.py -r output/ships/50"),
    "HM018": run(f"{CLONE}\ncd PaddleDetection\nunzip -q data/data1/ships.zip -d ../dataset"),
    "HM019": run("pip install paddlepaddle-gpu==2.5.2"),
    "HM020": notebook(lambda n: n["cells"].append(cell("epochs = input('epochs? ')"))),
    "HM021": run("ffmpeg -i film.mp4 frames/"),
    "HM022": notebook(lambda n: n["cells"].append(cell("from ultralytics import YOLO\nYOLO('yolov8n.pt').train(data='a.yaml')"))),
    "HM005": run("python tools/eval.py -c a.yml -o epoch=1 -o use_gpu=true"),
    "HM006": run("python tools/eval.py -c a.yml -o LearningRate.base_lr=1e-3"),
}  # fmt: skip
# An upload of jobgen's, edited after the build.
BUILT: dict[str, Callable[[Path], object]] = {
    "BU001": lambda folder: (folder / "notes.txt").write_text("x"),
    "BU002": change(MODEL, "use_ema: true", "use_ema: true # yes"),
    "BU005": lambda folder: (folder / DATA).unlink(),
    "BU008": notebook(lambda n: n["cells"].append(cell("try:\n    pass\nexcept* ValueError:\n    pass"))),
    "BU011": notebook(lambda n: n["metadata"]["jobgen"].update(version="0.0.1")),
    "BU013": notebook(lambda n: n["metadata"]["jobgen"]["spec"].update(environment="paddle9")),
    "BU012": notebook(lambda n: n["cells"].append({**cell("x = 1"), "metadata": {"tags": ["parameters"]}})),
    "BU014": lambda folder: change("job.yaml", "epochs: 40", "epochs: 80")(folder.parent),
    "CF022": change(MODEL, '"steps": 40', '"steps": 300'),
    "CF025": change(DATA, "num_classes: 1", "num_classes: 80"),
}  # fmt: skip
# Faults that can't be alone.
BESIDE: dict[str, Codes] = {
    "PL002": {"PL003"},
    "CF011": {"CF013"},
    "HM002": {"HM004", "HM007"},
    **{f"HM0{number}": {"HM004", "HM007"} for number in range(14, 19)},
    "CF037": {"CF032"},
    "CF038": {"CF032"},
    "HM003": {"HM004"},
    "HM004": {"HM007"},
    "HM007": {"HM004"},
    "BU005": {"CF013"},
    "BU008": {"BU002"},
    "BU012": {"BU002"},
    "CF022": {"BU002"},
    "CF025": {"BU002"},
}


def found(answer: Answer) -> Codes:
    return {finding["code"] for finding in answer.json["findings"]}


@pytest.fixture
def upload(jobgen: Callable[..., Answer], job: Path) -> Path:
    assert jobgen("build", job).code == 0
    return job.parent / "upload"


def unmarked(folder: Path) -> None:
    notebook(lambda n: n["metadata"].pop("jobgen"))(folder)


def test_every_rule_has_its_job() -> None:
    known = {code for code, rule in rules().items() if rule.scope == "job"}
    assert {*JOBS, *BY_HAND, *BUILT, "OU002", "CF033"} == known


def test_a_sound_job_has_no_findings(
    jobgen: Callable[..., Answer], job: Path, upload: Path
) -> None:
    for target in (job, upload):
        answer = jobgen("check", target)
        assert answer.code == 0, answer.out
        assert answer.out.startswith("nothing found, ")
    unmarked(upload)
    assert jobgen("check", upload).out.startswith("nothing found, ")


def faulty_job(code: str, job: Path) -> None:
    """Write the fault of a code into job.yaml."""
    text = job.read_text(encoding="utf-8")
    if code == "OU001":
        text = text.replace("picodet_xs_320_coco_lcnet", "picodet_l_640_coco_lcnet")
    if code == "PL002":
        text = text.replace("images: 160, boxes: 300", "images: 5, boxes: 300")
    if code == "PL007":
        eject(load_job_pack("paddledetection", job.parent), TRAIN_CELL, job.parent / "templates")
        kept = job.parent / "templates" / ".ejected" / TRAIN_CELL
        kept.write_text(kept.read_text("utf-8") + "# as it was\n", encoding="utf-8")
    if code == "PL006":
        text = text.replace("epochs: 40", "epochs: 40\n  amp: true")
    assert JOBS[code][0] in text
    job.write_text(text.replace(*JOBS[code], 1), encoding="utf-8")


@pytest.mark.parametrize("code", sorted(JOBS))
def test_one_fault_of_a_job(code: str, jobgen: Callable[..., Answer], job: Path) -> None:
    faulty_job(code, job)
    answer = jobgen("check", job, "--json")
    assert found(answer) - BESIDE.get(code, set()) == {code}, answer.out
    assert answer.code == int(rules()[code].severity.value == "error")


@pytest.mark.parametrize("code", sorted(BY_HAND))
def test_one_fault_of_an_upload_made_by_hand(
    code: str, jobgen: Callable[..., Answer], upload: Path
) -> None:
    unmarked(upload)
    BY_HAND[code](upload)
    answer = jobgen("check", upload, "--json")
    assert found(answer) - BESIDE.get(code, set()) == {code}, answer.out


@pytest.mark.parametrize("code", sorted(BUILT))
def test_one_fault_of_a_bundle(code: str, jobgen: Callable[..., Answer], upload: Path) -> None:
    BUILT[code](upload)
    if code in ("BU011", "BU013"):  # what the notebook says of itself is in none of its hashes
        assert "BU002" not in found(jobgen("check", upload, "--json"))
    answer = jobgen("check", upload, "--json")
    assert found(answer) - BESIDE.get(code, set()) == {code}, answer.out


def test_the_tutorials_upload(jobgen: Callable[..., Answer]) -> None:
    """What the tutorial's own three files do in silence is all said."""
    answer = jobgen("check", ROOT / "tests" / "data" / "tutorial", "--json")
    assert answer.code == 1
    assert found(answer) == {
        *(
            "BU007",
            "HM001",
            "HM015",
            "HM002",
            "HM003",
            "HM004",
            "HM005",
            "HM013",
            "CF020",
            "CF021",
            "CF023",
        ),
    }
    by_code = {f["code"]: f for f in answer.json["findings"]}
    assert by_code["HM001"]["examples"] == ["/home/aistudio//configs/datasets/"]
    assert "nothing copies coco_detection_ships.yml to" in by_code["HM015"]["message"]
    assert by_code["CF020"]["place"] == "picodet_l_640_ships_lcnet.yml:36"
    assert by_code["BU007"]["count"] == 8


def output(folder: Path, device: str, speeds: list[float]) -> Path:
    """What a run leaves, as far as its speed goes."""
    folder.mkdir(exist_ok=True)
    result = {"schema": 1, "stages": [], "device": device, "plan": {"gpus": 2}}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    rows = "".join(f"0,{n},{speed}\n" for n, speed in enumerate(speeds))
    (folder / "metrics.csv").write_text("epoch,step,ips\n" + rows, encoding="utf-8")
    return folder


def test_a_job_that_takes_longer_than_a_task_may(
    jobgen: Callable[..., Answer], job: Path, tmp_path: Path
) -> None:
    text = job.read_text(encoding="utf-8")
    text = text.replace("images: 160,", "images: 5000,").replace("epochs: 40", "epochs: 300")
    job.write_text(text, encoding="utf-8")
    slow = output(tmp_path / "out", "gpu", [2.0, 2.5, 9.0])
    answer = jobgen("check", job, "--measured", slow)
    # 300 epochs of 78 steps of 64 images, at 2.5 images/s on each of two cards.
    assert "OU002" in answer.out
    assert "about 83 hours, at 5 images/s" in answer.out
    for device, speed in (("gpu", 100.0), ("cpu", 2.0)):
        fine = output(tmp_path / "out", device, [speed])
        assert jobgen("check", job, "--measured", fine).out.startswith("nothing found")
    assert jobgen("check", job, "--measured", tmp_path).code == 7


def test_an_upload_made_by_hand_with_its_data(
    jobgen: Callable[..., Answer], upload: Path, tmp_path: Path
) -> None:
    unmarked(upload)
    change(MODEL, "repeat: 4", "repeat: 1")(upload)
    path = write_zip(tmp_path / "ships.zip", Coco().all_files())
    answer = jobgen("check", upload, "--archive", path, "--json")
    # Four images, each seen once an epoch: the built batch of 16 is too large for them.
    assert found(answer) == {"CF025", "CF033"}
    messages = [finding["message"] for finding in answer.json["findings"]]
    assert messages[0].endswith("1, the data has 2")
    assert messages[1].endswith("16 images, the set has 4")


def test_a_job_with_its_data(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    text = JOB.replace("images: JPEGImages", "images: images").replace("[ship]", "[ship, boat]")
    text = text.replace("images: 160, boxes: 300", "images: 4, boxes: 8")
    text = text.replace("images: 48, boxes: 90", "images: 2, boxes: 4")
    (tmp_path / "job.yaml").write_text(text, encoding="utf-8")
    made = Coco()
    del made.val["annotations"][0]["area"]
    path = write_zip(tmp_path / "ships.zip", made.all_files())
    answer = jobgen("check", tmp_path / "job.yaml", "--archive", path, "--json")
    assert answer.json["checked"] == ["job", "data set"]
    assert found(answer) == {"DS014"}


def test_explain_names_value_origin_and_rule(jobgen: Callable[..., Answer], job: Path) -> None:
    answer = jobgen("explain", job)
    assert answer.code == 0, answer.err
    lines = filter(None, answer.out.splitlines())
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert rows["dataset.shrink"].startswith("auto default: training reads copies of 768 px")
    assert rows["expected:"].startswith("about ")
    assert rows["training"].endswith("scaled by the models' cost")
    assert rows["epochs"] == "10 job.yaml: 40 passes over the set, 4 in an epoch"
    assert rows["base_lr"].startswith(
        "0.02 rule: 0.00125 x 16 x 1; the config's 0.32 is for 4 cards"
    )
    assert rows["batch_size"].startswith("16 rule: ")
    assert rows["gpus"] == "1 default"
    values = {v["name"]: v for v in jobgen("explain", job, "--json").json["values"]}
    assert values["steps"]["value"] == 400
    assert values["num_classes"]["origin"] == "job.yaml:10"


def test_the_whole_config_with_file_and_line(
    jobgen: Callable[..., Answer], job: Path, upload: Path
) -> None:
    found = jobgen("explain", job, "--full", "--json").json
    assert found["config"]["num_classes"] == 1
    assert found["origins"]["num_classes"] == f"configs/datasets/{DATA}:3"
    assert found["origins"]["PicoHeadV2.fpn_stride"].endswith("picodet_v2.yml (catalogue)")
    line = int(found["origins"]["epoch"].rpartition(":")[2])
    text = (upload / MODEL).read_text(encoding="utf-8").splitlines()
    assert text[line - 1] == "epoch: 10"
    assert "epoch = 10    " in jobgen("explain", job, "--full").out


def test_two_jobs_side_by_side(jobgen: Callable[..., Answer], job: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "job.yaml"
    other.parent.mkdir()
    other.write_text(
        job.read_text(encoding="utf-8").replace("epochs: 40", "epochs: 80"), encoding="utf-8"
    )
    answer = jobgen("explain", job, "--diff", other)
    assert "\nepoch: 10 -> 16\n" in answer.out
    assert "LearningRate.schedulers.0.max_epochs: 10 -> 16\n" in answer.out
    assert jobgen("explain", job, "--diff", job).out == "no difference\n"


def test_a_config_of_paddledetection_in_place_of_a_job(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "_base_").mkdir()
    (tmp_path / "_base_" / "a.yml").write_text("epoch: 1\nX: {a: 1, b: [1, 2]}\n")
    path = tmp_path / "m.yml"
    path.write_text("_BASE_: ['_base_/a.yml']\nX: {b: [3]}\nL: [!CosineDecay {max_epochs: 3}]\n")
    found = jobgen("explain", path, "--full", "--json").json
    assert found["config"] == {
        "epoch": 1, "X": {"a": 1, "b": [3]}, "L": [{"!CosineDecay": {"max_epochs": 3}}],
    }  # fmt: skip
    assert found["origins"]["X.a"] == f"{tmp_path}/_base_/a.yml:2"
    assert found["origins"]["X.b"] == f"{path}:2"


def test_models_and_environments_are_listed(jobgen: Callable[..., Answer]) -> None:
    rows = [" ".join(row.split()) for row in jobgen("models").out.splitlines()]
    assert "picodet_l_640_coco_lcnet 640 px 5.8 M 42.6 59.2 62.5 (i7-10750H) 12 13 GB 200" in rows
    (one,) = jobgen("models", "l_640", "--json").json["models"]
    assert one["weights"]["coco"].endswith("picodet_l_640_coco_lcnet.pdparams")
    assert jobgen("models", "yolo", "--json").json["models"][0]["family"] == "ppyolo"
    assert jobgen("models", "toy").code == 2
    answer = jobgen("models", "faster_rcnn")
    assert (answer.code, "Faster R-CNN is not offered: training stops" in answer.err) == (2, True)
    assert "not offered: SSDLite: its export" in jobgen("models").err
    found = jobgen("environments", "--json").json["environments"]
    assert [e["revision"] for e in found] == ["release/2.6", "release/2.7", "v2.6.0", "develop"]
    assert "one-card-nan  ppdet/modeling/heads/pico_head.py" in jobgen("environments", "2.6").out
    assert jobgen("environments", "paddle9").code == 2


def made_by_hand(folder: Path, name: str, text: str, goal: str, branch: str) -> Path:
    """An upload whose notebook clones a branch, copies one config of upstream's and trains it."""
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    lines = (
        f"git clone https://gitee.com/paddlepaddle/PaddleDetection.git -b {branch}\n"
        f"cp {HOME_FILES}/{name} PaddleDetection/configs/{goal}/\n"
        f"cd PaddleDetection\npython tools/train.py -c configs/{goal}/{name} --eval"
    )
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    cells = [{**cell, "source": f"%%bash -e\n{lines}"}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "main.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def codes_of(answer: Answer) -> dict[str, str]:
    return {found["code"]: found["message"] for found in answer.json["findings"]}


def test_uploads_of_other_families_are_judged(
    tmp_path: Path, jobgen: Callable[..., Answer]
) -> None:
    name = "ppyoloe_plus_crn_s_80e_coco.yml"
    text = config_texts()[f"ppyoloe/{name}"]
    folder = made_by_hand(tmp_path / "a", name, text, "ppyoloe", "v2.6.0")
    found = codes_of(jobgen("check", folder, "--json"))
    assert "0.001; the linear rule gives 0.000125 for 8 images" in found["CF020"]
    assert {"CF028", "CF030"} <= found.keys()
    assert not {"CF021", "CF022", "CF023", "HM004"} & found.keys()
    short = made_by_hand(tmp_path / "b", name, f"{text}epoch: 20\n", "ppyoloe", "v2.6.0")
    found = codes_of(jobgen("check", short, "--json"))
    assert "max_epochs: 96; for 20 epochs 24" in found["CF021"]
    assert "5 of 20 epochs" in found["CF022"]
    assert "at epoch 30 of 20; as published it would be 7" in found["CF023"]


def test_what_the_catalogue_lacks_of_upstream_is_no_fault(
    tmp_path: Path, jobgen: Callable[..., Answer]
) -> None:
    """Upstream has more configs than the catalogue: their bases are there, and not known."""
    text = "_BASE_: [../runtime.yml, _base_/optimizer_40e.yml, _base_/yolov3_mobilenet_v1.yml]\n"
    folder = made_by_hand(tmp_path / "a", "road.yml", text, "yolov3", "v2.6.0")
    found = codes_of(jobgen("check", folder, "--json"))
    assert "the catalogue does not have _base_/optimizer_40e.yml" in found["CF005"]
    assert "CF013" not in found
    missing = made_by_hand(
        tmp_path / "b", "road.yml", text.replace("40e", "41e"), "yolov3", "v2.6.0"
    )
    assert "optimizer_41e.yml" in codes_of(jobgen("check", missing, "--json"))["CF013"]


@pytest.mark.parametrize(("branch", "missing"), [("v2.6.0", True), ("develop", False)])
def test_a_family_that_the_branch_does_not_have(
    tmp_path: Path, jobgen: Callable[..., Answer], branch: str, missing: bool
) -> None:
    text = config_texts()["rtdetr/rtdetr_r50vd_6x_coco.yml"]
    folder = made_by_hand(tmp_path / "a", "rtdetr_r50vd_6x_coco.yml", text, "rtdetr", branch)
    found = codes_of(jobgen("check", folder, "--json"))
    assert ("CF013" in found) == missing
    assert "CF021" not in found  # its milestones change nothing: gamma is 1


def test_the_tutorial_is_plain_yaml() -> None:
    for path in (ROOT / "tests" / "data" / "tutorial").glob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))


# What people write by hand, and what is no fault of it.
GOOD_CELLS = (
    "!nvidia-smi\n!ls data",
    "!python tools/train.py -c a.yml\nassert _exit_code == 0",
    "%%writefile README.md\n![ship](ship.png)",
    "%%bash\nset -euo pipefail\n! grep -q nan log.txt || exit 1",
    "%%bash\ncat <<EOF\ncp x /home/aistudio/configs/a\nEOF",
    "%%bash\nmkdir -p /home/aistudio/dataset/ann /home/aistudio/x\ncp a.json /home/aistudio/dataset/ann/train.json",
    "%%bash\npython tools/train.py -c a.yml > log.txt 2>&1 || exit 1",
    "# --use_vdl=False\n# weights=output/foo/model_final",
    "%cd PaddleDetection\nos.path?",
    "import subprocess\nsubprocess.run(['python', 'tools/train.py'], check=True)",
    "if (n := 5) > 3:\n    print(f'{n=}')",
)


@pytest.mark.parametrize("source", GOOD_CELLS)
def test_what_is_no_fault_of_a_notebook_made_by_hand(
    source: str, jobgen: Callable[..., Answer], upload: Path
) -> None:
    unmarked(upload)
    notebook(lambda n: n.update(cells=[cell(source)]))(upload)
    answer = jobgen("check", upload)
    assert answer.out.startswith("nothing found"), answer.out


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("!python tools/train.py \\\n  -c x \\\n  -o epoch=1e1 -o use_gpu=true", {"BU007", "HM005", "HM006"}),
        ("import os\nos.system('python tools/train.py')", {"BU007"}),
        ("import subprocess as s\ns.run('python t.py -o a.0.b=1', shell=True)", {"HM009", "BU007", "HM021"}),
        ("%%bash\npython tools/eval.py -o LearningRate.base_lr=1.5e3", {"HM006"}),
    ],
)  # fmt: skip
def test_commands_are_found_however_they_are_given(
    source: str, codes: Codes, jobgen: Callable[..., Answer], upload: Path
) -> None:
    unmarked(upload)
    notebook(lambda n: n.update(cells=[cell(source)]))(upload)
    assert found(jobgen("check", upload, "--json")) == codes


@pytest.mark.parametrize(
    "text",
    [
        "EvalReader: {sample_transforms: 5}",
        "TestReader: {inputs_def: {image_shape: [3, a, {}]}}",
        "TrainDataset: {name: COCODataSet, data_fields: 5, dataset_dir: [1], image_dir: {a: 1}}",
        "TrainDataset: 7\nEvalDataset: [1]\nnum_classes: {}\nmetric: [VOC]",
        "EvalReader: {sample_transforms: [{Resize: {target_size: [[1], 2]}}]}",
    ],
)
def test_values_of_any_shape_are_no_traceback(
    text: str, jobgen: Callable[..., Answer], upload: Path
) -> None:
    unmarked(upload)
    change(MODEL, "use_ema: true", f"use_ema: true\n{text}")(upload)
    assert jobgen("check", upload).code in (0, 1)


def test_a_job_with_adamw(jobgen: Callable[..., Answer], job: Path) -> None:
    override = (
        "{OptimizerBuilder: {optimizer: {type: AdamW, weight_decay: 0.05}, regularizer: null}}"
    )
    text = job.read_text(encoding="utf-8") + f"overrides: {override}\n"
    job.write_text(text, encoding="utf-8")
    assert jobgen("build", job).code == 0
    assert jobgen("check", job).out.startswith("nothing found")
    # Merged over upstream's, Momentum's key would stay, and Paddle would stop at it.
    found = jobgen("explain", job, "--full", "--json").json["config"]
    assert found["OptimizerBuilder"] == {
        "optimizer": {"type": "AdamW", "weight_decay": 0.05}, "regularizer": None,
    }  # fmt: skip
    assert (found["epoch"], found["LearningRate"]["base_lr"]) == (10, 0.02)


def test_a_bundles_own_yaml_is_explained_with_the_catalogues_bases(
    jobgen: Callable[..., Answer], upload: Path, tmp_path: Path
) -> None:
    found = jobgen("explain", upload / MODEL, "--full", "--json").json
    assert found["config"]["PicoHeadV2"]["nms"]["nms_threshold"] == 0.6
    lone = tmp_path / "lone" / MODEL
    lone.parent.mkdir()
    lone.write_bytes((upload / MODEL).read_bytes())
    answer = jobgen("explain", lone, "--full")
    assert answer.code == 3
    assert answer.err.startswith("error: 5 faults:\n")
    assert "the base ../runtime.yml can't be read" in answer.err
    assert "give the one in a clone" in answer.err
