"""A table as a file: what is read is what was written, to the dtype; and anybody can read it without us."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.tracking.table_file import FORMAT, decode, encode

INF, NAN = np.inf, np.nan

COLUMNS = {
    "int8": pd.Series([1, -2, 3], dtype="int8"),
    "int64": pd.Series([-(2**63), 0, 2**63 - 1]),
    "uint64": pd.Series([0, 1, 2**64 - 1], dtype="uint64"),
    "float64": pd.Series([0.1, NAN, -0.0]),
    "infinite": pd.Series([INF, -INF, NAN]),
    "float32": pd.Series([0.1, NAN, INF], dtype="float32"),
    "float16": pd.Series([0.1, NAN, 2], dtype="float16"),
    "bool": pd.Series([True, False, True]),
    "str": pd.Series(["a", "", "größer\n✓"]),
    "str with missing": pd.Series(["a", None, ""]),
    "string": pd.Series(["a", None, ""], dtype="string"),
    "object": pd.Series(["a", None, 3], dtype=object),
    "objects of all kinds": pd.Series([NAN, None, INF], dtype=object),
    "text like infinity": pd.Series(["inf", INF, "nan"], dtype=object),
    "mixed": pd.Series([True, 1, 1.5], dtype=object),
    "big integers": pd.Series([2**100, None, -1], dtype=object),
    "lists": pd.Series([[1, 2], [], ["a", None]], dtype=object),
    "mappings": pd.Series([{"a": 1}, {}, None], dtype=object),
    "naive times": pd.Series(pd.to_datetime(["2026-01-31T23:59:59.123456", None, "1900-01-01"], format="ISO8601")),
    "times ns": pd.Series(pd.to_datetime(["2026-01-31T23:59:59.123456789", None, "1900-01-01"], format="ISO8601")),
    "times s": pd.Series(np.array(["2026-01-31", "NaT", "0001-01-01"], "datetime64[s]")),
    "times with a zone": pd.Series(pd.to_datetime(["2026-10-25T00:30Z", None, "2026-07-01T00:00Z"], format="ISO8601")
                                   .tz_convert("Europe/Berlin")),
    "times in UTC": pd.Series(pd.to_datetime(["2026-10-25T00:30Z", None, "2026-07-01T00:00Z"], format="ISO8601")),
    "times with an offset": pd.Series(pd.to_datetime(["2026-10-25T00:30+02:00"] * 3, format="ISO8601")),
    "spans": pd.Series(pd.to_timedelta(["1 days 02:03:04.000005", None, "-1 days"])),
    "spans s": pd.Series(np.array([1, "NaT", -(10**10)], "timedelta64[s]")),
    "category": pd.Series(["b", None, "a"]).astype(pd.CategoricalDtype(["c", "b", "a"], ordered=True)),
    "category of numbers": pd.Series([2, 1, 2]).astype("category"),
    "category of floats": pd.Series([0.5, INF, None]).astype("category"),
    "category of times": pd.Series(pd.to_datetime(["2026-01-01", None, "2025-01-01"])).astype("category"),
    "Int64": pd.Series([1, None, 2**62], dtype="Int64"),
    "UInt8": pd.Series([1, None, 255], dtype="UInt8"),
    "Float64": pd.Series([1.5, None, INF], dtype="Float64"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "dates": pd.Series([dt.date(2026, 1, 31), None, dt.datetime(2026, 1, 31, 12)], dtype=object),
    "times of the day": pd.Series([dt.time(1, 2), dt.timedelta(1), Decimal("1.10")], dtype=object),
    "Timestamps": pd.Series([pd.Timestamp(1, tz="UTC"), pd.NaT, pd.Timedelta(1)], dtype=object),
    "datetime64": pd.Series([np.datetime64(1, "ns"), np.timedelta64(1, "s"), np.float32(0.5)], dtype=object),
    "keys that read the same": pd.Series([{1: "a", "1": "b"}, {None: 1}, {(1, 2): 3}], dtype=object),
    "tuples and sets": pd.Series([(1, "a"), {1, 2}, frozenset()], dtype=object),
    "bytes and complex": pd.Series([b"\xff", 1j, Fraction(1, 3)], dtype=object),
    "arrays": pd.Series([np.arange(3), np.ones((2, 2), "f4"), np.array(["a"])], dtype=object),
    "paths": pd.Series([Path("a/b"), uuid.UUID(int=1), ""], dtype=object),
    "NA and None": pd.Series([pd.NA, None, NAN], dtype=object),
    "complex": pd.Series([1j, 2, complex(NAN, INF)]),
    "periods": pd.Series(pd.PeriodIndex(["2026-01-01", None, "1900-01-01"], freq="W")),
    "intervals": pd.Series(pd.interval_range(0, 3)),
    "arrow": pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    "all missing": pd.Series([None, None, None], dtype=object),
    "all NaN": pd.Series([NAN, NAN, NAN]),
    "all NaT": pd.Series([pd.NaT, pd.NaT, pd.NaT]),
}  # fmt: skip


def check(frame):
    back = decode(encode(frame))
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=False, check_column_type="equiv")
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if column.dtype == object:
            for was, now in zip(column, back.iloc[:, place], strict=True):
                assert type(was) is type(now)
                assert repr(was) == repr(now)
    return back


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("count", [3, 1, 0])
def test_every_dtype_comes_back(name, count):
    check(pd.DataFrame({"x": COLUMNS[name]}).head(count))


def test_all_of_them_at_once():
    check(pd.DataFrame(COLUMNS))


def test_the_sign_of_zero_is_kept():
    assert np.signbit(decode(encode({"x": [-0.0, 0.0]}))["x"]).tolist() == [True, False]


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(st.sampled_from(["f8", "f4", "i8", "u8", "?", "i2"]), st.integers(0, 8)))
def test_any_numbers(values):
    check(pd.DataFrame({"x": values}))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=6))
def test_any_cells(values):
    check(pd.DataFrame({"x": pd.Series(values, dtype=object)}))


@pytest.mark.parametrize(
    "columns",
    [["a", "a", "b"], ["", "größer ✓", "a\nb"], [0, 1, 2], [2.5, True, None], pd.RangeIndex(3), ["a", 1, ("x", 2)],
     pd.Index(["a", "b", "c"], name="kind"), pd.MultiIndex.from_product([["x"], [1, 2, 3]], names=["k", None]),
     pd.MultiIndex.from_product([["x"], [1, 2, 3]])],
    ids=str,
)  # fmt: skip
def test_names_of_columns(columns):
    frame = pd.DataFrame(np.arange(6).reshape(2, 3))
    frame.columns = columns
    check(frame)


@pytest.mark.parametrize(
    "index",
    [pd.Index(["x", "y"], name="id"), pd.Index([7, 5]), pd.RangeIndex(2), pd.RangeIndex(5, 7), pd.RangeIndex(2, name="n"),
     pd.date_range("2026-01-01", periods=2, tz="UTC", name="day"), pd.Index([0.5, NAN]), pd.CategoricalIndex(["a", "b"]),
     pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None]), pd.Index([1, None], dtype="Int64"),
     pd.timedelta_range("1h", periods=2)],
    ids=str,
)  # fmt: skip
def test_indices(index):
    check(pd.DataFrame({"x": [1, 2]}, index=index))


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[1, 2, 3]), pd.DataFrame(index=range(3))],
    ids=["nothing", "no rows", "only an index", "only rows"],
)
def test_empty_frames(frame):
    check(frame)


def test_other_tables():
    expected = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    pd.testing.assert_frame_equal(decode(encode({"a": [1, 2], "b": ["x", None]})), expected)
    pd.testing.assert_frame_equal(decode(encode([{"a": 1, "b": "x"}, {"a": 2}])), expected, check_like=True)
    pd.testing.assert_frame_equal(decode(encode(np.eye(2))), pd.DataFrame(np.eye(2)))
    pd.testing.assert_frame_equal(decode(encode(pd.Series([1, 2], name="a"))), expected[["a"]])


def test_what_json_has_no_form_for_can_be_read_there_too():
    cells = [
        dt.date(2026, 1, 31),
        dt.time(1, 2),
        Decimal("1.10"),
        pd.Timestamp(0),
        [NAN, 1],
        {1: "a", "1": "b"},
        dt.timedelta(1),
    ]
    written = json.loads(encode(pd.DataFrame({"x": pd.Series(cells, dtype=object)})), parse_constant=pytest.fail)
    assert written["data"] == [
        ["2026-01-31", "01:02:00", "1.10", "1970-01-01T00:00:00", [None, 1], [[1, "a"], ["1", "b"]], "P1D"]
    ]


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.timedeltas() | st.binary()
NAMES = st.integers() | st.text(max_size=2) | st.none()


def alike(a, b):
    """Equal, of one type, where NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return repr(a) == repr(b)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.recursive(
    ATOMS, lambda below: st.lists(below, max_size=3) | st.tuples(below) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6), max_size=4))  # fmt: skip
