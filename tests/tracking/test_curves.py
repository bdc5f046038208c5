"""Curve data: smoothing means what it says, nothing non-finite leaks, and thinning loses no spike."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import InvalidValueError
from modelmgmt.tracking.curves import Curve, curves, smooth, thin


def frame(*runs, start="2026-01-01T00:00:00Z"):
    """A history frame of (run, name, [(step, value, second)])."""
    rows = [(run, name, step, value, second) for run, name, points in runs for step, value, second in points]
    table = pd.DataFrame(rows, columns=["run", "name", "step", "value", "second"])
    table["time"] = pd.Timestamp(start) + pd.to_timedelta(table.pop("second"), unit="s")
    return table.astype({"step": "int64", "value": "float64", "time": "datetime64[us, UTC]"})


def slowly(values, smoothing):
    """The definition of the average, one point at a time."""
    average, count, result = 0.0, 0, []
    for value in values:
        if not math.isfinite(value):
            result.append(math.nan)
            continue
        count += 1
        average = smoothing * average + (1 - smoothing) * value
        result.append(average / (1 - smoothing**count))
    return result


numbers = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(numbers, max_size=700), st.floats(0, 0.999))
@settings(max_examples=60, deadline=None)
def test_smoothing_is_its_slow_definition(values, smoothing):
    np.testing.assert_allclose(smooth(values, smoothing), slowly(values, smoothing), rtol=1e-6, atol=1e-6)


@given(st.floats(-1e300, 1e300), st.floats(0, 1, exclude_max=True), st.integers(1, 600))
@settings(max_examples=60, deadline=None)
def test_a_constant_stays_the_same_constant_from_its_first_point(value, smoothing, count):
    np.testing.assert_allclose(smooth([value] * count, smoothing), value, rtol=1e-9)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=600), st.floats(0, 0.9999))
@settings(max_examples=60, deadline=None)
def test_the_average_stays_between_the_extremes_even_at_the_end_of_the_floats(values, smoothing):
    result = smooth(values, smoothing)
    slack = max(map(abs, values)) * 1e-9
    assert np.isfinite(result).all()
    assert (result >= min(values) - slack).all()
    assert (result <= max(values) + slack).all()


def test_nan_and_infinities_do_not_touch_the_average():
    clean = smooth([1.0, 2.0, 4.0], 0.7)
    dirty = smooth([math.nan, 1.0, math.inf, 2.0, math.nan, -math.inf, 4.0], 0.7)
    np.testing.assert_array_equal(dirty[[1, 3, 6]], clean)
    assert np.isnan(dirty[[0, 2, 4, 5]]).all()


def test_nothing_and_only_nan_are_fine():
    assert smooth([], 0.9).shape == (0,)
    assert np.isnan(smooth([math.nan] * 3, 0.9)).all()


def test_smoothing_leaves_its_input_alone():
    values = np.array([1.0, math.inf, 3.0])
    smooth(values, 0.5)
    assert values.tolist() == [1.0, math.inf, 3.0]


def test_a_million_points_take_under_a_second():
    values = np.random.default_rng(0).normal(size=1_000_000)
    started = time.process_time()
    result = smooth(values, 0.99)
    assert time.process_time() - started < 2  # several times what it takes, for a busy machine
    np.testing.assert_allclose(result[:500], slowly(values[:500], 0.99), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, math.nan])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(InvalidValueError, match="smoothing"):
        smooth([1.0], smoothing)
    with pytest.raises(ValueError, match="between 0 and 1"):
        curves(frame(), smoothing=smoothing)


def test_an_unknown_axis_is_refused_with_the_known_ones():
    with pytest.raises(InvalidValueError, match="relative_time_s"):
        curves(frame(), x="epoch")


def test_runs_keep_their_order_and_their_points():
    [second, first] = curves(frame(("r2", "b", [(0, 1, 0), (1, 2, 1)]), ("r1", "a", [(5, math.nan, 0)])))
    assert (second.run, second.label, second.x.tolist(), second.raw.tolist()) == ("r2", "b", [0, 1], [1.0, 2.0])
    assert (first.run, first.x.dtype, len(first)) == ("r1", np.int64, 1)
    assert np.isnan(first.raw[0])


def test_no_points_make_no_curves():
    assert curves(frame()) == []


def test_a_step_logged_twice_is_kept_twice_in_its_order():
    [curve] = curves(frame(("r", "n", [(0, 1, 0), (0, 9, 1), (1, 3, 2)])))
    assert (curve.x.tolist(), curve.y.tolist()) == ([0, 0, 1], [1.0, 9.0, 3.0])


def test_without_smoothing_y_is_raw_but_for_infinities():
    [curve] = curves(frame(("r", "n", [(0, 1, 0), (1, math.inf, 1), (2, 3, 2)])))
    np.testing.assert_array_equal(curve.y, [1, math.nan, 3])
    np.testing.assert_array_equal(curve.raw, [1, math.inf, 3])


def test_time_is_utc_without_a_zone_and_relative_time_starts_at_zero_in_each_run():
    history = frame(("r1", "a", [(0, 1, 10), (1, 2, 70)]), ("r2", "b", [(0, 1, 500), (1, 2, 500.25)]))
    [a, _] = curves(history, x="time")
    assert a.x.dtype == np.dtype("datetime64[us]")
    assert a.x[0] == np.datetime64("2026-01-01T00:00:10")
    assert [c.x.tolist() for c in curves(history, x="relative_time_s")] == [[0, 60], [0, 0.25]]


def test_along_time_a_resumed_run_is_drawn_in_the_order_it_was_logged():
    [curve] = curves(frame(("r", "n", [(0, 1, 0), (1, 2, 90), (2, 3, 30)])), x="relative_time_s")
    assert (curve.x.tolist(), curve.raw.tolist()) == ([0, 30, 90], [1, 3, 2])


def test_two_runs_of_one_name_are_told_apart_by_their_ids():
    labels = [c.label for c in curves(frame(("01AAAA", "calm", [(0, 1, 0)]), ("01BBBB", "calm", [(0, 1, 0)])))]
    assert labels == ["calm (AAAA)", "calm (BBBB)"]


def test_interleaved_runs_are_sorted_out():
    history = frame(("a", "a", [(0, 1, 0), (1, 2, 1)]), ("b", "b", [(0, 3, 0), (1, 4, 1)])).iloc[[0, 2, 1, 3]]
    assert [(c.run, c.raw.tolist()) for c in curves(history)] == [("a", [1, 2]), ("b", [3, 4])]


def long_curve(raw):
    raw = np.asarray(raw, dtype=float)
    return Curve("r", "n", np.arange(len(raw)), raw, raw)


@given(st.lists(numbers, min_size=1, max_size=400), st.integers(4, 60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_thinning_keeps_the_extremes_the_ends_and_the_order(values, most, log_x):
    curve = long_curve(values)
    thinned = thin(curve, most, log_x=log_x)
    assert len(thinned) <= max(most, 0)
    assert (thinned.x[0], thinned.x[-1]) == (0, len(values) - 1)
    assert (np.diff(thinned.x) > 0).all()
    np.testing.assert_array_equal(thinned.raw, curve.raw[thinned.x])
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        assert {min(finite), max(finite)} <= set(thinned.raw.tolist())


def test_one_spike_in_a_million_points_survives():
    raw = np.zeros(1_000_000)
    raw[123_457], raw[777_777] = 50, -50
    thinned = thin(long_curve(raw), 1000)
    assert len(thinned) <= 1000
    assert {123_457, 777_777} <= set(thinned.x.tolist())


def test_on_a_logarithmic_axis_the_first_points_are_not_thinned_away():
    thinned = thin(long_curve(np.random.default_rng(0).normal(size=1_000_000)), 1000, log_x=True)
    assert (thinned.x < 1000).sum() > 200


def test_a_short_curve_is_itself_and_too_few_points_are_refused():
    curve = long_curve([1, 2, 3])
    assert thin(curve, 4) is curve
    with pytest.raises(InvalidValueError, match="max_points"):
        thin(curve, 3)
