"""Unpacking archives that somebody else made: checked before a byte is written, unpacked once.

Sizes are judged in bytes, not by ratio: the declared total against the free
space, and each file against its own declared size while it is written.
"""

import collections
import errno
import hashlib
import json
import os
import posixpath
import re
import shutil
import stat
import tarfile
import zipfile
from typing import IO, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from jobgen_runtime.data.faults import fault_text
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.text import read_json_object, write_text_atomically

# The folder of jobgen's own marks below datasets/; an archive can't fill it.
KEPT_APART = ".jobgen"
# What systems and programs leave behind, wherever it lies; hidden folders (.git, .idea, Jupyter's,
# jobgen's own marks) with all that is in them.
LITTER = re.compile(
    r"(^|/)(__MACOSX|\.DS_Store|Thumbs\.db|desktop\.ini)(/|$)|(^|/)\._[^/]*$|(^|/)\.[^./][^/]*/"
)
# What people upload instead of a zip, by its first bytes.
FOREIGN = ((b"Rar!\x1a\x07", "rar"), (b"7z\xbc\xaf\x27\x1c", "7z"))
SPACE_MARGIN = 512 * 2**20
BLOCK = 1 << 20
PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
# An absolute path, a drive, a step up, or a control character.
UNSAFE_NAME = re.compile(r"^/|^[^/]*:(/|$)|(^|/)\.\.(/|$)|[\x00-\x1f]")
# Linux takes no longer name, nor a longer path with a home before it; no set is nested so deep.
LONGEST_NAME = 255
LONGEST_PATH = 3000
DEEPEST_PATH = 100


class Member(NamedTuple):
    """One regular file of an archive: its relative path, size in bytes, and its key inside.

    `fault` is why it is not written: a code of FAULTS, and what was found; empty for a good one.
    """

    name: str
    size: int
    key: Any
    fault: Tuple[str, ...] = ()


def archive_fault(path: str, code: str, detail: str, remedy: str = "") -> StageError:
    hint = remedy or "Make the archive again and upload it as a new version of the data set."
    text = "%s: %s" % (os.path.basename(path), fault_text(code, detail))
    return StageError(text, hint, cause="archive")


def decode_zip_name(info: zipfile.ZipInfo) -> str:
    """A name as its maker meant it: UTF-8 where flagged, else UTF-8 or GBK if the bytes allow."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    for encoding in ("utf-8", "gbk"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def decode_tar_name(name: str) -> str:
    """A name that was not UTF-8 (tarfile keeps its bytes as surrogates) read as GBK."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        return raw.decode("gbk", "replace")
    return name


def plain_name(name: str) -> str:
    """`name` with forward slashes and no empty or `.` parts; the same for what leads outside."""
    if "\\" in name:
        name = name.replace("\\", "/")
    return name if _name_escapes(name) else posixpath.normpath(name)


def _name_escapes(name: str) -> bool:
    return UNSAFE_NAME.search(name) is not None


def is_inside(path: str, folder: str) -> bool:
    """Whether `path`, links followed, lies in `folder`."""
    folder = os.path.realpath(folder)
    return os.path.commonpath([folder, os.path.realpath(path)]) == folder


def is_litter(name: str) -> bool:
    return LITTER.search(name) is not None


def zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        name = plain_name(decode_zip_name(info))
        kind = stat.S_IFMT(info.external_attr >> 16)
        fault = _entry_fault(name, kind in PLAIN_KINDS)
        if not fault and info.flag_bits & 0x1:
            fault = ("DS003", repr(name))
        if fault or not info.filename.endswith(("/", "\\")):
            yield Member(name, info.file_size, info, fault)


def tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    last = -1
    for info in archive:
        if info.offset <= last or info.size < 0:
            # A negative size leads back to where the reader was before, for ever.
            raise tarfile.ReadError("an entry has a size that can't be")
        last = info.offset
        name = plain_name(decode_tar_name(info.name))
        fault = _entry_fault(name, info.isreg() or info.isdir())
        if fault or not info.isdir():
            yield Member(name, info.size, info, fault)
    # tarfile takes a broken header, after the first, for the end.
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(512).strip(b"\0"):
        raise tarfile.ReadError("the header of an entry is damaged")


