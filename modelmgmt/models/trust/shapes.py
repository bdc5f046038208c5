"""The shapes of arguments in `allowed.txt`: one word for each argument of a call. Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any


def fits(shape: Sequence[str], args: Sequence[Any]) -> bool:
    """Whether the arguments are as many, and each as its word says; `a|b` is either.

    >>> fits(("int", "str|none"), (1, None)), fits(("int",), ("1",))
    (True, False)
    """
    return len(shape) == len(args) and all(
        any(_WORDS[word](arg) for word in words.split("|")) for words, arg in zip(shape, args, strict=True)
    )


def _is_subclass(value: Any, module: str, name: str) -> bool:
    """Of a class in a module that is loaded by now: the value itself could not be one otherwise."""
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(value, type) and isinstance(base, type) and issubclass(value, base)


def _is_instance(value: Any, module: str, name: str) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and isinstance(value, base)


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str, bytes)


_WORDS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) in (int, bool) and abs(value) < 1 << 63,
    "float": lambda value: type(value) in (float, int),
    "str": lambda value: type(value) is str and len(value) < 10_000,
    "bytes": lambda value: type(value) is bytes,
    "none": lambda value: value is None,
    "nan": lambda value: type(value) is float and math.isnan(value),
    "plain": _is_plain,
    "tuple": lambda value: type(value) is tuple,
    "list": lambda value: type(value) is list,
    "dict": lambda value: type(value) is dict and all(type(key) is str for key in value),
    "slice": lambda value: type(value) is slice,
    "type": lambda value: isinstance(value, type),
    "array": lambda value: _is_instance(value, "numpy", "ndarray") and not value.dtype.hasobject,
    "block": lambda value: (
        _is_instance(value, "numpy", "ndarray") or _is_instance(value, "pandas.api.extensions", "ExtensionArray")
    ),
    "index": lambda value: _is_subclass(value, "pandas", "Index"),
    "backed": lambda value: _is_subclass(value, "pandas.core.arrays._mixins", "NDArrayBackedExtensionArray"),
    "bits": lambda value: _is_subclass(value, "numpy.random.bit_generator", "BitGenerator"),
    "generator": lambda value: _is_instance(value, "numpy.random.bit_generator", "BitGenerator"),
    "loss": lambda value: _is_subclass(value, "sklearn._loss._loss", "CyHalfMultinomialLoss"),
    "metric": lambda value: (
        _is_subclass(value, "sklearn.metrics._dist_metrics", "DistanceMetric64")
        or _is_subclass(value, "sklearn.metrics._dist_metrics", "DistanceMetric32")
    ),
    "search": lambda value: (
        _is_subclass(value, "sklearn.neighbors._kd_tree", "BinaryTree64")
        or _is_subclass(value, "sklearn.neighbors._ball_tree", "BinaryTree64")
    ),
    "seeds": lambda value: _is_subclass(value, "numpy.random.bit_generator", "SeedSequence"),
    "timezone": lambda value: _is_instance(value, "datetime", "tzinfo"),
    "delta": lambda value: _is_instance(value, "datetime", "timedelta"),
    "dtype": lambda value: _is_instance(value, "numpy", "dtype"),
    "buffer": lambda value: _is_instance(value, "pyarrow.lib", "Buffer"),
    "arrow": lambda value: _is_instance(value, "pyarrow.lib", "DataType"),
}
