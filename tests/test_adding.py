"""What docs/architecture.md says adding something takes: done in a copy, in those files alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import JOB, ROOT
from tests.sets import Coco, write_zip

pytestmark = pytest.mark.waits

PARTS = ("jobgen", "jobgen_runtime", "templates")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's own code, to be changed."""
    folder = tmp_path / "copy"
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def jobgen(copy: Path, *arguments: object, code: int = 0) -> str:
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "jobgen", *map(str, arguments)]
    answer = subprocess.run(argv, cwd=copy.parent, env=env, capture_output=True, text=True)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer.stderr if code > 1 else answer.stdout


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    write(path, text.replace(old, new, 1))


def cells_of(folder: Path) -> dict[str, str]:
    notebook: Any = json.loads((folder / "upload" / "main.ipynb").read_text(encoding="utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}


def test_a_rule_is_a_function(copy: Path, tmp_path: Path) -> None:
    write(
        copy / "jobgen" / "check" / "data" / "short.py",
        '''"""A rule that was added."""

from collections.abc import Iterator

from jobgen.check.facts import DataFacts
from jobgen.check.rules import NOTE, Hit, each_split
from jobgen.datasets.record import Split


@each_split("DS999", NOTE, "short split", why="It has few images.", remedy="Add some.")
def short(facts: DataFacts, split: Split) -> Iterator[Hit]:
    if split.images < 3:
        yield Hit(1, (), split.place, f"{split.images} images")
''',
    )
    path = write_zip(tmp_path / "s.zip", Coco().all_files())
    assert "DS999  val.json: short split: 2 images" in jobgen(copy, "check", path)
    assert "DS999" in jobgen(copy, "check", "--rules")


def test_a_stage_is_its_cell_its_words_and_its_code(copy: Path, tmp_path: Path) -> None:
    pack = copy / "templates" / "paddledetection"
    write(
        pack / "notebook" / "65_greet.md.j2", "## {{ number() }}. {{ words.stages.greet.title }}\n"
    )
    cell = "from jobgen_runtime.stages.greet import greet\n\nwith stage('greet'):\n    greet(run)\n"
    write(pack / "notebook" / "65_greet.py.j2", cell)
    edit(pack / "template.yaml", "  train: {}\n", "  greet: {}\n  train: {}\n")
    for language in ("en", "zh"):
        words = pack / "words" / f"{language}.yml"
        edit(words, "stages:\n  prepare", "stages:\n  greet: {title: Greet}\n  prepare")
    code = (
        '"""The `greet` stage."""\n\nfrom jobgen_runtime.record.outcome import summary\n'
        "from jobgen_runtime.stages.run import Run\n\n\ndef greet(run: Run) -> None:\n"
        '    summary("hello %s" % run.name)\n'
    )
    write(copy / "jobgen_runtime" / "stages" / "greet.py", code)
    write(tmp_path / "job.yaml", JOB)
    jobgen(copy, "build", tmp_path / "job.yaml")
    cells = cells_of(tmp_path)
    assert cells["greet-text"] == "## 7. Greet"
    assert cells["train-text"].startswith("## 8. ")
    assert "FILES['stages/greet.py'] = r'''" in cells["tools"]


FORMAT = '''"""A format that was added: boxes.rows, a row a box: image, class, x, y, width, height."""

from jobgen.datasets.contents import Contents
from jobgen.datasets.headers import read_headers
from jobgen.datasets.record import DataSet, Layout, Split, box_columns, integers

READS = "Rows (boxes.rows)"


def layouts(files: Contents) -> list[Layout]:
    splits = {"all": {"annotations": "boxes.rows"}}
    return [Layout("rows", "", splits)] if "boxes.rows" in files.sizes else []


def read(files: Contents, layout: Layout) -> DataSet:
    rows = [line.split(",") for line in files.read("boxes.rows").decode().splitlines()]
    names, classes = (sorted({row[part] for row in rows}) for part in (0, 1))
    headers = read_headers(files, names)
    split = Split(
        name="all", place="boxes.rows", files=layout.splits["all"], folder="", image_names=names,
        image_ids=integers(range(1, len(names) + 1)),
        widths=integers([headers[name].width for name in names]),
        heights=integers([headers[name].height for name in names]),
        class_names=classes, class_ids=integers(range(1, len(classes) + 1)),
        **box_columns(
            [names.index(row[0]) for row in rows], [classes.index(row[1]) for row in rows],
            [[float(number) for number in row[2:]] for row in rows],
        ),
    )
    return DataSet(files, layout, classes, {"all": split}, [])
'''


def test_a_format_is_a_file(copy: Path, tmp_path: Path) -> None:
    """Read, checked, split, turned into COCO, and made a job by one command."""
    write(copy / "jobgen" / "datasets" / "formats" / "rows.py", FORMAT)
    images = {name: data for name, data in Coco().all_files().items() if name.endswith(".jpg")}
    lines = [f"{name},ship,{n},{n},20,10" for n, name in enumerate(images)]
    path = write_zip(tmp_path / "r.zip", {**images, "boxes.rows": "\n".join(lines).encode()})
    assert "rows" in jobgen(copy, "dataset", "inspect", path)
    assert "DS096  set without a train and a val split" in jobgen(copy, "check", path, code=1)
    jobgen(copy, "dataset", "split", path, tmp_path / "s.zip")
    new = tmp_path / "c.zip"
    jobgen(copy, "dataset", "convert", path, new)
    assert "coco, root c" in jobgen(copy, "dataset", "inspect", new)
    made = ("init", "x", "--archive", path, "--folder", tmp_path / "x")
    assert "make COCO of Rows" in jobgen(copy, *made, code=4)
    assert "coco, one class" in jobgen(copy, *made, "--yes")


def test_a_family_is_its_file(copy: Path, tmp_path: Path) -> None:
    """A family with other names for everything: listed, built, explained and checked."""
    other = (("picodet", "toynet"), ("PicoDet", "ToyNet"), ("PicoHeadV2", "ToyHead"),
             ("static_assigner_epoch", "change_at"), ("gpus: 4", "gpus: 2"),
             ("part: [1, 3]", "part: [1, 2]"))  # fmt: skip
    families = copy / "jobgen" / "catalog" / "data" / "families"
    text = (families / "picodet.yml").read_text(encoding="utf-8")
    for old, new in other:
        text = text.replace(old, new)
    write(families / "toynet.yml", text)
    assert "toynet_xs_320_coco_lcnet" in jobgen(copy, "models")
    write(tmp_path / "job.yaml", JOB.replace("picodet_xs_320_coco_lcnet", "toynet_xs_320"))
    jobgen(copy, "build", tmp_path / "job.yaml")
    upload = tmp_path / "upload"
    (model,) = upload.glob("toynet*.yml")
    text = model.read_text(encoding="utf-8")
    assert "ToyHead:" in text
    assert "change_at: 5\n" in text
    assert "configs/toynet/" in text
    assert "base_lr: 0.04\n" in text  # 16 images a step
    settings = cells_of(tmp_path)["job"]
    assert '"switch_epoch": ["ToyHead", "change_at"]' in settings
    assert "0.0025 x 16 x 1" in jobgen(copy, "explain", tmp_path / "job.yaml")
    assert jobgen(copy, "check", tmp_path / "job.yaml").startswith("nothing found")
    assert jobgen(copy, "check", upload).startswith("nothing found")
    edit(model, "change_at: 5\n", "change_at: 50\n")
    assert "change_at: at epoch 50 of 10" in jobgen(copy, "check", upload, code=1)
