"""Random damage, by structure, at every door that foreign data comes in by: only an error in
words may come of it, and soon. Briefly in `make test`, ten minutes in `make test-all`.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pickle
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from jobgen.check.job import check_job
from jobgen.check.rules import chosen_rules
from jobgen.errors import JobgenError
from jobgen.packs.disk import read_layer
from jobgen.ppconfig import resolve
from jobgen.report.exported import refused_operators
from jobgen.report.promise import broken_promises
from jobgen.report.read import read_records
from jobgen.run.output import open_output
from jobgen.spec import spec_from_text
from jobgen.yamlio import YamlError, load
from jobgen_runtime.after.trained import claimed_map50
from jobgen_runtime.data.archives import unpack
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.train.weightsfile import WeightsFault, rewrite_weights
from tests.conftest import JOB, ROOT
from tests.test_exported import program
from tests.test_fuzz import ODD_VALUES, _damage_json

SECONDS = 20
ODD_YAML = (
    *("!!bool maybe", '!!int ""', "!!timestamp x", "&a [*a]", "*b", "<<: *a", "? [1]", "- - -"),
    *(
        "!!python/name:os.system",
        "\t",
        "%TAG ! x",
        "'",
        '"\\x',
        "|2",
        ">",
        "{",
        "]",
        "\0",
        "\ud800",
    ),
    *("9" * 500, "1:60:60", "2001-13-45", ".nan", "0x", "~", "：", "，", "&" * 99, "[" * 99),
)
WORDS = b"".join(
    path.read_bytes() for path in sorted((ROOT / "templates" / "sar" / "words").glob("*.yml"))
)


def damaged_text(text: str, odd: tuple[str, ...], rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randint(0, 12))
        text = text[:start] + rng.choice(odd) + text[end:]
    return text


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    raw = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(raw))
        kind = rng.random()
        if kind < 0.6:
            raw[place] = rng.randrange(256)
        elif kind < 0.8:
            del raw[place : place + rng.randint(1, 40)]
        else:
            raw[place:place] = raw[place : place + rng.randint(1, 40)]
        if not raw:
            break
    return bytes(raw)


def job_yaml(rng: random.Random, folder: Path) -> None:
    spec_from_text(damaged_text(JOB, ODD_YAML, rng))


def model_yaml(rng: random.Random, folder: Path) -> None:
    upload = ROOT / "bundles" / "ssdd" / "upload"
    text = (upload / "picodet_l_640_ssdd_lcnet.yml").read_text("utf-8")
    path = folder / "m.yml"
    path.write_bytes(damaged_text(text, ODD_YAML, rng).encode("utf-8", "surrogatepass"))
    resolve(path)


def any_yaml(rng: random.Random, folder: Path) -> None:
    record: Any = {"a": [1, {"b": "x"}], "c": {"d": None, "e": [True, 1.5]}, "names": ["x", "y"]}
    record = copy.deepcopy(record)
    _damage_json(record, rng)
    try:
        text = yaml.safe_dump(record, allow_unicode=True)
    except (UnicodeError, yaml.YAMLError, RecursionError):
        return
    try:
        load(damaged_text(text, ODD_YAML, rng), "x", rng.choice(("yaml11", "yaml12")), lenient=True)
    except YamlError:
        return


def notebook(rng: random.Random, folder: Path) -> None:
    record = json.loads((ROOT / "bundles" / "ssdd" / "upload" / "main.ipynb").read_bytes())
    record["cells"] = record["cells"][:4] + record["cells"][-3:]
    for _ in range(rng.randint(1, 3)):
        _damage_json(record, rng)
    (folder / "main.ipynb").write_bytes(json.dumps(record).encode("utf-8", "surrogatepass"))
    (folder / "coco_detection_x.yml").write_text("metric: COCO\n")
    check_job(folder, chosen_rules())


def result_json(rng: random.Random, folder: Path) -> None:
    record: dict[str, Any] = {
        "schema": 1, "status": rng.choice(["ok", "failed", "running"]), "name": "ships",
        "started": "2026-01-01T00:00:00Z", "ended": None, "seconds": 1.5, "language": "zh",
        "process": {"pid": 1, "boot": "x", "started": 5}, "adjustments": [], "attempts": [],
        "stages": [{"name": "train", "status": "ok", "seconds": 1.0, "text": "x"}],
        "metrics": {"best": {"mAP50": 0.5, "mAP": 0.2, "epoch": 3}, "loss": {"first": 3, "last": 1},
                    "evaluation": {"mAP50": 0.4, "images": 4}, "per_class": [{"class": "x", "AP": 1}]},
        "artefacts": [{"path": "weights/best_model.pdparams", "bytes": 5, "sha256": "0"}],
        "failure": {"stage": "train", "message": "x", "remedy": "y", "log": None, "tail": ["z"]},
        "job": {"name": "ships", "stages": ["evaluate"], "environment": "paddle2.6_py3.10"},
        "notes": [{"stage": "train", "text": "n"}], "machine": {"cpus": 2}, "plan": {"epochs": 3},
    }  # fmt: skip
    for _ in range(rng.randint(1, 3)):
        _damage_json(record, rng)
    place = folder / "weights"
    place.mkdir(exist_ok=True)
    (folder / "result.json").write_bytes(json.dumps(record).encode("utf-8", "surrogatepass"))
    claimed_map50(str(place / "best_model.pdparams"))
    spare = folder / "spare"
    for run in read_records(folder, spare):
        broken_promises(Path(run.folder), run.result)
    open_output(folder, spare)


def tar(rng: random.Random, folder: Path) -> None:
    buffer = io.BytesIO()
    kind = rng.choice(("w", "w:gz", "w:bz2", "w:xz"))
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode=kind, format=form) as archive:  # type: ignore[call-overload]
        for name in ("s/a.txt", "s/" + "b" * 150 + "/c.txt", "s/船.txt"):
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(b"x" * 700))
    path = folder / "a.tar"
    path.write_bytes(damaged_bytes(buffer.getvalue(), rng))
    unpack(str(path), str(folder / "t"), str(folder / "mark.json"))


def marker(rng: random.Random, folder: Path) -> None:
    keep = folder / "keep.txt"
    keep.write_text("x")
    (folder / "t").mkdir(exist_ok=True)
    record = {"fingerprint": "x", "names": ["a.txt", "../keep.txt", rng.choice(ODD_VALUES)]}
    _damage_json(record, rng)
    (folder / "mark.json").write_bytes(json.dumps(record).encode("utf-8", "surrogatepass"))
    path = folder / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("b.txt"))
    unpack(str(path), str(folder / "t"), str(folder / "mark.json"))
    assert keep.read_text() == "x"


def weights(rng: random.Random, folder: Path) -> None:
    values = {"a.w": np.ones((2, 3), "f4"), "b": {"c": 1, "d": [1.5, "x"]}, "e": np.float32(2)}
    path = folder / "w.pdparams"
    path.write_bytes(damaged_bytes(pickle.dumps(values, rng.choice((2, 3, 4))), rng))
    try:
        rewrite_weights(str(path), str(folder / "goal"))
    except WeightsFault:
        assert not (folder / "goal").exists()


def exported(rng: random.Random, folder: Path) -> None:
    data = damaged_bytes(program("feed", "conv2d", "relu", "fetch"), rng)
    (folder / "model.pdmodel").write_bytes(data)
    try:
        refused_operators(folder)
    except ValueError:
        return


def pack(rng: random.Random, folder: Path) -> None:
    text = (ROOT / "templates" / "sar" / "template.yaml").read_text("utf-8")
    (folder / "template.yaml").write_bytes(
        damaged_text(text, ODD_YAML, rng).encode("utf-8", "surrogatepass")
    )
    (folder / "words").mkdir(exist_ok=True)
    (folder / "words" / "en.yml").write_bytes(damaged_bytes(WORDS, rng))
    read_layer(folder)


DOORS: dict[str, Callable[[random.Random, Path], None]] = {
    "job.yaml": job_yaml, "model YAML": model_yaml, "YAML": any_yaml, "notebook": notebook,
    "result.json": result_json, "tar": tar, "marker": marker, "weights": weights,
    "exported": exported, "pack": pack,
}  # fmt: skip


def enters(name: str, number: int, folder: Path) -> None:
    started = time.monotonic()
    with contextlib.suppress(JobgenError, StageError):
        DOORS[name](random.Random(number), folder)
    assert time.monotonic() - started < SECONDS, (name, number)


@pytest.mark.parametrize("name", DOORS)
@given(number=st.integers(0, 2**32))
@settings(max_examples=25)
def test_a_door(name: str, number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    enters(name, number, tmp_path_factory.mktemp("door"))


@pytest.mark.slow
@pytest.mark.parametrize("name", DOORS)
def test_ten_minutes_at_the_doors(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    started, number = time.monotonic(), 0

    @given(place=st.integers(0, 2**32))
    @settings(max_examples=100, database=None)
    def part(place: int) -> None:
        enters(name, place, tmp_path_factory.mktemp("door"))

    while time.monotonic() - started < 600 / len(DOORS):
        number += 1
        seed(number)(part)()
