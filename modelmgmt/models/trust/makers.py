"""How the restricted reader makes what it does not leave to the libraries: arrays, dtypes, numbers, plain collections.

Each maker takes the node of the call and its real arguments, and checks both. Those of numpy avoid the functions that
take a pickle at its word. Pure but for what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from modelmgmt.models.trust.dtypes import count_of, read_dtype
from modelmgmt.models.trust.instructions import MalformedError
from modelmgmt.models.trust.simulation import Node

Maker = Callable[[Node, Sequence[Any]], Any]
_FACTORIES = (list, dict, set, tuple, int, float, str, bool)


class ShapeError(ValueError):
    """Arguments or a state that honest pickles of a thing do not have."""


def require(condition: object, what: str) -> None:
    """Raises ShapeError unless the condition holds."""
    if not condition:
        raise ShapeError(what)


def make_dtype(node: Node) -> Any:
    """The dtype of a node with its state, by numpy's checking constructor."""
    import numpy as np

    described = read_dtype(node)
    try:
        made = np.dtype(described.spec)
    except (TypeError, ValueError) as error:
        raise MalformedError(f"numpy does not know the dtype ({str(error)[:80]})", node.position) from error
    is_same = made.hasobject == described.has_object and (described.has_object or made.itemsize == described.item_bytes)
    if not is_same:
        raise MalformedError("a dtype that is another one here", node.position)
    return made


def _dtype(node: Node, args: Sequence[Any]) -> Any:
    del args  # the node has them, and the state besides
    return make_dtype(node)


def _empty_array(node: Node, args: Sequence[Any]) -> Any:
    """numpy's `_reconstruct`: an empty array that is then given its state."""
    import numpy as np

    del node
    require(len(args) == 3 and args[0] is np.ndarray and args[1] == (0,), "an array that is no plain ndarray")
    return np.empty((0,), np.int8)


def check_array_state(state: Any) -> None:
    """Of `ndarray.__setstate__`: (version, shape, dtype, in Fortran's order, content). The dtype is one that we made."""
    import numpy as np

    require(type(state) is tuple and len(state) == 5 and state[0] in (0, 1), "the state of an array")
    _, shape, dtype, fortran, content = state
    require(isinstance(dtype, np.dtype) and type(fortran) in (bool, int), "the state of an array")
    count = _count(shape)
    if dtype.hasobject:
        require(type(content) is list and len(content) == count, "an array of objects without its list")
        return
    require(type(content) in (bytes, bytearray) and len(content) == count * dtype.itemsize, "the bytes of an array")


def _empty_masked(node: Node, args: Sequence[Any]) -> Any:
    """numpy's `_mareconstruct`: an empty masked array that is then given its state."""
    import numpy as np

    del node
    is_plain = len(args) == 4 and args[0] is np.ma.MaskedArray and args[1] is np.ndarray and args[2] == (0,)
    require(is_plain, "a masked array that is no plain one")
    return np.ma.MaskedArray.__new__(
        np.ma.MaskedArray, np.empty((0,), np.int8), mask=np.empty((0,), bool), dtype=np.int8
    )


def check_masked_state(state: Any) -> None:
    """Of `MaskedArray.__setstate__`: that of an array, the bytes of its mask, the value that fills it."""
    require(type(state) is tuple and len(state) == 7, "the state of a masked array")
    check_array_state(state[:5])
    require(state[2].names is None and state[2].subdtype is None, "a masked array of records")
    require(type(state[5]) in (bytes, bytearray) and len(state[5]) == _count(state[1]), "the mask of a masked array")


def _count(shape: Any) -> int:
    require(type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape), "a shape")
    return count_of(shape)


def _from_buffer(node: Node, args: Sequence[Any]) -> Any:
    """numpy's `_frombuffer`, which protocol 5 uses: (bytes, dtype, shape, order)."""
    import numpy as np

    del node
    require(len(args) in (3, 4) and isinstance(args[1], np.dtype) and not args[1].hasobject, "a buffer without a dtype")
    data, dtype, shape, order = args[0], args[1], args[2], args[3] if len(args) == 4 else "C"
    require(type(data) in (bytes, bytearray) and order in ("C", "F"), "a buffer that is no bytes")
    require(len(data) == _count(shape) * dtype.itemsize and dtype.itemsize, "a buffer of another size")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(node: Node, args: Sequence[Any]) -> Any:
    import numpy as np

    del node
    require(len(args) == 2 and isinstance(args[0], np.dtype) and not args[0].hasobject, "a number without its dtype")
    require(type(args[1]) is bytes and len(args[1]) == args[0].itemsize, "a number of another size")
    return np.ndarray((), args[0], args[1])[()]


def _encode(node: Node, args: Sequence[Any]) -> bytes:
    """How protocols 0 to 2 write bytes."""
    del node
    require(len(args) == 2 and type(args[0]) is str and args[1] == "latin1", "bytes written in another way")
    return str(args[0]).encode("latin1")


