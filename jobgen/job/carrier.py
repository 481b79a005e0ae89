"""The runtime as a notebook carries it: the modules that its cells import, and all these need."""

from __future__ import annotations

import ast
import difflib
import json
import re
import symtable
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from jobgen.errors import TemplateError
from jobgen.language import messages
from jobgen.resources import runtime_dir

PACKAGE = "jobgen_runtime"
# Where the modules that a template pack brings are found: jobgen_runtime.pack.NAME.
OF_PACKS = "pack"
# At the left margin: what a function imports when it is called is carried where a cell asks for it.
IMPORT = re.compile(
    rf"^from ({PACKAGE}[\w.]*) import (\([^)]*\)|[^\n(#]*)|^import ({PACKAGE}[\w.]*)",
    re.MULTILINE,
)
# A program is started by its path, so that it finds those beside it by their bare names.
BESIDE = re.compile(r"^ *from (\w+) import ", re.MULTILINE)
PROGRAM = re.compile(r'program_path\("(\w+)"\)')
DEFINED = re.compile(
    r"^(?:(?:def|class) (\w+)|(\w+)(?:: [^=\n]+)? = "
    r"|(?:from [\w.]+ )?import (\([^)]*\)|[^\n(]+)\n)",
    re.MULTILINE,
)
UNPACK = "carry.py"
# What programs say is read by other modules; the page finds its words by the English ones.
OF_THEIR_OWN = (
    *("programs/", f"{OF_PACKS}/", "record/page_words", "record/report", "record/measured"),
    *("record/charts", "record/page_style"),
)


@dataclass(frozen=True)
class Import:
    """`from module import name` of a source, in a line of it."""

    module: str
    name: str
    line: int


def carried(
    cells: Iterable[tuple[str, str]],
    brought: Mapping[str, str] | None = None,
    language: str = "en",
) -> dict[str, str]:
    """The files of the package, path to text, that the cells (name, source) need, their sentences
    in `language`; `brought` are the modules of packs, name to source. Raises TemplateError with
    cell and line for what is in no module."""
    own = brought or {}
    files: dict[str, str] = {"__init__.py": runtime_text("__init__.py", own)}
    for cell, source in cells:
        for found in imports(source):
            _visit(found, f"the cell {cell}", own, files)
    if language == "zh":
        files = {path: text if path.startswith(OF_THEIR_OWN) else in_chinese(text)
                 for path, text in files.items()}  # fmt: skip
    return dict(sorted(files.items()))


@cache
def in_chinese(source: str) -> str:
    """A module with its sentences as the Chinese catalogue has them. The code stays the same: a
    sentence keeps its values in their order, and words alone are keys."""
    lines = source.encode().splitlines(keepends=True)
    for node in sorted(spoken_texts(source), key=lambda node: (node.lineno, node.col_offset))[::-1]:
        own = messages().get(str(node.value), "") if " " in str(node.value) else ""
        if own in ("", node.value) or node.end_lineno is None:
            continue
        first, last = node.lineno - 1, node.end_lineno - 1
        new = lines[first][: node.col_offset] + json.dumps(own, ensure_ascii=False).encode()
        lines[first : last + 1] = [new + lines[last][node.end_col_offset :]]
    return b"".join(lines).decode()


