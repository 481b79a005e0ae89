"""Paddle's own format with convolutions of 8 bits, for Paddle Inference with TensorRT or oneDNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = {
    "en": "Paddle's own format with 8-bit convolutions, half the size",
    "zh": "卷积为 8 位的 Paddle 格式，大小为一半",
}
# What paddleslim imports at its start: it says that it needs an old OpenCV too.
NEEDS = (
    "paddlepaddle==2.6.2", "setuptools==80.10.2", "pip==26.3", "matplotlib==3.10.9",
    "pandas==2.3.3", "pillow==12.3.0", "pyzmq==27.3.0", "requests==2.34.2", "tqdm==4.70.1",
)  # fmt: skip
ALONE = ("paddleslim==2.6.0",)
RUNS_WITH = ("paddlepaddle==2.6.2",)
# Rounding to 8 bits moves boxes: it is judged by mAP.
EXACT = False
# detect.py runs Paddle's format by itself.
HAS_ENGINE = False
FILE = "."
FORMAT = "pdmodel"
NOTES = {
    "en": "It is made for graphics cards with TensorRT; on a processor it is slower than before.",
    "zh": "适用于带 TensorRT 的显卡；在处理器上比原来慢。",
}
BATCH = 8
FILES = {"model_filename": "model.pdmodel", "params_filename": "model.pdiparams"}


def make(source: Path, folder: Path, given: Any) -> None:
    """Static quantisation of convolutions alone, after training."""
    import numpy as np
    import paddle
    from paddleslim.quant import quant_post_static

    if not (source / "model.pdmodel").is_file():
        raise RuntimeError(f"paddleslim reads model.pdmodel, and {source} has none")
    paddle.enable_static()
    place = paddle.CPUPlace()
    executor = paddle.static.Executor(place)
    program, names, _ = paddle.static.load_inference_model(str(source / "model"), executor)
    shapes = {name: list(program.global_block().var(name).shape)[1:] for name in names}
    rows = [tuple(inputs[name][0] for name in names) for inputs in given.calibration]

    class Pictures(paddle.io.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, number: int) -> tuple[np.ndarray[Any, Any], ...]:
            return rows[number]

    feeds = [paddle.static.data(name, [None, *shapes[name]], "float32") for name in names]
    loader = paddle.io.DataLoader(
        Pictures(), feed_list=feeds, batch_size=BATCH, places=place, return_list=False
    )
    quant_post_static(
        executor=executor,
        model_dir=str(source),
        **FILES,
        quantize_model_path=str(folder),
        **{f"save_{name}": file for name, file in FILES.items()},
        data_loader=loader,
        batch_nums=max(1, len(rows) // BATCH),
        algo="avg",
        # Of other operators one has weights without channels, which ends it with an IndexError.
        quantizable_op_type=["conv2d", "depthwise_conv2d"],
        # The other way keeps the weights in single precision: as large as before.
        onnx_format=True,
    )


def open_model(folder: str, _threads: int = 1) -> Any:
    from detect import PaddleForm

    return PaddleForm(folder)
