"""The steps of notebooks made by hand: what runs, where, and whether a failure is seen."""

from __future__ import annotations

import time
import warnings

import pytest

from jobgen.check.steps import steps_of
from jobgen.check.taskfiles import TaskFiles
from jobgen.job.build import find_secret

HOME = "/home/aistudio"
PD = f"{HOME}/PaddleDetection"
TRAIN = "python tools/train.py -c a.yml"
CASES: list[tuple[list[str], str, bool]] = [
    (["%cd PaddleDetection", f"!{TRAIN}\nassert _exit_code == 0"], PD, True),
    (["%cd PaddleDetection", f"!{TRAIN}", "assert _exit_code == 0"], PD, True),
    ([f"!cd PaddleDetection\n!{TRAIN}"], HOME, False),
    ([f"!cd PaddleDetection && {TRAIN}\nassert not _exit_code"], PD, True),
    ([f"%%bash\nset -euo pipefail\ncd PaddleDetection\n{TRAIN}\nls"], PD, True),
    ([f"%%bash\ncd PaddleDetection\n{TRAIN}\nls"], PD, False),
    ([f"%%bash\ncd PaddleDetection\n{TRAIN} || exit 1\nls"], PD, True),
    ([f"%%bash\nD=/home/aistudio/PaddleDetection\ncd $D\n{TRAIN} > log 2>&1"], PD, True),
    ([f"import os\nos.chdir('PaddleDetection')\nos.system('{TRAIN}')"], PD, False),
    ([f"import os\nos.chdir('PaddleDetection')\nassert os.system('{TRAIN}') == 0"], PD, True),
    ([f"import subprocess\nsubprocess.run('{TRAIN}', shell=True, cwd='{PD}')"], PD, False),
    ([f"import subprocess\nsubprocess.run('{TRAIN}'.split(), check=True)", f"!{TRAIN}"], HOME, False),
    ([f"import subprocess\nd = '{PD}'\nsubprocess.check_call('{TRAIN}', shell=True, cwd=d)"], PD, True),
    ([f"import subprocess\nr = subprocess.run('{TRAIN}', shell=True)\nassert r.returncode == 0"], HOME, True),
    ([f"get_ipython().run_line_magic('cd', '~/PaddleDetection')\nget_ipython().system('{TRAIN}')"], PD, False),
    ([f"import os\ndef run(c):\n    assert os.system(c) == 0\nos.chdir('{PD}')\nrun('{TRAIN}')"], PD, True),
    ([f"%cd ~/PaddleDetection\n!python3 -m paddle.distributed.launch --gpus 0,1 {TRAIN[7:]} | tee log"], PD, False),
    ([f"%%bash\nset -e\ncd PaddleDetection # here\nfleetrun --gpus 0,1 {TRAIN[7:]} --eval"], PD, True),
    ([f"import os, subprocess\ndef sh(*a):\n    subprocess.run(a, check=True)\nos.chdir('{PD}')\nsh('python', 'tools/train.py', '-c', 'a.yml')"], PD, True),
    (["!bash go.sh\nassert _exit_code == 0"], PD, False),
    ([f"D = '{PD}'", f"%cd {{D}}\n!{TRAIN}"], PD, False),
]  # fmt: skip
SCRIPT = {"go.sh": f"cd PaddleDetection\n{TRAIN}\necho done\n".encode()}


@pytest.mark.parametrize(("cells", "folder", "seen"), CASES)
def test_where_a_step_runs_and_who_sees_it_fail(cells: list[str], folder: str, seen: bool) -> None:
    steps = steps_of(cells, SCRIPT, "main.ipynb").steps
    (step,) = (step for step in steps if step.tool == "tools/train.py")
    assert (step.folder, step.seen) == (folder, seen)
    assert list(step.options("-c")) == ["a.yml"]


