"""docs/rules.md and docs/rules.zh-CN.md, made from the rules: python -m jobgen.check.table en"""

from __future__ import annotations

import sys

from jobgen.check.rules import Rule, rules
from jobgen.datasets.fix import FIXES
from jobgen.datasets.stretch import STRETCHED
from jobgen.language import label, spoken, translated

ENGLISH = """\
# What `jobgen check` looks for

[中文](rules.zh-CN.md)

Made from the rules themselves by `make docs`. An **error** stops the job or spoils its result, a
**warning** costs quality, a **note** is worth knowing. SRC is your data set, DST.zip a new one:
nothing is ever changed in place. The notebook's data stage uses the same codes and words.

DS: data sets. SP, PL: job.yaml and what follows from it. CF: the config that training reads. BU:
the files to upload. HM: notebooks made by hand. OU: what a job leaves behind.

| code | weight | what | what training would make of it | what to do | `--fix` |
| --- | --- | --- | --- | --- | --- |
"""

CHINESE = """\
# `jobgen check` 检查什么

[English](rules.md)

由 `make docs` 从规则本身生成。**错误**会让任务停下或毁掉结果，**警告**会影响质量，
**提示**值得知道。SRC 是你的数据集，DST.zip 是新的数据集：从不就地修改。
Notebook 的 data 阶段使用同样的代码和说法。

DS：数据集。SP、PL：job.yaml 和由它得出的内容。CF：训练读取的配置。BU：要上传的文件。
HM：手工编写的 Notebook。OU：任务留下的内容。

| 代码 | 轻重 | 是什么 | 训练会怎样 | 处理办法 | `--fix` |
| --- | --- | --- | --- | --- | --- |
"""
HEADS = {"en": ENGLISH, "zh": CHINESE}


def rules_page(language: str = "en") -> str:
    with spoken(language):
        return HEADS[language] + "".join(_row(rule) for rule in rules().values())


def _row(rule: Rule) -> str:
    fixed = rule.code in {*FIXES, *STRETCHED}
    cells = (
        rule.code,
        label(rule.severity.value),
        translated(rule.title),
        translated(rule.why),
        translated(rule.remedy),
        label("yes") if fixed else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    sys.stdout.write(rules_page(sys.argv[1] if sys.argv[1:] else "en"))
