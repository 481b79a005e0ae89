"""Environments and mirrors where the machine lacks something: exact messages, nothing half-made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobgen.catalog import config_texts, environments, models
from jobgen.errors import RunError
from jobgen.machine.interpreters import candidate_pythons, find_python, python_facts
from jobgen.machine.locks import MARK
from jobgen.machine.mirror import find_mirror
from jobgen.yamlio import load, plain
from jobgen_runtime.train.configure import merge_dicts
from tests.conftest import ROOT, Answer
from tests.runtime.conftest import git_repository

UPLOAD = ROOT / "bundles" / "ssdd" / "upload"


def python_of(folder: Path, version: str) -> str:
    """A stand-in interpreter that says it is of this version."""
    path = folder / f"python{version}"
    major, minor = version.split(".")
    path.write_text(f"#!/bin/sh\necho '[[{major}, {minor}], \"{path}\"]'\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_first_fitting_python_is_taken(tmp_path: Path) -> None:
    candidates = [str(tmp_path / "none"), python_of(tmp_path, "3.9"), python_of(tmp_path, "3.12")]
    assert find_python(candidates) == ((3, 12), str(tmp_path / "python3.12"))
    assert python_facts(sys.executable) == (sys.version_info[:2], sys.executable)


def test_without_a_fitting_python_the_message_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        find_python([python_of(tmp_path, "3.13"), python_of(tmp_path, "3.9")])
    assert caught.value.message == (
        "a local run needs an installed Python 3.10, 3.11 or 3.12; here is only 3.13, 3.9"
    )
    assert "--python PATH" in str(caught.value.hint)
    with pytest.raises(RunError, match="here is none at all"):
        find_python([])


def test_without_a_network_nothing_half_made_is_left(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        find_python([sys.executable])
    except RunError:
        pytest.skip("this test runs the managed environment's installer on Python 3.10 to 3.12")
    for name, value in (
        ("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple"),
        ("UV_HTTP_RETRIES", "0"),
        ("UV_CACHE_DIR", str(tmp_path / "uv")),
        ("JOBGEN_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    archive = tmp_path / "ssdd.zip"
    archive.write_bytes(b"")
    unchecked = ("--yes", "--no-check", "--device", "cpu", "--runs", tmp_path / "runs")
    answer = jobgen("run", UPLOAD, "--archive", archive, *unchecked)
    assert answer.code == 7
    assert "error: the Python environment could not be made: " in answer.err
    assert "the whole log is " in answer.err
    assert list((tmp_path / "cache").rglob(MARK)) == []
    assert [p for p in (tmp_path / "cache" / "envs").iterdir() if p.is_dir()] == []
    assert not (tmp_path / "runs").exists()


def test_a_mirror_without_network_and_package_says_what_to_do(tmp_path: Path) -> None:
    environment = replace(environments()["paddle3.0_py3.10"], urls=["file:///nowhere"])
    with pytest.raises(RunError) as caught:
        find_mirror(environment, tmp_path, None, lambda text: None)
    assert (
        caught.value.message
        == "no address of PaddleDetection develop answers, and it is not on PyPI"
    )
    assert "--mirror PATH" in str(caught.value.hint)
    assert list((tmp_path / "mirrors").rglob(MARK)) == []


def test_a_mirror_is_cloned_once_from_an_address_that_answers(tmp_path: Path) -> None:
    commit = git_repository(tmp_path / "upstream", {"ppdet/a.py": "x = 1\n"}, "v2.6.0")
    environment = environments()["paddle2.6_py3.10"]
    environment = replace(
        environment,
        urls=["file:///nowhere", f"file://{tmp_path / 'upstream'}"],
        revision=replace(environment.revision, commit=commit),
    )
    said: list[str] = []
    first = find_mirror(environment, tmp_path / "cache", None, said.append)
    again = find_mirror(environment, tmp_path / "cache", None, said.append)
    assert (first.made, again.made) == (True, False)
    assert first.address == again.address
    assert first.origin == again.origin == f"file://{tmp_path / 'upstream'}"
    assert len(said) == 1


@pytest.mark.parametrize("name", sorted(models()))
def test_the_mirrors_configs_resolve_to_the_catalogues(name: str) -> None:
    """As PaddleDetection merges `_BASE_`: later bases over earlier ones, the file over all."""
    texts = config_texts()
    folder = models()[name].family.folder
    values = load(texts[f"{folder}/{name}.yml"], name, "yaml11").value
    merged: dict[str, object] = {}
    for base in values.pop("_BASE_"):
        path = base.removeprefix("../") if base.startswith("../") else f"{folder}/{base}"
        merged = merge_dicts(merged, load(texts[path], path, "yaml11").value)
    merged = merge_dicts(merged, values)
    expected = plain(models()[name].config())
    for item in expected["LearningRate"]["schedulers"]:
        for key in [key for key in item if key.startswith("!")]:
            item.update(item.pop(key), name=key[1:])
    assert merged == expected


def test_an_old_python_is_looked_for_where_uv_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".local/share/uv/python/cpython-3.8.20-linux-x86_64-gnu/bin"
    place.mkdir(parents=True)
    (place / "python").write_text("#!/bin/sh\necho '[[3, 8], \"here\"]'\n", encoding="utf-8")
    (place / "python").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    versions = ((3, 8), (3, 7))
    assert find_python(candidate_pythons(versions), versions) == ((3, 8), "here")
    (place / "python").unlink()
    with pytest.raises(RunError, match=r"lite needs an installed Python 3.7 or 3.8; here is") as no:
        find_python(candidate_pythons(versions), versions, "lite")
    assert no.value.hint is not None
    assert no.value.hint.endswith("-m uv python install 3.8")
