"""What people really pickle comes through the restricted reader, and is what it was."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

import cloudpickle
import joblib
import numpy as np
import pandas as pd

from modelmgmt.errors import RefusedPickleError
from modelmgmt.models.trust.opcodes import read_opcodes
from modelmgmt.models.trust.pickle_reader import load_restricted

OWN = ("honest.OwnScaler", "honest.half")
BOOSTED = {f"{each}{kind}" for each in ("LGBM", "XGB") for kind in ("Classifier", "Regressor")}
BOOSTERS = ("lightgbm.basic.Booster", "xgboost.core.Booster", *(f"lightgbm.sklearn.{kind}" for kind in BOOSTED))
NAMES = (*OWN, *BOOSTERS, *(f"xgboost.sklearn.{kind}" for kind in BOOSTED))


@pytest.fixture(scope="module")
def objects():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from honest import honest

        return honest()


def ways(value):
    file = io.BytesIO()
    joblib.dump(value, file)
    yield from (pickle.dumps(value, protocol) for protocol in (2, 4, 5))
    yield from (file.getvalue(), cloudpickle.dumps(value))


def answers(value):
    """What tells whether two objects are the same: predictions where there are any, else their pickles."""
    from honest import WORDS, X

    if not hasattr(value, "fit"):
        return None
    for data in (X, X[:, 0], WORDS, [["u"], ["v"]]):
        for verb in ("predict", "transform"):
            if hasattr(value, verb):
                try:
                    found = getattr(value, verb)(data)
                except (TypeError, ValueError, AttributeError, KeyError):
                    continue
                return found.toarray() if hasattr(found, "toarray") else found
    return None


@pytest.mark.filterwarnings("ignore")
def test_a_hundred_objects(objects, capsys):
    refused = set()
    for name, value in objects.items():
        for data in ways(value):
            try:
                load_restricted(data)
            except RefusedPickleError:
                refused.add(name)
    read = len(objects) - len(refused)
    with capsys.disabled():
        print(f"\n{read} of {len(objects)} honest objects are read without any trust")
    assert len(objects) >= 100
    assert read >= 0.85 * len(objects)
    assert {name.partition(" ")[2] for name in refused} <= {"FunctionTransformer", "OwnScaler", *BOOSTED}


@pytest.mark.filterwarnings("ignore")
def test_all_of_them_with_the_names_that_the_refusal_gives(objects):
    for value in objects.values():
        for data in ways(value):
            beyond = read_opcodes(data).names
            loaded = load_restricted(data, [name for name in beyond if name in NAMES])
            assert type(loaded) is type(value)


@pytest.mark.filterwarnings("ignore")
def test_they_are_what_they_were(objects):
    compared = 0
    for name, value in objects.items():
        loaded = load_restricted(pickle.dumps(value), NAMES)
        before, after = answers(value), answers(loaded)
        if before is not None:
            same = np.testing.assert_allclose if np.asarray(before).dtype.kind == "f" else np.testing.assert_array_equal
            same(np.asarray(before), np.asarray(after), err_msg=name)  # BLAS sums by where the array lies
            compared += 1
        elif isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, loaded)
            compared += 1
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, loaded)
            compared += 1
    assert compared >= 70


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_files_of_joblib(compress):
    value = {
        "f8": np.arange(6.0).reshape(2, 3), "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "objects": np.array(["a", None, 1.5], object), "text": np.array(["ab", "c"]), "none": np.zeros((0, 3)),
        "one": np.array(5),
        "record": np.array([(1.0, 2)], [("a", "f8"), ("b", "i2")]), "time": np.array(["2026-01-01"], "M8[ns]"),
    }  # fmt: skip
    file = io.BytesIO()
    joblib.dump(value, file, compress=compress)
    loaded = load_restricted(file.getvalue())
    for key, array in value.items():
        np.testing.assert_array_equal(loaded[key], array)
        assert loaded[key].dtype == array.dtype
    assert loaded["order"].flags.f_contiguous


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "dtype", ["?", "i1", "<u2", ">i4", "f2", "f8", "c16", "S3", "U4", "M8[D]",
        "m8[3ms]", [("a", "f8"), ("b", "O")], [("x", "f4", (2, 2))]]
)  # fmt: skip
def test_dtypes(dtype, protocol):
    array = np.zeros(3, dtype)
    data = pickle.dumps(array, protocol)
    loaded, plain = load_restricted(data), pickle.loads(data)
    assert loaded.dtype == plain.dtype
    np.testing.assert_array_equal(loaded, plain)


def test_a_value_that_is_in_itself():
    value: list = [1]
    value.append(value)
    loaded = load_restricted(pickle.dumps(value))
    assert loaded[1] is loaded


def test_shared_values_stay_shared():
    part = np.zeros(3)
    a, b = load_restricted(pickle.dumps([part, part]))
    assert a is b
