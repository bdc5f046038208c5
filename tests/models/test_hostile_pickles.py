"""Pickles that stay inside the list of names and still mean harm; and those that ask for all time or memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from payloads import P2, P4, call, name, obj, stack, text

from modelmgmt.errors import ModelmgmtError, RefusedPickleError
from modelmgmt.models.trust.opcodes import read_opcodes
from modelmgmt.models.trust.pickle_reader import load_restricted
from modelmgmt.models.trust.simulation import Limits

ARRAY = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), obj((0,)), obj(b"b"))
LINEAR = name("sklearn.linear_model._base", "LinearRegression") + b")\x81"
BITS = call(name("numpy.random._pickle", "__bit_generator_ctor"), name("numpy.random._mt19937", "MT19937"))


def dtype(kind, *state):
    made = call(name("numpy", "dtype"), text(kind), b"\x89", b"\x88")
    return (
        made + b"(" + b"".join(part if isinstance(part, bytes) else obj(part) for part in state) + b"tb"
        if state
        else made
    )


def array(kind, shape, content):
    return ARRAY + b"(K\x01" + obj(shape) + kind + b"\x89" + obj(content) + b"tb"


OBJECT_AS_BYTES = dtype("O8", 3, "|", None, None, None, -1, -1, 0)
BEYOND = dtype("V8", 3, "|", None, ("a",), b"}" + text("a") + b"(" + dtype("f8") + b"M\xe8\x03ts", 8, 1, 16)

BOOSTERS = ("lightgbm.basic.Booster", "xgboost.core.Booster")
HOSTILE = {
    "pointers as bytes": array(OBJECT_AS_BYTES, (1,), b"\x41" * 8),
    "a column outside of its record": array(BEYOND, (1,), bytes(8)),
    "an array without its bytes": array(dtype("f8"), (1000,), b""),
    "an array beyond any memory": array(dtype("f8"), (1 << 50,), b""),
    "a shape below zero": array(dtype("f8"), (-1,), b""),
    "objects without a list": array(dtype("O8"), (1 << 40,), []),
    "a dtype of text that is code": call(name("numpy", "dtype"), text("f8,O")),
    "an array of another class": call(
        name("numpy._core.multiarray", "_reconstruct"), name("numpy", "memmap"), obj((0,)), obj(b"b")
    ),
    "an Index that is no Index": call(
        name("pandas.core.indexes.base", "_new_Index"), name("pandas", "StringDtype"), b"}"
    ),
    "a generator of a name": call(name("numpy.random._pickle", "__randomstate_ctor"), text("MT19937")),
    "a generator with a place outside": BITS
    + obj({"bit_generator": "MT19937", "state": {"key": [0] * 624, "pos": 1 << 20}}) + b"b",
    "a function where a value belongs": b"]" + name("numpy.random._pickle", "__generator_ctor") + b"a",
    "another encoding": call(name("_codecs", "encode"), text("x"), text("rot13")),
    "bytes of a size": call(name("builtins", "bytearray"), b"J\xff\xff\xff\x7f"),
    "a factory that is a class": call(name("collections", "defaultdict"), name("numpy", "ndarray")),
    "a set of an iterator": call(name("builtins", "set"), call(name("builtins", "range"), b"J\xff\xff\xff\x7f")),
    "a state twice": LINEAR + b"}b}b",
    "a state that changes the class": LINEAR + b"}" + text("__class__") + name("numpy", "ndarray") + b"sb",
    "a state that says how states are set": LINEAR + b"}" + text("__setstate__") + name("builtins", "list") + b"sb",
    "a state in slots that changes the class": LINEAR + b"N}" + text("__class__") + name("builtins", "list") + b"s\x86b",
    "a state for what others share": call(name("pandas", "PeriodDtype"), text("period[D]")) + b"}b",
    "a state for a number": b"K\x01}b",
    "a state for a list": b"]}b",
    "a state for a class": name("builtins", "list") + b"}b",
    "a state for a dtype, twice": dtype("f8", 3, "<", None, None, None, -1, -1, 0) + b"(K\x03tb",
    "an item on an array": array(dtype("f8"), (1,), bytes(8)) + b"K\x00K\x01s",
    "an item on an object": LINEAR + text("a") + text("b") + b"s",
    "something appended to an object": LINEAR + text("a") + b"a",
    "something appended to a dict": b"}" + text("a") + b"a",
    "a class that may only be named": name("numpy", "ndarray") + b")\x81",
    "a class that may only be named, called": call(name("numpy", "ndarray"), obj((1 << 40,))),
    "an empty instance with arguments": name("sklearn.linear_model._base", "LinearRegression") + b"\x88\x85\x81",
    "a reconstructor of a class that may only be named": call(
        name("copyreg", "_reconstructor"), name("numpy", "ndarray"), name("builtins", "object"), b"N"
    ),
    "a reconstructor with another base": call(
        name("copyreg", "_reconstructor"), name("uuid", "UUID"), name("builtins", "int"), b"K\x01"
    ),
    "a module that has the name": call(name("sklearn.linear_model._base", "os"), b"N"),
    "a longer name": stack("sklearn.linear_model", "_base.LinearRegression") + b")\x81",
    "a module of the list under its parent's name": name("sklearn", "linear_model") + b")\x81",
    "a booster that frees a number": name("lightgbm.basic", "Booster") + b")\x81}" + text("_handle") + b"K\x7fsb",
    "another booster that frees a number": name("xgboost.core", "Booster") + b")\x81}" + text("handle") + b"K\x7fsb",
    "INST of a class in the list": b"(iuuid\nUUID\n",
    "OBJ of a class in the list": b"(" + name("uuid", "UUID") + b"o",
}  # fmt: skip


@pytest.mark.parametrize("title", HOSTILE)
def test_names_of_the_list_are_not_enough(title):
    data = P2 + HOSTILE[title] + b"."
    read_opcodes(data)
    with pytest.raises(RefusedPickleError):
        load_restricted(data, BOOSTERS)


def tree_pickle(change):
    tree = pytest.importorskip("sklearn.tree")
    model = tree.DecisionTreeClassifier(random_state=0).fit(np.arange(40).reshape(20, 2), np.arange(20) % 3)
    state = model.tree_.__getstate__()
    change(state)

    class Stand:
        def __reduce__(self):
            return tree._tree.Tree, (2, np.array([3], np.intp), 1), state

    return pickle.dumps(Stand())


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 0), ("right_child", 10**6), ("feature", 7), ("left_child", -5)]
)
def test_trees_that_do_not_end_or_lead_outside(field, value):
    def change(state):
        state["nodes"] = state["nodes"].copy()
        state["nodes"][field][0] = value

    load_restricted(tree_pickle(lambda state: None))
    with pytest.raises(RefusedPickleError, match="a tree"):
        load_restricted(tree_pickle(change))


def test_sparse_matrices_that_lead_outside():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.eye(3))
    matrix.indices = matrix.indices + 1000
    with pytest.raises(RefusedPickleError):
        load_restricted(pickle.dumps(matrix))


@pytest.mark.parametrize("field", ["idx_start", "is_leaf", "order"])
def test_search_trees_that_lead_outside(field):
    neighbors = pytest.importorskip("sklearn.neighbors")
    tree = neighbors.KDTree(np.random.default_rng(0).normal(size=(50, 2)), leaf_size=5)
    state = list(tree.__getstate__())
    load_restricted(pickle.dumps(tree))
    if field == "order":
        state[1] = state[1] + 1000
    else:
        state[2] = state[2].copy()
        state[2][field][-1] = {"idx_start": 10**6, "is_leaf": 0}[field]

    class Stand:
        def __reduce__(self):
            return neighbors._kd_tree.newObj, (neighbors.KDTree,), tuple(state)

    with pytest.raises(RefusedPickleError, match="search tree"):
        load_restricted(pickle.dumps(Stand()))


class Made:
    """An object that pickles as a call."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


