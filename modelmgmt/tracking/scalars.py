"""One number out of whatever a training loop holds: Python, numpy, torch, jax. Pure."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.versions.data.values import (
    as_mapping,
    entries,
    is_missing,
    is_time,
    key_text,
    mask_of,
    of_arrow,
    unit_of,
    without_unit,
)

STEP_MIN, STEP_MAX = -(1 << 63), (1 << 63) - 1
MAX_DEPTH = 64


def to_float(value: object, key: object) -> float:
    """The value of a metric as a float, NaN for what is missing. Raises InvalidTypeError, InvalidValueError.

    >>> to_float(3, "loss")
    3.0
    """
    if isinstance(value, float):  # numpy.float64 is one, too
        return float(value)
    number = _one_number(value, key)
    is_complex = isinstance(number, numbers.Complex) and not isinstance(number, numbers.Real)
    if is_complex or isinstance(number, type) or not hasattr(number, "__float__"):
        message = (
            f"The metric {key!r} got {_shown(value)} of type {type(number).__name__}, and a metric is one real number: "
            f"{_instead(number, key)}."
        )
        raise InvalidTypeError(message)
    too_large = f"The metric {key!r} got a number too large for a float: log its logarithm, or scale it."
    try:
        found = float(number)
    except OverflowError:
        raise InvalidValueError(too_large) from None
    except (TypeError, ValueError) as error:
        message = f"The metric {key!r} got {_shown(value)}, which is no real number ({error}): log a float."
        raise InvalidValueError(message) from error
    if math.isinf(found) and isinstance(number, (numbers.Real, Decimal)) and number != found:
        raise InvalidValueError(too_large)
    return found


def flat(metrics: Mapping[Any, Any], above: str = "", depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """The names and values of nested mappings, names joined by "/". Raises InvalidValueError for what contains itself.

    >>> list(flat({"loss": 0.5, "val": {"loss": 0.7, "f1": {0: 0.9}}}))
    [('loss', 0.5), ('val/loss', 0.7), ('val/f1/0', 0.9)]
    """
    if depth > MAX_DEPTH:
        raise InvalidValueError(
            f"The metrics are nested more than {MAX_DEPTH} deep, or contain themselves: flatten them, or remove the cycle."
        )
    for key, value in entries(metrics, "metric", above):
        part = key if isinstance(key, str) or not above else key_text(key)
        if part is None:
            yield key, value  # which is no name, as whoever takes it will say
            continue
        name = f"{above}{part}" if above else key
        fields = as_mapping(value)
        if fields is None:
            yield name, value
        else:
            yield from flat(fields, f"{name}/", depth + 1)


def to_step(step: object) -> int:
    """A step as a 64-bit integer; a float that is whole is one. Raises InvalidTypeError, InvalidValueError."""
    try:
        number = operator.index(_whole(step))
    except TypeError:
        message = (
            f"A step is an integer, and {_shown(step)} is of type {type(step).__name__}: pass step=int(...), or log the "
            "fraction of an epoch as a metric of its own."
        )
        raise InvalidTypeError(message) from None
    if not STEP_MIN <= number <= STEP_MAX:
        raise InvalidValueError(f"The step {number} does not fit into 64 bits: use a smaller one.")
    return number


def refuse_unit_or_time(value: Any, key: object) -> None:
    """Raises InvalidTypeError for what is counted in a unit that a number would lose: quantities, moments, durations."""
    if unit := unit_of(value):
        message = (
            f"The metric {key!r} got {_shown(value)}, which has the unit {unit}: log its number (its magnitude or value), "
            f"and put the unit into the name."
        )
        raise InvalidTypeError(message)
    if is_time(value):
        message = (
            f"The metric {key!r} got {_shown(value)}, which is a time: log the seconds of a duration, as "
            "duration.total_seconds() or duration / np.timedelta64(1, 's'); keep a moment as a param or a tag."
        )
        raise InvalidTypeError(message)


def _one_number(value: Any, key: object) -> Any:
    """What a scalar of another library holds; NaN for what is missing."""
    if hasattr(type(value), "as_py"):  # pyarrow
        return math.nan if value.as_py() is None else _one_number(of_arrow(value), key)
    refuse_unit_or_time(value, key)
    value = without_unit(value)
    if is_missing(value):
        return math.nan
    if isinstance(value, type) or not (hasattr(value, "item") and hasattr(value, "dtype")):
        return value
    if (
        hasattr(type(value), "index") and as_mapping(value) is not None
    ):  # of one label as of many: `flat` has their names
        raise InvalidTypeError(f"The metric {key!r} got a Series with labels: log {{label: value}}, or value.item().")
    try:
        number = value.item()
    except (ValueError, RuntimeError, TypeError):
        message = (
            f"The metric {key!r} got an array of shape {tuple(getattr(value, 'shape', ()))}: log one number, such as its "
            f"mean, or all of them with log_series({key!r}, values)."
        )
        raise InvalidTypeError(message) from None
    mask = mask_of(value)
    return number if mask is None or not mask.any() else math.nan


def _whole(step: Any) -> Any:
    """A step that is an integer in another form, as 3.0 is, as one; all else as it is. Raises TypeError for a missing one."""
    if is_missing(step) or is_time(step) or unit_of(step):
        raise TypeError
    if hasattr(step, "item") and hasattr(step, "dtype") and getattr(step, "shape", None) == ():
        step = step.item()
    is_real = isinstance(step, (numbers.Real, Decimal)) and not isinstance(step, numbers.Integral)
    return int(step) if is_real and math.isfinite(step) and step == int(step) else step


def _instead(value: object, key: object) -> str:
    """What to log instead of a value that is no number, as the end of a sentence."""
    if value is None:
        return "leave it out, or log math.nan"
    if isinstance(value, numbers.Complex):
        return "log its real and its imaginary part as two metrics"
    if isinstance(value, str):
        return "log float(...) of it, or keep it with log_params, set_tags or log_text"
    if hasattr(value, "columns"):
        return "log one of its numbers, or keep it with log_table"
    if isinstance(value, (Sequence, AbstractSet)) or (hasattr(value, "__len__") and hasattr(value, "__iter__")):
        return f"log one of its numbers, or all of them with log_series({key!r}, values)"
    return "log a number that describes it, or keep it with log_params or set_tags"


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
