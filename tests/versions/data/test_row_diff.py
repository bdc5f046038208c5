"""Which rows and cells two versions differ in, asked as people ask: of data sets in a store."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import InvalidValueError
from modelmgmt.versions.data import diff
from modelmgmt.versions.data.sources import table_of

PEOPLE = pd.DataFrame({
    "id": [1, 2, 3, 4, 5], "age": [20, 30, 40, 50, 60], "city": list("abcde"), "w": [1.0, np.nan, 3.0, 4.0, 5.0],
})  # fmt: skip


YEARS = (pd.Timestamp("2021"), pd.Timestamp("2022"))


@pytest.fixture
def log(store):
    with store.start_run("rows") as run:
        yield lambda data, name="people", **options: run.log_dataset(data, name, **{"keep": True, **options})


def cells(found):
    """(change, key, column, before, after)"""
    return [tuple(row) for row in found.changes.itertuples(index=False)]


def test_cells_rows_and_columns_by_a_key(log):
    after = PEOPLE.drop(3).assign(age=[20, 31, 40, 60], w=[1.0, np.nan, np.nan, 5.0]).rename(columns={"city": "town"})
    after = pd.concat([pd.DataFrame({"id": [9], "age": [1], "town": ["z"], "w": [0.5]}), after.iloc[::-1]])
    found = log(PEOPLE).diff(log(after.reset_index(drop=True)), key="id")
    assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.moved) == (1, 1, 2, 3)
    assert found.rows.cells == {"age": 1, "w": 1}
    assert ("changed", 2, "age", 30, 31) in cells(found)
    assert {row[:3] for row in cells(found) if row[0] == "added"} == {
        ("added", 9, name) for name in ("age", "town", "w")
    }
    [change, *_] = found.columns
    assert (change.what, change.before, change.after) == ("renamed", "city", "town")
    assert found.changes["id"].dtype == "int64"
    shown = repr(found)
    for text in ("id=2: age", "30", "31", "town=z", "renamed"):
        assert text in shown
    assert "id=2: age" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["rows"]["shown"][0] == {
        "what": "changed", "key": [3], "cells": {"w": [3.0, "nan"]}
    }  # fmt: skip


@pytest.mark.parametrize("edit", ["inserted", "removed", "changed", "all"])
def test_by_position_equal_rows_are_found_again(log, edit):
    random = np.random.default_rng(0)
    before = pd.DataFrame({"x": random.normal(size=500), "s": [f"row {number}" for number in range(500)]})
    after = before.copy()
    if edit in ("changed", "all"):
        after.loc[100, "x"] = 7.0
    if edit in ("removed", "all"):
        after = after.drop([0, 300, 301])
    if edit in ("inserted", "all"):
        after = pd.concat(
            [before.iloc[:1].assign(s="new"), after.iloc[:200], before.iloc[:1].assign(s="newer"), after.iloc[200:]]
        )
    found = log(before).diff(log(after.reset_index(drop=True)))
    new, gone = (2 if edit in ("inserted", "all") else 0), (3 if edit in ("removed", "all") else 0)
    expected = {"removed": gone, "added": new}
    if edit == "all":  # the first row: removed, and another put in its place
        expected = {"removed": 2, "added": 1}
    assert {what: getattr(found.rows, what) for what in expected} == expected
    assert found.rows.changed == {"all": 2, "changed": 1}.get(edit, 0)
    assert found.rows.by == "position"
    assert "key='s'" in found.note
    if edit == "changed":
        assert cells(found) == [("changed", 100, "x", before.loc[100, "x"], 7.0)]


def test_rows_that_only_moved(log):
    a = log(PEOPLE)
    b = log(PEOPLE.iloc[[0, 4, 1, 2, 3]].reset_index(drop=True))
    for key in (None, "id"):
        found = a.diff(b, key=key)
        assert found
        assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.moved) == (0, 0, 0, 1)
        assert "The same rows in another order: 1 moved." in found.note


def test_several_columns_and_the_index(log):
    frame = PEOPLE.assign(day=[1, 1, 2, 2, 3], hour=[1, 2, 1, 2, 1])
    after = frame.assign(age=[20, 30, 40, 50, 61])
    found = log(frame, "keys").diff(log(after, "keys"), key=["day", "hour"])
    assert cells(found) == [("changed", 3, 1, "age", 60, 61)]
    assert list(found.changes.columns) == ["change", "day", "hour", "column", "before", "after"]
    before, after = (one.set_index(["day", "hour"]) for one in (frame, after))
    found = log(before, "index", index=True).diff(log(after.iloc[::-1], "index", index=True))
    assert (found.rows.by, found.rows.moved) == ("index", 4)
    assert cells(found) == [("changed", 3, 1, "age", 60, 61)]
    assert "position" not in found.note


def test_a_key_that_is_of_no_use(log):
    a, b = log(PEOPLE), log(pd.concat([PEOPLE, PEOPLE.head(2), PEOPLE.head(1)]).assign(text="x"))
    with pytest.raises(
        InvalidValueError, match=r"no column of people:1, which has: id, age, city, w\. Did you mean 'age'\?"
    ):
        a.diff(b, key="ages")
    with pytest.raises(InvalidValueError, match=r"not unique in people:2: 1 \(3 times\); 2 \(2 times\)\. Add columns"):
        a.diff(b, key="id")
    c = log(PEOPLE.assign(id=list("12345")))
    with pytest.raises(InvalidValueError, match="int64 in people:1 and string in people:3"):
        a.diff(c, key=["id"])
    with pytest.raises(InvalidValueError, match="max_rows"):
        a.diff(c, max_rows=-1)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ([1, 2, 3], [1.0, 2.5, 3.0], {1: (2, 2.5)}),
        ([1, 2, 3], [1.0, np.nan, 3.0], {1: (2, "nan")}),
        ([1.0, np.nan, np.nan], [1.0, np.nan, 2.0], {2: ("nan", 2.0)}),
        (pd.array([1, None, None], "Int64"), pd.array([1, None, 2], "Int64"), {2: (None, 2)}),
        ([True, False, True], [1, 0, 0], {2: (True, 0)}),
        (["a", None, "c"], pd.Categorical(["a", "b", "c"]), {1: (None, "b")}),
        (pd.Categorical(["a", "b", "a"]), pd.Categorical(["a", "a", "a"], categories=["b", "a"]), {1: ("b", "a")}),
        (pd.to_datetime(["2020", "2021", None]), pd.to_datetime(["2020", "2022", None]), {1: YEARS}),
        (pd.to_datetime(["2020", "2021"]).as_unit("s"), pd.to_datetime(["2020", "2022"]), {1: YEARS}),
        ([[1], {"a": 2}, None], [[1], {"a": 3}, None], {1: ({"a": 2}, {"a": 3})}),
        ([dt.date(2020, 1, 1), None], [dt.date(2020, 1, 2), None], {0: ("2020-01-01", "2020-01-02")}),
        ([b"a", b"b"], [b"a", b"c"], {1: (b"b", b"c")}),
        ([1 + 2j, 0], [1 + 3j, 0], {0: (1 + 2j, 1 + 3j)}),
        (["x", "1"], [5, 1], {}),  # text and numbers: a change of the column
        (pd.to_timedelta([1, 2], unit="s"), pd.to_timedelta([1, 3], unit="s"), {1: ("0 days 00:00:02", "0 days 00:00:03")}),
        ([2**63, 1], [2**63 + 1, 1], {0: (2**63, 2**63 + 1)}),
        ([2**53 + 1, 1], [float(2**53), 1.0], {0: (2**53 + 1, float(2**53))}),
    ],
)  # fmt: skip
def test_cells_of_every_kind(log, before, after, changed):
    number = range(len(before))
    a, b = (log(pd.DataFrame({"n": number, "x": values})) for values in (before, after))
    found = a.diff(b, key="n")

    # As text: nan is not equal to itself, and 1 is not to be taken for True.
    told = {row[1]: tuple(map(str, row[3:])) for row in cells(found)}
    assert told == {place: tuple(map(str, pair)) for place, pair in changed.items()}
    assert json.dumps(found.to_dict())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_said_makes_one_version_of_the_other(data):
    """Take away what was removed, change what changed, add what was added: then the rows are those of the other."""
    rows = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])), max_size=12)
    before, after = data.draw(rows), data.draw(rows)
    a, b = (
        table_of(
            pd.DataFrame(
                {"n": pd.Series([n for n, _ in one], dtype="int64"), "s": pd.Series([s for _, s in one], dtype="str")}
            )
        )
        for one in (before, after)
    )
    found, _ = diff.rows_changed(a, b)
    assert len(before) - found.removed + found.added == len(after)
    if sorted(map(repr, before)) == sorted(map(repr, after)):
        assert (found.added, found.removed, found.changed) == (0, 0, 0)
    whole = [
        tuple(None if value != value else value for value in (row.cells["n"][side], row.cells["s"][side]))
        for what, side in (("removed", 0), ("added", 1)) for row in found.shown if row.what == what
    ]  # fmt: skip
    assert set(whole[: found.removed]) <= set(before)
    assert set(whole[found.removed :]) <= set(after)


def test_what_is_shown_is_bounded(log):
    a = log(pd.DataFrame({"n": range(3000), "x": 0}))
    b = log(pd.DataFrame({"n": range(3000), "x": 1}))
    found = a.diff(b, key="n")
    assert (found.rows.changed, len(found.changes)) == (3000, 1000)
    assert "The cells of 20 of 3,000 rows are shown." in repr(found)
    assert len(a.diff(b, key="n", max_rows=3000).changes) == 3000
    assert a.diff(b, key="n", max_rows=0).changes.empty


def test_arrays_and_tables_without_columns(log):
    before = np.arange(24.0).reshape(4, 3, 2)
    after = before.copy()
    after[2, 1, 0] = -1
    found = log(before, "array").diff(log(after, "array"))
    assert found.rows.changed == 1
    assert log(pd.DataFrame(), "none").diff(log(PEOPLE, "none")).rows.added == 5
    assert log(PEOPLE.iloc[:0], "none").diff(log(PEOPLE, "none"), key="id").rows.added == 5


# -- files that were logged by their path ------------------------------------------------------------------------------

WRITERS = {
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "t.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "t.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "t.csv.xz": lambda frame, path: frame.to_csv(path, index=False),
    "t.parquet": lambda frame, path: frame.to_parquet(path),
    "t.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "t.json": lambda frame, path: frame.to_json(path, orient="records"),
    "t.jsonl.gz": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "t.feather": lambda frame, path: frame.to_feather(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_read_as_the_table_that_it_holds(log, tmp_path, name):
    if name.endswith(("parquet", "feather")):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    WRITERS[name](PEOPLE, path)
    a = log(path)
    WRITERS[name](PEOPLE.assign(age=[20, 31, 40, 50, 60]), path)
    b = log(path, keep=False)  # it is still there, as it was logged
    found = a.diff(b, key="id")
    assert cells(found) == [("changed", 2, "age", 30, 31)]
    assert found.files_changed == (name,)
    assert (found.rows_before, found.rows_after) == (5, 5)
    WRITERS[name](PEOPLE.drop(columns="w"), path)
    found = a.diff(log(path))
    assert [(change.column, change.what) for change in found.columns] == [("w", "removed")]


def test_one_text_among_numbers_is_one_cell(log, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,zip,n\n1,00123,5\n2,00124,6\n")
    a = log(path)
    path.write_text("id,zip,n\n1,00123,5\n2,00124,many\n")
    found = a.diff(log(path), key="id")
    assert cells(found) == [("changed", 2, "n", "6", "many")]


def test_content_that_was_not_kept_is_said(log, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id\n1\n")
    a = log(path, keep=False)
    path.write_text("id\n2\n")
    found = a.diff(log(path))
    assert found.rows is None
    assert found.changes.empty
    assert "people:1 was not kept" in found.note
    assert "is not the same file any more" in found.note
    assert "keep=True" in found.note
    with pytest.raises(InvalidValueError, match=r"cannot be matched by 'id': The content of people:1 was not kept"):
        a.diff(log(path), key="id")


def test_files_that_are_no_tables(log, tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("one")
    a = log(path)
    path.write_text("two")
    assert "'notes.md' is no table" in a.diff(log(path)).note
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no parquet")
    a = log(path)
    path.write_bytes(b"none, either")
    assert "cannot be read as a table" in a.diff(log(path)).note
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.csv").write_text("x\n1\n")
    a = log(folder)
    (folder / "a.csv").write_text("x\n2\n")
    found = a.diff(log(folder))
    assert found.files_changed == ("a.csv",)
    assert "folder of 2 files" in found.note


def test_a_file_that_is_written_in_another_way(log, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,x\n1,a\n")
    a = log(path)
    path.write_bytes(b'id,x\r\n1,"a"\r\n')
    found = a.diff(log(path))
    assert found
    assert "Every value is the same" in found.note
