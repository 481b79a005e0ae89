from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobgen.errors import BundleError, TemplateError
from jobgen.job.build import SECRET, find_secret, render
from jobgen.job.bundle import SIZE_LIMIT, Bundle, compare_bundle
from jobgen.job.notebook import Cell, cell_source, notebook_text
from jobgen.job.plan import make_plan
from jobgen.job.tasks import plan_any
from jobgen.packs.disk import find_pack
from jobgen.packs.render import load_job_pack, load_pack
from jobgen.resources import templates_dir
from jobgen.spec import load_any, load_spec
from tests.conftest import JOB, ROOT, Answer

JOBS = sorted((ROOT / "bundles").glob("*/job.yaml"))
STAGES = ["prepare", "data", "source", "install", "configure", "smoke", "train"]
STAGES += ["evaluate", "infer", "export", "collect"]


def build(path: Path) -> Bundle:
    spec, document = load_any(path)
    return render(plan_any(spec, document), load_pack(find_pack(spec.template)))


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.parent.name)
def test_the_committed_bundles_are_current(path: Path) -> None:
    assert len(JOBS) >= 2
    assert compare_bundle(build(path), path.parent / "upload") == []


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.parent.name)
def test_a_bundle_is_a_few_small_plain_files(path: Path) -> None:
    bundle = build(path)
    name = path.parent.name
    configs = sorted(file for file in bundle.files if file != "main.ipynb")
    if name == "digits":
        assert configs == ["PPLCNet_x1_0_digits.yaml"]
    else:
        assert configs[0] == f"coco_detection_{name}.yml"
        assert len(configs) == 2
    assert "main.ipynb" in bundle.files
    assert sum(map(len, bundle.files.values())) < SIZE_LIMIT
    for data in bundle.files.values():
        assert b"\r" not in data
        data.decode("utf-8")


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.parent.name)
def test_the_notebook_is_valid_and_runs_as_a_script(path: Path) -> None:
    notebook = build(path).notebook
    nbformat.validate(nbformat.reads(json.dumps(notebook), as_version=4))
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    for cell in code:
        source = cell_source(cell)
        ast.parse(source, feature_version=(3, 7))
        assert not any(line.startswith(("!", "%")) for line in source.splitlines())
        assert cell["outputs"] == []
    ast.parse("\n".join(cell_source(cell) for cell in code))
    tags = [t for c in code for t in c["metadata"].get("tags", [])]
    assert tags.count("parameters") == 1
    assert [t for t in tags if t.startswith("stage:")] == [f"stage:{s}" for s in STAGES]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_the_ssdd_bundle_has_the_tutorials_values() -> None:
    files = build(ROOT / "bundles" / "ssdd" / "job.yaml").files
    data = yaml.safe_load(files["coco_detection_ssdd.yml"])
    assert data == {
        "metric": "COCO",
        "num_classes": 1,
        "TrainDataset": {
            "name": "COCODataSet",
            "image_dir": "JPEGImages",
            "anno_path": "train.json",
            "dataset_dir": "/home/aistudio/datasets/ssdd/",
            "data_fields": ["image", "gt_bbox", "gt_class", "is_crowd"],
        },
        "EvalDataset": {
            "name": "COCODataSet",
            "image_dir": "JPEGImages",
            "anno_path": "val.json",
            "dataset_dir": "/home/aistudio/datasets/ssdd/",
            "allow_empty": True,
        },
        "TestDataset": {
            "name": "ImageFolder",
            "anno_path": "val.json",
            "dataset_dir": "/home/aistudio/datasets/ssdd/",
        },
    }
    model = yaml.safe_load(files["picodet_l_640_ssdd_lcnet.yml"])
    assert model["_BASE_"] == [
        "../datasets/coco_detection_ssdd.yml",
        "../runtime.yml",
        "_base_/picodet_v2.yml",
        "_base_/optimizer_300e.yml",
        "_base_/picodet_640_reader.yml",
    ]
    assert model["epoch"] == model["LearningRate"]["schedulers"][0]["max_epochs"] == 100
    assert model["LearningRate"]["base_lr"] == 0.015
    assert model["TrainReader"]["batch_size"] == 12
    assert model["pretrain_weights"].endswith("/picodet_l_640_coco_lcnet.pdparams")


