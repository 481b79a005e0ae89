"""The runtime as a notebook carries it: one name space, Python 3.7, nothing but the library."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobgen.build import assigned_names, runtime_modules
from jobgen.machine.interpreters import python_facts
from tests.conftest import ROOT

# Read before the tests' own HOME is set.
PYENV_ROOTS = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
RUNTIME = ROOT / "jobgen" / "runtime"
NAMES = sorted(p.stem for p in RUNTIME.glob("*.py") if p.stem != "__init__")


def top_level_names(source: str) -> tuple[set[str], dict[str, str]]:
    """Names that a module defines, and its imports as name -> where from."""
    defined, imported = set(), {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Import):
            imported.update({a.asname or a.name.split(".")[0]: a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom):
            imported.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return defined, imported


def test_no_names_collide() -> None:
    owner: dict[str, str] = {}
    origin: dict[str, str] = {}
    for module in runtime_modules(NAMES):
        defined, imported = top_level_names(module.source)
        for name in defined:
            assert name not in owner, f"{name} is defined in {owner[name]} and {module.name}"
            assert name not in origin, f"{name} of {module.name} hides an import"
            owner[name] = module.name
        for name, target in imported.items():
            known = origin.setdefault(name, target).split(".")[0]
            assert known == target.split(".")[0], f"{name}: {origin[name]} or {target}"
            assert name not in owner, f"the import {name} of {module.name} hides {owner[name]}"


def test_what_is_read_off_the_source_is_what_a_parser_finds() -> None:
    for module in runtime_modules(NAMES):
        tree = ast.parse((RUNTIME / f"{module.name}.py").read_text(encoding="utf-8"))
        imports = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        siblings = [name for name in imports if name.startswith("jobgen.runtime.")]
        assert [f"jobgen.runtime.{name}" for name in module.needs] == siblings
        assert set(assigned_names(tree.body)) == module.defines, module.name


# Paddle brings NumPy, and weights are read where Paddle is: the import waits until then.
WITH_PADDLE = {("weightsfile", "numpy")}


def test_only_the_standard_library_is_imported() -> None:
    for name in NAMES:
        tree = ast.parse((RUNTIME / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                top = module.split(".")[0]
                if (name, top) in WITH_PADDLE:
                    assert node not in tree.body
                    continue
                assert top in sys.stdlib_module_names or module.startswith("jobgen.runtime.")


def test_the_embedded_source_is_the_modules_own() -> None:
    for module in runtime_modules(NAMES):
        kept = [line for line in module.source.splitlines() if line.strip()]
        whole = (RUNTIME / f"{module.name}.py").read_text(encoding="utf-8")
        lines = [line for line in whole.splitlines() if line.strip()]
        remaining = iter(lines)
        assert all(line in remaining for line in kept), module.name
        dropped = len(lines) - len(kept)
        imports = [
            node
            for node in ast.parse(whole).body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jobgen.")
        ]
        lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in imports]
        assert dropped == sum(lengths), module.name
        assert "jobgen.runtime" not in module.source


@pytest.mark.waits
def test_vermin_finds_nothing_above_python_3_7(tmp_path: Path) -> None:
    cells = []
    for path in sorted((ROOT / "bundles").glob("*/upload/main.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells += ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 40
    (tmp_path / "cells.py").write_text("\n".join(cells), encoding="utf-8")
    argv = [
        sys.executable,
        "-c",
        "import vermin; vermin.main()",
        "--no-tips",
        "--violations",
        "-t=3.7-",
        "--eval-annotations",
        str(tmp_path / "cells.py"),
        str(RUNTIME),
        *map(str, sorted((ROOT / "templates").glob("*/runtime"))),
    ]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    assert "Minimum required versions: 3." in answer.stdout


def old_python(version: str) -> str:
    """An installed Python of this version, or a skip."""
    import shutil

    found = [shutil.which(f"python{version}") or ""]
    for root in PYENV_ROOTS:
        found += [str(p) for p in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for python in found:
        facts = python_facts(python) if python else None
        if facts and ".".join(map(str, facts[0])) == version:
            return python
    pytest.skip(f"Python {version} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.7", "3.8"])
def test_the_runtimes_tests_pass_on_old_pythons(version: str, tmp_path: Path) -> None:
    python = old_python(version)
    subprocess.run([python, "-m", "venv", str(tmp_path / "env")], check=True)
    inside = str(tmp_path / "env" / "bin" / "python")
    subprocess.run(
        [inside, "-m", "pip", "install", "-q", "pytest<8", "numpy"], check=True, capture_output=True
    )
    argv = [
        inside,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(ROOT),
        "--noconftest",
        "-p",
        "tests.runtime.conftest",
        str(ROOT / "tests" / "runtime"),
    ]
    answer = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert re.search(r"\d{3} passed", answer.stdout)
