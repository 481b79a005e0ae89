"""The files of an archive, a folder or several of them, read without unpacking."""

from __future__ import annotations

import contextlib
import os
import shlex
import struct
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from jobgen.errors import DatasetError
from jobgen.files import shown
from jobgen_runtime.data.archives import (
    damage_text,
    is_inside,
    is_litter,
    list_archive,
    name_clash,
    open_member,
)
from jobgen_runtime.record.errors import StageError

# An annotation file over this size is refused: nobody's data set, or a bomb.
LARGEST_READ = 2 * 2**30
LOCAL_HEADER = struct.Struct("<4s22xHH")
BATCH = 256
# More would only wait for one another: parsing holds the interpreter.
THREADS = min(8, os.cpu_count() or 1)

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Contents:
    """The files of one source, by relative path, in the order in which they lie there.

    `faults` are entries that no job would unpack, as (code, detail); `litter` counts
    what a system left behind. `names` has neither. Readers call `progress` on long work.
    """

    progress: Progress = staticmethod(silent)

    def __init__(self, name: str) -> None:
        self.name = name
        # As the user gave it, for commands that can be pasted.
        self.given = name
        self.names: list[str] = []
        self.sizes: dict[str, int] = {}
        self.faults: list[tuple[str, str]] = []
        self.litter: list[str] = []
        self.odd_names: list[str] = []
        # Which column of a CSV is what, where the user has said so.
        self.columns: dict[str, str] = {}
        self.memo: dict[Any, Any] = {}
        self._held: dict[str, tuple[str, Callable[[bytes], bytes]]] = {}

    @property
    def is_archive(self) -> bool:
        return False

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises DatasetError where they are damaged or too many."""
        if self.sizes[name] > LARGEST_READ:
            size = self.sizes[name] / 2**30
            raise DatasetError(
                f"{self.name}: {name} holds {size:.1f} GB; jobgen reads files of up to 2 GB at once"
            )
        try:
            if name in self._held:
                source, work = self._held[name]
                return work(self._read(source))
            return self._read(name)
        except DatasetError:
            raise
        except StageError as error:
            raise DatasetError(f"{self.name}: {error.message}", error.remedy) from error
        except Exception as error:  # whatever an archive's reader stumbles over
            said = damage_text(error)
            raise DatasetError(f"{self.name}: {name} can't be read: {said}") from error

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file, or fewer where it is shorter."""
        if name in self._held:
            return self.read(name)[:size]
        try:
            return self._head(name, size)
        except DatasetError:
            raise
        except Exception as error:  # whatever an archive's reader stumbles over
            said = damage_text(error)
            raise DatasetError(f"{self.name}: {name} can't be read: {said}") from error

    def hold(self, name: str, size: int, source: str, work: Callable[[bytes], bytes]) -> None:
        """Have a file `name` of about `size` bytes that `work` makes of another one's bytes."""
        self.names.append(name)
        self.sizes[name] = size
        self._held[name] = (source, work)

    def each(self, names: Iterable[str], work: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        """(name, work(name)) for each, several at once where the source allows it."""
        batches = _batches(list(names))
        with ThreadPoolExecutor(self.threads) as pool:
            for batch in pool.map(lambda part: [(n, work(n)) for n in part], batches):
                yield from batch

    @property
    def threads(self) -> int:
        return THREADS

    def _read(self, name: str) -> bytes:
        raise NotImplementedError

    def _head(self, name: str, size: int) -> bytes:
        raise NotImplementedError

    def crc(self, _name: str) -> int | None:
        """A checksum that the source has at hand; None where it has none."""
        return None

    def stamp(self, name: str) -> int | None:
        """What changes when a file does, as far as the source knows without reading it."""
        return self.crc(name)


def open_contents(path: Path, columns: Mapping[str, str] | None = None) -> Contents:
    """A folder, a zip, a tar or a lone annotation file; `columns` says which column of a CSV is
    what. Raises DatasetError."""
    files = _open(path)
    files.given = shown(path)
    name_columns(files, columns or {})
    return files


def name_columns(files: Contents, columns: Mapping[str, str]) -> None:
    """Say which column of a CSV is what; every command that is printed from here on says it too."""
    files.columns = dict(columns)
    if columns:
        pairs = ",".join(f"{what}={name}" for what, name in columns.items())
        files.given += f" --columns {shlex.quote(pairs)}"


def _open(given: Path) -> Contents:
    # A link keeps its own name, as `folder:` in job.yaml has it.
    path = Path(os.path.abspath(given))  # noqa: PTH100
    if not path.exists():
        raise DatasetError(f"{given} is not there")
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() == ".json":
        return LoneFile(path)
    if not path.is_file():
        raise DatasetError(f"{given} is neither a file nor a folder")
    try:
        archive, members = list_archive(str(path))
    except StageError as error:
        raise DatasetError(error.message, error.remedy) from error
    kind = Zip if isinstance(archive, zipfile.ZipFile) else Tar
    return kind(path, archive, members)


def decoded(data: bytes) -> str:
    """Text as its maker meant it: UTF-8, UTF-16 where a mark says so, else GBK, as editors on
    Chinese Windows write."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace")


class Folder(Contents):
    """An unpacked folder. Its files keep its own name in front, as below datasets/."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name)
        self._folder = path
        for found in self._files_below(path):
            relative = found.relative_to(path).as_posix()
            name = f"{path.name}/{relative}"
            if is_litter(relative):
                self.litter.append(name)
            else:
                self.names.append(name)
                self.sizes[name] = found.stat().st_size

    def path_of(self, name: str) -> Path:
        return self._folder.parent / name

    def stamp(self, name: str) -> int | None:
        return None if name in self._held else self.path_of(name).stat().st_mtime_ns

    def _read(self, name: str) -> bytes:
        return self.path_of(name).read_bytes()

    def _head(self, name: str, size: int) -> bytes:
        with self.path_of(name).open("rb") as stream:
            return stream.read(size)

    def _files_below(self, path: Path) -> Iterator[Path]:
        """Every file; links within the folder are followed, each folder entered once, and those
        that lead out of it are faults."""
        seen = set()
        for folder, inner, names in os.walk(path, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            for name in list(inner):
                if self._leads_out(path, Path(folder, name)):
                    inner.remove(name)
            inner.sort()
            for name in sorted(names):
                place = Path(folder, name)
                if not self._leads_out(path, place) and place.is_file():
                    yield place

    def _leads_out(self, top: Path, place: Path) -> bool:
        if not place.is_symlink() or is_inside(str(place), str(top)):
            return False
        shown = place.relative_to(top.parent).as_posix()
        self.faults.append(("DS002", f"{shown} leads to {os.path.realpath(place)}"))
        return True


class LoneFile(Contents):
    """One annotation file without its images."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name)
        self._path = path
        self.names = [path.name]
        self.sizes = {path.name: path.stat().st_size}

    def _read(self, _name: str) -> bytes:
        return self._path.read_bytes()

    def _head(self, name: str, size: int) -> bytes:
        return self.read(name)[:size]


class _Archive(Contents):
    def __init__(self, path: Path, archive: Any, members: Sequence[Any]) -> None:
        super().__init__(path.name)
        self._archive = archive
        self._members = {}
        for member in members:
            if is_litter(member.name):
                self.litter.append(member.name)
            elif member.fault:
                self.faults.append(member.fault)
            else:
                self.names.append(member.name)
                self.sizes[member.name] = member.size
                self._members[member.name] = member
        clash = name_clash(self.names)
        if clash:
            self.faults.append(("DS005", clash))
            self.names = list(self._members)
        # Reads that move the one handle must not come between one another.
        self._lock = threading.Lock()
        weakref.finalize(self, archive.close)

    @property
    def is_archive(self) -> bool:
        return True

    def _at(self, offset: int, size: int) -> bytes:
        stream = self._stream()
        if hasattr(os, "pread"):
            return os.pread(stream.fileno(), size, offset)
        with self._lock:
            stream.seek(offset)
            return stream.read(size)

    def _stream(self) -> IO[bytes]:
        raise NotImplementedError

    def _read(self, name: str) -> bytes:
        member = self._members[name]
        with self._lock, open_member(self._archive, member) as stream:
            data = stream.read(member.size + 1)
        if len(data) != member.size:
            raise EOFError("it is not as long as it says")
        return data


def _is_odd(name: str, entry: zipfile.ZipInfo) -> bool:
    """Whether unzip on Linux would write another name: not for what Info-ZIP wrote there, whose
    names are UTF-8 without saying so."""
    if name == entry.filename.rstrip("/"):
        return False
    made_on_unix = 3
    with contextlib.suppress(UnicodeError):
        raw = entry.filename.rstrip("/").encode("cp437")
        return entry.create_system != made_on_unix or raw.decode("utf-8") != name
    return True


class Zip(_Archive):
    """A zip file. A head is read past zipfile, which costs more than the image's header."""

    def __init__(self, path: Path, archive: Any, members: Sequence[Any]) -> None:
        super().__init__(path, archive, members)
        self.odd_names = [m.name for m in members if not m.fault and _is_odd(m.name, m.key)]

    def _stream(self) -> IO[bytes]:
        stream: IO[bytes] = self._archive.fp
        return stream

    def _head(self, name: str, size: int) -> bytes:
        info = self._members[name].key
        # The name is there again, with extra fields of about the length in the directory.
        guess = LOCAL_HEADER.size + 2 * len(info.filename) + 64
        block = self._at(info.header_offset, guess + size)
        magic, name_length, extra = LOCAL_HEADER.unpack_from(block)
        if magic != b"PK\3\4":
            raise zipfile.BadZipFile("its place in the zip file holds something else")
        start = LOCAL_HEADER.size + name_length + extra
        data = block[start : start + min(size, info.compress_size)]
        if len(data) < min(size, info.compress_size):
            data = self._at(info.header_offset + start, min(size, info.compress_size))
        if info.compress_type == zipfile.ZIP_STORED:
            return data
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-15).decompress(data, size)
        with self._lock, self._archive.open(info) as stream:
            found: bytes = stream.read(size)
            return found

    def crc(self, name: str) -> int | None:
        found: int | None = None if name in self._held else self._members[name].key.CRC
        return found


class Tar(_Archive):
    """A tar file, compressed or not."""

    def __init__(self, path: Path, archive: tarfile.TarFile, members: Sequence[Any]) -> None:
        super().__init__(path, archive, members)
        self._plain = type(archive.fileobj).__module__ in ("_io", "io")

    def _stream(self) -> IO[bytes]:
        stream: IO[bytes] = self._archive.fileobj
        return stream

    @property
    def threads(self) -> int:
        # A compressed tar is one stream: side by side, reads would only rewind it.
        return THREADS if self._plain else 1

    def _head(self, name: str, size: int) -> bytes:
        member = self._members[name]
        if self._plain and not member.key.issparse():
            return self._at(member.key.offset_data, min(size, member.size))
        with self._lock, open_member(self._archive, member) as stream:
            return stream.read(size)


def _batches(names: list[str]) -> list[list[str]]:
    return [names[i : i + BATCH] for i in range(0, len(names), BATCH)]
