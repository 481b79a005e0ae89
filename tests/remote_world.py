"""What the tests about AI Studio share: a loopback AI Studio, and a job to submit to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aistudio import TOKEN, AiStudio, remove
from tests.sets import Coco, write_zip
from tests.whole import Whole, make_whole

# Waits of seconds and minutes as hundredths: the same waits, another clock.
CLOCK = (
    ("jobgen.remote.wire.FIRST_PAUSE", 0.002),
    ("jobgen.remote.wire.LONGEST_PAUSE", 0.01),
    ("jobgen.remote.submit.ASK_AGAIN", (0.01, 0.02)),
    ("jobgen.remote.watch.FIRST_WAIT", 0.02),
    ("jobgen.remote.watch.LONGEST_WAIT", 0.1),
    ("jobgen.remote.watch.LATE", (0.0, 0.05, 0.1)),
    ("jobgen.cli.logs.EVERY", 0.1),
)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AiStudio]:
    """A loopback AI Studio, whose token is in the environment."""
    found = AiStudio(tmp_path / "studio")
    monkeypatch.setenv("AISTUDIO_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("JOBGEN_AISTUDIO", found.address)
    monkeypatch.setenv("JOBGEN_AISTUDIO_GIT", found.address)
    for name, value in CLOCK:
        monkeypatch.setattr(name, value)
    monkeypatch.chdir(tmp_path)
    yield found
    remove(found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("made 船")
    archive = write_zip(folder / "ships.zip", Coco().all_files())
    return make_whole(folder / "job", archive.read_bytes())


@pytest.fixture
def whole(made: Whole, tmp_path: Path) -> Whole:
    """A job with its data, a Python and a PaddleDetection that stand in for the real ones."""
    folder = tmp_path / "job"
    shutil.copytree(made.folder, folder, ignore=shutil.ignore_patterns("python", "PaddleDetection"))
    for name in ("python", "PaddleDetection"):
        (folder / name).symlink_to(made.folder / name)
    return Whole(folder)


def mounted(studio: AiStudio, whole: Whole) -> list[str]:
    """Have the studio run this job's command; the words that `submit` needs beside the job."""
    studio.datasets[264241] = whole.folder / "ships.zip"
    studio.env = {"PATH": f"{whole.folder / 'python' / 'bin'}:/usr/bin:/bin"}
    urls = json.dumps([(whole.folder / "PaddleDetection").as_uri()])
    return [
        *("--dataset", "264241", "--no-check", "--yes", "-p", "DEVICE", "cpu"),
        *("-p", "ALLOW_UNPINNED", "true", "-p", "PADDLEDETECTION_URLS", urls),
    ]
