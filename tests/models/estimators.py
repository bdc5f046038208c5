"""Every kind of model that scikit-learn and the boosters make, fitted on small data, logged, and loaded by a new process.

    python estimators.py STORE FILE     in a process of its own: load the references in FILE, and write what the models say
    python estimators.py --write        sweep all, or the groups that follow, and write `estimators.txt`

A case is a name, how to fit it, and what it is then asked with. `answers` is all that a fitted model can be asked.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import boosters
import numpy as np
import pandas as pd

RNG = np.random.default_rng(0)
N = 60  # rows
ARRAY = RNG.random((N, 4)) + 0.1
REAL = ARRAY @ [1.0, -2.0, 3.0, 0.5] + RNG.normal(size=N) / 10 + 5
YES = (np.median(REAL) < REAL).astype(int)
CLASSES = np.array(["low", "mid", "high"])[np.argsort(np.argsort(REAL)) * 3 // N]
TWO = np.stack([REAL, ARRAY[:, 0] + 1], axis=1)
FLAGS = np.stack([YES, (ARRAY[:, 1] > 0.6).astype(int)], axis=1)
TEXTS = [f"{'good' if yes else 'bad'} word{row % 7} of {row % 3}" for row, yes in enumerate(YES)]
RECORDS = [{"city": f"c{row % 4}", "size": float(ARRAY[row, 0])} for row in range(N)]
FRAME = pd.DataFrame(ARRAY, columns=list("abcd")).assign(k=[f"k{row % 3}" for row in range(N)])
FRAME.loc[::7, "b"] = np.nan
FRAME.loc[::11, "k"] = None
FRAME["k"] = FRAME["k"].astype("str")


@dataclass(frozen=True)
class Case:
    name: str
    fit: Callable[[], Any]
    """Makes the fitted model."""
    X: Any


# ------------------------------------------------------------------------------------------------------ scikit-learn


def required() -> dict[str, dict[str, Any]]:
    """What the constructors of scikit-learn ask for, and what makes the others quick or fit for the data."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    line, logistic, tree = LinearRegression(), LogisticRegression(), DecisionTreeClassifier(max_depth=2, random_state=0)
    grid, pair = {"C": [0.1, 1.0]}, [("a", logistic), ("b", tree)]
    lines = [("a", line), ("b", LinearRegression(fit_intercept=False))]
    return {
        "ClassifierChain": {"estimator": logistic, "random_state": 0},
        "ColumnTransformer": {"transformers": [("s", StandardScaler(), [0, 1]), ("m", MinMaxScaler(), slice(2, 3))],
                              "remainder": "passthrough"},
        "FeatureUnion": {"transformer_list": [("s", StandardScaler()), ("m", MinMaxScaler())]},
        "FixedThresholdClassifier": {"estimator": logistic, "threshold": 0.3},
        "FrozenEstimator": {"estimator": LogisticRegression().fit(ARRAY, YES)},
        "GridSearchCV": {"estimator": logistic, "param_grid": grid, "cv": 2},
        "HalvingGridSearchCV": {"estimator": logistic, "param_grid": grid, "cv": 2, "random_state": 0},
        "HalvingRandomSearchCV": {"estimator": logistic, "param_distributions": grid, "cv": 2, "random_state": 0},
        "MultiOutputClassifier": {"estimator": logistic}, "MultiOutputRegressor": {"estimator": line},
        "OneVsOneClassifier": {"estimator": logistic}, "OneVsRestClassifier": {"estimator": logistic},
        "OutputCodeClassifier": {"estimator": logistic, "random_state": 0},
        "Pipeline": {"steps": [("i", SimpleImputer()), ("s", StandardScaler()), ("m", logistic)]},
        "RFE": {"estimator": logistic}, "RFECV": {"estimator": logistic, "cv": 2},
        "RandomizedSearchCV": {"estimator": logistic, "param_distributions": grid, "n_iter": 2, "cv": 2,
                               "random_state": 0},
        "RegressorChain": {"estimator": line, "random_state": 0}, "SelectFromModel": {"estimator": logistic},
        "SequentialFeatureSelector": {"estimator": logistic, "cv": 2}, "SparseCoder": {"dictionary": np.eye(4)},
        "StackingClassifier": {"estimators": pair, "cv": 2}, "StackingRegressor": {"estimators": lines, "cv": 2},
        "TunedThresholdClassifierCV": {"estimator": logistic, "cv": 2},
        "VotingClassifier": {"estimators": pair, "voting": "soft"}, "VotingRegressor": {"estimators": lines},
        "SelfTrainingClassifier": {"estimator": logistic},
        "GaussianRandomProjection": {"n_components": 2}, "SparseRandomProjection": {"n_components": 2},
        "TSNE": {"perplexity": 5, "max_iter": 250}, "SpectralBiclustering": {"n_clusters": 2},
        "TruncatedSVD": {"n_components": 2}, "MDS": {"n_init": 1, "max_iter": 10, "init": "random"},
        "RadiusNeighborsClassifier": {"radius": 3.0}, "RadiusNeighborsRegressor": {"radius": 3.0},
        "SelectKBest": {"k": 2}, "LocalOutlierFactor": {"novelty": True}, "MinCovDet": {"support_fraction": 0.9},
        "EllipticEnvelope": {"support_fraction": 0.9},
        "SkewedChi2Sampler": {"skewedness": 1.0}, "PatchExtractor": {"patch_size": (2, 2)},
        "FeatureHasher": {"n_features": 16}, "HashingVectorizer": {"n_features": 64},
        "MLPClassifier": {"max_iter": 20}, "MLPRegressor": {"max_iter": 20},
        "QuadraticDiscriminantAnalysis": {"reg_param": 0.1}, "FastICA": {"whiten_solver": "eigh"},
    }  # fmt: skip


