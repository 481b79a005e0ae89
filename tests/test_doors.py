"""Where foreign data comes in: whatever it is, a finding or one message, and soon."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobgen.datasets.contents import open_contents
from jobgen.errors import INTERNAL, JobgenError, TemplateError
from jobgen.packs.render import within
from jobgen.report.read import read_records
from jobgen.yamlio import YamlError, load, load_file
from jobgen_runtime.data.archives import unpack
from jobgen_runtime.record.errors import StageError
from tests.conftest import JOB, ROOT, Answer
from tests.sets import Coco, picture, voc, write_zip, yolo


def tar_header(size: bytes, kind: bytes = b"0", name: bytes = b"a.txt") -> bytes:
    """One header of a tar, its size field as given, its checksum right."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = size.ljust(12, b"\0")
    head[156:157] = kind
    head[257:265] = b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


NEGATIVE = b"\xff" * 10 + struct.pack(">h", -512)
HUGE = b"\x80" + struct.pack(">Q", 2**62).rjust(11, b"\0")


@pytest.mark.parametrize("kind", [b"0", b"L", b"K", b"x", b"g", b"S"])
@pytest.mark.parametrize("size", [NEGATIVE, HUGE, b"77777777777\0", b"9999\0"])
def test_a_tar_with_a_size_that_can_not_be(tmp_path: Path, size: bytes, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(
        tar_header(b"00000000000\0", name=b"ok.txt") + tar_header(size, kind) + b"\0" * 1024
    )
    started = time.process_time()
    with pytest.raises(StageError, match="DS004"):
        unpack(str(path), str(tmp_path / "t"), str(tmp_path / "m"))
    assert time.process_time() - started < 5


def patched(data: bytes, signature: bytes, at: int, value: bytes) -> bytes:
    place = data.rindex(signature) + at
    return data[:place] + value + data[place + len(value) :]


def plain_zip(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("command", ["check", "inspect", "preview", "init"])
@pytest.mark.parametrize(
    "zipped",
    [
        # An entry without a name; a name of 304 bytes; 2,000 folders.
        patched(plain_zip({"a": b"x"}), b"PK\1\2", 28, b"\0\0"),
        plain_zip({"s/" + "a" * 304: b"x"}),
        plain_zip({"s/" + "名" * 90: b"x"}),
        plain_zip({"a/" * 2000 + "x": b"x"}),
        # A place and sizes beyond the file.
        patched(plain_zip({"a.jpg": b"x"}), b"PK\1\2", 42, b"\xfe\xff\xff\xff"),
        patched(plain_zip({"a.json": b"x"}), b"PK\1\2", 20, b"\xfe\xff\xff\xff\xfe\xff\xff\xff"),
        # A method that nobody knows, and a name of half a letter.
        patched(plain_zip({"a.json": b"x"}), b"PK\1\2", 10, b"\x63\0"),
        plain_zip({"s/\ud83d".encode("utf-8", "surrogatepass").decode("latin1"): b"x"}),
    ],
)
def test_an_odd_zip(
    jobgen: Callable[..., Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zipped: bytes,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd.zip"
    path.write_bytes(zipped)
    calls = {
        "check": ("check", path), "inspect": ("dataset", "inspect", path),
        "preview": ("dataset", "preview", path, "-o", tmp_path / "x.png"),
        "init": ("init", "ships", "--archive", path),
    }  # fmt: skip
    assert jobgen(*calls[command]).code in (1, 4)


@pytest.mark.parametrize("name", ["s/" + "a" * 256, "s/" + "名" * 86, "a/" * 101 + "x", "b" * 3001])
def test_a_name_that_no_disk_takes_is_told_before_the_upload(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(plain_zip({name: b"x"}))
    assert [code for code, _ in open_contents(path).faults] == ["DS001"]
    with pytest.raises(StageError, match="DS001"):
        unpack(str(path), str(tmp_path / "t"), str(tmp_path / "m"))
    assert not (tmp_path / "t").exists()


def test_a_refused_archive_leaves_nothing_in_a_mount(tmp_path: Path) -> None:
    mount, target = tmp_path / "mount", tmp_path / "target"
    mount.mkdir()
    target.mkdir()
    (target / "set").symlink_to(mount, target_is_directory=True)
    path = tmp_path / "a.zip"
    path.write_bytes(plain_zip({"first.txt": b"1", "set/new/a.txt": b"2"}))
    with pytest.raises(StageError, match="through a link"):
        unpack(str(path), str(target), str(tmp_path / "m"))
    assert list(mount.iterdir()) == []
    assert [p.name for p in target.iterdir()] == ["set"]


@pytest.mark.parametrize("value", ["1e19", "1e300", "9" * 5000, "-1e19", "nan", "1e999", "\u0661"])
@pytest.mark.parametrize("place", ["size", "box"])
@pytest.mark.waits
def test_numbers_beyond_all_bounds(
    jobgen: Callable[..., Answer], tmp_path: Path, value: str, place: str
) -> None:
    """In VOC, COCO and YOLO alike."""
    plain = voc()
    old = "<width>64</width>" if place == "size" else "<xmin>4</xmin>"
    name = next(n for n in plain.files if n.endswith(".xml"))
    text = plain.files[name].decode()
    start = text.index(old.partition(">")[0])
    end = text.index("</", start)
    plain.files[name] = (text[: text.index(">", start) + 1] + value + text[end:]).encode()
    coco = json.dumps(Coco().train)
    key = '"width": ' if place == "size" else '"bbox": ['
    head, _, rest = coco.partition(key)
    coco = head + key + (value if value.isascii() else '"x"') + rest[rest.index(",") :]
    labels = yolo()
    label = next(n for n in labels.files if n.endswith(".txt") and "/" in n)
    labels.files[label] = f"{value} 0.5 0.5 {value} 0.2\n".encode()
    for number, files in enumerate(
        (plain.all_files(), Coco(train=coco).all_files(), labels.all_files())
    ):
        path = write_zip(tmp_path / f"{number}.zip", files)
        for call in (("check", path), ("dataset", "inspect", path)):
            assert jobgen(*call).code in (0, 1, 4)
        sheet = tmp_path / "x.png"
        assert jobgen("dataset", "preview", path, "-o", sheet).code in (0, 4)


@pytest.mark.parametrize(
    "line",
    [
        "nc: !!bool maybe", 'nc: !!int ""', "nc: !!timestamp abc", "nc: !!float x", "nc: !!int 0x",
        "nc: !!binary é", "nc: 2020-99-99", "nc: 1:99:99", "? [a]\n: b", "a: &a [*a]", "? *x",
        'path: "a\\0b"', "nc: " + "9" * 5000, "x: " + "[" * 500, "train: [[[", "\t:", "%YAML 9.9",
        "!!python/object/apply:os.system [x]: 1",
    ],
)  # fmt: skip
def test_a_data_yaml_that_nobody_meant(
    jobgen: Callable[..., Answer], tmp_path: Path, line: str
) -> None:
    plain = yolo()
    plain.files["data.yaml"] += (line + "\n").encode()
    path = write_zip(tmp_path / "s.zip", plain.all_files())
    for call in (("check", path), ("dataset", "inspect", path)):
        assert jobgen(*call).code in (0, 1, 4)


TIMES_NINE = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "".join(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12))


@pytest.mark.parametrize("text", ["a0: &a0 [x]\n" + TIMES_NINE, "a0: &a0 {k: 1}\n" + MERGES])
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.waits
def test_aliases_that_multiply(text: str, lenient: bool) -> None:
    started = time.process_time()
    with pytest.raises(YamlError, match="more than a config can need"):
        load(text, "f", "yaml11" if lenient else "yaml12", lenient=lenient)
    assert time.process_time() - started < 5


def test_a_device_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(YamlError, match="it is no file"):
        load_file(Path("/dev/zero"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(YamlError, match="it is no file"):
        load_file(tmp_path / "pipe")
    large = tmp_path / "large.yml"
    with large.open("wb") as stream:
        stream.truncate(5 * 2**20)
    with pytest.raises(YamlError, match="more than any config"):
        load_file(large)


@pytest.mark.parametrize("base", ["/dev/zero", "a\0b", "~/x", "../../../etc/shadow", "", "."])
def test_a_base_that_is_no_config(jobgen: Callable[..., Answer], tmp_path: Path, base: str) -> None:
    path = tmp_path / "m.yml"
    path.write_text(f"_BASE_: [{json.dumps(base)}]\narchitecture: PicoDet\n", encoding="utf-8")
    answer = jobgen("explain", path)
    assert answer.code in (0, 1, 3, 6)


@pytest.mark.parametrize(
    "text",
    ["[" * 100000, '{"cells": ' + "[" * 100000, "{}", "[]", '{"cells": 3}', '{"cells": [3]}',
     '{"cells": [{}], "metadata": 3}', '{"cells": [{"source": 3}]}', "\0", "", '{"cells": null}'],
)  # fmt: skip
def test_a_notebook_that_is_none(jobgen: Callable[..., Answer], tmp_path: Path, text: str) -> None:
    (tmp_path / "main.ipynb").write_text(text, encoding="utf-8")
    (tmp_path / "x.yml").write_text("a: 1\n", encoding="utf-8")
    assert jobgen("check", tmp_path).code in (0, 1, 6)
    assert jobgen("run", tmp_path, "--archive", "x").code == 6


@pytest.mark.parametrize("key", ["status", "stages", "metrics", "artefacts", "job", "failure", "notes",
                                 "attempts", "machine", "versions", "plan", "adjustments", "name"])  # fmt: skip
@pytest.mark.parametrize(
    "value", [None, 3, "x", [3], [[]], {"a": 3}, [{"path": 3}], [{"path": "a\0"}]]
)
def test_a_result_of_the_wrong_shape(
    jobgen: Callable[..., Answer], tmp_path: Path, key: str, value: object
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    result = {"schema": 1, "stages": [], "status": "ok", "artefacts": [], key: value}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    for command in ("report", "collect"):
        assert jobgen(command, folder).code in (0, 1, 7)


def test_a_large_zip_is_not_read_whole(tmp_path: Path) -> None:
    """`report` looks at two bytes before it asks for what a page shows."""
    path = tmp_path / "big.zip"
    with path.open("wb") as stream:
        stream.write(b"no")
        stream.truncate(5 * 2**30)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
        "from jobgen.cli import entry; sys.argv = ['jobgen', 'report', sys.argv[1]]; entry()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 7
    assert "is no folder and no zip" in answer.stderr
    with pytest.raises(JobgenError):
        read_records(path, tmp_path / "spare")


def test_a_link_out_of_a_data_folder_is_not_followed(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.json").write_text("{}")
    folder = tmp_path / "ships"
    for name, data in Coco().all_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "out").symlink_to(outside, target_is_directory=True)
    (folder / "one.json").symlink_to(outside / "private.json")
    (folder / "again").symlink_to(folder / "images", target_is_directory=True)
    contents = open_contents(folder)
    assert not [name for name in contents.names if "private" in name or "one.json" in name]
    assert sorted(code for code, _ in contents.faults) == ["DS002", "DS002"]
    answer = jobgen("check", folder)
    assert "ships/out leads to" in answer.out
    assert answer.code == 1


@pytest.mark.parametrize(
    "encoding", ["rot13", "undefined", "idna", "zlib", "utf-7", "gb9", "x" * 99]
)
def test_an_xml_in_an_encoding_that_is_none(
    jobgen: Callable[..., Answer], tmp_path: Path, encoding: str
) -> None:
    plain = voc()
    name = next(n for n in plain.files if n.endswith(".xml"))
    head = f'<?xml version="1.0" encoding="{encoding}"?>'.encode()
    plain.files[name] = head + plain.files[name]
    answer = jobgen("check", write_zip(tmp_path / "s.zip", plain.all_files()))
    assert answer.code in (0, 1)


@pytest.mark.waits
def test_a_preview_of_very_many_boxes_ends_soon(
    jobgen: Callable[..., Answer], tmp_path: Path
) -> None:
    coco = Coco()
    box = coco.train["annotations"][0]
    coco.train["annotations"] = [{**box, "id": n + 1} for n in range(100_000)]
    coco.train["categories"][0]["name"] = "two\nlines"
    path = write_zip(tmp_path / "s.zip", coco.all_files())
    started = time.monotonic()
    assert jobgen("dataset", "preview", path, "-o", tmp_path / "x.png").code == 0
    assert time.monotonic() - started < 20


def test_a_template_that_loops_for_ever(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        within(0.2, slow)
    assert within(5, lambda: "x") == "x"
    with pytest.raises(TemplateError):
        within(5, raise_template_error)


def slow() -> str:
    time.sleep(3)
    return ""


def raise_template_error() -> str:
    raise TemplateError("x")


def test_what_nobody_foresaw_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of jobgen's own has an exit code of its own; --debug shows where."""
    (tmp_path / "sitecustomize.py").write_text(
        "import jobgen.spec\n"
        "def broken(*_): raise ZeroDivisionError('a secret https://u:pw@h/')\n"
        "jobgen.spec.load_any = broken\n"
    )
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    argv = [sys.executable, "-m", "jobgen", "build", "job.yaml"]
    answer = subprocess.run(
        argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert answer.returncode == INTERNAL
    assert answer.stderr.splitlines()[0].startswith(
        "error: a fault of jobgen: ZeroDivisionError: a secret https://h/ (sitecustomize.py:2)"
    )
    assert "Traceback" not in answer.stderr
    argv.insert(3, "--debug")
    answer = subprocess.run(
        argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" in answer.stderr


@pytest.mark.parametrize("way", [">&-", "2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&- <&-"])
@pytest.mark.waits
def test_closed_and_full_outputs(tmp_path: Path, way: str) -> None:
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    command = f"{sys.executable} -m jobgen check job.yaml {way}; echo $? > code"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONUNBUFFERED", None)  # it hides what is written as Python ends
    said = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in said.stderr
    code = (tmp_path / "code").read_text().strip()
    assert code == ("7" if way == ">/dev/full" else "0")


def test_an_image_that_is_a_bomb(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    """A PNG that says 60,000 x 60,000 pixels in 70 bytes."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    files = Coco().all_files()
    name = next(n for n in files if n.endswith(".jpg"))
    path = write_zip(tmp_path / "s.zip", {**files, name: bomb})
    assert jobgen("check", path, "--deep").code == 1
    assert jobgen("dataset", "preview", path, "-o", tmp_path / "x.png").code in (0, 4)
    assert picture(1)


def test_a_tar_of_a_stream_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    noise = np.random.default_rng(0).bytes(4000)
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("s/a.txt")
        info.size = len(noise)
        archive.addfile(info, io.BytesIO(noise))
    data = path.read_bytes()
    for end in range(1, len(noise), 397):
        path.write_bytes(data[:end])
        with pytest.raises(StageError):
            unpack(str(path), str(tmp_path / "t"), str(tmp_path / "m"))
