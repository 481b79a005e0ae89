import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from jobgen_runtime.data.archives import need_space, open_archive, unpack
from jobgen_runtime.record.errors import StageError


def make_zip(path: Path, entries: list) -> Path:
    with zipfile.ZipFile(str(path), "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def unpacked(tmp_path: Path, archive: Path) -> dict:
    target = tmp_path / "target"
    unpack(str(archive), str(target), str(tmp_path / "mark.json"))
    return {
        p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()
    }


def test_a_zip_is_unpacked_once(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("s/a.txt", "1"), ("s/船 1.txt", "2"), ("s/d/", "")])
    assert unpacked(tmp_path, archive) == {"s/a.txt": b"1", "s/船 1.txt": b"2"}
    again = unpack(str(archive), str(tmp_path / "target"), str(tmp_path / "mark.json"))
    assert again == {"files": 2, "bytes": 2, "done": False}


def test_a_missing_file_is_unpacked_again(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a.txt", "1"), ("b.txt", "2")])
    unpacked(tmp_path, archive)
    (tmp_path / "target" / "a.txt").unlink()
    assert unpacked(tmp_path, archive) == {"a.txt": b"1", "b.txt": b"2"}


def test_another_archive_of_the_same_name_replaces_the_first(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("old.txt", "1"), ("both.txt", "1")])
    unpacked(tmp_path, archive)
    make_zip(tmp_path / "a.zip", [("both.txt", "22")])
    assert unpacked(tmp_path, archive) == {"both.txt": b"22"}


def gbk_zip(path: Path) -> Path:
    """As Windows' own packer in China writes it: GBK names, no UTF-8 flag."""
    make_zip(path, [("AA/BB.txt", "x")])
    raw = path.read_bytes().replace("AA/BB.txt".encode(), "船/舰.txt".encode("gbk") + b"")
    assert len("船/舰.txt".encode("gbk")) == len("AA/BB.txt")
    path.write_bytes(raw)
    return path


def test_names_in_gbk(tmp_path: Path) -> None:
    assert unpacked(tmp_path, gbk_zip(tmp_path / "a.zip")) == {"船/舰.txt": b"x"}


def test_backslashes_and_litter(tmp_path: Path) -> None:
    entries = [("s\\a.txt", "1"), ("__MACOSX/s/._a.txt", "j"), ("s/.DS_Store", "j")]
    assert unpacked(tmp_path, make_zip(tmp_path / "a.zip", entries)) == {"s/a.txt": b"1"}


def link_entry() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", "entry with an unsafe name (DS001): '../evil.txt'"),
        ("a/../../evil", "entry with an unsafe name (DS001): 'a/../../evil'"),
        ("/etc/evil", "entry with an unsafe name (DS001): '/etc/evil'"),
        ("C:\\evil", "entry with an unsafe name (DS001): 'C:/evil'"),
        ("..\\evil", "entry with an unsafe name (DS001): '../evil'"),
        ("a\nb", "entry with an unsafe name (DS001): 'a\\nb'"),
    ],
)
def test_names_that_escape_are_refused(tmp_path: Path, name: str, message: str) -> None:
    archive = make_zip(tmp_path / "a.zip", [("fine.txt", "1"), (name, "2")])
    with pytest.raises(StageError) as caught:
        unpacked(tmp_path, archive)
    assert caught.value.message == "a.zip: " + message
    assert caught.value.cause == "archive"
    assert not (tmp_path / "target").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [(link_entry(), "/etc/passwd")])
    with pytest.raises(StageError, match="entry that is a link or a device .*'link'"):
        unpacked(tmp_path, archive)
    tar = tmp_path / "a.tar.gz"
    with tarfile.open(str(tar), "w:gz") as out:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        out.addfile(info)
    with pytest.raises(StageError, match="entry that is a link or a device .*'link'"):
        unpacked(tmp_path, tar)
    assert not (tmp_path / "target").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a.txt", "1"), ("./a.txt", "2")])
    with pytest.raises(StageError, match="two are named 'a.txt'"):
        unpacked(tmp_path, archive)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a.bin", os.urandom(5000))])
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(StageError) as caught:
        unpacked(tmp_path, archive)
    assert (
        caught.value.message
        == "a.zip: archive that can't be read (DS004): it is no zip or tar file, or its end is missing"
    )


def test_a_damaged_entry_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a.bin", b"x" * 5000)])
    raw = archive.read_bytes()
    archive.write_bytes(raw[:100] + b"y" + raw[101:])
    with pytest.raises(StageError, match="the entry 'a.bin' is damaged"):
        unpacked(tmp_path, archive)
    assert not (tmp_path / "mark.json").exists()