QUICK = {"n_estimators": 5, "random_state": 0, "n_restarts_optimizer": 0, "max_epochs": 5}
"""Parameters that are set wherever there are any of these names."""


def estimator(kind: type) -> Any:
    params = required().get(kind.__name__, {})
    known = set(kind._get_param_names()) if hasattr(kind, "_get_param_names") else set()
    return kind(**{name: value for name, value in QUICK.items() if name in known} | params)


def asked(kind: type) -> tuple[Any, Any]:
    """What it is fitted on alone: X and y."""
    name = kind.__name__
    match name:
        case "CountVectorizer" | "TfidfVectorizer" | "HashingVectorizer":
            return TEXTS, None
        case "DictVectorizer" | "FeatureHasher":
            return RECORDS, None
        case "LabelEncoder" | "LabelBinarizer":
            return CLASSES, None
        case "MultiLabelBinarizer":
            return [(f"k{row % 3}", f"k{row % 4}") for row in range(N)], None
        case "IsotonicRegression":
            return ARRAY[:, 0], REAL
        case "KernelCenterer":
            return ARRAY @ ARRAY.T, None
        case "PatchExtractor":
            return RNG.random((6, 5, 5)), None
        case "CategoricalNB":
            return (ARRAY * 3).astype(int), YES
        case "MultiOutputClassifier" | "ClassifierChain":
            return ARRAY, FLAGS
    return ARRAY, target(kind)


def target(kind: type) -> Any:
    from sklearn.base import is_classifier, is_regressor

    name = kind.__name__
    if name.startswith("MultiTask") or name in {
        "MultiOutputRegressor",
        "RegressorChain",
        "CCA",
        "PLSCanonical",
        "PLSSVD",
    }:
        return TWO
    if name in {"MultiOutputClassifier", "ClassifierChain"}:
        return FLAGS
    model = estimator(kind)
    if is_regressor(model):
        return REAL
    if is_classifier(model):
        return YES if "Threshold" in name or name == "SelfTrainingClassifier" else CLASSES
    return YES


def kinds() -> list[tuple[str, type]]:
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
    from sklearn.utils import all_estimators

    return list(all_estimators())


def alone() -> Iterator[Case]:
    for name, kind in kinds():
        X, y = asked(kind)
        yield Case(name, partial(_fit, partial(estimator, kind), X, y), X)


def _fit(make: Callable[[], Any], X: Any, y: Any) -> Any:
    model = make()
    return model.fit(X) if y is None else model.fit(X, y)


