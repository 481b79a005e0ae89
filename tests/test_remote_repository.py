"""Data sets and models in AI Studio's repositories, against the loopback AI Studio."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.aistudio import TOKEN, AiStudio
from tests.conftest import Answer
from tests.remote_world import made, studio, whole
from tests.sets import Coco, write_zip
from tests.whole import Whole

__all__ = ["made", "studio", "whole"]
pytestmark = pytest.mark.waits
Jobgen = Callable[..., Answer]


@pytest.fixture
def data(tmp_path: Path, studio: AiStudio) -> Path:
    studio.repositories["me/ships"] = {}
    return write_zip(tmp_path / "ships.zip", Coco().all_files())


@pytest.mark.parametrize("sts", [False, True])
def test_a_data_set_arrives_whole_and_once(
    studio: AiStudio, jobgen: Jobgen, data: Path, sts: bool
) -> None:
    studio.sts = sts
    answer = jobgen("upload", data, "me/ships")
    assert answer.code == 0, answer.err
    assert "archive: ships.zip" in answer.err
    assert studio.lfs == {hashlib.sha256(data.read_bytes()).hexdigest(): data.read_bytes()}
    assert "ships.zip" in studio.pointers["me/ships"]
    for seen in studio.seen:
        if seen.what in ("put-lfs", "put-object", "post-object"):
            assert TOKEN not in str(seen.headers) + seen.path
    studio.seen.clear()
    again = jobgen("upload", data, "me/ships", "--json")
    assert again.json["uploaded"] is False
    assert [seen.what for seen in studio.seen] == ["contents"]


def test_a_new_version_replaces_the_old(studio: AiStudio, jobgen: Jobgen, data: Path) -> None:
    jobgen("upload", data, "me/ships")
    write_zip(data, {**Coco().all_files(), "ships/more.txt": b"x"})
    assert jobgen("upload", data, "me/ships").code == 0
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert digest in studio.repositories["me/ships"]["ships.zip"].decode()


def test_an_upload_in_parts_is_resumed(
    studio: AiStudio, jobgen: Jobgen, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgen.remote.repository.SMALLEST_PART", 1000)
    studio.sts = True
    studio.fault = lambda kind, n: "drop" if kind == "put-object" and n >= 3 else None
    broken = jobgen("upload", data, "me/ships")
    assert broken.code == 8
    (parts,) = studio.uploads.values()
    assert len(parts) == 3
    studio.fault = lambda _kind, _n: None
    studio.seen.clear()
    assert jobgen("upload", data, "me/ships").code == 0
    sent = [seen.path for seen in studio.seen if seen.what == "put-object"]
    assert not any("partNumber=1&" in path for path in sent)
    assert data.read_bytes() in studio.lfs.values()


@pytest.mark.parametrize(
    ("what", "sts"),
    [
        *(
            (what, False)
            for what in ("contents", "preupload", "batch", "put-lfs", "verify", "commit")
        ),
        ("put-object", True),
    ],
)
@pytest.mark.parametrize("fault", ["502", "drop", "html", "502-after", "lost", "cut"])
def test_whatever_breaks_off_nothing_half_is_committed(
    studio: AiStudio, jobgen: Jobgen, data: Path, what: str, fault: str, sts: bool
) -> None:
    studio.sts = sts
    studio.fault = lambda kind, n: fault if kind == what and n < 4 else None
    first = jobgen("upload", data, "me/ships")
    assert first.code in (0, 8)
    if "ships.zip" in studio.repositories["me/ships"]:
        assert data.read_bytes() in studio.lfs.values()
    if first.code == 0:
        assert "ships.zip" in studio.pointers["me/ships"]
    studio.fault = lambda _kind, _n: None
    assert jobgen("upload", data, "me/ships").code == 0
    assert "ships.zip" in studio.pointers["me/ships"]


@pytest.mark.parametrize("name", ["ships", "a/b/c", "a b/c", "../x", "/", "a/", "https://x/y"])
def test_a_name_that_is_no_repository(
    studio: AiStudio, jobgen: Jobgen, data: Path, name: str
) -> None:
    answer = jobgen("upload", data, name)
    assert answer.code == 3
    assert "USER/NAME" in answer.err
    assert not studio.seen


def test_a_repository_that_is_not_there(studio: AiStudio, jobgen: Jobgen, data: Path) -> None:
    answer = jobgen("upload", data, "me/boats")
    assert answer.code == 8
    assert "no repository me/boats" in answer.err


def test_data_with_errors_is_not_uploaded(
    studio: AiStudio, jobgen: Jobgen, data: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.zip"
    torn.write_bytes(data.read_bytes()[:-500])
    answer = jobgen("upload", torn, "me/ships")
    assert answer.code == 1
    assert "--no-check" in answer.err
    assert not studio.seen
    assert jobgen("upload", tmp_path / "none.zip", "me/ships").code == 4


def test_another_hosts_address_gets_no_token(
    studio: AiStudio, jobgen: Jobgen, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that names another host to verify at is refused."""
    from tests import aistudio

    made_by = aistudio.Handler.batch

    def elsewhere(self: aistudio.Handler, name: str, asked: dict[str, object]) -> dict[str, object]:
        found = made_by(self, name, asked)
        found["actions"]["verify"]["href"] = "https://elsewhere.example/verify"
        return found

    monkeypatch.setattr(aistudio.Handler, "batch", elsewhere)
    answer = jobgen("upload", data, "me/ships")
    assert answer.code == 8
    assert "elsewhere.example" in answer.err


