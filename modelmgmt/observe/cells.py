"""The columns of a small batch as bytes, and back; columns joined and chosen from. Pure.

What the columns are is said once, in a schema; the bytes of a batch are only their values, one column after the other.
`docs/explain/store-format.md` specifies both.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError
from modelmgmt.versions.data import columns, pack
from modelmgmt.versions.data.columns import Column, label_json, label_of
from modelmgmt.versions.data.pack import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VALID = 1
_FLAGS = tuple(bytes([flag]) for flag in range(2))


@dataclass(frozen=True)
class Field:
    """What a column is: all but its values."""

    role: str
    name: Any
    type: str
    dtype: str
    item: tuple[int, ...]
    variable: bool


@dataclass(frozen=True)
class Schema:
    """The columns of a batch, the ids apart. `text` is what is kept, `fingerprint` its SHA-256."""

    fields: tuple[Field, ...]
    text: str
    fingerprint: str


def schema_of(found: Sequence[Column]) -> Schema:
    """What the columns are. Their labels are pairs of role and name."""
    fields = tuple(map(_field, found))
    # The columns True, 1 and 1.0 are equal, and print differently.
    return _schema(fields, tuple(repr(one.name) for one in fields if type(one.name) is not str))


def _field(column: Column) -> Field:
    role, name = column.label
    values = column.values
    return Field(role, name, column.type, values.dtype.str, values.shape[1:], column.lengths is not None)


@functools.lru_cache(maxsize=256)
def _schema(fields: tuple[Field, ...], names: tuple[str, ...]) -> Schema:
    """`names` tell apart what is kept here: those that are not text, as they print."""
    del names
    about = [
        {"role": one.role, "name": label_json(one.name), "type": one.type, "dtype": one.dtype, "item": list(one.item),
         "variable": one.variable} for one in fields
    ]  # fmt: skip
    text = json.dumps(about, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Schema(fields, text, hashlib.sha256(text.encode()).hexdigest())


@functools.lru_cache(maxsize=256)
def read_schema(text: str) -> Schema:
    """The schema that was written as `text`. Raises CorruptDataError."""
    try:
        fields = tuple(
            Field(one["role"], label_of(one["name"]), one["type"], one["dtype"], tuple(one["item"]), one["variable"])
            for one in json.loads(text)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"The columns of predictions cannot be read ({error}): run 'modelmgmt store check'."
        ) from error
    return Schema(fields, text, hashlib.sha256(text.encode()).hexdigest())


def encode(ids: Sequence[str] | None, rows: int, found: Sequence[Column]) -> bytes:
    """A small batch: the ids, or none of them, and the values of the columns."""
    parts: list[bytes] = []
    if ids is None:
        parts.append(_FLAGS[0])
    else:
        texts = [one.encode() for one in ids]
        parts += [_FLAGS[1], np.fromiter(map(len, texts), "<i8", rows).tobytes(), *texts]
    for one in found:
        parts.append(_FLAGS[one.valid is not None])
        if one.lengths is not None:
            parts.append(one.lengths.astype("<i8", copy=False).tobytes())
        parts.append(one.values.tobytes())
        if one.valid is not None:
            parts.append(one.valid.tobytes())
    return b"".join(parts)


def first_bytes(id_: bytes) -> bytes:
    """What a batch of one prediction with that id begins with."""
    return _FLAGS[1] + len(id_).to_bytes(8, "little") + id_


def decode(data: bytes, rows: int, schema: Schema) -> tuple[list[str] | None, tuple[Column, ...]]:
    """What `encode` was given. Raises CorruptDataError."""
    reader = _Reader(data)
    try:
        ids = None
        if reader.flag():
            ids = [piece.decode() for piece in columns.variable(None, "string", *reader.variable(rows), None).pieces()]
        found = tuple(_column(reader, rows, field) for field in schema.fields)
        reader.end()
    except (ValueError, IndexError) as error:
        raise CorruptDataError(
            f"A batch of predictions cannot be read ({error}): run 'modelmgmt store check'."
        ) from error
    return ids, found


def _column(reader: _Reader, rows: int, field: Field) -> Column:
    has_valid = reader.flag()
    lengths = None
    if field.variable:
        values, lengths = reader.variable(rows)
    else:
        values = reader.array(field.dtype, rows * math.prod(field.item)).reshape((rows, *field.item))
    valid = reader.array("?", rows) if has_valid else None
    return Column((field.role, field.name), field.type, values, lengths, valid)


class _Reader:
    """Arrays out of bytes, one after the other. Raises ValueError or IndexError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def flag(self) -> bool:
        self.at += 1
        return bool(self._data[self.at - 1] & _VALID)

    def end(self) -> None:
        if self.at != len(self._data):
            raise ValueError("there are bytes after the last column")

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        kind = np.dtype(dtype)
        found: NDArray[Any] = np.frombuffer(self._data, kind, count, self.at) if count else np.empty(0, kind)
        self.at += count * kind.itemsize
        return found

    def variable(self, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        lengths = self.array("<i8", rows)
        if rows and lengths.min() < 0:
            raise ValueError("a length is negative")
        return self.array("u1", int(lengths.sum())), lengths


def joined(parts: Sequence[Sequence[Column]]) -> tuple[Column, ...]:
    """The columns of several batches of one schema, one after the other."""
    return tuple(_one_column(each) for each in zip(*parts, strict=True)) if len(parts) > 1 else tuple(parts[0])


def _one_column(parts: Sequence[Column]) -> Column:
    rows = pack.joined([_rows(part) for part in parts])
    return Column(parts[0].label, parts[0].type, rows.values, rows.lengths, rows.valid)


def chosen(found: Sequence[Column], places: NDArray[np.intp]) -> tuple[Column, ...]:
    """Those rows of every column."""
    taken = [(one, _rows(one).take(places)) for one in found]
    return tuple(Column(one.label, one.type, rows.values, rows.lengths, rows.valid) for one, rows in taken)


def _rows(column: Column) -> Rows:
    return Rows(column.values, column.lengths, column.valid)


def named(schema: Schema) -> Iterator[tuple[str, Field]]:
    """Each column with the name that it has in a frame: `prediction`, `prediction.stays`, `input.age`."""
    for field in schema.fields:
        yield (field.role if field.name is None else f"{field.role}.{_text(field.name)}"), field


def _text(name: Any) -> str:
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)