def prepared(model: Any) -> Any:
    """A pipeline as tabular data needs it: imputers, an encoder, a scaler, then the model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), MinMaxScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    return Pipeline([("in", ColumnTransformer([("n", numbers, list("abcd")), ("k", words, ["k"])])), ("model", model)])


ALONE_ONLY = {
    "CountVectorizer": "it takes texts", "TfidfVectorizer": "it takes texts", "HashingVectorizer": "it takes texts",
    "DictVectorizer": "it takes mappings", "FeatureHasher": "it takes mappings", "LabelEncoder": "it takes labels",
    "LabelBinarizer": "it takes labels", "MultiLabelBinarizer": "it takes sets of labels",
    "IsotonicRegression": "it takes one column", "KernelCenterer": "it takes a kernel",
    "PatchExtractor": "it takes images",
}  # fmt: skip
"""Not swept behind imputer, encoder and scaler, because of what they take."""


def in_pipeline() -> Iterator[Case]:
    for name, kind in kinds():
        if name in ALONE_ONLY:
            continue
        make = partial(estimator, kind)
        if name == "SparseCoder":
            make = partial(kind, np.eye(8))
        if name == "ColumnTransformer":
            make = partial(kind, required()[name]["transformers"], remainder="passthrough")
        if name == "FrozenEstimator":
            make = partial(_frozen, kind)
        yield Case(f"{name} in a pipeline", partial(_fit_prepared, make, target(kind)), FRAME)


def _frozen(kind: type) -> Any:
    from sklearn.linear_model import LogisticRegression

    return kind(LogisticRegression().fit(RNG.random((N, 8)), YES))


def options() -> Iterator[Case]:
    """Each estimator with each other value of each parameter that is one of some words."""
    for name, kind in kinds():
        X, y = asked(kind)
        for param, allowed in getattr(kind, "_parameter_constraints", {}).items():
            if not isinstance(allowed, list):
                continue
            words = {word for each in allowed for word in getattr(each, "options", ()) if isinstance(word, str)}
            default = estimator(kind).get_params(deep=False).get(param)
            for word in sorted(word for word in words if word != default):
                make = partial(_changed, kind, {param: word})
                yield Case(f"{name}, {param} {word}", partial(_fit, make, X, y), X)


def _changed(kind: type, params: dict[str, Any]) -> Any:
    return estimator(kind).set_params(**params)


def inputs() -> Iterator[Case]:
    """Each estimator on other kinds of input: sparse, 32 bits, named columns, whole numbers."""
    from scipy import sparse

    given = {
        "csr_matrix": sparse.csr_matrix(ARRAY), "csc_array": sparse.csc_array(ARRAY), "float32": ARRAY.astype("f4"),
        "frame": pd.DataFrame(ARRAY, columns=list("abcd")), "integers": (ARRAY * 10).astype(int),
        "nullable": pd.DataFrame(ARRAY, columns=list("abcd")).convert_dtypes(),
    }  # fmt: skip
    for name, kind in kinds():
        if name in ALONE_ONLY:
            continue
        for form, X in given.items():
            yield Case(f"{name} on {form}", partial(_fit, partial(estimator, kind), X, target(kind)), X)


def _fit_prepared(make: Callable[[], Any], y: Any) -> Any:
    return prepared(make()).fit(FRAME, y)


def composed() -> Iterator[Case]:
    """What is made of estimators: searches, calibration, ensembles of pipelines, targets that are transformed."""
    import sklearn.feature_selection as selection
    import sklearn.model_selection as search
    from scipy import stats
    from sklearn import compose, ensemble, metrics, multioutput
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA, KernelPCA, TruncatedSVD
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    from sklearn.impute import KNNImputer
    from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import (
        FunctionTransformer,
        KBinsDiscretizer,
        OneHotEncoder,
        OrdinalEncoder,
        PowerTransformer,
        QuantileTransformer,
        StandardScaler,
        TargetEncoder,
    )
    from sklearn.svm import SVC, LinearSVC

    logistic, ridge, forest = LogisticRegression(), Ridge(), RandomForestClassifier(4, random_state=0)
    pipeline, line = prepared(logistic), prepared(ridge)
    grid, spread = {"model__C": [0.1, 1.0]}, {"model__C": stats.loguniform(0.1, 1)}

    def given(name: str, model: Any, X: Any = FRAME, y: Any = YES) -> Case:
        return Case(name, partial(_fit, lambda: model, X, y), X)

    def frame(scorer: Any) -> Any:
        return search.GridSearchCV(pipeline, grid, cv=2, scoring=scorer)

    yield given("grid search", search.GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc"))
    yield given("grid search, several scores", search.GridSearchCV(
        pipeline, grid, cv=2, scoring=["accuracy", "roc_auc"], refit="roc_auc"))  # fmt: skip
    yield given("grid search, make_scorer", frame(metrics.make_scorer(metrics.fbeta_score, beta=0.5)))
    yield given("grid search, scorers by name", search.GridSearchCV(pipeline, grid, cv=2, refit="b", scoring={
        "a": metrics.make_scorer(metrics.log_loss, greater_is_better=False, response_method="predict_proba"),
        "b": metrics.get_scorer("f1_macro")}))  # fmt: skip
    for folds in (
        search.StratifiedKFold(2, shuffle=True, random_state=0), search.TimeSeriesSplit(2),
        search.RepeatedStratifiedKFold(n_splits=2, n_repeats=1, random_state=0), search.ShuffleSplit(2, random_state=0),
        search.PredefinedSplit(np.arange(N) % 2), [(np.arange(30), np.arange(30, N))],
    ):  # fmt: skip
        yield given(f"grid search, {type(folds).__name__}", search.GridSearchCV(pipeline, grid, cv=folds))
    yield given("grid search over steps", search.GridSearchCV(pipeline, {"model": [logistic, forest], "in__k": [
        "drop", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)]},
        cv=2))  # fmt: skip
    yield given("random search", search.RandomizedSearchCV(pipeline, spread, n_iter=2, cv=2, random_state=0))
    yield given("random search, integers", search.RandomizedSearchCV(
        prepared(forest), {"model__max_depth": stats.randint(1, 4)}, n_iter=2, cv=2, random_state=0))  # fmt: skip
    yield given("halving grid search", search.HalvingGridSearchCV(pipeline, grid, cv=2, random_state=0))
    yield given("halving random search", search.HalvingRandomSearchCV(
        pipeline, spread, n_candidates=2, cv=2, random_state=0))  # fmt: skip
    for method in ("sigmoid", "isotonic", "temperature"):
        yield given(f"calibration, {method}", CalibratedClassifierCV(prepared(LinearSVC()), method=method, cv=2))
    yield given("calibration, one model", CalibratedClassifierCV(pipeline, cv=2, ensemble=False), y=CLASSES)
    yield given("stack", ensemble.StackingClassifier([("a", pipeline), ("b", prepared(forest))], cv=2))
    yield given("stack, passthrough", ensemble.StackingRegressor(
        [("a", ridge), ("b", make_pipeline(StandardScaler(), ridge))], Ridge(2.0), cv=2, passthrough=True),
        ARRAY, REAL)  # fmt: skip
    yield given("vote, hard", ensemble.VotingClassifier([("a", pipeline), ("b", prepared(forest))]), y=CLASSES)
    yield given("vote, numbers", ensemble.VotingRegressor([("a", line), ("b", line)]), y=REAL)
    yield given("bagging of pipelines", ensemble.BaggingClassifier(
        make_pipeline(KNNImputer(), StandardScaler(), logistic), 3, max_features=2, random_state=0),
        FRAME[list("abcd")])  # fmt: skip
    yield given("boosting of pipelines", ensemble.AdaBoostRegressor(ridge, n_estimators=3, random_state=0), ARRAY, REAL)
    yield given("outputs", multioutput.MultiOutputRegressor(line), y=TWO)
    yield given("outputs, classes", multioutput.MultiOutputClassifier(pipeline), y=FLAGS)
    yield given("chain", multioutput.RegressorChain(
        make_pipeline(KNNImputer(), StandardScaler(), ridge), order="random", random_state=0), ARRAY, TWO)  # fmt: skip
    yield given("one against the rest", OneVsRestClassifier(pipeline), y=CLASSES)
    yield given("target by a function", compose.TransformedTargetRegressor(line, func=np.log1p, inverse_func=np.expm1),
                y=REAL)  # fmt: skip
    yield given("target by a transformer", compose.TransformedTargetRegressor(
        line, transformer=QuantileTransformer(n_quantiles=20)), y=REAL)  # fmt: skip
    yield given("columns by a selector", make_pipeline(compose.make_column_transformer(
        (StandardScaler(), compose.make_column_selector(dtype_include=np.number)),
        (TargetEncoder(random_state=0), compose.make_column_selector("^k")), verbose_feature_names_out=False),
        HistGradientBoostingClassifier(max_iter=3)))  # fmt: skip
    yield given("functions of numpy", make_pipeline(
        FunctionTransformer(np.log1p, np.expm1, feature_names_out="one-to-one"), StandardScaler(), ridge),
        FRAME[list("acd")], REAL)  # fmt: skip
    yield given("union of selections", make_pipeline(make_union(
        selection.SelectKBest(selection.f_classif, k=2), PCA(2), KBinsDiscretizer(3, encode="onehot-dense")),
        logistic), ARRAY)  # fmt: skip
    yield given("selections in a row", make_pipeline(selection.VarianceThreshold(), selection.SelectPercentile(
        selection.mutual_info_classif, percentile=80), selection.SelectFromModel(forest), SVC(probability=False)),
        ARRAY)  # fmt: skip
    yield given("pandas between steps", prepared(logistic).set_output(transform="default"), FRAME)
    yield given("frames between steps", make_pipeline(StandardScaler(), PowerTransformer(), ridge).set_output(
        transform="pandas"), FRAME[list("acd")], REAL)  # fmt: skip
    yield given("categories", make_pipeline(HistGradientBoostingRegressor(max_iter=3, categorical_features=["k"])),
                FRAME.assign(k=FRAME.k.astype("category")), REAL)  # fmt: skip
    yield given("infrequent categories", make_pipeline(OneHotEncoder(
        min_frequency=15, drop="if_binary", handle_unknown="infrequent_if_exist"), logistic), FRAME[["k"]])  # fmt: skip
    for name, kernel in {
        "sum": kernels.RBF(0.5) + kernels.WhiteKernel(), "product": kernels.ConstantKernel(2) * kernels.Matern(nu=1.5),
        "power": kernels.RationalQuadratic() ** 2,
        "others": kernels.DotProduct() + kernels.WhiteKernel(0.1) * kernels.ConstantKernel(3.0),
    }.items():  # fmt: skip
        yield given(f"kernel, {name}", GaussianProcessRegressor(kernel, optimizer=None), ARRAY, REAL)
    yield given("texts", make_pipeline(TfidfVectorizer(ngram_range=(1, 2), stop_words="english"), logistic), TEXTS)
    yield given("texts, counted", make_pipeline(
        CountVectorizer(analyzer="char_wb", max_features=20), TfidfTransformer(), TruncatedSVD(3, random_state=0),
        SGDClassifier(random_state=0)), TEXTS)  # fmt: skip
    yield given("texts in a column", make_pipeline(compose.make_column_transformer(
        (TfidfVectorizer(), "t"), (StandardScaler(), ["a"])), logistic),
        FRAME[["a"]].assign(t=TEXTS))  # fmt: skip
    yield given("mappings", make_pipeline(DictVectorizer(), logistic), RECORDS)
    yield given("mappings, searched", search.GridSearchCV(
        make_pipeline(DictVectorizer(sparse=False), StandardScaler(), logistic),
        {"logisticregression__C": [0.1, 1.0]}, cv=2), RECORDS)  # fmt: skip
    yield given("neighbours of pieces", make_pipeline(KernelPCA(2, kernel="rbf"), KNeighborsClassifier(
        metric="minkowski", p=3, weights="distance", algorithm="ball_tree")), ARRAY, CLASSES)  # fmt: skip
    yield given("clusters behind a scaler", make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)), ARRAY,
                None)  # fmt: skip
    yield given("only a preprocessor", prepared("passthrough"), FRAME, None)


# ----------------------------------------------------------------------------------------------------------- boosters


def of_boosters(library: str) -> Iterator[Case]:
    """Each objective alone on its own target; some inside a search, a pipeline with an imputer and an encoder."""
    for case in boosters.cases(library):
        yield Case(f"{library} {case.name}", case.fitted, case.X)
    for case in boosters.cases(library, names=boosters.SAMPLE[library], inside=True):
        yield Case(f"{library} {case.name}", case.fitted, case.X)
    kinds = {
        "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFRegressor"),
        "lightgbm": ("LGBMClassifier", "LGBMRegressor"), "catboost": ("CatBoostClassifier", "CatBoostRegressor"),
    }[library]  # fmt: skip
    module = __import__(library)
    params = {
        "xgboost": {"n_estimators": 3, "n_jobs": 1}, "lightgbm": {"n_estimators": 3, "verbose": -1, "n_jobs": 1},
        "catboost": {"iterations": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False},
    }[library]  # fmt: skip
    from sklearn.model_selection import GridSearchCV

    for name in kinds:
        y = YES if name.endswith("Classifier") else REAL
        make = partial(getattr(module, name), **params)
        yield Case(f"{name} in a pipeline", partial(_fit_prepared, make, y), FRAME)
        depth = "model__depth" if library == "catboost" else "model__max_depth"
        yield Case(
            f"{name} in a search of a pipeline",
            partial(
                _fit, lambda make=make, depth=depth: GridSearchCV(prepared(make()), {depth: [2, 3]}, cv=2), FRAME, y
            ),
            FRAME,
        )


# -------------------------------------------------------------------------------------------------------- a project's


PROJECT = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


def ratios(X):
    """The columns, and the first by each of the others."""
    return np.hstack([X, X[:, :1] / (X[:, 1:] + 1)])


def bounded(X, low=0.0, high=1.0):
    return np.clip(X, low, high)


def loss(y, answer):
    return float(np.mean(np.abs(y - answer)))


class Clip(TransformerMixin, BaseEstimator):
    """Cuts outliers off, at quantiles of what it was fitted on."""

    def __init__(self, share=0.1):
        self.share = share

    def fit(self, X, y=None):
        self.low_, self.high_ = np.nanquantile(X, [self.share, 1 - self.share], axis=0)
        return self

    def transform(self, X):
        return np.clip(X, self.low_, self.high_)


class Nearest(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == each].mean(axis=0) for each in self.classes_])
        return self

    def predict(self, X):
        return self.classes_[((X[:, None] - self.means_[None]) ** 2).sum(axis=2).argmin(axis=1)]


class Plain:
    """No estimator of scikit-learn's: it only has what a step needs."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.mean_
