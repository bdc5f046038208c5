"""Arrow tables, and polars frames by way of them, as columns, and back. Pure; needs pyarrow."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.versions.data import columns
from modelmgmt.versions.data.columns import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def require_pyarrow(what: str) -> Any:
    """The module. Raises InvalidValueError that says how to install it."""
    try:
        import pyarrow as pa
    except ImportError as error:
        message = f"pyarrow is needed for {what} and is not installed: pip install 'modelmgmt[data]'."
        raise InvalidValueError(message) from error
    return pa


def from_arrow(table: pa.Table, library: str = "pyarrow") -> Table:
    """The columns of an Arrow table, whatever its chunks."""
    found = tuple(column(name, part) for name, part in zip(table.column_names, table.columns, strict=True))
    schema = table.schema.remove_metadata().serialize().to_pybytes().hex()
    return Table("frame", table.num_rows, found, container={"library": library, "schema": schema})


def from_polars(frame: Any) -> Table:
    """The columns of a polars frame."""
    require_pyarrow("a polars frame")
    import polars as pl

    kinds = {name: "categorical" for name, kind in frame.schema.items() if kind == pl.Categorical}
    table = from_arrow(frame.to_arrow(), "polars")
    found = tuple(_sorted_categories(one) if one.label in kinds else one for one in table.columns)
    container = {**table.container, "polars": kinds}
    return Table("frame", frame.height, found, container=container)


def to_arrow(table: Table) -> pa.Table:
    """The Arrow table that `from_arrow` was given; chunks apart."""
    pa = require_pyarrow("this table")
    schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(table.container["schema"])))
    arrays = [_array(one, field.type) for one, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def to_polars(table: Table) -> Any:
    """The polars frame that `from_polars` was given."""
    require_pyarrow("this table")
    try:
        import polars as pl
    except ImportError as error:
        message = "This was a polars frame, and polars is not installed: pip install 'modelmgmt[data]'."
        raise InvalidValueError(message) from error
    frame: Any = pl.from_arrow(to_arrow(table))
    frame.columns = [column.label for column in table.columns]  # polars has a name of its own for one without
    return frame.with_columns([pl.col(name).cast(pl.Categorical) for name in table.container.get("polars", {})])


def column(label: Any, values: Any) -> Column:
    """An Arrow array, chunked or not, as a column."""
    pa = require_pyarrow("this column")
    if isinstance(values, pa.ChunkedArray):
        values = _one_chunk(pa, values)
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        values, kind = values.storage, values.type.storage_type
    valid = _valid(pa, values)
    if pa.types.is_dictionary(kind):
        return _dictionary(label, values)
    if pa.types.is_boolean(kind):
        return columns.fixed(label, values.fill_null(False).to_numpy(zero_copy_only=False), valid)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return columns.fixed(label, _numbers(values, kind.to_pandas_dtype()), valid)
    if pa.types.is_timestamp(kind):
        zone = f", {kind.tz}" if kind.tz else ""
        return columns.fixed(label, _numbers(values, "<i8"), valid, f"datetime[{kind.unit}{zone}]")
    if pa.types.is_duration(kind) or pa.types.is_time64(kind):
        word = "duration" if pa.types.is_duration(kind) else "time"
        return columns.fixed(label, _numbers(values, "<i8"), valid, f"{word}[{kind.unit}]")
    if pa.types.is_date32(kind):
        return columns.fixed(label, _numbers(values, "<i4"), valid, "date")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _variable(pa, label, "string", values.cast(pa.large_string()), valid)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _variable(pa, label, "bytes", values.cast(pa.large_binary()), valid)
    return columns.objects(label, values.to_pylist())


def clock_times(column: Column) -> list[Any]:
    """The times of a day in a column as Python's, to the microsecond."""
    unit = _PER_SECOND[column.type[5:-1]]
    found = []
    for count in column.values.tolist():
        seconds, rest = divmod(count, unit)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        found.append(time(hour, minute, second, rest * 10**6 // unit))
    return found


def _one_chunk(pa: Any, values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.unify_dictionaries()
    if values.num_chunks == 1:
        return values.chunk(0)
    combined = values.combine_chunks()
    return combined if not isinstance(combined, pa.ChunkedArray) else pa.concat_arrays(combined.chunks)


def _valid(pa: Any, values: Any) -> Any:
    del pa
    return values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None


def _numbers(values: Any, dtype: Any) -> Any:
    """The numbers in the buffer of an Arrow array; what is at the missing ones is of no account."""
    dtype = np.dtype(dtype)
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros(len(values), dtype)
    whole = np.frombuffer(buffer, dtype, count=values.offset + len(values))
    return whole[values.offset :]


def _variable(pa: Any, label: Any, type_: str, values: Any, valid: Any) -> Column:
    del pa
    _, marks_buffer, data_buffer = values.buffers()
    if marks_buffer is None or not len(values):
        return columns.joined(label, type_, [])
    marks = np.frombuffer(marks_buffer, "<i8", count=values.offset + len(values) + 1)[values.offset :]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    lengths = np.diff(marks)
    if valid is not None and lengths[~valid].any():
        fill = "" if type_ == "string" else b""
        return _variable(None, label, type_, values.fill_null(fill), valid)
    return columns.variable(label, type_, data[marks[0] : marks[-1]], lengths, valid)


def _dictionary(label: Any, values: Any) -> Column:
    """Codes and categories. A category that is null is a missing value."""
    categories = column(None, values.dictionary)
    codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False).astype("<i4")
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    if categories.valid is not None:
        raise InvalidTypeError(f"the column {columns.shown(label)} has a category that is null: drop that category")
    type_ = "category[ordered]" if values.type.ordered else "category"
    coded = columns.fixed(label, codes, valid, type_)
    return Column(label, type_, coded.values, valid=coded.valid, categories=categories)


def _sorted_categories(one: Column) -> Column:
    """The categories that occur, sorted: polars numbers them as they come up anywhere in a process."""
    pieces = one.categories.pieces() if one.categories is not None else []
    there = np.ones(one.rows, bool) if one.valid is None else one.valid
    used = sorted({pieces[code] for code in np.unique(one.values[there]).tolist()})
    places = {piece: place for place, piece in enumerate(used)}
    codes = np.array([places.get(piece, 0) for piece in pieces] or [0], "<i4")[one.values]
    codes[~there] = 0
    return Column(one.label, one.type, codes, valid=one.valid, categories=columns.joined(None, "string", used))


def _array(one: Column, kind: Any) -> Any:
    pa = require_pyarrow("this column")
    from modelmgmt.versions.data.frames import plain

    mask = None if one.valid is None else ~one.valid
    if one.categories is not None:
        codes = pa.array(one.values, mask=mask).cast(kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, _array(one.categories, kind.value_type), ordered=kind.ordered)
    if one.type in ("string", "bytes"):
        return pa.array(plain(one), type=kind)
    if one.type == "object":
        return pa.array(plain(one), type=kind)
    numbers = pa.array(np.ascontiguousarray(one.values), mask=mask)
    if pa.types.is_date32(kind):
        return numbers.cast(pa.int32()).cast(kind)
    return numbers if numbers.type == kind else numbers.cast(kind)
