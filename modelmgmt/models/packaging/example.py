"""The input example of a model and what the model said of it, as files: a typed table, JSON, or arrays in numpy's format."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.packaging.signature import container_of, is_by_name, is_records, is_sparse, is_sparse_kind, normal
from modelmgmt.store.names import counted

ROWS = 100
"""Of an example that are kept; the signature is learnt from all of them."""

_TABLE, _ARRAY, _ARRAYS = ".table.json", ".npy", ".npz"
_SERIES, _RECORDS, _TEXTS, _OBJECTS = ".series.json", ".records.json", ".texts.json", ".objects.json"
_SPARSE, _MASKED = ".sparse.npz", ".masked.npz"


@dataclass(frozen=True, slots=True)
class Example:
    """An input, and the output expected for it; None when the model could not be asked."""

    input: Any
    output: Any
    method: str = "predict"
    """Which gave the output."""


def first_rows(data: Any) -> Any:
    """The part of an example that is kept, in what it was given in; what other libraries make is pandas' or numpy's."""
    kind = container_of(data)
    if is_records(data) or kind in ("list", "masked"):
        return data[:ROWS]
    if kind == "series":
        return data.iloc[:ROWS]
    data = normal(data)
    if is_by_name(data):
        return {name: array[:ROWS] if array.ndim else array for name, array in data.items()}
    if hasattr(data, "columns"):
        return data.iloc[:ROWS]
    if is_sparse(data):
        return type(data)(data.tocsr()[:ROWS]) if data.ndim > 1 else type(data)(data.toarray()[:ROWS])
    return data[:ROWS] if data.ndim else data


def write(folder: Path, stem: str, data: Any) -> str | None:
    """Write data to `folder/stem.*` and return the file's name; None when it is of a kind that has no safe file."""
    try:
        writer, suffix = _writer(data)
    except InvalidTypeError:
        return None
    with (folder / (stem + suffix)).open("xb") as file:
        writer(file)
    return stem + suffix


def _writer(data: Any) -> tuple[Callable[[Any], object], str]:
    import numpy as np
    import pandas as pd

    from modelmgmt.tracking.table_file import encode
    from modelmgmt.versions.data.columns import label_json

    kind = container_of(data)
    if is_records(data):
        if any(not isinstance(key, str) for row in data for key in row):
            raise InvalidTypeError("Mappings with keys that are no text cannot be stored as JSON.")
        return _json([{key: label_json(value) for key, value in row.items()} for row in data]), _RECORDS
    if kind == "list":
        return _json(list(data)), _TEXTS
    if kind == "series":
        frame = pd.DataFrame({0: data})
        frame.columns = pd.Index([data.name], dtype=object)
        content = encode(frame)
        return lambda file: file.write(content), _SERIES
    if kind == "masked":
        parts = {"data": _plain(data.data), "mask": np.ma.getmaskarray(data)}
        return lambda file: np.savez(file, allow_pickle=False, **parts), _MASKED
    data = normal(data)
    if is_sparse(data):
        entries = data.tocoo()
        coordinates = np.array(getattr(entries, "coords", None) or (entries.row, entries.col))
        parts = {
            "class": np.array(kind),
            "shape": np.array(data.shape),
            "data": entries.data,
            "coordinates": coordinates,
        }
        return lambda file: np.savez(file, allow_pickle=False, **parts), _SPARSE
    if isinstance(data, Mapping):
        arrays = {name: _plain(array) for name, array in data.items()}
        return lambda file: np.savez(file, allow_pickle=False, **arrays), _ARRAYS
    if hasattr(data, "columns"):
        content = encode(data)
        return lambda file: file.write(content), _TABLE
    if data.dtype == object:
        return _json({"shape": data.shape, "values": [label_json(value) for value in data.flat]}), _OBJECTS
    array = _plain(data)
    return lambda file: np.lib.format.write_array(file, array, allow_pickle=False), _ARRAY


def _json(content: Any) -> Callable[[Any], object]:
    data = json.dumps(content, allow_nan=False).encode()
    return lambda file: file.write(data)


def _plain(array: Any) -> Any:
    """An array that numpy writes without a pickle. Raises InvalidTypeError."""
    import numpy as np

    if array.dtype == object and array.size and all(isinstance(value, str) for value in array.flat):
        return array.astype(np.str_)
    if array.dtype.hasobject:
        raise InvalidTypeError("An array of objects cannot be stored safely.")
    return array


_BROKEN = (
    ValueError, TypeError, AttributeError, IndexError, OSError, EOFError, KeyError, BadZipFile, zlib.error, MemoryError,
)  # fmt: skip
"""What libraries raise for a file that nobody wrote like that."""


