"""What README and docs/sweeps.md show of sweeps, run as it is printed.

The commands go through a shell, in their order. Only what a reader has and a test has not is put in
their place: a stand-in for Paddle, fewer trials, the address of the database.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from jobgen.sweep.spec import SweepSpec
from tests.aistudio import AiStudio
from tests.conftest import ROOT, Answer
from tests.postgresql import PostgreSQL, new_server
from tests.remote_world import studio
from tests.sets import Coco, write_zip
from tests.whole import JOB, Whole, make_whole

__all__ = ["studio"]
PAGES = ["docs/sweeps.md", "docs/sweeps.zh-CN.md"]
READMES = ["README.md", "README.zh-CN.md"]


def blocks(page: str) -> list[str]:
    """The indented blocks of a page, without their indent."""
    found: list[list[str]] = [[]]
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif line.strip() and found[-1]:
            found.append([])
    return ["\n".join(block) + "\n" for block in found if block]


def commands(page: str) -> list[str]:
    """The blocks of commands of sweeps, what stands behind them left out."""
    cut = ["\n".join(line.split("   ")[0] for line in block.splitlines()) for block in blocks(page)]
    return [block for block in cut if "jobgen sweep" in block]


def settings_of(page: str) -> str:
    return next(block for block in blocks(page) if block.startswith("search:\n"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("docs")
    archive = write_zip(folder / "ships.zip", Coco().all_files())
    return make_whole(folder, archive.read_bytes())


@pytest.fixture
def place(whole: Whole, tmp_path: Path) -> Path:
    """A reader's folder: a job and its data."""
    (tmp_path / "bundles" / "ships").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "bundles" / "ships"):
        (folder / "job.yaml").write_text(JOB, encoding="utf-8")
    shutil.copy(whole.folder / "ships.zip", tmp_path)
    return tmp_path


def shell(whole: Whole, place: Path, text: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run lines as a reader would; what `sweep run` needs beside them here is put behind it."""
    given = ["--device", "cpu", "--python", str(whole.folder / "python" / "bin" / "python"),
             "--mirror", (whole.folder / "PaddleDetection").as_uri(),
             "-p", "ALLOW_UNPINNED", "true", *more]  # fmt: skip
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("pip install"))
    quoted = " ".join(f"'{word}'" for word in given)
    script = (
        f'set -eu\njobgen() {{ if [ "$1 $2" = \'sweep run\' ]; then command jobgen "$@" {quoted}; '
        f'else command jobgen "$@"; fi; }}\n{kept}\n'
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
           "FLAGS_standin": json.dumps({"by_rate": True})}  # fmt: skip
    return subprocess.run(["bash", "-c", script], cwd=place, env=env, capture_output=True,
                          text=True, check=False, timeout=400)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_on_the_page_can_be_meant(page: str) -> None:
    spec = SweepSpec.model_validate(yaml.safe_load(settings_of(page)))
    assert (spec.count, spec.confirm, spec.prune) == (12, 3, "median")
    assert settings_of(page) == settings_of(PAGES[0])
    assert [line.split("   ")[0] for block in commands(page) for line in block.splitlines()] == [
        line.split("   ")[0] for block in commands(PAGES[0]) for line in block.splitlines()
    ]


@pytest.mark.kernel
@pytest.mark.waits
def test_the_commands_of_the_page_do_what_they_say(whole: Whole, place: Path) -> None:
    text = settings_of(PAGES[0])
    for printed, here in (("trials: 12", "trials: 2"), ("confirm: 3", "confirm: 0"),
                          ("[8, 16]", "[2, 4]")):  # fmt: skip
        assert printed in text
        text = text.replace(printed, here)
    (place / "sweep.yaml").write_text(text, encoding="utf-8")
    done = shell(whole, place, commands(PAGES[0])[0])
    assert done.returncode == 0, done.stderr
    assert "2 trials" in done.stderr
    assert "2 done, 0 ended early, 0 failed" in done.stdout
    assert (place / "sweep" / "page.html").is_file()
    assert (place / "bundles" / "best" / "job.yaml").is_file()


@pytest.mark.kernel
@pytest.mark.waits
@pytest.mark.parametrize("page", READMES)
def test_the_commands_of_the_readme_do_what_they_say(whole: Whole, place: Path, page: str) -> None:
    text = next(block for block in blocks(page) if "jobgen sweep" in block)
    lines = [line.split("   ")[0] for line in text.splitlines()]
    printed = "\n".join(lines)
    assert "trials: 12" in printed
    if page != READMES[0]:
        assert printed == "\n".join(line.split("   ")[0] for line in next(
            block for block in blocks(READMES[0]) if "jobgen sweep" in block).splitlines())  # fmt: skip
        return
    done = shell(whole, place, printed.replace("trials: 12", "trials: 1"))
    assert done.returncode == 0, done.stderr
    assert "train.base_lr" in (place / "best" / "job.yaml").read_text() + done.stdout


@pytest.fixture
def locked() -> Iterator[PostgreSQL]:
    yield from new_server("a secret word")


@pytest.mark.waits
def test_the_server_on_the_page_is_the_one_that_its_command_asks(
    whole: Whole, place: Path, locked: PostgreSQL, jobgen: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The command is sent to a server set up as the page's compose file says, by hand."""
    import psycopg

    (compose,) = (yaml.safe_load(block) for block in blocks(PAGES[0]) if "services:" in block)
    service = compose["services"]["postgres"]
    asked = service["environment"]
    assert service["ports"] == ["5432:5432"]
    assert asked["POSTGRES_PASSWORD"] == "${PGPASSWORD:?}"
    monkeypatch.setenv("PGPASSWORD", "a secret word")
    own = f"host=127.0.0.1 port={locked.port} user={asked['POSTGRES_USER']}"
    with psycopg.connect(f"{own} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {asked['POSTGRES_DB']}")
    connection.close()
    (place / "sweep.yaml").write_text(
        "search: {train.base_lr: [0.01, 0.02]}\nsampler: grid\n", encoding="utf-8"
    )
    text = next(block for block in commands(PAGES[0]) if "postgresql" in block)
    (place / "ships.zip").write_bytes(b"no zip: every trial fails at once")
    done = shell(whole, place, text.replace("localhost", f"127.0.0.1:{locked.port}"))
    assert (done.returncode, "2 failed" in done.stdout) == (7, True), done.stderr
    assert jobgen("sweep", "status", place / "sweep.yaml", "--json").json["counts"]["failed"] == 2


@pytest.mark.waits
def test_the_command_for_ai_studio_submits(whole: Whole, place: Path, studio: AiStudio) -> None:
    def works(home: Path) -> None:
        output = home / "output" / "ships"
        output.mkdir(parents=True)
        result = {"schema": 1, "stages": [], "started": "2026-01-01T00:00:00Z", "status": "ok",
                  "closed": True, "metrics": {"best": {"mAP50": 0.5}}}  # fmt: skip
        (output / "result.json").write_text(json.dumps(result))

    studio.work = works
    (place / "sweep.yaml").write_text(
        "search: {train.base_lr: [0.01, 0.02]}\nsampler: grid\n", encoding="utf-8"
    )
    text = next(block for block in commands(PAGES[0]) if "aistudio" in block)
    studio.datasets[264241] = place / "ships.zip"
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text], cwd=place, env=env, capture_output=True, text=True,
                          check=False, timeout=200)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
