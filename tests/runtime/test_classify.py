"""A classification in the notebook: PaddleClas's log, its checkpoints, figures, the same scores."""

import os
from typing import Any, Dict, List

import pytest

from jobgen_runtime.children.guard import job_guard
from jobgen_runtime.classify.after import choose_pictures, figures_of
from jobgen_runtime.classify.dataset import first_of_each
from jobgen_runtime.classify.export import PARITY_SCORE, compare_scores
from jobgen_runtime.classify.lists import Row, are_numbers, rows_of_list, split_line
from jobgen_runtime.classify.schedule import class_values, fitting_class_batch
from jobgen_runtime.classify.training import ClassWatch, keep_last
from jobgen_runtime.classify.trainlog import parse_line
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.figures import evaluation_text, figure_text, is_useful, why_untrained
from jobgen_runtime.record.outcome import Outcome
from jobgen_runtime.train.checkpoints import best_weights, epochs_behind, newest_checkpoint
from jobgen_runtime.train.trainwatch import read_metrics

# As PaddleClas's branch develop wrote them in a run of five shapes.
HEAD = "[2026/11/26 18:45:12] ppcls INFO: "
STEP = (
    HEAD + "[Train][Epoch 3/30][Iter: 8/10]lr(LinearWarmup): 0.05000000, top1: 0.43333, "
    "top5: 1.00000, CELoss: 1.41, loss: 1.41000, batch_cost: 1.20110s, reader_cost: 0.10321, "
    "ips: 16.65140 samples/s, eta: 0:05:26"
)
EVALUATED = HEAD + "[Eval][Epoch 3][Avg]CELoss: 1.31, loss: 1.30520, top1: 0.44000, top5: 1.00000"
SAVED = HEAD + "Already save model in /home/out/checkpoints/%s"
BAD = "[2026/11/26 18:45:12] ppcls ERROR: Exception occured when parse line: a.jpg with msg: 'None'"


def test_the_log_is_read() -> None:
    said = parse_line(STEP)
    assert said is not None
    assert (said["kind"], said["epoch"], said["step"], said["steps"]) == ("step", 2, 8, 10)
    assert said["meters"]["loss"] == 1.41
    assert (said["batch_cost"], said["data_cost"], said["ips"]) == (1.2011, 0.10321, 16.6514)
    said = parse_line(EVALUATED)
    assert said is not None
    assert (said["kind"], said["epoch"], said["meters"]["top1"]) == ("evaluated", 2, 0.44)
    assert parse_line("Already save model in x") is None
    broken = parse_line(STEP.replace("1.41000", "nan"))
    assert broken is not None
    assert broken["meters"]["loss"] != broken["meters"]["loss"]


def watch(run: Outcome, **more: Any) -> ClassWatch:
    folder = run.path("checkpoints")
    os.makedirs(folder, exist_ok=True)
    values: Dict[str, Any] = {"epochs": 30, "first_epoch": 0, "best": {}, "guard": job_guard(None)}
    values.update(more)
    return ClassWatch(run.path("metrics.csv"), folder, **values)


def test_the_best_is_marked_when_its_weights_are_saved(run: Outcome) -> None:
    found = watch(run)
    with open(run.path("checkpoints", "best_model.pdparams"), "wb") as stream:
        stream.write(b"weights")
    for line in (STEP, EVALUATED, SAVED % "best_model", SAVED % "latest"):
        found.line(line)
    assert found.best["top1"] == 0.44
    assert run.data["metrics"]["best"]["epoch"] == 2
    best = best_weights(run.path("checkpoints"))
    assert best is not None
    assert best.metrics["top1"] == 0.44
    rows = read_metrics(run.path("metrics.csv"))
    assert [row.get("top1") for row in rows] == [None, 0.44]


def test_weights_of_another_epoch_are_not_marked(run: Outcome) -> None:
    found = watch(run)
    with open(run.path("checkpoints", "best_model.pdparams"), "wb") as stream:
        stream.write(b"weights")
    for line in (STEP, EVALUATED, SAVED % "latest"):
        found.line(line)
    assert best_weights(run.path("checkpoints")) is None


def test_an_image_that_is_replaced_stops_the_training(run: Outcome) -> None:
    found = watch(run)
    found.line(BAD)
    with pytest.raises(StageError, match="can't read a.jpg, and"):
        found.line(STEP)


