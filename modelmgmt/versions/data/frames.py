"""Frames of pandas as columns, and back. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError
from modelmgmt.versions.data import arrow, cells, columns
from modelmgmt.versions.data.columns import Column, Table, label_json, label_of
from modelmgmt.versions.data.values import (
    REPAIR,
    array_of,
    as_mapping,
    entries,
    is_masked,
    mask_of,
    nanoseconds,
    objects_of,
    of_arrow,
)

if TYPE_CHECKING:
    import pandas as pd


_EXACT = 1 << 53
"""Up to it, integers are floats as well."""
_GONE = object()
"""Where a frame that is being made has a masked value."""


def frame_of(data: Any) -> pd.DataFrame:
    """A mapping of columns, rows, or an array as a frame; what is masked there is missing in it. Raises InvalidTypeError.

    >>> frame_of({"n": np.ma.array([2**62 + 1, 5], mask=[False, True])})["n"].tolist()
    [4611686018427387905, <NA>]
    """
    import pandas as pd

    data = nanoseconds(array_of(data), "values")
    try:
        if isinstance(data, np.ndarray):
            if mask_of(data) is None:
                return pd.DataFrame(data)
            if data.dtype.names is not None or data.ndim == 2:
                places: Any = data.dtype.names or range(data.shape[1])
                parts = {place: data[place] if data.dtype.names else data[:, place] for place in places}
                return frame_of(parts)
        if isinstance(data, Mapping):
            named = {
                name: _unmasked(values, f"values of {columns.shown(name)}") for name, values in entries(data, "column")
            }
            return _filled(pd.DataFrame(named))
        if isinstance(data, (list, tuple)) and type(data) in (list, tuple):
            return _of_rows([_row(row) for row in data])
        values = _unmasked(data, "values")
        return pd.DataFrame(values if values is data else {getattr(data, "name", "") or 0: values})
    except (ValueError, TypeError, NotImplementedError) as error:
        if isinstance(error, (InvalidTypeError, InvalidValueError)):
            raise
        if isinstance(error, UnicodeEncodeError):
            message = f"The text {error.object[:100]!r} in a table is not valid Unicode ({error.reason}): {REPAIR}."
            raise InvalidValueError(message) from error
        raise InvalidTypeError(f"This cannot be read as a table ({error}): pass a DataFrame or an array.") from error


def _of_rows(rows: list[Any]) -> pd.DataFrame:
    """Rows as a frame. What pandas would round stays what it is, as an object."""
    import pandas as pd

    columns_: dict[Any, list[Any]] = {}
    if all(isinstance(row, dict) for row in rows):
        if _has_large([value for row in rows for value in row.values()]):
            columns_ = {
                name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)
            }
    else:
        many = [row if isinstance(row, list) else [row] for row in rows]
        if _has_large([value for row in many for value in row]):
            places = range(max(map(len, many)))
            columns_ = {place: [row[place] if place < len(row) else None for row in many] for place in places}
    if not any(map(_is_rounded, columns_.values())):
        return _filled(pd.DataFrame(rows))
    kinds = {name: object if _is_rounded(values) else None for name, values in columns_.items()}
    return _filled(pd.DataFrame({name: pd.Series(values, dtype=kinds[name]) for name, values in columns_.items()}))


def _has_large(values: Sequence[Any]) -> bool:
    return any(isinstance(value, (int, np.integer)) and not -_EXACT <= value <= _EXACT for value in values)


def _is_rounded(values: Sequence[Any]) -> bool:
    """Whether pandas would make floats of integers that no float equals, for what is missing or no integer beside them."""
    return _has_large(values) and any(value is None or isinstance(value, (float, np.floating)) for value in values)


def _row(row: Any) -> Any:
    if (fields := as_mapping(row)) is not None:
        return {name: _scalar(value, "cells") for name, value in entries(fields, "cell")}
    is_many = isinstance(row, (list, tuple)) or (isinstance(row, np.ma.MaskedArray) and row.ndim)
    return [_scalar(value, "cells") for value in row] if is_many else _scalar(row, "cells")


def _scalar(value: Any, what: str) -> Any:
    """A cell: `_GONE` where it is masked, the number of a tensor without dimensions."""
    if is_masked(value):
        return _GONE
    if hasattr(type(value), "as_py"):
        return of_arrow(value)
    found = nanoseconds(array_of(value, what), what)
    return found[()] if found is not value and isinstance(found, np.ndarray) and not found.ndim else found


def _filled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with missing values in place of `_GONE`. Integers stay integers: pandas would make floats of them."""
    import pandas as pd

    for place, dtype in enumerate(frame.dtypes):
        values = frame.iloc[:, place].tolist() if dtype.kind == "O" and isinstance(dtype, np.dtype) else []
        mask = np.fromiter((value is _GONE for value in values), bool, len(values))
        if not mask.any():
            continue
        kinds = {type(value) for value in values if value is not _GONE}
        column: Any = pd.Series([None if value is _GONE else value for value in values])
        if kinds and kinds <= {bool, np.bool_}:
            column = pd.arrays.BooleanArray(np.array([value is not _GONE and bool(value) for value in values]), mask)
        elif kinds and all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
            data = np.array([0 if value is _GONE else value for value in values])
            is_fit = data.dtype.kind in "iu"  # an integer of more than 64 bits stays an object
            column = (
                pd.arrays.IntegerArray(data, mask) if is_fit else pd.Series(values, dtype=object).where(~mask, None)
            )
        frame.isetitem(place, column)
    return frame


