"""A table as a file that anybody can read: JSON with named, typed columns. Pure functions.

Every column comes back with its dtype, and every cell as what it was: what JSON has no form for is in `data` as what a
person would read there, and exactly beside it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, MissingExtraError
from modelmgmt.versions.data import cells
from modelmgmt.versions.data.columns import label_json, label_of, shown
from modelmgmt.versions.data.values import advice, plain

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".table.json"
FORMAT = "modelmgmt.table/1"
_SEPARATORS = {"csv": ",", "tsv": "\t"}

_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)(?::(\d\d))?$")  # from UTC, at the end of a time
_ODD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(table: Any) -> bytes:
    """A DataFrame, a mapping of columns, or a list of row mappings, as bytes. Raises InvalidTypeError.

    `data` holds one list of cells a column. The index is kept when it is not the plain 0, 1, 2, ... A missing cell is
    null; a time is ISO text, a span or period counts the unit of its dtype, a category is its place among its
    categories. `odd` names the cells, null too, that JSON has no number for: infinities, and NaN among objects. `exact`
    has the cells that JSON has no form for, such as dates, tuples or lists with NaN in them, as kept data have them.
    """
    frame = _frame(table)
    series = [frame.iloc[:, place] for place in range(frame.shape[1])]
    kept = [_encoded(column, label) for column, label in zip(series, frame.columns, strict=True)]
    content: dict[str, Any] = {"format": FORMAT, "rows": len(frame)}
    if not _is_plain_index(frame.index):
        levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        content["index"] = [dict(zip(("about", "cells"), _encoded(level, level.name), strict=True)) for level in levels]
    if any(name is not None for name in frame.columns.names):
        content["columns_names"] = [label_json(name) for name in frame.columns.names]
    content["columns"] = [about for about, _ in kept]
    content["data"] = [cells for _, cells in kept]
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def decode(data: bytes) -> pd.DataFrame:
    """The DataFrame that `encode` was given. Raises CorruptDataError when the bytes are not such a table."""
    import pandas as pd

    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise CorruptDataError(f"A table of the format {content['format']!r} cannot be read, only {FORMAT!r}.")
        columns = [_decoded(*column) for column in zip(content["columns"], content["data"], strict=True)]
        frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(content["rows"]))
        frame.columns = _labels([about["name"] for about in content["columns"]], content.get("columns_names", [None]))
        if "index" in content:
            frame.index = _index(content["index"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CorruptDataError(f"These bytes are not a table of the format {FORMAT!r} ({error}).") from error
    return frame


def table_file(table: Any, name: str) -> tuple[bytes, str]:
    """A table as a file, and the whole name: CSV, TSV or Parquet where the name says so, else `encode`.

    Raises InvalidTypeError, MissingExtraError.
    """
    kind = name.lower().rpartition(".")[2] if "." in name else ""
    if kind in _SEPARATORS:
        frame = _frame(table)
        text = frame.to_csv(sep=_SEPARATORS[kind], index=not _is_plain_index(frame.index))
        return text.encode("utf-8", "surrogatepass"), name
    if kind == "parquet":
        import io

        buffer = io.BytesIO()
        try:
            _frame(table).to_parquet(buffer)
        except ImportError as error:
            raise _no_parquet(name) from error
        except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
            message = f"This table cannot be written as Parquet ({error}): convert the column, or leave out .parquet."
            raise InvalidTypeError(message) from error
        return buffer.getvalue(), name
    return encode(table), name if kind == "json" else name + SUFFIX


def load(data: bytes, name: str) -> pd.DataFrame:
    """The DataFrame of a file of `table_file`. Raises CorruptDataError, MissingExtraError."""
    import io

    import pandas as pd

    kind = name.lower().rpartition(".")[2]
    if kind in _SEPARATORS:
        return pd.read_csv(io.BytesIO(data), sep=_SEPARATORS[kind])
    if kind == "parquet":
        try:
            return pd.read_parquet(io.BytesIO(data))
        except ImportError as error:
            raise _no_parquet(name) from error
    return decode(data)


def _no_parquet(name: str) -> MissingExtraError:
    return MissingExtraError(f"{name!r} is a Parquet file, which takes pyarrow: pip install pyarrow, or name it .csv.")


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index as columns, where that is more than the number of the row."""
    return frame if _is_plain_index(frame.index) else frame.reset_index(allow_duplicates=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One mapping a row, of what JSON has: None for what is missing or no number. Raises InvalidValueError.

    >>> import pandas as pd
    >>> records(pd.DataFrame({"x": [1.5, None]}, index=pd.Index(["a", "b"], name="id")))
    [{'id': 'a', 'x': 1.5}, {'id': 'b', 'x': None}]
    """
    whole = with_index(frame)
    names = [str(name) for name in whole.columns]
    if len(set(names)) < len(names):
        raise InvalidValueError(f"A row cannot be a mapping: of the columns {', '.join(names)}, some have one name.")
    columns = [[_cell(cell) for cell in whole.iloc[:, place].tolist()] for place in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _frame(table: Any) -> pd.DataFrame:
    import pandas as pd

    from modelmgmt.versions.data.frames import frame_of, to_pandas

    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, pd.Series):
        return table.to_frame()
    if type(table).__module__.partition(".")[0] in ("polars", "pyarrow"):
        from modelmgmt.versions.data.sources import table_of

        return to_pandas(table_of(table))  # their to_pandas makes floats of integers beside a missing value
    if hasattr(table, "to_pandas"):
        frame: pd.DataFrame = table.to_pandas()
        return frame
    if not isinstance(table, (Mapping, list, tuple)) and not hasattr(table, "shape"):
        raise InvalidTypeError(f"A table is a DataFrame, columns or rows, and {type(table).__name__} was given.")
    return frame_of(table)


def _is_plain_index(index: Any) -> bool:
    import pandas as pd

    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None


def _encoded(column: Any, label: object) -> tuple[dict[str, Any], list[Any]]:
    """What a column is, and its cells. `column` is a Series or an Index."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.ArrowDtype) and not _is_name(str(column.dtype)):
        column = column.astype(object)
    about: dict[str, Any] = {"name": label_json(label), "dtype": str(column.dtype)}
    if isinstance(column.dtype, pd.CategoricalDtype):
        about["ordered"] = column.dtype.ordered
        about["categories"] = dict(zip(("about", "cells"), _encoded(column.dtype.categories, None), strict=True))
        codes = pd.Categorical(column).codes.tolist()
        return about, [code if code >= 0 else None for code in codes]
    if isinstance(column.dtype, pd.PeriodDtype):
        return about, [None if missing else one.ordinal for one, missing in zip(column, column.isna(), strict=True)]
    if column.dtype.kind == "m":
        counts = column.to_numpy().astype("int64").tolist()
        return about, [None if missing else count for count, missing in zip(counts, column.isna(), strict=True)]
    values = np.asarray(column).tolist() if isinstance(column.dtype, pd.SparseDtype) else column.tolist()
    if column.dtype.kind in "iub" and isinstance(values[0] if values else 0, (bool, int)) and not column.hasnans:
        return about, values
    if column.dtype.kind == "f" or column.dtype == object:
        odd = {str(place): _odd(value) for place, value in enumerate(values) if _odd(value)}
        if column.dtype.kind == "f":
            odd = {place: name for place, name in odd.items() if name != "nan"}  # among floats, null is NaN
        about |= {"odd": odd} if odd else {}
    if column.dtype.kind not in "fiubM" and not isinstance(column.dtype, pd.StringDtype):
        about |= {"exact": exact} if (exact := _exact(values, label, is_object=column.dtype == object)) else {}
    return about, [_cell(value) for value in values]


def _is_name(dtype: str) -> bool:
    """Whether pandas makes a dtype of its own name, which it does not of those of Arrow that have parameters."""
    import pandas as pd

    try:
        pd.api.types.pandas_dtype(dtype)
    except (TypeError, NotImplementedError):
        return False
    return True


def _exact(values: list[Any], label: object, *, is_object: bool) -> dict[str, str]:
    """Cells that JSON does not give back as they are, by place. Raises InvalidTypeError that names the column and the row."""
    import pandas as pd

    found: dict[str, str] = {}
    for place, value in enumerate(values):
        if (
            _is_json(value)
            or (type(value) is float)
            or (not is_object and pd.api.types.is_scalar(value) and pd.isna(value))
        ):
            continue
        try:
            found[str(place)] = cells.encode(value).hex()
        except InvalidTypeError as error:
            message = (
                f"The column {shown(label)} has in row {place} {error}, which a table cannot keep: {advice(value)}."
            )
            raise InvalidTypeError(message) from error
    return found


def _is_json(value: object, depth: int = 0) -> bool:
    """Whether JSON gives the value back as it is."""
    if depth > cells.DEPTH_LIMIT:
        return False
    if type(value) is list:
        return all(_is_json(item, depth + 1) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _is_json(item, depth + 1) for key, item in value.items())
    return type(value) in (type(None), bool, int, str) or (type(value) is float and math.isfinite(value))


def _decoded(about: dict[str, Any], kept: list[Any]) -> Any:
    """The Series that `_encoded` was given, or the values of the Index."""
    import numpy as np
    import pandas as pd

    dtype = about["dtype"]
    if dtype == "category":
        categories = about["categories"]
        labels = pd.Index(_decoded(categories["about"], categories["cells"]))
        codes = [-1 if cell is None else cell for cell in kept]
        return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=about["ordered"]))
    for place, name in about.get("odd", {}).items():
        kept[int(place)] = _ODD[name]
    for place, data in about.get("exact", {}).items():
        kept[int(place)] = cells.decode(bytes.fromhex(data))
    if dtype.startswith("timedelta"):
        return pd.Series(np.array(["NaT" if cell is None else cell for cell in kept], dtype))
    if dtype.startswith("period["):
        periods: Any = pd.PeriodIndex
        ordinals = [np.iinfo("i8").min if cell is None else cell for cell in kept]
        return pd.Series(periods.from_ordinals(ordinals, freq=dtype[7:-1]))
    if dtype.startswith("datetime"):
        return _moments(kept, dtype)
    return pd.Series(_objects(kept) if dtype == "object" else kept, dtype=dtype)


