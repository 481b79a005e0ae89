"""RESUME_FROM: the downloaded output of an earlier job, as a folder or a zip."""

import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome, begin
from jobgen_runtime.train import resume
from jobgen_runtime.train.resume import fetch_checkpoints
from jobgen_runtime.train.training import claim_save_dir
from jobgen_runtime.train.trainwatch import read_metrics
from tests.runtime.standin import Bench

pytestmark = pytest.mark.waits

OURS = '{"values": {"batch_size": 8, "epochs": 4}}'


@pytest.fixture
def earlier(bench: Bench, run: Outcome, tmp_path: Path) -> Path:
    """The output of a job that was killed in its third epoch, as it is downloaded."""
    claim_save_dir(str(bench.save_dir), OURS)
    with pytest.raises(StageError):
        bench.train(epochs=4, scores=[0.1, 0.4, 0.2, 0.2], die_in=2)
    goal = tmp_path / "data" / "PaddleDetection 船" / "output" / "ships"
    shutil.copytree(str(tmp_path / "output"), str(goal))
    shutil.rmtree(str(tmp_path / "output"))
    begin(str(tmp_path / "output"), name="test").start("train")
    return tmp_path / "data"


def bring(bench: Bench, place: object, identity: str = OURS) -> None:
    claim_save_dir(str(bench.save_dir), identity)
    fetch_checkpoints(str(place), str(bench.folder), str(bench.save_dir), identity)


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", str(folder)))


@pytest.mark.parametrize("as_zip", [False, True])
def test_training_goes_on_from_an_earlier_output(bench: Bench, earlier: Path, as_zip: bool) -> None:
    place = zipped(earlier) if as_zip else earlier
    bring(bench, place.relative_to(bench.folder))
    bench.train(epochs=4, scores=[0.0, 0.0, 0.2, 0.3])
    from jobgen_runtime.record.outcome import outcome

    run = outcome()
    assert run.data["resumed_from_epoch"] == 2
    # The best of the earlier job survives, and there is one curve.
    assert run.data["metrics"]["best"]["mAP50"] == 0.4
    rows = read_metrics(run.path("metrics.csv"))
    assert [row["epoch"] for row in rows if "loss" in row] == [0, 0, 1, 1, 2, 2, 3, 3]
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    assert rates == pytest.approx([0.01 * (1 - n / 8.0) for n in range(8)], abs=1e-6)


def test_an_interrupted_curve_is_that_of_an_uninterrupted_run(
    bench: Bench, earlier: Path, tmp_path: Path
) -> None:
    from jobgen_runtime.record.outcome import outcome

    scores = [0.1, 0.4, 0.2, 0.2]
    bring(bench, earlier)
    bench.train(epochs=4, scores=scores)
    interrupted = read_metrics(outcome().path("metrics.csv"))
    shutil.rmtree(str(bench.save_dir))
    begin(str(tmp_path / "whole"), name="test").start("train")
    bench.train(epochs=4, scores=scores)
    whole = read_metrics(outcome().path("metrics.csv"))
    assert interrupted == whole


def test_nothing_is_brought_unasked_or_over_own_checkpoints(bench: Bench, earlier: Path) -> None:
    from jobgen_runtime.record.outcome import outcome

    fetch_checkpoints(None, str(bench.folder), str(bench.save_dir), OURS)
    with pytest.raises(StageError):
        bench.train(die_in=2)
    fetch_checkpoints(str(earlier), str(bench.folder), str(bench.save_dir), OURS)
    assert "is not used" in outcome().data["notes"][-1]["text"]


def refused(bench: Bench, place: object, identity: str = OURS) -> str:
    with pytest.raises(StageError) as caught:
        bring(bench, place, identity)
    assert caught.value.cause == "parameters"
    return caught.value.message


def test_checkpoints_of_another_training_are_refused(bench: Bench, earlier: Path) -> None:
    other = OURS.replace("8", "16")
    assert refused(bench, earlier, other).endswith(
        "its checkpoints are of another training: batch_size is 8 there, 16 here"
    )