def _unmasked(values: Any, what: str) -> Any:
    """Values of a column, of a type that has a place for what is missing."""
    import pandas as pd

    values = nanoseconds(array_of(values, what), what)
    if isinstance(values, (list, tuple)):
        found = [_scalar(value, what) for value in values]
        return pd.Series(found, dtype=object) if _is_rounded(found) else found
    room = type(values).__module__.partition(".")[0]
    if room in ("polars", "pyarrow") and not hasattr(values, "columns"):
        # As numpy has them, integers beside a missing value would be floats, and days moments.
        is_polars = room == "polars" and hasattr(values, "to_arrow")
        if is_polars or hasattr(values, "to_pylist"):
            return natural(arrow.from_polars(values.to_frame()).columns[0] if is_polars else arrow.column(None, values))
    mask = mask_of(values) if isinstance(values, np.ndarray) else None
    if mask is None or values.ndim != 1:
        return values
    data = np.array(values.data)
    if not np.any(mask):
        return data
    mask = np.array(mask)
    kind = data.dtype.kind
    if kind == "b":
        return pd.arrays.BooleanArray(data, mask)
    if kind in "iu":
        return pd.arrays.IntegerArray(data, mask)
    if kind in "fc":
        data[mask] = np.nan
    elif kind in "mM":
        data[mask] = "NaT"
    else:
        data = objects_of(values)
    return data


def from_pandas(frame: pd.DataFrame, *, index: bool) -> Table:
    """The columns of a frame, and with `index` those of its index. Raises InvalidTypeError that names the column."""
    import pandas as pd

    series = [one for _, one in frame.items()]  # by place: labels may come twice
    kept = [_column(label, one.array) for label, one in zip(frame.columns, series, strict=True)]
    container: dict[str, Any] = {
        "library": "pandas",
        "dtypes": [about for _, about in kept],
        "names": [label_json(name) for name in frame.columns.names],
        "levels": frame.columns.nlevels,
        "label_dtype": str(frame.columns.dtype) if frame.columns.nlevels == 1 else None,
    }
    if not frame.shape[1]:
        container["empty"] = str(frame.columns.dtype)
    levels: list[tuple[Column, dict[str, Any]]] = []
    if index:
        every = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        levels = [_column(level.name, level.array) for level in every]
        container["index"] = [about for _, about in levels]
        if isinstance(frame.index, pd.RangeIndex):
            container["range"] = [frame.index.start, frame.index.stop, frame.index.step]
        elif isinstance(frame.index, pd.DatetimeIndex) and frame.index.freqstr:
            container["freq"] = frame.index.freqstr
    found = tuple(column for column, _ in kept)
    return Table("frame", len(frame), found, tuple(column for column, _ in levels), container=container)


def to_pandas(table: Table) -> pd.DataFrame:
    """The frame that `from_pandas` was given."""
    import pandas as pd

    container = table.container
    about = container.get("dtypes") or [{"dtype": "arrow"}] * len(table.columns)
    series = [_restored(column, dtype) for column, dtype in zip(table.columns, about, strict=True)]
    frame = pd.DataFrame(dict(enumerate(series)), index=pd.RangeIndex(table.rows))
    frame.columns = _labels(table, container)
    if table.index:
        frame.index = _index(table, container)
    return frame


def _labels(table: Table, container: Mapping[str, Any]) -> pd.Index[Any]:
    import pandas as pd

    labels = [column.label for column in table.columns]
    names = [label_of(name) for name in container.get("names", [None])]
    if container.get("levels", 1) > 1:
        if not labels:
            return pd.MultiIndex.from_arrays([[] for _ in names], names=names)
        return pd.MultiIndex.from_tuples(labels, names=names)
    if not labels:
        dtype = container.get("empty", "object")
        return pd.RangeIndex(0, name=names[0]) if dtype == "int64" else pd.Index([], dtype=dtype, name=names[0])
    if container.get("label_dtype") == "int64" and labels == list(range(len(labels))):
        return pd.RangeIndex(len(labels), name=names[0])
    index: pd.Index[Any] = pd.Index(labels, name=names[0], tupleize_cols=False)
    return index.astype("object") if container.get("label_dtype") == "object" else index


