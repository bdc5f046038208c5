"""log_model reads back what it wrote: it loads, and answers the example as the model that was handed in."""

from __future__ import annotations

import itertools
import random
import re
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    cluster,
    decomposition,
    ensemble,
    linear_model,
    manifold,
    neighbors,
    preprocessing,
    svm,
)
from sklearn.covariance import EmpiricalCovariance
from sklearn.cross_decomposition import PLSRegression
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError
from modelmgmt.models import formats
from modelmgmt.models.packaging import readback

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
TWO = np.stack([Y, 1 - Y], 1)
REAL = X @ [1.0, -2.0, 0.5, 0.0]


@pytest.fixture
def run(store):
    with store.start_run("models") as run:
        yield run


class Answering:
    def __init__(self, answer):
        self.answer = answer

    def predict(self, X):
        return self.answer


def nothing_is_left(store, run):
    """Neither half a model nor its files."""
    assert run.artifacts == {}
    assert len(store.models) == 0
    assert [path.name for path in (store.path / "tmp").iterdir() if path.name.startswith("pack-")] == []
    assert store.check(deep=True) == []


# ------------------------------------------------------------------------------------- what each kind of model is asked


@pytest.mark.parametrize(
    ("model", "same"),
    [
        (linear_model.LogisticRegression().fit(X, Y), ("predict", "predict_proba")),
        (ensemble.RandomForestRegressor(5).fit(X, TWO), ("predict",)),
        (MultiOutputClassifier(linear_model.LogisticRegression()).fit(X, TWO), ("predict", "predict_proba")),
        (svm.LinearSVC().fit(X, Y), ("predict", "decision_function")),
        (ensemble.IsolationForest(n_estimators=5, random_state=0).fit(X), ("predict", "decision_function")),
        (neighbors.LocalOutlierFactor(novelty=True).fit(X), ("predict", "decision_function")),
        (neighbors.LocalOutlierFactor().fit(X), ("kneighbors",)),
        (cluster.KMeans(2, n_init=1).fit(X), ("predict",)),
        (cluster.DBSCAN().fit(X), ("core_sample_indices_", "labels_", "components_")),
        (manifold.TSNE(perplexity=5, max_iter=250).fit(X), ("embedding_",)),
        (decomposition.PCA(2).fit(X), ("transform", "score_samples")),
        (preprocessing.OneHotEncoder(handle_unknown="ignore").fit(X.round()), ("transform",)),
        (neighbors.NearestNeighbors().fit(X), ("kneighbors",)),
        (neighbors.KernelDensity().fit(X), ("score_samples",)),
        (EmpiricalCovariance().fit(X), ("mahalanobis",)),
        (PLSRegression().fit(X, REAL), ("predict",)),
        (make_pipeline(preprocessing.StandardScaler(), decomposition.TruncatedSVD(2)).fit(X), ("transform",)),
        (make_pipeline(preprocessing.StandardScaler(), svm.SVC()).fit(X, Y), ("predict", "decision_function")),
        (np.sin, ("predict",)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_model_answers_by_its_own_methods(store, run, model, same):
    logged = run.log_model(model, "model", input_example=X[:7])
    assert logged.verified.loads
    assert set(logged.verified.same) == set(same)
    assert logged.verified.reason == ""
    if not same[0].endswith("_"):
        assert logged.package.example.method == same[0]
        assert mm.load_model(logged.reference, store=store, cached=False).check_example() == ""


def test_texts_give_a_sparse_answer_that_is_kept_and_compared(store, run):
    texts = ["a model that was logged", "was loaded", "and answers"]
    logged = run.log_model(TfidfVectorizer().fit(texts), "words", input_example=texts)
    loaded = mm.load_model(logged.reference, store=store, cached=False)
    assert logged.verified.same == ("transform",)
    assert loaded.check_example() == ""
    loaded.model.idf_[1] += 1
    assert "the largest difference is" in loaded.check_example()


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosters_are_compared(store, run, library):
    module = pytest.importorskip(library)
    kind = module.XGBClassifier if library == "xgboost" else module.LGBMClassifier
    quiet = {} if library == "xgboost" else {"verbose": -1}
    model = kind(n_estimators=3, **quiet).fit(X, Y)
    assert run.log_model(model, "model", input_example=X[:5]).verified.same == ("predict", "predict_proba")
    trained = model.get_booster() if library == "xgboost" else model.booster_
    assert run.log_model(trained, "booster", input_example=X[:5]).verified.same == ("predict",)


def test_without_an_example_only_loading_is_checked_and_that_is_said(store, run):
    logged = run.log_model(linear_model.LinearRegression().fit(X, REAL), "line")
    assert logged.verified == readback.Verified(loads=True, reason="no input example")
    assert str(logged.verified) == "loads (no input example)"
    assert mm.load_model(logged.reference, store=store).package.verified == logged.verified


def test_a_model_that_fails_on_its_example_must_still_load(store, run):
    with pytest.warns(UserWarning, match="failed on its input example"):
        logged = run.log_model(linear_model.LinearRegression(), "unfitted", input_example=X[:5])
    assert str(logged.verified) == "loads (it failed on its input example)"
    with pytest.raises(InvalidTypeError, match="cannot be loaded"):
        run.log_model(Unloadable(), "model", input_example=X[:5])


@pytest.mark.parametrize("form", ["mappings", "another order", "an array", "integers"])
def test_an_example_is_asked_as_a_given_signature_hands_it_on(store, run, form):
    frame = pd.DataFrame(X.round(), columns=list("abcd"))
    model = linear_model.LinearRegression().fit(frame, REAL)
    example = {
        "mappings": frame[:5].to_dict("records"),
        "another order": frame[list("dcba")][:5],
        "an array": frame[:5].to_numpy(),
        "integers": frame[:5].astype(int),
    }[form]
    logged = run.log_model(model, "line", input_example=example, signature=mm.infer_signature(frame))
    assert logged.verified.same == ("predict",)
    assert np.allclose(logged.package.example.output, model.predict(frame[:5]))
    assert mm.load_model(logged.reference, store=store).check_example() == ""


@pytest.mark.parametrize(
    "answer", [object(), None, [[1], [1, 2]], {"a": {1, 2}}], ids=["object", "None", "ragged", "sets"]
)
def test_answers_of_a_kind_that_nobody_can_compare_are_not(store, run, answer):
    logged = run.log_model(Answering(answer), "odd", input_example=X[:5])
    assert str(logged.verified) == "loads (answers of a kind that cannot be compared)"


@pytest.mark.parametrize("answer", ["a text", b"bytes", 1.5, True, ["a", "b"], {"a": [1.0]}, [{"label": "x"}]])
def test_plain_answers_are_compared(store, run, answer):
    logged = run.log_model(Answering(answer), "plain", input_example=X[:5])
    assert logged.verified.same == ("predict",)
    if isinstance(answer, str | bytes):
        with pytest.raises(InvalidTypeError, match="it is another text"):
            run.log_model(Cut(answer), "plain", input_example=X[:5])


class Cut(Answering):
    def __getstate__(self):
        return {"answer": self.answer[:1]}


class BreaksAfterwards(Answering):
    def __getstate__(self):
        return {"answer": np.ones(5)}

    def predict(self, X):
        found, self.answer = self.answer.copy(), None
        return found


def test_a_model_that_answers_only_once_is_only_loaded(store, run):
    logged = run.log_model(BreaksAfterwards(np.zeros(5)), "once", input_example=X[:5])
    assert str(logged.verified) == "loads (its answers change from call to call)"


# ------------------------------------------------------------------------------------------------------------- faults


class Unloadable:
    def __setstate__(self, state):
        raise RuntimeError("no such place")

    def __getstate__(self):
        return {"a": 1}

    def predict(self, X):
        return np.zeros(len(X))


class Forgets:
    """Leaves its offset out when it is pickled."""

    offset = 0.0

    def __getstate__(self):
        return {"slope": self.__dict__.get("slope", 2.0)}

    def predict(self, X):
        return np.asarray(X)[:, 0] * 2.0 + self.offset


class LosesItWhenLoaded(Forgets):
    def __getstate__(self):
        return self.__dict__

    def __setstate__(self, state):
        self.__dict__.update(state, offset=0.0)


class Reduced(Forgets):
    def __reduce__(self):
        return Reduced, ()


class BecomesAnother(Forgets):
    def __reduce__(self):
        return Answering, (None,)


class LacksIt(Forgets):
    def predict(self, X):
        return np.asarray(X)[:, 0] + self.__dict__["offset"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Forgets, r"predict: 5 of 5 values differ; the largest difference is 3"),
        (LosesItWhenLoaded, "the largest difference is 3"),
        (Reduced, "the largest difference is 3"),
        (BecomesAnother, "predict: numpy.ndarray became builtins.NoneType"),
        (LacksIt, "predict of what was written fails .*KeyError: 'offset'"),
    ],
)
def test_what_a_pickle_leaves_out_is_seen_at_the_call(store, run, kind, said):
    model = kind()
    model.offset = 3.0
    for options in ({}, {"format": "cloudpickle"}, {"verify": True}):
        with pytest.raises(InvalidTypeError, match=said) as caught:
            run.log_model(model, "model", input_example=X[:5], register_as="churn", **options)
        assert "cannot be stored as cloudpickle" in str(caught.value)
        assert "verify=False" in str(caught.value)
    nothing_is_left(store, run)
    logged = run.log_model(model, "model", input_example=X[:5], verify=False)
    assert str(logged.verified) == "not read back (verify=False was given)"
    assert not logged.verified.loads


@pytest.fixture
def estimators(tmp_path, monkeypatch):
    """A module of the project, with estimators that skops, or that everybody, gets wrong."""
    (tmp_path / "shop_estimators.py").write_text(
        textwrap.dedent(
            """
            import numpy as np
            from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

            class Known(RegressorMixin, BaseEstimator):
                '''skops writes what __getstate__ gives, and a pickle what __reduce__ gives.'''
                def fit(self, X, y):
                    self.mean_ = float(np.mean(y))
                    return self
                def predict(self, X):
                    return np.full(len(X), self.mean_)

            class LostBySkops(Known):
                def __getstate__(self):
                    return {**super().__getstate__(), "mean_": 0.0}
                def __reduce__(self):
                    return _restored, (type(self), self.mean_)

            class UnreadableBySkops(LostBySkops):
                def __setstate__(self, state):
                    raise RuntimeError("not this way")

            class LostByAll(Known):
                def __getstate__(self):
                    return {**super().__getstate__(), "mean_": 0.0}

            class Counting(LostBySkops):
                calls_ = 0
                def predict(self, X):
                    self.calls_ += 1
                    return super().predict(X)
                def __reduce__(self):
                    return _restored, (type(self), self.mean_, self.calls_)

            def _restored(kind, mean, calls=0):
                found = kind()
                found.mean_, found.calls_ = mean, calls
                return found
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__("shop_estimators")
    sys.modules.pop("shop_estimators", None)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("LostBySkops", r"answers otherwise \(predict: 5 of 5 values differ; the largest difference is 4"),
        ("UnreadableBySkops", r"cannot be loaded \(.*not this way"),
    ],
)
def test_what_one_format_gets_wrong_the_next_one_keeps_with_one_warning(store, run, estimators, name, cause):
    model = getattr(estimators, name)().fit(X, np.full(60, 4.0))
    with pytest.warns(UserWarning, match="cannot be stored") as caught:
        logged = run.log_model(model, "model", input_example=X[:5])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    said = str(caught[0].message)
    assert (
        "stored as cloudpickle, which runs code when it is loaded, because it cannot be stored as skops: what" in said
    )
    assert re.search(cause, said)
    assert logged.format == "cloudpickle"
    assert logged.verified.same == ("predict",)
    assert "as skops" in logged.package.content["reason"]
    assert mm.load_model(logged.reference, store=store).predict(X).tolist() == [4.0] * 60
    with pytest.raises(InvalidTypeError, match=rf"cannot be stored as skops: what was written {cause}"):
        run.log_model(model, "other", input_example=X[:5], format="skops")
    assert list(run.artifacts) == ["model"]


def test_what_no_format_keeps_is_refused_with_what_each_said(store, run, estimators):
    model = estimators.LostByAll().fit(X, np.full(60, 4.0))
    with pytest.raises(
        InvalidTypeError, match=r"cannot be stored as skops: what .*; nor as cloudpickle: what was written"
    ):
        run.log_model(model, "model", input_example=X[:5], register_as="churn")
    nothing_is_left(store, run)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "onnx", "safetensors", "skops", "cloudpickle"])
@pytest.mark.parametrize("fault", ["fails", "answers otherwise"])
def test_a_fault_of_any_format_is_seen(store, run, monkeypatch, name, fault):
    """The format's reader is made to do what no test has found it doing."""
    model, spoil = sound(name)
    module = formats.get(name)
    reader = "load_apart" if name == "cloudpickle" else "load"
    load = getattr(module, reader)

    def faulty(*args):
        if fault == "fails":
            raise RuntimeError("out of order")
        return spoil(load(*args))

    run.log_model(model, "before", input_example=X[:5], format=name)
    monkeypatch.setattr(module, reader, faulty)
    with pytest.raises(InvalidTypeError, match="what was written") as caught:
        run.log_model(model, "model", input_example=X[:5], format=name)
    assert f"cannot be stored as {name}" in str(caught.value)
    if name == "cloudpickle":
        return
    with pytest.warns(UserWarning, match=rf"is stored as .* because it cannot be stored as {name}: what was written"):
        logged = run.log_model(model, "model", input_example=X[:5])
    assert logged.format == ("skops" if name in {"xgboost", "lightgbm"} else "cloudpickle")
    assert logged.verified.loads


def sound(name):
    """A model that a format keeps, and what makes another one of it."""

    def set_to(attribute, value):
        def spoil(model):
            setattr(model, attribute, value)
            return model

        return spoil

    if name in {"xgboost", "lightgbm"}:
        library = pytest.importorskip(name)
        if name == "xgboost":
            return library.XGBRegressor(n_estimators=3).fit(X, REAL), set_to("missing", X[0, 0].item())
        model = library.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, REAL)
        other = library.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, -REAL)
        return model, lambda _: other
    if name == "onnx":
        onnx = pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT

        def graph(operator):
            values = [helper.make_tensor_value_info(each, kind, [None, 4]) for each in ("x", "y")]
            body = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "graph", values[:1], values[1:])
            return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

        return graph("Abs"), lambda _: graph("Neg")
    if name == "safetensors":
        return {"w": X, "b": np.zeros(3)}, lambda arrays: {**arrays, "b": np.ones(3)}
    if name == "skops":
        return linear_model.LinearRegression().fit(X, REAL), set_to("intercept_", 5.0)
    return Answering(np.zeros(5)), set_to("answer", np.ones(5))


