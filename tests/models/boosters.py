"""Boosters of every objective that a small data set allows, fitted; and what is asked of one, before and after its trip.

`python boosters.py STORE FILE` asks those whose references are in FILE, in a process of its own.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.random((80, 4)), columns=["a", "b c", "c", "d"])
GAPS = FRAME.mask(FRAME > 0.8, -1.0)
CATEGORIES = FRAME.assign(
    k=pd.Categorical(RANDOM.choice(["u", "v", "wörd"], 80)), n=pd.Categorical(np.arange(80) % 3 * 5)
)
WORDS = FRAME.assign(k=RANDOM.choice(["u", "v", "wörd"], 80))
REAL = (FRAME.a * 3 + FRAME.d).to_numpy() + 0.1
UNIT = REAL / 5
COUNTS = np.floor(REAL * 3)
YES = (FRAME.a + FRAME["b c"] > 1).astype(int)
TEXT = YES.map({0: "no", 1: "yes"})
CLASSES = np.floor(FRAME.a * 3).astype(int)
TWO = np.stack([REAL, -REAL], axis=1)
GROUPS = np.arange(80) // 10


@dataclass(frozen=True)
class Case:
    """An estimator, not fitted, and how `fit` is called."""

    name: str
    model: Any
    X: Any = field(default_factory=lambda: FRAME)
    y: Any = field(default_factory=lambda: REAL)
    fit: dict[str, Any] = field(default_factory=dict)

    def fitted(self, model: Any = None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries, of what is deprecated in them
            return (self.model if model is None else model).fit(self.X, self.y, **self.fit)


def xgboost() -> Iterator[Case]:
    xgb = import_module("xgboost")

    def reg(name, X=FRAME, y=REAL, fit=None, **params):
        return Case(name, xgb.XGBRegressor(n_estimators=4, n_jobs=1, **params), X, y, fit or {})

    def classify(name, X=FRAME, y=YES, fit=None, **params):
        return Case(name, xgb.XGBClassifier(n_estimators=4, n_jobs=1, **params), X, y, fit or {})

    for objective in ("squarederror", "squaredlogerror", "pseudohubererror", "absoluteerror", "gamma", "tweedie"):
        yield reg(objective, objective=f"reg:{objective}")
    yield reg("logistic", y=UNIT, objective="reg:logistic")
    yield reg("quantile", objective="reg:quantileerror", quantile_alpha=0.3)
    yield reg("multi-quantile", objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9])
    yield reg("quantile of an array", objective="reg:quantileerror", quantile_alpha=np.array([0.2, 0.8]))
    yield reg("poisson", y=COUNTS, objective="count:poisson", max_delta_step=0.5)
    yield reg("tweedie power", y=COUNTS, objective="reg:tweedie", tweedie_variance_power=1.2)
    yield reg("cox", objective="survival:cox")
    yield reg("missing", X=GAPS, missing=-1)
    yield reg("missing is numpy's", X=GAPS, missing=np.float64(-1.0))
    yield reg("array", X=FRAME.to_numpy(np.float32))
    yield reg("base score", base_score=7.5)
    yield reg("monotone", monotone_constraints={"a": 1, "d": -1})
    yield reg("monotone tuple", monotone_constraints=(1, 0, 0, -1), interaction_constraints=[["a", "b c"], ["c", "d"]])
    yield reg("outputs", y=TWO, multi_strategy="multi_output_tree")
    yield reg("linear", booster="gblinear", updater="coord_descent", feature_selector="cyclic")
    yield reg("dart", booster="dart", rate_drop=0.5, random_state=3)
    yield reg(
        "weights of columns", feature_weights=np.array([1.0, 0.1, 0.1, 1.0]), colsample_bynode=0.5, random_state=1
    )
    yield reg("categories", X=CATEGORIES, enable_categorical=True, max_cat_to_onehot=1)
    yield Case("forest", xgb.XGBRFRegressor(n_estimators=4, n_jobs=1, random_state=5))
    yield Case("forest of classes", xgb.XGBRFClassifier(n_estimators=4, n_jobs=1, random_state=5), y=CLASSES)
    yield classify("binary", scale_pos_weight=2.0)
    yield classify("missing in classes", X=GAPS, missing=-1)
    yield classify("hinge", objective="binary:hinge")
    yield classify("raw", objective="binary:logitraw")
    yield classify("classes", y=CLASSES)
    yield classify("softmax", y=CLASSES, objective="multi:softmax")
    yield classify("labels", y=np.stack([YES, 1 - YES], axis=1))
    yield classify(
        "early", X=CATEGORIES, enable_categorical=True, early_stopping_rounds=1, eval_metric=["auc", "logloss"],
        learning_rate=3.0, fit={"eval_set": [(CATEGORIES, 1 - YES)], "verbose": False},
    )  # fmt: skip
    for objective in ("ndcg", "pairwise", "map"):
        model = xgb.XGBRanker(n_estimators=4, n_jobs=1, objective=f"rank:{objective}")
        yield Case(f"rank {objective}", model, y=YES, fit={"qid": GROUPS})


def lightgbm() -> Iterator[Case]:
    lgb = import_module("lightgbm")
    common = {"n_estimators": 4, "n_jobs": 1, "verbose": -1, "min_child_samples": 2}

    def reg(name, X=FRAME, y=REAL, fit=None, **params):
        return Case(name, lgb.LGBMRegressor(**(common | params)), X, y, fit or {})

    def classify(name, X=FRAME, y=YES, fit=None, **params):
        return Case(name, lgb.LGBMClassifier(**(common | params)), X, y, fit or {})

    for objective in ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "gamma", "tweedie"):
        yield reg(objective, objective=objective)
    yield reg("alpha", objective="quantile", alpha=0.1)
    yield reg("poisson", y=COUNTS, objective="poisson")
    yield reg("unit", y=UNIT, objective="cross_entropy")
    yield reg("dart", boosting_type="dart", drop_rate=0.5)
    yield reg("forest", boosting_type="rf", subsample=0.5, subsample_freq=1, random_state=2)
    yield reg("linear leaves", linear_tree=True)
    yield reg("monotone", monotone_constraints=[1, 0, 0, -1])
    yield reg("zero is missing", X=GAPS.replace(-1.0, 0.0), zero_as_missing=True)
    yield reg("array", X=FRAME.to_numpy(np.float32))
    yield classify("binary", is_unbalance=True)
    yield classify("text", y=TEXT)
    yield classify("text array", y=TEXT.to_numpy(str), class_weight={"no": 1.0, "yes": 2.5})
    yield classify("true or false", y=YES.astype(bool))
    yield classify("classes", y=CLASSES, class_weight="balanced")
    yield classify("one against all", y=CLASSES, objective="multiclassova")
    yield classify("categories", X=CATEGORIES, cat_smooth=1.0, min_data_per_group=2)
    early = {"eval_X": CATEGORIES, "eval_y": 1 - YES, "eval_metric": ["auc", "binary_logloss"]}
    yield classify("early", X=CATEGORIES, fit=early | {"callbacks": [lgb.early_stopping(1, verbose=False)]})
    for objective in ("lambdarank", "rank_xendcg"):
        model = lgb.LGBMRanker(objective=objective, random_state=3, **common)
        yield Case(objective, model, y=YES, fit={"group": [10] * 8, "eval_at": (1, 3)})


def catboost() -> Iterator[Case]:
    cat = import_module("catboost")
    common = {"iterations": 4, "thread_count": 1, "verbose": 0, "allow_writing_files": False, "depth": 3}

    def reg(name, X=FRAME, y=REAL, fit=None, **params):
        return Case(name, cat.CatBoostRegressor(**(common | params)), X, y, fit or {})

    def classify(name, X=FRAME, y=YES, fit=None, **params):
        return Case(name, cat.CatBoostClassifier(**(common | params)), X, y, fit or {})

    for loss in (
        "RMSE", "MAE", "Quantile:alpha=0.3", "MultiQuantile:alpha=0.1,0.9", "Poisson", "Tweedie:variance_power=1.5",
        "LogLinQuantile", "MAPE", "Huber:delta=1", "Expectile:alpha=0.3", "Lq:q=1.5", "RMSEWithUncertainty",
    ):  # fmt: skip
        yield reg(loss, loss_function=loss)
    yield reg("outputs", y=TWO, loss_function="MultiRMSE")
    yield reg("other name", objective="Poisson", y=COUNTS)
    yield reg("words", X=WORDS, cat_features=["k"], loss_function="Tweedie:variance_power=1.9")
    yield reg("words named in fit", X=WORDS, fit={"cat_features": ["k"]})
    yield reg("monotone", monotone_constraints={"a": 1})
    yield reg("set aside", loss_function="Poisson", fit={"eval_set": (FRAME, REAL[::-1]), "early_stopping_rounds": 1})
    yield classify("Logloss")
    yield classify("CrossEntropy", loss_function="CrossEntropy")
    yield classify("text", y=TEXT, class_weights={"no": 1.0, "yes": 2.0})
    yield classify("classes", y=CLASSES, auto_class_weights="Balanced")
    yield classify("one against all", y=CLASSES, loss_function="MultiClassOneVsAll")
    yield classify("early", X=WORDS, cat_features=[4], custom_metric=["AUC"], fit={"eval_set": [(WORDS, 1 - YES)]})
    yield Case("plain", cat.CatBoost(common | {"loss_function": "Poisson"}))
    for loss in ("YetiRank", "QueryRMSE"):
        yield Case(loss, cat.CatBoostRanker(loss_function=loss, **common), y=YES, fit={"group_id": GROUPS})


LIBRARIES: dict[str, Callable[[], Iterator[Case]]] = {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost}
SAMPLE = {
    "xgboost": {"poisson", "missing", "multi-quantile", "early", "classes"},
    "lightgbm": {"poisson", "text array", "early", "lambdarank"},
    "catboost": {"Poisson", "words", "text", "early"},
}
"""What the tests of every day take of them."""


def composed(case: Case) -> Iterator[Case]:
    """The estimator of a case inside scikit-learn's own."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import StackingClassifier, VotingRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    def given(name, model):
        return Case(f"{case.name} in a {name}", model, case.X, case.y)

    pipeline = make_pipeline(FunctionTransformer(), case.model)
    yield given("pipeline", pipeline)
    depth = "depth" if type(case.model).__module__.startswith("catboost") else "max_depth"
    yield given("search", GridSearchCV(pipeline, {f"{type(case.model).__name__.lower()}__{depth}": [2, 3]}, cv=2))
    if hasattr(case.model, "predict_proba"):
        yield given("calibration", CalibratedClassifierCV(case.model, cv=2))
        yield given("stack", StackingClassifier([("a", case.model), ("b", LogisticRegression())], cv=2))
    else:
        yield given("vote", VotingRegressor([("a", case.model), ("b", case.model)]))


