"""Files of strangers on this side of the notebook: nothing of theirs runs, leaves or misleads."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jobgen.catalog import Environment, environments
from jobgen.datasets.headers import Header, parse_header
from jobgen.errors import RunError
from jobgen.files import shown
from jobgen.machine.mirror import Mirror, find_mirror, instead_of, write_git_config
from jobgen.run.kernel import without_secrets
from jobgen.text import legible
from tests.conftest import Answer
from tests.runtime.conftest import git_repository
from tests.served import served_repository
from tests.sets import Coco, write_zip

GHOSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{} loop\n"


@pytest.mark.parametrize("start", [GHOSTSCRIPT, b"\xc5\xd0\xd3\xc6" + b"\0" * 60, b"%PDF-1.4\n"])
def test_a_program_named_as_an_image_is_not_run(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """Pillow would start Ghostscript for the first: it is looked for on PATH."""
    ran = tmp_path / "ran"
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("gs", "gswin64c"):
        (bin_ / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    files = Coco().all_files()
    name = next(name for name in files if name.endswith(".jpg"))
    path = write_zip(tmp_path / "set.zip", {**files, name: start})
    answer = jobgen("check", path, "--deep")
    assert (answer.code, "which OpenCV does not read" in answer.out) == (1, True)
    jobgen("dataset", "preview", path, "-o", tmp_path / "sheet.png")
    assert not ran.exists()


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    pixels = (np.arange(40 * 50 * 3) % 251).astype(np.uint8).reshape(40, 50, 3)
    image = Image.fromarray(pixels).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


READ = [
    *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
    *(("PNG", mode) for mode in ("RGB", "L", "P", "RGBA", "1", "LA")),
    *(("BMP", mode) for mode in ("RGB", "L", "P", "1")),
    *(("TIFF", mode) for mode in ("RGB", "L", "1", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(("JPEG2000", "RGB"), ("PPM", "RGB"), ("PPM", "L"), ("MPO", "RGB")),
]
UNREAD = [
    *("TGA", "ICO", "PCX", "DDS", "SGI", "QOI", "ICNS", "PDF", "EPS", "DIB", "SPIDER"),
    *(("AVIF",) if "AVIF" in Image.SAVE else ()),
]


@pytest.mark.parametrize(("kind", "mode"), READ)
def test_what_is_called_readable_opencv_reads(kind: str, mode: str) -> None:
    data = encoded(kind, mode)
    header = parse_header(data)
    assert (header.shown, header.unread) == ((50, 40), "")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (40, 50, 3)


@pytest.mark.parametrize("kind", UNREAD)
def test_what_opencv_does_not_read_is_no_image(kind: str) -> None:
    """Under any ending: only the content counts."""
    data = encoded(kind, "RGB" if kind != "SPIDER" else "F")
    with pytest.raises(ValueError, match="which OpenCV does not read|it is no image"):
        parse_header(data)


@pytest.mark.parametrize(
    ("mode", "options", "word"),
    [
        ("F", {}, "floating-point TIFF"),
        ("I", {}, "32-bit TIFF"),
        ("RGB", {"compression": "lzma"}, "LZMA"),
        ("RGB", {"compression": "zstd"}, "Zstandard"),
    ],
)
def test_a_tiff_that_opencv_does_not_read(mode: str, options: dict[str, str], word: str) -> None:
    data = encoded("TIFF", mode, **options)
    header = parse_header(data)
    assert isinstance(header, Header)
    assert word in header.unread
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None


def test_a_large_webp_is_read_whole(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 500, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "WEBP", quality=95)
    assert len(buffer.getvalue()) > 1 << 16
    data = Coco().all_files()
    names = [name for name in data if name.endswith(".jpg")]
    path = write_zip(tmp_path / "set.zip", {**data, **dict.fromkeys(names, buffer.getvalue())})
    assert "DS056" not in jobgen("check", path).out


@pytest.mark.parametrize(
    "name", ["$(touch x).zip", "`touch x`.zip", "a;touch x.zip", "a b'c.zip", 'q".zip', "-x $y.zip"]
)
def test_a_hint_that_is_pasted_runs_nothing(tmp_path: Path, name: str) -> None:
    script = f"printf '%s' {shown(Path(name))}"
    answer = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout == name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("C:\\data\\a.zip", "C:\\data\\a.zip"),
        ("a b.zip", '"a b.zip"'),
        ("a&b.zip", '"a&b.zip"'),
        ("$(calc).zip", "'$(calc).zip'"),
        ("it's $x.zip", "'it''s $x.zip'"),
        ("%PATH%.zip", '"FILE"'),
        ("$(a)&calc.zip", '"FILE"'),
    ],
)
def test_a_hint_on_windows(name: str, quoted: str) -> None:
    assert shown(Path(name), "nt") == quoted


def test_hints_quote_what_is_pasted(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "$(touch x) y.zip", Coco().all_files())
    for answer in (jobgen("check", path), jobgen("dataset", "inspect", path)):
        for line in (answer.out + answer.err).splitlines():
            if "jobgen " in line and str(path) in line:
                assert shlex.quote(str(path)) in line


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb\x08", "a\\rb\\x08"),
        ("one\ntwo\t三　四", "one\ntwo\t三　四"),
        ("safe\u202egpj.exe", "safe\\u202egpj.exe"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_control_characters_are_written_out(text: str, seen: str) -> None:
    assert legible(text) == seen


@pytest.mark.parametrize("command", ["inspect", "check", "collect", "report", "init"])
def test_no_escape_sequence_reaches_the_terminal(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "\x1b]0;owned\x07\x1b[2Jship"
    result = {
        "schema": 1, "stages": [], "status": f"failed{evil}", "name": evil, "artefacts": [],
        "failure": {"message": evil, "stage": evil, "remedy": evil, "log": None},
    }  # fmt: skip
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    coco = Coco()
    for split in (coco.train, coco.val):
        split["categories"][0]["name"] = evil
        split["images"][0]["file_name"] = f"{evil}.jpg"
    path = write_zip(tmp_path / f"{evil[:5]}.zip", coco.all_files())
    calls = {
        "inspect": ("dataset", "inspect", path), "check": ("check", path),
        "collect": ("collect", folder), "report": ("report", folder),
        "init": ("init", "ships", "--archive", path),
    }  # fmt: skip
    answer = jobgen(*calls[command])
    assert "\x1b" not in answer.out + answer.err
    assert "\x07" not in answer.out + answer.err


SECRET = "s3cret"


def pinned_to(commit: str) -> Environment:
    environment = environments()["paddle2.6_py3.10"]
    return replace(environment, revision=replace(environment.revision, commit=commit))


def test_a_mirrors_password_is_nowhere(tmp_path: Path) -> None:
    """Not in an error, in what is said, nor in a file."""
    commit = git_repository(tmp_path / "work", {"ppdet/x.py": "1\n"})
    said: list[str] = []
    given = f"{(tmp_path / 'work').as_uri()}?private_token={SECRET}"
    with pytest.raises(RunError) as caught:
        find_mirror(pinned_to(commit), tmp_path / "cache", given, said.append)
    assert "?..." in caught.value.message
    every = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert SECRET.encode() not in every
    assert SECRET not in " ".join(said) + caught.value.message


def test_the_runs_git_config_is_private(tmp_path: Path) -> None:
    write_git_config(tmp_path, Mirror("file:///x", "x", False), ["https://h/a.git"])
    assert (tmp_path / ".gitconfig").stat().st_mode & 0o077 == 0


def test_a_served_mirror_with_a_password_is_copied_once(tmp_path: Path) -> None:
    tag = environments()["paddle2.6_py3.10"].revision.ref
    commit = git_repository(tmp_path / "w", {"ppdet/x.py": "1\n"}, tag)
    pinned = pinned_to(commit)
    with served_repository(tmp_path / "w", "user", SECRET) as address:
        given = address.replace("://", f"://user:{SECRET}@")
        mirror = find_mirror(pinned, tmp_path / "cache", given, lambda _: None)
    assert mirror.address.startswith("file://")
    assert mirror.origin == f"given: {address}"
    again = find_mirror(pinned, tmp_path / "cache", given, lambda _: None)
    assert (again.address, again.made) == (mirror.address, False)
    every = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert SECRET.encode() not in every


@pytest.mark.parametrize("folder", ["船 舶", "100%25 a", 'quo"te', "back\\slash", "a#b", "a;b"])
def test_git_takes_any_folder_for_a_mirror(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    git_repository(place, {"a": "1\n"})
    mirror = Mirror(place.as_uri(), "x", False)
    write_git_config(tmp_path / "home", mirror, ["https://example.invalid/a.git"])
    env = {**os.environ, "HOME": str(tmp_path / "home")}
    argv = ["git", "clone", "-q", "--depth", "1", "https://example.invalid/a", str(tmp_path / "c")]
    subprocess.run(argv, env=env, check=True)
    assert (tmp_path / "c" / "a").read_text() == "1\n"


def test_the_kept_notebook_holds_no_password() -> None:
    address = f"https://u:{SECRET}@h/x.git?private_token={SECRET}"
    cell = {
        "cell_type": "code", "metadata": {"tags": ["injected-parameters"]},
        "source": f"URLS = [{address!r}]\n",
        "outputs": [
            {"output_type": "stream", "text": f"cloning {address}\n"},
            {"output_type": "error", "evalue": address, "traceback": [address]},
        ],
    }  # fmt: skip
    kept = json.dumps(without_secrets({"cells": [cell]}))
    assert SECRET not in kept
    assert "https://h/x.git?..." in kept
    assert SECRET in json.dumps(cell)


def test_git_quotes_are_escaped() -> None:
    assert instead_of('file:///a"b\\c', ["x"]).startswith('[url "file:///a\\"b\\\\c"]\n')


def test_a_marker_of_somebodys_removes_nothing_outside(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    """`collect` of a zip whose folder is there already, with a marker in it."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    result = json.dumps({"schema": 1, "stages": [], "status": "ok", "artefacts": []})
    with zipfile.ZipFile(tmp_path / "output.zip", "w") as archive:
        archive.writestr("ships/result.json", result)
    for names in (["../precious/thesis.txt"], [str(precious / "thesis.txt")], ["l/thesis.txt"], 3):
        folder = tmp_path / "output"
        (folder / ".jobgen").mkdir(parents=True, exist_ok=True)
        link = folder / "l"
        link.unlink(missing_ok=True)
        link.symlink_to(precious, target_is_directory=True)
        marker = json.dumps({"fingerprint": "x", "names": names})
        (folder / ".jobgen" / "unpacked.json").write_text(marker)
        jobgen("collect", tmp_path / "output.zip")
        assert (precious / "thesis.txt").read_text() == "years"
