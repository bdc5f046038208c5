"""The input example of a model and what the model said of it, as files: a typed table, or arrays in numpy's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.packaging.signature import is_sparse, normal

ROWS = 100
"""Of an example that are kept; the signature is learnt from all of them."""

_TABLE, _ARRAY, _ARRAYS = ".table.json", ".npy", ".npz"


@dataclass(frozen=True, slots=True)
class Example:
    """An input, and the output expected for it; None when the model could not be asked."""

    input: Any
    output: Any


def first_rows(data: Any) -> Any:
    """The part of an example that is kept, in one of the normal forms."""
    data = normal(data)
    if isinstance(data, dict):
        return {name: array[:ROWS] if array.ndim else array for name, array in data.items()}
    if hasattr(data, "columns"):
        return data.iloc[:ROWS]
    if is_sparse(data):
        return data.tocsr()[:ROWS]
    return data[:ROWS] if data.ndim else data


def write(folder: Path, stem: str, data: Any) -> str | None:
    """Write data to `folder/stem.*` and return the file's name; None when it is of a kind that has no safe file."""
    try:
        data = normal(data)
        if is_sparse(data):
            data = data.toarray()
        writer, suffix = _writer(data)
    except InvalidTypeError:
        return None
    with (folder / (stem + suffix)).open("xb") as file:
        writer(file)
    return stem + suffix


def _writer(data: Any) -> tuple[Callable[[Any], object], str]:
    import numpy as np

    from modelmgmt.tracking.table_file import encode

    if isinstance(data, Mapping):
        arrays = {name: _plain(array) for name, array in data.items()}
        return lambda file: np.savez(file, allow_pickle=False, **arrays), _ARRAYS
    if hasattr(data, "columns"):
        content = encode(data)
        return lambda file: file.write(content), _TABLE
    array = _plain(data)
    return lambda file: np.lib.format.write_array(file, array, allow_pickle=False), _ARRAY


def _plain(array: Any) -> Any:
    """An array that numpy writes without a pickle. Raises InvalidTypeError."""
    import numpy as np

    if array.dtype == object and array.size and all(isinstance(value, str) for value in array.flat):
        return array.astype(np.str_)
    if array.dtype.hasobject:
        raise InvalidTypeError("An array of objects has no safe file.")
    return array


def read(name: str, data: bytes) -> Any:
    """The data that `write` was given. Raises CorruptDataError."""
    import io
    import zlib
    from zipfile import BadZipFile

    import numpy as np

    from modelmgmt.models.packaging.archive import check_archive
    from modelmgmt.tracking.table_file import decode

    try:
        if name.endswith(_TABLE):
            return decode(data)
        if name.endswith(_ARRAYS):
            check_archive(io.BytesIO(data))
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return dict(arrays)
        if name.endswith(_ARRAY):
            return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except CorruptDataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, BadZipFile, zlib.error, MemoryError) as error:
        raise CorruptDataError(f"The example {name!r} can not be read ({error}).") from error
    raise CorruptDataError(f"The example {name!r} is a file of no kind that this version knows.")


def difference(expected: Any, found: Any, *, relative: float = 1e-5) -> str:
    """How two outputs differ, in words; empty when they are the same, numbers within `relative` of the largest one."""
    import numpy as np

    expected, found = normal(expected), normal(found)
    if isinstance(expected, dict) or isinstance(found, dict):
        names = set(expected) ^ set(found)
        if names:
            return f"they have different names, {', '.join(sorted(map(str, names)))}"
        return next((d for name in expected if (d := difference(expected[name], found[name]))), "")
    a, b = (np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value) for value in (expected, found))
    if a.shape != b.shape:
        return f"the shapes are {a.shape} and {b.shape}"
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        unlike = int((a.astype(str) != b.astype(str)).sum())
        return f"{unlike} of {a.size} values are others" if unlike else ""
    scale = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)), 1e-12)
    if np.allclose(a, b, rtol=relative, atol=relative * scale, equal_nan=True):
        return ""
    return f"the largest difference is {float(np.nanmax(np.abs(a.astype(float) - b.astype(float)))):.3g}"
