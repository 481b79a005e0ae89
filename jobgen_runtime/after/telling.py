"""Which images of an evaluation say most of a model: where it is right, and where it is wrong."""

import csv
import os
from typing import Any, Dict, List, Tuple

# An image a row: its name, and the boxes that were right, missed, and found where there are none.
COLUMNS = ("image", "right", "missed", "false")
NAME = "images.csv"


def write_rows(folder: str, rows: List[List[Any]]) -> None:
    # With a mark, by which Excel knows it for UTF-8.
    with open(os.path.join(folder, NAME), "w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])


def telling_images(folder: str, count: int) -> List[Tuple[str, str]]:
    """About `count` images of the evaluation as (kind, name), each once, by turns: the worst, those
    with most boxes missed, with most false finds, and the best. Empty where the stage evaluate left
    no rows."""
    path = os.path.join(folder, NAME)
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8-sig", newline="") as stream:
        rows: List[Any] = [[row[0], *map(int, row[1:])] for row in list(csv.reader(stream))[1:]]
    # The kinds are those of record/page_words.py.
    orders = {
        "worst": sorted((r for r in rows if r[2] + r[3]), key=lambda r: r[1] - r[2] - r[3]),
        "missed": sorted((r for r in rows if r[2]), key=lambda r: -r[2]),
        "false": sorted((r for r in rows if r[3]), key=lambda r: -r[3]),
        "best": sorted((r for r in rows if r[1]), key=lambda r: (r[2] + r[3], -r[1])),
    }
    chosen: Dict[str, str] = {}
    while len(chosen) < count and any(orders.values()):
        for kind, order in orders.items():
            while order and order[0][0] in chosen:
                order.pop(0)
            if order and len(chosen) < count:
                chosen[order.pop(0)[0]] = kind
    return [(kind, name) for kind in orders for name in chosen if chosen[name] == kind]
