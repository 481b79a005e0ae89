"""What each pairing exports, in docs/after.md: python -m jobgen.catalog.pairings FILE ..."""

from __future__ import annotations

import sys
from pathlib import Path

from jobgen.catalog import environments
from jobgen.resources import catalog_file
from jobgen.yamlio import load_file

BEGIN, END = "<!-- pairings -->\n", "<!-- end of pairings -->\n"
WORDS = {
    "en": {"run": "yes, run", "untried": "not tried", "no": "no"},
    "zh": {"run": "可以，已实测", "untried": "未实测", "no": "不可以"},
}
HEADS = {
    "en": ("environment", "PaddleDetection", "`format: auto`", "`pdmodel`", "`json`", "ONNX, by"),
    "zh": ("环境", "PaddleDetection", "`format: auto`", "`pdmodel`", "`json`", "ONNX，工具"),
}


def pairings(language: str) -> str:
    """The rows, as Markdown."""
    exports = load_file(catalog_file("environments.yml")).value["exports"]
    words = WORDS[language]
    rows = [HEADS[language], ("---",) * 6]
    for name, found in environments().items():
        row = exports[name]
        onnx = f"{words[row['onnx']]}, `{found.onnx}`"
        forms = (words[row["pdmodel"]], words[row["json"]], onnx)
        rows.append((f"`{name}`", found.revision.name, row["auto"], *forms))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_pairings(text: str, language: str) -> str:
    """A page with the table as the catalogue has it now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + pairings(language) + END + rest.partition(END)[2]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        page = path.read_text(encoding="utf-8")
        path.write_text(
            with_pairings(page, "zh" if "zh" in path.name else "en"), encoding="utf-8", newline="\n"
        )