class Lengths(np.ndarray):
    """An array of numbers with a unit, say."""


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f8"), np.arange(6.0).reshape(2, 3).T, np.float32(1.5), np.array(3), np.zeros((0, 3)),
        np.array([np.nan, 1]), np.array([True]), np.arange(3, dtype="f2"), np.array([1 + 2j]),
        np.ma.array([1.0, 2.0], mask=[True, False]), np.arange(2.0).view(Lengths), np.arange(3, dtype=np.longdouble),
    ],
    ids=lambda array: f"{type(array).__name__}-{array.dtype}-{array.shape}",
)  # fmt: skip
def test_arrays_come_back_as_they_were_in_whatever_format(store, run, array):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of those that another format keeps
        logged = run.log_model({"w": array}, "arrays")
        found = mm.load_model(logged.reference, store=store).model["w"]
    assert repr(np.asarray(found, found.dtype.newbyteorder("="))) == repr(
        np.asarray(array, array.dtype.newbyteorder("="))
    )
    assert isinstance(found, type(array)) or np.ndim(array) == 0
    assert np.all(np.ma.getmaskarray(found) == np.ma.getmaskarray(array))


# -------------------------------------------------------------------------------------------- what is random, or counts


class Draws:
    def __init__(self, source):
        self.source = source

    def predict(self, X):
        return {
            "numpy": lambda: np.random.random(len(X)),  # noqa: NPY002
            "python": lambda: np.array([random.random() for _ in X]),
            "fresh": lambda: np.random.default_rng().random(len(X)),
            "coin": lambda: np.random.default_rng().integers(0, 2, 1),
            "own": lambda: self.source.random(len(X)),
        }[self.source if isinstance(self.source, str) else "own"]()