def _index(table: Table, container: Mapping[str, Any]) -> pd.Index[Any]:
    import pandas as pd

    levels = [
        pd.Index(_restored(column, about), name=column.label)
        for column, about in zip(table.index, container["index"], strict=True)
    ]
    if "range" in container:
        start, stop, step = container["range"]
        return pd.RangeIndex(start, stop, step, name=levels[0].name)
    if "freq" in container:
        return pd.DatetimeIndex(levels[0], freq=container["freq"])
    return levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)


def _column(label: Any, array: Any) -> tuple[Column, dict[str, Any]]:
    """A column, and what it takes to restore its dtype."""
    import pandas as pd

    if isinstance(array, pd.arrays.NumpyExtensionArray) and not isinstance(array.dtype, pd.StringDtype):
        array = array.to_numpy()
    dtype = array.dtype
    about: dict[str, Any] = {"dtype": _name(dtype) if isinstance(dtype, np.dtype) else str(dtype)}
    if type(array) is np.ndarray and dtype.kind in columns.SUPPORTED_KINDS:
        return columns.fixed(label, array), about
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(label, array)
    if isinstance(dtype, pd.ArrowDtype):
        return arrow.column(label, array.__arrow_array__()), about
    if isinstance(dtype, pd.StringDtype):
        about |= {"storage": dtype.storage, "na": "nan" if dtype.na_value is not pd.NA else "NA"}
        return _string(label, array), about
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = str(dtype.tz)
        values = array.tz_convert("UTC").tz_localize(None).to_numpy()
        return columns.fixed(label, values, type_=f"datetime[{dtype.unit}, {zone}]"), about
    if isinstance(dtype, pd.PeriodDtype):
        there = ~array.isna()
        return columns.fixed(label, array.asi8, there, dtype.name), about
    if isinstance(dtype, pd.SparseDtype):
        return columns.fixed(label, np.asarray(array)), about
    if hasattr(array, "_mask") and hasattr(array, "_data"):  # the nullable integers, floats and booleans
        return columns.fixed(label, array.to_numpy(array.dtype.numpy_dtype, na_value=0), ~array.isna()), about
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return _object(label, array, about)
    if isinstance(dtype, np.dtype) and dtype.kind in columns.SUPPORTED_KINDS:  # times, in an array of their own
        return columns.fixed(label, np.asarray(array)), about
    return columns.objects(label, list(array)), about


@functools.lru_cache(maxsize=256)
def _name(dtype: np.dtype[Any]) -> str:
    """What `str` says: of numpy's it takes longer than all else that one row of a frame needs."""
    return str(dtype)


def _category(label: Any, array: Any) -> tuple[Column, dict[str, Any]]:
    categories, about = _column(None, array.categories.array)
    codes = array.codes.astype("<i4")
    column = columns.fixed(label, codes, codes >= 0, "category[ordered]" if array.ordered else "category")
    whole = Column(label, column.type, column.values, valid=column.valid, categories=categories)
    return whole, {"dtype": "category", "categories": about}


def _string(label: Any, array: Any) -> Column:
    if array.dtype.storage == "pyarrow":
        return arrow.column(label, array.__arrow_array__())
    missing = array.isna()
    return columns.texts(label, array.astype(object).tolist(), ~missing if missing.any() else None)


def _object(label: Any, array: Any, about: dict[str, Any]) -> tuple[Column, dict[str, Any]]:
    """Text, when all is text but for one sort of missing value; else a cell each."""
    import pandas as pd

    values = list(array)
    kinds = {type(value) for value in values}
    odd = kinds - {str}
    lost = {type(None): "None", float: "nan", type(pd.NA): "NA"}
    if str in kinds and not odd:
        return columns.texts(label, values, None), about
    if str in kinds and len(odd) == 1 and (sort := lost.get(next(iter(odd)))):
        there = np.fromiter((type(value) is str for value in values), bool, len(values))
        if sort != "nan" or all(value != value for value in values if type(value) is float):  # noqa: PLR0124 - NaN
            return columns.texts(label, values, there), {**about, "missing": sort}
    return columns.objects(label, values), about


