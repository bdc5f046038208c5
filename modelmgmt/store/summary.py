"""The summary of a series: what the runs table shows and filters use. Pure; summaries of parts merge in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from modelmgmt.store.chunk import Points

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the table `metrics`, in its order of columns after run and key.

    `first` is the value at the lowest step and `last` the one at the highest; between equal steps the time decides, then
    the order of arrival. `min`, `max` and `mean` leave NaN out, and are NaN when nothing is left. The mean of
    infinities of both signs is NaN, too.

    Merging is associative, and free of order but for first and last points of one step and time; means are equal but
    for rounding.
    """

    count: int
    nan_count: int
    first: float
    first_step: int
    first_time: int
    last: float
    last_step: int
    last_time: int
    min: float
    min_step: int
    max: float
    max_step: int
    mean: float

    def merge(self, later: Summary) -> Summary:
        """The summary of both; where all else is equal, `later` arrived after this one."""
        first = self if (self.first_step, self.first_time) <= (later.first_step, later.first_time) else later
        last = later if (later.last_step, later.last_time) >= (self.last_step, self.last_time) else self
        low = min(self, later, key=lambda part: (part.min != part.min, part.min, part.min_step))
        high = min(self, later, key=lambda part: (part.max != part.max, -part.max, part.max_step))
        return Summary(
            count=self.count + later.count,
            nan_count=self.nan_count + later.nan_count,
            first=first.first,
            first_step=first.first_step,
            first_time=first.first_time,
            last=last.last,
            last_step=last.last_step,
            last_time=last.last_time,
            min=low.min,
            min_step=low.min_step,
            max=high.max,
            max_step=high.max_step,
            mean=_between(low.min, _merged_mean(self, later), high.max),
        )


def summarise(points: Points) -> Summary:
    """Summarise at least one point.

    >>> summarise(Points(np.array([2, 1]), np.array([0.5, np.nan]), np.array([10, 20]))).last
    0.5
    """
    steps, values, times = points
    first, last = _ends(steps, times)
    kept = values == values  # noqa: PLR0124 - False for NaN only
    count = int(np.count_nonzero(kept))
    if count == len(values):
        numbers, places = values, steps
    else:
        numbers, places = values[kept], steps[kept]
    low, low_step = _extreme(numbers, places, "min")
    high, high_step = _extreme(numbers, places, "max")
    return Summary(
        count=len(values),
        nan_count=len(values) - count,
        first=float(values[first]),
        first_step=int(steps[first]),
        first_time=int(times[first]),
        last=float(values[last]),
        last_step=int(steps[last]),
        last_time=int(times[last]),
        min=low,
        min_step=low_step,
        max=high,
        max_step=high_step,
        mean=_between(low, _mean(numbers), high),
    )


def _ends(steps: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> tuple[int, int]:
    lowest = np.flatnonzero(steps == steps.min())
    highest = np.flatnonzero(steps == steps.max())
    first = lowest[np.argmin(times[lowest])]
    last = highest[len(highest) - 1 - np.argmax(times[highest][::-1])]
    return int(first), int(last)


def _extreme(numbers: np.ndarray[Any, Any], steps: np.ndarray[Any, Any], which: str) -> tuple[float, int]:
    if not len(numbers):
        return NAN, 0
    value = getattr(numbers, which)()
    return float(value), int(steps[numbers == value].min())


def _mean(numbers: np.ndarray[Any, Any]) -> float:
    if not len(numbers):
        return NAN
    infinite = numbers[np.isinf(numbers)]
    if len(infinite):
        return float(infinite[0]) if (infinite == infinite[0]).all() else NAN
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean())
        if math.isfinite(mean):
            return mean
        return float((numbers / len(numbers)).sum())  # the sum overflowed, the mean does not


def _between(low: float, mean: float, high: float) -> float:
    """A mean that rounding carried past the extremes, perhaps to infinity, brought back. NaN stays NaN."""
    return min(max(mean, low), high)


def _merged_mean(a: Summary, b: Summary) -> float:
    n_a, n_b = a.count - a.nan_count, b.count - b.nan_count
    if not n_a or not n_b:
        return a.mean if n_a else b.mean
    return a.mean * (n_a / (n_a + n_b)) + b.mean * (n_b / (n_a + n_b))


COLUMNS = (
    "count", "nan_count", "first", "first_is_nan", "first_step", "first_time", "last", "last_is_nan", "last_step",
    "last_time", "min", "min_step", "max", "max_step", "mean",
)  # fmt: skip

SUMMARY_ROW = f"run, key, {', '.join(COLUMNS)}, crc"
"""What to select from `metrics` for a row that can be verified."""

LAST = 2 + COLUMNS.index("last")
"""The place of the last value in such a row."""

_NUMBERS = tuple(field.name for field in fields(Summary))


def to_row(summary: Summary) -> tuple[float | int | None, ...]:
    """The values for `COLUMNS`. SQLite would turn NaN into NULL silently; here it is said in columns of its own."""
    values: dict[str, Any] = {name: getattr(summary, name) for name in _NUMBERS}
    values["first_is_nan"] = int(math.isnan(summary.first))
    values["last_is_nan"] = int(math.isnan(summary.last))
    if summary.count == summary.nan_count:
        values["min_step"] = values["max_step"] = None
    return tuple(_kept(values[name]) for name in COLUMNS)


def _kept(value: Any) -> float | int | None:
    """As SQLite gives it back: NaN is NULL, and a zero has no sign."""
    if isinstance(value, float):
        return None if math.isnan(value) else value + 0.0
    kept: int | None = value
    return kept


def from_row(row: tuple[Any, ...]) -> Summary:
    """The summary that `to_row` wrote."""
    values = dict(zip(COLUMNS, row, strict=True))
    return Summary(**{name: _number(name, values[name]) for name in _NUMBERS})


def _number(name: str, value: float | None) -> Any:
    if value is None:
        return 0 if name.endswith("_step") else NAN
    return value