'''
"""The module `shop_steps` of somebody's project."""


def of_project() -> Iterator[Case]:
    import shop_steps as steps  # the test puts it where it is found
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    def given(name: str, model: Any, X: Any = ARRAY, y: Any = CLASSES) -> Case:
        return Case(f"project: {name}", partial(_fit, lambda: model, X, y), X)

    ratios = FunctionTransformer(steps.ratios)
    yield given("function", make_pipeline(ratios, StandardScaler(), LogisticRegression()))
    yield given("function with arguments", make_pipeline(
        FunctionTransformer(steps.bounded, kw_args={"high": 0.5}), LogisticRegression()))  # fmt: skip
    yield given("transformer", make_pipeline(steps.Clip(), ratios, LogisticRegression()))
    yield given("transformer of columns", make_pipeline(make_column_transformer(
        (steps.Clip(0.2), ["a", "b"]), remainder="drop"), StandardScaler(), Ridge()), FRAME[list("acd")].assign(
        b=1.0), REAL)  # fmt: skip
    yield given("model", make_pipeline(StandardScaler(), steps.Nearest()))
    yield given("model alone", steps.Nearest())
    yield given("step of another base", make_pipeline(steps.Plain(), LogisticRegression()))
    yield given("scorer", GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2,
                                       scoring=make_scorer(steps.loss, greater_is_better=False)), y=REAL)  # fmt: skip
    yield given("target", TransformedTargetRegressor(Ridge(), func=steps.bounded, inverse_func=np.positive,
                                                     check_inverse=False), y=REAL)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ answers


METHODS = (
    "predict", "predict_proba", "decision_function", "transform", "score_samples", "apply", "predict_log_proba",
    "kneighbors",
)  # fmt: skip


def answers(model: Any, X: Any, ask: Callable[[Any, str], Any]) -> dict[str, Any]:
    """What a model says of X by each method that it has, and the numbers that fitting left in it.

    A method that fails is told by its error: the loaded model must fail alike.
    """
    found: dict[str, Any] = {}
    for method in METHODS:
        if hasattr(model, method):
            try:
                found[method] = _plain(ask(X, method))
            except Exception as error:  # noqa: BLE001 - of any library
                found[method] = type(error).__name__
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    for name, value in getattr(last, "__dict__", {}).items():
        if name.endswith("_") and _is_plain(value):
            found[name] = _plain(value)
    return found


def _is_plain(value: Any) -> bool:
    if getattr(getattr(value, "dtype", None), "kind", "") == "O" and hasattr(value, "ravel"):
        return all(isinstance(item, (str, int, float, type(None))) for item in value.ravel())
    return isinstance(value, (int, float, str)) or getattr(getattr(value, "dtype", None), "kind", "O") in "biufcUSMm"


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.toarray() if hasattr(value, "toarray") else np.asarray(value)


def unlike(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where two answers differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = [f"{path}/{name}: only one has it" for name in sorted(expected.keys() ^ found.keys())]
        both = [name for name in expected if name in found]
        return missing + [d for name in both for d in unlike(expected[name], found[name], f"{path}/{name}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [d for n, pair in enumerate(zip(expected, found, strict=True)) for d in unlike(*pair, f"{path}/{n}")]
    a, b = np.asarray(expected), np.asarray(found)
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return [f"{path}: {a.dtype}{a.shape}, {b.dtype}{b.shape} {str(found)[:60]!r}"]
    if a.dtype.kind in "fc":
        same = np.allclose(
            a, b, rtol=1e-9, atol=1e-7, equal_nan=True
        )  # a distance of 0 is the root of a rounding error
    elif a.dtype.kind == "O":
        same = a.astype(str).tolist() == b.astype(str).tolist()
    else:
        same = bool((a == b).all())
    return [] if same else [f"{path}: {str(expected)[:60]!r}, {str(found)[:60]!r}"]


def main(path: str, file: str) -> None:
    import modelmgmt as mm

    with open(file, "rb") as stream:
        asked = pickle.load(stream)
    told: dict[str, Any] = {}
    with mm.Store(path) as store:
        for name, (reference, X) in asked.items():
            try:
                loaded = mm.load_model(reference, store=store, cached=False)
                told[name] = answers(
                    loaded.model, X, lambda data, method, loaded=loaded: loaded.predict(data, method=method)
                )
            except Exception as error:  # noqa: BLE001 - all that is found is told
                told[name] = f"{type(error).__name__}: {error}"
    with open(file, "wb") as stream:
        pickle.dump(told, stream)


# -------------------------------------------------------------------------------------------------------------- sweep


def unusual() -> Iterator[Case]:
    from unusual import cases  # which needs this module

    yield from cases()


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "alone": alone, "pipeline": in_pipeline, "composed": composed, "project": of_project, "unusual": unusual,
    **{library: partial(of_boosters, library) for library in boosters.LIBRARIES}, "options": options, "inputs": inputs,
}  # fmt: skip
UNLISTED = ("options", "inputs")
"""Of these groups, the list has only what is not kept as skops for everybody; what cannot be fitted has not such options."""
LIST = Path(__file__).with_name("estimators.txt")


@dataclass(frozen=True)
class Told:
    """How one model came back."""

    format: str
    named: tuple[str, ...]
    """The types that somebody who does not trust the package must name."""
    differences: tuple[str, ...]

    def line(self, group: str, name: str) -> str:
        return "\t".join([group, name, self.format, " ".join(self.named)]).rstrip("\t") + "\n"


def sweep(store: Any, cases: Iterable[Case], folder: Path) -> tuple[dict[str, Told], dict[str, str]]:
    """Log each, have one new process of the author load all: how each came back; why others cannot be fitted."""
    from threadpoolctl import threadpool_limits

    from modelmgmt.models import formats
    from modelmgmt.models.packaging.files import PackageFiles
    from modelmgmt.models.packaging.package import WEIGHTS

    asked, kept, left_out = {}, {}, {}
    with store.start_run("sweep") as run, warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of the libraries, and of models that are kept as cloudpickle
        for number, case in enumerate(cases):
            try:
                model = case.fit()
            except Exception as error:  # noqa: BLE001 - of any library
                left_out[case.name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:80]}"
                continue
            said = [answers(model, case.X, partial(formats.plain_predict, model)) for _ in range(2)]
            logged = run.log_model(model, f"model{number}", input_example=case.X[:8])
            with PackageFiles(store._kernel, logged.package, WEIGHTS) as files:
                named = tuple(sorted(formats.unreviewed(formats.get(logged.format), files)))
            asked[case.name] = (logged.reference, case.X)
            kept[case.name] = (logged.format, named, said)
    file = folder / "asked.pickle"
    file.write_bytes(pickle.dumps(asked))
    command = [sys.executable, "-W", "ignore", __file__, str(store.path), str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    told = pickle.loads(file.read_bytes())
    found = {}
    for name, (kind, named, (said, again)) in kept.items():
        if isinstance(told[name], str):
            differences = [told[name]]
        else:
            random = {path for path in said if unlike(said[path], again.get(path))}
            differences = unlike(
                *({path: each[path] for path in each if path not in random} for each in (said, told[name]))
            )
        found[name] = Told(kind, named, tuple(differences))
    return found, left_out


def listed() -> tuple[set[str], dict[str, dict[str, tuple[str, tuple[str, ...]]]], dict[str, dict[str, str]]]:
    """What the list has: the versions by which it was made, format and names by group and case, what is left out and why."""
    versions: set[str] = set()
    found: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {group: {} for group in GROUPS}
    left_out: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    for line in LIST.read_text("utf-8").splitlines():
        if line.startswith("# VERSIONS "):
            versions = set(line.split()[2:])
        if line.startswith("#") or not line:
            continue
        group, name, kind, *more = line.split("\t")
        if kind == "-":
            left_out[group][name] = more[0]
        else:
            found[group][name] = (kind, tuple(more[0].split()) if more else ())
    return versions, found, left_out


def here() -> set[str]:
    """The versions of those of these libraries that are installed."""
    found = set()
    for name in ("scikit-learn", "skops", "scipy", "xgboost-cpu", "lightgbm", "catboost"):
        with suppress(PackageNotFoundError):
            found.add(f"{name}=={version(name)}")
    return found


HEAD = """\
# How each model is kept: made by tests/models/estimators.py --write, and held to by test_every_estimator.py.
#
#   GROUP  CASE  FORMAT  NAMES     loaded by its author in a new process, it answers as it did; a stranger must name NAMES
#   GROUP  CASE  -       WHY       left out
#
# Of the groups "options" and "inputs" only those are here that are not kept as skops for everybody.
#
"""


def write(groups: Collection[str]) -> None:
    """Sweep these groups; the lines of the others stay."""
    import tempfile

    import modelmgmt as mm

    lines = {group: [] for group in GROUPS}
    for line in LIST.read_text("utf-8").splitlines(keepends=True):
        group = line.partition("\t")[0]
        if group in lines and group not in groups:
            lines[group].append(line)
    if "pipeline" in groups:
        lines["pipeline"] = [f"pipeline\t{name} in a pipeline\t-\t{why}\n" for name, why in ALONE_ONLY.items()]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["MODELMGMT_CONFIG"] = str(folder / "config")
        os.environ["MODELMGMT_CACHE"] = str(folder / "cache")
        (folder / "shop_steps.py").write_text(PROJECT)
        sys.path.insert(0, place)
        for group in groups:
            with mm.Store(folder / group) as store:
                found, left_out = sweep(store, GROUPS[group](), folder)
            for name, told in found.items():
                for difference in told.differences:
                    print(f"{group}: {name}: {difference}")
                if group not in UNLISTED or told.named or told.format != "skops":
                    lines[group].append(told.line(group, name))
            if group not in UNLISTED:
                lines[group] += [f"{group}\t{name}\t-\t{why}\n" for name, why in left_out.items()]
            print(f"{group}: {len(found)} models")
    text = [HEAD, f"# VERSIONS {' '.join(sorted(here()))}\n\n", *(line for each in lines.values() for line in each)]
    LIST.write_text("".join(text), "utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2:] or list(GROUPS))
    else:
        main(*sys.argv[1:])
