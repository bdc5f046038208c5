"""Some rows of a column as bytes, and back: a chunk, or a patch that makes one of another. Pure.

Numbers are cut into byte planes (all lowest bytes, then all second ones, ...), and each plane is compressed with zlib
where a sample of it says that this pays. `docs/explain/store-format.md` specifies the bytes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"MMD1"
_HEADER = struct.Struct("<4sBIQ")  # magic, flags, parts, rows
_PART = struct.Struct("<BBQQ")  # codec, bytes of an item, size unpacked, size packed
_PLANE = struct.Struct("<BQ")  # codec, size packed
_RAW, _ZLIB, _PLANES = 0, 1, 2
_VARIABLE, _VALID, _PATCH = 1, 2, 4
_LEVEL = 1
_SAMPLE = 1 << 12  # items that say whether compression pays
_PAYS = 0.9
_MOST_TIMES = 1100  # zlib makes nothing smaller than that


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows: of fixed size, or with `lengths` bytes; `valid` where some are missing."""

    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None
    valid: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        return len(self.values) if self.lengths is None else len(self.lengths)

    def take(self, places: NDArray[np.intp]) -> Rows:
        """Those rows, in that order."""
        valid = None if self.valid is None else self.valid[places]
        if self.lengths is None:
            return Rows(self.values[places], None, valid)
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[places]
        ends = np.cumsum(lengths)
        shift = np.repeat(starts[places] - (ends - lengths), lengths)
        return Rows(self.values[np.arange(len(shift)) + shift], lengths, valid)

    def differing(self, other: Rows) -> NDArray[np.intp]:
        """The places at which two of the same count differ."""
        different = _validity(self) != _validity(other)
        if self.lengths is None or other.lengths is None:
            return np.flatnonzero(different | _unequal(self.values, other.values))
        different |= self.lengths != other.lengths
        same = np.flatnonzero(~different)
        mine, theirs = self.take(same), other.take(same)
        wrong = np.flatnonzero(mine.values != theirs.values)
        ends = np.cumsum(self.lengths[same])
        different[same[np.searchsorted(ends, wrong, side="right")]] = True
        return np.flatnonzero(different)


@dataclass(frozen=True, eq=False)
class Patch:
    """What makes one chunk of another: the places in it that are left out, and rows with their places in the result."""

    dropped: NDArray[np.intp]
    added: NDArray[np.intp]
    rows: Rows

    def of(self, whole: Rows) -> Rows:
        """The chunk that comes of `whole`."""
        left = np.ones(whole.count, bool)
        left[self.dropped] = False
        kept = np.flatnonzero(left)
        order = np.empty(len(kept) + len(self.added), np.intp)
        is_kept = np.ones(len(order), bool)
        is_kept[self.added] = False
        order[is_kept] = kept
        order[self.added] = whole.count + np.arange(len(self.added))
        return joined([whole, self.rows]).take(order)


def joined(parts: list[Rows]) -> Rows:
    """All rows of all parts."""
    values = np.concatenate([part.values for part in parts])
    lengths = [part.lengths for part in parts if part.lengths is not None]
    valid = np.concatenate([_validity(part) for part in parts]) if any(p.valid is not None for p in parts) else None
    return Rows(values, np.concatenate(lengths) if lengths else None, valid)


def encode(chunk: Rows | Patch) -> bytes:
    """A chunk, or what makes one of another."""
    parts: list[NDArray[Any]] = []
    rows, flags = chunk, 0
    if isinstance(rows, Patch):
        parts, flags = [np.diff(places, prepend=0).astype("<u4") for places in (rows.dropped, rows.added)], _PATCH
        rows = rows.rows
    parts.append(rows.values)
    if rows.lengths is not None:
        parts.append(rows.lengths)
        flags |= _VARIABLE
    if rows.valid is not None:
        parts.append(rows.valid)
        flags |= _VALID
    return b"".join([_HEADER.pack(MAGIC, flags, len(parts), rows.count), *(_pack(part) for part in parts)])


