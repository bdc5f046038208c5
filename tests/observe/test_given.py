"""What a service may hand over comes back as it was, from the table and from a fold; what it may not is a clear error."""

from __future__ import annotations

import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.observe import cells, folding
from modelmgmt.observe import given as what_is_given

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.one_of(
    st.lists(st.floats(), min_size=1, max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=1, max_size=6),
    st.lists(texts, min_size=1, max_size=6),
    st.lists(st.one_of(st.none(), texts), min_size=1, max_size=6),
    st.lists(st.one_of(st.none(), st.integers(-9, 9), texts, st.lists(st.integers(0, 9))), min_size=1, max_size=6),
)


def same(a, b):
    """Equal, or missing both."""
    if isinstance(a, (list, dict)) or isinstance(b, (list, dict)):
        return a == b
    return (pd.isna(a) and pd.isna(b)) or bool(a == b)


@quick
@given(values, st.data())
def test_columns_come_back_from_their_bytes(column, data):
    ids = data.draw(st.none() | st.just([f"id {n} é" for n in range(len(column))]))
    rows, found = what_is_given.take({"x": column, "y": column[::-1]}, column)
    schema = cells.schema_of(found)
    back_ids, back = cells.decode(cells.encode(ids, rows, found), rows, cells.read_schema(schema.text))
    assert back_ids == ids
    assert cells.schema_of(back) == schema
    for one, other in zip(found, back, strict=True):
        for part in ("values", "lengths", "valid"):
            a, b = getattr(one, part), getattr(other, part)
            assert (a is None and b is None) or a.tobytes() == b.tobytes()


@quick
@given(st.binary(max_size=80), st.integers(0, 5))
def test_bytes_that_are_no_batch_are_named(data, rows):
    schema = cells.schema_of(what_is_given.take([{"a": 1, "b": "x"}], [0.5])[1])
    try:
        _, found = cells.decode(data, rows, schema)
    except CorruptDataError:
        return
    assert all(one.rows == rows for one in found)


@quick
@given(arrays.arrays(st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]),
                     arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)))  # fmt: skip
def test_arrays_of_any_shape(array):
    rows, found = what_is_given.take(array, array)
    assert rows == len(array)
    _, back = cells.decode(cells.encode(None, rows, found), rows, cells.schema_of(found))
    for one in back:
        np.testing.assert_array_equal(one.values, array)


def frame_of_everything():
    return pd.DataFrame(
        {
            "float": [1.5, np.nan, np.inf], "text": ["x", None, "ü"], "category": pd.Categorical(["u", "v", None]),
            "time": pd.to_datetime(["2026-01-01", None, "2026-01-02"], utc=True), "bool": [True, False, True],
            "cells": [[1], {"k": 2}, None], "integer": pd.array([1, None, 2**62], dtype="Int64"),
            "maybe": pd.array([True, None, False], dtype="boolean"), 7: [1, 2, 3],
        }
    )  # fmt: skip


def read_both_ways(store, monitor):
    """As it waits in the table, and after it was folded."""
    waiting = monitor.predictions().to_frame()
    assert folding.fold(store._kernel, 1, 1) == 2
    folded = monitor.predictions().to_frame()
    pd.testing.assert_frame_equal(waiting, folded)
    return folded


def test_a_frame_of_everything(store, monitor):
    frame = frame_of_everything()
    for place in range(3):  # row by row, as a service is asked
        monitor.log(frame[place : place + 1], ["yes", "no", "yes"][place : place + 1], ids=[f"p{place}"])
    found = monitor.predictions().to_frame().set_index("id")
    assert found["prediction"].tolist() == ["yes", "no", "yes"]
    for name in frame:
        assert all(map(same, found[f"input.{name}"].tolist(), frame[name].tolist())), name
    assert folding.fold(store._kernel, 1, 1) >= 0
    again = monitor.predictions().to_frame().set_index("id").loc[found.index, found.columns]
    for name in found:
        assert all(map(same, again[name].tolist(), found[name].tolist())), name


@pytest.mark.parametrize(
    ("said", "columns"),
    [
        ([0.5, 1.5], {"prediction": [0.5, 1.5]}),
        (["a", "bb"], {"prediction": ["a", "bb"]}),
        (np.array(["a", "bb"]), {"prediction": ["a", "bb"]}),
        (pd.Series([1, 2], name="target"), {"prediction": [1, 2]}),
        (np.array([[0.25, 0.75], [0.5, 0.5]]), {"prediction.0": [0.25, 0.5], "prediction.1": [0.75, 0.5]}),
        (pd.DataFrame({"stays": [1, 0]}), {"prediction.stays": [1, 0]}),
        ([{"label": "x", "score": 1.5}, {"label": "y", "score": 0.5}],
         {"prediction.label": ["x", "y"], "prediction.score": [1.5, 0.5]}),
        ([np.array([[1, 2], [3, 4]]), np.array([[5], [6]])],
         {"prediction.0.0": [1, 3], "prediction.0.1": [2, 4], "prediction.1.0": [5, 6]}),
        (np.array([["a", 1], ["b", 2]], object), {"prediction.0": ["a", "b"], "prediction.1": [1, 2]}),
        (np.array([1j, 2]), {"prediction": [1j, 2]}),
        ([None, np.nan], {"prediction": [None, np.nan]}),
    ],
)  # fmt: skip
def test_what_models_say(store, monitor, said, columns):
    monitor.log(None, said)
    monitor.log(None, said)
    found = read_both_ways(store, monitor)
    assert list(found.columns[4:]) == list(columns)
    for name, wanted in columns.items():
        assert all(map(same, found[name].tolist(), wanted * 2)), name