@pytest.mark.parametrize("source", ["numpy", "python", "own"])
def test_random_numbers_are_drawn_from_the_same_state_and_nobody_elses_are_used_up(store, run, source):
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = np.random.random(), random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    model = Draws(np.random.default_rng(3) if source == "own" else source)
    logged = run.log_model(model, "draws", input_example=X[:5])
    assert logged.verified.same == ("predict",)
    assert (np.random.random(), random.random()) == before  # noqa: NPY002
    if source == "own":
        assert mm.load_model(logged.reference, store=store).model.source.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("source", ["fresh", "coin"])
def test_a_model_that_contradicts_itself_is_only_loaded(store, run, source):
    found = {str(run.log_model(Draws(source), "draws", input_example=X[:5]).verified) for _ in range(5)}
    assert "loads (its answers change from call to call)" in found or source == "coin"
    assert found <= {"loads (its answers change from call to call)", "loads with the same predict"}


class Counts:
    total = itertools.count()

    def __init__(self):
        self.calls = 0

    def predict(self, X):
        self.calls += 1
        return np.full(len(X), float(self.calls))


class CountsForAll(Counts):
    def predict(self, X):
        return np.full(len(X), next(self.total))


def test_a_model_that_counts_its_calls_is_stored_as_it_was_handed_in(store, run):
    model = Counts()
    model.predict(X)
    logged = run.log_model(model, "counts", input_example=X[:5])
    assert logged.verified.same == ("predict",)
    assert mm.load_model(logged.reference, store=store).model.calls == 1
    assert "change from call to call" in str(run.log_model(CountsForAll(), "all", input_example=X[:5]).verified)


