"""Columns: the one form that every table, array and matrix is brought into before anything is computed of it. Pure.

A column has a label, a logical type, and parts: little-endian arrays that say all that is in it. Equal data of one
logical type has equal parts, whichever library it came from.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidTypeError
from modelmgmt.versions.data import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUPPORTED_KINDS = "biufcmMSU"
BLOCK_ROWS = 1 << 14  # rows of a strided column that are made contiguous at a time: they stay in the cache


@dataclass(frozen=True, eq=False)
class Column:
    """`values` has one item (of any shape) per row; with `lengths` it is bytes, and a row is so many of them.

    `valid` is a bool per row, or None when nothing is missing; the values of missing rows are zero or empty.
    """

    label: Any
    type: str
    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None
    valid: NDArray[np.bool_] | None = None
    categories: Column | None = None

    @property
    def rows(self) -> int:
        return len(self.values) if self.lengths is None else len(self.lengths)

    @property
    def missing(self) -> int:
        return 0 if self.valid is None else int(self.rows - np.count_nonzero(self.valid))

    @property
    def nbytes(self) -> int:
        parts = (self.values, self.lengths, self.valid)
        size = sum(part.nbytes for part in parts if part is not None)
        return size + (self.categories.nbytes if self.categories is not None else 0)

    def offsets(self) -> NDArray[np.int64]:
        """Where each row's bytes begin, and where the last ones end: `(rows + 1,)`."""
        lengths = np.zeros(0, np.int64) if self.lengths is None else self.lengths
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def pieces(self) -> list[bytes]:
        """The bytes of each row of a column with lengths."""
        data, marks = self.values.tobytes(), self.offsets().tolist()
        return [data[start:end] for start, end in pairwise(marks)]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns, and what they were: `kind` and `rows`, and in `container` what it takes to make the same thing again.

    `index` are the columns of a frame's index, when it counts. `shape` is that of an array.
    """

    kind: str
    rows: int
    columns: tuple[Column, ...]
    index: tuple[Column, ...] = ()
    shape: tuple[int, ...] | None = None
    container: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in (*self.columns, *self.index))


def fixed(label: Any, values: NDArray[Any], valid: NDArray[np.bool_] | None = None, type_: str = "") -> Column:
    """A column of numbers, booleans, or other items of one size. NaT becomes missing, every NaN is one NaN.

    Raises InvalidTypeError for a dtype whose bytes differ between machines.
    """
    kind = values.dtype.kind
    if kind not in SUPPORTED_KINDS or values.dtype.itemsize > {"f": 8, "c": 16}.get(kind, math.inf):
        raise InvalidTypeError(
            f"The column {shown(label)} has the dtype {values.dtype}, which cannot be kept as it is: convert it to "
            "float64, or another dtype that all machines have."
        )
    if kind in "mM":
        return _times(label, values, valid, type_)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if valid is not None and valid.all():
        valid = None
    if valid is not None:
        values = values.copy()
        values[~valid] = np.zeros((), values.dtype)
    return Column(label, type_ or type_name(values.dtype), values, valid=valid)


def _times(label: Any, values: NDArray[Any], valid: NDArray[np.bool_] | None, type_: str) -> Column:
    unit, step = np.datetime_data(values.dtype)
    if unit == "generic" or step != 1:
        raise InvalidTypeError(
            f"The column {shown(label)} has the dtype {values.dtype}: give it a unit of one, as datetime64[ns] has."
        )
    there = ~np.isnat(values)
    if valid is not None:
        there &= valid
    word = "datetime" if values.dtype.kind == "M" else "duration"
    counts = values.astype(values.dtype.newbyteorder("<"), copy=False).view("<i8")
    return fixed(label, counts, None if there.all() else there, type_ or f"{word}[{unit}]")


def variable(
    label: Any, type_: str, data: NDArray[np.uint8], lengths: NDArray[np.int64], valid: NDArray[np.bool_] | None = None
) -> Column:
    """A column of texts or bytes, joined in `data`."""
    if valid is not None and valid.all():
        valid = None
    return Column(label, type_, data, lengths=lengths.astype("<i8", copy=False), valid=valid)


def joined(label: Any, type_: str, pieces: list[bytes], valid: NDArray[np.bool_] | None = None) -> Column:
    """A column of the pieces, one per row."""
    lengths = np.fromiter(map(len, pieces), "<i8", len(pieces))
    return variable(label, type_, np.frombuffer(b"".join(pieces), np.uint8), lengths, valid)


def objects(label: Any, values: list[Any]) -> Column:
    """A column of any plain values: text where all are text or None or NaN, else one cell each.

    Raises InvalidTypeError that names the column and the row of a value that is none.
    """
    pieces = []
    for row, value in enumerate(values):
        try:
            pieces.append(cells.encode(value))
        except InvalidTypeError as error:
            message = (
                f"The column {shown(label)} has in row {row} {error}, which cannot be kept: convert the column to "
                "numbers, text, times, or lists and mappings of them, or drop it."
            )
            raise InvalidTypeError(message) from error
    return joined(label, "object", pieces)


def texts(label: Any, values: list[Any], valid: NDArray[np.bool_] | None) -> Column:
    """A column of str; what `valid` says is missing may be anything."""
    try:
        if valid is None:
            return joined(label, "string", [cells.text_bytes(value) for value in values])
        pairs = zip(values, valid.tolist(), strict=True)
        return joined(label, "string", [cells.text_bytes(value) if there else b"" for value, there in pairs], valid)
    except AttributeError as error:
        raise InvalidTypeError(f"The column {shown(label)} holds what is no text ({error})") from error


@functools.lru_cache(maxsize=256)
def type_name(dtype: np.dtype[Any]) -> str:
    """The logical type of a numpy dtype: `float64`, `bool`, `bytes8` for S8, `text5` for U5."""
    if dtype.kind == "S":
        return f"bytes{dtype.itemsize}"
    if dtype.kind == "U":
        return f"text{dtype.itemsize // 4}"
    return dtype.name


def canonical(block: NDArray[Any]) -> NDArray[Any]:
    """The block, contiguous, with every NaN as the one that has no sign and no payload."""
    block = np.ascontiguousarray(block)
    if block.dtype.kind in "fc" and (lost := np.isnan(block)).any():
        block = block.copy()
        if block.dtype.kind == "c":
            block.real[np.isnan(block.real)] = math.nan
            block.imag[np.isnan(block.imag)] = math.nan
        else:
            block[lost] = math.nan
    return block


def shown(label: object) -> str:
    """A label as it may stand in a message."""
    text = repr(label)
    return text if len(text) <= 80 else f"{text[:80]}..."


def label_json(label: Any) -> Any:
    """A label as JSON: text, a number, None, a list for a tuple, or {"cell": hex} for any other plain value."""
    if isinstance(label, tuple):
        return [label_json(part) for part in label]
    if label is None or type(label) in (str, bool, int) or (type(label) is float and math.isfinite(label)):
        if isinstance(label, str) and any("\ud800" <= char <= "\udfff" for char in label):
            return {"cell": cells.encode(label).hex()}
        return label
    if isinstance(label, np.generic) and label.dtype.kind in "biufU":
        return label_json(label.item())
    try:
        return {"cell": cells.encode(label).hex()}
    except InvalidTypeError as error:
        raise InvalidTypeError(f"The label {shown(label)} of a column cannot be kept: {error}; rename it") from error


def label_of(value: Any) -> Any:
    """The label that `label_json` was given."""
    if isinstance(value, list):
        return tuple(label_of(part) for part in value)
    return cells.decode(bytes.fromhex(value["cell"])) if isinstance(value, dict) else value