def _bytes_of(kind: Callable[..., Any]) -> Maker:
    def make(node: Node, args: Sequence[Any]) -> Any:
        del node
        if len(args) == 2 and type(args[0]) is str and args[1] == "latin-1":
            return kind(args[0], "latin-1")
        require(not args or (len(args) == 1 and type(args[0]) in (bytes, bytearray)), "bytes of something else")
        return kind(*args)

    return make


def _set_of(kind: Callable[..., Any]) -> Maker:
    def make(node: Node, args: Sequence[Any]) -> Any:
        del node
        require(not args or (len(args) == 1 and type(args[0]) in (list, tuple)), "a set of something else")
        return kind(*args)

    return make


def _numbers(kind: Callable[..., Any], *types: type) -> Maker:
    def make(node: Node, args: Sequence[Any]) -> Any:
        del node
        require(len(args) <= 7 and all(type(arg) in types for arg in args), "numbers of another kind")
        return kind(*args)

    return make


def _ordered(node: Node, args: Sequence[Any]) -> Any:
    from collections import OrderedDict

    del node
    require(not args or (len(args) == 1 and type(args[0]) is list), "an OrderedDict of something else")
    require(all(type(pair) in (list, tuple) and len(pair) == 2 for pair in (args[0] if args else ())), "pairs")
    return OrderedDict(*args)


def _default(node: Node, args: Sequence[Any]) -> Any:
    """A factory is called for each missing key: those of the builtins, and OrderedDict, have no effect."""
    from collections import OrderedDict, defaultdict

    del node
    require(len(args) <= 1 and all(arg is None or arg in (*_FACTORIES, OrderedDict) for arg in args), "a factory")
    return defaultdict(*args)


def _deque(node: Node, args: Sequence[Any]) -> Any:
    from collections import deque

    del node
    require(len(args) <= 2 and args[:1] in ((), ((),), ([],), [()], [[]], []), "a deque of something else")
    require(len(args) < 2 or args[1] is None or type(args[1]) is int, "the length of a deque")
    return deque(maxlen=args[1] if len(args) == 2 else None)


def _counter(node: Node, args: Sequence[Any]) -> Any:
    from collections import Counter

    del node
    require(not args or (len(args) == 1 and type(args[0]) is dict), "a Counter of something else")
    return Counter(*args)


def _slice(node: Node, args: Sequence[Any]) -> Any:
    del node
    require(1 <= len(args) <= 3 and all(arg is None or type(arg) is int for arg in args), "a slice of something else")
    return slice(*args)


def _arrow_type(node: Node, args: Sequence[Any]) -> Any:
    import pyarrow as pa

    del node
    require(
        len(args) == 1 and args[0] in ("string", "large_string", "string_view"), "a type of pyarrow that is no text"
    )
    return pa.type_for_alias(args[0])


def _arrow_buffer(node: Node, args: Sequence[Any]) -> Any:
    import pyarrow as pa

    del node
    require(len(args) == 1 and type(args[0]) in (bytes, bytearray), "a buffer that is no bytes")
    return pa.py_buffer(bytes(args[0]))


def _arrow_array(node: Node, args: Sequence[Any]) -> Any:
    """pyarrow's `_restore_array`: (type, length, nulls, offset, buffers, children, dictionary) of a column of text."""
    import pyarrow as pa

    del node
    require(len(args) == 1 and type(args[0]) is tuple and len(args[0]) == 7, "an array of pyarrow in another form")
    kind, length, nulls, offset, buffers, children, dictionary = args[0]
    require(isinstance(kind, pa.DataType) and not children and dictionary is None, "an array of pyarrow with parts")
    require(all(type(number) is int and -1 <= number < 1 << 40 for number in (length, nulls, offset)), "a length")
    require(type(buffers) is list and all(each is None or isinstance(each, pa.Buffer) for each in buffers), "buffers")
    made = pa.Array.from_buffers(kind, length, buffers, nulls, offset)
    made.validate(full=True)
    return made


MAKERS: dict[str, Maker] = {
    "numpy.dtype": _dtype,
    **dict.fromkeys(("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"), _empty_array),
    **dict.fromkeys(("numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer"), _from_buffer),
    **dict.fromkeys(("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"), _scalar),
    "numpy.ma.core._mareconstruct": _empty_masked,
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes_of(bytes),
    "builtins.bytearray": _bytes_of(bytearray),
    "builtins.set": _set_of(set),
    "builtins.frozenset": _set_of(frozenset),
    "builtins.complex": _numbers(complex, float, int),
    "builtins.range": _numbers(range, int),
    "builtins.slice": _slice,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
    "collections.deque": _deque,
    "collections.Counter": _counter,
    "pyarrow.lib.type_for_alias": _arrow_type,
    "pyarrow.lib.py_buffer": _arrow_buffer,
    "pyarrow.lib._restore_array": _arrow_array,
    "datetime.timedelta": _numbers(timedelta, int),
}
"""By the name that a pickle calls."""

RECONSTRUCTORS = frozenset({"copyreg._reconstructor", "copyreg.__newobj__"})
"""What protocols 0 and 1 make an empty instance with."""
