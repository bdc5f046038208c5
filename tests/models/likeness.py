"""Whether two objects are the same in every part that can be seen, and share the same parts with themselves."""

from __future__ import annotations

import types

import numpy as np

_PLAIN = (str, bytes, bytearray, int, float, complex, type(None), slice, range)
_BY_IDENTITY = (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc, types.ModuleType)
_FLAGS = ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED")


def assert_same(one, other):
    """Raises AssertionError with the way to the first part that differs."""
    seen, kept = {}, []
    todo = [("it", one, other)]
    while todo:
        way, a, b = todo.pop()
        assert type(a) is type(b), f"{way}: {type(a)} and {type(b)}"
        if isinstance(a, _PLAIN):
            assert repr(a) == repr(b), way
            continue
        if isinstance(a, _BY_IDENTITY):
            assert a is b, way
            continue
        kept += [a, b]  # or what was made for this look would be gone, and its id that of another
        assert seen.setdefault(id(a), id(b)) == id(b), f"{way} is shared with another part in one of them only"
        if seen.setdefault((id(a), id(b)), False):
            continue
        seen[id(a), id(b)] = True
        todo += _parts(way, a, b)


def _parts(way, a, b):
    if isinstance(a, np.ndarray):
        return _of_arrays(way, a, b)
    if isinstance(a, np.generic):
        assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes()), way
        return []
    if isinstance(a, dict):
        assert list(map(repr, a)) == list(map(repr, b)), way
        values = [(f"{way}[{key!r}]", a[key], b[other]) for key, other in zip(a, b, strict=True)]
        return [*values, *((f"a key of {way}", *pair) for pair in zip(a, b, strict=True)), *_attributes(way, a, b)]
    if isinstance(a, set | frozenset):
        return [(f"a member of {way}", *pair) for pair in zip(sorted(a, key=repr), sorted(b, key=repr), strict=True)]
    if isinstance(a, list | tuple):
        assert len(a) == len(b), way
        return [(f"{way}[{place}]", *pair) for place, pair in enumerate(zip(a, b, strict=True))]
    if isinstance(a, np.dtype):
        assert a == b, way
        return []
    if isinstance(a, np.random.RandomState):
        return [(f"the state of {way}", a.get_state(legacy=False), b.get_state(legacy=False))]
    if isinstance(a, np.random.Generator):
        return [(f"the state of {way}", a.bit_generator.state, b.bit_generator.state)]
    if type(a).__getstate__ is not object.__getstate__:
        return [(f"the state of {way}", a.__getstate__(), b.__getstate__())]
    return _attributes(way, a, b) or _states(way, a, b)


def _of_arrays(way, a, b):
    assert (a.dtype, a.shape) == (b.dtype, b.shape), way
    assert [a.flags[name] for name in _FLAGS] == [b.flags[name] for name in _FLAGS], way
    if a.dtype.names:  # what is between the fields is not of the value
        return [(f"{way}[{name!r}]", a[name].copy(), b[name].copy()) for name in a.dtype.names]
    if a.dtype.hasobject:
        return [(f"{way}.flat", a.ravel().tolist(), b.ravel().tolist())]
    assert a.tobytes() == b.tobytes(), way
    return []


def _attributes(way, a, b):
    return [(f"what {way} has", vars(a), vars(b))] if getattr(a, "__dict__", None) else []


def _states(way, a, b):
    """Of compiled classes."""
    found = a.__reduce_ex__(4), b.__reduce_ex__(4)
    return [] if isinstance(found[0], str) else [(f"how {way} is made", *found)]
