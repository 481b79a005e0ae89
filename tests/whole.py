"""Whole runs in seconds: a Python and a PaddleDetection that stand in for the real ones.

The bundle, the kernel, git, the data stage and every child process are real; only
Paddle's modules are empty, and tools/train.py writes logs and files without training.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from tests.conftest import ROOT
from tests.runtime.standin import SOUND, TOOL

SCHEMA = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))

SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
EMPTY = (
    *("cv2", "PIL", "tqdm", "requests", "six", "scipy", "matplotlib", "pandas", "pycocotools"),
    *("sklearn", "yaml"),
)
WORKSPACE = """
import os
class Config(dict):
    __getattr__ = dict.__getitem__
def load_config(path):
    return Config(use_gpu=False, TrainReader={"batch_size": 2}, architecture="Model",
                  TestReader={"sample_transforms": []}, PicoHeadV2={"static_assigner_epoch": 1})
class Loss(float):
    def backward(self): pass
class Part:
    def __init__(self, *arguments): pass
    def __call__(self, *arguments): return self
    def __iter__(self): return iter([{}, {}])
    def __len__(self): return 4
    def parameters(self): return []
    def load_meanstd(self, transforms): pass
    def train(self): pass
    def step(self): pass
    def clear_grad(self): pass
class Model(Part):
    def __call__(self, data): return {"loss": Loss(4.0)}
def create(name):
    return Model() if name == "Model" else Part
"""
JOB = """\
name: ships
environment: paddle2.6_py3.10
dataset:
  sources: [{archive: ships.zip}]
  root: ships
  format: coco
  train: {images: images, annotations: train.json}
  eval: {images: images, annotations: val.json}
  classes: [ship, boat]
  expect:
    train: {images: 4, boxes: 8}
    eval: {images: 2, boxes: 4}
model: {config: picodet_xs_320_coco_lcnet, pretrained: none}
train: {epochs: 3, batch_size: 2, repeat: 1}
language: en
"""


def heed_interrupt() -> None:
    """What a background shell or nohup starts ignores Ctrl-C or a closed terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True)
class Whole:
    """A folder with all that a run needs."""

    folder: Path

    def argv(self, *more: object) -> list[str]:
        return [
            *(sys.executable, "-m", "jobgen", "run", str(self.folder / "upload")),
            *("--archive", str(self.folder / "ships.zip"), "--device", "cpu", "--yes"),
            *("--python", str(self.folder / "python" / "bin" / "python"), "--no-check"),
            *("--mirror", (self.folder / "PaddleDetection").as_uri()),
            *("--runs", str(self.folder / "runs"), "-p", "ALLOW_UNPINNED", "true"),
            *map(str, more),
        ]

    def start(self, settings: dict[str, Any], *more: object) -> subprocess.Popen[str]:
        """A run at work. `settings` are the stand-in's faults."""
        env = {**os.environ, "FLAGS_standin": json.dumps(settings)}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.argv(*more),
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=env,
            preexec_fn=heed_interrupt,
        )

    def run(self, *more: object, **settings: Any) -> tuple[int, str]:
        """A run to its end: exit code, and all that it said."""
        process = self.start(settings, *more)
        out, err = process.communicate(timeout=180)
        return process.returncode, out + err

    @property
    def output(self) -> Path:
        """The output folder of the only run, whatever its mode."""
        (found,) = self.folder.glob("runs/*/home/output/*")
        return found

    def result(self) -> dict[str, Any]:
        """The result, which is as its published schema says."""
        found: dict[str, Any] = json.loads((self.output / "result.json").read_bytes())
        jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
        return found


def make_whole(
    folder: Path, archive: bytes, job: str = JOB, templates: dict[str, str] | None = None
) -> Whole:
    """Put everything into `folder`; `templates` are the job's own, path to text."""
    from jobgen.cli.build import render_job
    from jobgen.job.bundle import write_bundle

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ships.zip").write_bytes(archive)
    (folder / "job.yaml").write_text(job, encoding="utf-8")
    for name, text in (templates or {}).items():
        path = folder / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _, bundle, _ = render_job(folder / "job.yaml")
    write_bundle(bundle, folder / "upload")
    _make_python(folder / "python")
    _make_repository(folder / "PaddleDetection")
    return Whole(folder)


def _make_python(folder: Path) -> None:
    """A Python that has this one's packages and empty modules for those it lacks."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / SITE
    (site / "this.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    for name in EMPTY:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("")
    version = site / "paddle" / "version"
    version.mkdir(parents=True)
    (version / "__init__.py").write_text("full_version = '2.6.2'\ncuda_version = 'False'\n")
    (site / "paddle" / "__init__.py").write_text(
        "def set_device(name): pass\ndef seed(number): pass\n"
    )


def _make_repository(folder: Path) -> None:
    files = {
        "ppdet/__init__.py": "",
        "ppdet/core/__init__.py": "",
        "ppdet/engine/__init__.py": "class Trainer: pass\n",
        "ppdet/core/workspace.py": WORKSPACE,
        "ppdet/utils/__init__.py": "",
        "ppdet/utils/checkpoint.py": "def load_pretrain_weight(model, path): pass\n",
        "ppdet/modeling/heads/pico_head.py": "avg_factor = flatten_assigned_scores.sum()\n",
        "tools/train.py": TOOL,
        "configs/picodet/standin.json": json.dumps({**SOUND, "save_dir": ""}),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    for argv in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"], ["tag", "v2.6.0"]):
        subprocess.run(["git", *argv], cwd=folder, check=True)
