"""A chunk: the points of one series, as one compressed, checksummed block of bytes. Pure functions.

Layout, little-endian; `docs/explain/store-format.md` is the public description::

    "MMC1" | crc32 of (identity, all that follows) u32 | count u32 | column steps | column values | column times
    column = kind u8 | planes u8 | base i64 | offset i64 | per plane: codec u8, length u32, bytes

An integer column keeps differences: x[i] = x[i-1] + offset + residual[i], all modulo 2**64, x[0] = base. A float column
keeps IEEE 754 bits, as float32 where every value survives that bit for bit. The residuals or bits are cut into byte
planes (all lowest bytes, then all second bytes, ...), high planes that are zero throughout are dropped, and each plane
is deflated where that pays. The identity (run and key) is in the checksum: a chunk under a wrong name is noticed.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modelmgmt.errors import CorruptDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COUNT = 1 << 17  # points; bounds what a reader holds at a time

_MAGIC = b"MMC1"
_HEAD = struct.Struct("<4sII")
_COLUMN = struct.Struct("<BBqq")
_PLANE = struct.Struct("<BI")
_DELTA, _FLOAT64, _FLOAT32 = 0, 1, 2
_RAW, _DEFLATED = 0, 1
_SAMPLE_BYTES = 4096
_PAYS_BELOW = 0.9  # a plane that deflates to more than this share of its size is kept raw: noise costs time only


class Points(NamedTuple):
    """Three arrays of one length, `(n_points,)`: int64 steps, float64 values, int64 times in microseconds."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    times: NDArray[np.int64]

    def select(self, places: Any) -> Points:
        """The points at `places`: a slice, a mask or indices."""
        return Points(self.steps[places], self.values[places], self.times[places])


def encode(identity: bytes, points: Points) -> bytes:
    """Pack up to `MAX_COUNT` points; every bit of every step, value and time is kept, in the order given.

    >>> points = Points(np.arange(3), np.array([0.5, np.nan, -0.0]), np.full(3, 1_000))
    >>> decode(b"run/loss", encode(b"run/loss", points)).values
    array([ 0.5,  nan, -0. ])
    """
    body = _integers(points.steps) + _floats(points.values) + _integers(points.times)
    count = len(points.steps)
    crc = zlib.crc32(body, zlib.crc32(struct.pack("<I", count), zlib.crc32(identity)))
    return _HEAD.pack(_MAGIC, crc, count) + body


def decode(identity: bytes, data: bytes) -> Points:
    """Unpack what `encode` packed for the same identity. Raises CorruptDataError for anything else."""
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise CorruptDataError(f"The chunk of {_shown(identity)} is damaged: it does not begin with {_MAGIC!r}.")
    _, crc, count = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    found = zlib.crc32(body, zlib.crc32(struct.pack("<I", count), zlib.crc32(identity)))
    if found != crc:
        raise CorruptDataError(
            f"The chunk of {_shown(identity)} is damaged: checksum {crc:08x} written, {found:08x} found."
        )
    steps, body = _column(body, count)
    values, body = _column(body, count)
    times, body = _column(body, count)
    return Points(steps, values, times)


def _shown(identity: bytes) -> str:
    return identity.decode("utf-8", "backslashreplace").replace("\0", "/")  # run and key


def _integers(column: NDArray[np.int64]) -> bytes:
    if not len(column):
        return _COLUMN.pack(_DELTA, 0, 0, 0)
    bits = np.ascontiguousarray(column, np.int64)
    differences = np.diff(bits.view(np.uint64)).view(np.int64)
    offset = differences.min() if len(differences) else np.int64(0)
    residuals = np.zeros(len(bits), np.uint64)
    np.subtract(differences.view(np.uint64), offset.view(np.uint64), out=residuals[1:])
    return _pack(_DELTA, int(bits[0]), int(offset), residuals.view(np.uint8).reshape(-1, 8))


def _floats(column: NDArray[np.float64]) -> bytes:
    wide = np.ascontiguousarray(column, np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = wide.astype(np.float32)
        survives = np.array_equal(narrow.astype(np.float64).view(np.int64), wide.view(np.int64))
    if survives:
        return _pack(_FLOAT32, 0, 0, narrow.view(np.uint8).reshape(-1, 4))
    return _pack(_FLOAT64, 0, 0, wide.view(np.uint8).reshape(-1, 8))


def _pack(kind: int, base: int, offset: int, rows: NDArray[np.uint8]) -> bytes:
    planes = np.ascontiguousarray(rows.T)
    kept = len(planes)
    while kept and not planes[kept - 1].any():
        kept -= 1
    parts = [_COLUMN.pack(kind, kept, base, offset)]
    for plane in planes[:kept]:
        codec, packed = _deflate(plane.tobytes())
        parts += (_PLANE.pack(codec, len(packed)), packed)
    return b"".join(parts)


def _deflate(plane: bytes) -> tuple[int, bytes]:
    if len(plane) > _SAMPLE_BYTES:
        middle = len(plane) // 2
        sample = plane[middle : middle + _SAMPLE_BYTES]
        if len(zlib.compress(sample, 1)) > _PAYS_BELOW * len(sample):
            return _RAW, plane
    packed = zlib.compress(plane, 1)
    return (_DEFLATED, packed) if len(packed) < len(plane) else (_RAW, plane)


def _column(body: memoryview, count: int) -> tuple[NDArray[Any], memoryview]:
    kind, kept, base, offset = _COLUMN.unpack_from(body)
    body = body[_COLUMN.size :]
    words: NDArray[Any] = np.zeros(count, np.uint32 if kind == _FLOAT32 else np.uint64)
    for place in range(kept):
        codec, length = _PLANE.unpack_from(body)
        packed = body[_PLANE.size : _PLANE.size + length]
        plane = np.frombuffer(packed if codec == _RAW else zlib.decompress(packed), np.uint8)
        words |= plane.astype(words.dtype) << words.dtype.type(8 * place)
        body = body[_PLANE.size + length :]
    if kind == _FLOAT32:
        return words.view(np.float32).astype(np.float64), body
    if kind == _FLOAT64:
        return words.view(np.float64), body
    if count:
        words[1:] += np.int64(offset).view(np.uint64)
        words[0] = np.int64(base).view(np.uint64)
    return np.cumsum(words, dtype=np.uint64).view(np.int64), body
