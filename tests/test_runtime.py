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

from jobgen.errors import TemplateError
from jobgen.job.carrier import carried, defined, imports, needs
from jobgen.job.notebook import cell_source
from jobgen.machine.interpreters import python_facts
from tests.conftest import ROOT

# Read before the tests' own HOME is set.
PYENV_ROOTS = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
RUNTIME = ROOT / "jobgen_runtime"


def files() -> dict[str, str]:
    """What the cells of a bundle with every stage carry, path to text."""
    found = {}
    for node in ast.parse(tools_cell("bccd")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            found[ast.literal_eval(node.targets[0].slice)] = ast.literal_eval(node.value)
    return found


def tools_cell(bundle: str) -> str:
    path = ROOT / "bundles" / bundle / "upload" / "main.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return next(cell_source(cell) for cell in cells if cell["id"] == "tools")


def test_the_tools_are_the_package_word_for_word() -> None:
    carried_files = files()
    assert len(carried_files) > 40
    for name, text in carried_files.items():
        assert text == (RUNTIME / name).read_text(encoding="utf-8"), name


def test_what_no_step_needs_stays_at_home() -> None:
    assert "data/voc.py" in files()  # bccd is a VOC set
    assert "data/voc.py'] = " not in tools_cell("ssdd")
    cells = [("c", "from jobgen_runtime.stages.prepare import check_machine")]
    assert not any(name.startswith(("after/evaluate", "programs/judge")) for name in carried(cells))


def test_what_is_read_off_the_source_is_what_a_parser_finds() -> None:
    for path in RUNTIME.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        body = ast.parse(text).body
        defined_names: set[str] = set()
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined_names.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                defined_names |= {t.id for t in targets if isinstance(t, ast.Name)}
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                defined_names |= {a.asname or a.name for a in node.names}
        assert defined_names <= defined(text), path  # a string may hold more
        top = ast.unparse(ast.Module([n for n in body if not isinstance(n, ast.FunctionDef)], []))
        by_parser = {(i.module, i.name) for i in imports(top)}
        assert {(i.module, i.name) for i in needs(text)} == by_parser, path


@pytest.mark.parametrize(("source", "said"), [
    ("from jobgen_runtime.record.outcome import nte", "Did you mean note?"),
    ("from jobgen_runtime.record.outcom import note", "Did you mean jobgen_runtime.record.outcome?"),
    ("from jobgen_runtime.pack.mine import go", "there is no such module"),
    ("import jobgen_runtime.data.vok", "Did you mean jobgen_runtime.data.voc?"),
])  # fmt: skip
def test_an_import_of_what_is_not_there_is_refused(source: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        carried([("look", source)])
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "the cell look" in caught.value.message


# Weights are read where Paddle is, which brings NumPy; pictures are shown where there is a notebook.
ELSEWHERE = {
    ("train/weightsfile.py", "numpy"), ("record/show.py", "matplotlib"), ("record/show.py", "IPython"),
}  # fmt: skip


def test_only_the_standard_library_is_imported() -> None:
    for path in RUNTIME.rglob("*.py"):
        name = path.relative_to(RUNTIME).as_posix()
        if name.startswith("programs/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                top = module.split(".")[0]
                if (name, top) in ELSEWHERE:
                    assert node not in tree.body
                    continue
                assert top in sys.stdlib_module_names or top == "jobgen_runtime", module


@pytest.mark.waits
def test_vermin_finds_nothing_above_python_3_7(tmp_path: Path) -> None:
    cells = []
    for path in sorted((ROOT / "bundles").glob("*/upload/main.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells += ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 25
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
        [inside, "-m", "pip", "install", "-q", "pytest<8", "numpy", "opencv-python-headless"],
        check=True,
        capture_output=True,
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
