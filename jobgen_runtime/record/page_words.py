"""What the page says, in English with its Chinese, and how it looks."""

from jobgen_runtime.record.outcome import LITTLE, OFTEN_WRONG

STATUS_TEXT = {
    "ok": "Trained: the loss fell, and the model finds objects.",
    "ok-smoke": "A smoke run: everything works, nothing was learned.",
    "untrained": "It came to its end, but the model has learned nothing.",
    "failed": "It failed.",
    "timeout": "Its time was up; what it had by then is kept.",
    "interrupted": "It was stopped from outside, or the machine went down.",
    "running": "It is at work.",
}


GIVEN_TEXT = "Nothing was trained: what was asked of the given weights is done."


NOISE = "This model finds little: most of the boxes below are wrong."


ZH = {
    OFTEN_WRONG: "训练完成，但常常分错：top-1 更接近“总是回答最多的类别”，而不是“总是正确”。"
    "可以增加轮数、使用预训练权重或更大的模型，并查看混淆矩阵和图片：jobgen check 数据。",
    LITTLE: "训练完成，但检出很少：mAP@0.5 低于 0.3。可以增加轮数、使用预训练权重、"
    "换更大的模型或输入尺寸，并检查标注框：jobgen check DATA、jobgen dataset preview DATA。",
    NOISE: "该模型检出很少：下面的框大多是错的。",
    GIVEN_TEXT: "没有训练：对给定权重要求的事已完成。",
    "Trained: the loss fell, and the model finds objects.": "训练成功：损失下降，模型能检出目标。",
    "A smoke run: everything works, nothing was learned.": "试运行：一切正常，但没有学到东西。",
    "It came to its end, but the model has learned nothing.": "运行结束，但模型什么也没学到。",
    "It failed.": "运行失败。",
    "Its time was up; what it had by then is kept.": "到时限而停止，已有结果保留。",
    "It was stopped from outside, or the machine went down.": "被外部终止，或机器停机。",
    "It is at work.": "正在运行。",
    "What to do": "怎么办",
    "Curves": "曲线",
    "Loss": "损失",
    "Learning rate": "学习率",
    "Images per second": "每秒图片数",
    "Share of waiting for data": "等待数据的比例",
    "epoch": "epoch",
    "Average precision by class": "各类别 AP",
    "class": "类别",
    "Predictions": "预测",
    "Ground truth left, prediction right.": "左为标注，右为预测。",
    "Evaluation": "评估",
    "Best F1 %.3f at a score of %.2f: precision %.3f, recall %.3f": (
        "最佳 F1 %.3f，得分阈值 %.2f：精确率 %.3f，召回率 %.3f"
    ),
    "Images larger than %d px were read in tiles; whole: mAP@0.5 %.3f": (
        "大于 %d 像素的图片切块读取；整图读取时 mAP@0.5 为 %.3f"
    ),
    "Precision over recall, IoU 0.5": "精确率-召回率曲线（IoU 0.5）",
    "recall": "召回率",
    "boxes": "框数",
    "nothing": "无",
    "Ground truth (rows) and what was found, from a score of %.2f": (
        "混淆矩阵：行为标注，列为检出（得分不低于 %.2f）"
    ),
    "The exported model beside the trained one": "导出模型与训练模型的对比",
    "form": "形式",
    "images": "图片数",
    "largest distance, px": "最大偏差（像素）",
    "difference of mAP": "mAP 之差",
    "Forms of the model": "模型的各种格式",
    "not kept": "未保留",
    "ms a picture": "每张毫秒数",
    "boxes lost, gained": "少、多的框数",
    "Stages": "阶段",
    "stage": "阶段",
    "status": "状态",
    "time": "用时",
    "what it did": "内容",
    "Plan": "参数",
    "value": "值",
    "origin": "来源",
    "What this machine or a parameter changed": "本机或参数引起的调整",
    "planned": "计划",
    "used": "实际",
    "why": "原因",
    "Notes": "说明",
    "Machine": "机器",
    "Artefacts": "产物",
    "file": "文件",
    "bytes": "字节",
    "Logs, their last lines": "日志末尾",
    "best mAP@0.5": "最佳 mAP@0.5",
    "best mAP": "最佳 mAP",
    "best top-1": "最佳 top-1",
    "best top-5": "最佳 top-5",
    "Accuracy": "准确率",
    "Each class": "各类别",
    "precision": "精确率",
    "Class (rows) and what was predicted": "混淆矩阵：行为真实类别，列为预测类别",
    "images of another class": "类别不同的图片",
    "largest difference of a score": "得分的最大差",
    "loss, first and last fifth": "损失（前五分之一与后五分之一）",
    "training": "训练用时",
    "images per second": "每秒图片数",
    "waiting for data": "等待数据",
    "training, as expected before": "训练（事前预计）",
    "most memory of a process": "单进程最大内存",
    "run": "运行",
    "Runs side by side": "多次运行对比",
    "epochs": "epoch 数",
    "batch size": "batch size",
    "Earlier attempts": "之前的尝试",
}


STYLE = """
:root { --bg: #fff; --fg: #1c2330; --dim: #667085; --line: #d8dde6; --card: #f6f7f9;
  --good: #18794e; --bad: #b42318; --c0: #2563eb; --c1: #d97706; --c2: #059669; --c3: #9333ea;
  --c4: #dc2626; --c5: #0891b2 }
@media (prefers-color-scheme: dark) { :root { --bg: #12161d; --fg: #e6e9ef; --dim: #98a2b3;
  --line: #2e3643; --card: #1a202a; --good: #4ade80; --bad: #f97066; --c0: #7aa2ff; --c1: #f5b04c;
  --c2: #4fd1a1; --c3: #c59bff; --c4: #ff8a80; --c5: #5fd3e8 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif }
h1 { font-size: 1.4rem; margin: .2rem 0 }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem }
p { overflow-wrap: anywhere }
.verdict { border-left: .4rem solid var(--bad); background: var(--card); padding: .7rem 1rem }
.verdict.good { border-color: var(--good) }
.status { font-weight: 700; color: var(--bad) }
.good .status { color: var(--good) }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: .8rem 0 }
.figures div { background: var(--card); padding: .4rem .8rem }
.figures b { display: block; font-size: 1.15rem }
.dim { color: var(--dim) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere }
td:first-child, th { overflow-wrap: normal; white-space: nowrap }
th { color: var(--dim); font-weight: 600 }
pre { background: var(--card); padding: .6rem; overflow-x: auto; font-size: .8rem }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
figure { margin: 0 }
figcaption { font-weight: 600 }
svg { width: 100%; height: auto; display: block }
svg text { fill: var(--dim); font-size: 12px }
svg line { stroke: var(--line) }
svg path { fill: none; stroke-width: 1.8 }
.k0 { stroke: var(--c0) } .k1 { stroke: var(--c1) } .k2 { stroke: var(--c2) }
.k3 { stroke: var(--c3) } .k4 { stroke: var(--c4) } .k5 { stroke: var(--c5) }
i { font-style: normal; margin-right: .6rem }
i.k0 { color: var(--c0) } i.k1 { color: var(--c1) } i.k2 { color: var(--c2) }
i.k3 { color: var(--c3) } i.k4 { color: var(--c4) } i.k5 { color: var(--c5) }
.pictures { display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)) }
.pictures img { width: 100% }
"""
