"""What a model takes: learnt from an example, enforced in a sentence that names the column and both types."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, SignatureError
from modelmgmt.models.packaging.enforce import enforce
from modelmgmt.models.packaging.signature import CATEGORY_LIMIT, Column, Signature, Table, Tensor, Tensors, infer

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
        (["a", "bb"], Tensor("str", (None,))),
        ({"ids": np.zeros((2, 5), int), "mask": np.zeros((2, 5), bool)},
         Tensors((("ids", Tensor("int64", (None, 5))), ("mask", Tensor("bool", (None, 5)))))),
        ({"a": [1], "b": ["x"]}, Table((Column("a", "int64"), Column("b", "str")))),
        ([{"a": 1}, {"a": 2}], Table((Column("a", "int64"),))),
    ],
)  # fmt: skip
def test_arrays_rows_and_mappings(data, spec):
    assert infer(data).inputs == spec


def test_other_libraries_frames_and_matrices():
    polars = pytest.importorskip("polars")
    sparse = pytest.importorskip("scipy.sparse")
    torch = pytest.importorskip("torch")
    assert infer(polars.DataFrame({"a": [1]})).inputs == Table((Column("a", "int64"),))
    assert infer(sparse.csr_matrix(np.eye(3))).inputs == Tensor("float64", (None, 3))
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
        with pytest.raises(InvalidValueError, match="no signature"):
            Signature.from_dict(junk)


# ------------------------------------------------------------------------------------------------------------ enforcing


@pytest.mark.parametrize("mode", ["strict", "coerce", "off"])
def test_what_fits_is_handed_on_untouched(mode):
    assert enforce(SIGNATURE, EXAMPLE, mode) is EXAMPLE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EXAMPLE.drop(columns="plan"), r"no column 'plan'"),
        (changed(age=["old", "x"]), r"The column 'age' is str, and the model takes int64: 'old' is no int64"),
        (changed(age=[1.5, 2.0]), r"The column 'age' is float64, and the model takes int64: 1.5 would not stay"),
        (changed(plan=[1, 2]), r"The column 'plan' is int64, and the model takes str"),
        (changed(income=[None, 1.0]), r"The column 'income' has 1 missing cells"),
        (
            changed(tier=["a", "z"]),
            r"The column 'tier' has the value 'z', which is none of the categories 'a', 'b', 'c'",
        ),
        (changed(active=[3, 1]), r"The column 'active' is int64, and the model takes bool: 3 would not stay"),
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
    with pytest.raises(SignatureError, match="1e\\+300 would not stay"):
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
    with pytest.raises(SignatureError, match="'more' too many"):
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
    assert store.run(run.id).artifacts == {}


def test_predict_enforces_and_each_mode_can_be_asked_for(store):
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    with store.start_run("doc") as run:
        logged = run.log_model(Sum(), "sum", input_example=frame)
    model = mm.load_model(logged.ref, store=store)
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
    assert mm.load_model(logged.ref, store=store).signature == signature


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
    with pytest.raises(SignatureError, match=r"1\.5 would not stay"):
        enforce(signature, pd.DataFrame({"n": [1.5, None]}))