_FITTED = (
    "n_features_in_", "classes_", "best_iteration", "best_iteration_", "best_score", "best_score_", "evals_result_",
    "objective_", "intercept_", "coef_", "n_classes_", "learning_rate_", "tree_count_", "feature_importances_",
    "n_estimators_", "feature_names_", "random_seed_",
)  # fmt: skip


def params_of(model: Any) -> dict[str, Any]:
    """The parameters, those of estimators inside by their own names."""
    if hasattr(model, "get_params"):
        deep = model.get_params(deep=True)
        return {name: value for name, value in deep.items() if not hasattr(value, "get_params") and name != "steps"}
    return {}


def facts(model: Any, X: Any) -> dict[str, Any]:
    """All that can be asked of a fitted model: answers, parameters, what fitting left in it."""
    found: dict[str, Any] = {"params": params_of(model), "class": type(model).__name__}
    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            found[method] = np.asarray(getattr(model, method)(X))
    for name in (*_FITTED, "feature_names_in_", "feature_name_"):
        try:
            value = getattr(model, name)
        except Exception as error:  # noqa: BLE001 - the libraries raise errors of many kinds for what a model has not
            value = type(error).__name__
        found[name] = value
    return found


def unlike(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where two values differ, types of parameters included; numbers must be the same but for their last digits."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = {*expected, *found}
        return [d for n in sorted(names, key=str) for d in unlike(expected.get(n), found.get(n), f"{path}/{n}")]
    if isinstance(expected, (list, tuple)) and type(found) is type(expected) and len(found) == len(expected):
        return [
            d for place, pair in enumerate(zip(expected, found, strict=True)) for d in unlike(*pair, f"{path}/{place}")
        ]
    if type(expected) is not type(found):
        return [f"{path}: {type(expected).__name__} {expected!r:.80}, {type(found).__name__} {found!r:.80}"]
    a, b = np.asarray(expected), np.asarray(found)
    if a.dtype != b.dtype or a.shape != b.shape:
        return [f"{path}: {a.dtype}{a.shape}, {b.dtype}{b.shape}"]
    same = np.allclose(a, b, rtol=1e-13, atol=0, equal_nan=True) if a.dtype.kind == "f" else (a == b).all()
    return [] if same else [f"{path}: {expected!r:.80}, {found!r:.80}"]


def refitted(case: Case, model: Any) -> Any:
    """What a clone of the model says after a fit of its own."""
    from sklearn.base import clone

    try:
        new = clone(model)
    except RuntimeError:  # scikit-learn's own rule about lists, which no object of CatBoost keeps
        new = type(model)(**model.get_params())
    except TypeError:  # a plain CatBoost takes its parameters as one
        new = type(model)(model.get_params())
    return np.asarray(case.fitted(new).predict(case.X))


def cases(library: str, *, names: set[str] | None = None, inside: bool = False) -> list[Case]:
    chosen = [case for case in LIBRARIES[library]() if names is None or case.name in names]
    return [case for whole in chosen if not whole.fit for case in composed(whole)] if inside else chosen


def main(path: str, file: str) -> None:
    import modelmgmt as mm

    with open(file, "rb") as stream:
        library, names, inside, references = pickle.load(stream)
    told = {}
    with mm.Store(path) as store:
        for case in cases(library, names=names, inside=inside):
            if case.name in references:
                model = mm.load_model(references[case.name], store=store).model
                told[case.name] = (facts(model, case.X), refitted(case, model))
    with open(file, "wb") as stream:
        pickle.dump(told, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
