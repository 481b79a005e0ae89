"""The keys that a new job.yaml shows as comments: each works when its `# ` is taken away."""

from __future__ import annotations

# Under which key ("" for the top): (line, what it does in English, in Chinese). The value is the
# default, or an example where the default is to leave the key out.
OPTIONAL_KEYS: dict[str, list[tuple[str, str, str]]] = {
    "dataset": [
        (
            "shrink: auto",
            "off, or pixels: training reads smaller copies of large pictures",
            "或 off、像素数：训练改读大图的较小副本",
        ),
    ],
    "model": [
        (
            "input_size: auto",
            "pixels, a multiple of 32; auto: the model's",
            "像素，32 的倍数；auto 取模型自身的尺寸",
        ),
        (
            "pretrained_missing: stop",
            "or scratch: without weights where they can't be had",
            "或 scratch：权重取不到时从头训练",
        ),
    ],
    "train": [
        ("batch_size: auto", "images a step and card", "每步每卡的图片数"),
        ("base_lr: auto", "as published, for this batch size", "公布的学习率，随批大小与卡数缩放"),
        ("repeat: auto", "passes over a small set in one epoch", "一轮中把小数据集过几遍"),
        (
            "balance: none",
            "or auto: images of rare classes up to five times",
            "或 auto：稀有类别的图片重复至多五次",
        ),
        (
            "patience: 10",
            "ends after so many evaluations without a better one",
            "连续多少次评估没有更好就结束",
        ),
        ("gpus: 1", "cards", "卡数"),
        ("amp: false", "mixed precision", "混合精度"),
        (
            "on_oom: stop",
            "or halve the batch where memory is short",
            "或 halve：显存不够时批大小减半",
        ),
    ],
    "": [
        (
            "augment: {preset: default}",
            "default, sar or none; also flip, crop ...",
            "default、sar 或 none；还可写 flip、crop 等",
        ),
        (
            "infer: {threshold: auto}",
            "images: [a.jpg] chooses what is drawn",
            "images: [a.jpg] 指定画哪些图",
        ),
        (
            "tiles: {size: 640, overlap: 0.2}",
            "after training larger images are read in tiles",
            "训练之后把大图切块来读",
        ),
        ("export: {nms: true, onnx: false}", "the exported model", "导出的模型"),
        ("overrides: {log_iter: 20}", "any key of PaddleDetection's config", "配置里的任何键"),
        ('template: "paddledetection"', "the template pack", "模板包：jobgen templates list"),
    ],
}


def commented(under: str, language: str) -> str:
    """The optional keys under a key as comment lines, in its indentation."""
    margin = "  " if under else ""
    rows = OPTIONAL_KEYS[under]
    width = max(len(line) for line, _, _ in rows)
    words = [zh if language == "zh" else en for _, en, zh in rows]
    return "".join(
        f"{margin}# {line:<{width}}  # {word}\n"
        for (line, _, _), word in zip(rows, words, strict=True)
    )
