"""Arrays of points, from whatever holds numbers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.chunk import Points
from modelmgmt.store.times import now_us

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_points(key: str, values: Any, steps: Any, times: Any, *, first_step: int) -> Points:
    """Three arrays of one length, `(n_points,)`. Raises InvalidTypeError, InvalidValueError."""
    kept = _values(key, values)
    count = len(kept)
    return Points(
        np.arange(first_step, first_step + count) if steps is None else _steps(key, steps, count),
        kept,
        np.full(count, now_us()) if times is None else _times(key, times, count),
    )


def _values(key: str, values: Any) -> NDArray[np.float64]:
    array = _array(values)
    if array.ndim != 1:
        raise InvalidValueError(
            f"log_series({key!r}) takes one dimension, and the values have the shape {array.shape}."
        )
    if array.dtype.kind not in "buif":
        message = f"log_series({key!r}) takes real numbers, and the values are of the type {array.dtype}."
        raise InvalidTypeError(message)
    return array.astype(np.float64)


def _steps(key: str, steps: Any, count: int) -> NDArray[np.int64]:
    array = _of_length(key, _array(steps), "steps", count)
    if array.dtype.kind not in "iu":
        raise InvalidTypeError(f"log_series({key!r}) takes integer steps, and these are of the type {array.dtype}.")
    if array.dtype == np.uint64 and count and array.max() > np.uint64(np.iinfo(np.int64).max):
        raise InvalidValueError(f"log_series({key!r}) got a step that does not fit into 64 bits.")
    return array.astype(np.int64)


def _times(key: str, times: Any, count: int) -> NDArray[np.int64]:
    array = _of_length(key, _array(times), "times", count)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise InvalidValueError(f"log_series({key!r}) got a time that is missing (NaT).")
        return array.astype("datetime64[us]").view(np.int64)
    if array.dtype.kind not in "iu":
        message = f"log_series({key!r}) takes times as datetime64 or integer microseconds, and these are {array.dtype}."
        raise InvalidTypeError(message)
    return array.astype(np.int64)


def _of_length(key: str, array: NDArray[Any], what: str, count: int) -> NDArray[Any]:
    if array.shape != (count,):
        raise InvalidValueError(f"log_series({key!r}) got {count} values and {what} of the shape {array.shape}.")
    return array


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif not isinstance(values, np.ndarray) and not hasattr(values, "__array__"):
        values = list(values)
    return np.asarray(values) if len(values) > 0 else np.empty(0, np.int64)
