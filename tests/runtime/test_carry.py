"""The tools that a notebook writes: whole, its own, where nobody else can write."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator

import pytest

from jobgen_runtime.carry import carry

ROOT = Path(__file__).parent.parent.parent
FILES = {"__init__.py": "", "room/__init__.py": "", "room/one.py": "VALUE = '\\n'  # \u8239\n"}


@pytest.fixture(autouse=True)
def unharmed() -> Iterator[None]:
    """The package that is tested is imported again afterwards."""
    modules = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "jobgen_runtime"}
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [n for n in sys.modules if n.split(".")[0] == "jobgen_runtime"]:
        del sys.modules[name]
    sys.modules.update(modules)


def value(files: Dict[str, str], home: Path) -> str:
    carry(files, str(home))
    found: str = importlib.import_module("jobgen_runtime.room.one").VALUE
    return found


def test_it_is_imported_and_written_once(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    assert value(FILES, home) == "\n"
    (folder,) = home.iterdir()
    before = os.stat(str(folder)).st_mtime_ns
    assert value(FILES, home) == "\n"
    assert list(home.iterdir()) == [folder]
    assert os.stat(str(folder)).st_mtime_ns == before
    module = sys.modules["jobgen_runtime.room.one"]
    assert value(FILES, home) == "\n"
    assert sys.modules["jobgen_runtime.room.one"] is module  # what it holds stays held
    changed = dict(FILES, **{"room/one.py": "VALUE = 'new'\n"})
    assert value(changed, home) == "new"  # not what was imported before
    assert len(list(home.iterdir())) == 2


@pytest.mark.parametrize("damage", ["text", "missing", "stranger", "writable"])
def test_what_somebody_changed_is_not_used(tmp_path: Path, damage: str) -> None:
    folder = Path(carry(FILES, str(tmp_path)))
    one = folder / "jobgen_runtime" / "room" / "one.py"
    if damage == "text":
        one.write_text("VALUE = 'evil'\n")
    elif damage == "missing":
        one.unlink()
    elif damage == "stranger":
        (folder / "json.py").write_text("raise SystemExit('evil')\n")
    else:
        folder.chmod(0o777)
    again = carry(FILES, str(tmp_path))
    assert again != str(folder)
    assert value(FILES, tmp_path) == "\n"


def test_a_home_that_others_can_write_is_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    folder = carry(FILES, str(shared))
    assert list(shared.iterdir()) == []
    assert os.stat(folder).st_mode & 0o077 == 0


def test_a_home_that_is_a_file_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert value(FILES, tmp_path / "file") == "\n"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    folder = Path(carry(FILES, str(tmp_path / "real")))
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert carry(FILES, str(tmp_path / "real")) != str(folder)


def test_a_folder_above_that_others_can_write_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can rename it could put another in its place, hours before a stage is imported."""
    monkeypatch.setenv("HOME", str(tmp_path))
    above = tmp_path / ".cache" / "jobgen"
    above.mkdir(parents=True)
    above.chmod(0o777)
    folder = carry(FILES, str(above / "runtime"))
    assert not folder.startswith(str(tmp_path) + os.sep)
    assert list((above / "runtime").iterdir()) == []


def test_folders_are_made_for_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0)
    try:
        folder = Path(carry(FILES, str(tmp_path / "a" / "b")))
    finally:
        os.umask(before)
    assert folder.parent == tmp_path / "a" / "b"
    assert [os.stat(str(p)).st_mode & 0o077 for p in (tmp_path / "a", tmp_path / "a" / "b")] == [
        0,
        0,
    ]


def test_a_temporary_folder_serves_the_whole_kernel(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    value(FILES, tmp_path / "file")
    module = sys.modules["jobgen_runtime.room.one"]
    value(FILES, tmp_path / "file")
    assert sys.modules["jobgen_runtime.room.one"] is module


def test_tools_of_before_do_not_judge_the_run_at_the_end(tmp_path: Path) -> None:
    """The record that they hold is not closed as `ended before its last stage`."""
    text = "_current = ['old']\ndef _close_between_stages():\n    print('JUDGED')\n"
    files = dict(FILES, **{"record/__init__.py": "", "record/outcome.py": text})
    code = (
        "import atexit, importlib, sys\nsys.path.insert(0, %r)\n"
        "from jobgen_runtime.carry import carry\nimport jobgen_runtime\n"
        "carry(%r, %r)\nold = importlib.import_module('jobgen_runtime.record.outcome')\n"
        "atexit.register(old._close_between_stages)\n"
        "carry(%r, %r)\nassert old._current == []\n"
    ) % (str(ROOT), files, str(tmp_path), dict(files, **{"x.py": ""}), str(tmp_path))
    answer = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert b"JUDGED" not in answer.stdout