def refused(value, match):
    with pytest.raises(RefusedPickleError, match=match):
        load_restricted(pickle.dumps(value))


@pytest.mark.parametrize(
    "place", [slice(10**9, 10**9 + 2), slice(0, 4, 2), slice(1, 3), np.array([0, 0]), np.array([0, -5])]
)
def test_frames_whose_blocks_lie_outside(place):
    """pandas writes to its index wherever they say, without a look."""
    import pandas as pd
    from pandas._libs.internals import _unpickle_block
    from pandas.core.internals.managers import BlockManager

    axes = [pd.RangeIndex(2), pd.RangeIndex(3)]
    honest = Made(BlockManager, (Made(_unpickle_block, np.zeros((2, 3)), slice(0, 2), 2),), axes)
    load_restricted(pickle.dumps(honest))
    refused(Made(BlockManager, (Made(_unpickle_block, np.zeros((2, 3)), place, 2),), axes), "refused|a block")


def test_frames_whose_blocks_are_too_short():
    import pandas as pd
    from pandas._libs.internals import _unpickle_block
    from pandas.core.internals.managers import BlockManager

    axes = [pd.RangeIndex(2), pd.RangeIndex(3000)]
    refused(
        Made(BlockManager, (Made(_unpickle_block, np.zeros((2, 3)), slice(0, 2), 2),), axes), "a block|its own library"
    )


