"""Where a column is cut into chunks, so that what two versions have in common is cut alike. Pure.

A cut comes after a row whose hash says so (content-defined chunking, as in Muthitacharoen et al., "A low-bandwidth
network file system", 2001, with a row in place of a window of bytes): an inserted row moves no cut but its own. Where an
earlier version is known, its cuts are looked for, and rows between two of them that did not become more or fewer are cut
at the same places again, so that changed values alone move no cut.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.versions.data.columns import Column
from modelmgmt.versions.data.profile import hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_BYTES = 1 << 18  # about so many in a chunk before it is compressed
_LEAST = 4  # a chunk has at least a quarter of the rows aimed at, and at most four times as many


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows up to `end` are one chunk, whose last row has the hash `anchor`. `like` is the place of a likely counterpart."""

    start: int
    end: int
    anchor: int
    like: int | None = None


def spread_of(column: Column) -> int:
    """How many rows a chunk of this column is to have: a power of two."""
    size = (column.values.nbytes + (column.lengths.nbytes if column.lengths is not None else 0)) / max(1, column.rows)
    return 1 << max(4, round(math.log2(max(1.0, CHUNK_BYTES / max(size, 0.125)))))


def cuts(column: Column, spread: int, before: Sequence[tuple[int, int]] = ()) -> list[Cut]:
    """The chunks of a column. `before` are (rows, anchor) of the chunks of an earlier version, with the same spread."""
    rows = column.rows
    if not rows:
        return []
    hashes = row_hashes(column)
    candidates = np.flatnonzero((hashes & np.uint64(spread - 1)) == 0) + 1
    old_ends = np.cumsum([count for count, _ in before]).tolist()
    pairs = [*_anchors(old_ends, [anchor for _, anchor in before], candidates, hashes), (_last(old_ends), rows)]
    found: list[Cut] = []
    old, new = 0, 0
    for old_end, new_end in pairs:
        first, last = bisect_left(old_ends, old + 1), bisect_left(old_ends, old_end)
        inner = old_ends[first : last + 1]
        ends = [end - old + new for end in inner]
        if len(inner) == 1 and new_end - new <= _LEAST * spread:
            ends = [new_end]  # what was one chunk stays one, with rows more or less
        elif old_end - old != new_end - new:
            ends = _natural(candidates, new, new_end, spread)
        for place, end in enumerate(ends):
            start = found[-1].end if found else 0
            found.append(Cut(start, end, int(hashes[end - 1]), first + place if place < len(inner) else None))
        old, new = old_end, new_end
    return found


def _last(ends: Sequence[int]) -> int:
    return ends[-1] if ends else 0


def _natural(candidates: NDArray[np.intp], start: int, stop: int, spread: int) -> list[int]:
    """The ends of chunks from `start` to `stop`."""
    ends, at = [], start
    least, most = max(1, spread // _LEAST), spread * _LEAST
    while at < stop:
        place = int(np.searchsorted(candidates, at + least))
        end = int(candidates[place]) if place < len(candidates) else stop
        at = min(end, at + most, stop)
        ends.append(at)
    return ends


def _anchors(
    old_ends: Sequence[int], anchors: Sequence[int], candidates: NDArray[np.intp], hashes: NDArray[np.uint64]
) -> list[tuple[int, int]]:
    """(old end, new end) of cuts that are the same one: of hashes that each side has once, the longest common order."""
    once = _once(anchors, old_ends)
    here = _once(hashes[candidates - 1].tolist(), candidates.tolist())
    pairs = sorted((once[anchor], here[anchor]) for anchor in once.keys() & here.keys())
    kept = [pairs[place] for place in _rising([new for _, new in pairs])]
    return [pair for pair in kept if pair != (_last(old_ends), len(hashes))]


def _once(keys: Sequence[int], values: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    twice: set[int] = set()
    for key, value in zip(keys, values, strict=True):
        if key in found:
            twice.add(key)
        found[key] = value
    return {key: value for key, value in found.items() if key not in twice}


def _rising(values: Sequence[int]) -> list[int]:
    """The places of a longest rising subsequence (Schensted, 1961)."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for place, value in enumerate(values):
        length = bisect_left(tails, value)
        previous.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [value]
        ends[length : length + 1] = [place]
    found = []
    place = ends[-1] if ends else -1
    while place >= 0:
        found.append(place)
        place = previous[place]
    return found[::-1]


def row_hashes(column: Column) -> NDArray[np.uint64]:
    """A hash of each row; of texts, of their length, their first and their last eight bytes."""
    if column.lengths is not None:
        return _of_pieces(column.values, column.lengths)
    values: NDArray[Any] = np.ascontiguousarray(column.values)
    size = values.nbytes // len(values)
    if size in (1, 2, 4, 8):
        return hashed(values.reshape(len(values), -1).view("u1").view(f"<u{size}").reshape(-1))
    words = values.reshape(-1).view("u1").reshape(len(values), size)
    if size % 8:
        words = np.pad(words, ((0, 0), (0, 8 - size % 8)))
    wide = words.view("<u8")
    weights = hashed(np.arange(1, wide.shape[1] + 1)) | np.uint64(1)
    with np.errstate(over="ignore"):
        return hashed((hashed(wide) * weights).sum(axis=1, dtype=np.uint64))


def _of_pieces(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    padded = np.concatenate([np.zeros(8, "u1"), data, np.zeros(8, "u1")])
    words = np.lib.stride_tricks.as_strided(padded.view("u1"), (len(padded) - 7, 8), (1, 1))
    ends = np.cumsum(lengths) + 8
    masks = (np.uint64(1) << (np.minimum(lengths, 7).astype(np.uint64) * np.uint64(8))) - np.uint64(1)
    masks = np.where(lengths >= 8, np.uint64(2**64 - 1), masks)
    first = words[ends - lengths].copy().view("<u8").reshape(-1) & masks
    last = words[ends - 8].copy().view("<u8").reshape(-1)
    last = np.where(lengths >= 8, last, np.uint64(0))
    with np.errstate(over="ignore"):
        return hashed(hashed(first) + hashed(last ^ np.uint64(0x5BD1E995)) + lengths.astype(np.uint64))