def test_also_when_another_format_keeps_it(store, run, estimators):
    model = estimators.Counting().fit(X, np.full(60, 4.0))
    with pytest.warns(UserWarning, match="stored as cloudpickle"):
        logged = run.log_model(model, "counts", input_example=X[:5])
    assert model.calls_ > 0
    assert mm.load_model(logged.reference, store=store).model.calls_ == 0


def test_a_model_of_well_known_libraries_is_written_once(store, run, monkeypatch):
    """Nothing has to be kept for another format: being asked does not change it."""
    monkeypatch.setattr(formats.get("cloudpickle"), "save", lambda *_: pytest.fail("it was written again"))
    model = make_pipeline(preprocessing.StandardScaler(), ensemble.RandomForestClassifier(3)).fit(X, Y)
    assert run.log_model(model, "model", input_example=X[:5]).format == "skops"


def test_a_model_that_writes_to_its_input_is_given_copies(store, run):
    scaler = preprocessing.StandardScaler(copy=False).fit(X)
    frame = pd.DataFrame(X, columns=list("abcd"))
    logged = run.log_model(scaler, "scaler", input_example=X[:5].copy())
    assert logged.verified.same == ("transform",)
    assert np.array_equal(logged.package.example.input, X[:5])

    def doubled(data):
        data["a"] *= 2
        return data["a"].to_numpy()

    logged = run.log_model(doubled, "doubled", input_example=frame)
    pd.testing.assert_frame_equal(logged.package.example.input, pd.DataFrame(X, columns=list("abcd")))
    pd.testing.assert_frame_equal(frame, pd.DataFrame(X, columns=list("abcd")))