def test_categories_and_levels_beyond_those_that_there_are():
    import pandas as pd

    function, args, state = pd.Categorical(["u", "v"]).__reduce__()
    codes = np.array([100, 1], np.int8)
    forged = tuple(codes if isinstance(part, np.ndarray) else part for part in state)
    refused(Made(function, *args, state=forged), "a category")
    function, (kind, parts), *_ = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]).__reduce__()
    refused(
        Made(function, kind, {**parts, "codes": [np.array([100, 0]), np.array([0, 1])]}), "an index|its own library"
    )


def test_coordinates_outside_of_a_matrix():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.coo_matrix(np.eye(3))
    load_restricted(pickle.dumps(matrix))
    matrix.row[0] = 10**8
    refused(matrix, "values outside")


def fitted(module, name, **options):
    x = np.random.default_rng(0).normal(size=(40, 3))
    return getattr(pytest.importorskip(f"sklearn.{module}"), name)(**options).fit(x, np.arange(40) % 3)


@pytest.mark.parametrize(
    "name", ["RandomForestClassifier", "GradientBoostingClassifier", "IsolationForest", "BaggingClassifier"]
)
def test_forests_that_take_fewer_features_than_their_trees(name):
    forest = fitted("ensemble", name, n_estimators=2, random_state=0)
    load_restricted(pickle.dumps(forest))
    forest.n_features_in_ = 1
    refused(forest, "features beyond")
    del forest.n_features_in_
    refused(forest, "how many features")


def test_trees_that_take_fewer_features():
    tree = fitted("tree", "DecisionTreeClassifier")
    tree.n_features_in_ = 1
    refused(tree, "features beyond")
    boosted = fitted("ensemble", "HistGradientBoostingClassifier", max_iter=2)
    load_restricted(pickle.dumps(boosted))
    boosted.n_features_in_ = 0
    refused(boosted, "features beyond")


@pytest.mark.parametrize(
    "field", ["_n_support", "support_vectors_", "_dual_coef_", "_intercept_", "support_", "n_features_in_"]
)
@pytest.mark.parametrize("name", ["SVC", "SVR", "OneClassSVM", "NuSVC"])
def test_support_vectors_that_are_not_there(name, field):
    model = fitted("svm", name, **({"nu": 0.2} if name == "NuSVC" else {}))
    load_restricted(pickle.dumps(model))
    value = getattr(model, field)
    changed = value * 1000 if field == "_n_support" else value + 50 if field == "n_features_in_" else value[..., :0]
    vars(model)[field] = changed
    refused(model, "support vectors|coefficients")


@pytest.mark.parametrize("name", ["SVC", "SVR", "OneClassSVM", "NuSVC"])
@pytest.mark.parametrize("form", ["csr_matrix", "csc_array"])
def test_sparse_support_vectors(name, form):
    sparse = pytest.importorskip("scipy.sparse")
    X = getattr(sparse, form)(np.random.default_rng(0).normal(size=(40, 3)).round())
    model = getattr(pytest.importorskip("sklearn.svm"), name)(**({"nu": 0.2} if name == "NuSVC" else {}))
    model.fit(X, np.arange(40) % 3)
    loaded = load_restricted(pickle.dumps(model))
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    sound = dict(vars(model))
    fewer = sound["_dual_coef_"].copy()
    fewer.data, fewer.indices, fewer.indptr = fewer.data[:1], fewer.indices[:1], np.minimum(fewer.indptr, 1)
    changes = {
        "_n_support": sound["_n_support"] * 1000, "support_": sound["support_"][:0], "n_features_in_": 50,
        "support_vectors_": sound["support_vectors_"][:1], "_intercept_": sound["_intercept_"][:0],
        "_dual_coef_": fewer, "_sparse": False,
    }  # fmt: skip
    for field, changed in changes.items():
        vars(model).update(sound)
        vars(model)[field] = changed
        refused(model, "support vectors|coefficients")
    vars(model).update(sound)
    vars(model)["support_vectors_"] = sound["support_vectors_"].toarray()
    refused(model, "support vectors")


def test_splines_without_their_coefficients():
    model = fitted("preprocessing", "SplineTransformer")
    load_restricted(pickle.dumps(model))
    vars(model.bsplines_[0])["_c"] = model.bsplines_[0].c[:1]
    refused(model, "a spline")


def test_slots_are_no_way_to_a_property():
    data = P2 + name("sklearn.gaussian_process.kernels", "RBF") + b")\x81N}" + text("theta") + b"K\x01s\x86b."
    with pytest.raises(RefusedPickleError, match="no slot"):
        load_restricted(data)


# ------------------------------------------------------------------------------------------- all time, all memory