# Models.


@pytest.fixture
def output(whole: Whole) -> Path:
    code, said = whole.run()
    assert code == 0, said
    weights = whole.output / "weights" / "best_model.pdparams"
    assert weights.is_file()
    return whole.output


def test_a_run_is_published_with_its_card(studio: AiStudio, jobgen: Jobgen, output: Path) -> None:
    asked = jobgen("publish", output, "me/detector", given="n\n")
    assert asked.code == 8
    assert "me/detector" not in studio.repositories
    answer = jobgen("publish", output, "me/detector", "--yes")
    assert answer.code == 0, answer.err
    files = studio.repositories["me/detector"]
    card = files["README.md"].decode()
    assert card.startswith("# ships")
    assert "picodet_xs_320_coco_lcnet" in card
    assert "| mAP | 0." in card
    assert {"README.md", "result.json", "weights/best_model.pdparams"} <= set(files)
    again = jobgen("publish", output, "me/detector", "--yes")
    assert again.out.startswith("me/detector: 0 of")


def test_an_export_is_published_as_it_is(studio: AiStudio, jobgen: Jobgen, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "mnn").mkdir(parents=True)
    (model / "MODEL_CARD.md").write_text("# Ships\n")
    (model / "mnn" / "model.mnn").write_bytes(os.urandom(1000))
    (model / "mnn" / "__pycache__").mkdir()
    (model / "mnn" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert jobgen("publish", model, "me/detector", "--yes", "--public").code == 0
    assert set(studio.repositories["me/detector"]) == {"README.md", "mnn/model.mnn"}
    again = jobgen("publish", model, "me/detector", given="n\n")
    assert "it is as visible as before" in again.err


def test_another_users_name_is_told(studio: AiStudio, jobgen: Jobgen, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MODEL_CARD.md").write_bytes(b"\xff")
    (tmp_path / "model" / ".env").write_text("TOKEN=1")
    answer = jobgen("publish", tmp_path / "model", "other/detector", "--yes")
    assert answer.code == 8
    assert "not under the user other" in answer.err
    assert ".env" not in answer.err


def test_a_run_that_is_no_good_is_not_published(
    studio: AiStudio, jobgen: Jobgen, tmp_path: Path
) -> None:
    nothing = jobgen("publish", tmp_path / "none", "me/detector", "--yes")
    assert nothing.code == 7
    (tmp_path / "empty").mkdir()
    assert jobgen("publish", tmp_path / "empty", "me/detector", "--yes").code == 7
    assert not studio.seen