def _restored(column: Column, about: Mapping[str, Any]) -> Any:
    """The array of a column with its dtype."""
    import pandas as pd

    dtype = about["dtype"]
    if dtype == "arrow":
        return pd.Series(natural(column))
    if dtype == "category":
        labels = pd.Index(_restored(_known(column.categories), about["categories"]))
        codes = np.where(column.valid, column.values, -1) if column.valid is not None else column.values
        return pd.Categorical.from_codes(codes, labels, ordered=column.type == "category[ordered]")
    if "storage" in about:
        kind = pd.StringDtype(about["storage"], na_value=pd.NA if about["na"] == "NA" else np.nan)
        return pd.array(plain(column), dtype=kind)
    if column.type == "object":
        return _array_of(plain(column), dtype)
    if dtype == "object":
        return _array_of(plain(column, {"nan": np.nan, "NA": pd.NA}.get(about.get("missing", ""))), dtype)
    return _typed(column, dtype)


def _known(categories: Column | None) -> Column:
    if categories is None:
        raise CorruptDataError("A column of categories has none.")
    return categories


def _typed(column: Column, dtype: str) -> Any:
    import pandas as pd

    if column.type.startswith("period["):
        codes = np.where(column.valid, column.values, np.iinfo("i8").min) if column.valid is not None else column.values
        periods: Any = pd.PeriodIndex
        return periods.from_ordinals(codes, freq=column.type[7:-1]).array
    if column.type.startswith(("datetime[", "duration[")) and not dtype.endswith("[pyarrow]"):
        return _time_array(column)
    if dtype.endswith("[pyarrow]"):
        make: Any = pd.array
        return make(plain(column), dtype=dtype)
    if pd.api.types.is_extension_array_dtype(dtype) and not dtype.startswith("Sparse"):
        missing = ~column.valid if column.valid is not None else np.zeros(column.rows, bool)
        kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
        return kinds.get(column.values.dtype.kind, pd.arrays.IntegerArray)(column.values.copy(), missing)
    native: Any = pd.Series(column.values.astype(column.values.dtype.newbyteorder("=")))
    return native.astype(dtype).array


def _time_array(column: Column) -> Any:
    import pandas as pd

    word, _, rest = column.type[:-1].partition("[")
    unit, _, zone = rest.partition(", ")
    counts = column.values if column.valid is None else np.where(column.valid, column.values, np.iinfo("i8").min)
    times = counts.astype("i8").view(f"{'M' if word == 'datetime' else 'm'}8[{unit}]")
    series: Any = pd.Series(times)
    return (series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series).array


def _array_of(values: list[Any], dtype: str) -> Any:
    import pandas as pd

    whole = np.empty(len(values), object)
    for place, value in enumerate(values):  # one by one: numpy would take lists of one length for a second dimension
        whole[place] = value
    series: Any = pd.Series(whole, dtype=object)
    if dtype == "object":
        return series
    try:
        return series.astype(dtype).array
    except (TypeError, ValueError, NotImplementedError):  # a nested type that pandas cannot read from its name
        return whole


def natural(column: Column) -> Any:
    """The array that pandas would choose for a column that did not come from pandas."""
    if column.categories is not None:
        return _restored(column, {"dtype": "category", "categories": {"dtype": "arrow"}})
    if column.type.startswith(("datetime[", "duration[")):
        return _time_array(column)
    if column.type.startswith("period["):
        return _typed(column, "")
    if column.type == "object":
        return _array_of(plain(column), "object")  # of times in it, pandas would make something else
    if column.type in ("string", "bytes", "date") or column.type.startswith("time["):
        return plain(column)
    if column.valid is None:
        return column.values.astype(column.values.dtype.newbyteorder("="))
    return _typed(column, {"b": "boolean", "f": "Float64", "i": "Int64", "u": "UInt64"}[column.values.dtype.kind])


def plain(column: Column, missing: Any = None) -> list[Any]:
    """The values as Python's own."""
    found = _plain(column)
    if column.valid is None:
        return found
    return [value if there else missing for value, there in zip(found, column.valid.tolist(), strict=True)]


def _plain(column: Column) -> list[Any]:
    if column.categories is not None:
        labels = plain(column.categories)
        return [labels[code] if 0 <= code < len(labels) else None for code in column.values.tolist()]
    if column.lengths is not None:
        if column.type == "string":
            return [part.decode("utf-8", "surrogatepass") for part in column.pieces()]
        return column.pieces() if column.type == "bytes" else [cells.decode(part) for part in column.pieces()]
    if column.type == "date":
        days: list[Any] = column.values.astype("i8").view("M8[D]").tolist()
        return days
    if column.type.startswith("time["):
        return arrow.clock_times(column)
    if column.type.startswith(("datetime[", "duration[")):
        return list(_time_array(column))
    if column.type.startswith("period["):
        return list(_typed(column, ""))
    values: list[Any] = column.values.tolist()
    return values
