"""A hundred honest objects, fitted and plain, as people pickle them: what the restricted reader should be able to read."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import uuid
import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    kernel_approximation,
    kernel_ridge,
    linear_model,
    manifold,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    svm,
    tree,
)
from sklearn.datasets import load_iris

X, Y = load_iris(return_X_y=True)
X, Y = X[::3], Y[::3]
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(kind=np.array(["u", "v"])[np.arange(len(X)) % 2])
WORDS = ["the cat sat", "on the mat", "a dog", "sat on a cat"] * 12


class OwnScaler(preprocessing.StandardScaler):
    """A project's own class: known to nobody but its project."""


def half(values):
    return values / 2


def fitted(model, features=X, target=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(features, target)


def estimators():
    yield from (
        linear_model.LinearRegression(), linear_model.LogisticRegression(), linear_model.LogisticRegressionCV(cv=2, Cs=2),
        linear_model.Ridge(), linear_model.RidgeClassifier(), linear_model.Lasso(), linear_model.ElasticNet(),
        linear_model.SGDClassifier(), linear_model.SGDRegressor(), linear_model.Perceptron(),
        linear_model.BayesianRidge(), linear_model.HuberRegressor(),
        linear_model.TheilSenRegressor(max_subpopulation=10), linear_model.RANSACRegressor(random_state=0),
        linear_model.PoissonRegressor(), linear_model.QuantileRegressor(),
        linear_model.Lars(), linear_model.OrthogonalMatchingPursuit(), svm.SVC(probability=False), svm.SVR(), svm.LinearSVC(),
        svm.NuSVC(nu=0.2), svm.OneClassSVM(), tree.DecisionTreeClassifier(), tree.DecisionTreeRegressor(),
        tree.ExtraTreeClassifier(), ensemble.RandomForestClassifier(n_estimators=5),
        ensemble.RandomForestRegressor(n_estimators=5), ensemble.ExtraTreesClassifier(n_estimators=5),
        ensemble.GradientBoostingClassifier(n_estimators=3), ensemble.GradientBoostingRegressor(n_estimators=3),
        ensemble.HistGradientBoostingClassifier(max_iter=3), ensemble.HistGradientBoostingRegressor(max_iter=3),
        ensemble.AdaBoostClassifier(n_estimators=3), ensemble.BaggingClassifier(n_estimators=3),
        ensemble.IsolationForest(n_estimators=3), ensemble.VotingClassifier([("a", tree.DecisionTreeClassifier())]),
        ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier())], cv=2),
        neighbors.KNeighborsClassifier(algorithm="kd_tree"), neighbors.KNeighborsRegressor(algorithm="ball_tree"),
        neighbors.NearestCentroid(), neighbors.LocalOutlierFactor(novelty=True), naive_bayes.GaussianNB(),
        naive_bayes.MultinomialNB(), discriminant_analysis.LinearDiscriminantAnalysis(),
        discriminant_analysis.QuadraticDiscriminantAnalysis(), neural_network.MLPClassifier((4,), max_iter=5),
        neural_network.MLPRegressor(max_iter=5), gaussian_process.GaussianProcessRegressor(),
        gaussian_process.GaussianProcessClassifier(), dummy.DummyClassifier(), calibration.CalibratedClassifierCV(cv=2),
        multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), kernel_ridge.KernelRidge(),
        semi_supervised.LabelPropagation(), mixture.GaussianMixture(2), cluster.KMeans(2, n_init=1), cluster.DBSCAN(),
        cluster.AgglomerativeClustering(2), cluster.MiniBatchKMeans(2, n_init=1), cluster.Birch(n_clusters=2),
        decomposition.PCA(2), decomposition.TruncatedSVD(2), decomposition.NMF(2, max_iter=20),
        decomposition.FastICA(2, max_iter=20), cross_decomposition.PLSRegression(2), covariance.EllipticEnvelope(),
        random_projection.GaussianRandomProjection(2), kernel_approximation.RBFSampler(n_components=4),
        manifold.Isomap(n_neighbors=30), feature_selection.SelectKBest(k=2), feature_selection.VarianceThreshold(),
        impute.SimpleImputer(), impute.KNNImputer(), preprocessing.StandardScaler(), preprocessing.MinMaxScaler(),
        preprocessing.QuantileTransformer(n_quantiles=10), preprocessing.PowerTransformer(),
        preprocessing.PolynomialFeatures(), preprocessing.SplineTransformer(),
        preprocessing.KBinsDiscretizer(quantile_method="averaged_inverted_cdf"),
        preprocessing.FunctionTransformer(), preprocessing.FunctionTransformer(half), OwnScaler(),
        preprocessing.Normalizer(),
    )  # fmt: skip


def _others():
    yield fitted(isotonic.IsotonicRegression(), X[:, 0])
    yield fitted(
        pipeline.make_pipeline(
            compose.ColumnTransformer(
                [("n", preprocessing.StandardScaler(), ["a", "b"]), ("k", preprocessing.OneHotEncoder(), ["kind"])]
            ),
            linear_model.LogisticRegression(),
        ),
        FRAME,
    )
    yield fitted(model_selection.GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2))
    yield fitted(feature_extraction.text.TfidfVectorizer(), WORDS, None)
    yield fitted(
        pipeline.make_pipeline(feature_extraction.text.CountVectorizer(), naive_bayes.MultinomialNB()),
        WORDS,
        [0, 1] * 24,
    )
    yield fitted(preprocessing.OrdinalEncoder(), FRAME[["kind"]])
    yield preprocessing.LabelEncoder().fit(["a", "b"])
    yield preprocessing.LabelBinarizer().fit(["a", "b", "c"])
    yield FRAME
    yield FRAME.set_index(pd.date_range("2026-01-01", periods=len(FRAME), tz="UTC"))
    yield FRAME["kind"].astype("category")
    yield pd.MultiIndex.from_product([[1, 2], ["a", "b"]])
    yield pd.array([1, None, 3], dtype="Int64")
    yield X
    yield np.array(["a", None, 1.5], object)
    yield np.zeros(3, [("a", "f8"), ("b", "i4")])
    yield sparse.csr_matrix(X)
    yield np.random.default_rng(0)
    yield np.random.RandomState(0)
    yield {"weights": [X, Y], "when": dt.datetime.now(dt.UTC), "id": uuid.UUID(int=1)}
    yield [decimal.Decimal("1.5"), collections.OrderedDict(a=1), collections.Counter("aab"), frozenset({1, 2}), 1 + 2j]


def _boosted():
    try:
        import lightgbm

        yield fitted(lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, min_child_samples=2))
        yield fitted(lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, min_child_samples=2))
    except ImportError:
        pass
    try:
        import xgboost

        yield fitted(xgboost.XGBClassifier(n_estimators=2))
        yield fitted(xgboost.XGBRegressor(n_estimators=2))
    except ImportError:
        pass


def honest():
    """Name -> object."""
    made = [fitted(model) for model in estimators()] + list(_others()) + list(_boosted())
    return {f"{number:03} {type(value).__name__}": value for number, value in enumerate(made)}
