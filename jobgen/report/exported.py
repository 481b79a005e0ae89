"""Letting an exported model of somebody's look at a picture: only what computes and nothing else.

A program of Paddle may hold operators that write files wherever they like. So its operators are
read off first, by their names, and the process that runs it can write nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from jobgen.catalog import computing_operators, environments
from jobgen.errors import RunError
from jobgen.job.carrier import runtime_text
from jobgen.machine.environment import environment_folder
from jobgen.machine.locks import MARK
from jobgen.text import PIPED

PROGRAM_FILES = ("model.pdmodel", "model.json")
LARGEST_PROGRAM = 64 * 2**20
RUN_TIMEOUT = 300
# framework.proto: ProgramDesc.blocks, BlockDesc.ops, OpDesc.type
BLOCKS, OPS, TYPE = 1, 4, 3
LENGTH_DELIMITED = 2
# Bytes of the wire types that are passed over; 0 is a varint.
FIXED = {1: 8, 5: 4}


def exported(folder: Path) -> bool:
    return (folder / "inference" / "infer_cfg.yml").is_file()


def refused_operators(folder: Path) -> list[str]:
    """The operators of an exported program (in `folder`, model.pdmodel or model.json) that do more
    than compute. Raises ValueError where it can't be read."""
    found: set[str] = set()
    for name in PROGRAM_FILES:
        path = folder / name
        if path.is_file():
            if path.stat().st_size > LARGEST_PROGRAM:
                raise ValueError(f"{name} has {path.stat().st_size:,} bytes")
            data = path.read_bytes()
            found |= set(_of_json(data) if name.endswith(".json") else _of_protobuf(data))
    return sorted(found - computing_operators())


def _of_protobuf(data: bytes) -> Iterator[str]:
    """Of every place that may be an operator's type; of a field that is there twice both."""
    for block in _fields(data, BLOCKS):
        for operator in _fields(block, OPS):
            names = list(_fields(operator, TYPE))
            if not names:
                raise ValueError("an operator has no type")
            yield from (name.decode() for name in names)


def _fields(data: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of one field of a message. Raises ValueError where it is none."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            _, place = _varint(data, place)
            continue
        length = FIXED.get(kind)
        if kind == LENGTH_DELIMITED:
            length, place = _varint(data, place)
        if length is None or place + length > len(data):
            raise ValueError("it is no program of Paddle")
        if number == wanted:
            if kind != LENGTH_DELIMITED:
                raise ValueError("it is no program of Paddle")
            yield data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("it is no program of Paddle")


def _of_json(data: bytes) -> Iterator[str]:
    """The new format: every object below a list `ops`, named by `#`, its dialect in front."""
    try:
        program = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(program, dict) or "program" not in program:
        raise ValueError("it is no program of Paddle")
    left: list[Any] = [program]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for row in value.get("ops") or ():
                if not isinstance(row, dict) or not isinstance(row.get("#"), str):
                    raise ValueError("an operator has no name")
                yield row["#"].rpartition(".")[2]
            left += value.values()
        elif isinstance(value, list):
            left += value


def run_exported(folder: Path, result: dict[str, Any], cache: Path) -> str | None:
    """Let the exported model look at a picture, in the managed environment: why it can't, or
    None. Raises RunError where there is no such environment yet, or the program does more than
    compute."""
    name = (result.get("job") or {}).get("environment") or "paddle2.6_py3.10"
    environment = environments().get(name)
    if environment is None or environment.local is None:
        raise RunError(f"no environment like {name} can be made here")
    place = environment_folder(environment, cache)[0]
    if not (place / MARK).is_file():
        raise RunError(
            f"the environment for {name} is not made yet", "jobgen mirror add JOB makes it."
        )
    try:
        strange = refused_operators(folder / "inference")
    except ValueError as error:
        return f"the exported program can't be read: {error}"
    if strange:
        raise RunError(f"its program has operators that do more than compute: {', '.join(strange)}")
    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        script, picture = Path(spare) / "detect.py", Path(spare) / "grey.png"
        # jobgen's own text: the one that came with the download is not run.
        script.write_text(runtime_text("programs/detect.py", {}), encoding="utf-8")
        Image.new("RGB", (320, 240), "grey").save(picture)
        argv = [place / "bin" / "python", script, (folder / "inference").resolve(), picture]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": spare, "PYTHONUTF8": "1"}
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            answer = subprocess.run(
                argv, env=env, **PIPED, timeout=RUN_TIMEOUT, check=False,
                cwd=spare, preexec_fn=_write_nothing,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"the exported model gave no answer within {RUN_TIMEOUT} s"
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or not lines or "boxes" not in lines[-1]:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return f"the exported model does not run: {said[-1] if said else 'it said nothing'}"
    return None


def _write_nothing() -> None:
    """In the child: no file of it grows by a byte."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
