"""Fingerprints of values: SHA-256 over what a value is, the same in every process. Reads files, where a value is a path.

Equal fingerprints mean equal values. The other way round it holds for plain values, arrays, frames, paths and objects
made of them; a value that only pickle can describe may get another fingerprint in another process, and then a step runs
once more than it had to.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import hashlib
import io
import os
import sys
import types
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

from modelmgmt.errors import InvalidTypeError

_BUFFER = 1 << 20  # bytes of a file at a time
_BY_TEXT = (
    complex, decimal.Decimal, fractions.Fraction, dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone, uuid.UUID,
    range, slice, type(None), type(Ellipsis), type(NotImplemented), bool,
)  # fmt: skip
_ATOMS = {str, float, bool, type(None)}  # and not int: the text of a long one takes long
_FUNCTIONS = (
    functools.partial, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.CodeType, types.ModuleType,
    type,
)  # fmt: skip


def fingerprint(value: Any) -> str:
    """The SHA-256 of a value, in hex. Raises InvalidTypeError for what has none: a connection, a lock, a generator.

    Mappings count in their order, sets in none. A `Path` stands for the file or folder that it names, with all of its
    content; text that names a file stands for the text.

    >>> fingerprint({"lr": 0.1}) == fingerprint({"lr": 0.1}), fingerprint(1) == fingerprint(1.0)
    (True, False)
    """
    walk = Walk()
    try:
        walk.add(value)
    except (InvalidTypeError, OSError):
        raise
    except Exception as error:  # whatever a foreign object raises when it is asked what it is made of
        message = f"A {type(value).__name__} has no fingerprint ({type(error).__name__}: {str(error)[:200]})."
        raise InvalidTypeError(message) from error
    return walk.hexdigest()


class Walk:
    """Feeds a value, piece by piece and each with its length, to one hash. A value inside itself is a number."""

    def __init__(self, open_: list[int] | None = None) -> None:
        self._hash = hashlib.sha256()
        self.open: list[int] = [] if open_ is None else open_

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def put(self, tag: str, data: bytes | memoryview = b"") -> None:
        """One piece."""
        self._hash.update(f"{tag}:{len(data) if isinstance(data, bytes) else data.nbytes};".encode())
        self._hash.update(data)

    def add(self, value: Any) -> None:
        """A value of any kind."""
        if id(value) in self.open:
            self.put("again", str(len(self.open) - self.open.index(id(value))).encode())
            return
        self.open.append(id(value))
        try:
            self._add(value)
        except RecursionError as error:
            raise InvalidTypeError("This value is nested too deep to have a fingerprint.") from error
        finally:
            self.open.pop()

    def add_all(self, tag: str, values: Iterable[Any]) -> None:
        """Values in their order."""
        items = list(values)
        if _ATOMS.issuperset(map(type, items)) and len(items) > 8:
            # Their text says what they are, to the last bit, and takes one call for all of them.
            self.put(f"{tag} of atoms", repr(items).encode("utf-8", "surrogatepass"))
            return
        self.put(tag, str(len(items)).encode())
        for item in items:
            self.add(item)

    def add_path(self, path: Path) -> None:
        """The file or folder that is there, with all of its content."""
        _add_path(self, path)

    def add_code(self, thing: Any) -> None:
        """A function, class or module."""
        from modelmgmt.tracking.steps.code import fingerprint_code

        self.put("code", fingerprint_code(thing).encode())

    def _add(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self.put("str", value.encode("utf-8", "surrogatepass"))
        elif kind is int:
            self.put("int", hex(value).encode())
        elif kind is float:
            self.put("float", value.hex().encode())
        elif kind in (bytes, bytearray):
            self.put(kind.__name__, memoryview(value))
        elif kind in _BY_TEXT:
            self.put(kind.__name__, repr(value).encode())
        elif kind in (list, tuple):
            self.add_all(kind.__name__, value)
        elif kind is dict:
            self.add_all("dict", (part for item in value.items() for part in item))
        elif kind in (set, frozenset):
            self.add_all(kind.__name__, sorted(fingerprint(item) for item in value))
        else:
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        own = _library_of(value)
        if isinstance(value, enum.Enum):
            self.add_all("enum", (type(value).__module__, type(value).__qualname__, value.name))
        elif isinstance(value, PurePath):
            self.add_path(Path(value))
        elif isinstance(value, _FUNCTIONS) or (callable(value) and hasattr(value, "__wrapped__")):
            self.add_code(value)
        elif own is not None and own(self, value):
            pass
        elif is_plain_object(value):
            self.add_all("object", (type(value), state_of(value)))
        else:
            self.put("pickle", _pickled(value))


def _add_path(walk: Walk, path: Path) -> None:
    if path.is_dir():
        walk.put("folder")
        for below in sorted(path.rglob("*"), key=os.fsencode):
            if below.is_file():
                walk.put("name", os.fsencode(below.relative_to(path)))
                walk.put("file", _file_hash(below))
    elif path.exists():
        walk.put("file", _file_hash(path))
    else:
        walk.put("path", os.fsencode(path))  # a place to write to


def _file_hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def is_plain_object(value: Any) -> bool:
    """Made of attributes and nothing else, by a class that says nothing about how it is kept."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return True
    custom = any(getattr(kind, name) is not getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))
    builtin = isinstance(value, (dict, list, tuple, set, frozenset, str, int, float, bytes, bytearray))
    return not custom and not builtin and isinstance(getattr(value, "__dict__", None), dict)


