"""Every sentence that jobgen may show, out of its sources: `make words` gives them to Babel."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# Two words at least, or a word and a value.
SENTENCE = re.compile(
    r"[A-Za-z]{2,}['\u2019]?[a-z]*[,:;]? +(?:[A-Za-z`(]{1,}|\{|%|\d)|\} +[a-z]{2,}|%\w +[a-z]{2,}"
)
# What a Chinese text has and an English one that quotes some of it has not.
CHINESE = re.compile("[，。：；]")
# Of programs, patterns and pages rather than for people.
CODE = re.compile(
    r"\\[wdsbAZ]|\(\?[:P<!=]|<(?:div|p|span|td|tr|th|h\d|a|svg|g|meta|style|img|circle|rect|line|figure|!)\b|</[a-z]"
    r"|^\s*(?:def|class) \w+[(:]|^\s*(?:import |from [\w.]+ import|return |raise )|\{%|\{\{"
    r"|^\s*#include|=>|\bSELECT \w|\bint \w+;|::|\$\{"
)
# Words alone, which no rule tells from a key or a name: what label() is called with.
WORDS = """\
No such file or directory|Permission denied|No space left on device|Is a directory|
Not a directory|File exists|error|warning|note|yes|works|error: {message}|Usage: |Options|Commands|
Examples:|Example:|Fix: {hint}|system|memory|disk|graphics cards|addresses|kept|token|jobs|stages|
times|output|repositories|fault|mistake|class|place|both|duplicate|background|missed|image|what|
doubt|job|data sets|
machine|command|time|paid with|errors|warnings|notes|spread|runs|trial|values|Ranking|Charts|
state|left|seed|done|failed|running|waiting|front|
width / height|
images|boxes|small / medium / large\
""".replace("\n", "").split("|")
# click's own, as it writes them.
CLICKS = """\
Error: {message}|Try '{path} -h' for help.|Show this message and exit.|Show the version and exit.|
No such option: {option}|No such option: {option} Did you mean {close}?|No such command {name}.|
Missing argument {name}.|Missing option {name}.|Missing command.|Invalid value: {message}|
Invalid value for {name}: {message}|Got unexpected extra argument ({words})|
Got unexpected extra arguments ({words})|Option {name} requires an argument.|
Option {name} requires {number} arguments.|Option {name} does not take a value.|
{value} is not one of {choices}.|{value} is not a valid integer.|{value} is not a valid float.|
{value} is not in the range {range}.|{name} {value} does not exist.\
""".replace("\n", "").split("|")
# pydantic's, as a finding has them.
PYDANTIC = """\
{count} faults:|input should be {choices}, got {value}|
input should be greater than {bound}, got {value}|
input should be greater than or equal to {bound}, got {value}|
input should be less than {bound}, got {value}|
input should be less than or equal to {bound}, got {value}|
input should be a multiple of {bound}, got {value}|
input should be a valid list, got {value}; write {list}|
input should be a valid integer, got {value}|
input should be a valid number, got {value}|input should be a valid string, got {value}|
input should be a valid boolean, got {value}|
input should be a valid integer, got a number with a fractional part, got {value}\
""".replace("\n", "").split("|")
FOLDERS = ("jobgen", "jobgen_runtime")
# Their words are for pages and programs, which have their own.
LEFT_OUT = (
    *("jobgen/deploy/server/", "jobgen/deploy/cpp/", "jobgen/deploy/programs/"),
    *("jobgen/machine/tools/", "jobgen/language.py", "jobgen/cli/helptext.py"),
    *("jobgen_runtime/record/page_words.py", "jobgen_runtime/record/charts.py"),
    *("jobgen_runtime/record/page_style.py", "jobgen_runtime/record/measured.py"),
    *("jobgen_runtime/record/report.py", "jobgen/pages/frame.py"),
    *("jobgen/check/table.py", "jobgen/datasets/formats/coco_types"),
)


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Line and sentence of a source, values as {name}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    commands = path.parent.name == "cli"
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                skipped.add(id(first.value))
                is_command = isinstance(node, ast.FunctionDef) and any(
                    "command" in ast.dump(d) or "group" in ast.dump(d) for d in node.decorator_list
                )
                if commands and is_command and isinstance(first.value.value, str):
                    yield from paragraphs(first.lineno, first.value.value)
        if isinstance(node, ast.JoinedStr) or is_sum(node):
            skipped.update(id(child) for child in ast.walk(node) if child is not node)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        text = text_of(node)
        if text is not None and is_sentence(text):
            yield node.lineno, text  # type: ignore[attr-defined]


def paragraphs(line: int, docstring: str) -> Iterator[tuple[int, str]]:
    """A command's help as click shows it: a paragraph as one line."""
    for text in re.split(r"\n\s*\n", docstring.strip()):
        yield line, " ".join(text.split())


