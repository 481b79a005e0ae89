"""A module imports only from lower floors, or from its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = (
    ("errors", "text", "target", "language", "hidden"),
    ("yamlwords",),
    ("findings", "pages", "yamlio", "files", "literals", "resources"),
    ("spec_types",),
    ("spec_classification",),
    ("spec", "settings", "resultfile"),
    ("packs", "catalog"),
    ("datasets", "ppconfig", "trust"),
    ("job",),
    ("machine",),
    ("check", "authoring"),
    ("run",),
    ("deploy", "remote"),
    ("report",),
    ("sweep",),
    ("api",),
    ("cli",),
    ("__main__",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = sorted(
    p
    for p in (ROOT / "jobgen").rglob("*.py")
    if p.name != "__init__.py" or p.parent != ROOT / "jobgen"
)


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.startswith("jobgen.")]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_down(path: Path) -> None:
    relative = path.relative_to(ROOT / "jobgen")
    part = relative.parts[0].removesuffix(".py")
    assert part in FLOOR, f"{part} has no floor: add it to FLOORS and to the design"
    for module in imports(path):
        other = part_of(module)
        assert other == part or FLOOR[other] < FLOOR[part], f"{relative} imports {module}"


def test_the_runtime_imports_nothing_of_jobgen() -> None:
    paths = list((ROOT / "jobgen_runtime").rglob("*.py"))
    assert len(paths) > 10
    for path in paths:
        assert imports(path) == [], path


def test_modules_and_functions_stay_small() -> None:
    """A module is read in one sitting, and a function on one screen; no room is most of the house."""
    lines: dict[str, int] = {}
    for path in (p for top in ("jobgen", "jobgen_runtime") for p in (ROOT / top).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        count = text.count("\n")
        assert count <= 400, f"{path.relative_to(ROOT)} has {count} lines"
        room = path.parent.relative_to(ROOT).as_posix()
        lines[room] = lines.get(room, 0) + count
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 50, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"
    largest = max(lines, key=lambda room: lines[room])
    assert lines[largest] < sum(lines.values()) / 4, largest
