"""What a model takes: learnt from an example, enforced in a sentence that names the column and both types."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, SignatureError
from modelmgmt.models.packaging.compatible import breaks
from modelmgmt.models.packaging.enforce import enforce
from modelmgmt.models.packaging.signature import (
    CATEGORY_LIMIT,
    Column,
    Records,
    Signature,
    Table,
    Tensor,
    Tensors,
    infer,
)

EXAMPLE = pd.DataFrame(
    {
        "age": [31, 60],
        "income": [1.5, 2.5],
        "plan": ["basic", "gold"],
        "tier": pd.Categorical(["a", "b"], categories=["a", "b", "c"]),
        "since": pd.to_datetime(["2024-01-01", "2025-01-01"]),
        "active": [True, False],
    }
)
SIGNATURE = infer(EXAMPLE)


def changed(**columns):
    return EXAMPLE.assign(**columns)


# ------------------------------------------------------------------------------------------------------------- learning


def test_columns_are_learnt_with_types_categories_and_missing_cells():
    frame = EXAMPLE.assign(score=[1.0, None], note=["x", None])
    columns = {column.name: column for column in infer(frame).inputs.columns}
    assert columns["age"] == Column("age", "int64")
    assert columns["plan"] == Column("plan", "str")
    assert columns["tier"] == Column("tier", "category", categories=("a", "b", "c"))
    assert columns["since"].dtype.startswith("datetime64")
    assert columns["score"].nullable
    assert columns["note"] == Column("note", "str", nullable=True)
    assert not columns["income"].nullable


def test_texts_are_str_however_they_are_kept():
    for dtype in (object, "str", "string"):
        frame = pd.DataFrame({"x": pd.Series(["a", "b"], dtype=dtype)})
        assert infer(frame).inputs == Table((Column("x", "str"),))
    assert infer(np.array(["abc", "d"])).inputs == Tensor("str", (None,))


@pytest.mark.parametrize(
    ("data", "spec"),
    [
        (np.zeros((5, 3, 2), np.float32), Tensor("float32", (None, 3, 2), nullable=False)),
        (np.array([[np.nan]]), Tensor("float64", (None, 1), nullable=True)),
        ([[1, 2], [3, 4]], Tensor("int64", (None, 2))),
        (["a", "bb"], Tensor("str", (None,), container="list")),
        ({"ids": np.zeros((2, 5), int), "mask": np.zeros((2, 5), bool)},
         Tensors((("ids", Tensor("int64", (None, 5))), ("mask", Tensor("bool", (None, 5)))))),
        ({"a": [1], "b": ["x"]}, Table((Column("a", "int64"), Column("b", "str")))),
        ([{"a": 1}, {"a": 2}], Records((Column("a", "int64"),))),
        ([{"a": 1.5}, {"b": "x"}], Records((Column("a", "float64", optional=True), Column("b", "str", optional=True)))),
    ],
)  # fmt: skip
def test_arrays_rows_and_mappings(data, spec):
    assert infer(data).inputs == spec


def test_other_libraries_frames_and_matrices():
    polars = pytest.importorskip("polars")
    sparse = pytest.importorskip("scipy.sparse")
    torch = pytest.importorskip("torch")
    assert infer(polars.DataFrame({"a": [1]})).inputs == Table((Column("a", "int64"),))
    assert infer(sparse.csr_matrix(np.eye(3))).inputs == Tensor("float64", (None, 3), container="csr_matrix")
    assert infer(torch.zeros(2, 3)).inputs == Tensor("float32", (None, 3), nullable=False)


def test_column_with_very_many_categories_keeps_its_type_only():
    values = [str(number) for number in range(CATEGORY_LIMIT + 1)]
    column = infer(pd.DataFrame({"id": pd.Categorical(values)})).inputs.columns[0]
    assert column.categories is None
    assert len(enforce(infer(pd.DataFrame({"id": pd.Categorical(values)})), pd.DataFrame({"id": ["new"]}))) == 1


def test_what_is_no_data_is_refused():
    with pytest.raises(InvalidTypeError, match="object"):
        infer(object())
    with pytest.raises(InvalidTypeError, match="several names"):
        infer(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))
    with pytest.raises(InvalidValueError, match="strict, coerce, off"):
        infer(EXAMPLE, mode="loose")


@given(
    st.lists(
        st.builds(
            Column, st.text(max_size=5) | st.integers(), st.sampled_from(["int64", "str", "float32"]), st.booleans()
        ),
        max_size=4,
    ),
    st.sampled_from(["strict", "coerce", "off"]),
)
def test_signature_survives_json(columns, mode):
    signature = Signature(Table(tuple(columns)), Tensor("float64", (None, 3)), mode)
    assert Signature.from_dict(json.loads(json.dumps(signature.as_dict()))) == signature


def test_fields_of_later_versions_are_passed_over_and_junk_is_not():
    content = SIGNATURE.as_dict()
    content["later"] = content["inputs"]["later"] = content["inputs"]["columns"][0]["later"] = 1
    assert Signature.from_dict(content) == SIGNATURE
    for junk in ({}, {"mode": "coerce", "inputs": {"kind": "sound"}}, {"mode": "x", "inputs": content["inputs"]}):
        with pytest.raises(InvalidValueError, match=r"signature in model.json is not valid"):
            Signature.from_dict(junk)


# ------------------------------------------------------------------------------------------------------------ enforcing


@pytest.mark.parametrize("mode", ["strict", "coerce", "off"])
def test_what_fits_is_handed_on_untouched(mode):
    assert enforce(SIGNATURE, EXAMPLE, mode) is EXAMPLE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EXAMPLE.drop(columns="plan"), r"no column 'plan'"),
        (
            changed(age=["old", "x"]),
            r"The column 'age' is str, and the model takes int64: 'old' \(str\) is not converted to int64",
        ),
        (
            changed(age=[1.5, 2.0]),
            r"The column 'age' is float64, and the model takes int64: 1.5 \(float64\) would change its value",
        ),
        (changed(plan=[1, 2]), r"The column 'plan' is int64, and the model takes str"),
        (changed(income=[None, 1.0]), r"The column 'income' has 1 missing cells"),
        (
            changed(tier=["a", "z"]),
            r"The column 'tier' has the value 'z' \(str\), which is none of the categories 'a', 'b', 'c'",
        ),
        (
            changed(active=[3, 1]),
            r"The column 'active' is int64, and the model takes bool: 3 \(int64\) would change its value",
        ),
        (np.zeros((2, 3)), r"an array of float64.*takes a table of 6 columns"),
        (pd.concat([EXAMPLE, EXAMPLE[["age"]]], axis=1), r"two columns named 'age'"),
    ],
)
def test_what_does_not_fit_is_named_with_both_types(data, message):
    with pytest.raises(SignatureError, match=message):
        enforce(SIGNATURE, data)
    with pytest.raises(SignatureError):
        enforce(SIGNATURE, data, "strict")
    assert enforce(SIGNATURE, data, "off") is data


@pytest.mark.parametrize(
    "data",
    [
        EXAMPLE[list(reversed(EXAMPLE.columns))],
        changed(extra=1),
        changed(age=np.array([31, 60], np.int8)),
        changed(age=[31.0, 60.0]),
        changed(income=[1, 2]),
        changed(tier=["a", "b"]),
        changed(tier=pd.Categorical(["a", "b"])),
        changed(since=["2024-01-01", "2025-01-01"]),
        EXAMPLE.to_dict("records"),
        EXAMPLE.to_dict("list"),
    ],
)
def test_what_loses_nothing_is_coerced_and_strict_refuses_it(data):
    found = enforce(SIGNATURE, data)
    assert list(found.columns) == list(EXAMPLE.columns)
    assert infer(found).inputs == SIGNATURE.inputs
    if isinstance(data, pd.DataFrame):
        with pytest.raises(SignatureError):
            enforce(SIGNATURE, data, "strict")


def test_missing_cells_are_allowed_where_it_was_said():
    frame = changed(income=[None, 1.0])
    assert enforce(SIGNATURE.nullable("income"), frame) is frame
    assert enforce(SIGNATURE.nullable(), frame) is frame
    with pytest.raises(InvalidValueError, match="no column 'x'"):
        SIGNATURE.nullable("x")


def test_array_of_as_many_columns_is_taken_for_a_table():
    signature = infer(pd.DataFrame(np.zeros((1, 2)), columns=["a", "b"]))
    assert enforce(signature, [[1.0, 2.0]]).to_dict("list") == {"a": [1.0], "b": [2.0]}
    with pytest.raises(SignatureError):
        enforce(signature, np.zeros((1, 2)), "strict")


def test_arrays_have_a_free_first_length_and_no_other():
    signature = infer(np.zeros((5, 3), np.float32))
    assert enforce(signature, np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert enforce(signature, np.zeros((9, 3), np.int64)).dtype == np.float32
    for shape in ((9, 2), (3,), (9, 3, 1)):
        with pytest.raises(SignatureError, match=r"takes an array of float32, \(any, 3\)"):
            enforce(signature, np.zeros(shape, np.float32))
    with pytest.raises(SignatureError, match="missing"):
        enforce(signature, np.full((1, 3), np.nan, np.float32))
    with pytest.raises(SignatureError, match=r"1e\+300 \(float64\) would change its value"):
        enforce(signature, np.full((1, 3), 1e300))
    with pytest.raises(SignatureError, match="is float64, and the model takes float32"):
        enforce(signature, np.zeros((1, 3)), "strict")


def test_arrays_by_name():
    signature = infer({"ids": np.zeros((2, 5), np.int64), "mask": np.zeros((2, 5), bool)})
    found = enforce(signature, {"mask": np.ones((1, 5), bool), "ids": np.ones((1, 5), np.int32), "more": np.ones(1)})
    assert list(found) == ["ids", "mask"]
    assert found["ids"].dtype == np.int64
    with pytest.raises(SignatureError, match="no array 'mask'"):
        enforce(signature, {"ids": np.ones((1, 5), np.int64)})
    with pytest.raises(SignatureError, match="the unexpected array 'more'"):
        enforce(signature, {**found, "more": np.ones(1)}, "strict")
    with pytest.raises(SignatureError, match="The array 'ids' has the shape"):
        enforce(signature, {**found, "ids": np.ones((1, 4), np.int64)})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300), min_size=1, max_size=6),
    st.sampled_from(["int8", "uint8", "int32", "uint64", "float32", "float64", "bool"]),
)
def test_coercion_changes_no_number(values, dtype):
    """Whatever is let through compares equal to what came in, exactly."""
    signature = Signature(Table((Column("x", dtype),)))
    frame = pd.DataFrame({"x": np.array(values, np.int64)})
    try:
        found = enforce(signature, frame)
    except SignatureError:
        fits = pd.DataFrame({"x": np.array(values, object)})["x"].map(lambda value: _fits(value, dtype))
        assert not fits.all()
        return
    assert found["x"].dtype == dtype
    assert [int(value) for value in found["x"]] == values


def _fits(value, dtype):
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return value in (0, 1)
    if kind.kind == "f":
        return int(kind.type(value)) == value
    return np.iinfo(kind).min <= value <= np.iinfo(kind).max


# -------------------------------------------------------------------------------------------------------- with a model


class Sum:
    def predict(self, X):
        return X.sum(axis=1)


def test_signature_that_does_not_match_the_example_is_refused_when_logged(store):
    with store.start_run("doc") as run:
        with pytest.raises(SignatureError, match=r"The signature does not match the input example: .*no column 'a'"):
            run.log_model(
                Sum(), "sum", input_example=pd.DataFrame({"b": [1]}), signature=infer(pd.DataFrame({"a": [1]}))
            )
        with pytest.raises(InvalidTypeError, match="infer_signature"):
            run.log_model(Sum(), "sum", signature="a: int")
    assert store.runs[run.id].artifacts == {}


def test_predict_enforces_and_each_mode_can_be_asked_for(store):
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    with store.start_run("doc") as run:
        logged = run.log_model(Sum(), "sum", input_example=frame)
    model = mm.load_model(logged.reference, store=store)
    assert model.signature.outputs == Tensor("float64", (None,), nullable=False)
    assert model.predict(frame[["b", "a"]]).tolist() == [3.0]
    with pytest.raises(SignatureError, match="order"):
        model.predict(frame[["b", "a"]], mode="strict")
    with pytest.raises(SignatureError, match="no column 'b'"):
        model.predict(frame[["a"]])
    assert model.predict(frame[["a"]], mode="off").tolist() == [1.0]
    with pytest.raises(InvalidTypeError, match="has no predict_proba"):
        model.predict_proba(frame)


def test_signature_given_by_hand_is_kept_without_an_example(store):
    signature = mm.infer_signature(pd.DataFrame({"a": [1]}), mode="strict")
    with store.start_run("doc") as run:
        logged = run.log_model(Sum(), "sum", signature=signature)
    assert mm.load_model(logged.reference, store=store).signature == signature


# ----------------------------------------------------------------------------------------------------- of a data version


@pytest.mark.parametrize("keep", [True, False])
def test_signature_is_learnt_from_a_version_of_data(store, keep):
    frame = EXAMPLE.assign(note=["x", None], target=[0, 1])
    with store.start_run("doc") as run:
        train = run.log_dataset(frame, "train", keep=keep)
        signature = mm.infer_signature(train, leave_out=["target"])
        logged = run.log_model(Sum(), "sum", signature=signature)
    learnt = {column.name: column for column in signature.inputs.columns}
    expected = {column.name: column for column in infer(frame.drop(columns="target")).inputs.columns}
    assert list(learnt) == list(expected)
    for name, column in learnt.items():
        assert (column.dtype, column.nullable) == (expected[name].dtype, expected[name].nullable), name
    assert learnt["tier"].categories == (("a", "b", "c") if keep else None)
    assert logged.package.links["data"] == [
        {"role": "input", "name": "train", "number": 1, "fingerprint": train.fingerprint}
    ]
    with pytest.raises(InvalidValueError, match="no column 'x'"):
        mm.infer_signature(train, leave_out=["x"])


def test_signature_of_a_version_of_arrays_and_of_files(store, tmp_path):
    (tmp_path / "file").write_text("x")
    with store.start_run("doc") as run:
        array = run.log_dataset(np.ones((4, 3), np.float32), "array")
        files = run.log_dataset(tmp_path / "file", "files")
    assert infer(array).inputs == Tensor("float32", (None, 3), nullable=False)
    with pytest.raises(InvalidTypeError, match="frames and arrays"):
        infer(files)


def test_whole_numbers_with_missing_cells_stay_what_they_are():
    signature = infer(pd.DataFrame({"n": [1, 2]})).nullable()
    frame = pd.DataFrame({"n": [1.0, None]})
    assert enforce(signature, frame) is frame
    with pytest.raises(SignatureError, match=r"1\.5 \(float64\) would change its value"):
        enforce(signature, pd.DataFrame({"n": [1.5, None]}))


# ------------------------------------------------------------------------------------------ what a model was fitted on

INTERVALS = pd.interval_range(0, 2)
KINDS = {
    "frame": EXAMPLE,
    "intervals": pd.DataFrame({"x": pd.Categorical(INTERVALS), "t": pd.Categorical(pd.date_range("2024", periods=2))}),
    "twins": pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"]),
    "dates as names": pd.DataFrame([[1, 2]], columns=pd.date_range("2024", periods=2)),
    "odd names": pd.DataFrame([[1, 2, 3]], columns=[None, 1.5, True]),
    "nullable": pd.DataFrame({"n": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "zoned": pd.DataFrame({"t": pd.to_datetime(["2024-01-01"], utc=True), "p": pd.period_range("2024", periods=1, freq="D")}),
    "array": np.array([[1.5, np.nan]], np.float32),
    "texts": ["a text", "another\0"],
    "text array": np.array(["a", "bc"]),
    "object array": np.array([["a", 1.5], ["b", None]], object),
    "text series": pd.Series(["a", "b"], name="text", index=[5, 6]),
    "series": pd.Series([1, 2]),
    "category series": pd.Series(["a", "b"], dtype="category"),
    "records": [{"a": 1, "b": "x"}, {"a": 2.5, "c": True, "d": None}],
    "named": {"ids": np.zeros((2, 5), int), "mask": np.zeros((2, 5), bool)},
    "masked": np.ma.array([[1, 2], [3, 4]], mask=[[True, False], [False, False]]),
    "masked floats": np.ma.array([1.5, 2.5], mask=[False, True]),
    **{name: getattr(sparse, name)(np.array([[0, 1.5], [2.5, 0]])) for name in
       ("csr_matrix", "csc_array", "coo_matrix", "lil_array", "dok_array", "dia_matrix", "bsr_array")},
}  # fmt: skip


class Asked:
    """A model that remembers what it was asked with."""

    def predict(self, X):
        type(self).data = X
        return np.zeros(X.shape[0] if hasattr(X, "shape") else len(X))


def equal(a, b):
    if isinstance(a, pd.DataFrame):
        return a.equals(b) and list(a.columns) == list(b.columns) and a.dtypes.tolist() == b.dtypes.tolist()
    if isinstance(a, pd.Series):
        return a.equals(b) and a.name == b.name and a.dtype == b.dtype
    if sparse.issparse(a):
        return a.dtype == b.dtype and (a.toarray() == b.toarray()).all()
    if isinstance(a, np.ma.MaskedArray):
        return (a.mask == b.mask).all() and equal(a.compressed(), b.compressed())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and all(x is y or x == y or x != x for x, y in zip(a.flat, b.flat, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    return a == b


@pytest.mark.parametrize("name", KINDS)
def test_signature_takes_its_example_after_a_trip_through_json_and_the_example_reads_back(store, name):
    example = KINDS[name]
    signature = infer(example)
    read = Signature.from_dict(json.loads(json.dumps(signature.as_dict(), allow_nan=False)))
    assert read == signature
    for mode in ("strict", "coerce"):
        found = enforce(read, example, mode)
        assert equal(found, example) if isinstance(example, dict) else found is example
    with store.start_run("doc") as run:
        logged = run.log_model(Asked(), "asked", input_example=example)
    model = mm.load_model(logged.reference, store=store, cached=False)
    kept = model.package.example.input
    assert type(kept) is type(example)
    assert equal(example, kept)
    model.predict(example)
    assert type(type(model.model).data) is type(example)
    assert model.check_example() == ""


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("records", pd.DataFrame({"a": [1.5], "b": ["x"]})),
        ("records", pd.DataFrame({"a": [1], "b": ["x"]})),
        ("frame", EXAMPLE.to_dict("records")),
        ("texts", np.array(["a", "b"])),
        ("texts", pd.Series(["a"])),
        ("text array", ["a", "b"]),
        ("text series", ["a", "b"]),
        ("series", [1.0, 2.0]),
        ("array", [[1, 2]]),
        ("array", pd.DataFrame({"a": [1], "b": [2.5]})),
        ("array", sparse.csr_array(np.eye(2))),
        ("csr_matrix", np.eye(2)),
        ("csr_matrix", sparse.coo_array(np.eye(2, dtype=int))),
        ("masked", np.array([[1, 2]])),
        ("masked floats", np.ma.array([1, 2], mask=[True, False])),
    ],
)
def test_what_can_be_put_in_what_the_model_takes_is(taken, given):
    found = enforce(infer(KINDS[taken]), given)
    assert type(found) is type(KINDS[taken])
    assert (found.shape[0] if hasattr(found, "shape") else len(found)) in (
        len(given) if not sparse.issparse(given) else 2,
        1,
    )
    with pytest.raises(SignatureError):
        enforce(infer(KINDS["named"]), given)


@pytest.mark.parametrize(
    ("taken", "given", "message"),
    [
        ("records", [{"a": "text", "b": "x"}], r"The key 'a' is str, and the model takes float64: 'text' \(str\)"),
        ("records", ["a", "b"], "takes a list of mappings"),
        ("texts", [1, 2], r"takes str: 1 \(int64\) is not converted"),
        ("texts", [{"a": 1}], "takes a list of str"),
        ("array", [[1, "a"]], r"'a' \(str\) is not converted"),
        ("array", np.ma.array([[1, 2]], mask=[[True, False]]), "masked"),
        ("csr_matrix", np.eye(3), "shape"),
        ("frame", 5, "table"),
        ("frame", object(), "table"),
    ],
)
def test_another_kind_is_refused(taken, given, message):
    with pytest.raises(SignatureError, match=message):
        enforce(infer(KINDS[taken]), given)


def test_large_integers_in_rows_and_columns_stay_exact():
    exact = 2**53 + 1
    signature = infer(pd.DataFrame({"n": pd.array([1, None], "Int64")}))
    assert enforce(signature, [{"n": exact}, {"n": None}])["n"][0] == exact
    assert enforce(signature, {"n": [exact, None]})["n"][0] == exact
    with pytest.raises(SignatureError, match="9007199254740993"):
        enforce(infer(np.zeros((1, 2))), [[exact, 0.5]])
    with pytest.raises(SignatureError, match="9007199254740993"):
        enforce(infer(np.zeros((1, 2))), pd.DataFrame({"a": [exact], "b": [0.5]}))


@pytest.mark.filterwarnings("ignore:The model is stored as cloudpickle")
def test_pipelines_that_begin_with_mappings_or_texts_are_asked_with_them(store):
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    rows = [{"city": "Ulm", "size": 1.5}, {"city": "Bonn", "size": 2.5}]
    texts = ["one two", "two three"]
    for first, example in ((DictVectorizer(), rows), (CountVectorizer(), texts), (CountVectorizer(), pd.Series(texts))):
        model = make_pipeline(first, LinearRegression()).fit(example, [0.0, 1.0])
        with store.start_run("doc") as run:
            logged = run.log_model(model, "model", input_example=example)
        loaded = mm.load_model(logged.reference, store=store, trust=True)
        assert loaded.predict(example).tolist() == model.predict(example).tolist()
        assert loaded.check_example() == ""


def test_rows_that_stand_for_a_table_are_one_where_the_model_takes_tables(store):
    with store.start_run("doc") as run:
        logged = run.log_model(Sum(), "sum", input_example=[{"a": 1.0, "b": 2.0}])
    model = mm.load_model(logged.reference, store=store)
    assert isinstance(model.signature.inputs, Table)
    assert model.predict([{"a": 1.0, "b": 3.0}]).tolist() == [4.0]


def test_optional_columns_are_left_out_or_missing():
    frame = EXAMPLE.drop(columns=["income", "plan"])
    with pytest.raises(SignatureError, match="no column"):
        enforce(SIGNATURE.optional("income"), frame)
    found = enforce(SIGNATURE.optional("income", "plan"), frame)
    assert found is frame
    found = enforce(SIGNATURE.optional().nullable("income"), frame)
    assert list(found.columns) == ["age", "income", "tier", "since", "active"]
    assert found["income"].isna().all()
    assert found["income"].dtype == "float64"
    read = Signature.from_dict(json.loads(json.dumps(SIGNATURE.optional("plan").as_dict())))
    assert read == SIGNATURE.optional("plan")
    arrays = infer(KINDS["named"]).optional("mask")
    assert list(enforce(arrays, {"ids": np.zeros((1, 5), int)})) == ["ids"]
    records = infer([{"a": 1}])
    with pytest.raises(SignatureError, match=r"no key 'a'.*optional\('a'\)"):
        enforce(records, [{"b": 1}])
    assert enforce(records.optional("a"), [{"b": 1}]) == [{"b": 1}]
    with pytest.raises(InvalidValueError, match="no column 'x'"):
        SIGNATURE.optional("x")
    with pytest.raises(InvalidValueError, match="one array"):
        infer(np.zeros(3)).optional()


def test_versions_are_compared_by_kind_and_by_what_is_optional():
    def lost(before, after):
        return breaks(before.as_dict(), after.as_dict())

    table, rows = infer(pd.DataFrame({"a": [1]})), infer([{"a": 1}])
    assert lost(table, rows) == lost(rows, table) == []
    assert lost(table, infer([{"a": 1}], mode="strict")) == ["the input was a table and is a records"]
    assert lost(table, infer(pd.DataFrame({"a": [1], "b": [1]}))) == ["input 'b' is new and required"]
    assert lost(table, infer(pd.DataFrame({"a": [1], "b": [1]})).optional("b")) == []
    assert lost(table.optional(), table) == ["input 'a' is now required"]
    assert lost(table, infer(pd.DataFrame({"a": pd.array([1], "Int64")}))) == []
    assert lost(infer(["a"]), infer(pd.Series(["a"]))) == []
    assert lost(infer(KINDS["masked"]), infer(np.zeros((1, 2), int))) == [
        "the input was in a container 'masked' and is in 'array'"
    ]
