"""Statistics of few values: against scipy where it has the same, and in the corners where values are few, equal or gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from modelmgmt.errors import InvalidValueError, MissingExtraError
from modelmgmt.tracking.statistics import (
    bootstrap_interval,
    corrected,
    paired_difference,
    summarise,
    unpaired_difference,
)

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)
chances = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_scipy(seed):
    given_values = np.random.default_rng(seed).lognormal(size=15)
    ours = bootstrap_interval(given_values, confidence=0.9, resamples=5000, rng=np.random.default_rng(seed))
    theirs = stats.bootstrap(
        (given_values,), np.mean, confidence_level=0.9, n_resamples=5000, method="BCa", rng=np.random.default_rng(seed)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        interval = bootstrap_interval(rng.normal(3, 1, 30), confidence=0.9, resamples=999, rng=rng)
        hits += interval.low <= 3 <= interval.high
    assert 0.83 < hits / 300 < 0.96


@given(values)
@example([0.0, 1.7e-113])
@example([0.0, 0.0, 3.0e200])
@settings(max_examples=50, deadline=None)
def test_an_interval_lies_within_the_values_and_shifts_with_them(found):
    interval = bootstrap_interval(found, resamples=200)
    assert min(found) - 1e-6 <= interval.low <= interval.high <= max(found) + 1e-6


def test_the_same_seed_gives_the_same_interval():
    assert bootstrap_interval([1, 2, 4.0]) == bootstrap_interval([1, 2, 4.0])
    many = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(many, rng=np.random.default_rng(1)) != bootstrap_interval(many)


def test_few_equal_and_missing_values():
    one = summarise([0.5])
    assert (one.count, one.mean, one.min, one.max) == (1, 0.5, 0.5, 0.5)
    assert math.isnan(one.std)
    assert not one.interval.is_known
    none = summarise([math.nan, math.inf])
    assert (none.count, none.missing) == (0, 2)
    assert math.isnan(none.mean)
    assert summarise([]).missing == 0
    same = summarise([0.1, 0.1, 0.1])
    assert (same.std, same.interval.low, same.interval.high) == (0.0, 0.1, 0.1)
    some = summarise([1.0, math.nan, 3.0])
    assert (some.count, some.missing, some.mean, some.median) == (2, 1, 2.0, 2.0)
    assert some.std == pytest.approx(math.sqrt(2))


def test_wrong_options():
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        bootstrap_interval([1, 2], confidence=95)
    with pytest.raises(InvalidValueError, match="too few"):
        bootstrap_interval([1, 2], resamples=10)
    with pytest.raises(InvalidValueError, match="as many values"):
        paired_difference([1, 2], [1])
    with pytest.raises(InvalidValueError, match="correction is"):
        corrected([0.1], "bonferroni")


def test_paired_tests_are_those_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 9), rng.normal(0, 1, 9)
    t, w = paired_difference(a, b), paired_difference(a, b, test="wilcoxon")
    assert t.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert w.p_value == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert t.mean == pytest.approx((a - b).mean())
    assert t.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert (t.test, w.test, t.count) == ("paired t", "Wilcoxon signed rank", 9)


def test_unpaired_tests_are_those_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 9), rng.normal(0, 3, 5)
    assert unpaired_difference(a, b).p_value == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert unpaired_difference(a, b, test="wilcoxon").p_value == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    found = unpaired_difference(a, b)
    pooled = math.sqrt((8 * a.var(ddof=1) + 4 * b.var(ddof=1)) / 12)
    assert found.effect == pytest.approx((a.mean() - b.mean()) / pooled * (1 - 3 / 47))
    assert found.interval.low < found.mean < found.interval.high


def test_pairs_in_the_corners():
    assert paired_difference([1, 2, 3], [1, 2, 3]).p_value == 1.0
    assert paired_difference([1, 2, 3], [1, 2, 3]).effect == 0.0
    shifted = paired_difference([2, 3, 4], [1, 2, 3])
    assert (shifted.note[:30], shifted.effect) == ("every pair differs by the same", math.inf)
    assert math.isnan(shifted.p_value)
    rounded = paired_difference([0.1 + 0.2, 0.7 + 0.1], [0.2, 0.7])
    assert rounded.effect == math.inf
    single = paired_difference([1], [2])
    assert (single.count, single.mean, single.note) == (1, -1.0, "two pairs or more are needed")
    assert math.isnan(single.p_value)
    torn = paired_difference([1, math.nan, 3, 5], [0, 1, 2.5, math.inf])
    assert (torn.count, torn.mean, torn.note) == (2, 0.75, "2 pairs not whole")
    assert "below 0.062" in paired_difference([1, 2, 3, 4, 6], [0, 0, 0, 0, 0], test="wilcoxon").note
    ties = paired_difference([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 8], test="wilcoxon")
    assert 0 < ties.p_value <= 1
    assert math.isnan(paired_difference([], []).mean)


def test_groups_in_the_corners():
    assert "in each group" in unpaired_difference([1], [1, 2]).note
    assert unpaired_difference([1, 1], [1, 1]).p_value == 1.0
    assert math.isnan(unpaired_difference([1, 1], [2, 2]).p_value)
    assert unpaired_difference([1, 1], [2, 2]).effect == -math.inf
    assert math.isnan(unpaired_difference([], [1, 2]).mean)


@given(chances)
def test_corrections_keep_order_and_only_raise(found):
    for method in ("holm", "bh"):
        result = corrected(found, method)
        assert all(p <= q <= 1 or q == pytest.approx(p) for p, q in zip(found, result, strict=True))
        order = np.argsort(found, kind="stable")
        assert (np.diff(np.array(result)[order]) >= 0).all()


@given(chances)
def test_false_discovery_is_that_of_scipy(found):
    assert corrected(found, "bh") == pytest.approx(list(stats.false_discovery_control(found)))


def test_tests_that_could_not_be_made_are_not_counted():
    assert corrected([0.01, math.nan, 0.02], "holm")[0] == 0.02
    assert math.isnan(corrected([0.01, math.nan, 0.02], "bh")[1])
    assert corrected([0.5, 0.1], None) == [0.5, 0.1]


def test_without_scipy(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"modelmgmt\[compare\]"):
        paired_difference([1, 2], [3, 5])
    assert paired_difference([1, 2], [3, 5], test=None).mean == -2.5