def decode(data: bytes, dtype: str, item: tuple[int, ...] = ()) -> Rows | Patch:
    """What `encode` was given. Raises CorruptDataError."""
    try:
        magic, flags, count, rows = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise CorruptDataError(f"These bytes begin with {magic!r}: they are no chunk of a column.")
        at, parts = _HEADER.size, []
        for _ in range(count):
            part, at = _unpack(data, at)
            parts.append(part)
        places = [np.cumsum(np.frombuffer(parts.pop(0), "<u4"), dtype=np.intp) for _ in range(2) if flags & _PATCH]
        valid = np.frombuffer(parts.pop(), bool) if flags & _VALID else None
        lengths = np.frombuffer(parts.pop(), "<i8") if flags & _VARIABLE else None
        values = np.frombuffer(parts.pop(), dtype)
        values = values if lengths is not None else values.reshape((rows, *item))
    except (struct.error, ValueError, IndexError, OverflowError, zlib.error) as error:
        raise CorruptDataError(f"These bytes are no chunk of a column ({error}).") from error
    found = Rows(values, lengths, valid)
    return Patch(places[0], places[1], found) if places else found


def _validity(rows: Rows) -> NDArray[np.bool_]:
    return np.ones(rows.count, bool) if rows.valid is None else rows.valid


def _unequal(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Row by row, by their bytes: NaN is the same as NaN, and 0.0 is not -0.0."""
    if not len(a):
        return np.zeros(0, bool)
    mine, theirs = (np.ascontiguousarray(part).view("u1").reshape(len(part), -1) for part in (a, b))
    width = mine.shape[1]
    if width in (2, 4, 8):
        whole: NDArray[np.bool_] = (mine.view(f"u{width}") != theirs.view(f"u{width}")).reshape(-1)
        return whole
    unequal: NDArray[np.bool_] = (mine != theirs).any(axis=1)
    return unequal


def _pack(part: NDArray[Any]) -> bytes:
    part = np.ascontiguousarray(part)
    size, width = part.nbytes, max(1, min(part.dtype.itemsize, 255))
    if not size:
        return _PART.pack(_RAW, width, 0, 0)
    flat = part.reshape(-1).view("u1")
    if width == 1 or part.dtype.kind in "SU":
        codec, packed = _squeezed(flat.tobytes())
        return _PART.pack(codec, 1, size, len(packed)) + packed
    items = flat.reshape(-1, width)
    middle = max(0, len(items) // 2 - _SAMPLE // 2)
    sample = items[middle : middle + _SAMPLE]
    pays = [_shrinks(np.ascontiguousarray(sample[:, place]).tobytes()) for place in range(width)]
    if not any(pays):
        return _PART.pack(_RAW, width, size, size) + flat.tobytes()
    planes = []
    for place in range(width):
        plane = np.ascontiguousarray(items[:, place]).tobytes()
        codec, packed = _squeezed(plane) if pays[place] else (_RAW, plane)
        planes.append(_PLANE.pack(codec, len(packed)) + packed)
    packed = b"".join(planes)
    return _PART.pack(_PLANES, width, size, len(packed)) + packed


def _squeezed(data: bytes) -> tuple[int, bytes]:
    middle = max(0, len(data) // 2 - _SAMPLE)
    if _shrinks(data[middle : middle + 2 * _SAMPLE]):
        packed = zlib.compress(data, _LEVEL)
        if len(packed) < len(data):
            return _ZLIB, packed
    return _RAW, data


def _shrinks(sample: bytes) -> bool:
    return len(zlib.compress(sample, _LEVEL)) < _PAYS * len(sample)


def _unpack(data: bytes, at: int) -> tuple[bytearray, int]:
    codec, width, size, packed = _PART.unpack_from(data, at)
    at += _PART.size
    body = memoryview(data)[at : at + packed]
    if len(body) != packed or codec > _PLANES or not width or size % width:
        raise ValueError("a part is cut off")
    if size > _MOST_TIMES * packed:
        raise ValueError(f"a part of {packed:,} bytes says that it unpacks to {size:,}")
    if codec != _PLANES:
        return _whole(codec, body, size), at + packed
    items = np.empty((size // width, width), "u1")
    inner = 0
    for place in range(width):
        plane_codec, length = _PLANE.unpack_from(body, inner)
        inner += _PLANE.size
        items[:, place] = np.frombuffer(_whole(plane_codec, body[inner : inner + length], len(items)), "u1")
        inner += length
    return bytearray(items.tobytes()), at + packed


def _whole(codec: int, body: memoryview, size: int) -> bytearray:
    if codec == _RAW:
        found = bytearray(body)
    else:
        reader = zlib.decompressobj()
        found = bytearray(reader.decompress(body, size + 1))  # no more than was said, whatever the bytes hold
    if len(found) != size:
        raise ValueError(f"a part of {size:,} bytes has {len(found):,}")
    return found