@pytest.mark.parametrize(
    ("hash_seed", "zone", "mask", "language"),
    [
        ("0", "UTC", 0o022, "C"),
        ("4242", "Asia/Shanghai", 0o077, "zh_CN.UTF-8"),
        ("7", "America/New_York", 0, "C.UTF-8"),
    ],
)
def test_the_same_bytes_anywhere(
    tmp_path: Path, hash_seed: str, zone: str, mask: int, language: str
) -> None:
    folder = tmp_path / f"a folder {hash_seed}"
    folder.mkdir()
    job = folder / "job.yaml"
    job.write_text((ROOT / "bundles" / "ssdd" / "job.yaml").read_text(encoding="utf-8"), "utf-8")
    env = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "TZ": zone,
        "LC_ALL": language,
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "0",
    }
    argv = [
        sys.executable,
        "-c",
        f"import os; os.umask({mask}); from jobgen.cli import entry; entry()",
        "build",
        "job.yaml",
    ]
    subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True)
    golden = ROOT / "bundles" / "ssdd" / "upload"
    for path in golden.iterdir():
        assert (folder / "upload" / path.name).read_bytes() == path.read_bytes()


HOSTILE = [
    "it's",
    'say "x"',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "a: b # c",
    "船 舰",
    "\\n",
    "'''",
    "&x *y",
]


def test_hostile_class_names_stay_data(tmp_path: Path) -> None:
    names = json.dumps(HOSTILE, ensure_ascii=False)
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("[ship]", names), encoding="utf-8")
    bundle = build(path)
    job = next(c for c in bundle.notebook["cells"] if c["id"] == "job")
    scope: dict[str, object] = {}
    exec(cell_source(job), scope)
    assert scope["JOB"]["dataset"]["classes"] == HOSTILE  # type: ignore[index]
    assert bundle.facts["spec"]["dataset"]["classes"] == HOSTILE


def test_hostile_paths_stay_data(tmp_path: Path) -> None:
    folder = 'it\'s "{{ 1 }}" 船: #x'
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("images: JPEGImages", f"images: {json.dumps(folder)}"), "utf-8")
    files = build(path).files
    data = yaml.safe_load(files["coco_detection_ships.yml"])
    assert data["TrainDataset"]["image_dir"] == folder


def test_a_secret_is_not_built_in(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("[ship]", "[\"api_key = 'abcdef123456'\"]"), encoding="utf-8")
    with pytest.raises(BundleError, match="looks as if it held a password or a token"):
        build(path)


