"""Whatever is broken in a set, it is told: no crash, nothing changed.

Random damage to valid sets; briefly in `make test`, ten minutes in `make test-all`.
"""

from __future__ import annotations

import copy
import io
import json
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from jobgen.check.dataset import check_dataset
from jobgen.check.rules import chosen_rules
from jobgen.datasets.convert import convert
from jobgen.datasets.fix import FIXES
from jobgen.datasets.look import look
from jobgen.datasets.statistics import statistics, suggest_model
from jobgen.errors import DatasetError
from tests.label_sets import LABEL_SETS
from tests.sets import Coco, voc, yolo

pytestmark = pytest.mark.waits

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "1", "x", -1, 0, 1, 2**63, 2**64, -(2**70), 0.5, 1e300, -1e-300),
    *(float("nan"), float("inf"), [], [[]], {}, {"id": 1}, [1, 2, 3], [1, 2, 3, 4], ["1"] * 4),
    *("../x.jpg", "/etc/passwd", "a\\b.jpg", "\ud800", "\0", "船.jpg", "CON", "1" * 5000),
)
ODD_TEXTS = (
    *("nan", "inf", "-1", "1e999", "", " ", "<", "&x;", "\0", "]]>", "<!DOCTYPE a>", "船"),
    *("../../x", "0 0 0 0 0", "9999999999", "0.5 " * 400, "\ufeff", "\r", "-", "1_000", "٣"),
)
Damage = Callable[[random.Random], dict[str, bytes]]


def coco(rng: random.Random) -> dict[str, bytes]:
    """A COCO set with a few values of its JSON replaced, removed or doubled."""
    made = Coco()
    for _ in range(rng.randint(1, 4)):
        _damage_json(rng.choice((made.train, made.val)), rng)
    return made.all_files()


def _damage_json(record: Any, rng: random.Random) -> None:
    place = record
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
            place = inner
            continue
        kind = rng.random()
        if kind < 0.6:
            place[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        elif kind < 0.8 or isinstance(place, dict):
            del place[key]
        else:
            place.append(inner)
        return


def cells(rng: random.Random) -> dict[str, bytes]:
    return _damaged_texts(voc().all_files(), (".xml", ".txt"), rng)


def labels(rng: random.Random) -> dict[str, bytes]:
    return _damaged_texts(yolo().all_files(), (".txt", ".yaml"), rng)


def _damaged_texts(
    files: dict[str, bytes], endings: tuple[str, ...], rng: random.Random
) -> dict[str, bytes]:
    for _ in range(rng.randint(1, 4)):
        name = rng.choice([name for name in files if name.endswith(endings)])
        text = files[name].decode("utf-8", "surrogateescape")
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randint(0, 12))
        middle = rng.choice(ODD_TEXTS) if rng.random() < 0.8 else text[start:end] * 2
        files[name] = (text[:start] + middle + text[end:]).encode("utf-8", "surrogateescape")
    return files


def pictures(rng: random.Random) -> dict[str, bytes]:
    """A set whose images have bytes of their headers changed, or an end cut off."""
    files = Coco().all_files()
    for name in rng.sample([n for n in files if n.endswith(".jpg")], 3):
        raw = bytearray(files[name])
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(min(len(raw), 700))] = rng.randrange(256)
        files[name] = bytes(raw[: rng.choice((len(raw), rng.randrange(len(raw))))])
    return files


def of_a_tool(make: Callable[[], dict[str, bytes]]) -> Damage:
    """Damage to the annotations of a labelling tool's set: odd values in JSON, odd texts."""

    def damaged(rng: random.Random) -> dict[str, bytes]:
        files = make()
        pages = [name for name in files if name.endswith(".json")]
        if pages and rng.random() < 0.5:
            name = rng.choice(pages)
            record = json.loads(files[name])
            for _ in range(rng.randint(1, 4)):
                _damage_json(record, rng)
            files[name] = json.dumps(record).encode("utf-8", "surrogatepass")
            return files
        return _damaged_texts(files, (".json", ".xml", ".txt", ".csv"), rng)

    return damaged


