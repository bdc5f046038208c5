"""Blocks of predictions as frames, and rows of them as plain values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.observe import cells
from modelmgmt.observe.blocks import Block, joined
from modelmgmt.observe.given import SPARSE_PLACES, SPARSE_VALUES
from modelmgmt.versions.data.columns import Column
from modelmgmt.versions.data.frames import natural

if TYPE_CHECKING:
    import pandas as pd

_OWN = ("id", "time", "version", "label")
MAX_EXPANDED = 1_000
"""Columns that a matrix is spread over; a wider one stays an array in each cell."""


def to_frame(found: Sequence[Block], *, is_shown: bool = False) -> pd.DataFrame:
    """One row per prediction, in the order of their times.

    `is_shown` makes columns of objects, in which what a batch does not have is NA, and NaN is what was logged as that.
    """
    import pandas as pd

    groups: dict[tuple[Any, str], list[Block]] = {}
    for block in found:
        groups.setdefault((block.target, block.schema.fingerprint), []).append(block)
    parts = [_one_frame(joined(group)) for group in groups.values()]
    if not parts:
        return pd.DataFrame({"id": pd.Series(dtype="object"), "time": pd.Series(dtype="datetime64[us, UTC]"),
                             "version": pd.Series(dtype="object"), "label": pd.Series(dtype="object")})  # fmt: skip
    if is_shown:
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        for part in parts:
            part[[name for name in names if name not in part.columns]] = pd.NA
        parts = [part[names].astype(object) for part in parts]
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    frame = frame[sorted(frame.columns, key=lambda name: _place(str(name)))]
    if frame["time"].is_monotonic_increasing:
        return frame
    return frame.sort_values("time", kind="stable", ignore_index=True)


def _place(name: str) -> int:
    """Facts first, then what was said, then what was asked."""
    return _OWN.index(name) if name in _OWN else len(_OWN) + name.startswith("input")


def values_of(block: Block) -> Iterator[tuple[Any, Any]]:
    """(what was said, what was asked) of each row: a value, or name -> value; None for what was not kept."""
    said: dict[str, list[Any]] = {}
    asked: dict[str, list[Any]] = {}
    for name, values in _values(block):
        role, _, rest = name.partition(".")
        (said if role == "prediction" else asked)[rest] = _items(values)
    for place in range(block.rows):
        yield _row(said, place), _row(asked, place)


def _row(columns: Mapping[str, Sequence[Any]], place: int) -> Any:
    if list(columns) == [""]:
        return columns[""][place]
    return {name: values[place] for name, values in columns.items()} or None


def _items(values: Any) -> list[Any]:
    """As plain values of Python, but for times, which numpy knows better."""
    if isinstance(values, list):
        return values
    found: list[Any] = list(values) if values.dtype.kind in "mM" and isinstance(values, np.ndarray) else values.tolist()
    return found


def _one_frame(block: Block) -> pd.DataFrame:
    import pandas as pd

    times = pd.Series(block.times.view("M8[us]")).dt.tz_localize("UTC")
    own = {
        "id": np.array(block.ids(), object), "time": times, "version": block.target.reference, "label": block.target.label
    }  # fmt: skip
    return pd.DataFrame({**own, **{name: _series(values) for name, values in _values(block)}})


def _series(values: Any) -> Any:
    """Lists of lists, and of arrays, are cells and not dimensions."""
    if not isinstance(values, list):
        return values
    whole = np.empty(len(values), object)
    for place, value in enumerate(values):
        whole[place] = value
    return whole


def _values(block: Block) -> Iterator[tuple[str, Any]]:
    """Name -> values, one for each row. A name that came before is told apart by a number."""
    seen: Counter[str] = Counter()
    for name, values in _named_values(block):
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}#{seen[name]}", values


def _named_values(block: Block) -> Iterator[tuple[str, Any]]:
    by_label: Mapping[Any, Column] = {column.label: column for column in block.columns}
    names = _input_names(block)
    for (name, field), column in zip(cells.named(block.schema), block.columns, strict=True):
        if field.name == SPARSE_PLACES:
            yield field.role, _mappings(column, by_label[field.role, SPARSE_VALUES])
        elif field.name == SPARSE_VALUES:
            continue
        elif not field.item:
            is_named = names and field.role == "input"
            yield (f"input.{names[field.name]}" if is_named else name), natural(column)
        elif len(field.item) == 1 and field.item[0] <= MAX_EXPANDED:
            for place in range(field.item[0]):
                rest = names[place] if names and field.role == "input" else place
                yield f"{name}.{rest}", column.values[:, place].astype(column.values.dtype.newbyteorder("="))
        else:
            yield name, list(column.values)


def _input_names(block: Block) -> tuple[str, ...]:
    """For an array of as many columns as the model takes, which it takes in this order; else none."""
    inputs = [field for field in block.schema.fields if field.role == "input"]
    width = len(block.names)
    is_matrix = len(inputs) == 1 and inputs[0].name is None and inputs[0].item == (width,)
    is_spread = [field.name for field in inputs] == list(range(width))
    return block.names if width and (is_matrix or is_spread) else ()


def _mappings(places: Column, values: Column) -> list[dict[int, Any]]:
    """Rows of a sparse matrix."""
    dtype = values.type.removeprefix("bytes of ")
    where, what = np.frombuffer(places.values.tobytes(), "<i4"), np.frombuffer(values.values.tobytes(), dtype)
    ends = places.offsets() // 4
    return [dict(zip(where[a:b].tolist(), what[a:b].tolist(), strict=True)) for a, b in pairwise(ends.tolist())]