def test_a_template_that_asks_for_an_unknown_value(tmp_path: Path, job: Path) -> None:
    pack = tmp_path / "pack"
    import shutil

    shutil.copytree(templates_dir() / "paddledetection", pack)
    cell = pack / "notebook" / "70_train.py.j2"
    cell.write_text("x = {{ no_such_value }}\n", encoding="utf-8")
    spec, document = load_spec(job)
    with pytest.raises(TemplateError, match="'no_such_value' is undefined") as caught:
        render(make_plan(spec, document), load_pack(pack))
    assert caught.value.exit_code == 5
    cell.write_text("x = = 1\n", encoding="utf-8")
    with pytest.raises(TemplateError, match="the cell train would be broken in line 1"):
        render(make_plan(spec, document), load_pack(pack))
    cell.write_text("{% if %}\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"notebook/70_train\.py\.j2:1"):
        render(make_plan(spec, document), load_pack(pack))


def test_cell_names_are_used_once() -> None:
    with pytest.raises(ValueError, match="used twice: a"):
        notebook_text([Cell("a", "code", ""), Cell("a", "code", "")], {})


def test_build_writes_and_checks(jobgen: Callable[..., Answer], job: Path) -> None:
    upload = job.parent / "upload"
    first = jobgen("build", job)
    assert first.code == 0
    assert sorted(p.name for p in upload.iterdir()) == [
        "coco_detection_ships.yml",
        "main.ipynb",
        "picodet_xs_320_ships_lcnet.yml",
    ]
    assert "written" in first.out
    assert "unchanged" in jobgen("build", job).out
    assert jobgen("build", job, "--check").code == 0
    (upload / "main.ipynb").write_text("{}", encoding="utf-8")
    stale = jobgen("build", job, "--check", "--json")
    assert stale.code == 1
    assert stale.json["current"] is False
    assert (upload / "main.ipynb").read_text(encoding="utf-8") == "{}"


def test_a_renamed_model_leaves_no_old_file(jobgen: Callable[..., Answer], job: Path) -> None:
    jobgen("build", job)
    job.write_text(job.read_text("utf-8").replace("xs_320", "s_416"), encoding="utf-8")
    assert jobgen("build", job).code == 0
    assert sorted(p.name for p in (job.parent / "upload").iterdir()) == [
        "coco_detection_ships.yml",
        "main.ipynb",
        "picodet_s_416_ships_lcnet.yml",
    ]


def test_a_folder_with_other_files_is_refused(jobgen: Callable[..., Answer], job: Path) -> None:
    upload = job.parent / "upload"
    upload.mkdir()
    (upload / "weights.pdparams").write_text("mine", encoding="utf-8")
    answer = jobgen("build", job)
    assert answer.code == 6
    assert answer.err.startswith(
        f"error: {upload} holds other files than a bundle's: weights.pdparams\n"
    )
    assert [p.name for p in upload.iterdir()] == ["weights.pdparams"]


def test_in_the_home_folder_the_files_go_among_the_others(
    jobgen: Callable[..., Answer], job: Path
) -> None:
    """As in AI Studio's terminal: versions are picked from the home folder."""
    home = Path.home()
    (home / "data").mkdir()
    (home / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path.name for path in home.iterdir()}
    assert jobgen("build", job, "-o", home).code == 0
    after = {path.name for path in home.iterdir()}
    assert len(after - before - {"cache"}) == 3
    assert before <= after
    (home / "main.ipynb").write_text("my work", encoding="utf-8")
    answer = jobgen("build", job, "-o", home)
    assert answer.code == 6
    assert "main.ipynb" in answer.err
    assert (home / "main.ipynb").read_text(encoding="utf-8") == "my work"


def test_a_notebook_of_ones_own_is_not_overwritten(
    jobgen: Callable[..., Answer], job: Path
) -> None:
    upload = job.parent / "upload"
    upload.mkdir()
    for text in ('{"cells": [], "metadata": {}}', "my work", '{"cells": []}'):
        (upload / "main.ipynb").write_text(text, encoding="utf-8")
        answer = jobgen("build", job)
        assert answer.code == 6
        assert "holds other files than a bundle's: main.ipynb" in answer.err
        assert (upload / "main.ipynb").read_text(encoding="utf-8") == text


def test_a_faulty_job_writes_nothing(jobgen: Callable[..., Answer], job: Path) -> None:
    job.write_text(job.read_text("utf-8").replace("epochs: 40", "epochs: x"), encoding="utf-8")
    answer = jobgen("build", job)
    assert answer.code == 3
    assert answer.out == ""
    assert "train.epochs: input should be a valid integer, got 'x'" in answer.err
    assert not (job.parent / "upload").exists()


@given(
    st.sampled_from(
        [
            "token: 'abcdefgh1'", "API_KEY = \"12345678\"", "apikey='12345678'", "AKIA" + "A1" * 8,
            "ghp_" + "a" * 30, "-----BEGIN RSA PRIVATE KEY", "https://me:pass@host/x",
            "Secret_Access_Key: 'abcdefgh'",
        ]
    ),
    st.integers(0, 1200),
    st.sampled_from(["x", "token ", "api_key", "://", "İ", "\n"]),
)  # fmt: skip
def test_a_secret_is_found_wherever_it_lies(secret: str, before: int, filler: str) -> None:
    text = (filler * before)[:before] + " " + secret + " " + filler * 40
    assert SECRET.search(text) is not None
    assert find_secret(text) is not None
    assert find_secret(text.replace(secret, "")) is None


@pytest.mark.parametrize(("old", "new", "what"), [
    ("EPOCHS = 10\\n", "EPOCHS = 3\\n", "its parameters were"),
    ("check_machine(run)", "check_machine(run); print(1)", "its code was"),
    ('"parameters"\n]', '"mine"\n]', "its code was"),
])  # fmt: skip
def test_a_notebook_that_somebody_changed_is_not_overwritten(
    jobgen: Callable[..., Answer], job: Path, old: str, new: str, what: str
) -> None:
    assert jobgen("build", job).code == 0
    notebook = job.parent / "upload" / "main.ipynb"
    text = notebook.read_text(encoding="utf-8")
    assert old in text
    notebook.write_text(text.replace(old, new, 1), encoding="utf-8")
    answer = jobgen("build", job)
    assert (answer.code, what in answer.err) == (6, True)
    assert new in notebook.read_text(encoding="utf-8")
    told = jobgen("check", job.parent / "upload", "--json").json["findings"]
    assert ("BU002" in {f["code"] for f in told}) == (what == "its code was")
    notebook.rename(job.parent / "mine.ipynb")
    assert jobgen("build", job).code == 0


def test_a_template_of_ones_own_keeps_its_readers_lists(job: Path) -> None:
    """Only where the model's file is as jobgen writes it, a run moves colours behind the resize."""
    spec, document = load_spec(job)
    pack = load_job_pack(spec.template, job.parent)
    notebook = render(make_plan(spec, document), pack).notebook
    (cell,) = (c for c in notebook["cells"] if c["id"] == "job")
    assert "later_colours" in cell_source(cell)
    own = job.parent / "templates" / "config" / "model.yml.j2"
    own.parent.mkdir(parents=True)
    text = (templates_dir() / "paddledetection" / "config" / "model.yml.j2").read_text("utf-8")
    own.write_text(text + "\n# with a reader of my own\n", encoding="utf-8")
    pack = load_job_pack(spec.template, job.parent)
    notebook = render(make_plan(spec, document), pack).notebook
    (cell,) = (c for c in notebook["cells"] if c["id"] == "job")
    assert "later_colours" not in cell_source(cell)
