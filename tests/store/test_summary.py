"""A summary is what a plain loop over the points would say, however the points were cut into parts."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.store import schema
from modelmgmt.store.chunk import Points
from modelmgmt.store.summary import COLUMNS, Summary, from_row, summarise, to_row

values = st.one_of(
    st.floats(allow_subnormal=True),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, 1.7976931348623157e308]),
)
rows = st.tuples(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), values, st.integers(-2, 2))
parts = st.lists(rows, min_size=1, max_size=12)


def summary(part):
    steps, numbers, times = zip(*part, strict=True)
    return summarise(Points(np.array(steps, np.int64), np.array(numbers, np.float64), np.array(times, np.int64)))


def plain(part):
    """The definition, slowly. The mean is exact, or NaN or infinite where a sum of infinities is."""
    arrived = list(enumerate(part))
    _, first = min(arrived, key=lambda row: (row[1][0], row[1][2], row[0]))
    _, last = max(arrived, key=lambda row: (row[1][0], row[1][2], row[0]))
    kept = [row for row in part if not math.isnan(row[1])]
    low = min((row[1], row[0]) for row in kept) if kept else (math.nan, 0)
    high = min((-row[1], row[0]) for row in kept) if kept else (math.nan, 0)
    return Summary(
        len(part), len(part) - len(kept), first[1], first[0], first[2], last[1], last[0], last[2],
        *low, -high[0], high[1], mean([row[1] for row in kept]),
    )  # fmt: skip


def mean(numbers):
    if not numbers:
        return math.nan
    if any(math.isinf(number) for number in numbers):
        return sum(number for number in numbers if math.isinf(number))
    return float(sum(map(Fraction, numbers)) / len(numbers))


def alike(a, b, scale):
    """Equal in every field; the mean but for rounding, on the scale of the numbers that went into it."""
    for field in fields(Summary):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if field.name == "mean" and math.isfinite(x) and math.isfinite(y):
            assert abs(x / 2 - y / 2) <= 1e-13 * scale + 1e-320, (a, b)
        else:
            assert x == y or (x != x and y != y), (field.name, a, b)


def scale(part):
    return max((abs(row[1]) for row in part if math.isfinite(row[1])), default=0.0)


@given(parts)
def test_a_summary_is_what_a_plain_loop_says(part):
    alike(summary(part), plain(part), scale(part))


@given(parts)
def test_a_mean_of_finite_numbers_lies_between_the_smallest_and_the_largest(part):
    one = summary(part)
    if math.isfinite(one.min) and math.isfinite(one.max):
        assert one.min <= one.mean <= one.max


@given(parts, parts)
def test_merging_two_parts_is_summarising_both(a, b):
    alike(summary(a).merge(summary(b)), summary(a + b), scale(a + b))


@given(parts, parts, parts)
def test_merging_is_associative(a, b, c):
    one, two, three = summary(a), summary(b), summary(c)
    alike(one.merge(two).merge(three), one.merge(two.merge(three)), scale(a + b + c))


@given(parts, parts)
def test_merging_is_free_of_order_but_for_points_of_the_same_step_and_time(a, b):
    """Arrival decides between points of one step and time, and nothing else does."""
    one, two = summary(a), summary(b)
    there, back = one.merge(two), two.merge(one)
    ends = [
        {(part.first_step, part.first_time) for part in (one, two)},
        {(part.last_step, part.last_time) for part in (one, two)},
    ]
    if all(len(end) == 2 for end in ends):
        alike(there, back, scale(a + b))
    else:
        for name in (
            "count",
            "nan_count",
            "first_step",
            "first_time",
            "last_step",
            "last_time",
            "min_step",
            "max_step",
        ):
            assert getattr(there, name) == getattr(back, name)


def test_between_points_of_one_step_the_time_decides_then_arrival():
    one = summary([(1, 10.0, 5), (1, 11.0, 4), (1, 12.0, 4), (1, 13.0, 5)])
    assert (one.first, one.last) == (11.0, 13.0)
    merged = summary([(1, 1.0, 0)]).merge(summary([(1, 2.0, 0)]))
    assert (merged.first, merged.last) == (1.0, 2.0)


def test_nan_is_left_out_of_extremes_and_means_and_counted():
    one = summary([(1, math.nan, 1), (2, 3.0, 1), (3, math.nan, 1)])
    assert (one.count, one.nan_count, one.min, one.max, one.mean, one.min_step) == (3, 2, 3.0, 3.0, 3.0, 2)
    assert math.isnan(one.first)
    assert math.isnan(one.last)
    only = summary([(1, math.nan, 1)])
    assert all(map(math.isnan, (only.min, only.max, only.mean)))
    assert only.merge(one).min == one.merge(only).max == 3.0


def test_infinities_are_numbers():
    one = summary([(1, math.inf, 1), (2, 1.0, 1)])
    assert (one.min, one.max, one.mean) == (1.0, math.inf, math.inf)
    both = one.merge(summary([(3, -math.inf, 1)]))
    assert (both.min, both.max) == (-math.inf, math.inf)
    assert math.isnan(both.mean)
    assert both.nan_count == 0


@pytest.mark.parametrize("count", [2, 3, 7, 10, 49])
def test_a_mean_does_not_overflow(count):
    largest = 1.7976931348623157e308
    one = summary([(step, largest, 1) for step in range(count)])
    assert one.mean == largest
    assert one.merge(one).merge(one).mean == pytest.approx(largest, rel=1e-15)
    assert one.merge(summary([(9, -largest, 1)] * count)).mean == 0


@pytest.fixture(scope="module")
def table():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.apply(connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    yield connection
    connection.close()


@given(parts)
def test_a_row_of_the_real_table_gives_the_summary_back(table, part):
    one = summary(part)
    names = ", ".join(COLUMNS)
    places = ", ".join("?" * len(COLUMNS))
    written = to_row(one)
    table.execute(f"INSERT OR REPLACE INTO metrics (run, key, {names}, crc) VALUES ('r', 'k', {places}, 0)", written)
    row = table.execute(f"SELECT {names} FROM metrics").fetchone()
    assert row == written
    assert [type(value) for value in row] == [type(value) for value in written]
    alike(from_row(row), one, 0.0)
    found = dict(zip(COLUMNS, row, strict=True))
    assert found["first_is_nan"] == math.isnan(one.first)
    assert found["last_is_nan"] == math.isnan(one.last)
    assert (found["min"] is None) == (found["min_step"] is None) == (one.count == one.nan_count)