def _entry_fault(name: str, is_plain: bool) -> Tuple[str, ...]:
    if _name_escapes(name):
        return "DS001", repr(name)
    parts = name.split("/")
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > LONGEST_PATH or len(parts) > DEEPEST_PATH:
        return "DS001", "%r... has %d folders and %d bytes" % (name[:40], len(parts) - 1, size)
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_NAME for part in parts):
        return "DS001", "%r... is longer than %d bytes" % (name[:40], LONGEST_NAME)
    return () if is_plain else ("DS002", repr(name))


def list_archive(path: str) -> Tuple[Any, List[Member]]:
    """Open a zip or tar and list its entries, the faulty ones marked; nothing is written.

    Raises StageError for what is no archive that can be read.
    """
    archive: Any = None
    try:
        archive = _open(path)
        if isinstance(archive, zipfile.ZipFile):
            members = list(zip_members(archive))
        else:
            members = list(tar_members(archive))
    except StageError:
        raise
    except Exception as error:
        if archive is not None:
            archive.close()
        if not is_damage(error):
            raise
        raise archive_fault(path, "DS004", damage_text(error))
    return archive, members


def open_archive(
    path: str, only: Optional[Callable[[str], bool]] = None
) -> Tuple[Any, List[Member]]:
    """Open a zip or tar and list its files, litter left out, and what `only` does not choose by
    name: nothing is looked for in what stays inside. Raises StageError.

    Refused: entries outside the tree, links, devices, encrypted entries, two
    entries of one name, a file where another entry needs a folder, and whatever is
    no zip or tar.
    """
    archive, members = list_archive(path)
    kept = [member for member in members if not is_litter(member.name)]
    if only is not None:
        kept = [member for member in kept if only(member.name)]
    fault: Tuple[str, ...] = next((member.fault for member in kept if member.fault), ())
    if not fault:
        clash = name_clash([member.name for member in kept])
        fault = ("DS005", clash) if clash else ()
    if fault:
        archive.close()
        raise archive_fault(path, *fault)
    return archive, kept


def is_damage(error: Exception) -> bool:
    """Whether an error is the archive's fault: all that the readers of zip and tar stumble over,
    but no fault of the machine. bz2 and gzip raise an OSError without number; a wrong offset
    inside gives EINVAL."""
    return not isinstance(error, OSError) or error.errno in (None, errno.EINVAL)


def damage_text(error: Exception) -> str:
    if isinstance(error, (OverflowError, MemoryError)):
        return "it says a size or a place beyond all bounds"
    return str(error) or type(error).__name__


def _open(path: str) -> Any:
    with open(path, "rb") as stream:
        start = stream.read(8)
    for magic, kind in FOREIGN:
        if start.startswith(magic):
            raise archive_fault(
                path,
                "DS004",
                "it is a %s file" % kind,
                "Unpack it, make a zip or tar.gz of the files, and upload that.",
            )
    # A tar may end in a member that is a zip, so a zip's end proves nothing by itself.
    if start[:2] != b"PK" and tarfile.is_tarfile(path):
        return tarfile.open(path)
    if zipfile.is_zipfile(path):
        return zipfile.ZipFile(path)
    raise archive_fault(path, "DS004", "it is no zip or tar file, or its end is missing")


def name_clash(names: List[str]) -> Optional[str]:
    """Why these names can't all be files below one folder; None where they can."""
    files = set(names)
    if len(files) != len(names):
        counts = collections.Counter(names)
        twice = sorted(name for name, count in counts.items() if count > 1)
        return "two are named %r" % twice[0]
    for name in names:
        if name in (".", ""):
            return "one has no name"
        folder = posixpath.dirname(name)
        while folder:
            if folder in files:
                return "%r is a file and a folder" % folder
            folder = posixpath.dirname(folder)
    return None


def archive_fingerprint(path: str, members: List[Member]) -> str:
    """Tells an archive from another without reading it whole: size, names, sizes, checksums."""
    digest = hashlib.sha256()
    digest.update(str(os.path.getsize(path)).encode())
    for member in members:
        check = getattr(member.key, "CRC", None) or getattr(member.key, "mtime", 0)
        digest.update(("%s\0%d\0%s\n" % (member.name, member.size, check)).encode("utf-8"))
    return digest.hexdigest()


