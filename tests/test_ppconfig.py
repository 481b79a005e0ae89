"""PaddleDetection's configs are resolved as PaddleDetection resolves them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobgen.catalog import config_texts, environments, models
from jobgen.machine.environment import managed_python
from jobgen.ppconfig import resolve
from jobgen.settings import load_settings
from jobgen.yamlio import plain
from tests.conftest import ROOT, real_data


def by_name(value: Any) -> Any:
    """`{"!CosineDecay": {...}}` as `{"name": "CosineDecay", ...}`: upstream writes both."""
    if isinstance(value, list):
        return [by_name(item) for item in value]
    if not isinstance(value, dict):
        return value
    (first, *rest) = value or [""]
    if isinstance(first, str) and first.startswith("!") and not rest:
        return {"name": first[1:], **by_name(value[first])}
    return {key: by_name(item) for key, item in value.items()}


@pytest.mark.parametrize("name", sorted(name for name in models() if "picodet" in name))
def test_the_catalogues_files_resolve_to_upstreams_values(name: str) -> None:
    path = real_data("picodet-resolved") / "v2.6.0" / f"{name}.json"
    found = resolve(Path(f"picodet/{name}.yml"), config_texts())
    assert len(found.findings) == 0
    assert by_name(plain(found.config)) == by_name(json.loads(path.read_text(encoding="utf-8")))
    for key in found.config:
        assert found.origin((key,)) is not None


def chain(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.yml").write_text(text, encoding="utf-8")
    return tmp_path / "m.yml"


def test_bases_are_merged_in_their_order_and_the_file_last(tmp_path: Path) -> None:
    path = chain(
        tmp_path,
        a="x: {p: 1, q: 1, list: [1, 2]}\ny: 1\n",
        b="x: {q: 2}\ny: {deep: 2}\n",
        m="_BASE_: [a.yml, b.yml]\nx: {list: [3]}\n",
    )
    found = resolve(path)
    assert found.config == {"x": {"p": 1, "q": 2, "list": [3]}, "y": {"deep": 2}}
    assert str(found.origin(("x", "p"))) == f"{tmp_path}/a.yml:1"
    assert str(found.origin(("x", "q"))) == f"{tmp_path}/b.yml:1"
    assert str(found.origin(("x", "list", 0))) == f"{path}:2"
    assert [file.name for file in found.files] == ["m.yml", "a.yml", "b.yml"]


def test_an_alias_is_its_anchor_as_in_pyyaml(tmp_path: Path) -> None:
    """What is merged into the one changes the other: PaddleDetection's dicts are one object."""
    path = chain(tmp_path, a="one: &x {p: 1}\ntwo: *x\n", m="_BASE_: [a.yml]\none: {p: 2}\n")
    assert resolve(path).config == {"one": {"p": 2}, "two": {"p": 2}}


def test_absolute_and_home_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "h.yml").write_text("h: 1\n")
    (tmp_path / "a.yml").write_text("a: 1\n")
    path = chain(tmp_path, m=f"_BASE_: ['~/h.yml', '{tmp_path}/a.yml']\n")
    assert resolve(path).config == {"h": 1, "a": 1}


@pytest.mark.parametrize(
    ("texts", "code", "place"),
    [
        ({"m": "_BASE_: [a.yml]\n", "a": "_BASE_: [m.yml]\n"}, "CF012", "a.yml:1"),
        ({"m": "x: 1\n_BASE_: [none.yml]\n"}, "CF013", "m.yml:2"),
        ({"m": "x: 1\ny: 2\nx: 3\n"}, "CF010", "m.yml:3"),
        ({"m": "_BASE_: a.yml\n"}, "CF011", "m.yml:1"),
        ({"m": "_BASE_: [a.yml]\n", "a": "x: !!python/object:os.system {}\n"}, "CF011", "m.yml:1"),
        ({"m": "_BASE_: [a.yml]\n", "a": "x: [1\n"}, "CF011", "m.yml:1"),
    ],
)
def test_faults_have_file_and_line(
    tmp_path: Path, texts: dict[str, str], code: str, place: str
) -> None:
    (finding,) = resolve(chain(tmp_path, **texts)).findings
    assert finding.code == code
    assert finding.place.endswith(place)


@pytest.mark.paddle
@pytest.mark.timeout(1500)
def test_every_config_of_a_checkout_equals_load_config() -> None:
    """JOBGEN_PADDLEDETECTION names the checkout, JOBGEN_ENVIRONMENT the environment that runs it."""
    checkout = os.environ.get("JOBGEN_PADDLEDETECTION")
    if not checkout:
        pytest.skip("JOBGEN_PADDLEDETECTION names no checkout")
    environment = environments()[os.environ.get("JOBGEN_ENVIRONMENT", "paddle2.6_py3.10")]
    python, _ = managed_python(environment, load_settings().cache, print)
    configs = sorted(Path(checkout, "configs").rglob("*.yml"))
    script = ROOT / "tests" / "compare_configs.py"
    argv = [str(python), str(script), checkout, *map(str, configs)]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True)
    theirs = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    assert len(theirs) == len(configs) > 100
    differ = []
    for row in theirs:
        found = resolve(Path(row["config"]))
        ours = json.loads(json.dumps(plain(found.config)))
        if "error" in row["loaded"]:
            same = bool(found.findings.errors)
        else:
            same = ours == {key: row["loaded"].get(key) for key in ours}
        if not same:
            differ.append(row["config"])
    assert differ == []
