"""What is kept for the next run: shown, cleared, fetched beforehand, and missed offline."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobgen.catalog import environments
from jobgen.errors import RunError
from jobgen.job.bundle import read_bundle
from jobgen.machine.cache import Needs, entries, fetch, lacking, remove
from jobgen.machine.damage import environment_damage, mirror_damage
from jobgen.machine.environment import environment_folder
from jobgen.machine.locks import MARK, make_once
from jobgen.machine.mirror import addresses, find_mirror, mirror_folder
from jobgen.run.local import pretrained_address
from jobgen_runtime.train.weights import cached_weights
from tests.conftest import ROOT, Answer
from tests.runtime.conftest import git_repository

HERE = environments()["paddle2.6_py3.10"]
URL = "https://paddledet.bj.bcebos.com/models/picodet_l_640_coco_lcnet.pdparams"


def cache() -> Path:
    return Path(os.environ["JOBGEN_CACHE"])


def put_environment(whole: bool = True) -> Path:
    folder = environment_folder(HERE, cache())[0]
    (folder / "bin").mkdir(parents=True)
    script = f'#!/bin/sh\nexec {sys.executable} "$@"\n#'
    (folder / "bin" / "python").write_text(script.ljust(1000, "p"))
    (folder / "bin" / "python").chmod(0o755)
    package = folder / "lib" / "python3.11" / "site-packages" / "numpy-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "RECORD").write_text("")
    if whole:
        (folder / MARK).write_text(str(folder / "bin" / "python"))
    return folder


def put_weights() -> Path:
    path = Path(cached_weights(URL, str(cache() / "weights")))
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"w": b"w" * 500}))
    return path


def test_what_is_kept_is_listed_with_its_size(jobgen: Callable[..., Answer]) -> None:
    assert jobgen("cache", "list").out.endswith(": 0 MB\n")
    put_environment(whole=False)
    put_weights()
    answer = jobgen("cache", "list", "--json").json
    assert [(e["kind"], e["whole"]) for e in answer["entries"]] == [
        ("envs", False),
        ("weights", True),
    ]
    assert answer["entries"][0]["bytes"] == 1000
    assert "half made" in jobgen("cache", "list").out


def test_one_kind_is_cleared_and_a_dry_run_clears_nothing(jobgen: Callable[..., Answer]) -> None:
    folder, weights = put_environment(), put_weights()
    assert "would remove weights/" in jobgen("cache", "clear", "weights", "--dry-run").out
    assert weights.is_file()
    assert jobgen("cache", "clear", "weights").code == 0
    assert not weights.exists()
    assert folder.is_dir()
    assert jobgen("cache", "clear", "--all").code == 0
    assert entries(cache()) == []
    assert jobgen("cache", "clear").code == 2
    assert jobgen("cache", "clear", "envs", "--all").code == 2


def test_what_a_run_is_using_stays() -> None:
    folder = put_environment()
    script = folder / "bin" / "work.py"
    script.write_text("print('on', flush=True); input()")
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    child.stdout.readline()
    (entry,) = entries(cache())
    with pytest.raises(RunError, match=rf"is in use \(process {child.pid}\)"):
        remove(entry)
    child.communicate(b"\n")
    remove(entry)
    assert not folder.exists()


@pytest.mark.waits
def test_what_a_job_lacks() -> None:
    needs = Needs(HERE, URL)
    assert len(lacking(needs, cache(), own_python=False, own_mirror=False)) == 3
    assert lacking(needs, cache(), own_python=True, own_mirror=True) == [
        f"the pretrained weights {URL}"
    ]
    put_weights()
    put_environment()
    mirror = mirror_folder(HERE, cache())
    mirror.mkdir(parents=True)
    assert lacking(needs, cache(), False, False) == ["PaddleDetection v2.6.0"]
    (mirror / MARK).write_text("here")
    subprocess.run(["git", "init", "-q", "--bare", str(mirror / "repo.git")], check=True)
    assert lacking(needs, cache(), False, False) == []
    (mirror / "repo.git" / "HEAD").unlink()
    (missing,) = lacking(needs, cache(), False, False)
    assert missing.startswith("PaddleDetection v2.6.0, which is damaged (")


def installed(folder: Path) -> Path:
    """A package in the made-up environment; gives the file that it is."""
    place = folder / "lib" / "python3.11" / "site-packages"
    (place / "cv2.py").write_text("x = 1\n")
    rows = "cv2.py,sha256=x,6\ncv2.pyc,,\nnumpy-1.0.dist-info/RECORD,,\n"
    (place / "numpy-1.0.dist-info" / "RECORD").write_text(rows)
    return place / "cv2.py"


def make_new(place: Path) -> str:
    place.mkdir()
    return "new"


def break_python(path: Path) -> None:
    (path.parents[3] / "bin" / "python").write_text("x")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "numpy-1.0: cv2.py is gone"),
        (lambda path: path.write_text("x"), "numpy-1.0: cv2.py has 1 bytes instead of 6"),
        (lambda path: break_python(path), "its Python does not run"),
        (lambda path: shutil.rmtree(path.parent), "no package is installed in it"),
    ],
)
def test_a_damaged_environment_is_named_and_made_anew(
    jobgen: Callable[..., Answer], harm: Callable[[Path], object], said: str
) -> None:
    folder = put_environment()
    path = installed(folder)
    assert environment_damage(folder) is None
    harm(path)
    assert environment_damage(folder) == said
    assert f"{folder.name}: {said}" in jobgen("doctor").out
    told: list[str] = []
    made = make_once(folder, make_new, environment_damage, told.append)
    assert made == ("new", True)
    assert told == [f"{folder.name} in the cache is damaged and is made anew: {said}"]


def test_a_damaged_mirror_is_named(tmp_path: Path) -> None:
    git_repository(tmp_path / "work", {"ppdet/a.py": "x = 1\n" * 400})
    folder = tmp_path / "mirror"
    subprocess.run(
        ["git", "clone", "-q", "--bare", str(tmp_path / "work"), str(folder / "repo.git")],
        check=True,
    )
    assert mirror_damage(folder) is None
    objects = [p for p in (folder / "repo.git" / "objects").rglob("*") if p.is_file()]
    thing = max(objects, key=lambda p: p.stat().st_size)
    thing.chmod(0o644)
    data = bytearray(thing.read_bytes())
    data[len(data) // 2] ^= 255
    thing.write_bytes(bytes(data))
    assert mirror_damage(folder) is not None


def test_a_run_without_a_network_says_what_is_missing(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    upload = ROOT / "bundles" / "ssdd" / "upload"
    assert pretrained_address(read_bundle(upload)) == URL
    archive = tmp_path / "ssdd.zip"
    archive.write_bytes(b"")
    arguments = ("run", upload, "--archive", archive, "--yes", "--no-check", "--device", "cpu")
    answer = jobgen(*arguments, "--offline")
    assert answer.code == 7
    assert "--offline, and not in the cache: the Python environment paddle2.6-py3" in answer.err
    assert f"PaddleDetection v2.6.0; the pretrained weights {URL}" in answer.err
    assert "jobgen mirror add JOB" in answer.err
    assert entries(cache()) == []


@pytest.mark.waits
def test_a_usb_stick_holds_all_that_a_job_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and PaddleDetection from a folder; the environment is there already."""
    folder = environment_folder(HERE, cache())[0]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    (site / "cv2.py").write_text("")
    (site / "paddle.py").write_text(
        "__version__ = '2.6.2'\nclass version: cuda = lambda: 'False'\n"
    )
    (folder / MARK).write_text(str(folder / "bin" / "python"))
    stick = tmp_path / "stick 盘"
    commit = git_repository(stick / "copy", {"ppdet/a.py": "x = 1\n"}, tag="v2.6.0")
    (stick / "copy" / ".git").rename(stick / "PaddleDetection.git")
    (stick / "picodet_l_640_coco_lcnet.pdparams").write_bytes(pickle.dumps({"w": b"w" * 500}))
    for name in ("UV_FIND_LINKS", "UV_NO_INDEX"):
        monkeypatch.setenv(name, "")
    with pytest.raises(RunError, match=r"does not hold PaddleDetection v2\.6\.0"):
        fetch(Needs(HERE, URL), cache(), stick, print)
    pinned = replace(HERE, revision=replace(HERE.revision, commit=commit))
    rows = fetch(Needs(pinned, URL), cache(), stick, print)
    assert rows[0].endswith("Paddle 2.6.2, CPU")
    assert rows[1].endswith((stick / "PaddleDetection.git").as_uri())
    assert rows[2].endswith(f"from {stick}")
    assert lacking(Needs(HERE, URL), cache(), False, False) == []