def test_a_class_of_a_notebook_is_not_touched_by_reading_back(store, run):
    """cloudpickle would overwrite the methods of the class that this process has."""
    space = {"__name__": "__main__"}
    source = """
    class Shift:
        made = []
        def predict(self, X):
            return X.sum(axis=1) + BY
    BY = 1.0
    """
    exec(textwrap.dedent(source), space)
    model = space["Shift"]()
    method, made = space["Shift"].predict, space["Shift"].made
    logged = run.log_model(model, "shift", input_example=X[:5])
    assert logged.verified.same == ("predict",)
    assert space["Shift"].predict is method
    assert space["Shift"].made is made
    space["BY"] = 2.0
    assert np.allclose(model.predict(X), X.sum(axis=1) + 2)


# ----------------------------------------------------------------------------------------------------- what is too much


def test_what_is_large_or_slow_is_read_back_on_request(store, run, monkeypatch):
    model = Forgets()
    model.offset = 3.0
    monkeypatch.setattr(readback, "MUCH", 10)
    logged = run.log_model(model, "large", input_example=X[:5])
    assert str(logged.verified) == "not read back (it has 0.0 GB, and verify=True was not given)"
    with pytest.raises(InvalidTypeError, match="largest difference is 3"):
        run.log_model(model, "large", input_example=X[:5], verify=True)
    monkeypatch.setattr(readback, "MUCH", 1 << 30)
    monkeypatch.setattr(readback, "LONG", -1.0)
    logged = run.log_model(model, "slow", input_example=X[:5])
    assert str(logged.verified) == "not read back (writing took 0 s, and verify=True was not given)"


