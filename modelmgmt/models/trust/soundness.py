"""What compiled code of other libraries takes at its word, checked where a restricted pickle gives it to them.

A tree whose node points to itself never ends; one that points beyond its nodes reads what is not its own. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from modelmgmt.models.trust.allowed import own_name
from modelmgmt.models.trust.makers import require
from modelmgmt.models.trust.sound_estimators import (
    check_boosting,
    check_estimator,
    check_spline,
    check_support_vectors,
)

_MT_WORDS = 624
_PHILOX_WORDS = 4


def check_state(target: Any, state: Any) -> None:
    """Raises ShapeError for a state that `__setstate__` of the target would take without looking."""
    kind: type = type(target)
    for name in _names(kind):
        if name in _BEFORE:
            _BEFORE[name](state)


def check(target: Any) -> None:
    """Raises ShapeError for an object that has its state, and is not sound."""
    kind: type = type(target)
    for name in _names(kind):
        if name in _AFTER:
            _AFTER[name](target)


@lru_cache(maxsize=512)
def _names(kind: type) -> tuple[str, ...]:
    return tuple(name for base in kind.__mro__ if (name := own_name(base)))


def _places(state: Any) -> None:
    """Of generators of random numbers: the place of the next number in a block of them."""
    todo, seen = [state], 0
    while todo and seen < 1_000:
        part, seen = todo.pop(), seen + 1
        if isinstance(part, dict):
            limit = {"pos": _MT_WORDS, "buffer_pos": _PHILOX_WORDS}
            for key, value in part.items():
                require(
                    key not in limit or (type(value) is int and 0 <= value <= limit[key]), "a place outside its block"
                )
                todo.append(value)
        elif isinstance(part, tuple):
            todo.extend(part)
            is_old = len(part) >= 3 and part[0] == "MT19937"
            require(not is_old or (type(part[2]) is int and 0 <= part[2] <= _MT_WORDS), "a place outside its block")


def _tree_state(state: Any) -> None:
    import numpy as np

    require(type(state) is dict, "the state of a tree")
    nodes, values = state.get("nodes"), state.get("values")
    require(isinstance(nodes, np.ndarray) and isinstance(values, np.ndarray), "a tree without nodes")
    count = state.get("node_count")
    require(type(count) is int and nodes.ndim == 1 and count == len(nodes) == len(values), "a tree of another size")


def _tree(tree: Any) -> None:
    """Children come after their parent and are there, so that every way down ends; every feature is there."""
    import numpy as np

    # Copied from between the nodes' other fields, or each of the comparisons would walk through all of the tree.
    left, right, feature = map(np.ascontiguousarray, (tree.children_left, tree.children_right, tree.feature))
    is_leaf, ends = left == -1, right == -1
    comes_later = np.minimum(left, right) > np.arange(len(left))
    is_there = np.maximum(left, right) < len(left)
    require((is_leaf | (comes_later & is_there)).all(), "a tree whose branches lead elsewhere")
    is_known = (feature >= 0) & (feature < tree.n_features)
    require((is_leaf | is_known).all(), "a tree that asks for features beyond its own")
    require((ends | ~is_leaf).all(), "a tree whose branches lead elsewhere")


def _boosted(predictor: Any) -> None:
    """The same for the trees of histogram boosting."""
    import numpy as np

    nodes = getattr(predictor, "nodes", None)
    require(isinstance(nodes, np.ndarray) and nodes.dtype.names is not None and nodes.ndim == 1, "a tree without nodes")
    assert nodes is not None  # noqa: S101 - just required
    require(
        {"left", "right", "is_leaf", "feature_idx", "is_categorical", "bitset_idx"} <= set(nodes.dtype.names or ()),
        "a tree without nodes",
    )
    branches = nodes["is_leaf"] == 0
    places = np.arange(len(nodes))
    for side in ("left", "right"):
        child = nodes[side].astype(np.int64)
        require(((child > places) & (child < len(nodes)))[branches].all(), "a tree whose branches lead elsewhere")
    require((nodes["feature_idx"][branches] >= 0).all(), "a tree that asks for features beyond its own")
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        bits = getattr(predictor, name, None)
        by_category = branches & (nodes["is_categorical"] != 0)
        require(
            isinstance(bits, np.ndarray) and bits.ndim == 2 and bits.dtype == np.uint32, "a tree without its categories"
        )
        assert bits is not None  # noqa: S101 - just required
        require((nodes["bitset_idx"][by_category] < len(bits)).all(), "a tree with categories beyond its own")


def _blocks(manager: Any) -> None:
    """Of a frame: pandas writes into its index wherever a block says that its columns are."""
    import numpy as np

    axes, total, places = manager.axes, 0, []
    items = len(axes[0])
    for block in manager.blocks:
        require(
            len(block.mgr_locs) == (len(block.values) if block.ndim == 1 else block.shape[0]), "a block of another size"
        )
        total += len(block.mgr_locs)
        require(total <= items, "a block with columns beyond its frame")
        require(block.shape[1:] == tuple(len(axis) for axis in axes[1:]), "a block of another length")
        places.append(block.mgr_locs.as_array)
    placed = np.sort(np.concatenate(places)) if places else np.empty(0, int)
    require(total == items and (placed == np.arange(items)).all(), "a block with columns beyond its frame")


def _codes(values: Any) -> None:
    """Of a column of categories: pandas takes codes as places among the categories."""
    codes = values.codes
    require(((codes >= -1) & (codes < len(values.categories))).all(), "a category beyond those that there are")


def _levels(index: Any) -> None:
    for level, codes in zip(index.levels, index.codes, strict=True):
        sound = ((codes >= -1) & (codes < len(level))).all()
        require(sound and len(codes) == len(index.codes[0]), "an index with values beyond its levels")


def _coordinates(matrix: Any) -> None:
    import numpy as np

    require(len(matrix.coords) == len(matrix.shape), "a matrix without its coordinates")
    for places, side in zip(matrix.coords, matrix.shape, strict=True):
        require(isinstance(places, np.ndarray) and places.dtype.kind == "i", "a matrix without its coordinates")
        require(places.shape == matrix.data.shape and places.ndim == 1, "a matrix without its coordinates")
        require(((places >= 0) & (places < side)).all(), "a matrix with values outside of it")


def _sparse(matrix: Any) -> None:
    matrix.check_format(full_check=True)


def _search_tree(state: Any) -> None:
    """Of neighbours' search: the order of the points, the span of points in each node, the nodes below each node."""
    import numpy as np

    require(type(state) is tuple and 12 <= len(state) <= 14, "the state of a search tree")
    points, order, nodes, bounds = state[:4]
    require(all(isinstance(part, np.ndarray) for part in state[:4]) and points.ndim == 2, "the state of a search tree")
    count, known = len(points), state[6]
    require(order.ndim == 1 and order.dtype.kind == "i" and len(order) == count, "the state of a search tree")
    require(((order >= 0) & (order < count)).all(), "a search tree with points beyond its own")
    require({"idx_start", "idx_end", "is_leaf"} <= set(nodes.dtype.names or ()), "the state of a search tree")
    start, end = nodes["idx_start"], nodes["idx_end"]
    require(((start >= 0) & (end <= count) & (start <= end)).all(), "a search tree with points beyond its own")
    fits = bounds.ndim == 3 and bounds.shape[1:] == (known, points.shape[1])
    require(type(known) is int and known == len(nodes) and fits, "a search tree of another size")
    last_child = 2 * np.arange(known) + 2
    require((last_child < known)[nodes["is_leaf"] == 0].all(), "a search tree whose branches lead elsewhere")
    weights = state[12] if len(state) > 12 else None
    require(
        weights is None or (isinstance(weights, np.ndarray) and weights.shape == (count,)), "weights of other points"
    )


