"""Weights files of others: read without running anything, and written anew for Paddle to open.

A `.pdparams` is a pickle, and a pickle says by itself what is called while it is opened. So none
from outside is opened: it is read here by a reader that knows no class and no function but its
own, which can make plain values and numeric arrays only, and Paddle gets what was read.
"""

import collections
import io
import os
import pickle
import struct
from typing import Any, Callable, Dict, List, Optional, Tuple

# PP-YOLOE+ X, the largest of the suites' detectors, has 0.4 GB; its optimizer twice that.
LARGEST_WEIGHTS = 2 * 2**30
# A network has some thousand arrays; what holds more values than this is no weights file.
MOST_VALUES = 1000000
MOST_CODES = 5000000
DEEPEST = 20
# What numpy.dtype calls them: booleans, whole numbers, floating and complex ones, by bytes.
NUMBER_KINDS = frozenset(
    ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
)
TORN = "torn"


class WeightsFault(ValueError):
    """A file can't be taken for weights: `why` is TORN, or what it would have done."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _NumberKind:
    """Stands for numpy.dtype: a name of NUMBER_KINDS and a byte order."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        name = name.decode("latin1") if isinstance(name, bytes) else name
        if type(name) is not str or name.lstrip("<>|=") not in NUMBER_KINDS:
            raise WeightsFault("it has an array of something that is no number")
        self.name = name if name[0] in "<>|=" else "<" + name

    @property
    def size(self) -> int:
        return int(self.name[2:])

    def restore(self, state: Any) -> None:
        """`state` as numpy.dtype pickles it: version, byte order, and nothing of structures."""
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "=") or any(part for part in state[2:5]):
            raise WeightsFault("it has an array of structures")
        self.name = order + self.name[1:]