def test_other_libraries(store, monitor):
    torch, polars, scipy = map(pytest.importorskip, ("torch", "polars", "scipy"))
    sparse = pytest.importorskip("scipy.sparse")
    del scipy
    tensor = torch.tensor([[0.25, 0.75], [0.5, 0.5]], requires_grad=True)
    for said in (tensor, tensor.to(torch.bfloat16)):
        monitor.log(sparse.csr_matrix([[0, 1.0, 2.0], [0, 0, 0]]), said)
    asked = polars.DataFrame({"a": [1, None], "c": polars.Series(["q", "r"], dtype=polars.Categorical)})
    monitor.log(asked, polars.Series("p", [0.5, 1.5]))
    monitor.log(asked[1:], polars.Series("p", [2.5]))
    frame = monitor.predictions().to_frame()
    assert frame["prediction.0"].tolist()[:4] == [0.25, 0.5] * 2
    assert frame["input"].tolist()[:2] == [{1: 1.0, 2: 2.0}, {}]
    assert frame["input.c"].tolist()[4:] == ["q", "r", "r"]
    folding.fold(store._kernel, 1, 1)
    assert sorted(map(str, monitor.predictions().to_frame()["input"])) == sorted(map(str, frame["input"]))


BAD = {
    "rows": (lambda m: m.log([[1], [2]], [1]), InvalidValueError, "1 prediction and 2 rows of inputs"),
    "ids": (lambda m: m.log(None, [1, 2], ids=[1]), InvalidValueError, "2 predictions and 1 id do"),
    "id twice": (lambda m: m.log(None, [1, 2], ids=[1, "1"]), InvalidValueError, "'1' occurs twice in one batch"),
    "id float": (lambda m: m.log(None, [1], ids=[1.0]), InvalidTypeError, "at place 0 is a float"),
    "id bool": (lambda m: m.log(None, [1], ids=[True]), InvalidTypeError, "at place 0 is a bool"),
    "id text": (lambda m: m.log(None, [1], ids="a"), InvalidTypeError, "a list or an array"),
    "id empty": (lambda m: m.log(None, [1], ids=[""]), InvalidValueError, "cannot be an id"),
    "id control": (lambda m: m.log(None, [1], ids=["a\x1b[31m"]), InvalidValueError, "control characters"),
    "id long": (lambda m: m.log(None, [1], ids=["a" * 251]), InvalidValueError, "1 to 250 characters"),
    "id surrogate": (lambda m: m.log(None, [1], ids=["\ud800"]), InvalidValueError, "cannot be an id"),
    "none": (lambda m: m.log([1], None), InvalidTypeError, "There are no predictions"),
    "scalar": (lambda m: m.log([1], 0.5), InvalidTypeError, "put it in a list"),
    "zero-dimensional": (lambda m: m.log([1], np.array(0.5)), InvalidValueError, "put it in a list"),
    "one row": (lambda m: m.log({"age": 1, "name": None}, [1]), InvalidTypeError, "single mapping was given: put"),
    "text": (lambda m: m.log("file.csv", [1]), InvalidTypeError, "The inputs are rows"),
    "no columns": (lambda m: m.log(None, np.zeros((3, 0))), InvalidValueError, "have no columns"),
    "an object": (lambda m: m.log(None, [object()]), InvalidTypeError, "'predictions' has in row 0 a value of type object"),
    "a set": (lambda m: m.log({1}, [1]), InvalidTypeError, "set was given"),
    "huge text": (lambda m: m.log(None, ["ok", "x" * 2**21]), InvalidValueError, "in row 1 has 2,097,152 bytes, and 1,0"),
    "huge row": (lambda m: m.log(np.zeros((1, 2**18)), [1]), InvalidValueError, "2,097,152 bytes, and 1,048,576"),
    "many columns": (lambda m: m.log(pd.DataFrame(np.zeros((1, 10_001))), [1]), InvalidValueError, "pass an array"),
    "naive time": (lambda m: m.log(None, [1], at="2026-01-01"), InvalidValueError, "no time zone"),
    "no model": (lambda m: m.log(None, [1], model=3), InvalidTypeError, "what mm.load_model gave"),
    "limit": (lambda m: m.predictions(limit=-1), InvalidValueError, "limit is a number of predictions"),
    "sorts of ids": (lambda m: m.predictions(ids=3.5), InvalidTypeError, "one or a list of them"),
    "unknown input": (lambda m: mm.Store(m._kernel.path).monitor("churn:1", inputs=["z"]).log([{"a": 1}], [1]),
                      InvalidValueError, "no column 'z'; they have: a"),
    "inputs": (lambda m: mm.Store(m._kernel.path).monitor("churn:1", inputs="a"), InvalidTypeError, "list of names"),
    "on_error": (lambda m: mm.Store(m._kernel.path).monitor("churn:1", on_error="ignore"), InvalidValueError, "'ignore'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error_and_keeps_nothing(monitor, name):
    call, error, words = BAD[name]
    with pytest.raises(error) as caught:
        call(monitor)
    assert words in str(caught.value)
    assert len(monitor.predictions()) == 0


def test_a_batch_has_a_limit(monitor, monkeypatch):
    monkeypatch.setattr(what_is_given, "MAX_BATCH_BYTES", 100)
    with pytest.raises(InvalidValueError, match="104 bytes, and 100 is the limit: log it in parts"):
        monitor.log(None, np.zeros(13))


@pytest.mark.parametrize("reference", ["nope@production", "nope:1", "churn@nope", "churn:9", "run:nope/x"])
def test_an_unknown_reference(store, run, reference):
    with pytest.raises(NotFoundError):
        store.monitor(reference)


def test_whole_numbers_are_ids_as_text(monitor):
    for ids in ([1, 2], np.array([3, 4]), pd.Series([5, 6]), ("7", "8"), [np.int8(9), 2**80]):
        assert monitor.log(None, [1, 2], ids=ids).ids == [str(int(one)) for one in ids]
    assert [one.id for one in monitor.predictions(ids=[2, "3", 2**80])] == ["2", "3", str(2**80)]


def test_nothing_is_kept_of_nothing(monitor):
    for asked, said in (([], []), (None, []), (np.zeros((0, 3)), np.zeros((0, 2))), (pd.DataFrame({"a": []}), [])):
        batch = monitor.log(asked, said)
        assert (len(batch), batch.ids) == (0, [])
    assert len(monitor.predictions()) == 0
    assert list(monitor.predictions().to_frame().columns) == ["id", "time", "version", "label"]


def test_columns_of_one_name_are_told_apart(store, monitor):
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "a", 1, "1"])
    monitor.log(frame, [5], ids=["p"])
    for _ in range(2):
        found = monitor.predictions().to_frame()
        assert found.loc[0, ["input.a", "input.a#2", "input.1", "input.1#2"]].tolist() == [1, 2, 3, 4]
        assert store.predictions["p"].inputs == {"a": 1, "a#2": 2, "1": 3, "1#2": 4}
        monitor.log(frame[:0], [])
        folding.fold(store._kernel, 1, 1)