def state_of(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    try:
        return value.__getstate__()
    except Exception as error:  # whatever a foreign class raises when it is asked to describe itself
        raise InvalidTypeError(f"A {type(value).__name__} has no fingerprint: it does not say what it is.") from error


def _pickled(value: Any) -> bytes:
    import cloudpickle

    buffer = io.BytesIO()
    try:
        cloudpickle.CloudPickler(buffer, protocol=5).dump(value)
    except Exception as error:  # whatever a foreign class raises when it is asked to describe itself
        message = f"A {type(value).__name__} has no fingerprint ({type(error).__name__}: {str(error)[:200]})."
        raise InvalidTypeError(message) from error
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------- arrays and frames


def _library_of(value: Any) -> Any:
    """What knows the values of a library, told by name: nothing is imported that the caller has not."""
    root = type(value).__module__.partition(".")[0]
    if root == "numpy" and "numpy" in sys.modules:
        return _add_numpy
    if root == "pandas" and "pandas" in sys.modules:
        return _add_pandas
    if root in ("polars", "pyarrow", "scipy"):
        return _add_other_table
    return None


def _add_numpy(walk: Walk, value: Any) -> bool:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        walk.add_all("masked", (value.data, np.ma.getmaskarray(value)))
    elif isinstance(value, np.ndarray) and type(value) in (np.ndarray, np.memmap):
        _add_array(walk, value)
    elif isinstance(value, np.generic):
        walk.put("scalar")
        _add_array(walk, np.asarray(value))
    elif isinstance(value, np.random.Generator):
        walk.add_all("generator", (value.bit_generator.state,))
    elif isinstance(value, np.random.RandomState):
        walk.add_all("generator", (value.get_state(legacy=False),))
    elif isinstance(value, np.dtype):
        walk.put("dtype", str(value).encode())
    else:
        return False
    return True


def _add_array(walk: Walk, array: Any) -> None:
    import numpy as np

    described = array.dtype.str if array.dtype.names is None else repr(array.dtype.descr)
    walk.put("array", f"{described} {array.shape}".encode())
    if array.dtype.hasobject or array.dtype.kind == "T":
        walk.add_all("cells", array.ravel().tolist())
    else:
        walk.put("bytes", np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _add_pandas(walk: Walk, value: Any) -> bool:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return _add_table(walk, value)
    if isinstance(value, pd.Series):
        walk.add_all("series", (value.name,))
        return _add_table(walk, value.to_frame("values"))
    if isinstance(value, pd.Index):
        walk.add_all("index", (type(value).__name__, list(value.names)))
        levels = {str(place): value.get_level_values(place).array for place in range(value.nlevels)}
        return _add_table(walk, pd.DataFrame(levels))
    if isinstance(value, (pd.Timestamp, pd.Timedelta, pd.Period, pd.Interval)):
        walk.put(type(value).__name__, repr(value).encode())
    elif value is pd.NA or value is pd.NaT:
        walk.put("missing", repr(value).encode())
    elif isinstance(value, pd.api.extensions.ExtensionArray):
        walk.put("column", type(value).__name__.encode())
        return _add_table(walk, pd.DataFrame({"values": value}))
    else:
        return False
    return True


def _add_table(walk: Walk, value: Any) -> bool:
    """The fingerprint that versions of data have, and all that it leaves out on purpose: which library, which dtypes."""
    from modelmgmt.versions.data.fingerprint import fingerprint as of_table
    from modelmgmt.versions.data.sources import table_of

    table = table_of(value, index=True)
    walk.put("table", of_table(table).encode())
    walk.add(dict(table.container))
    return True


def _add_other_table(walk: Walk, value: Any) -> bool:
    """Frames and matrices of other libraries; what is no such thing, or cannot be a table, is left to the pickle."""
    try:
        return _add_table(walk, value)
    except InvalidTypeError:
        return False
