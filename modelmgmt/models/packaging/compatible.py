"""Whether callers of one model can go on unchanged with another: two signatures, side by side. Pure.

A signature is read as `model.json` has it: `inputs` and `outputs`, each a mapping with a `kind`: a `table` has `columns`, of
`name`, `dtype`, `nullable` and perhaps `categories`; a `tensor` is one array of `dtype` and `shape`; `tensors` has `arrays`
by name. Fields that are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Signature = Mapping[str, Any]

_WIDER = {
    ("int8", "int16"), ("int8", "int32"), ("int8", "int64"), ("int16", "int32"), ("int16", "int64"), ("int32", "int64"),
    ("uint8", "int16"), ("uint8", "int32"), ("uint8", "int64"), ("uint16", "int32"), ("uint16", "int64"),
    ("uint32", "int64"), ("uint8", "uint16"), ("uint8", "uint32"), ("uint8", "uint64"), ("uint16", "uint32"),
    ("uint16", "uint64"), ("uint32", "uint64"), ("float16", "float32"), ("float16", "float64"), ("float32", "float64"),
    ("int8", "float32"), ("int8", "float64"), ("int16", "float32"), ("int16", "float64"), ("int32", "float64"),
    ("uint8", "float32"), ("uint8", "float64"), ("uint16", "float32"), ("uint16", "float64"), ("uint32", "float64"),
    ("int64", "float64"), ("uint64", "float64"),
}  # fmt: skip
"""What holds the values of the other (of large integers a float does not hold all): an input may become wider, an output
may not."""


def breaks(before: Signature | None, after: Signature | None) -> list[str]:
    """What a caller of `before` would have to change for `after`; an empty list when nothing.

    >>> table = {"kind": "table", "columns": [{"name": "age", "dtype": "int64"}]}
    >>> breaks({"inputs": table}, {"inputs": {"kind": "table", "columns": [{"name": "age", "dtype": "str"}]}})
    ["input 'age' was int64 and is str"]
    """
    if before is None:
        return []
    if after is None:
        return ["it has no signature, and the version in place has one"]
    found = []
    for side, word, compare in (("inputs", "input", _inputs), ("outputs", "output", _outputs)):
        was, now = _spec(before, side), _spec(after, side)
        if was.get("kind") is None:
            continue
        if was.get("kind") != now.get("kind"):
            found.append(f"the {word} was a {was['kind']} and is {_kind(now)}")
        else:
            found += compare(_columns(was), _columns(now))
    return found


def _kind(spec: Mapping[str, Any]) -> str:
    return f"a {spec['kind']}" if spec.get("kind") else "unknown"


def _spec(signature: Signature, side: str) -> Mapping[str, Any]:
    spec = signature.get(side)
    return spec if isinstance(spec, Mapping) else {}


def _columns(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By name; the one array of a tensor has none."""
    listed = [{"name": "", **spec}] if spec.get("kind") == "tensor" else spec.get("columns") or spec.get("arrays") or []
    return {str(column.get("name")): column for column in listed if isinstance(column, Mapping)}


def _inputs(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, column in after.items():
        known = before.get(name)
        if known is None:
            if not column.get("optional"):
                yield f"input {name!r} is new and required"
            continue
        was, now = str(known.get("dtype")), str(column.get("dtype"))
        if was != now and (was, now) not in _WIDER:
            yield f"input {name!r} was {was} and is {now}"
        if _shape(known) != _shape(column):
            yield f"input {name!r} had the shape {_shape(known)} and has {_shape(column)}"
        if known.get("nullable") and column.get("nullable") is False:
            yield f"input {name!r} may be missing no more"
        if known.get("optional") and not column.get("optional"):
            yield f"input {name!r} is required now"
        lost = _lost(known.get("categories"), column.get("categories"))
        if lost:
            yield f"input {name!r} knows the categories {lost} no more"


def _outputs(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, known in before.items():
        column = after.get(name)
        if column is None:
            yield f"output {name!r} is gone"
            continue
        if known.get("dtype") != column.get("dtype"):
            yield f"output {name!r} was {known.get('dtype')} and is {column.get('dtype')}"
        if _shape(known) != _shape(column):
            yield f"output {name!r} had the shape {_shape(known)} and has {_shape(column)}"
        if known.get("nullable") is False and column.get("nullable"):
            yield f"output {name!r} may be missing now"
        new = _lost(column.get("categories"), known.get("categories"))
        if new:
            yield f"output {name!r} has the new categories {new}"


def _shape(column: Mapping[str, Any]) -> list[Any] | None:
    shape = column.get("shape")
    return list(shape) if isinstance(shape, (list, tuple)) else None


def _lost(before: Any, after: Any) -> str:
    """Of what was there, what is missing; nothing when either is unknown."""
    if not isinstance(before, Sequence) or not isinstance(after, Sequence):
        return ""
    return ", ".join(repr(value) for value in before if value not in after)