class _Array:
    """Stands for numpy.ndarray until its state comes."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def restore(self, state: Any) -> None:
        """`state` as numpy.ndarray pickles it: version, shape, dtype, Fortran order, bytes."""
        shape, kind, fortran, data = state[-4:]
        self.value = _numbers(data, kind, shape, bool(fortran))


def _numbers(data: Any, kind: Any, shape: Any, fortran: bool) -> Any:
    """A numeric array over `data`, which must be just as long as `shape` and `kind` say."""
    import numpy

    if isinstance(data, str):  # of Python 2
        data = data.encode("latin1")
    if type(kind) is not _NumberKind or type(data) is not bytes or type(shape) is not tuple:
        raise WeightsFault("it has an array of something that is no number")
    count = 1
    for side in shape:
        if type(side) is not int or side < 0:
            raise WeightsFault(TORN)
        count *= side
    if len(data) != count * kind.size:
        raise WeightsFault(TORN)
    flat = numpy.frombuffer(data, kind.name) if count else numpy.zeros(0, kind.name)
    return flat.reshape(shape, order="F" if fortran else "C")


class _Reader(pickle._Unpickler):
    """The pickle machine with the codes of data only. Whatever it calls is defined here."""

    stack: List[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], List[Any]]

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.dispatch = _Codes()  # type: ignore[assignment, misc]
        # What is made of the file's bytes may be used again and again; all of it counts.
        self.left = 2 * len(data) + (1 << 16)
        self.known: Dict[Tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): self._ordered,
            ("_codecs", "encode"): self._encode,
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _NumberKind,
        }
        for builtins in ("builtins", "__builtin__"):
            self.known[builtins, "tuple"] = self._tuple
            self.known[builtins, "bytes"] = bytes  # none at all, in protocol 2
        for core in ("numpy.core", "numpy._core"):
            self.known[core + ".multiarray", "_reconstruct"] = _Array
            self.known[core + ".multiarray", "scalar"] = self._scalar
            self.known[core + ".numeric", "_frombuffer"] = self._from_buffer
        self.callables = list(self.known.values())

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise WeightsFault("it would import %.60s.%.60s" % (module, name))
        return self.known[module, name]

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise WeightsFault("it makes more than the file holds")

    def _ordered(self, pairs: Any = ()) -> Dict[str, Any]:
        self.spend(len(pairs))
        found: Dict[str, Any] = collections.OrderedDict()
        for key, value in pairs:
            found[_key(key)] = value
        return found

    def _tuple(self, items: Any = ()) -> Tuple[Any, ...]:
        self.spend(len(items))
        return tuple(items)

    def _encode(self, text: Any, *_: Any) -> bytes:
        self.spend(len(text))
        found: bytes = text.encode("latin1")
        return found

    def _scalar(self, kind: Any, data: Any) -> Any:
        return _numbers(data, kind, (), fortran=False)[()]

    def _from_buffer(self, data: Any, kind: Any, shape: Any, order: Any) -> Any:
        found = _Array()
        self.spend(len(data))
        found.value = _numbers(data, kind, shape, fortran=order == "F")
        return found

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        empty = function is not bytes or arguments == ()
        if function not in self.callables or type(arguments) is not tuple or not empty:
            raise WeightsFault("it would call something")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) not in (_Array, _NumberKind) or type(state) is not tuple:
            raise WeightsFault("it would change an object")
        if type(made) is _Array and type(state[-1]) in (bytes, str):
            self.spend(len(state[-1]))
        made.restore(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: List[Any]) -> None:
        goal = self.stack[-1]
        if not isinstance(goal, dict):
            raise WeightsFault("it would change an object")
        for key, value in zip(items[::2], items[1::2]):
            goal[_key(key)] = value

    def load_binbytes8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))


# 0x96 is BYTEARRAY8, which protocol 5 has for the bytes of an array.
CODES: Dict[int, Callable[[Any], None]] = {
    0x96: _Reader.load_binbytes8,
    pickle.REDUCE[0]: _Reader.load_reduce,
    pickle.BUILD[0]: _Reader.load_build,
    pickle.SETITEM[0]: _Reader.load_setitem,
    pickle.SETITEMS[0]: _Reader.load_setitems,
}
CODES.update(
    (code[0], pickle._Unpickler.dispatch[code[0]])
    for code in (
        *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK),
        *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
        *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT),
        *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
        *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
        *(pickle.BINSTRING, pickle.SHORT_BINSTRING),
        *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
        *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
        *(pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET),
        *(pickle.LONG_BINGET, pickle.GLOBAL, pickle.STACK_GLOBAL),
    )
)


class _Codes:
    """CODES, counted: a code of one byte makes an object of fifty."""

    def __init__(self) -> None:
        self.left = MOST_CODES

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise WeightsFault("it holds more than weights can need")
        if code not in CODES:
            raise WeightsFault("it uses the pickle code %r, which weights never need" % chr(code))
        return CODES[code]


def _key(key: Any) -> Any:
    """Tuples of tuples would be hashed for ever, and a name with a line end could pose as a line
    of the log."""
    if type(key) is int:
        return key
    if type(key) is not str:
        raise WeightsFault("a key is no text")
    if not key.isprintable():
        raise WeightsFault("the name %.60r has control characters" % key)
    return key


class _Plain:
    """Turns what the reader made into what may be written: values and arrays, counted."""

    def __init__(self) -> None:
        self.values = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        import numpy

        self.values += 1
        if self.values > MOST_VALUES or depth > DEEPEST:
            raise WeightsFault("it holds more than weights can need")
        if type(value) is _Array:
            value = value.value
            if value is None:
                raise WeightsFault(TORN)
            return value
        if isinstance(value, dict):
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.of(item, depth + 1) for item in value)
        if value is None or type(value) in (bool, int, float, str, bytes):
            return value
        if isinstance(value, numpy.generic):
            return value
        raise WeightsFault("it holds something that is no number")


def read_weights(path: str) -> Dict[str, Any]:
    """What a `.pdparams`, `.pdopt` or `.pdema` holds: names to arrays, numbers and texts, nested.

    Nothing is imported or called for it but numpy. Raises WeightsFault; OSError where the file
    can't be read.
    """
    size = os.path.getsize(path)
    if size > LARGEST_WEIGHTS:
        raise WeightsFault("it has %.1f GB, more than any weights" % (size / 2.0**30))
    with open(path, "rb") as stream:
        data = stream.read()
    if data[:1] != pickle.PROTO:
        raise WeightsFault(TORN)
    try:
        found = _Plain().of(_Reader(data).load())
    except WeightsFault:
        raise
    except Exception:  # whatever the machine stumbles over in bytes that are no pickle
        raise WeightsFault(TORN)
    if type(found) is not dict:
        raise WeightsFault("it is a %s, not a table of arrays" % type(found).__name__)
    return found


def weights_fault(path: str) -> Optional[str]:
    """Why a file can't be taken for weights: TORN, what it would have done, or None."""
    try:
        read_weights(path)
    except WeightsFault as fault:
        return fault.why
    except OSError:
        return TORN
    return None


def write_weights(values: Dict[str, Any], path: str) -> None:
    """Write values and arrays as Paddle reads them, whole or not at all."""
    half = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(half, "wb") as stream:
            pickle.dump(values, stream, protocol=4)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(half, path)
    finally:
        if os.path.exists(half):
            os.remove(half)


def rewrite_weights(source: str, goal: str) -> None:
    """What Paddle may open in place of `source`. Raises WeightsFault or OSError."""
    write_weights(read_weights(source), goal)