def _booster_text(state: Any) -> None:
    """LightGBM frees what `_handle` says: it may only be the text of a model."""
    require(
        type(state) is dict and type(state.get("_handle")) is str and "handle" not in state, "a booster without text"
    )


def _booster_bytes(state: Any) -> None:
    """XGBoost frees what `handle` says: it may only be the bytes of a model."""
    require(type(state) is dict and type(state.get("handle")) is bytearray, "a booster without bytes")


_GENERATORS = ("numpy.random.bit_generator.BitGenerator", "numpy.random.mtrand.RandomState")
_BEFORE: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(_GENERATORS, _places),
    "sklearn.tree._tree.Tree": _tree_state,
    "sklearn.neighbors._kd_tree.BinaryTree64": _search_tree,
    "sklearn.neighbors._kd_tree.BinaryTree32": _search_tree,
    "sklearn.neighbors._ball_tree.BinaryTree64": _search_tree,
    "sklearn.neighbors._ball_tree.BinaryTree32": _search_tree,
    "lightgbm.basic.Booster": _booster_text,
    "xgboost.core.Booster": _booster_bytes,
}
_AFTER: dict[str, Callable[[Any], None]] = {
    "sklearn.tree._tree.Tree": _tree,
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": _boosted,
    "scipy.sparse._compressed._cs_matrix": _sparse,
    "scipy.sparse._coo._coo_base": _coordinates,
    "scipy.interpolate._bsplines.BSpline": check_spline,
    "pandas.core.internals.managers.BaseBlockManager": _blocks,
    "pandas.Categorical": _codes,
    "pandas.core.arrays.categorical.Categorical": _codes,
    "pandas.MultiIndex": _levels,
    "pandas.core.indexes.multi.MultiIndex": _levels,
    "sklearn.base.BaseEstimator": check_estimator,
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting": check_boosting,
    "sklearn.svm._base.BaseLibSVM": check_support_vectors,
}
