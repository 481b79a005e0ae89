"""Boxes of two forms of a model, held against each other."""

from typing import Any, Dict, List

import pytest

from jobgen_runtime.after.parity import Row, Rows, compare_boxes, fault_of, overlap

BOX = [0, 0.9, 10.0, 20.0, 30.0, 40.0]
NMS = {"nms_threshold": 0.6, "keep_top_k": 100, "nms_top_k": 1000, "score_threshold": 0.01}


def compared(trained: Rows, other: Rows, before: Rows, nms: Dict[str, Any] = NMS) -> Dict[str, Any]:
    def before_nms(numbers: List[int]) -> List[Rows]:
        assert numbers == [1]  # only images with a difference are asked about
        return [before]

    return compare_boxes([[], trained], [[], other], nms, before_nms)


@pytest.mark.parametrize(
    ("other", "alone", "pixels"),
    [
        ([BOX], 0, 0.0),
        ([[0, 0.9, 10.0, 20.0, 30.0, 40.005]], 0, 0.005),
        ([[1, 0.9, 10.0, 20.0, 30.0, 40.0]], 2, 0.0),
        ([BOX, [0, 0.6, 90.0, 90.0, 99.0, 99.0]], 1, 0.0),
        ([BOX, [0, 0.2, 90.0, 90.0, 99.0, 99.0]], 0, 0.0),
        # Just under the score on one side: its fellow is found among all boxes.
        ([[0, 0.29, 10.0, 20.0, 30.0, 40.0]], 0, 0.0),
        ([], 1, 0.0),
    ],
)
def test_boxes_are_compared_with_their_fellows(
    other: List[List[float]], alone: int, pixels: float
) -> None:
    found = compared([BOX], other, [BOX])
    assert (found["boxes"], found["alone"], found["ties"]) == (1, alone, 0)
    assert found["largest_px"] == pytest.approx(pixels)


def moved(row: Row, score: float, right: float) -> Row:
    return [row[0], row[1] + score, row[2] + right, row[3], row[4] + right, row[5]]


# Overlaps BOX by 0.6 to a hair, and by more.
EDGE, BESIDE = moved(BOX, -0.1, 5.0), moved(BOX, -0.00001, 3.0)


@pytest.mark.parametrize(
    ("trained", "other", "before", "alone", "ties"),
    [
        # Of two boxes with one score either may take the other away.
        ([BOX], [BESIDE], [BOX, BESIDE], 0, 2),
        # An overlap at the threshold.
        ([BOX, EDGE], [BOX], [BOX, EDGE], 0, 1),
        ([BOX], [BOX, EDGE], [BOX, EDGE], 0, 1),
        # A box that the trained model never had: the export is another model.
        ([BOX], [BESIDE], [BOX], 1, 1),
        ([BOX], [moved(BOX, 0.0, 2.0)], [BOX], 1, 1),
        # A box that suppression had to take away: the export has no suppression.
        ([BOX], [BOX, moved(BOX, -0.2, 2.0)], [BOX, moved(BOX, -0.2, 2.0)], 1, 0),
        # A box that nothing takes away.
        ([BOX, moved(BOX, -0.2, 90.0)], [BOX], [BOX, moved(BOX, -0.2, 90.0)], 1, 0),
        ([BOX], [moved(BOX, -0.3, 3.0)], [BOX, moved(BOX, -0.3, 3.0)], 1, 1),
    ],
)
def test_what_only_rounding_decides_is_a_tie(
    trained: Rows, other: Rows, before: Rows, alone: int, ties: int
) -> None:
    assert overlap(BOX, EDGE) == pytest.approx(0.6, abs=1e-9)
    found = compared(trained, other, before)
    assert (found["alone"], found["ties"]) == (alone, ties)


def test_the_box_that_was_one_too_many_is_a_tie() -> None:
    far = moved(BOX, -0.00001, 90.0)
    low = moved(BOX, -0.01, 90.0)
    found = compared([BOX], [low], [BOX, low], {**NMS, "keep_top_k": 1})
    assert (found["alone"], found["ties"]) == (1, 1)  # BOX has clearly the higher score
    found = compared([moved(BOX, -0.000005, 0)], [far], [far], {**NMS, "keep_top_k": 1})
    assert (found["alone"], found["ties"]) == (0, 2)
    # A model without suppression has no ties.
    assert compared([BOX], [far], [], {})["alone"] == 2


def test_the_bounds_of_an_export() -> None:
    measured = {"alone": 0, "ties": 0, "largest_px": 0.02, "mAP": 0.0}
    assert fault_of(measured, 2000) == ""
    assert fault_of(measured, 640).endswith("up to 0.0200 px apart")
    measured["largest_px"] = 0.0
    assert fault_of({**measured, "mAP": 0.002}, 1) == "its mAP differs by 0.0020"
    assert fault_of({**measured, "mAP": 0.002, "ties": 2}, 1) == ""
    assert fault_of({**measured, "alone": 1}, 1).startswith("1 box has no fellow")
    assert fault_of({**measured, "alone": 2}, 1).startswith("2 boxes have no fellow")
