"""Pictures cut into tiles by several processes; what is done stays where the work is killed."""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobgen.datasets.contents import Contents
from jobgen.datasets.headers import open_raster
from jobgen.datasets.sources import open_sources
from jobgen.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95
EXIF_ORIENTATION = 0x0112
NOT_WRITTEN = "tiles can't be written into "
# Pictures that wait for each process: enough that none is idle.
WAITING = 3


class Tile(NamedTuple):
    """A part of a picture: its corners in pixels, and the name of its file."""

    left: int
    top: int
    right: int
    bottom: int
    name: str


class CutJob(NamedTuple):
    """A picture, its width and height as its boxes mean them, and the tiles to cut from it."""

    path: str
    size: tuple[int, int]
    tiles: tuple[Tile, ...]


class Cutting:
    """Cuts pictures, each into a file of its tiles in `folder`, while those before are read: of
    what is cut only so much waits as keeps all processes busy. Files that are there already are
    taken. Use it with `with`."""

    def __init__(
        self, jobs: Sequence[CutJob], paths: Sequence[Path], folder: Path, processes: int
    ) -> None:
        self._jobs, self._paths, self._processes = jobs, paths, processes
        self._places = [folder / f"{number:07d}.zip" for number in range(len(jobs))]
        self._next = 0
        self._waiting: dict[int, Future[str]] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._files: Contents | None = None

    def __enter__(self) -> Cutting:
        if self._processes > 1:
            self._pool = ProcessPoolExecutor(
                self._processes, initializer=_open, initargs=(self._paths, os.getpid())
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def reader(self, number: int, name: str) -> Callable[[], bytes]:
        """What reads one tile of a picture. Raises DatasetError for a picture that can't be
        read."""

        def read() -> bytes:
            self._cut_up_to(number)
            with zipfile.ZipFile(self._places[number]) as tiles:
                return tiles.read(name)

        return read

    def _cut_up_to(self, number: int) -> None:
        """Have a picture cut, and those after it on their way."""
        if self._pool is None:
            place = self._places[number]
            if not place.exists():
                self._files = self._files or open_sources(self._paths)
                self._told(_cut(self._files, self._jobs[number], place))
            return
        last = min(len(self._jobs), number + 1 + WAITING * self._processes)
        for ahead in range(self._next, last):
            if not self._places[ahead].exists():
                job = (self._jobs[ahead], self._places[ahead])
                self._waiting[ahead] = self._pool.submit(_cut_opened, *job)
        self._next = max(self._next, last)
        if number in self._waiting:
            try:
                self._told(self._waiting.pop(number).result())
            except BrokenProcessPool as error:
                raise DatasetError(
                    "a process that cuts pictures was killed, most likely for want of memory",
                    "What is cut already is kept: the same command resumes, with --processes 1 in "
                    "less memory.",
                ) from error

    def _told(self, fault: str) -> None:
        if fault.startswith(NOT_WRITTEN):
            raise DatasetError(
                fault, "Make room first. What is cut already is kept: the same command resumes."
            )
        if fault:
            raise DatasetError(
                fault,
                "Save it again, or take it out of the set (jobgen check --deep names all such "
                "images). What is cut already is kept: the same command resumes.",
            )


_opened: list[Contents] = []


def _open(paths: Sequence[Path], parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _opened[:] = [open_sources(paths)]


def _end_with(parent: int) -> None:
    """End this process once its parent is gone: killed, it can't say so."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _cut_opened(job: CutJob, place: Path) -> str:
    return _cut(_opened[0], job, place)


def _cut(files: Contents, job: CutJob, place: Path) -> str:
    """Write the tiles of a picture; gives what is wrong with it, or nothing."""
    half_done = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        data = files.read(job.path)
        with zipfile.ZipFile(half_done, "w") as target:
            for tile, content in _tiles(data, job):
                target.writestr(tile.name, content)
        half_done.replace(place)
    except DatasetError as error:
        return error.message
    except OSError as error:
        # Of the disk, not of the picture: a decoder's has no number.
        if error.errno is None:
            return f"{job.path} can't be read: {error}"
        return f"{NOT_WRITTEN}{place.parent}: {error.strerror}"
    except Exception as error:  # whatever a decoder raises at damaged bytes
        return f"{job.path} can't be read: {error}"
    finally:
        half_done.unlink(missing_ok=True)
    return ""


def _tiles(data: bytes, job: CutJob) -> Iterator[tuple[Tile, bytes]]:
    first = job.tiles[0]
    if len(job.tiles) == 1 and (first.right - first.left, first.bottom - first.top) == job.size:
        yield first, data
        return
    with warnings.catch_warnings():
        # A large picture is what this is for.
        warnings.simplefilter("ignore")
        with open_raster(data) as image:
            kind = image.format
            sampling = _sampling(image)
            upright = _upright(image, job.size)
            upright.load()
    for tile in job.tiles:
        part = upright.crop(tile[:4])
        buffer = io.BytesIO()
        if kind == "JPEG" and tile.name.lower().endswith((".jpg", ".jpeg")):
            part.save(buffer, "JPEG", quality=QUALITY, subsampling=sampling)
        else:
            lossless = tile.name.lower().endswith(".png")
            part.save(buffer, "PNG" if lossless else "JPEG", **({} if lossless else LOSSY))
        yield tile, buffer.getvalue()


# For pictures whose ending says JPEG and that are none.
LOSSY = {"quality": QUALITY, "subsampling": 0}


def _sampling(image: Image.Image) -> int:
    """How a JPEG keeps its colours, which its tiles do alike."""
    from PIL import JpegImagePlugin

    if image.format != "JPEG":
        return 0
    found = JpegImagePlugin.get_sampling(image)
    return int(found) if found >= 0 else 0


def _upright(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture as OpenCV shows it, unless its boxes are meant on it as it is stored."""
    from PIL import ImageOps

    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    as_stored = orientation >= 5 and image.size == size
    # Without a turn it would be a copy of the whole picture.
    return image if orientation == 1 or as_stored else ImageOps.exif_transpose(image)
