"""A table as a file that anybody can read: JSON with named, typed columns. Pure functions, exact both ways."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".table.json"
FORMAT = "modelmgmt.table/1"


def encode(table: Any) -> bytes:
    """A DataFrame, a mapping of columns, or a list of row mappings, as bytes. Raises InvalidTypeError.

    The index is kept when it is not the plain 0, 1, 2, ...; missing values become null, times ISO text.
    """
    frame = _frame(table)
    columns = [{"name": _name(name), "dtype": str(frame.dtypes.iloc[i])} for i, name in enumerate(frame.columns)]
    content: dict[str, Any] = {"format": FORMAT, "columns": columns}
    if not _is_plain_index(frame.index):
        content["index"] = {"name": frame.index.name, "dtype": str(frame.index.dtype), "values": _cells(frame.index)}
    content["rows"] = len(frame)
    content["data"] = [_cells(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> pd.DataFrame:
    """The DataFrame that `encode` was given. Raises CorruptDataError when the bytes are not such a table."""
    import pandas as pd

    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise CorruptDataError(f"A table of the format {content['format']!r} can not be read, only {FORMAT!r}.")
        columns = [
            _column(values, column["dtype"]) for values, column in zip(content["data"], content["columns"], strict=True)
        ]
        index = content.get("index")
        labels = pd.RangeIndex(content["rows"])
        if index is not None:
            labels = pd.Index(_column(index["values"], index["dtype"]), name=index["name"])
        frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(content["rows"]))
        frame.columns = pd.Index([column["name"] for column in content["columns"]])
        frame.index = labels
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"These bytes are not a table of the format {FORMAT!r} ({error}).") from error
    return frame


def _frame(table: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        frame = table
    elif isinstance(table, pd.Series):
        frame = table.to_frame()
    elif hasattr(table, "to_pandas"):
        frame = table.to_pandas()
    elif isinstance(table, (dict, list, tuple)) or hasattr(table, "shape"):
        try:
            frame = pd.DataFrame(table)
        except (ValueError, TypeError) as error:
            raise InvalidTypeError(f"This can not be read as a table ({error}): pass a DataFrame.") from error
    else:
        raise InvalidTypeError(f"A table is a DataFrame, columns or rows, and {type(table).__name__} was given.")
    return frame.reset_index() if isinstance(frame.index, pd.MultiIndex) else frame


def _name(name: object) -> str:
    return name if isinstance(name, str) else " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _is_plain_index(index: Any) -> bool:
    import pandas as pd

    plain = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
    return plain and index.name is None


def _cells(column: Any) -> list[Any]:
    values = column.astype(object).tolist() if str(column.dtype) == "category" else column.tolist()
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return value.isoformat()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _cell(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_cell(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _cell(item) for key, item in value.items()}
    raise InvalidTypeError(
        f"A cell of the table is of type {type(value).__name__}: cells are numbers, text, booleans, times or lists of them."
    )


def _column(values: list[Any], dtype: Any) -> Any:
    import pandas as pd

    if dtype.startswith("timedelta"):
        return pd.Series(pd.to_timedelta(values)).astype(dtype)
    if dtype.startswith("datetime"):
        utc = "," in dtype
        return pd.Series(pd.to_datetime(values, utc=utc, format="ISO8601")).astype(dtype)
    if dtype == "category":
        return pd.Series(values, dtype=object).astype("category")
    if dtype.startswith(("float", "complex")):
        return pd.Series([math.nan if value is None else value for value in values], dtype=dtype)
    if dtype.startswith(("period", "interval")):
        return pd.Series(values, dtype=object)
    return pd.Series(values, dtype=dtype)