def test_inputs_are_kept_as_asked(store, run):
    frame = pd.DataFrame({"age": [1], "name": ["secret"]})
    for inputs, wanted in ((True, ["input.age", "input.name"]), (False, []), (["age"], ["input.age"])):
        monitor = store.monitor("churn:1", inputs=inputs)
        monitor.log(frame, [1], ids=[str(inputs)])
        [one] = monitor.predictions(ids=str(inputs))
        assert list(monitor.predictions(ids=str(inputs)).to_frame().columns[5:]) == wanted
        assert list(one.inputs or {}) == [name.removeprefix("input.") for name in wanted]
    assert b"secret" in (store.path / "store.db-wal").read_bytes() or "secret" in str(
        list(store.monitor("churn").predictions())
    )


@quick
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=5), texts, min_size=1, max_size=4), texts)
def test_any_text_comes_back(monitor, asked, said):
    batch = monitor.log([asked], [said])
    [one] = monitor.predictions(ids=batch.ids)
    assert (one.prediction, one.inputs) == (said, asked)


def test_a_set_of_ids_has_no_order():
    with pytest.raises(InvalidTypeError, match="ids are a list or an array"):
        what_is_given.take_ids({"a", "b"}, 2)


def test_conversations_are_values_and_texts_have_no_name(store, monitor):
    talks = [[{"role": "user", "content": text}] for text in ("hi", "bye")]
    monitor.log(talks, ["hello", "so long"], ids=["a", "b"])
    monitor.log([talks[0] + talks[1]], ["?"], ids=["c"])
    monitor.log(["What is 2+2?"], ["4"], ids=["d"])
    assert store.predictions["b"].inputs == talks[1]
    assert store.predictions["c"].inputs == talks[0] + talks[1]
    assert store.predictions["d"].inputs == "What is 2+2?"
    assert "What is 2+2?" in store.predictions["d"]._repr_html_()
    assert monitor.predictions().to_frame()["input"].tolist() == [*talks, talks[0] + talks[1], "What is 2+2?"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z"])
def test_there_were_no_predictions_before_1970(monitor, at):
    with pytest.raises(InvalidValueError, match=r"from 1970 on, and at="):
        monitor.log(None, [1], at=at)
