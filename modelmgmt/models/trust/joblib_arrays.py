"""Arrays in files of joblib: their bytes lie between the instructions of the pickle, behind the wrapper that names them.

Pure. `hook` moves a reader past them as joblib does; whoever builds finds the place in the node of the wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelmgmt.models.trust.dtypes import Dtype, count_of, mapping, read_dtype, read_shape
from modelmgmt.models.trust.instructions import Decoder, MalformedError
from modelmgmt.models.trust.simulation import Hook, Limits, Machine, Node, Reading

WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
OLD_WRAPPERS = frozenset({"joblib.numpy_pickle_compat.NDArrayWrapper", "joblib.numpy_pickle_compat.ZNDArrayWrapper"})


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """What an array wrapper says; `start` and `end` are the place of its bytes in the file."""

    dtype: Dtype
    shape: tuple[int, ...]
    order: str
    start: int
    end: int


def is_wrapper(node: Node) -> bool:
    """Whether a node is the wrapper of an array, about to be given its state."""
    return node.kind == "call" and getattr(node.items[0], "name", None) == WRAPPER


def hook(data: bytes | memoryview, limits: Limits) -> Hook:
    """For the machine that reads `data`, a file of joblib: to be told of each BUILD."""

    def after_build(node: Node, decoder: Decoder, reading: Reading) -> None:
        dtype = _skip_array(node, decoder, reading)
        if dtype is not None and dtype.has_object:  # these are in a pickle of their own
            inner = Machine(data, decoder.position, limits).run()
            reading.inner.append(inner)
            node.items.append(inner)
            decoder.position = inner.end
            if inner.problem:
                raise MalformedError(f"an array of objects cannot be read: {inner.problem}", inner.start)

    return after_build


def _skip_array(node: Node, decoder: Decoder, reading: Reading) -> Dtype | None:
    """When the BUILD was that of a wrapper, move past its bytes, and return its dtype."""
    if node.kind == "call" and getattr(node.items[0], "name", None) in OLD_WRAPPERS:
        raise MalformedError("an array that is in another file, as joblib before 0.10 wrote it", node.position)
    if not is_wrapper(node):
        return None
    if len(node.state) != 1:
        raise MalformedError("the wrapper of an array with more than one state", node.position)
    fields = mapping(node.state[0])
    dtype = read_dtype(fields.get("dtype"))
    shape = read_shape(fields.get("shape"))
    if dtype.has_object:
        return dtype
    if fields.get("numpy_array_alignment_bytes") is not None:
        decoder.take(decoder.take(1)[0])
    start = decoder.position
    decoder.take(count_of(shape) * dtype.item_bytes)
    reading.raw_bytes.append((start, decoder.position))
    order: Any = fields.get("order")
    node.items.append(ArrayPlan(dtype, shape, "F" if order == "F" else "C", start, decoder.position))
    return dtype