def spoken_texts(source: str) -> list[ast.Constant]:
    """The texts in a module that are not its docstrings."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
        and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    return [node for node in ast.walk(tree) if isinstance(node, ast.Constant)
            and isinstance(node.value, str) and id(node) not in docstrings]  # fmt: skip


def imports(source: str, package: str = "") -> list[Import]:
    """What a cell, or a module of `package`, imports of jobgen_runtime, at any depth. Raises
    SyntaxError, and TemplateError for a relative import in a cell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            if not package or node.level > 1:
                raise TemplateError(
                    f"line {node.lineno} imports from {'.' * node.level}{node.module or ''}",
                    f"Write the whole name: from {PACKAGE}.... import NAME",
                )
            module = f"{package}.{node.module}" if node.module else package
            found += [Import(module, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            found += [Import(str(node.module), alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [Import(a.name, "", node.lineno) for a in node.names if _is_ours(a.name)]
    return found


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == PACKAGE


def needs(text: str) -> list[Import]:
    """As imports(), read off formatted source, which is ten times as fast."""
    found = []
    for match in IMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        names = re.sub(r"#[^\n]*", "", match[2] or "").strip("()").split(",")
        for name in [n.split(" as ")[0].strip() for n in names] if match[1] else [""]:
            if name or match[3]:
                found.append(Import(match[1] or match[3], name, line))
    return found


def _visit(wanted: Import, where: str, own: Mapping[str, str], files: dict[str, str]) -> None:
    parts = wanted.module.split(".")[1:]
    path = _file(parts, own)
    if path is None or (wanted.name and _file([*parts, wanted.name], own)):
        parts = [*parts, wanted.name]
        path = _file(parts, own)
    if path is None:
        raise TemplateError(
            f"{where} imports {wanted.module} in line {wanted.line}, and there is no such module",
            _nearest(".".join(parts), own),
        )
    text = runtime_text(path, own)
    is_module = parts == wanted.module.split(".")[1:]
    of_pack = parts[0] == OF_PACKS if parts else False
    names = bound(text) if of_pack else defined(text)
    if wanted.name not in ("", "*") and is_module and wanted.name not in names:
        close = difflib.get_close_matches(wanted.name, names, 1)
        raise TemplateError(
            f"{where} imports {wanted.name} in line {wanted.line}, and {wanted.module} has none",
            f"Did you mean {close[0]}?" if close else "",
        )
    if path in files:
        return
    for number in range(1, len(parts)):
        package = "/".join([*parts[:number], "__init__.py"])
        files.setdefault(package, runtime_text(package, own))
    files[path] = text
    for need in imports(text, f"{PACKAGE}.{OF_PACKS}") if of_pack else needs(text):
        _visit(need, f"{PACKAGE}/{path}", own, files)
    for name in [*PROGRAM.findall(text), *_beside(path, text)]:
        _visit(Import(f"{PACKAGE}.programs.{name}", "", 1), f"{PACKAGE}/{path}", own, files)


def _beside(path: str, text: str) -> list[str]:
    """What a program imports of those that lie beside it."""
    if not path.startswith("programs/"):
        return []
    return [n for n in BESIDE.findall(text) if (runtime_dir() / "programs" / f"{n}.py").is_file()]


def _file(parts: list[str], own: Mapping[str, str]) -> str | None:
    """The path of a module in the package; None where there is none."""
    if not parts or not all(part.isidentifier() for part in parts):
        return None if parts else "__init__.py"
    if parts[0] == OF_PACKS:
        return f"{OF_PACKS}/{parts[1]}.py" if len(parts) == 2 and parts[1] in own else None
    path = "/".join(parts)
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if (runtime_dir() / candidate).is_file():
            return candidate
    return None


@cache
def bound(source: str) -> frozenset[str]:
    """The names that a source of anybody's gives a meaning outside of functions and classes."""
    symbols = symtable.symtable(source, "module", "exec").get_symbols()
    names = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    if "import *" in source:  # whatever that brings
        names |= set(re.findall(r"\w+", source))
    return frozenset(names)


def runtime_text(path: str, own: Mapping[str, str]) -> str:
    """A file of the package, jobgen's or of a pack."""
    room, _, name = path.partition("/")
    if room == OF_PACKS:
        return own.get(name.removesuffix(".py"), '"""What the template packs bring."""\n')
    return _read(path)


@cache
def _read(path: str) -> str:
    return (runtime_dir() / path).read_text(encoding="utf-8")


@cache
def defined(text: str) -> frozenset[str]:
    """The names that a formatted source defines or imports at its left margin."""
    found: list[str] = []
    for match in DEFINED.finditer(text):
        if match[3]:
            names = re.sub(r"#[^\n]*", "", match[3]).strip("()\n ").split(",")
            found += [name.split(" as ")[-1].strip() for name in names]
        else:
            found.append(match[1] or match[2])
    return frozenset(filter(None, found))


@cache
def homes() -> dict[str, str]:
    """Of every public function and class of the package the module that defines it."""
    found: dict[str, str] = {}
    for path in sorted(runtime_dir().rglob("*.py")):
        inside = path.relative_to(runtime_dir())
        if inside.parts[0] in ("programs", UNPACK):
            continue
        module = ".".join([PACKAGE, *inside.with_suffix("").parts])
        for name in re.findall(
            r"^(?:def|class) ([A-Za-z]\w*)", _read(inside.as_posix()), re.MULTILINE
        ):
            found.setdefault(name, module)
    return found


def _nearest(name: str, own: Mapping[str, str]) -> str:
    known = [f"{OF_PACKS}.{n}" for n in own]
    known += [".".join(p.relative_to(runtime_dir()).with_suffix("").parts)
              for p in runtime_dir().rglob("*.py")]  # fmt: skip
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {PACKAGE}.{close[0]}?" if close else ""


def unpacking() -> str:
    """The last lines of the tools cell."""
    return _read(UNPACK)


def tools_source(files: Mapping[str, str], head: str) -> str:
    """The cell that holds the package: each file as plain text, then what writes and imports it.
    `head` is its first line. Raises TemplateError for a text that can't stand in a raw string."""
    rows = [f"# {head}\nFILES = {{}}\n"]
    for path, text in files.items():
        if "'''" in text or text.endswith("\\"):
            raise TemplateError(f"{path} holds ''' or ends in a backslash", "Write it otherwise.")
        # A quote at the very end would be taken for a part of those that close the text.
        rows.append(
            f"FILES[{path!r}] = r'''{text if text.endswith(chr(10)) else text + chr(10)}'''\n"
        )
    rows.append(unpacking())
    rows.append(
        '\n\nTOOLS = carry(FILES, os.path.join(os.path.expanduser("~"), ".cache", "jobgen", '
        '"runtime"))\n'
    )
    return "".join(rows)
