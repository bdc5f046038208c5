"""How much a param has to do with a metric."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.tracking.importance import importance
from modelmgmt.tracking.scales import scale


def frame(n=60, seed=0, **columns):
    rng = np.random.default_rng(seed)
    made = {
        "params.lr": 10 ** rng.uniform(-5, 0, n),
        "params.opt": rng.choice(["a", "b"], n),
        "params.noise": rng.normal(size=n),
    }
    found = pd.DataFrame({**made, **columns})
    found["metrics.acc"] = (
        -((np.log10(found["params.lr"]) + 2.5) ** 2) + (found["params.opt"] == "a") + rng.normal(0, 0.05, n)
    )
    return found


def test_what_matters_comes_first_and_noise_is_named_as_chance():
    found = {one.param: one for one in importance(frame(), "acc")}
    assert next(iter(found)) == "lr"
    assert found["lr"].share > 0.7
    assert found["lr"].p_value <= 0.01
    assert found["noise"].share < 0.15
    assert found["noise"].p_value > 0.05
    assert math.isnan(found["opt"].correlation)
    assert abs(found["lr"].correlation) < 0.5  # it rises and falls


def test_one_diverged_run_does_not_decide():
    table = frame()
    table.loc[0, "metrics.acc"] = -1e300
    assert importance(table, "acc")[0].param == "lr"
    table.loc[1, "metrics.acc"] = -math.inf
    table.loc[2, "metrics.acc"] = math.nan
    found = importance(table, "acc")
    assert (found[0].param, found[0].runs) == ("lr", 59)


def test_without_an_effect_p_values_are_spread_evenly():
    rng = np.random.default_rng(0)
    values = []
    for seed in range(60):
        table = pd.DataFrame({"params.a": rng.integers(0, 3, 20), "metrics.acc": rng.normal(size=20)})
        values += [one.p_value for one in importance(table, "acc", permutations=99, rng=np.random.default_rng(seed))]
    assert np.mean(np.array(values) <= 0.1) < 0.25
    assert 0.3 < np.mean(values) < 0.7


def test_a_missing_param_is_a_value():
    table = pd.DataFrame({"params.a": [1.0, math.nan] * 10, "metrics.acc": [1.0, 2.0] * 10})
    assert importance(table, "acc")[0].share == pytest.approx(1.0)


def test_params_of_one_value_or_of_one_value_a_run():
    table = pd.DataFrame({"params.same": [1] * 8, "params.name": list("abcdefgh"), "metrics.acc": range(8)})
    [only] = importance(table, "acc")
    assert (only.param, only.share, only.p_value) == ("name", 0.0, 1.0)


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, "x", None, True]), st.floats(allow_nan=False)), min_size=4, max_size=20)
)
@settings(max_examples=40, deadline=None)
def test_it_always_answers_within_bounds(rows):
    table = pd.DataFrame({"params.a": pd.Series([a for a, _ in rows], dtype=object), "metrics.m": [m for _, m in rows]})
    for one in importance(table, "m", permutations=19):
        assert 0 <= one.share <= 1
        assert 0 < one.p_value <= 1


def test_scales():
    assert scale("a", [1e-4, 1e-3, 1e-2, 1e-2]).kind == "log"
    assert scale("a", [0.001, 0.3, 0.5, 0.6]).kind == "linear"
    assert scale("a", [0.0, 1.0, 1000.0]).kind == "linear"
    assert scale("a", [True, False]).words == ("False", "True")
    assert scale("a", ["10", "9", None]).words == ("9", "10")
    many = scale("a", [f"w{n}" for n in range(100)] + ["w1"] * 5)
    assert len(many.words) == 24
    assert many.words[-1] == "other"
    assert scale("a", [math.inf, 1.0]).missing == 1
    assert scale("a", []).is_constant
    assert scale("a", [2, 2]).unit().tolist() == [0.5, 0.5]
    assert not scale("a", [2, None]).is_constant
