"""Types of numpy arrays, read from the description in a pickle. Pure: numpy is not loaded to read one.

numpy takes what `dtype.__setstate__` is given at its word: a pickle can say that a column lies outside of its row, or
that raw bytes are pointers to objects. So that is never called: the parts are checked here, and numpy makes a new dtype
from them with the constructor that checks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from modelmgmt.models.trust.instructions import MalformedError
from modelmgmt.models.trust.simulation import Node

_simple = re.compile(r"([biufcSUMmOV])(\d{1,9})").fullmatch
_SIZES = {
    "b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 12, 16), "c": (8, 16, 24, 32), "M": (8,), "m": (8,),
    "O": (4, 8),
}  # fmt: skip
_UNITS = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"})
MAX_FIELDS = 10_000
MAX_DIMENSIONS = 64
MAX_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Dtype:
    """`spec` is what numpy's constructor takes; `item_bytes` the size of one item."""

    spec: Any
    item_bytes: int
    has_object: bool


def is_dtype(value: object) -> bool:
    """Whether a value is the description of a dtype: `numpy.dtype(...)`, called."""
    return isinstance(value, Node) and value.kind == "call" and getattr(value.items[0], "name", None) == "numpy.dtype"


def read_dtype(value: object, depth: int = 0) -> Dtype:
    """The dtype that a node describes. Raises MalformedError for anything that numpy would not write."""
    if not isinstance(value, Node) or not is_dtype(value) or depth > 8:
        raise MalformedError("a dtype was expected", getattr(value, "position", 0))
    args = sequence(value.items[1])
    flags = all(type(flag) in (bool, int) for flag in args[1:])
    if not 1 <= len(args) <= 3 or type(args[0]) is not str or not flags or len(value.state) > 1:
        raise MalformedError("a dtype with other arguments than numpy writes", value.position)
    found = _simple(args[0])
    if not found or int(found[2]) not in _SIZES.get(found[1], (int(found[2]),)):
        raise MalformedError(f"a dtype {args[0][:20]!r} is not known here", value.position)
    state = sequence(value.state[0]) if value.state else (3, "|", None, None, None, -1, -1, 0)
    if len(state) not in (8, 9) or state[0] not in (3, 4) or state[1] not in ("<", ">", "|", "="):
        raise MalformedError("the state of a dtype is not as numpy writes it", value.position)
    return _read_state(found[1], int(found[2]), state, value, depth)


def _read_state(letter: str, number: int, state: tuple[Any, ...], node: Node, depth: int) -> Dtype:
    endian, subdtype, names, fields = state[1:5]
    if letter == "V" and subdtype is not None:
        return _subarray(sequence(subdtype), number, node, depth)
    if letter == "V" and names is not None:
        return _struct(sequence(names), fields, number, node, depth)
    if any(part is not None for part in (subdtype, names, fields)):
        raise MalformedError("a dtype with fields that is no record", node.position)
    unit = _unit(state, node) if letter in "Mm" else ""
    size = number * 4 if letter == "U" else number
    sign = endian if letter not in "OVSb" and size > 1 else "|"
    return Dtype("O" if letter == "O" else f"{sign}{letter}{number}{unit}", size, letter == "O")


def _unit(state: tuple[Any, ...], node: Node) -> str:
    if len(state) < 9:
        return ""
    metadata = sequence(state[8])
    name, count, divisor, _ = sequence(metadata[1]) if len(metadata) == 2 else (None,) * 4
    if isinstance(name, Node) and name.kind == "call" and getattr(name.items[0], "name", None) == "_codecs.encode":
        name = sequence(name.items[1])[0]  # how protocols 0 to 2 write bytes
    name = name.decode("ascii", "replace") if type(name) is bytes else name
    if name == "generic":
        return ""
    if type(name) is not str or name not in _UNITS or type(count) is not int or not 0 < count < 1 << 31 or divisor != 1:
        raise MalformedError("a unit of time that is not known", node.position)
    return f"[{count}{name}]"


def _subarray(subdtype: tuple[Any, ...], size: int, node: Node, depth: int) -> Dtype:
    if len(subdtype) != 2:
        raise MalformedError("a dtype of parts that is not as numpy writes it", node.position)
    base = read_dtype(subdtype[0], depth + 1)
    shape = (subdtype[1],) if type(subdtype[1]) is int else read_shape(subdtype[1])
    if base.item_bytes * count_of(shape) != size:
        raise MalformedError("the size of a dtype is not that of its parts", node.position)
    return Dtype((base.spec, shape), size, base.has_object)


def _struct(names: tuple[Any, ...], fields: Any, size: int, node: Node, depth: int) -> Dtype:
    """Columns of a record: each within it, none over another, or numpy would read beyond or mix objects with bytes."""
    known = mapping(fields)
    if len(names) > MAX_FIELDS or len(known) != len(names) or not all(type(name) is str for name in names):
        raise MalformedError("the columns of a record are not as numpy writes them", node.position)
    columns = []
    for name in names:
        column = sequence(known.get(name))
        if len(column) != 2 or type(column[1]) is not int:
            raise MalformedError("a column of a record is not as numpy writes it", node.position)
        columns.append((name, read_dtype(column[0], depth + 1), column[1]))
    spans = sorted((offset, offset + dtype.item_bytes) for _, dtype, offset in columns)
    if any(start < 0 or end > size for start, end in spans) or any(a[1] > b[0] for a, b in pairwise(spans)):
        raise MalformedError("a column of a record lies outside of it, or over another", node.position)
    spec = {
        "names": [name for name, _, _ in columns],
        "formats": [dtype.spec for _, dtype, _ in columns],
        "offsets": [offset for _, _, offset in columns],
        "itemsize": size,
    }
    return Dtype(spec, size, any(dtype.has_object for _, dtype, _ in columns))


# ------------------------------------------------------------------------------------------- parts of a description


def sequence(value: object) -> tuple[Any, ...]:
    """The items of a tuple that is described. Raises MalformedError for anything else."""
    if not isinstance(value, Node) or value.kind != "tuple":
        raise MalformedError("a tuple was expected", getattr(value, "position", 0))
    return tuple(value.items)


def mapping(value: object) -> dict[Any, Any]:
    """The items of a dict with text for keys. Raises MalformedError for anything else."""
    if not isinstance(value, Node) or value.kind != "dict" or not all(type(key) is str for key in value.items[::2]):
        raise MalformedError("a dict with text for keys was expected", getattr(value, "position", 0))
    return dict(zip(value.items[::2], value.items[1::2], strict=True))


def read_shape(value: object) -> tuple[int, ...]:
    """A shape: at most 64 counts. Raises MalformedError."""
    shape = sequence(value)
    if len(shape) > MAX_DIMENSIONS or not all(type(side) is int and 0 <= side < 1 << 62 for side in shape):
        raise MalformedError("the shape of an array is not as numpy writes it", getattr(value, "position", 0))
    return shape


def count_of(shape: tuple[int, ...]) -> int:
    """How many items an array of this shape has. Raises MalformedError when that is beyond any memory."""
    count = 1
    for side in shape:
        count *= side
    if count > MAX_BYTES or (not count and max(shape) > MAX_BYTES):
        raise MalformedError("an array beyond any memory", 0)
    return count
