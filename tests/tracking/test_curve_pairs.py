"""Two curves: how far apart, and where they cross."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.store.chunk import Points
from modelmgmt.tracking.curve_pairs import compare_curves


def points(values, steps=None):
    steps = np.arange(len(values)) if steps is None else np.array(steps)
    return Points(steps.astype(np.int64), np.array(values, np.float64), np.zeros(len(values), np.int64))


def pair(a, b):
    first, second = (points(*given) if isinstance(given, tuple) else points(given) for given in (a, b))
    return compare_curves("loss", ("a", first), ("b", second))


def test_values_and_gaps():
    found = pair([3, 1, 2], [2, 2, 2])
    assert (found.last, found.min, found.max) == ((2, 2), (1, 2), (3, 2))
    assert (found.min_step, found.max_step) == ((1, 0), (0, 0))
    assert found.crossings == (0.5,)
    assert (found.max_gap, found.max_gap_step) == (1, 0)
    assert found.mean_gap == pytest.approx((0.25 + 0.25 + 0.5) / 2)


def test_steps_of_their_own():
    found = pair(([0, 10], [0, 10]), ([5, 5, 5], [2, 6, 20]))
    assert found.span == (2, 10)
    assert found.crossings == (5,)
    assert pair(([1], [0]), ([1], [5])).span is None
    assert math.isnan(pair(([1], [0]), ([1], [5])).mean_gap)
    assert pair(([1], [3]), ([4], [3])).mean_gap == 3


def test_touching_is_no_crossing_and_running_together_is_one():
    assert pair([1, 0, 1], [0, 0, 0]).crossings == ()
    assert pair([1, 0, 0, -1], [0, 0, 0, 0]).crossings == (1,)


def test_nan_infinity_repeats_and_nothing():
    found = pair([1, math.nan, math.inf, 1], [0, 5, 5, 0])
    assert found.mean_gap == pytest.approx(1 + 0.0, abs=4)
    assert found.max == (1, 5)
    assert pair([math.nan], [1.0]).span is None
    assert pair([], [1.0]).points == (0, 1)
    assert pair(([1, 9], [0, 0]), ([9], [0])).mean_gap == 0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.randoms())
def test_it_is_the_same_from_both_sides(values, random):
    other = [random.uniform(-1e3, 1e3) for _ in values]
    one, two = pair(values, other), pair(other, values)
    assert one.mean_gap == pytest.approx(two.mean_gap)
    assert one.max_gap == two.max_gap
    assert one.crossings == pytest.approx(two.crossings)
    assert all(0 <= step <= len(values) - 1 for step in one.crossings)
    assert one.mean_gap <= one.max_gap * (1 + 1e-9)
