"""Arrays of points, from whatever holds numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.chunk import Points
from modelmgmt.store.names import counted
from modelmgmt.store.times import now_us
from modelmgmt.tracking.scalars import STEP_MAX, refuse_unit_or_time, to_float
from modelmgmt.versions.data.values import mask_of, unit_of, without_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_points(key: str, values: Any, steps: Any, times: Any, *, first_step: int) -> Points:
    """Three arrays of one length, `(n_points,)`. Raises InvalidTypeError, InvalidValueError."""
    kept = _values(key, values)
    count = len(kept)
    if steps is None and first_step + count - 1 > STEP_MAX:
        raise InvalidValueError(f"log_series({key!r}) has no steps left after {first_step - 1}: pass steps=...")
    return Points(
        np.arange(first_step, first_step + count) if steps is None else _steps(key, steps, count),
        kept,
        np.full(count, now_us()) if times is None else _times(key, times, count),
    )


def _values(key: str, values: Any) -> NDArray[np.float64]:
    if isinstance(values, Iterable) and not hasattr(values, "__array__"):
        values = list(values)
        if not all(isinstance(value, (float, int, np.number, np.bool_)) for value in values):
            return np.array([to_float(value, key) for value in values], np.float64)
    array = _array(key, values)
    if array.ndim != 1:
        raise InvalidValueError(
            f"log_series({key!r}) takes one dimension, and the values have the shape {array.shape}."
        )
    refuse_unit_or_time(array, key)
    if array.dtype.kind == "O":  # values of other libraries, or missing ones among them
        return np.array([to_float(value, key) for value in array], np.float64)
    if array.dtype.kind not in "buif":
        message = (
            f"log_series({key!r}) takes real numbers, and the values are of the type {array.dtype}: log the parts of complex "
            "numbers as two series, and text with log_text or log_table."
        )
        raise InvalidTypeError(message)
    with np.errstate(over="ignore"):  # told below
        floats = array.astype(np.float64)
    if array.dtype.itemsize > 8 and (np.isinf(floats) & np.isfinite(array)).any():
        raise InvalidValueError(
            f"log_series({key!r}) got a number too large for a float: log its logarithm, or scale it."
        )
    mask = mask_of(array)
    return np.asarray(floats if mask is None else np.where(mask, np.nan, floats))


def _steps(key: str, steps: Any, count: int) -> NDArray[np.int64]:
    array = _whole(_of_length(key, _array(key, steps), "steps", count))
    if array.dtype.kind not in "iu":
        raise InvalidTypeError(f"log_series({key!r}) takes integer steps, and these are of the type {array.dtype}.")
    if array.dtype == np.uint64 and count and array.max() > np.uint64(np.iinfo(np.int64).max):
        raise InvalidValueError(f"log_series({key!r}) got a step that does not fit into 64 bits.")
    return array.astype(np.int64)


def _whole(array: NDArray[Any]) -> NDArray[Any]:
    """Floats that are all whole, and fit, as integers."""
    is_whole = array.dtype.kind == "f" and bool((np.isfinite(array) & (array == np.trunc(array))).all())
    return array.astype(np.int64) if is_whole and bool((np.abs(array) < 2.0**63).all()) else array


def _times(key: str, times: Any, count: int) -> NDArray[np.int64]:
    array = _of_length(key, _array(key, times), "times", count)
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise InvalidValueError(f"log_series({key!r}) got a time that is missing (NaT).")
        return array.astype("datetime64[us]").view(np.int64)
    if array.dtype.kind not in "iu":
        message = f"log_series({key!r}) takes times as datetime64 or integer microseconds, and these are {array.dtype}."
        raise InvalidTypeError(message)
    return array.astype(np.int64)


def _of_length(key: str, array: NDArray[Any], what: str, count: int) -> NDArray[Any]:
    if np.any(mask_of(array)):
        raise InvalidValueError(f"log_series({key!r}) got {what} of which some are masked: pass one for each value.")
    if array.shape != (count,):
        raise InvalidValueError(
            f"log_series({key!r}) got {counted(count, 'value')} and {what} of the shape {array.shape}."
        )
    return array


def _array(key: str, values: Any) -> NDArray[Any]:
    """As an array of numpy, with its mask; one of objects where numpy has no type for what is missing."""
    if unit_of(values):
        refuse_unit_or_time(values, key)
    values = without_unit(values)
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if getattr(values, "is_floating_point", lambda: False)():
            values = values.double()  # numpy has no bfloat16; every narrower float fits
    if hasattr(values, "to_numpy") and hasattr(values, "dtype"):
        # Times with a zone would become objects: as UTC, they are plain datetime64.
        is_zoned = getattr(values.dtype, "tz", None) is not None
        values = values.to_numpy("datetime64[us]") if is_zoned else values.to_numpy()
    try:
        if not hasattr(values, "__array__"):
            values = list(values)
        array = np.asarray(values) if mask_of(values) is None else values
    except (TypeError, ValueError) as error:
        message = f"log_series({key!r}) takes arrays of one dimension, and {type(values).__name__} was given: {error}."
        raise InvalidTypeError(message) from error
    if array.dtype.kind == "V" and array.dtype.names is None:  # the narrow floats of ml_dtypes, as jax has them
        array = array.astype(np.float64)
    return array if array.shape != (0,) else np.empty(0, np.int64)
