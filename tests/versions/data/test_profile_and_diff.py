"""Profiles say what pandas would, and differences what was done to the data."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, StoreTooNewError
from modelmgmt.versions.data import diff
from modelmgmt.versions.data.profile import SAMPLE_ROWS, Profile, estimated_distinct, profile
from modelmgmt.versions.data.sources import table_of


def of(data, **options):
    return profile(table_of(data, **options))


def column(values, **options):
    return of(pd.DataFrame({"x": pd.Series(values, **options)}))["x"]


# ------------------------------------------------------------------------------------------- profiles


@given(st.lists(st.floats(-1e12, 1e12) | st.just(math.nan), min_size=1, max_size=200))
def test_numbers_are_described_as_pandas_does(values):
    found, series = column(values), pd.Series(values)
    there = series.dropna()
    assert (found.count, found.missing, found.distinct) == (len(there), int(series.isna().sum()), there.nunique())
    if len(there):
        assert (found.min, found.max) == (there.min(), there.max())
        assert found.mean == pytest.approx(there.mean(), rel=1e-9, abs=1e-300)
        assert found.quantiles[0] == there.min()
        assert found.quantiles[100] == there.max()
        assert set(found.quantiles) <= set(there)
        assert sum(found.histogram[1]) == len(there) if found.histogram else there.min() == there.max()
    if len(there) > 1:
        assert found.std == pytest.approx(there.std(), rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308, 1e308], [5e-324, 0.0], [math.inf, 1.0, -math.inf, 2.0], [math.inf], [0.0, -0.0], [1e16, 1e16 + 2]],
)
def test_extreme_numbers_break_nothing(values):
    found = column(values)
    assert (found.min, found.max) == (min(values), max(values))
    assert found.infinite == sum(map(math.isinf, values))
    whole = Profile("frame", len(values), (found,))
    assert Profile._decode(whole._encode()) == whole
    json.loads(whole._encode(), parse_constant=pytest.fail)
    if found.mean is not None:
        assert math.isfinite(found.mean)


def test_every_type_has_a_profile():
    frame = pd.DataFrame({
        "i": [1, 2, 2], "s": ["a", None, "b"], "t": pd.to_datetime(["2020", None, "2022"]),
        "c": pd.Categorical(["u", "v", "u"]), "b": [True, False, True],
        "o": [[1], None, {"a": 1}], "d": pd.to_timedelta([1, 2, 3], unit="s"), "z": [1j, 2j, 1j],
    })  # fmt: skip
    found = of(frame)
    assert found["s"].missing == found["o"].missing == found["t"].missing == 1
    assert found["c"].top == (("u", 2), ("v", 1))
    assert found["b"].mean == pytest.approx(2 / 3)
    assert found["z"].distinct == 2
    shown = found.to_frame()
    assert shown.loc["t", "min"] == pd.Timestamp("2020")
    assert shown.loc["d", "max"] == pd.Timedelta(3, "s")
    assert Profile._decode(found._encode()) == found


def test_a_matrix_has_a_profile_per_column():
    found = of(np.arange(12.0).reshape(4, 3))
    assert [one.name for one in found.columns] == [0, 1, 2]
    assert found[1].mean == 5.5
    assert of(np.arange(24.0).reshape(4, 3, 2)).columns[0].count == 24


def test_many_rows_are_sampled_and_said_to_be():
    values = np.random.default_rng(0).normal(size=4 * SAMPLE_ROWS)
    found = column(values)
    assert not found.is_exact
    assert (found.count, found.min, found.max) == (len(values), values.min(), values.max())
    assert found.distinct == pytest.approx(len(values), rel=0.08)
    assert found.quantiles[50] == pytest.approx(np.median(values), abs=0.02)


@pytest.mark.parametrize("distinct", [1, 100, 4_000, 5_000, 50_000, 400_000])
def test_distinct_values_are_estimated_well(distinct):
    values = np.random.default_rng(distinct).permutation(np.arange(500_000) % distinct).astype("f8")
    assert estimated_distinct(values) == pytest.approx(distinct, rel=0.08)


def test_profiles_are_read_with_care():
    whole = of(pd.DataFrame({"x": [1]}))
    later = json.loads(whole._encode())
    later["columns"][0]["something"] = "new"
    assert Profile._decode(json.dumps(later).encode()) == whole
    with pytest.raises(StoreTooNewError):
        Profile._decode(json.dumps({**later, "format": "modelmgmt.profile/2"}).encode())
    for data in (b"", b"[]", b"{}", json.dumps({**later, "columns": [5]}).encode()):
        with pytest.raises(CorruptDataError):
            Profile._decode(data)
    with pytest.raises(KeyError):
        whole["nothing"]


# ------------------------------------------------------------------------------------------- differences

BEFORE = pd.DataFrame(
    {"id": [1, 2, 3, 4], "x": [1.0, 2.0, np.nan, 4.0], "s": ["a", "b", "c", None], "c": pd.Categorical(list("uvuv"))}
)


def rows(a, b, *key):
    return diff.rows_changed(table_of(a), table_of(b), key)[0]


def test_rows_are_matched_by_key():
    after = BEFORE.assign(c=pd.Categorical(list("uvuv"), categories=["v", "u"])).iloc[[3, 0, 1]].copy()
    after.loc[1, "s"] = "other"
    after = pd.concat([after, pd.DataFrame({"id": [9], "x": [0.0], "s": ["z"], "c": ["u"]})]).astype(
        {"c": after["c"].dtype}
    )
    found = rows(BEFORE, after, "id")
    assert (found.by, found.added, found.removed, found.changed, dict(found.cells)) == ("id", 1, 1, 1, {"s": 1})


def test_rows_are_matched_by_position():
    after = BEFORE.copy()
    after.loc[0, "x"] = np.nan
    after.loc[0, "s"] = None
    after.loc[2, "c"] = "v"
    found = rows(BEFORE, after.iloc[:3])
    assert (found.added, found.removed, found.changed) == (0, 1, 2)
    assert dict(found.cells) == {"x": 1, "s": 1, "c": 1}


@given(
    st.dictionaries(st.integers(0, 30), st.text(max_size=3) | st.none(), max_size=20),
    st.dictionaries(st.integers(0, 30), st.text(max_size=3) | st.none(), max_size=20),
)
@settings(max_examples=60)
def test_rows_by_key_are_what_a_mapping_would_say(before, after):
    def frame(rows):
        keys = pd.Series(list(rows), dtype="int64")
        return pd.DataFrame({"k": keys, "v": pd.Series(list(rows.values()), dtype="str")})

    found = rows(frame(before), frame(after), "k")
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == sum(before[key] != after[key] for key in before.keys() & after.keys())


@pytest.mark.parametrize("key", ["nothing", "s"])
def test_a_key_that_is_no_use_is_refused(key):
    twice = pd.concat([BEFORE, BEFORE.assign(id=[5, 6, 7, 8])])
    with pytest.raises(InvalidValueError, match="key"):
        rows(BEFORE, twice, key)


def test_columns_that_changed():
    after = BEFORE.drop(columns="x").assign(new=1, id=BEFORE["id"].astype("int32"))[["s", "id", "c", "new"]]
    found = {(change.column, change.what) for change in diff.columns_changed(of(BEFORE), of(after))}
    assert found == {("new", "added"), ("x", "removed"), ("id", "type"), ("id", "order")}


def moved(before, after):
    return diff.movement("x", column(before), column(after))


def test_a_distribution_that_moved_is_told_from_one_that_did_not():
    random = np.random.default_rng(0)
    before = random.normal(size=20_000)
    assert not moved(before, random.normal(size=20_000)).is_moved
    shifted = moved(before, random.normal(0.5, size=20_000))
    assert shifted.is_moved
    assert shifted.ks == pytest.approx(0.197, abs=0.03)  # 2 * Phi(0.25) - 1
    assert moved(before, np.where(random.random(20_000) < 0.1, np.nan, before)).is_moved


def test_two_small_samples_of_one_population_are_rarely_called_moved():
    random = np.random.default_rng(1)
    false = sum(moved(random.normal(size=60), random.normal(size=60)).is_moved for _ in range(200))
    assert false <= 6


@pytest.mark.parametrize("values", [["a", "b"], [True, False], [1, 2], pd.Categorical(["a", "b"])])
def test_shares_of_values_that_moved(values):
    random = np.random.default_rng(0)
    before = pd.Series(values).iloc[random.choice(2, 5000, p=[0.5, 0.5])].reset_index(drop=True)
    after = pd.Series(values).iloc[random.choice(2, 5000, p=[0.8, 0.2])].reset_index(drop=True)
    expected = 0.3 * math.log(0.8 / 0.5) + -0.3 * math.log(0.2 / 0.5)
    assert moved(before, after).psi == pytest.approx(expected, abs=0.06)
    assert moved(before, after).is_moved
    assert moved(before, before).psi == pytest.approx(0, abs=1e-9)


def test_what_can_not_be_compared_says_nothing():
    found = moved(["a", "b"], [1.0, 2.0])
    assert (found.psi, found.ks, found.is_moved) == (None, None, False)
    assert moved([math.nan], [1.0]).is_moved
    assert not moved([f"id {place}" for place in range(100)], [f"no {place}" for place in range(100)]).is_moved


# ------------------------------------------------------------------------------------------- of versions in a store


def test_versions_are_compared_by_content_or_by_profile(store):
    with store.start_run("data") as run:
        a = run.log_dataset(BEFORE, "t", keep=True)
        b = run.log_dataset(BEFORE.assign(x=[1.0, 2.0, 3.0, 4.0]), "t", keep=True)
        c = run.log_dataset(BEFORE.assign(x=0.0), "t")
    assert a.diff(b, key="id").rows.cells == {"x": 1}
    assert not a.diff(a)
    assert a.diff(c).rows is None
    assert "not kept" in a.diff(c).note
    assert json.dumps(a.diff(c).to_dict())
    assert "<table" in a.diff(b)._repr_html_()
    assert "values" in repr(a.diff(b))
    with pytest.raises(InvalidValueError, match="not kept"):
        a.diff(c, key="id")
    with pytest.raises(InvalidTypeError):
        a.diff("t:2")
