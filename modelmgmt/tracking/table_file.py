"""A table as a file that anybody can read: JSON with named, typed columns. Pure functions.

Numbers, text, booleans, times, categories and missing values come back exactly, with their dtype. In a column of the
dtype `object`, None and NaN stay what they are; dates, times and decimals come back as the text that they are kept as.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".table.json"
FORMAT = "modelmgmt.table/1"

_ODD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(table: Any) -> bytes:
    """A DataFrame, a mapping of columns, or a list of row mappings, as bytes. Raises InvalidTypeError.

    `data` holds one list of cells a column. The index is kept when it is not the plain 0, 1, 2, ... A missing cell is
    null; a time is ISO text, a span counts the unit of its dtype, a category is its place among the categories. `odd`
    names the cells, null too, that JSON has no number for: infinities, and NaN among objects.
    """
    frame = _frame(table)
    series = [frame.iloc[:, place] for place in range(frame.shape[1])]
    kept = [_encoded(column, label) for column, label in zip(series, frame.columns, strict=True)]
    content: dict[str, Any] = {"format": FORMAT, "rows": len(frame)}
    if not _is_plain_index(frame.index):
        levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        content["index"] = [dict(zip(("about", "cells"), _encoded(level, level.name), strict=True)) for level in levels]
    if any(name is not None for name in frame.columns.names):
        content["columns_names"] = [_label(name) for name in frame.columns.names]
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
            raise CorruptDataError(f"A table of the format {content['format']!r} can not be read, only {FORMAT!r}.")
        columns = [_decoded(*column) for column in zip(content["columns"], content["data"], strict=True)]
        frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(content["rows"]))
        frame.columns = _labels([about["name"] for about in content["columns"]], content.get("columns_names", [None]))
        if "index" in content:
            frame.index = _index(content["index"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptDataError(f"These bytes are not a table of the format {FORMAT!r} ({error}).") from error
    return frame


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
        raise InvalidValueError(f"A row can not be a mapping: of the columns {', '.join(names)}, some have one name.")
    columns = [[_cell(cell) for cell in whole.iloc[:, place].tolist()] for place in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _frame(table: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, pd.Series):
        return table.to_frame()
    if hasattr(table, "to_pandas"):
        frame: pd.DataFrame = table.to_pandas()
        return frame
    if not isinstance(table, (Mapping, list, tuple)) and not hasattr(table, "shape"):
        raise InvalidTypeError(f"A table is a DataFrame, columns or rows, and {type(table).__name__} was given.")
    try:
        return pd.DataFrame(table)
    except (ValueError, TypeError) as error:
        raise InvalidTypeError(f"This can not be read as a table ({error}): pass a DataFrame.") from error


def _is_plain_index(index: Any) -> bool:
    import pandas as pd

    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None


def _encoded(column: Any, label: object) -> tuple[dict[str, Any], list[Any]]:
    """What a column is, and its cells. `column` is a Series or an Index."""
    import pandas as pd

    about: dict[str, Any] = {"name": _label(label), "dtype": str(column.dtype)}
    if isinstance(column.dtype, pd.CategoricalDtype):
        about["ordered"] = column.dtype.ordered
        about["categories"] = dict(zip(("about", "cells"), _encoded(column.dtype.categories, None), strict=True))
        codes = pd.Categorical(column).codes.tolist()
        return about, [code if code >= 0 else None for code in codes]
    if column.dtype.kind == "m":
        counts = column.to_numpy().astype("int64").tolist()
        return about, [None if missing else count for count, missing in zip(counts, column.isna(), strict=True)]
    values = column.tolist()
    if column.dtype.kind in "iub" and isinstance(values[0] if values else 0, (bool, int)) and not column.hasnans:
        return about, values
    if column.dtype.kind == "f" or column.dtype == object:
        odd = {str(place): _odd(value) for place, value in enumerate(values) if _odd(value)}
        if column.dtype.kind == "f":
            odd = {place: name for place, name in odd.items() if name != "nan"}  # among floats, null is NaN
        about |= {"odd": odd} if odd else {}
    return about, [_cell(value) for value in values]


def _decoded(about: dict[str, Any], cells: list[Any]) -> Any:
    """The Series that `_encoded` was given, or the values of the Index."""
    import numpy as np
    import pandas as pd

    dtype = about["dtype"]
    if dtype == "category":
        categories = about["categories"]
        labels = pd.Index(_decoded(categories["about"], categories["cells"]))
        codes = [-1 if cell is None else cell for cell in cells]
        return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=about["ordered"]))
    for place, name in about.get("odd", {}).items():
        cells[int(place)] = _ODD[name]
    if dtype.startswith("timedelta"):
        return pd.Series(np.array(["NaT" if cell is None else cell for cell in cells], dtype))
    if dtype.startswith("datetime"):
        return pd.Series(pd.to_datetime(cells, utc="," in dtype, format="ISO8601")).astype(dtype)
    return pd.Series(cells, dtype=dtype)


def _label(label: object) -> Any:
    """A column's name: text, a number, None, or several of them."""
    if isinstance(label, tuple):
        return [_label(part) for part in label]
    if hasattr(label, "tolist"):
        label = label.tolist()
    if isinstance(label, float) and not math.isfinite(label):
        return str(label)
    return label if label is None or isinstance(label, (str, bool, int, float)) else str(label)


def _labels(labels: list[Any], names: list[Any]) -> pd.Index[Any]:
    import pandas as pd

    if not labels:
        return pd.RangeIndex(0, name=names[0])
    if all(isinstance(label, list) for label in labels):
        tuples = [tuple(label) for label in labels]
        many: pd.Index[Any] = pd.MultiIndex.from_tuples(tuples, names=names if len(names) > 1 else None)
        return many
    index: pd.Index[Any] = pd.Index([tuple(x) if isinstance(x, list) else x for x in labels], name=names[0])
    return index


def _index(levels: list[dict[str, Any]]) -> pd.Index[Any]:
    import pandas as pd

    arrays: list[pd.Index[Any]] = [
        pd.Index(_decoded(level["about"], level["cells"]), name=level["about"]["name"]) for level in levels
    ]
    return arrays[0] if len(arrays) == 1 else pd.MultiIndex.from_arrays(arrays)


def _odd(value: object) -> str:
    """The name of a float that JSON has not; else empty."""
    return "" if not isinstance(value, float) or math.isfinite(value) else str(float(value))


def _cell(value: Any) -> Any:
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _cell(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_cell(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _cell(item) for key, item in value.items()}
    if type(value).__name__ == "Decimal":
        return str(value)
    message = (
        f"A cell of the table is of type {type(value).__name__}: cells are numbers, text, booleans, times or lists of "
        "them. Convert the column to one of these."
    )
    raise InvalidTypeError(message)