KINDS: dict[str, Damage] = {
    "coco": coco,
    "voc": cells,
    "yolo": labels,
    "images": pictures,
    **{kind: of_a_tool(make) for kind, (make, _, _) in LABEL_SETS.items()},
}


def zipped(files: dict[str, bytes], rng: random.Random, damage: bool) -> bytes:
    buffer = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    raw = bytearray(buffer.getvalue())
    for _ in range(rng.randint(1, 8) if damage else 0):
        # The directory at the end is what a reader believes first.
        start = rng.choice((0, max(0, len(raw) - 2500)))
        raw[rng.randrange(start, len(raw))] = rng.randrange(256)
    return bytes(raw)


def survives(kind: str, number: int, damage: bool, folder: Path) -> None:
    """Everything that reads a set is called; only DatasetError may come of it."""
    rng = random.Random(number)
    path = folder / "set.zip"
    data = zipped(KINDS[kind](rng), rng, damage)
    path.write_bytes(data)
    target = folder / "new.zip"
    try:
        findings = check_dataset([path], chosen_rules(), deep=True)
        json.dumps([(f.text(), f.count) for f in findings]).encode()
        found = look(path)
        for split in found:
            statistics(split)
        suggest_model(found)
        convert(found, target, "coco", FIXES if rng.random() < 0.5 else ())
        look(target)
    except DatasetError:
        target.unlink(missing_ok=True)
    assert path.read_bytes() == data
    assert {p.name for p in folder.iterdir()} <= {"set.zip", "new.zip"}
    target.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0, 2**32), damage=st.booleans())
@settings(max_examples=20)
def test_damage_is_told(
    kind: str, number: int, damage: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    survives(kind, number, damage, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_minutes_of_damage(kind: str, tmp_path: Path) -> None:
    started, number = time.monotonic(), 0

    @given(place=st.integers(0, 2**32), damage=st.booleans())
    @settings(max_examples=200, database=None)
    def part(place: int, damage: bool) -> None:
        survives(kind, place, damage, tmp_path)

    while time.monotonic() - started < 600 / len(KINDS):
        number += 1
        seed(number)(part)()


DEEP = "[" * 1_000_000
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]>'
    b"<annotation><object><name>&y;</name></object></annotation>"
)
OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<annotation><object><name>&x;</name></object></annotation>"
)


def codes_of(path: Path) -> list[str]:
    return [f.code for f in check_dataset([path], chosen_rules())]


@pytest.mark.parametrize(
    "text", [DEEP, '{"images": ' + DEEP, '{"annotations": 1, "images": ' + "{" * 3, "\0", "1"]
)
def test_json_that_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(text, encoding="utf-8")
    assert codes_of(path) in (["DS010"], ["DS095"])


@pytest.mark.parametrize("page", [BOMB, OUTSIDE, b"<a>" * 200_000 + b"</a>" * 200_000])
def test_xml_that_reaches_out_is_refused(page: bytes, tmp_path: Path) -> None:
    files = voc().all_files()
    files["cells/Annotations/0001.xml"] = page
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    found = [f for f in check_dataset([path], chosen_rules()) if f.severity.value == "error"]
    assert [f.code for f in found] in (["DS010"], ["DS012"])
    assert "root:" not in "".join(f.text() for f in found)


def test_ten_gigabytes_declared_in_a_small_zip(tmp_path: Path) -> None:
    """A zip of a megabyte whose annotation file says that it holds 10 GB."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/train.json", b"\0" * 1_000_000)
    raw = path.read_bytes()
    size = (1_000_000).to_bytes(4, "little")
    path.write_bytes(raw.replace(size, (4 * 10**9).to_bytes(4, "little")))
    (finding,) = check_dataset([path], chosen_rules(["DS010"]))
    assert "holds 3.7 GB; jobgen reads files of up to 2 GB at once" in finding.text()
