"""Frames of pandas as columns, and back. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError
from modelmgmt.versions.data import arrow, cells, columns
from modelmgmt.versions.data.columns import Column, Table, label_json, label_of

if TYPE_CHECKING:
    import pandas as pd


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
    except (TypeError, ValueError, NotImplementedError):  # a nested type that pandas can not read from its name
        return whole


def natural(column: Column) -> Any:
    """The array that pandas would choose for a column that did not come from pandas."""
    if column.categories is not None:
        return _restored(column, {"dtype": "category", "categories": {"dtype": "arrow"}})
    if column.type.startswith(("datetime[", "duration[")):
        return _time_array(column)
    if column.type in ("object", "string", "bytes", "date") or column.type.startswith("time["):
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