def test_a_stick_that_lacks_the_weights(tmp_path: Path) -> None:
    from jobgen.machine.cache import _fetch_weights

    with pytest.raises(RunError, match="is not in") as caught:
        _fetch_weights(URL, cache(), tmp_path, print)
    assert URL in str(caught.value.hint)
    (tmp_path / URL.rpartition("/")[2]).write_bytes(pickle.dumps({"w": b"w" * 500})[:-9])
    with pytest.raises(RunError, match=r"is no weights file \(torn\)"):
        _fetch_weights(URL, cache(), tmp_path, print)


def test_copies_of_paddledetection_are_listed_and_removed(jobgen: Callable[..., Answer]) -> None:
    assert jobgen("mirror", "list").out == "none yet\n"
    mirror = mirror_folder(HERE, cache())
    mirror.mkdir(parents=True)
    (mirror / MARK).write_text("https://gitee.com/x.git")
    assert "paddledetection-v2.6.0  https://gitee.com/x.git" in jobgen("mirror", "list").out
    assert jobgen("mirror", "remove", "other").code == 7
    assert jobgen("mirror", "remove", "paddledetection-v2.6.0").code == 0
    assert not mirror.exists()


def test_the_address_that_last_answered_is_asked_first(tmp_path: Path) -> None:
    commit = git_repository(tmp_path / "good", {"ppdet/a.py": "x = 1\n"}, tag="v2.6.0")
    good = (tmp_path / "good").as_uri()
    urls = ["file:///nowhere/a.git", good, "file:///nowhere/b.git"]
    assert addresses(urls, cache()) == urls
    pinned = replace(HERE, revision=replace(HERE.revision, commit=commit), urls=urls)
    assert find_mirror(pinned, cache(), None, print).origin == good
    assert addresses(urls, cache()) == [good, urls[0], urls[2]]


@pytest.mark.parametrize("own", [None, "another jobgen's"])
def test_a_mirror_that_another_jobgen_put_together_is_made_anew(
    tmp_path: Path, own: str | None
) -> None:
    """Its tools or configs are others, and a bundle of this jobgen would refuse them."""
    tag = HERE.revision.ref
    commit = git_repository(tmp_path / "up", {"ppdet/a.py": "x = 1\n"}, tag)
    pinned = replace(
        HERE, urls=[(tmp_path / "up").as_uri()], revision=replace(HERE.revision, commit=commit)
    )
    folder = mirror_folder(pinned, cache())
    subprocess.run(["git", "init", "-q", "--bare", str(folder / "repo.git")], check=True)
    (folder / MARK).write_text("packages: paddledet==2.6.0, jobgen's catalogue and jobgen's tools")
    if own is not None:
        (folder / "own.sha256").write_text(own)
    assert find_mirror(pinned, cache(), None, print).made
    assert not find_mirror(pinned, cache(), None, print).made
