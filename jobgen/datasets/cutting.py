"""Pictures cut into tiles by several processes; what is done stays where the work is killed."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobgen.datasets.contents import Contents, Progress
from jobgen.datasets.headers import open_raster
from jobgen.datasets.sources import open_sources
from jobgen.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95
EXIF_ORIENTATION = 0x0112
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


@dataclass
class Part:
    """The tiles of one picture in a file of their own, which goes once all are read."""

    place: Path
    left: int

    def reader(self, name: str) -> Callable[[], bytes]:
        """What reads one of the tiles, once."""

        def read() -> bytes:
            with zipfile.ZipFile(self.place) as tiles:
                data = tiles.read(name)
            self.left -= 1
            if not self.left:
                self.place.unlink()
            return data

        return read


def cut_all(
    jobs: Sequence[CutJob], paths: Sequence[Path], folder: Path, processes: int, progress: Progress
) -> Iterator[Part]:
    """The tiles of each picture, in order, as files in `folder`; those that are there already are
    taken. Raises DatasetError for a picture that can't be read."""
    places = [folder / f"{number:07d}.zip" for number in range(len(jobs))]
    missing = [number for number, place in enumerate(places) if not place.exists()]
    done = len(jobs) - len(missing)
    work = [(jobs[number], places[number]) for number in missing]
    for fault in _faults(work, paths, processes):
        if fault:
            raise DatasetError(fault, "What is cut already is kept: the same command resumes.")
        done += 1
        progress("cutting pictures", done, len(jobs))
    for place, job in zip(places, jobs, strict=True):
        yield Part(place, len(job.tiles))


def _faults(
    work: Sequence[tuple[CutJob, Path]], paths: Sequence[Path], processes: int
) -> Iterator[str]:
    """Do all the work; for each picture why it failed, or nothing."""
    if processes == 1 or len(work) < 2:
        files = open_sources(paths)
        yield from (_cut(files, job, place) for job, place in work)
        return
    with ProcessPoolExecutor(processes, initializer=_open, initargs=(paths,)) as pool:
        waiting: deque[Future[str]] = deque()
        try:
            for job, place in work:
                waiting.append(pool.submit(_cut_opened, job, place))
                # A bounded queue: neither pictures nor answers pile up.
                if len(waiting) >= WAITING * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_opened: list[Contents] = []


def _open(paths: Sequence[Path]) -> None:
    _opened[:] = [open_sources(paths)]


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

    turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
    if turned and image.size == size:
        return image
    return ImageOps.exif_transpose(image)