def test_checkpoints_are_counted_as_each_suite_does(run: Outcome) -> None:
    assert [epochs_behind(n + ".pdparams") for n in ("3", "epoch_3", "latest")] == [4, 3, None]
    folder = run.path("checkpoints")
    os.makedirs(folder)
    for name in ("epoch_2", "epoch_4", "epoch_6", "latest"):
        for ending in (".pdparams", ".pdopt", ".pdstates")[: 2 if name == "epoch_6" else 3]:
            with open(os.path.join(folder, name + ending), "wb") as stream:
                stream.write(b"\x80\x02}.")
    found = newest_checkpoint(folder)
    assert found is not None
    assert (os.path.basename(found.prefix), found.epochs) == ("epoch_4", 4)
    keep_last(folder)
    assert os.path.isfile(os.path.join(folder, "model_final.pdparams"))


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a.jpg 3", ("a.jpg", "3")),
        ("a b.jpg 3", ("a b.jpg", "3")),
        ("a b.jpg\t猫 科", ("a b.jpg", "猫 科")),
        ("a.jpg,3", ("a.jpg", "3")),
        ("a.jpg", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_line_of_a_list(line: str, pair: Any) -> None:
    assert split_line(line) == pair


def test_a_class_whose_name_is_a_number() -> None:
    text = "a.jpg 1\nb.jpg 0\nc.jpg 5\n"
    assert are_numbers([text], ["1", "0"])
    rows, troubles = rows_of_list(text, ["1", "0"], "l.txt", numbered=True)
    assert rows == [Row("a.jpg", 1), Row("b.jpg", 0)]
    assert [trouble.place for trouble in troubles] == ["l.txt:3: 5"]
    assert not are_numbers(["./a//b.jpg 20\n"], ["10", "20"])
    assert rows_of_list("./a//b.jpg 20\n", ["10", "20"], "l", numbered=False)[0] == [
        Row("a/b.jpg", 1)
    ]


def test_all_lists_of_a_set_say_together_what_a_number_is() -> None:
    """Of classes 1 to 3 a val list without the 3 reads like numbers from 0."""
    train, val = "a.jpg 1\nb.jpg 2\nc.jpg 3\n", "d.jpg 1\ne.jpg 2\n"
    names = ["1", "2", "3"]
    assert are_numbers([val], names)
    assert not are_numbers([train, val], names)


def test_a_smoke_run_has_images_of_every_class() -> None:
    rows = [Row("%d.jpg" % n, n // 10) for n in range(30)]
    assert [row.number for row in first_of_each(rows, 6)] == [0, 1, 2, 0, 1, 2]
    assert len(first_of_each(rows, 99)) == 30


def test_figures_of_a_classification() -> None:
    scores = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]
    found = figures_of([0, 1, 2, 1], scores, ["a", "b", "c"])
    assert found["top1"] == 0.75
    assert "top5" not in found  # of three classes it would say nothing
    assert found["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert [row["F1"] for row in found["per_class"]] == pytest.approx([2 / 3, 2 / 3, 1.0], abs=1e-6)
    wide = figures_of([5, 6], [[0.1] * 5 + [0.3, 0.2], [0.2] * 5 + [0.0, 0.0]], list("abcdefg"))
    assert (wide["top1"], wide["top5"]) == (0.5, 0.5)


def test_pictures_of_what_is_wrong_come_first() -> None:
    rows = [Row("%d" % n, 0) for n in range(6)]
    scores = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]
    chosen = choose_pictures(rows, scores, 4)
    assert [row.path for row, _ in chosen] == ["2", "1", "0", "4"]


@pytest.mark.parametrize(
    ("others", "unlike", "largest"),
    [
        ([[0.7, 0.3]], 0, 0.0),
        ([[0.6999, 0.3001]], 0, 0.0001),
        ([[0.3, 0.7]], 1, 0.4),
    ],
)
def test_scores_are_held_against_each_other(
    others: List[List[float]], unlike: int, largest: float
) -> None:
    found = compare_scores([[0.7, 0.3]], others)
    assert found["unlike"] == unlike
    assert found["largest_score"] == pytest.approx(largest)
    assert compare_scores([[0.5, 0.5]], [[0.49999, 0.50001]])["unlike"] == 0
    assert PARITY_SCORE == 1e-4


def test_values_follow_from_batch_and_epochs() -> None:
    found = class_values(200, 30, 16, None, 2, 0.000390625)
    assert (found["steps_per_epoch"], found["warmup_epochs"]) == (7, 3)
    assert found["base_lr"] == pytest.approx(0.0125)
    assert [fitting_class_batch(n, 1) for n in (2, 30, 5000)] == [2, 3, 64]


def test_what_a_figure_says() -> None:
    assert figure_text({"top1": 0.94, "epoch": 26}) == "top-1 0.940 (epoch 27)"
    assert figure_text({"mAP50": 0.5, "mAP": 0.2, "epoch": 0}) == "mAP@0.5 0.500 (epoch 1)"
    assert figure_text({}) == ""
    assert evaluation_text({"top1": 0.9}) == "top-1 0.900"
    assert evaluation_text({"top1": 0.9, "top5": 1.0}) == "top-1 0.900, top-5 1.000"
    assert evaluation_text({"mAP50": 0.5, "mAP": 0.2}) == "mAP 0.200, mAP@0.5 0.500"
    # Nine of ten images are of one class: 0.9 is worth nothing.
    assert why_untrained({"top1": 0.9}, 0.9).endswith("the commonest class gives 0.900")
    assert not is_useful({"top1": 0.92}, 0.9)
    assert is_useful({"top1": 0.96}, 0.9)
    assert why_untrained({"top1": 0.3}, 0.2) == ""