def test_any_nested_cells(values):
    written = encode(pd.DataFrame({"x": pd.Series(values, dtype=object)}))
    json.loads(written, parse_constant=pytest.fail)
    back = decode(written)["x"].tolist()
    assert alike(back, values)


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    st.sampled_from(["f8", "f4", "i8", "u1", "?", "M8[ns]", "m8[s]", "U3", "S2", "O", "c16"]),
    st.integers(1, 6),
)
def test_what_is_masked_is_missing(data, kind, count):
    values = data.draw(
        hnp.arrays(kind if kind != "O" else object, count, elements=None if kind != "O" else st.integers())
    )
    mask = data.draw(hnp.arrays(bool, count))
    masked = np.ma.array(values, mask=mask)
    for table in ({"x": masked}, {"x": list(masked)}, [{"x": value} for value in masked]):
        back = decode(encode(table))["x"]
        lost = mask | np.array(pd.isna(values), bool)
        assert pd.isna(back).tolist() == lost.tolist()
        assert [one for one, gone in zip(back.tolist(), lost, strict=True) if not gone] == [
            one for one, gone in zip(pd.Series(values).tolist(), lost, strict=True) if not gone
        ]


def test_a_grid_search():
    C, depth = np.ma.array([0.1, 1.0, 99], mask=[0, 0, 1]), np.ma.array([7, 7, 5], mask=[1, 1, 0])
    kernel = np.ma.array(np.array(["rbf", "rbf", None], object), mask=[0, 0, 1])
    results = {"param_C": C, "param_depth": depth, "param_kernel": kernel, "params": [{"C": 0.1}, {"C": 1.0}, {"depth": 5}],
               "mean_test_score": np.array([0.5, np.nan, 0.25])}  # fmt: skip
    back = decode(encode(results))
    assert back["param_depth"].tolist() == [pd.NA, pd.NA, 5]
    np.testing.assert_array_equal(back["param_C"], [0.1, 1.0, np.nan])
    assert back["param_kernel"].isna().tolist() == [False, False, True]
    assert back["params"].tolist() == results["params"]