def _moments(kept: list[str | None], dtype: str) -> Any:
    """Not by pandas, which reads neither a year beyond 9999 nor an offset with seconds, as zones of old have."""
    import numpy as np
    import pandas as pd

    parts = [_OFFSET.split(cell, maxsplit=1) if cell else ["NaT"] for cell in kept]
    local = np.array([part[0] for part in parts], f"M8[{dtype[11:].partition(',')[0].rstrip(']')}]")
    if "," not in dtype:
        return pd.Series(local)
    offsets = []
    for part in parts:
        sign, hours, minutes, seconds = part[1:5] if len(part) > 1 else ("+", "0", "0", "0")
        offsets.append(int(f"{sign}1") * (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)))
    instants: Any = pd.Series((local - np.array(offsets, "m8[s]")).astype(local.dtype))
    return instants.dt.tz_localize("UTC").astype(dtype)


def _objects(kept: list[Any]) -> Any:
    """One by one: pandas would take arrays of one length for a second dimension."""
    import numpy as np

    whole = np.empty(len(kept), object)
    for place, cell in enumerate(kept):
        whole[place] = cell
    return whole


def _labels(kept: list[Any], names: list[Any]) -> pd.Index[Any]:
    import pandas as pd

    labels, names = [label_of(label) for label in kept], [label_of(name) for name in names]
    if not labels:
        return pd.RangeIndex(0, name=names[0])
    if all(isinstance(label, tuple) for label in labels):
        many: pd.Index[Any] = pd.MultiIndex.from_tuples(labels, names=names if len(names) > 1 else None)
        return many
    index: pd.Index[Any] = pd.Index(labels, name=names[0])
    return index


def _index(levels: list[dict[str, Any]]) -> pd.Index[Any]:
    import pandas as pd

    arrays: list[pd.Index[Any]] = [
        pd.Index(_decoded(level["about"], level["cells"]), name=label_of(level["about"]["name"])) for level in levels
    ]
    return arrays[0] if len(arrays) == 1 else pd.MultiIndex.from_arrays(arrays)


def _odd(value: object) -> str:
    """The name of a float that JSON has not; else empty."""
    return "" if not isinstance(value, float) or math.isfinite(value) else str(float(value))


def _cell(value: Any) -> Any:
    """What a person reads in a cell, as JSON: null for what is missing or no number."""
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_cell(item) for item in value]
    if isinstance(value, Mapping):
        pairs = [(key, _cell(item)) for key, item in value.items()]
        is_named = all(isinstance(key, str) for key, _ in pairs)
        return dict(pairs) if is_named else [[_cell(key), item] for key, item in pairs]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