# --------------------------------------------------------------------------------------------------------------- trust


def test_what_was_read_back_is_trusted_by_nobody_who_does_not_trust_it(store, run, estimators, tmp_path, monkeypatch):
    logged = run.log_model(estimators.Known().fit(X, REAL), "known", input_example=X[:5])
    pickled = run.log_model(Answering(1.0), "pickled", input_example=X[:5])
    assert (logged.format, pickled.format) == ("skops", "cloudpickle")
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "strangers"))
    for each in (logged, pickled):
        with pytest.raises(mm.errors.UntrustedModelError):
            mm.load_model(each.reference, store=store)


# ------------------------------------------------------------------------------- loaded where something else is installed


@pytest.fixture
def factors(tmp_path, monkeypatch):
    """A module of the project, as a library whose next version answers otherwise."""
    source = """
        import numpy as np
        FACTOR = 2.0
        calls = []
        class Scaled:
            made = 0
            def predict(self, X):
                calls.append(1)
                self.made += 1
                if FACTOR is None:
                    raise ValueError("no factor any more")
                return np.asarray(X)[:, 0] * FACTOR
        class Noisy:
            def predict(self, X):
                return np.random.default_rng().random(len(X)) * FACTOR
    """
    (tmp_path / "shop_factors.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__("shop_factors")
    sys.modules.pop("shop_factors", None)


@pytest.fixture(params=["PYTHON", "PLATFORM", "requirements"])
def elsewhere(request, monkeypatch):
    """What is logged says that it was made with something else; what a warning says of it."""
    from modelmgmt.models import load  # noqa: F401 - which knows what is here
    from modelmgmt.models.packaging import package

    if request.param == "requirements":
        monkeypatch.setattr(package, "requirements", lambda modules: ("numpy==1.0.1",))
        return "numpy 1.0.1, .* here"
    monkeypatch.setattr(package, request.param, "Other 1")
    return f"{request.param.lower()} Other 1, .* here"


def warnings_of_loading(logged, store):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = mm.load_model(logged.reference, store=store, cached=False)
    return loaded, [str(each.message) for each in caught if "made with other versions" not in str(each.message)]


@pytest.mark.parametrize(
    ("now", "said"),
    [(3.0, "predict: 5 of 5 values differ; the largest"), (None, "ValueError: no factor any more")],
)
def test_loading_elsewhere_asks_the_example_and_warns_when_the_answer_differs(
    store, run, factors, elsewhere, now, said
):
    logged = run.log_model(factors.Scaled(), "scaled", input_example=X[:5], code=False)
    loaded, warned = warnings_of_loading(logged, store)
    assert warned == []
    factors.FACTOR = now
    loaded, warned = warnings_of_loading(logged, store)
    assert len(warned) == 1
    assert re.search(
        rf"The model scaled does not answer its input example .*\({said}.*What differs: .*{elsewhere}", warned[0]
    )
    assert loaded.model.made == 0, "what is handed out was not asked"


def test_a_random_model_is_not_asked_elsewhere(store, run, factors, elsewhere):
    logged = run.log_model(factors.Noisy(), "noisy", input_example=X[:5], code=False)
    unread = run.log_model(factors.Noisy(), "unread", input_example=X[:5], code=False, verify=False)
    factors.FACTOR = 5.0
    assert warnings_of_loading(logged, store)[1] == []
    assert warnings_of_loading(unread, store)[1] == []


def test_transformers_are_asked_elsewhere_by_their_own_method(store, run, elsewhere, monkeypatch):
    logged = run.log_model(preprocessing.StandardScaler().fit(X), "scaler", input_example=X[:5])
    assert warnings_of_loading(logged, store)[1] == []
    monkeypatch.setattr(preprocessing.StandardScaler, "transform", lambda self, X: X * 2)
    [warned] = warnings_of_loading(logged, store)[1]
    assert "(transform: 20 of 20 values differ" in warned


def test_loading_where_nothing_differs_asks_nothing(store, run, factors):
    logged = run.log_model(factors.Scaled(), "scaled", input_example=X[:5], code=False)
    factors.calls.clear()
    factors.FACTOR = 3.0
    assert warnings_of_loading(logged, store)[1] == []
    assert factors.calls == []


# --------------------------------------------------------------------------------------------- what a stranger will need


@pytest.mark.parametrize(
    ("model", "said", "trust"),
    [
        (linear_model.Ridge().fit(X, REAL), "no trust, ", False),
        ({"w": X}, "no trust, ", False),
        (Answering(1.0), r"trust \(cloudpickle runs code\), ", True),
    ],
    ids=["skops", "safetensors", "cloudpickle"],
)
def test_log_model_says_what_a_stranger_needs(store, run, tmp_path, monkeypatch, model, said, trust):
    logged = run.log_model(model, "model", input_example=None, code=False, register_as="churn")
    needs = logged.needs
    text = str(needs)
    assert re.match(said, text)
    assert repr(needs) == f"<Needs {text}>"
    assert "\n" not in text
    assert needs.trust is trust
    assert needs.packages == logged.package.requirements
    assert f"Python {sys.version.split()[0]}, {needs.packages[0]}" in text
    assert store.models["churn"][1].needs == needs
    assert text.replace("_", r"\_").replace("`", "") in store.models["churn"][1].card()
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "strangers"))
    if trust:
        with pytest.raises(mm.errors.UntrustedModelError):
            mm.load_model(logged.reference, store=store, cached=False)
    mm.load_model(logged.reference, store=store, cached=False, trust=True if trust else None)


def test_needs_name_types_and_code_of_the_project(store, run, estimators, tmp_path, monkeypatch):
    model = make_pipeline(preprocessing.StandardScaler(), estimators.Known()).fit(X, REAL)
    included = run.log_model(model, "included", input_example=X[:5]).needs
    assert (included.types, included.code, included.missing) == (
        ("shop_estimators.Known",),
        ("shop_estimators.py",),
        (),
    )
    assert str(included).startswith("trust (types shop_estimators.Known; code shop_estimators.py), Python ")
    left_out = run.log_model(model, "left out", input_example=X[:5], code=False)
    assert (left_out.needs.code, left_out.needs.missing) == ((), ("shop_estimators.py",))
    assert ", shop_estimators.py (not in the package), Python " in str(left_out.needs)
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "strangers"))
    loaded = mm.load_model(left_out.reference, store=store, trust=list(included.types))
    assert loaded.check_example() == ""


def test_a_version_that_log_model_did_not_make_says_nothing_of_needs(store, register):
    version = register()
    assert version.needs is None
    assert "to load it" not in version.card()