def test_anybody_can_read_it():
    frame = pd.DataFrame({"x": [1.5, NAN], "y": ["a", None]}, index=pd.Index(["p", "q"], name="id"))
    assert json.loads(encode(frame), parse_constant=pytest.fail) == {
        "format": FORMAT,
        "rows": 2,
        "index": [{"about": {"name": "id", "dtype": "str"}, "cells": ["p", "q"]}],
        "columns": [{"name": "x", "dtype": "float64"}, {"name": "y", "dtype": "str"}],
        "data": [[1.5, None], ["a", None]],
    }
    assert "Infinity" not in encode({"x": [INF, -INF]}).decode()


@pytest.mark.parametrize(
    "table",
    ["text", 3, None, {"a": 1}, {"a": [1], "b": [1, 2]}, np.ones((2, 2, 2)), {"a": [object()]}, {"a": [[object()]]},
     {"a": [range(3)]}, {"a": [{"b": object()}]}],
)  # fmt: skip
def test_what_is_no_table(table):
    with pytest.raises(InvalidTypeError, match=r"pass|given"):
        encode(table)


@pytest.mark.parametrize(
    "data",
    [b"", b"no json", b"[]", b"3", b"{}", b"\xff\xff\xff", b'{"format": "modelmgmt.table/2"}', b'{"format": []}',
     encode({"a": [1]}).replace(b'"int64"', b'"int65"'), encode({"a": [1]}).replace(b"[1]", b'["x"]'),
     encode({"a": [1]}).replace(b"[[1]]", b"[]"), encode({"a": [INF]}).replace(b'"inf"', b'"huge"')],
    ids=str,
)  # fmt: skip
def test_what_is_no_table_file(data):
    with pytest.raises(CorruptDataError, match="table"):
        decode(data)
