"""Weights files of strangers: what is read of them, and that nothing of them runs."""

import collections
import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

np = pytest.importorskip("numpy")

from jobgen_runtime.train import weightsfile  # noqa: E402
from jobgen_runtime.train.weightsfile import (  # noqa: E402
    TORN,
    WeightsFault,
    read_weights,
    rewrite_weights,
    weights_fault,
)

MARK = "JOBGEN_TEST_RAN"
RUN = "__import__('os').environ.__setitem__(%r, 'yes')" % MARK


class Calls:
    """A pickle of it calls what it is given."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.row = (function, arguments)

    def __reduce__(self) -> Any:
        return self.row


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def hidden_in_a_frame() -> bytes:
    """A frame, longer than a file's buffer, that ends inside the line of `g10`: the unpickler of C
    drops what is left of the frame and reads `g0` (eval); a scan of opcodes reads `g10` (object)."""
    far = 300000
    junk = b"B" + struct.pack("<I", far) + b"\0" * far
    rows = [b"\x80\x04}", text("w"), b"(", text("eval"), b"q\x00", text("builtins"), b"q\x02"]
    rows += [text("object"), b"q\x0a\x95", struct.pack("<Q", len(junk) + 4), junk, b"h\x02g10"]
    rows += [b" " * far, b"\n\x93", text(RUN), b"\x85Rts."]
    return b"".join(rows)


HIDDEN_BY_POP = (
    b"\x80\x04\x8c\x08builtins\x8c\x04eval\x8c\x05numpy\x8c\x05dtype00\x93" + text(RUN) + b"\x85R."
)
HIDDEN_BY_MEMO = (
    b"\x80\x04\x8c\x08builtins\x94\x8c\x04eval\x94\x8c\x05numpy\x8c\x05dtypeh\x00h\x01\x93"
    + text(RUN)
    + b"\x85R."
)
INST = b"\x80\x02(" + text(RUN) + b"ibuiltins\neval\n."
OBJ = b"\x80\x02(cbuiltins\neval\n" + text(RUN) + b"o."
NEWOBJ = b"\x80\x02cbuiltins\neval\n" + text(RUN) + b"\x85\x81."
DOTTED = b"\x80\x04\x8c\x05numpy\x8c\x0fcore.os.putenv_\x93."
# What the reader itself defines must not be changed by what it reads.
STATE = b"\x80\x04cnumpy\ndtype\n}" + text("size") + b"K\x01sb."
ON_A_CLASS = b"\x80\x04cnumpy\nndarray\nN}" + text("restore") + b"K\x01s\x86b."


@pytest.mark.parametrize(
    "data",
    [
        *(pickle.dumps(Calls(eval, RUN), protocol) for protocol in (2, 3, 4)),
        pickle.dumps({"w": Calls(exec, RUN)}, 4),
        pickle.dumps({"w": Calls(os.putenv, MARK, "yes")}, 4),
        hidden_in_a_frame(),
        *(HIDDEN_BY_POP, HIDDEN_BY_MEMO, INST, OBJ, NEWOBJ, DOTTED, STATE, ON_A_CLASS),
    ],
)
def test_nothing_in_a_pickle_runs(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(data)
    os.environ.pop(MARK, None)
    with pytest.raises(WeightsFault) as caught:
        rewrite_weights(str(path), str(tmp_path / "goal"))
    assert MARK not in os.environ
    assert caught.value.why.startswith(("it would ", "it uses the pickle code "))
    assert not (tmp_path / "goal").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_was_read_is_written_anew(tmp_path: Path, protocol: int) -> None:
    values: Dict[str, Any] = collections.OrderedDict(
        kernel=np.arange(24, dtype="<f4").reshape(2, 3, 4),
        fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        big=np.arange(3, dtype=">i4"),
        flags=np.array([True, False]),
        half=np.array([1.5], dtype="f2"),
        none=np.zeros((0, 3), "f4"),
        scalar=np.float64(0.25),
        point=np.array(4, "i8"),
        LR_Scheduler={"last_epoch": 7, "last_lr": 0.01, "milestones": [1, 2], "verbose": False},
        names={"StructuredToParameterName@@": {"a.b": "conv2d_0.w_0"}},
    )
    source, goal = tmp_path / "source", tmp_path / "goal"
    source.write_bytes(pickle.dumps(values, protocol))
    rewrite_weights(str(source), str(goal))
    found = pickle.loads(goal.read_bytes())
    assert list(found) == list(values)
    for name, value in values.items():
        assert type(found[name]) is (dict if isinstance(value, dict) else type(value))
        if isinstance(value, np.ndarray):
            # numpy turns the other byte order around when it unpickles.
            assert found[name].dtype == value.dtype.newbyteorder("=")
            assert found[name].shape == value.shape
            assert found[name].tolist() == value.tolist()
        else:
            assert found[name] == value


def test_a_tensor_as_paddle_saves_it(tmp_path: Path) -> None:
    """paddle.save of an object gives `tuple((name, array))` for each tensor in it."""
    source = tmp_path / "source"
    tensor = Calls(tuple, ("linear_0.w_0", np.ones(3, "f4")))
    source.write_bytes(pickle.dumps({"w": tensor}, 4))
    name, array = read_weights(str(source))["w"]
    assert (name, array.tolist()) == ("linear_0.w_0", [1.0, 1.0, 1.0])


def test_weights_of_python_2(tmp_path: Path) -> None:
    """Their bytes are texts, and so is the kind of number."""
    path = tmp_path / "w"
    state = b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    path.write_bytes(b"\x80\x02}U\x01w" + array + state + b"\x89U\x08\0\0\x80?\0\0\0@tbs.")
    assert read_weights(str(path))["w"].tolist() == [1.0, 2.0]


GOOD = pickle.dumps({"a": np.ones(400, "f4"), "b": {"c": 1}}, 4)


@pytest.mark.parametrize("data", [b"", GOOD[:-1], GOOD[:900], GOOD[:1], b"<html>not found</html>"])
def test_a_torn_file_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(data)
    assert weights_fault(str(path)) == TORN
    assert weights_fault(str(tmp_path / "none")) == TORN


def array_bytes(kind: bytes, state: bytes) -> bytes:
    """A pickle of one array: the dtype's name, and the state that it gets."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    dtype = b"cnumpy\ndtype\n" + kind + b"K\x00K\x01\x87R"
    return b"\x80\x04}\x8c\x01w" + made + b"(K\x01" + state.replace(b"DTYPE", dtype) + b"tbs."


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (array_bytes(b"\x8c\x02O8", b"K\x02\x85DTYPE\x89C\x10" + b"\1" * 16), "no number"),
        (array_bytes(b"\x8c\x02V8", b"K\x02\x85DTYPE\x89C\x10" + b"\1" * 16), "no number"),
        (array_bytes(b"\x8c\x02f4", b"K\x03\x85DTYPE\x89C\x08" + b"\1" * 8), TORN),
        (array_bytes(b"\x8c\x02f4", b"J\xff\xff\xff\xff\x85DTYPE\x89C\x00"), TORN),
        (array_bytes(b"\x8c\x02f4", b"K\x02\x85K\x01\x89C\x08" + b"\1" * 8), "no number"),
        (b"\x80\x04\x8c\x01w.", "it is a str"),
        (b"\x80\x04]\x94h\x00a.", "more than weights can need"),
        (b"\x80\x04}(K\x01K\x02\x86N" + b"u.", "a key is no text"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    """Forged kinds and lengths would be addresses in numpy's own reader."""
    path = tmp_path / "w"
    path.write_bytes(data)
    assert why in str(weights_fault(str(path)))


def doubling(open_: bytes, join: bytes, times: int = 60) -> bytes:
    """A thing that holds the one before it twice, again and again."""
    rows: List[bytes] = [b"\x80\x04}\x8c\x01w", open_, b"q\x00"]
    for number in range(times):
        rows.append(b"h%c%sq%c" % (number, join.replace(b"?", bytes((number,))), number + 1))
    return b"".join(rows) + b"s."


@pytest.mark.parametrize(
    "data",
    [
        doubling(b")", b"h?\x86"),
        doubling(b")", b"h?\x86").replace(b"}\x8c\x01w", b"}")[:-2] + b"Ns.",
        b"\x80\x04" + b"]" * 6000000 + b".",
        b"\x80\x04" + b"".join(b"]r%s" % struct.pack("<I", 2**31 - 1 - n) for n in range(9)) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        b"\x80\x04\x8a\xff" + b"\x7f" * 255 + b".",
        b"\x80\x02]q\x00X\x00\x00\x10\x00"
        + b"a" * 2**20
        + b"q\x010("
        + b"c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R" * 4000
        + b"t.",
    ],
)
@pytest.mark.waits
def test_a_bomb_ends_soon(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(data)
    started = time.process_time()
    assert weights_fault(str(path)) is not None
    assert time.process_time() - started < 10


def test_an_enormous_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    with path.open("wb") as stream:
        stream.truncate(weightsfile.LARGEST_WEIGHTS + 1)
    assert "more than any weights" in str(weights_fault(str(path)))
