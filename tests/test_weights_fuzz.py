"""No pickle, however it is put together, makes the reader of weights do anything but refuse."""

from __future__ import annotations

import pickle
import pickletools
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgen_runtime.train.weightsfile import WeightsFault, read_weights, rewrite_weights

CODES = [code.code.encode("latin1") for code in pickletools.opcodes]
NAMES = ["builtins eval", "os system", "numpy ndarray", "numpy dtype", "collections OrderedDict",
         "numpy.core.multiarray _reconstruct", "numpy.core.multiarray scalar", "_codecs encode",
         "builtins tuple", "numpy.core.numeric _frombuffer", "builtins bytes"]  # fmt: skip


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


pieces = st.one_of(
    st.sampled_from(CODES),
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
    st.sampled_from(NAMES).map(lambda name: b"".join(map(_text, name.split())) + b"\x93"),
    st.sampled_from(["f4", "O8", "i8", "<", "latin1", "w", "__class__", "restore"]).map(_text),
    st.integers(0, 255).map(lambda n: b"K" + bytes((n,))),
    st.integers(0, 8).map(lambda n: b"q" + bytes((n,))),
    st.integers(0, 8).map(lambda n: b"h" + bytes((n,))),
    st.binary(max_size=12).map(lambda data: b"C" + bytes((len(data),)) + data),
    st.sampled_from([b"}", b")", b"]", b"(", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b", b"s"]),
)


@given(st.lists(pieces, max_size=60))
def test_any_sequence_of_codes(rows: list[bytes]) -> None:
    _only_refused(b"\x80\x04" + b"".join(rows) + b".")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=5), st.integers(2, 5))
def test_plain_values_come_back(table: dict[str, object], protocol: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, goal = Path(folder, "source"), Path(folder, "goal")
        source.write_bytes(pickle.dumps(table, protocol))
        names = [name for _, name in _keys(table)]
        if not all(name.isprintable() for name in names):
            with pytest.raises(WeightsFault, match="control characters"):
                read_weights(str(source))
            return
        rewrite_weights(str(source), str(goal))
        assert pickle.loads(goal.read_bytes()) == table


@given(st.data())
def test_a_changed_byte(data: st.DataObject) -> None:
    good = bytearray(pickle.dumps({"a": [1.5, 2], "b": {"c": b"\0" * 40}, "d": (1, "x")}, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    _only_refused(bytes(good))


def _keys(value: object) -> Iterator[tuple[object, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield inner, key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _only_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.pdparams")
        path.write_bytes(data)
        try:
            found = read_weights(str(path))
        except WeightsFault:
            return
        # Taken: then pickling what was read can name nothing but numpy's own arrays.
        for code, argument, _ in pickletools.genops(pickle.dumps(found, 4)):
            if code.name in ("GLOBAL", "STACK_GLOBAL", "INST"):
                assert argument is None or "numpy" in str(argument)