def unpack(
    path: str,
    target: str,
    marker: str,
    progress: Optional[Callable[[int, int], None]] = None,
    only: Optional[Callable[[str], bool]] = None,
) -> Dict[str, Any]:
    """Unpack `path` into `target` once; `marker` is the file that says it was done. `only` chooses
    entries by name.

    Gives `{"files": n, "bytes": n, "done": bool}`, `done` False where an earlier
    run had unpacked this very archive. What an older archive left is removed.
    """
    archive, members = open_archive(path, only)
    with archive:
        total = sum(member.size for member in members)
        facts = {"files": len(members), "bytes": total, "done": False}
        print_ = archive_fingerprint(path, members)
        earlier = read_json_object(marker)
        if earlier.get("fingerprint") == print_ and _all_there(target, members):
            return facts
        refuse_links(path, target, members)
        need_space(path, target, total)
        for name in unpacked_names(marker):
            remove_unpacked_file(target, name)
        if os.path.exists(marker):
            os.remove(marker)
        written = 0
        for member in members:
            written += _write_member(path, archive, member, target)
            if progress is not None:
                progress(written, total)
        os.makedirs(os.path.dirname(marker), exist_ok=True)
        record = {"fingerprint": print_, "names": [member.name for member in members]}
        write_text_atomically(marker, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    facts["done"] = True
    return facts


def refuse_links(path: str, target: str, members: List[Member]) -> None:
    """Raise StageError where an entry would be written through a link that lies in the target: it
    may be a mount, where nothing is to be left."""
    for folder in sorted({posixpath.dirname(member.name) for member in members}):
        if not is_inside(os.path.join(target, *folder.split("/")), target):
            raise archive_fault(
                path,
                "DS001",
                "%r would be written through a link, into data that is not this job's" % folder,
                "Give the source an `into:` of its own in job.yaml, and build again.",
            )


def _all_there(target: str, members: List[Member]) -> bool:
    for member in members:
        try:
            if os.path.getsize(os.path.join(target, *member.name.split("/"))) != member.size:
                return False
        except OSError:
            return False
    return True


def unpacked_names(marker: str) -> List[str]:
    """The files that the archive of this marker left, relative to its target. A marker may have
    come with somebody's folder: names that no archive may have are left out."""
    names = read_json_object(marker).get("names")
    if not isinstance(names, list):
        return []
    texts = [name for name in names if isinstance(name, str)]
    return [name for name in texts if name == plain_name(name) and not _name_escapes(name)]


def remove_unpacked_file(target: str, name: str) -> bool:
    """Remove a file that an archive left below `target`; nothing that a link leads to."""
    path = os.path.join(target, *name.split("/"))
    if not is_inside(os.path.dirname(path), target) or not os.path.isfile(path):
        return False
    _remove_file(path)
    return True


def _remove_file(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass


def need_space(path: str, target: str, total: int) -> None:
    """Raise StageError unless `total` bytes and a margin fit beside `target`."""
    os.makedirs(target, exist_ok=True)
    free = shutil.disk_usage(target).free
    if total + SPACE_MARGIN > free:
        raise StageError(
            "%s unpacks to %.1f GB, but only %.1f GB are free in %s"
            % (os.path.basename(path), total / 2.0**30, free / 2.0**30, target),
            "Free some space, then run the same job again.",
            cause="disk",
        )


def open_member(archive: Any, member: Member) -> IO[bytes]:
    """A stream of one member's bytes."""
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(member.key)
    stream = archive.extractfile(member.key)
    if stream is None:
        raise tarfile.ReadError("no data for %s" % member.name)
    result: IO[bytes] = stream
    return result


def _write_member(path: str, archive: Any, member: Member, target: str) -> int:
    goal = os.path.join(target, *member.name.split("/"))
    os.makedirs(os.path.dirname(goal), exist_ok=True)
    if os.path.islink(goal):
        os.remove(goal)
    written = 0
    try:
        with open_member(archive, member) as source, open(goal, "wb") as sink:
            while True:
                block = source.read(BLOCK)
                if not block:
                    break
                written += len(block)
                if written > member.size:
                    raise archive_fault(
                        path, "DS004", "the entry %r holds more than it declares" % member.name
                    )
                sink.write(block)
    except StageError:
        _remove_file(goal)
        raise
    except Exception as error:
        if not is_damage(error):
            raise
        _remove_file(goal)
        text = "the entry %r is damaged: %s" % (member.name, damage_text(error))
        raise archive_fault(path, "DS004", text)
    if written != member.size:
        _remove_file(goal)
        raise archive_fault(path, "DS004", "the entry %r ends too early" % member.name)
    return written
