"""Paddle Lite, the tutorial's way to a phone: model.arm.nb for arm64, model.x86.nb for a desk.

As engine.py beside detect.py it is the runnable example of how the model is fed and read:
python detect.py model.x86.nb photo.jpg
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

WORDS = {
    "en": "Paddle Lite: model.arm.nb for Android and ARM boards, model.x86.nb to try it",
    "zh": "Paddle Lite：model.arm.nb 用于安卓与 ARM 开发板，model.x86.nb 供试用",
}
# The newest that PyPI has: for Python 3.10 there is none, and that for 3.9 fails on matmul_v2.
NEEDS = ("paddlelite==2.13rc0; python_version == '3.8'", "paddlelite==2.12; python_version < '3.8'")
RUNS_WITH = ("paddlelite",)
PYTHONS = ((3, 8), (3, 7))
INSTEAD = (
    "numpy==1.24.4; python_version == '3.8'",
    "numpy==1.21.6; python_version < '3.8'",
    "opencv-python-headless==4.10.0.84",
    "pyyaml==6.0.1",
)
# Single precision all through: the same boxes but for rounding.
EXACT = True
HAS_ENGINE = True
FILE = "model.x86.nb"
FORMAT = "pdmodel"
NOTES = {
    "en": "Python 3.8 or 3.7 is needed: PyPI has no newer Paddle Lite. The figures are "
    "model.x86.nb's; model.arm.nb is made of the same model by the same program, and runs on ARM "
    "alone.",
    "zh": "需要 Python 3.8 或 3.7：PyPI 上没有更新的 Paddle Lite。以上指标为 model.x86.nb 的结果；"
    "model.arm.nb 由同一程序从同一模型转换，只能在 ARM 上运行。",
}
TARGETS = ("arm", "x86")


def make(source: Path, folder: Path, _given: Any) -> None:
    """Convert with Paddle Lite's own converter. Raises RuntimeError with its last words."""
    model = source / "model.pdmodel"
    if not model.is_file():
        raise RuntimeError(f"Paddle Lite reads model.pdmodel, and {source} has none")
    for target in TARGETS:
        argv = [str(Path(sys.executable).with_name("paddle_lite_opt")), f"--model_file={model}"]
        argv += [f"--param_file={source / 'model.pdiparams'}", f"--valid_targets={target}"]
        argv += [f"--optimize_out={folder / f'model.{target}'}"]
        finished = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if finished.returncode != 0 or not (folder / f"model.{target}.nb").is_file():
            said = finished.stdout.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise RuntimeError(f"paddle_lite_opt made no model: {' '.join(said)}")


class Lite:
    def __init__(self, path: Path) -> None:
        from paddlelite.lite import MobileConfig, create_paddle_predictor

        config = MobileConfig()
        config.set_model_from_file(str(path))
        self.model = create_paddle_predictor(config)

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        # The order of the names is the order of the inputs, which is not the exported model's.
        for number, name in enumerate(self.model.get_input_names()):
            self.model.get_input(number).from_numpy(inputs[name])
        self.model.run()
        count = len(self.model.get_output_names())
        return [self.model.get_output(number).numpy() for number in range(count)]


def open_model(folder: str, _threads: int = 1) -> Lite:
    return Lite(Path(folder) / "model.x86.nb")
