"""What the page says, in English with its Chinese."""

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


# Why a picture is shown, in the order in which they are.
KINDS = {
    "worst": "mostly wrong",
    "missed": "boxes missed",
    "false": "false finds",
    "best": "right",
}


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
    "epochs": "epoch 数",
    "batch size": "batch size",
    "Earlier attempts": "之前的尝试",
    "mostly wrong": "大多错误",
    "boxes missed": "漏检",
    "false finds": "误检",
    "right": "正确",
    "best": "最佳",
    "loss": "损失",
    "0 to 1": "0 到 1",
    "factor of a step": "每步的系数",
    "% of a step's time": "占每步用时的 %",
    "Training pictures": "训练图片",
    "What the training gets, after augmentation; the boxes are the targets.": (
        "训练实际读到的图片（增强之后），框为训练目标。"
    ),
    "F1, precision and recall over the score": "F1、精确率、召回率随得分的变化",
    "score from which boxes count": "得分阈值",
    "all classes": "全部类别",
    "the score of the best F1": "F1 最高",
    "Each class: AP@0.5 and AP": "各类别：AP@0.5 与 AP",
    "Each class: F1": "各类别：F1",
    "there": "标注",
    "found": "检出",
    "%s was taken for %s": "%s 被当作 %s",
    "times": "次数",
}