def test_more_bytes_than_declared_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bin", b"\0" * 1000000)
    raw = path.read_bytes()
    path.write_bytes(raw.replace((1000000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(StageError, match="the entry 'bomb.bin' is damaged"):
        unpacked(tmp_path, path)
    assert not (tmp_path / "target" / "bomb.bin").exists()


def test_what_does_not_fit_the_disk_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(StageError) as caught:
        need_space("big.zip", str(target), 1 << 60)
    assert caught.value.cause == "disk"
    assert caught.value.message.startswith("big.zip unpacks to 1073741824.0 GB, but only ")
    need_space("small.zip", str(target), 1)


def test_a_size_that_is_declared_and_not_there_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("big.bin", b"abc")])
    raw = path.read_bytes()
    at = raw.rindex(b"PK\x01\x02") + 24
    path.write_bytes(raw[:at] + (2000).to_bytes(4, "little") + raw[at + 4 :])
    _, members = open_archive(str(path))
    assert members[0].size == 2000
    with pytest.raises(StageError, match=r"the entry 'big\.bin' (is damaged|ends too early)"):
        unpacked(tmp_path, path)
    assert not (tmp_path / "target" / "big.bin").exists()


def test_a_tar_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(str(path), "w:gz") as out:
        info = tarfile.TarInfo("s/a.txt")
        info.size = 3
        out.addfile(info, io.BytesIO(b"abc"))
    assert unpacked(tmp_path, path) == {"s/a.txt": b"abc"}


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(b"Rar!\x1a\x07" + b"0" * 100)
    with pytest.raises(StageError, match="it is a rar file"):
        unpacked(tmp_path, path)


def test_a_tar_with_gbk_names(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(str(path), "w", encoding="gbk", format=tarfile.GNU_FORMAT) as out:
        info = tarfile.TarInfo("船/a.txt")
        info.size = 1
        out.addfile(info, io.BytesIO(b"x"))
    assert unpacked(tmp_path, path) == {"船/a.txt": b"x"}


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", [("inner.txt", "1")]).read_bytes()
    path = tmp_path / "a.tar"
    with tarfile.open(str(path), "w") as out:
        info = tarfile.TarInfo("s/inner.zip")
        info.size = len(inner)
        out.addfile(info, io.BytesIO(inner))
    assert list(unpacked(tmp_path, path)) == ["s/inner.zip"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", "1"), ("a/b", "2")], "'a' is a file and a folder"),
        ([(".", "1")], "one has no name"),
    ],
)
def test_names_that_can_not_be_on_one_disk(tmp_path: Path, entries: list, message: str) -> None:
    with pytest.raises(StageError) as caught:
        unpacked(tmp_path, make_zip(tmp_path / "a.zip", entries))
    assert caught.value.message == "a.zip: entries that are in each other's way (DS005): " + message
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damage_in_every_compression(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(str(path), "w", method) as archive:
        archive.writestr("a.bin", os.urandom(3000))
    raw = path.read_bytes()
    path.write_bytes(raw[:60] + b"\xff" * 200 + raw[260:])
    with pytest.raises(StageError, match=r"the entry 'a\.bin' (is damaged|ends too early)"):
        unpacked(tmp_path, path)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "train.json").write_text("original")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "s").symlink_to(tmp_path / "mount")
    archive = make_zip(tmp_path / "a.zip", [("s/train.json", "new")])
    with pytest.raises(StageError, match="would be written through a link"):
        unpacked(tmp_path, archive)
    assert (tmp_path / "mount" / "train.json").read_text() == "original"


def test_a_marker_of_somebodys_names_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "thesis.txt"
    outside.write_text("years")
    target = tmp_path / "target"
    (target / "in").mkdir(parents=True)
    (target / "in" / "old.txt").write_text("x")
    os.symlink(str(tmp_path), str(target / "link"))
    marker = tmp_path / "marker.json"
    names = ["../thesis.txt", str(outside), "in/../../thesis.txt", "link/thesis.txt", 7, None, "\0"]
    marker.write_text(json.dumps({"fingerprint": "x", "names": [*names, "in/old.txt"]}))
    path = make_zip(tmp_path / "a.zip", [("new.txt", "n")])
    unpack(str(path), str(target), str(marker))
    assert outside.read_text() == "years"
    assert not (target / "in" / "old.txt").exists()
    for broken in ("[]", '{"names": 3}', '{"names": {"a": 1}}', "3", ""):
        marker.write_text(broken)
        unpack(str(path), str(target), str(marker))
        assert (target / "new.txt").is_file()
