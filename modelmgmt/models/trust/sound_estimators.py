"""Estimators whose compiled code takes their arrays at their word: trees that ask for columns, support vectors, splines.

Pure. `soundness.py` asks when a restricted pickle has built one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelmgmt.models.trust.makers import require

_COLUMNS = "a tree that asks for features beyond those of its estimator"


def check_estimator(model: Any) -> None:
    """Trees are walked without a look at how many columns the data has: the estimator's own count must cover them."""
    known = vars(model).get("n_features_in_")
    trees = list(_trees(model))
    asks_others = isinstance(getattr(type(model), "n_features_in_", None), property)
    if not trees or asks_others:
        return  # its parts look for themselves
    require(type(known) is int, "an estimator that does not say how many features it takes")
    require(all(tree.n_features <= known for tree in trees), _COLUMNS)
    subsets = vars(model).get("_estimators_features", vars(model).get("estimators_features_"))
    if isinstance(subsets, list):
        require(len(subsets) == len(trees), "features of other trees")
        require(all(len(each) == tree.n_features for each, tree in zip(subsets, trees, strict=True)), _COLUMNS)


def _trees(model: Any) -> Iterator[Any]:
    """The trees that a model walks itself: its own, or those of the estimators in it, one level down."""
    import numpy as np

    parts = vars(model).get("estimators_", ())
    parts = parts.ravel().tolist() if isinstance(parts, np.ndarray) else parts
    for each in (model, *(parts if isinstance(parts, list | tuple) else ())):
        tree = getattr(each, "__dict__", {}).get("tree_")
        if type(tree).__name__ == "Tree":
            yield tree


def check_boosting(model: Any) -> None:
    """The same for histogram boosting, whose trees know no number of features."""
    import numpy as np

    known = vars(model).get("n_features_in_")
    stages = vars(model).get("_predictors", ())
    require(isinstance(stages, list | tuple), "an estimator without its trees")
    for predictor in (each for stage in stages for each in stage):
        nodes = getattr(predictor, "nodes", None)
        require(type(known) is int and isinstance(nodes, np.ndarray), "an estimator without its trees")
        assert nodes is not None  # noqa: S101 - just required
        branches = nodes["is_leaf"] == 0
        require((nodes["feature_idx"][branches] < known).all(), _COLUMNS)


def check_support_vectors(model: Any) -> None:
    """libsvm adds up counts and reads so many vectors and coefficients: they must be there."""
    import numpy as np

    fitted = vars(model)
    if "_n_support" not in fitted:
        return
    names = ("_n_support", "support_", "support_vectors_", "_dual_coef_", "_intercept_", "_probA", "_probB")
    arrays = [fitted.get(name) for name in names]
    is_sparse = bool(fitted.get("_sparse"))
    may_be_sparse = {"support_vectors_", "_dual_coef_"} if is_sparse else set()
    for name, each in zip(names, arrays, strict=True):
        is_right = getattr(each, "format", "") == "csr" if name in may_be_sparse else isinstance(each, np.ndarray)
        require(is_right and not each.dtype.hasobject, "support vectors")
    counts, support, vectors, coefficients, intercept, *probabilities = arrays
    is_classifier = hasattr(type(model), "classes_") or "classes_" in fitted
    classes = len(counts) if is_classifier else 2
    total = int(counts.sum()) if is_classifier else len(support)
    require(
        (counts >= 0).all() and classes >= 2 and (is_classifier or (counts <= total).all()), "counts of support vectors"
    )
    require(vectors.ndim == 2 and total == len(support) == vectors.shape[0], "support vectors that are not there")
    # Of sparse coefficients only the values are read, as many as there would be in an array.
    values = coefficients.data.shape if is_sparse else coefficients.shape
    is_whole = values == (((classes - 1) * total,) if is_sparse else (classes - 1, total))
    require(is_whole, "coefficients that are not there")
    require(intercept.shape == (classes * (classes - 1) // 2,), "coefficients that are not there")
    require(all(len(each) in (0, len(intercept)) for each in probabilities), "coefficients that are not there")
    known = fitted.get("n_features_in_")
    kernel = fitted.get("kernel")
    require(kernel == "precomputed" or vectors.shape[1] == known, "support vectors of other features")


def check_spline(spline: Any) -> None:
    """What the constructor of a B-spline checks, and its state does not: knots in order, a coefficient for each."""
    import numpy as np

    knots, coefficients = vars(spline).get("_t", vars(spline).get("t")), vars(spline).get("_c", vars(spline).get("c"))
    degree = vars(spline).get("k")
    require(isinstance(knots, np.ndarray) and isinstance(coefficients, np.ndarray), "a spline without knots")
    assert knots is not None and coefficients is not None  # noqa: S101, PT018 - just required
    require(
        type(degree) is int and 0 <= degree < 100 and knots.ndim == 1 and knots.dtype == float, "a spline without knots"
    )
    needed = len(knots) - degree - 1
    require(
        needed >= degree + 1 and coefficients.ndim >= 1 and len(coefficients) >= needed, "a spline without coefficients"
    )
    require(
        bool(np.isfinite(knots).all()) and bool((np.diff(knots) >= 0).all()), "a spline whose knots are in disorder"
    )