def read(name: str, data: bytes) -> Any:
    """The data that `write` was given. Raises CorruptDataError."""
    import io

    import numpy as np

    from modelmgmt.models.packaging.archive import check_archive
    from modelmgmt.tracking.table_file import decode
    from modelmgmt.versions.data.columns import label_of

    try:
        if name.endswith(_TABLE):
            return decode(data)
        if name.endswith(_SERIES):
            return decode(data).iloc[:, 0]
        if name.endswith(_TEXTS):
            return list(json.loads(data))
        if name.endswith(_RECORDS):
            return [{key: label_of(value) for key, value in row.items()} for row in json.loads(data)]
        if name.endswith(_OBJECTS):
            return _objects(json.loads(data))
        if name.endswith(_ARRAYS):
            check_archive(io.BytesIO(data))
            with np.load(io.BytesIO(data), allow_pickle=False) as members:
                arrays = dict(members)
            if name.endswith(_MASKED):
                return np.ma.array(arrays["data"], mask=arrays["mask"])
            return _sparse(arrays) if name.endswith(_SPARSE) else arrays
        if name.endswith(_ARRAY):
            return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except CorruptDataError:
        raise
    except _BROKEN as error:
        raise CorruptDataError(f"The example {name!r} cannot be read ({error}).") from error
    raise CorruptDataError(f"The example {name!r} has a type that this version cannot read.")


def _objects(content: Mapping[str, Any]) -> Any:
    import numpy as np

    from modelmgmt.versions.data.columns import label_of

    array = np.empty(len(content["values"]), object)
    for place, value in enumerate(content["values"]):
        array[place] = label_of(value)
    return array.reshape([int(length) for length in content["shape"]])


def _sparse(arrays: Mapping[str, Any]) -> Any:
    import scipy.sparse

    kind, shape = str(arrays["class"]), tuple(arrays["shape"].tolist())
    if not is_sparse_kind(kind):
        raise ValueError(f"there is no sparse matrix {kind!r}")  # read() names the file
    entries = scipy.sparse.coo_array((arrays["data"], tuple(arrays["coordinates"])), shape=shape)
    return getattr(scipy.sparse, kind)(entries)


def difference(expected: Any, found: Any, *, relative: float = 1e-5) -> str:
    """How two outputs differ, in words; empty when they are the same, numbers within `relative` of the largest one.

    Raises InvalidTypeError for what is neither a table nor arrays.
    """
    import numpy as np

    if _is_several(expected) and _is_several(found):
        expected, found = (dict(enumerate(value)) for value in (expected, found))
    else:
        expected, found = normal(expected), normal(found)
    if isinstance(expected, dict) or isinstance(found, dict):
        names = set(expected) ^ set(found)
        if names:
            return f"they have different names, {', '.join(sorted(map(str, names)))}"
        return next((d for name in expected if (d := difference(expected[name], found[name], relative=relative))), "")
    if hasattr(expected, "columns") and hasattr(found, "columns") and list(expected.columns) != list(found.columns):
        return f"the columns are {list(expected.columns)} and {list(found.columns)}"
    if is_sparse(expected) and is_sparse(found) and expected.shape == found.shape:
        parts = [_entries(value) for value in (expected, found)]
        if not all(map(np.array_equal, *(part[:-1] for part in parts))):
            return "other entries than before are not zero"
        expected, found = (part[-1] for part in parts)
    a, b = (np.asarray(_dense(value)) for value in (expected, found))
    if a.shape != b.shape:
        return f"the shapes are {a.shape} and {b.shape}"
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        unlike = int((a.astype(str) != b.astype(str)).sum())
        return f"{unlike} of {counted(a.size, 'value')} differ" if unlike else ""
    scale = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)), 1e-12)
    is_close = np.isclose(b, a, rtol=relative, atol=relative * scale, equal_nan=True)
    if is_close.all():
        return ""
    kind = complex if "c" in (a.dtype.kind, b.dtype.kind) else float
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(a[~is_close].astype(kind) - b[~is_close].astype(kind)).max())
    return f"{int((~is_close).sum())} of {a.size} values differ; the largest difference is {largest:.3g}"


def _is_several(output: Any) -> bool:
    """Whether it is several arrays, as of a model of several outputs."""
    return isinstance(output, (list, tuple)) and any(getattr(part, "ndim", 0) for part in output)


def _dense(output: Any) -> Any:
    return output.toarray() if is_sparse(output) else getattr(output, "to_numpy", lambda: output)()


def _entries(matrix: Any) -> tuple[Any, ...]:
    """Where a sparse matrix is not zero, and what it is there; in one order."""
    entries = matrix.tocsr().copy()
    entries.sum_duplicates()
    entries.eliminate_zeros()
    return entries.indptr, entries.indices, entries.data
