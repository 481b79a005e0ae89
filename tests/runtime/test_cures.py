"""What saves a training that is paid for: each cure once, recorded, never hidden."""

import os

import pytest

from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.train import trainwatch
from jobgen_runtime.train.checkpoints import newest_checkpoint
from tests.runtime.standin import Bench

pytestmark = pytest.mark.waits


def adjusted(run: Outcome) -> list:
    return [(row["what"], row["planned"], row["used"]) for row in run.data["adjustments"]]


def test_a_reader_that_dies_gets_fewer_processes(bench: Bench, run: Outcome) -> None:
    bench.train(most_workers=2)
    assert adjusted(run) == [("worker_num", 4, 2)]
    assert "exited unexpectedly" in run.data["adjustments"][0]["why"]
    assert run.data["metrics"]["best"]["mAP50"] == 0.4


def test_then_none(bench: Bench, run: Outcome) -> None:
    bench.train(most_workers=0)
    assert adjusted(run) == [("worker_num", 4, 2), ("worker_num", 2, 0)]


def test_shared_memory_goes_first(bench: Bench, run: Outcome) -> None:
    bench.config["TrainReader"]["use_shared_memory"] = True
    bench.train(bus_error=True)
    assert adjusted(run) == [("use_shared_memory", True, False)]
    assert "use_shared_memory: false" in bench.text()


def test_shared_memory_of_the_model_yaml_counts(bench: Bench, run: Outcome) -> None:
    (bench.folder / "model.yml").write_text("TrainReader:\n  use_shared_memory: true\n")
    (bench.folder / "other.yml").write_text("a: 1\n")
    bench.train(most_workers=2)
    assert adjusted(run) == [("use_shared_memory", True, False), ("worker_num", 4, 2)]


def test_a_reader_that_no_cure_helps_is_told(bench: Bench, run: Outcome) -> None:
    with pytest.raises(StageError) as caught:
        bench.train(most_workers=-1)
    assert caught.value.cause == "reader"
    assert adjusted(run) == [("worker_num", 4, 2), ("worker_num", 2, 0)]


def test_a_reader_that_hangs_is_told_with_its_words(
    bench: Bench, run: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainwatch, "READER_PATIENCE", 1.0)
    bench.config["worker_num"] = 0
    with pytest.raises(StageError) as caught:
        bench.train(hang_in=1, reader_said=True)
    assert caught.value.cause == "reader"
    assert "'bytes' object has no attribute 'shape'" in caught.value.message
    # Fewer processes were tried, each from the last whole checkpoint.
    assert adjusted(run) == [("worker_num", 4, 2), ("worker_num", 2, 0)]
    assert run.data["resumed_from_epoch"] == 1


def test_a_training_that_hangs_without_a_word(bench: Bench, run: Outcome) -> None:
    bench.options["patience"] = 1.0
    with pytest.raises(StageError) as caught:
        bench.train(hang_in=1)
    assert caught.value.cause == "stall"
    assert caught.value.log == run.log_path("train")
    assert adjusted(run) == []


def test_a_batch_is_halved_where_the_job_says_so(bench: Bench, run: Outcome) -> None:
    bench.options["on_oom"] = "halve"
    bench.train(card=4)
    assert adjusted(run) == [
        ("TrainReader.batch_size", 8, 4),
        ("LearningRate.base_lr", 0.01, 0.005),
    ]
    assert "batch_size: 4" in bench.text()
    # As many epochs, twice the steps: the warm-up is a tenth of them.
    assert '"steps": 12' in bench.text()


def test_it_is_halved_once(bench: Bench) -> None:
    bench.options["on_oom"] = "halve"
    with pytest.raises(StageError, match="memory did not suffice"):
        bench.train(card=2)


def test_it_is_not_halved_unasked(bench: Bench, run: Outcome) -> None:
    with pytest.raises(StageError, match="memory did not suffice"):
        bench.train(card=4)
    assert adjusted(run) == []


def test_a_checkpoint_keeps_its_batch(bench: Bench, run: Outcome) -> None:
    """The learning rate of a checkpoint counts steps of its own batch."""
    bench.options["on_oom"] = "halve"
    with pytest.raises(StageError, match="memory did not suffice"):
        bench.train(raise_in=2)
    assert adjusted(run) == []


def test_a_halved_training_goes_on_halved(bench: Bench, run: Outcome) -> None:
    bench.options["on_oom"] = "halve"
    with pytest.raises(StageError, match="was killed"):
        bench.train(card=4, die_in=2)
    run.data["adjustments"] = []
    bench.train(card=4)
    assert adjusted(run)[0] == ("TrainReader.batch_size", 8, 4)
    assert run.data["resumed_from_epoch"] == 2


def test_checkpoints_that_are_no_numbers_are_put_aside(bench: Bench) -> None:
    with pytest.raises(StageError, match="the loss is nan since epoch 2"):
        bench.train(epochs=5, losses=[3.0, "nan", "nan", "nan", "nan"], scores=[0.1] * 5, pause=0.3)
    newest = newest_checkpoint(str(bench.save_dir))
    assert newest is not None
    assert newest.epochs == 1
    names = os.listdir(str(bench.save_dir / "model.run"))
    assert "not-finite-1.pdparams" in names


def test_an_exploding_loss_only_warns(bench: Bench, run: Outcome) -> None:
    bench.train(losses=[3.0, 300.0, 500.0])
    (text,) = [note["text"] for note in run.data["notes"]]
    assert text.startswith("the loss has risen to 500 in epoch 3, from 3")


def test_a_full_disk_is_the_cause(bench: Bench) -> None:
    with pytest.raises(StageError) as caught:
        bench.train(full_in=1)
    assert caught.value.cause == "disk"
    assert "the disk is full" in caught.value.message
