"""Models with what people put into them besides estimators: functions, odd labels and dtypes, boosters with options."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from estimators import ARRAY, CLASSES, FLAGS, FRAME, REAL, TEXTS, YES, Case, N

NUMBERS = FRAME[list("acd")]
GAPS = np.where(ARRAY < 0.2, np.nan, ARRAY)
TYPED = pd.DataFrame({
    "k": pd.Categorical([f"k{row % 3}" for row in range(N)]), "b": [True, False] * (N // 2),
    "o": pd.Categorical(["lo", "mid", "hi"] * (N // 3), categories=["lo", "mid", "hi"], ordered=True),
    "n": pd.array([1, 2, None] * (N // 3), dtype="Int64"), "f": pd.array([1.5, None, 2.5] * (N // 3), dtype="Float64"),
})  # fmt: skip


def manhattan(a: Any, b: Any) -> float:
    return float(np.abs(a - b).sum())


def gram(a: Any, b: Any) -> Any:
    return a @ b.T


def two_columns(X: Any) -> list[str]:
    return ["a", "c"]


def best(results: Any) -> int:
    return int(np.argmax(results["mean_test_score"]))


def squared(y: Any, answer: Any) -> Any:
    return answer - y, np.ones_like(y)


def given(name: str, model: Any, X: Any = ARRAY, y: Any = YES, **options: Any) -> Case:
    return Case(name, lambda: model.fit(X, **({} if y is None else {"y": y}), **options), X)


def cases() -> Iterator[Case]:
    from sklearn.compose import ColumnTransformer, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import IterativeImputer, SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.naive_bayes import BernoulliNB, MultinomialNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeRegressor

    def logistic() -> Any:
        return LogisticRegression()

    yield given("lambda", make_pipeline(FunctionTransformer(lambda X: X * 2), logistic()))
    yield given("partial", make_pipeline(FunctionTransformer(partial(np.clip, a_min=0.2, a_max=0.8)), logistic()))
    yield given("metric of one's own", KNeighborsClassifier(metric=manhattan, algorithm="brute"))
    yield given("metric of one's own in a tree", KNeighborsClassifier(metric=manhattan, algorithm="ball_tree"))
    yield given("kernel of one's own", SVC(kernel=gram))
    columns = ColumnTransformer([("s", StandardScaler(), two_columns)])
    yield given("columns by a function", make_pipeline(columns, logistic()), NUMBERS)
    yield given("best by a function", GridSearchCV(logistic(), {"C": [0.1, 1]}, refit=best, cv=2))
    yield given("cached steps", Pipeline([("s", StandardScaler()), ("m", logistic())], memory="cache"))
    yield given("random state", RandomForestClassifier(3, random_state=np.random.RandomState(3)))
    yield given("true or false", logistic(), y=YES.astype(bool))
    yield given("labels as objects", logistic(), y=CLASSES.astype(object))
    yield given("labels as categories", logistic(), NUMBERS, pd.Series(pd.Categorical(CLASSES)))
    yield given("weights by numpy's numbers", LogisticRegression(class_weight={np.int64(0): 1.0, np.int64(1): 2.0}))
    yield given("several labels", RandomForestClassifier(3, random_state=0), y=FLAGS)
    yield given("targets of a frame", LinearRegression(), NUMBERS, NUMBERS[["a", "c"]] * 2)
    yield given("columns by number", make_pipeline(StandardScaler(), logistic()), pd.DataFrame(ARRAY))
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["k", "o", "b"]), (SimpleImputer(), ["n", "f"])
    )
    yield given("columns of every dtype", make_pipeline(encoded, logistic()), TYPED)
    yield given("series of texts", make_pipeline(TfidfVectorizer(), SVC()), pd.Series(TEXTS))
    yield given("array of texts", make_pipeline(TfidfVectorizer(), logistic()), np.array(TEXTS))
    words = TfidfVectorizer(tokenizer=str.split, token_pattern=None)
    yield given("tokens by a method", make_pipeline(words, logistic()), TEXTS)
    yield given("texts by a method", make_pipeline(CountVectorizer(preprocessor=str.lower), MultinomialNB()), TEXTS)
    yield given("masked", LinearRegression(), np.ma.masked_array(ARRAY), REAL)
    yield given("flags", BernoulliNB(), ARRAY > 0.5)
    yield given("big endian", logistic(), ARRAY.astype(">f8"))
    yield given("gaps in a forest", RandomForestRegressor(3, random_state=0), GAPS, REAL)
    constrained = HistGradientBoostingRegressor(
        max_iter=3, loss="quantile", quantile=0.3, monotonic_cst={"a": 1}, interaction_cst=[{0, 1}, {2}]
    )
    yield given("constraints", constrained, NUMBERS, REAL)
    imputer = IterativeImputer(DecisionTreeRegressor(max_depth=2, random_state=0), max_iter=2, random_state=0)
    yield given("imputer of trees", make_pipeline(imputer, logistic()), GAPS)
    frozen = FrozenEstimator(StandardScaler().fit(ARRAY))
    yield given("frozen step", make_pipeline(frozen, logistic()))
    yield given("groups", GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=GroupKFold(2)), y=REAL, groups=np.arange(N) % 4)
    yield from _of_boosters()


def _of_boosters() -> Iterator[Case]:
    import lightgbm as lgb
    import xgboost as xgb
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import BaggingClassifier, StackingClassifier
    from sklearn.feature_selection import RFE, SelectFromModel
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline

    of_xgb, of_lgb = {"n_estimators": 3, "n_jobs": 1}, {"n_estimators": 3, "n_jobs": 1, "verbose": -1}

    def filled(model: Any) -> Any:
        return Pipeline([("i", SimpleImputer(strategy="median", add_indicator=True)), ("m", model)])

    coded = FRAME.assign(k=FRAME.k.astype("category"))
    early = {"m__eval_set": [(ARRAY, REAL[::-1])]}
    minus_one = SimpleImputer(strategy="constant", fill_value=-1)
    yield given("xgboost: missing is -1", make_pipeline(minus_one, xgb.XGBRegressor(missing=-1, **of_xgb)), GAPS, REAL)
    yield given("xgboost: objective of one's own", filled(xgb.XGBRegressor(objective=squared, **of_xgb)), GAPS, REAL)
    yield given("xgboost: early", filled(xgb.XGBRegressor(early_stopping_rounds=1, **of_xgb)), y=REAL, **early,
                m__verbose=False)  # fmt: skip
    yield given("xgboost: categories", make_pipeline("passthrough", xgb.XGBClassifier(
        enable_categorical=True, **of_xgb)), coded)  # fmt: skip
    yield given("lightgbm: words as labels", filled(lgb.LGBMClassifier(**of_lgb)), GAPS, CLASSES)
    yield given("lightgbm: poisson", filled(lgb.LGBMRegressor(objective="poisson", **of_lgb)), GAPS, np.abs(REAL))
    yield given("lightgbm: early", filled(lgb.LGBMRegressor(early_stopping_rounds=1, **of_lgb)), y=REAL, **early)
    yield given("lightgbm: categories", make_pipeline("passthrough", lgb.LGBMClassifier(**of_lgb)), coded)
    both = [("x", xgb.XGBClassifier(**of_xgb)), ("l", lgb.LGBMClassifier(**of_lgb))]
    yield given("stack of boosters", StackingClassifier(both, cv=2))
    yield given("bag of boosters", BaggingClassifier(lgb.LGBMClassifier(**of_lgb), 2, random_state=0))
    yield given(
        "selected by a booster", make_pipeline(SelectFromModel(xgb.XGBClassifier(**of_xgb)), LogisticRegression())
    )
    yield given("eliminated by a booster", RFE(lgb.LGBMClassifier(**of_lgb)))
    yield given("calibrated booster", CalibratedClassifierCV(xgb.XGBClassifier(**of_xgb), cv=2))
