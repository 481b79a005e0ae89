"""docs/rules.md, made from the rules: python -m jobgen.check.table"""

from __future__ import annotations

import sys

from jobgen.check.rules import Rule, rules
from jobgen.datasets.fix import FIXES
from jobgen.datasets.stretch import STRETCHED

HEAD = """\
# What `jobgen check` looks for

Made from the rules themselves by `make docs`. An **error** stops the job or spoils its result, a
**warning** costs quality, a **note** is worth knowing. SRC is your data set, DST.zip a new one:
nothing is ever changed in place. The notebook's data stage uses the same codes and words.

DS: data sets. SP, PL: job.yaml and what follows from it. CF: the config that training reads. BU:
the files to upload. HM: notebooks made by hand. OU: what a job leaves behind.

| code | weight | what | what training would make of it | what to do | `--fix` |
| --- | --- | --- | --- | --- | --- |
"""


def rules_page() -> str:
    return HEAD + "".join(_row(rule) for rule in rules().values())


def _row(rule: Rule) -> str:
    cells = (
        rule.code,
        rule.severity.value,
        rule.title,
        rule.why,
        rule.remedy,
        "yes" if rule.code in {*FIXES, *STRETCHED} else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    sys.stdout.write(rules_page())