@pytest.mark.parametrize(
    "source",
    ["%%bash\nx='", "!'", "%cd", "!", "%%writefile", "os.system()", "def f(:\n!ls", "%%bash\n)(&&|", "x = !ls\n", "x = 1if a else 2", "run(" * 300],
)  # fmt: skip
def test_odd_cells_are_no_traceback(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = steps_of([source, "!ls"], {}, "main.ipynb")
    TaskFiles({}).follow(found)
    assert found.steps[-1].words == ("ls",)


HOSTILE = {
    "a script that starts itself": ["!bash loop.sh"],
    "a name that doubles": ["%%bash\nA=xx\n" + "A=$A$A\n" * 60 + "ls $A"],
    "spaces without end": [" " * 300_000 + "x", "!" + " " * 300_000, "%%bash\n" + "( " * 100_000],
    "a long sum": ["x = " + "+".join(["a"] * 20_000)],
    "a long elif": ["if a: pass\n" + "elif a: pass\n" * 3_000],
    "a pattern that never ends": [
        "%%writefile a.yml\n" + "a" * 3000,
        r"!sed -i 's/\(a*\)*b/x/;s/a*a*a*a*b/x/' a.yml",
        r"!sed -i 's/\(a*\)*b/x/' a.yml",
        r"!sed -i 's/a*a*a*a*b/x/' a.yml",
        "!sed -i '" + "s/" * 2000 + "' a.yml",
    ],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_notebook_ends_soon(name: str) -> None:
    started = time.process_time()
    found = steps_of([*HOSTILE[name], "!ls"], {"loop.sh": b"bash loop.sh\nbash loop.sh\n"}, "n")
    TaskFiles({}).follow(found)
    assert found.steps[-1].words == ("ls",)
    assert time.process_time() - started < 5


def test_bases_that_name_one_another_end_soon() -> None:
    texts = {f"{n}.yml": f"_BASE_: [{n + 1}.yml, ./{n + 1}.yml, 0.yml]\n" for n in range(40)}
    cells = ["!git clone https://gitee.com/x/PaddleDetection\n!cp *.yml PaddleDetection/configs/",
             "%cd PaddleDetection\n!python tools/train.py -c configs/0.yml"]  # fmt: skip
    disk = TaskFiles(texts)
    disk.follow(steps_of(cells, {}, "main.ipynb"))
    assert len(disk.trainings) == 1


def test_files_that_python_writes() -> None:
    cell = """
import json, os, shutil
os.makedirs('lists', exist_ok=True)
with open('lists/train.json', 'w') as f:
    json.dump({}, f)
shutil.copy('a.yml', 'PaddleDetection/configs/picodet/a.yml')
shutil.copytree('/home/aistudio/data/d1', 'copied')
for name in os.listdir('lists'):
    print(name)
"""
    disk = TaskFiles({"a.yml": "epoch: 1"})
    found = steps_of(["!git clone https://gitee.com/x/PaddleDetection", cell], {}, "main.ipynb")
    disk.follow(found)
    assert not found.makers
    answers = {"lists/train.json": True, "lists/val.json": False, "copied/x": None}
    assert {path: disk.has(f"{HOME}/{path}") for path in answers} == answers
    assert disk.texts[f"{PD}/configs/picodet/a.yml"] == "epoch: 1"


def test_the_disk_of_a_task() -> None:
    cells = [
        "!git clone -b release/2.6 https://gitee.com/paddlepaddle/PaddleDetection.git",
        "!unzip -q data/data1/ships.zip -d sets && mkdir -p made/it",
        "%%writefile PaddleDetection/configs/datasets/mine.yml\nnum_classes: 80\n",
        "!sed -i 's/num_classes: 80/num_classes: 2/' PaddleDetection/configs/datasets/mine.yml",
        "!cp a.yml PaddleDetection/configs/picodet/",
    ]
    disk = TaskFiles({"a.yml": "epoch: 1"}, {"ships.zip": frozenset(["ships/images/1.jpg"])})
    disk.follow(steps_of(cells, {}, "main.ipynb"))
    assert disk.texts[f"{PD}/configs/datasets/mine.yml"].strip() == "num_classes: 2"
    assert disk.texts[f"{PD}/configs/picodet/a.yml"] == "epoch: 1"
    answers = {
        f"{HOME}/sets/ships/images": True,
        f"{HOME}/sets/ships/JPEGImages": False,
        f"{HOME}/made/it": True,
        f"{HOME}/tools/train.py": False,
        f"{PD}/output/50": False,
        f"{PD}/configs/picodet/other.yml": None,
        f"{HOME}/work/anything": None,
        "/usr/bin/python": None,
    }
    assert {path: disk.has(path) for path in answers} == answers


@pytest.mark.parametrize(
    "text",
    [
        "%env AISTUDIO_TOKEN=0123456789abcdef0123456789abcdef01234567",
        "!export HF_TOKEN=hf_abcdefghij1234",
        "os.environ['AISTUDIO_ACCESS_TOKEN'] = '0123456789abcdef0123'",
        "!aistudio config -t 0123456789abcdef0123456789abcdef01234567",
        "aistudio.login('0123456789abcdef0123456789abcdef')",
    ],
)
def test_a_secret_as_a_cell_has_it(text: str) -> None:
    assert find_secret(text)
    assert not find_secret(text.split("0123")[0].split("hf_")[0] + "$TOKEN'")


@pytest.mark.parametrize(
    "text",
    ["%env CUDA_VISIBLE_DEVICES=0", "export TOKEN=$MY_TOKEN", "os.environ['TOKEN'] = getpass()",
     "os.environ['TOKEN'] = 'your_token_here'", "tar -t file.tar", "tokenizer = 'abcdefghijkl'",
     "login('https://example.org/abcdef0123456')"],
)  # fmt: skip
def test_what_is_no_secret(text: str) -> None:
    assert not find_secret(text)
