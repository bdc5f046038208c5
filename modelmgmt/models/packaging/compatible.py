"""Whether callers of one model can go on unchanged with another: two signatures, side by side. Pure.

A signature is read as `model.json` has it: `inputs` and `outputs`, each a mapping with a `kind`: a `table` has `columns`, of
`name`, `dtype`, `nullable` perhaps `categories`, `optional`; `records`, mappings in a list, have the same; a `tensor` is
one array of `dtype`, `shape` and perhaps a `container`; `tensors` has `arrays` by name. Fields that are not known are passed
over.
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
        return ["this version has no signature, and the current one has"]
    found = []
    for side, word, compare in (("inputs", "input", _inputs), ("outputs", "output", _outputs)):
        was, now = _spec(before, side), _spec(after, side)
        if was.get("kind") is None:
            continue
        is_convertible = word == "input" and {was.get("kind"), now.get("kind")} == {"table", "records"}
        is_convertible = is_convertible and after.get("mode") != "strict"
        if was.get("kind") != now.get("kind") and not is_convertible:
            found.append(f"the {word} was a {was['kind']} and is {_kind(now)}")
        else:
            found += compare(_columns(was), _columns(now))
            found += _containers(was, now, is_strict=after.get("mode") == "strict") if word == "input" else ()
    return found


def _containers(was: Mapping[str, Any], now: Mapping[str, Any], *, is_strict: bool) -> Iterator[str]:
    """Values in another container are put in the one that the model takes, but what is masked cannot go elsewhere."""
    before, after = was.get("container", "array"), now.get("container", "array")
    if before != after and (is_strict or before == "masked"):
        yield f"the input was in a container {before!r} and is in {after!r}"


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
                yield f"{_label('input', name)} is new and required"
            continue
        was, now = str(known.get("dtype")), str(column.get("dtype"))
        # The nullable types of pandas hold what numpy's do, and missing cells are asked for below.
        plain = tuple("bool" if dtype == "boolean" else dtype.lower() for dtype in (was, now))
        if plain[0] != plain[1] and plain not in _WIDER:
            yield f"{_label('input', name)} was {was} and is {now}"
        if _shape(known) != _shape(column):
            yield f"{_label('input', name)} had the shape {_shape(known)} and has {_shape(column)}"
        if known.get("nullable") and column.get("nullable") is False:
            yield f"{_label('input', name)} may no longer be missing"
        if known.get("optional") and not column.get("optional"):
            yield f"{_label('input', name)} is now required"
        lost = _lost(known.get("categories"), column.get("categories"))
        if lost:
            yield f"{_label('input', name)} no longer accepts the categories {lost}"


def _outputs(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, known in before.items():
        column = after.get(name)
        if column is None:
            yield f"{_label('output', name)} was removed"
            continue
        if known.get("dtype") != column.get("dtype"):
            yield f"{_label('output', name)} was {known.get('dtype')} and is {column.get('dtype')}"
        if _shape(known) != _shape(column):
            yield f"{_label('output', name)} had the shape {_shape(known)} and has {_shape(column)}"
        if known.get("nullable") is False and column.get("nullable"):
            yield f"{_label('output', name)} may now be missing"
        new = _lost(column.get("categories"), known.get("categories"))
        if new:
            yield f"{_label('output', name)} has the new categories {new}"


def _label(word: str, name: str) -> str:
    return f"{word} {name!r}" if name else f"the {word}"  # the one array of a tensor has no name


def _shape(column: Mapping[str, Any]) -> list[Any] | None:
    shape = column.get("shape")
    return list(shape) if isinstance(shape, (list, tuple)) else None


def _lost(before: Any, after: Any) -> str:
    """Of what was there, what is missing; nothing when either is unknown."""
    if not isinstance(before, Sequence) or not isinstance(after, Sequence):
        return ""
    return ", ".join(repr(value) for value in before if value not in after)
