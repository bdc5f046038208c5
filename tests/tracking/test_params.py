"""Params: any JSON shape goes in and comes back, each value with its type; nothing changes unsaid."""

from __future__ import annotations

import datetime as dt
import enum
import math
import pathlib
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError, ParamConflictError, RunFinishedError
from modelmgmt.tracking.params import MAX_DEPTH, flatten, nest


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def same(a, b):
    """Equal, of the same types, where NaN is NaN and a zero has no sign."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return a == b


KEYS = st.one_of(
    st.text("abcλ 0-", min_size=1, max_size=6).filter(lambda key: key == key.strip()),
    st.sampled_from(["a", "b", "a.b", "b.c.a", "lr", "val/loss", "über", "名前"]),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3), max_leaves=6
)
NESTED = st.dictionaries(
    KEYS, st.recursive(VALUES.filter(lambda value: not isinstance(value, dict) or not value),
                       lambda below: st.dictionaries(KEYS, below, max_size=3), max_leaves=6), max_size=4,
)  # fmt: skip


def _keys_once_joined(mapping, prefix=""):
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield from _keys_once_joined(value, f"{prefix}{key}.")
        else:
            yield prefix + key


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(params=NESTED)
def test_any_json_shape_comes_back(store, params):
    keys = list(_keys_once_joined(params))
    assume(len(set(keys)) == len(keys))
    with store.start_run(params=params) as run:
        assert same(run.config, params)
        assert sorted(run.params) == sorted(keys)
        run.log_params(params)  # the same again is fine
    assert same(store.runs()[0].config, params)


@settings(max_examples=300, deadline=None)
@given(params=NESTED)
def test_flat_and_nested_again(params):
    keys = list(_keys_once_joined(params))
    assume(len(set(keys)) == len(keys))
    assert same(nest(flatten(params)), params)


def test_flat_and_nested(run):
    run.log_params({"optimizer": {"name": "adam", "betas": [0.9, 0.999], "extra": {}}, "seed": 0}, lr=1e-3)
    assert run.params == {
        "optimizer.name": "adam", "optimizer.betas": [0.9, 0.999], "optimizer.extra": {}, "seed": 0, "lr": 1e-3,
    }  # fmt: skip
    assert run.config["optimizer"] == {"name": "adam", "betas": [0.9, 0.999], "extra": {}}


def test_types_are_kept_apart(run):
    params = {
        "int": 1,
        "float": 1.0,
        "bool": True,
        "str": "1",
        "none": None,
        "big": 2**70,
        "zero": -0.0,
        "nan": math.nan,
    }
    run.log_params(params)
    assert same(run.params, params)


class Colour(enum.Enum):
    RED = "red"


def test_values_that_stand_for_a_plain_one(run):
    run.log_params(
        {
            "numpy": np.float32(0.5), "array": np.arange(3), "flag": np.bool_(True), "enum": Colour.RED,
            "path": pathlib.PurePosixPath("a/b"), "day": dt.date(2026, 1, 31), "tuple": (1, (2, 3)),
            "proxy": types.MappingProxyType({"x": 1}), "empty": types.MappingProxyType({}),
            "list": [np.int64(1), Colour.RED, types.MappingProxyType({"y": np.float64(2)})],
        }
    )  # fmt: skip
    assert same(
        run.config,
        {
            "numpy": 0.5, "array": [0, 1, 2], "flag": True, "enum": "red", "path": "a/b", "day": "2026-01-31",
            "tuple": [1, [2, 3]], "proxy": {"x": 1}, "empty": {}, "list": [1, "red", {"y": 2.0}],
        },
    )  # fmt: skip


def test_names_of_numbers_become_text(run):
    run.log_params({"layers": {0: 64, 1: 32}})
    assert run.params == {"layers.0": 64, "layers.1": 32}


def test_the_same_again_is_fine(run):
    params = {"lr": 0.1, "nan": math.nan, "list": [1, {"a": None}], "zero": 0.0}
    run.log_params(params)
    run.log_params(params)
    run.log_params(zero=-0.0)
    assert same(run.params, params)


@pytest.mark.parametrize(
    ("before", "after"), [(0.1, 0.2), (1, 1.0), (1, True), ("a", "b"), ([1], [2]), (None, 0), (2**70, 2**71)]
)
def test_another_value_is_an_error_with_both(run, before, after):
    run.log_params(x=before)
    with pytest.raises(ParamConflictError, match="overwrite=True") as caught:
        run.log_params({"new": 1, "x": after})
    assert repr(before) in str(caught.value)
    assert repr(after) in str(caught.value)
    assert same(run.params, {"x": before}), "all or nothing"
    run.log_params(x=after, overwrite=True)
    assert same(run.params, {"x": after})


def test_a_value_and_a_mapping_of_the_same_name_at_different_times(run):
    run.log_params(a=1)
    run.log_params({"a": {"b": 2}})
    assert run.params == {"a": 1, "a.b": 2}
    assert run.config == {"a": 1, "a.b": 2}


def cycle():
    params = {"a": {"b": {}}}
    params["a"]["b"]["c"] = params
    return params


def cycle_of_lists():
    values = [1]
    values.append(values)
    return {"a": values}


def nested(depth):
    params = {"end": 1}
    for _ in range(depth):
        params = {"x": params}
    return params


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        (cycle(), InvalidValueError, "cycle"),
        (cycle_of_lists(), InvalidValueError, "contains itself"),
        (nested(MAX_DEPTH + 1), InvalidValueError, f"{MAX_DEPTH} deep"),
        (nested(100_000), InvalidValueError, f"{MAX_DEPTH} deep"),
        ({"a.b": 1, "a": {"b": 2}}, InvalidValueError, "rename"),
        ({"a": [{1: 1, "1": 2}]}, InvalidValueError, "rename"),
        ({"a": object()}, InvalidTypeError, "str"),
        ({"a": b"bytes"}, InvalidTypeError, "bytes"),
        ({"a": 1j}, InvalidTypeError, "complex"),
        ({"a": [1j]}, InvalidTypeError, "complex"),
        ({("a", "b"): 1}, InvalidTypeError, "tuple"),
        ({None: 1}, InvalidTypeError, "NoneType"),
        ([("a", 1)], InvalidTypeError, "mapping"),
        ("a", InvalidTypeError, "mapping"),
        ({"": 1}, InvalidNameError, "empty"),
        ({"a\nb": 1}, InvalidNameError, "control character"),
        ({"a\0b": 1}, InvalidNameError, "control character"),
        ({"..": 1}, InvalidNameError, "'..'|\"..\""),
        ({"x" * 10_000: 1}, InvalidNameError, "250"),
        ({"a": "\0"}, InvalidValueError, "NUL"),
        ({"a": "\ud800"}, InvalidValueError, "Unicode"),
        ({"a": ["\ud800"]}, InvalidValueError, "Unicode"),
        ({"a": "x" * 100_001}, InvalidValueError, "log_text"),
        ({"a": 10**5000}, InvalidValueError, "digits"),
        ({"a": [10**5000]}, InvalidValueError, "digits"),
    ],
    ids=lambda value: None if isinstance(value, (dict, list)) else str(value),
)
def test_params_that_are_none(store, run, params, error, words):
    with pytest.raises(error, match=words):
        run.log_params({"good": 1} | params if isinstance(params, dict) else params)
    assert run.params == {}
    with pytest.raises(error, match=words):
        store.start_run(params=params)
    assert len(store.runs()) == 1


def test_after_the_end(run):
    run.finish()
    with pytest.raises(RunFinishedError):
        run.log_params(a=1)