def is_sum(node: ast.AST) -> bool:
    """Whether it is texts put together by +."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and any(
            isinstance(child, ast.JoinedStr) or isinstance(getattr(child, "value", None), str)
            for child in (node.left, node.right)
        )
    )


def text_of(node: ast.AST) -> str | None:
    """A string, an f-string or a sum of them, with a name in braces for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) or is_sum(node):
        return joined(node, {})
    return None


def joined(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(joined(part, names) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return joined(node.left, names) + joined(node.right, names)
    code = ast.unparse(node.value if isinstance(node, ast.FormattedValue) else node)
    return f"{{{name_of(code, names)}}}"


# In the code of a value, what says nothing of what it is.
HELPERS = frozenset(
    re.findall(
        r"\w+",
        "len strip get join str int float sorted map list set shown repr min max sum round next "
        "iter for in if else and or not is None True False as format lower upper split rpartition "
        "partition replace absolute as_posix type removeprefix removesuffix rstrip lstrip values "
        "items keys isinstance abs dict tuple zip enumerate title resolve",
    )
)


def name_of(code: str, names: dict[str, str]) -> str:
    """A word for a value: the last name in its code that says what it is, with a number where
    another value has it."""
    words = re.findall(r"[A-Za-z]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", code))
    word = next((w for w in reversed(words) if w not in HELPERS and len(w) > 1), "value").strip("_")
    number = 1
    while names.get(word if number == 1 else f"{word}{number}", code) != code:
        number += 1
    found = word if number == 1 else f"{word}{number}"
    names[found] = code
    return found


def is_sentence(text: str) -> bool:
    """Whether it is a sentence to translate; one in Chinese, as forms have beside theirs, isn't."""
    if len(text) >= 1500 or CHINESE.search(text) or CODE.search(text):
        return False
    return bool(SENTENCE.search(text))


def everything() -> dict[str, list[tuple[str, int]]]:
    """Every sentence, and where it stands."""
    found: dict[str, list[tuple[str, int]]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(LEFT_OUT):
                for line, text in sentences(path):
                    found.setdefault(text, []).append((name, line))
    for path in sorted((ROOT / "jobgen").rglob("*.j2")):
        for text in re.findall(r'\bsay\("([^"]+)"\)', path.read_text(encoding="utf-8")):
            found.setdefault(text, []).append((path.relative_to(ROOT).as_posix(), 0))
    for text in (*WORDS, *CLICKS, *PYDANTIC):
        found.setdefault(text, []).append(("tools/sentences.py", 0))
    for name, text in reasons():
        found.setdefault(text, []).append((name, 0))
    return found


def reasons() -> Iterator[tuple[str, str]]:
    """What the catalogue says for people: why a fault of a revision is one, why a family is not
    offered."""
    data = ROOT / "jobgen/catalog/data"
    for path in sorted(data.glob("suites/*.yml")):
        fixes = yaml.safe_load(path.read_text(encoding="utf-8")).get("fixes") or {}
        for fix in fixes.values() if isinstance(fixes, dict) else fixes:
            yield path.relative_to(ROOT).as_posix(), fix["why"]
    path = data / "not_offered.yml"
    for text in yaml.safe_load(path.read_text(encoding="utf-8")).values():
        yield path.relative_to(ROOT).as_posix(), text