def test_what_is_not_there_or_has_none_is_refused(bench: Bench, tmp_path: Path) -> None:
    assert refused(bench, "nowhere").endswith("nowhere is not there")
    (tmp_path / "empty").mkdir()
    assert "no whole checkpoint was found" in refused(bench, tmp_path / "empty")


def test_torn_and_dangerous_files_are_refused(bench: Bench, earlier: Path) -> None:
    path = zipped(earlier)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "can't be unpacked" in refused(bench, path)
    newest = next(earlier.rglob("1.pdopt"))

    class Evil:
        def __reduce__(self) -> tuple:
            return (exec, ("1",))

    newest.write_bytes(pickle.dumps(Evil()))
    assert "is not opened: it would import builtins.exec" in refused(bench, earlier)


def test_torn_best_weights_are_left_out(bench: Bench, earlier: Path) -> None:
    path = next(earlier.rglob("best_model.pdparams"))
    path.write_bytes(path.read_bytes()[:5])
    (path.parent / "best_model.pdparams.tmp").write_bytes(b"half")
    bring(bench, earlier)
    names = [p.name for p in bench.save_dir.rglob("*")]
    assert "1.pdparams" in names
    assert "best_model.pdparams" not in names
    assert not [name for name in names if name.endswith(".tmp")]


def test_a_halved_batch_comes_along(bench: Bench, earlier: Path) -> None:
    (next(earlier.rglob("identity.json")).parent / "batch_halved").write_text("1\n")
    bring(bench, zipped(earlier))
    assert (bench.save_dir / "batch_halved").is_file()


def test_the_newest_of_several_is_taken(bench: Bench, earlier: Path) -> None:
    older = next(earlier.rglob("identity.json")).parent
    shutil.copytree(str(older), str(earlier / "0 first" / "checkpoints"))
    for path in list((earlier / "0 first").rglob("1.*")):
        path.unlink()
    bring(bench, earlier)
    assert list(bench.save_dir.rglob("1.pdparams"))


def test_the_users_own_folder_stays(bench: Bench, earlier: Path) -> None:
    from jobgen_runtime.record.outcome import outcome

    mine = Path(outcome().path("resume-from"))
    shutil.copytree(str(earlier), str(mine))
    bring(bench, mine)
    assert list(mine.rglob("1.pdparams"))


@pytest.mark.parametrize("text", ["[1]", "1", "\xff\xfe"])
def test_an_identity_that_is_none(bench: Bench, earlier: Path, text: str) -> None:
    next(earlier.rglob("identity.json")).write_bytes(text.encode("latin-1"))
    assert "can't be read" in refused(bench, earlier)


def test_a_zip_with_damaged_data(bench: Bench, earlier: Path) -> None:
    path = zipped(earlier)
    data = bytearray(path.read_bytes())
    at = data.index(b"0.pdopt") + 40
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    assert "can't be unpacked" in refused(bench, path)


def test_a_zip_can_not_reach_outside(bench: Bench, earlier: Path) -> None:
    path = zipped(earlier)
    with zipfile.ZipFile(str(path), "a") as archive:
        archive.writestr("../../checkpoints/evil.json", "{}")
    assert "unsafe name" in refused(bench, path)
    assert not list(bench.folder.parent.glob("checkpoints"))


def test_what_stays_in_a_zip_stops_nothing(bench: Bench, earlier: Path) -> None:
    path = zipped(earlier)
    with zipfile.ZipFile(str(path), "a") as archive:
        archive.writestr("../../elsewhere.txt", "{}")
        link = zipfile.ZipInfo("output/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    bring(bench, path)
    assert any(bench.save_dir.rglob("*.pdparams"))


def test_a_zip_that_claims_too_much_is_refused(
    bench: Bench, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(earlier)
    size = sum(
        entry.file_size for entry in zipfile.ZipFile(str(path)).infolist()
        if "/checkpoints/" in "/" + entry.filename or entry.filename.endswith("metrics.csv")
    )  # fmt: skip
    monkeypatch.setattr(resume, "MOST_BYTES", size // 2)
    assert "is too large" in refused(bench, path)
    assert not any(bench.save_dir.rglob("*.pdparams"))
    monkeypatch.setattr(resume, "MOST_BYTES", size)
    bring(bench, path)
