"""One number out of whatever a training loop holds: Python, numpy, torch, jax. Pure."""

from __future__ import annotations

import operator
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError

STEP_MIN, STEP_MAX = -(1 << 63), (1 << 63) - 1


def to_float(value: object, key: object) -> float:
    """The value of a metric as a float. Raises InvalidTypeError, InvalidValueError.

    >>> to_float(3, "loss")
    3.0
    """
    if isinstance(value, float):  # numpy.float64 is one, too
        return float(value)
    original: Any = value
    if hasattr(original, "item") and hasattr(original, "dtype"):
        value = _item(original, key)
    if isinstance(value, complex) or not hasattr(value, "__float__"):
        message = (
            f"The metric {key!r} got {_shown(value)} of type {type(value).__name__}: a metric is one real number; log text "
            "with log_text, parts of a complex number as two metrics, arrays with log_series."
        )
        raise InvalidTypeError(message)
    try:
        return float(value)
    except OverflowError:
        message = f"The metric {key!r} got a number too large for a float: log its logarithm, or scale it."
        raise InvalidValueError(message) from None
    except (TypeError, ValueError) as error:
        message = f"The metric {key!r} got {_shown(value)}, which is no real number ({error}): log a float."
        raise InvalidValueError(message) from error


def to_step(step: object) -> int:
    """A step as a 64-bit integer. Raises InvalidTypeError, InvalidValueError."""
    try:
        number = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        message = (
            f"A step is an integer, and {_shown(step)} is of type {type(step).__name__}: pass step=int(...), or log the "
            "fraction of an epoch as a metric of its own."
        )
        raise InvalidTypeError(message) from None
    if not STEP_MIN <= number <= STEP_MAX:
        raise InvalidValueError(f"The step {number} does not fit into 64 bits: use a smaller one.")
    return number


def _item(array: Any, key: object) -> object:
    try:
        return array.item()
    except (ValueError, RuntimeError, TypeError):
        message = (
            f"The metric {key!r} got an array of shape {tuple(getattr(array, 'shape', ()))}: log one number, such as its "
            f"mean, or all of them with log_series({key!r}, values)."
        )
        raise InvalidTypeError(message) from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
