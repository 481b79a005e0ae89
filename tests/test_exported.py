"""An exported model of somebody's: what its program may do, read off without running it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobgen.report.exported import refused_operators


def field(number: int, data: bytes) -> bytes:
    length, size = len(data), b""
    while length > 127:
        size, length = size + bytes((length & 127 | 128,)), length >> 7
    return bytes((number << 3 | 2,)) + size + bytes((length,)) + data


def program(*types: str, extra: bytes = b"") -> bytes:
    """A ProgramDesc whose only block has operators of these types, and attributes beside."""
    operators = b"".join(
        field(4, field(1, b"x" * 200) + field(3, name.encode()) + extra) for name in types
    )
    return field(1, b"\x08\x00\x10\x01" + field(3, b"var") + operators) + field(4, b"\x08\x00")


def refused(folder: Path, data: bytes, name: str = "model.pdmodel") -> list[str]:
    (folder / name).write_bytes(data)
    return refused_operators(folder)


def test_operators_that_compute_pass(tmp_path: Path) -> None:
    names = ("feed", "conv2d", "batch_norm", "multiclass_nms3", "fetch")
    assert refused(tmp_path, program(*names)) == []


@pytest.mark.parametrize(
    "name", ["save", "save_combine", "load", "py_func", "print", "run_program", "send_v2", "x"]
)
def test_an_operator_that_does_more_is_named(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, program("conv2d", name)) == [name]
    rows = [{"#": "1.conv2d"}, {"#": f"1.{name}"}]
    text = {"program": {"regions": [{"blocks": [{"ops": rows}]}]}}
    (tmp_path / "model.pdmodel").unlink()
    assert refused(tmp_path, json.dumps(text).encode(), "model.json") == [name]


def test_what_stands_twice_counts_twice(tmp_path: Path) -> None:
    """Of a field that is there twice protobuf takes the last, and merges blocks."""
    twice = program("conv2d", extra=field(3, b"save"))
    assert refused(tmp_path, twice) == ["save"]
    assert refused(tmp_path, program("conv2d") + program("save")) == ["save"]


def test_an_operator_in_an_inner_block_is_found(tmp_path: Path) -> None:
    inner = {"#": "1.add", "regions": [{"blocks": [{"ops": [{"#": "1.save"}]}]}]}
    text = {"program": {"regions": [{"blocks": [{"ops": [inner]}]}]}}
    assert refused(tmp_path, json.dumps(text).encode(), "model.json") == ["save"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.pdmodel", b"\xff" * 40),
        ("model.pdmodel", b"\x0a\x7f"),
        ("model.pdmodel", b"\x08\x01\x0b"),
        ("model.pdmodel", field(1, field(4, field(1, b"no type")))),
        ("model.pdmodel", field(1, field(4, field(3, b"\xff\xfe")))),
        ("model.json", b"[]"),
        ("model.json", b"{"),
        ("model.json", b'{"program": {"ops": [3]}}'),
        ("model.json", b'{"program": {"ops": [{"#": 3}]}}'),
        ("model.json", b"[" * 200000),
    ],
)
def test_what_is_no_program_is_told(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match="program|nested|operator|utf-8|Expecting|expecting"):
        refused_operators(tmp_path)