def laughs(levels=100):
    """A tuple that holds the one before twice: its hash walks through 2**levels parts."""
    return b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(levels))


def deep(levels):
    return b")" + b"\x85" * levels


def zip_bomb(size=1 << 28):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data.pkl", "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return file.getvalue()


BOMBS = {
    "a long int of 2 GiB that is not there": P2 + b"\x8b\xff\xff\xff\x7f.",
    "bytes of 2**62 that are not there": P4 + b"\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "text of 2**63 that is not there": P4 + b"\x8d" + struct.pack("<Q", 1 << 63) + b".",
    "a bytearray of 2**62 that is not there": P4 + b"\x96" + struct.pack("<Q", 1 << 62) + b".",
    "a length below zero": P2 + b"T\xff\xff\xff\xff.",
    "a frame of 2**63": P4 + b"\x95" + struct.pack("<Q", 1 << 63),
    "a million digits": b"I" + b"9" * 10**6 + b"\n.",
    "a million digits, long": b"L" + b"9" * 10**6 + b"L\n.",
    "a million digits, float": b"F" + b"9" * 10**6 + b"\n.",
    "a memo with a million digits": b"Ng" + b"9" * 10**6 + b"\n.",
    "a key that laughs": P2 + b"}" + laughs() + b"Ns.",
    "a member of a set that laughs": P4 + b"\x8f(" + laughs() + b"\x90.",
    "a member of a frozenset that laughs": P4 + b"(" + laughs() + b"\x91.",
    "a set of a list that laughs": P2 + call(name("builtins", "set"), b"]" + laughs() + b"a") + b".",
    "a Counter that laughs": P2 + call(name("collections", "Counter"), b"}" + laughs() + b"Ns") + b".",
    "an OrderedDict that laughs": P2 + call(name("collections", "OrderedDict"), b"](" + laughs() + b"Nta") + b".",
    "a million tuples in one another": P2 + deep(10**6) + b".",
    "a million lists in one another": P2 + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "marks without end": b"(" * 10**6,
    "nothing": b"",
    "only a header": P4,
    "only the end": b".",
    "gzip bomb": gzip.compress(bytes(1 << 28)),
    "zlib bomb": zlib.compress(bytes(1 << 28)),
    "bz2 bomb": bz2.compress(bytes(1 << 27)),
    "xz bomb": lzma.compress(bytes(1 << 27)),
    "gzip in gzip in gzip": gzip.compress(gzip.compress(gzip.compress(bytes(1 << 27)))),
    "zip bomb": zip_bomb(),
    "xz that asks for a dictionary of 4 GiB": b"\x5d\xff\xff\xff\xff" + b"\xff" * 8 + bytes(32),
    "a joblib array that is not there": P2 + name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    + obj({"subclass": np.ndarray, "shape": (1 << 40,), "order": "C", "dtype": np.dtype("f8"), "allow_mmap": False}) + b"b.",
}  # fmt: skip


@pytest.mark.parametrize("title", BOMBS)
def test_bombs_are_refused_in_bounds(title):
    import resource

    data = BOMBS[title]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_opcodes(data)
    with pytest.raises(ModelmgmtError):
        load_restricted(data)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert grown_mib < 700


def test_the_number_of_instructions_is_bounded():
    with pytest.raises(RefusedPickleError, match="more than 1,000 instructions"):
        load_restricted(P2 + b"N0" * 1000 + b"N.", limits=Limits(max_operations=1000))


def test_nothing_is_built_before_all_is_judged(monkeypatch):
    from modelmgmt.models.trust import pickle_reader

    monkeypatch.setattr(pickle_reader._Builder, "build", lambda self: pytest.fail("it began to build"))
    with pytest.raises(RefusedPickleError, match=r"posix\.system is not known to be harmless"):
        load_restricted(pickle.dumps([1, 2])[:-1] + b"0" + name("posix", "system") + b".")


def test_a_refusal_names_what_is_missing():
    from fractions import Fraction

    class Own:
        pass

    globals()["Own"] = Own
    Own.__qualname__ = "Own"
    data = pickle.dumps([Own(), Fraction(1, 2)])
    with pytest.raises(RefusedPickleError, match=rf"trust=\['{__name__}.Own'\]"):
        load_restricted(data)
    assert type(load_restricted(data, [f"{__name__}.Own"])[0]) is Own


@pytest.mark.parametrize(
    "known", ["subprocess.Popen", "os.system", "builtins.eval", "functools.partial", "pickle.Unpickler"]
)
def test_the_standard_library_is_not_opened_by_name(known):
    with pytest.raises(RefusedPickleError, match="standard library"):
        load_restricted(pickle.dumps(1), [known])
